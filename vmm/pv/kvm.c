/* SPDX-License-Identifier: MIT */
/* KVM's clock, paravirtual EOI and hypercalls. */
#include "vmm/pv/kvm.h"
#include "lib/log.h"
#include "vmm/dev/lapic.h"
#include "vmm/msr_table.h"
#include "vmm/pv/ops.h"
#include "vmm/vmm.h"

#define NS_PER_S 1000000000ull

#define UNUSED(x) ((void)(x))

/* --- MSRs --- */

/* Every vCPU's is for all of them. */
int msr_kvm_wall_clock_write(struct vcpu *v, const struct msr_row *row, u32 msr, u64 value)
{
    u64 ns = vmm_utc_now() * NS_PER_S - pv_clock_ns(v->vm);
    struct {
        u32 version, s, ns;
    } boot = {.s = (u32)(ns / NS_PER_S), .ns = ns % NS_PER_S};

    UNUSED(row), UNUSED(msr);
    v->msrs.kvm_wall_clock = value;
    pv_publish(v->vm, value, &boot.version, sizeof(boot));
    return OK;
}

static void set_clock(struct vcpu *v, u64 value)
{
    spin_lock(&v->vm->pv.lock);
    v->msrs.kvm_clock = value;
    v->pv.clock[PV_CLOCK_KVM] = value & KVM_ENABLED ? value & ~(u64)KVM_ENABLED : GPA_NONE;
    pv_clocks_publish(v->vm);
    spin_unlock(&v->vm->pv.lock);
}

int msr_kvm_clock_write(struct vcpu *v, const struct msr_row *row, u32 msr, u64 value)
{
    UNUSED(row), UNUSED(msr);
    set_clock(v, value);
    return OK;
}

int msr_kvm_eoi_write(struct vcpu *v, const struct msr_row *row, u32 msr, u64 value)
{
    UNUSED(row), UNUSED(msr);
    if (lapic_set_pv_eoi(v->lapic, value))
        return ERR_INVAL;
    v->msrs.kvm_eoi = value;
    return OK;
}

void pv_kvm_reset(struct vcpu *v)
{
    set_clock(v, 0);
    lapic_set_pv_eoi(v->lapic, 0);
    v->msrs.kvm_eoi = v->msrs.kvm_steal = 0;
    v->pv.kvm.away = v->pv.kvm.kicked = false;
}

/* --- hypercalls --- */

static struct vcpu *find(const struct vm *vm, u32 apic_id)
{
    for (u32 i = 0; i < vm->nr_vcpus; i++) {
        if (lapic_id(vm->vcpus[i]->lapic) == apic_id)
            return vm->vcpus[i];
    }
    return NULL;
}

/* RBX and RCX: of the APIC IDs from RDX on those that it goes to. */
static s64 send_ipi(struct vcpu *v, u32 bits)
{
    const u64 mask[2] = {v->gpr[REG_RBX], v->gpr[REG_RCX]};
    u32 first = (u32)v->gpr[REG_RDX], icr = (u32)v->gpr[REG_RSI];
    s64 sent = 0;

    if (!pv_icr_valid(icr))
        return -NIDUS_EINVAL;
    for (u32 i = 0; i < v->vm->nr_vcpus; i++) {
        struct vcpu *to = v->vm->vcpus[i];
        u32 n = lapic_id(to->lapic) - first;

        if (n >= 2 * bits || !(mask[n / bits] >> n % bits & 1))
            continue;
        pv_interrupt(to, icr);
        sent++;
    }
    v->pv.kvm.ipis += sent;
    return sent;
}

static s64 kick(struct vcpu *v, u32 bits)
{
    struct vcpu *to = find(v->vm, (u32)v->gpr[REG_RCX]);

    UNUSED(bits);
    if (to) {
        __atomic_store_n(&to->pv.kvm.kicked, true, __ATOMIC_RELEASE);
        vcpu_kick(to);
    }
    return 0;
}

bool pv_kvm_kicked(struct vcpu *v)
{
    if (likely(!v->pv.kvm.kicked) || vcpu_in_l2(v))
        return false;
    return __atomic_exchange_n(&v->pv.kvm.kicked, false, __ATOMIC_ACQ_REL);
}

/* Only what waits for a CPU is given way to: else the caller is better off on its own. */
static s64 yield(struct vcpu *v, u32 bits)
{
    struct vcpu *to = find(v->vm, (u32)v->gpr[REG_RBX]);

    UNUSED(bits);
    if (to && __atomic_load_n(&to->sched, __ATOMIC_RELAXED) == SCHED_QUEUED)
        sched_give_way(v, to);
    return 0;
}

static const struct {
    u8 nr, feature; /* bit of CPUID 0x40000001, EAX */
    s64 (*run)(struct vcpu *v, u32 bits);
} calls[] = {{5, 7, kick}, {10, 11, send_ipi}, {11, 13, yield}};

s64 pv_kvm_call(struct vcpu *v, u32 bits)
{
    for (u32 i = 0; i < ARRAY_SIZE(calls); i++) {
        if (calls[i].nr == (u32)v->gpr[REG_RAX] && v->cpuid->hypervisor[1].eax >> calls[i].feature & 1)
            return calls[i].run(v, bits);
    }
    return -NIDUS_ENOSYS;
}

void pv_kvm_log(const struct vm *vm)
{
    u64 ipis = 0, flushes = 0, eois = 0;

    for (u32 i = 0; i < vm->nr_vcpus; i++) {
        ipis += vm->vcpus[i]->pv.kvm.ipis;
        flushes += vm->vcpus[i]->pv.kvm.flushes;
        eois += lapic_eois_saved(vm->vcpus[i]->lapic);
    }
    if (ipis + flushes + eois)
        log_debug("%s: by KVM's interface: %lu IPIs, %lu TLB flushes, %lu EOIs", vm->config->name, ipis,
                  flushes, eois);
}
