/* SPDX-License-Identifier: MIT */
/*
 * What the CPU does when a guest writes to its APIC: SDM, 'IPI Virtualization', 'APIC-Write Emulation' and
 * 'Virtualizing MSR-Based APIC Accesses', and the exits that come of it. After ipiv_vm.h.
 */
#ifndef TESTS_UNIT_IPIV_CPU_H
#define TESTS_UNIT_IPIV_CPU_H

#define MAXPHYADDR 48 /* of pool_pa() in a host program too */

#define ICR_FIXED_EDGE_MASK (BITS(31, 20) | BITS(17, 16) | BIT(13) | BIT(12) | BIT(15) | BITS(10, 8))
#define ICR_SHORTHAND_MASK  BITS(19, 18)
#define ICR_TO_SELF         BIT(18)
#define ICR_LOGICAL_BIT     BIT(11)

static bool exits_are_handled = true;

static inline bool is_on(u32 word, u64 control)
{
    return vmcs[word] & control;
}

static inline bool ipis_are_virtual(void)
{
    return is_on(PRIMARY_CONTROLS, PROC_ACTIVATE_TERTIARY) &&
           is_on(TERTIARY_CONTROLS, PROC3_IPI_VIRTUALIZATION);
}

/* 'Checks on VMX Controls', those of these controls. */
static inline void check_entry(void)
{
    u64 last = vmcs[PID_POINTER_TABLE] + 8 * vmcs[LAST_PID_POINTER_INDEX];

    if (is_on(SECONDARY_CONTROLS, PROC2_VIRTUALIZE_X2APIC | PROC2_APIC_REGISTER_VIRTUALIZATION |
                                      PROC2_VIRTUAL_INTERRUPT_DELIVERY) ||
        ipis_are_virtual())
        assert_true(is_on(PRIMARY_CONTROLS, PROC_USE_TPR_SHADOW));
    assert_false(is_on(SECONDARY_CONTROLS, PROC2_VIRTUALIZE_X2APIC) &&
                 is_on(SECONDARY_CONTROLS, PROC2_VIRTUALIZE_APIC_ACCESSES));
    if (is_on(PIN_BASED_CONTROLS, PIN_POSTED_INTERRUPTS)) {
        assert_true(is_on(SECONDARY_CONTROLS, PROC2_VIRTUAL_INTERRUPT_DELIVERY));
        assert_int_equal(vmcs[POSTED_INT_DESC_ADDRESS] % 64, 0);
    }
    if (!ipis_are_virtual())
        return;
    assert_int_equal(vmcs[PID_POINTER_TABLE] % 8, 0);
    assert_int_equal(vmcs[PID_POINTER_TABLE] >> MAXPHYADDR | last >> MAXPHYADDR, 0);
}

static inline u8 *vapic(void)
{
    return pool_va(vmcs[VIRTUAL_APIC_ADDRESS]);
}

static inline u32 page_read(u32 offset)
{
    u32 value;

    memcpy(&value, vapic() + offset, 4);
    return value;
}

static inline void page_write(u32 offset, u32 value)
{
    memcpy(vapic() + offset, &value, 4);
}

/* False: an APIC-write exit. */
static inline bool virtualize_ipi(u8 vector, u32 id)
{
    u64 entry, info;
    u8 *pid;

    if (vector < 16 || id > vmcs[LAST_PID_POINTER_INDEX])
        return false;
    memcpy(&entry, (u8 *)pool_va(vmcs[PID_POINTER_TABLE]) + 8 * (u64)id, 8);
    if (entry >> MAXPHYADDR || (entry & 0x3f) != 1)
        return false;
    pid = pool_va(entry - 1);
    pid[vector / 8] |= 1u << vector % 8;
    memcpy(&info, pid + 32, 8);
    posted_by_cpu++;
    if (info & 3) /* ON, SN */
        return true;
    pid[32] |= 1;
    apic_send_ipi(host_is_x2 ? (u32)(info >> 32) : (u32)(info >> 40 & 0xff), info >> 16 & 0xff);
    return true;
}

static inline void virtualize_self_ipi(u8 vector)
{
    u32 at = 0x200 + vector / 32 * 16;

    page_write(at, page_read(at) | 1u << vector % 32);
    if ((vmcs[GUEST_INTERRUPT_STATUS] & 0xff) < vector)
        vmcs[GUEST_INTERRUPT_STATUS] = (vmcs[GUEST_INTERRUPT_STATUS] & 0xff00) | vector;
}

static inline bool is_virtual_ipi(u32 icr)
{
    return ipis_are_virtual() && !(icr & (ICR_FIXED_EDGE_MASK | ICR_SHORTHAND_MASK | ICR_LOGICAL_BIT));
}

static inline bool is_virtual_self_ipi(u32 icr)
{
    return !(icr & ICR_FIXED_EDGE_MASK) && (icr & ICR_SHORTHAND_MASK) == ICR_TO_SELF && (icr & 0xf0);
}

static inline void apic_write_exit(struct vcpu *v, u32 offset)
{
    exits++;
    vmcs[EXIT_REASON] = EXIT_REASON_APIC_WRITE;
    vmcs[EXIT_QUALIFICATION] = offset;
    if (exits_are_handled)
        exit_apic_write(v);
}

/* As the handler in exit.c does it. */
static inline void wrmsr_exit(struct vcpu *v, u32 msr, u64 value)
{
    struct vcpu *notify = NULL;

    exits++;
    if (msr == MSR_IA32_X2APIC_ICR && lapic_icr_quickly(v->lapic, (u32)value, value >> 32, &notify)) {
        if (notify)
            vcpu_notify_quickly(notify);
    } else if (lapic_msr_write(v, msr, value)) {
        faults++;
    }
}

/* WRMSR of an x2APIC MSR other than TPR, EOI and SELF IPI. */
static inline void guest_wrmsr(struct vcpu *v, u32 msr, u64 value)
{
    const u8 *bitmap = pool_va(vmcs[MSR_BITMAPS]);

    check_entry();
    if (bitmap[2048 + msr / 8] >> msr % 8 & 1) {
        wrmsr_exit(v, msr, value);
        return;
    }
    if (msr != MSR_IA32_X2APIC_ICR || !is_on(SECONDARY_CONTROLS, PROC2_VIRTUALIZE_X2APIC) ||
        !ipis_are_virtual())
        fail_msg("MSR 0x%x of the physical APIC is written", msr);
    if (value & (BITS(31, 20) | BITS(17, 16) | BIT(13))) {
        faults++;
        return;
    }
    memcpy(vapic() + 0x300, &value, 8);
    if (!is_virtual_ipi((u32)value) || !virtualize_ipi((u8)value, value >> 32))
        apic_write_exit(v, 0x300);
}

/* MOV to a register where IA32_APIC_BASE says: to RAM's APIC-access page, or nowhere. */
static inline void guest_store(struct vcpu *v, u32 offset, u32 value)
{
    u64 page = v->lapic->base & ~(PAGE_SIZE - 1);

    check_entry();
    if (page != LAPIC_BASE || !vm.access_page_used ||
        !is_on(SECONDARY_CONTROLS, PROC2_VIRTUALIZE_APIC_ACCESSES) ||
        !is_on(SECONDARY_CONTROLS, PROC2_APIC_REGISTER_VIRTUALIZATION)) {
        exits++;
        bus_write(&v->mmio, page + offset, 4, value);
        return;
    }
    page_write(offset, value);
    if (offset == 0x300 && is_virtual_self_ipi(value))
        virtualize_self_ipi((u8)value);
    else if (offset != 0x300 || !is_virtual_ipi(value) || !virtualize_ipi((u8)value, page_read(0x310) >> 24))
        apic_write_exit(v, offset);
}

/* By way of the APIC's mode. The high half of ICR: in x2APIC mode with it, else first. */
static inline void apic_write(struct vcpu *v, u32 offset, u64 value)
{
    enter(v);
    if (lapic_is_x2(v->lapic)) {
        guest_wrmsr(v, 0x800 + offset / 16, value);
        return;
    }
    if (offset == 0x300) {
        guest_store(v, 0x310, (u32)(value >> 32) << 24);
        exits = 0; /* that of the other half is no matter */
    }
    guest_store(v, offset, (u32)value);
}

#endif
