/* SPDX-License-Identifier: MIT */
/*
 * IPIs that L2 sends without an exit to L1: SDM, 'IPI Virtualization', carried out in software on every CPU.
 * What L2 writes to its ICR makes an exit to Nidus: in x2APIC mode a WRMSR, else one after the CPU has
 * written to the virtual-APIC page.
 */
#include "arch/x86/vmx.h"
#include "vmm/dev/lapic.h"
#include "vmm/mmio_host.h"
#include "vmm/nested/posted.h"
#include "vmm/vm.h"

#define V12(v, field) VMCS(&(v)->nested->vmcs12.image, field)

/* Of the virtual-APIC page */
#define VICR      0x300
#define VICR_HIGH 0x310

/* Of the ICR's low half. All but fixed, physical, edge-triggered and without a shorthand is L1's. */
#define ICR_RESERVED (BITS(31, 20) | BITS(17, 16) | BIT(13))
#define ICR_OTHERS   (ICR_RESERVED | BITS(19, 18) | BIT(15) | BITS(12, 8))

/* An entry of the PID-pointer table: its low bits */
#define PID_FLAGS 0x3full
#define PID_VALID BIT(0)

static void notify(struct vcpu *v, u64 word)
{
    u32 to = POSTED_NDST(word);

    /* The format is that of the APIC that sends it. */
    lapic_send(v->lapic, POSTED_NV(word), lapic_base_read(v->lapic) & LAPIC_BASE_EXTD ? to : (u8)(to >> 8));
}

static void post(struct vcpu *v, gpa_t pid, u32 vector)
{
    gpa_t at = pid + POSTED_NOTIFY;
    u64 word;

    nested_exchange(v, pid + vector / 64 * 8, 8, ~0ull, BIT(vector % 64));
    for (u32 i = 0; i < POSTED_TRIES; i++) {
        if (guest_read(v->vm, at, &word, sizeof(word)) || word & (POSTED_ON | POSTED_SN))
            return;
        if (guest_update(v->vm, at, sizeof(word), word, word | POSTED_ON) == OK) {
            notify(v, word);
            return;
        }
    }
}

/* false: L1 is to do it. */
static bool send(struct vcpu *v, u32 icr, u32 to)
{
    const u64 wrong = ~(BIT(v->cpuid->maxphyaddr) - 1) | PID_FLAGS;
    u64 pid;

    if (icr & ICR_OTHERS || (u8)icr < 16 || to > V12(v, LAST_PID_POINTER_INDEX) ||
        guest_read(v->vm, V12(v, PID_POINTER_TABLE) + 8ull * to, &pid, sizeof(pid)) ||
        (pid & wrong) != PID_VALID)
        return false;
    post(v, pid & ~PID_FLAGS, (u8)icr);
    return true;
}

bool nested_virtualizes_ipis(struct vcpu *v)
{
    return V12(v, PRIMARY_CONTROLS) & PROC_ACTIVATE_TERTIARY &&
           V12(v, TERTIARY_CONTROLS) & PROC3_IPI_VIRTUALIZATION;
}

bool nested_ipi_written(struct vcpu *v)
{
    gpa_t apic = V12(v, VIRTUAL_APIC_ADDRESS);
    u32 icr, high;

    return nested_virtualizes_ipis(v) && vmread(EXIT_QUALIFICATION) == VICR &&
           !guest_read(v->vm, apic + VICR, &icr, sizeof(icr)) &&
           !guest_read(v->vm, apic + VICR_HIGH, &high, sizeof(high)) && send(v, icr, high >> 24);
}

static void exit_behind_write(struct vcpu *v)
{
    v->nested->due = (struct nested_exit_info){.reason = EXIT_REASON_APIC_WRITE, .qualification = VICR};
    v->nested->is_due = true;
    __atomic_fetch_or(&v->requests, REQ_KICK, __ATOMIC_RELAXED);
}

bool nested_ipi_msr(struct vcpu *v)
{
    u32 icr = (u32)v->gpr[REG_RAX], to = (u32)v->gpr[REG_RDX];
    u64 value = (u64)to << 32 | icr;

    if (!nested_virtualizes_ipis(v) || !(V12(v, PRIMARY_CONTROLS) & PROC_ACTIVATE_SECONDARY) ||
        !(V12(v, SECONDARY_CONTROLS) & PROC2_VIRTUALIZE_X2APIC))
        return false;
    if (icr & ICR_RESERVED) {
        vcpu_inject_exception_error(v, VEC_GP, 0);
        return true;
    }
    guest_write(v->vm, V12(v, VIRTUAL_APIC_ADDRESS) + VICR, &value, sizeof(value));
    vcpu_skip_instruction(v);
    if (!send(v, icr, to))
        exit_behind_write(v);
    return true;
}
