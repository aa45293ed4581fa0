/* SPDX-License-Identifier: MIT */
/*
 * Posted interrupts for L2: SDM, 'Posted-Interrupt Processing', carried out in software. The interrupts that
 * the CPU itself gets are Nidus's, and L1's notification is one of a virtual APIC; it still comes without an
 * exit to L1. The descriptor is in L1's memory and changes at any time.
 */
#include "arch/x86/asm.h"
#include "arch/x86/vmx.h"
#include "vmm/dev/lapic.h"
#include "vmm/mmio_host.h"
#include "vmm/nested/posted.h"
#include "vmm/vm.h"

#define V12(v, field) VMCS(&(v)->nested->vmcs12.image, field)

#define PIR_WORDS 4

#define VIRR      0x200   /* of the virtual-APIC page: 32 bits in every 16 bytes */
#define RVI       0xffull /* of the guest interrupt status */
#define NO_VECTOR (-1)

u64 nested_exchange(struct vcpu *v, gpa_t at, u32 size, u64 keep, u64 set)
{
    for (u32 i = 0; i < POSTED_TRIES; i++) {
        u64 old = 0, new;

        if (guest_read(v->vm, at, &old, size))
            return 0;
        new = (old & keep) | set;
        if (new == old || guest_update(v->vm, at, size, old, new) == OK)
            return old;
    }
    return 0;
}

/* PIR goes to VIRR. The highest vector that was in it, or NO_VECTOR. */
static int move_requests(struct vcpu *v)
{
    gpa_t pir = V12(v, POSTED_INT_DESC_ADDRESS), virr = V12(v, VIRTUAL_APIC_ADDRESS) + VIRR;
    int highest = NO_VECTOR;

    for (u32 i = 0; i < PIR_WORDS; i++) {
        u64 posted = nested_exchange(v, pir + 8 * i, 8, 0, 0);

        if (posted)
            highest = (int)(64 * i) + 63 - __builtin_clzll(posted);
        for (u32 half = 0; half < 2; half++, posted >>= 32)
            if ((u32)posted)
                nested_exchange(v, virr + 16 * (2 * i + half), 4, ~0ull, (u32)posted);
    }
    return highest;
}

bool nested_posted_interrupt(struct vcpu *v, u32 vector)
{
    u64 status;
    int highest;

    if (!(V12(v, PIN_BASED_CONTROLS) & PIN_POSTED_INTERRUPTS) || vector != V12(v, POSTED_INT_VECTOR))
        return false;
    nested_exchange(v, V12(v, POSTED_INT_DESC_ADDRESS) + POSTED_NOTIFY, 8, ~POSTED_ON, 0);
    lapic_eoi(v->lapic);
    highest = move_requests(v);
    status = vmread(GUEST_INTERRUPT_STATUS);
    if (highest > (int)(status & RVI))
        vmwrite(GUEST_INTERRUPT_STATUS, (status & ~RVI) | (u32)highest);
    return true;
}
