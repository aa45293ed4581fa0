/* SPDX-License-Identifier: MIT */
/* KVM's steal time: what a vCPU has waited for a CPU, and whether it has one. Nothing in it is trusted. */
#include "arch/x86/time.h"
#include "vmm/mmio_host.h"
#include "vmm/msr_table.h"
#include "vmm/pv/kvm.h"

#define NS_PER_S 1000000000ull

/* 64 bytes, aligned so. */
struct steal_time {
    u64 ns;
    u32 version; /* odd: ns is being written */
    u32 flags;
    u32 preempted; /* a byte, and three that nobody uses */
    u32 pad[11];
};

/* Of preempted. Who sees the first may set the second, and leaves it to Nidus to flush the vCPU's TLB. */
#define PREEMPTED 1u
#define FLUSH_TLB 2u

#define AT(v, member) (((v)->msrs.kvm_steal & ~(u64)KVM_ENABLED) + offsetof(struct steal_time, member))

static void write_word(struct vcpu *v, gpa_t gpa, u32 value)
{
    guest_write(v->vm, gpa, &value, sizeof(value));
}

static void show(struct vcpu *v)
{
    struct pv_kvm *k = &v->pv.kvm;
    u64 ns = mul_div(v->waited, NS_PER_S, tsc_hz);

    if (k->shown == v->waited)
        return;
    k->shown = v->waited;
    write_word(v, AT(v, version), ++k->version);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    guest_write(v->vm, AT(v, ns), &ns, sizeof(ns));
    __atomic_thread_fence(__ATOMIC_RELEASE);
    write_word(v, AT(v, version), ++k->version);
}

int msr_kvm_steal_write(struct vcpu *v, const struct msr_row *row, u32 msr, u64 value)
{
    (void)row, (void)msr;
    v->msrs.kvm_steal = value;
    if (!(value & KVM_ENABLED))
        return OK;
    write_word(v, AT(v, preempted), 0);
    v->pv.kvm.shown = ~v->waited;
    show(v);
    return OK;
}

void pv_kvm_leaves(struct vcpu *v)
{
    if (likely(!(v->msrs.kvm_steal & KVM_ENABLED)))
        return;
    v->pv.kvm.away = true;
    write_word(v, AT(v, preempted), PREEMPTED);
}

/* The word as it was left; or if somebody else has written there, it is flushed to be sure. */
void pv_kvm_returns(struct vcpu *v)
{
    gpa_t word = AT(v, preempted);

    v->pv.kvm.away = false;
    if (guest_update(v->vm, word, sizeof(u32), PREEMPTED, 0)) {
        if (guest_update(v->vm, word, sizeof(u32), PREEMPTED | FLUSH_TLB, 0))
            write_word(v, word, 0);
        vcpu_flush_own_tlb(v);
        v->pv.kvm.flushes++;
    }
    show(v);
}
