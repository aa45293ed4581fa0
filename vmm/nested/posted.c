/* SPDX-License-Identifier: MIT */
/*
 * Posted interrupts for L2: SDM, 'Posted-Interrupt Processing', carried out in software. The interrupts that
 * the CPU itself gets are Nidus's, and L1's notification is one of a virtual APIC; it still comes without an
 * exit to L1.
 */
#include "vmm/nested/posted.h"
#include "arch/x86/vmx.h"
#include "vmm/dev/lapic.h"
#include "vmm/vm.h"

#define V12(v, field) VMCS(&(v)->nested->vmcs12.image, field)

#define VIRR 0x200   /* of the virtual-APIC page: 32 bits in every 16 bytes */
#define RVI  0xffull /* of the guest interrupt status */

COLD bool nested_reach(struct vcpu *v, const u64 *word)
{
    u64 value;
    bool is_ram;

    user_end();
    is_ram = !guest_read(v->vm, (u64)word - VM_BASE, &value, sizeof(value));
    user_begin();
    return is_ram;
}

/* Word i of PIR, in which something is. The highest vector of it, or NO_VECTOR. */
static NOINLINE int take_word(struct vcpu *v, u32 i)
{
    gpa_t virr = V12(v, VIRTUAL_APIC_ADDRESS) + VIRR + 32 * i;
    u64 posted = 0;

    word_take(v, V12(v, POSTED_INT_DESC_ADDRESS) + 8 * i, &posted);
    if ((u32)posted)
        word_or(v, virr, (u32)posted);
    if (posted >> 32)
        word_or(v, virr + 16, posted >> 32);
    return posted ? (int)(64 * i) + 63 - __builtin_clzll(posted) : NO_VECTOR;
}

HOT void nested_take_posted(struct vcpu *v, int more)
{
    gpa_t pir = V12(v, POSTED_INT_DESC_ADDRESS);
    int highest = more;
    u64 status;

    if (more >= 0)
        word_or(v, V12(v, VIRTUAL_APIC_ADDRESS) + VIRR + 16 * ((u32)more / 32), BIT(more % 32));
    for (u32 i = 0; i < PIR_WORDS; i++) {
        u64 posted;

        if (word_load(v, pir + 8 * i, &posted) && posted) {
            int vector = take_word(v, i);

            highest = MAX(highest, vector);
        }
    }
    status = vmread(GUEST_INTERRUPT_STATUS);
    if (highest > (int)(status & RVI))
        vmwrite(GUEST_INTERRUPT_STATUS, (status & ~RVI) | (u32)highest);
}

bool nested_posted_interrupt(struct vcpu *v, u32 vector)
{
    u64 cr2;

    if (!(V12(v, PIN_BASED_CONTROLS) & PIN_POSTED_INTERRUPTS) || vector != V12(v, POSTED_INT_VECTOR))
        return false;
    cr2 = words_begin();
    word_and(v, V12(v, POSTED_INT_DESC_ADDRESS) + POSTED_NOTIFY, ~PID_ON);
    words_end(cr2);
    lapic_eoi(v->lapic);
    cr2 = words_begin();
    nested_take_posted(v, NO_VECTOR);
    words_end(cr2);
    return true;
}
