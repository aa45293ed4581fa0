/* SPDX-License-Identifier: MIT */
/* links: vmm/dev/lapic.c vmm/dev/lapic_ipi.c vmm/dev/lapic_regs.c vmm/dev/lapic_timer.c vmm/bus.c */
/* links: tests/unit/fake_host.c tests/unit/lapic_test.c */
/* The descriptor to which others post, and the page of registers that a CPU can use. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "tests/unit/lapic_test.h"
#include "vmm/dev/lapic_state.h"

static u32 tmr(u32 word)
{
    return *lapic_reg(l, REG_TMR + word);
}

static u32 irr(u32 word)
{
    return *lapic_reg(l, REG_IRR + word);
}

static void test_on(void **state)
{
    (void)state;
    lapic_post(l, 0x31, false);
    assert_true(pi_is_on(&l->pid));
    assert_int_equal(l->pid.pir[0], BIT(0x31));
    assert_int_equal(irr(1), 0);
    lapic_post(l, 0x31, false); /* merges */
    lapic_post(l, 0xf1, false);
    assert_int_equal(vm->vcpu[0].notified, 1);
    assert_int_equal(pending(0), 0xf1); /* a look takes them */
    assert_false(pi_is_on(&l->pid));
    assert_int_equal(l->pid.pir[0] | l->pid.pir[3], 0);
    assert_int_equal(irr(1), 1u << 0x11);
    assert_int_equal(irr(7), 1u << 0x11);
    lapic_post(l, 0x31, false);
    assert_int_equal(vm->vcpu[0].notified, 2);
    assert_int_equal(vm->vcpu[0].kicks, 0);
    lapic_take_posted(l);
    assert_int_equal(irr(1), 1u << 0x11);
    lapic_ack(l, 0xf1);
    assert_int_equal(irr(7), 0);
}

/* While SN is set nobody is notified, and the owner looks without ON. */
static void test_suppressed(void **state)
{
    (void)state;
    l->pid.flags = PID_SN;
    lapic_post(l, 0x31, false);
    assert_false(pi_is_on(&l->pid));
    assert_int_equal(vm->vcpu[0].notified, 0);
    lapic_take_posted(l);
    assert_int_equal(l->pid.flags, PID_SN);
    assert_int_equal(irr(1), 1u << 0x11);
}

/* Each vector finds its bit. */
static void test_all_vectors(void **state)
{
    (void)state;
    for (u32 vector = 16; vector < 256; vector++) {
        lapic_post(l, (u8)vector, vector & 1);
        lapic_take_posted(l);
        assert_int_equal(irr(vector / 32) >> vector % 32 & 1, 1);
        assert_int_equal(tmr(vector / 32) >> vector % 32 & 1, vector & 1);
        assert_int_equal(lapic_level_triggered(l, vector / 64) >> vector % 64 & 1, vector & 1);
    }
    assert_int_equal(irr(0), 0xffff0000);
    assert_int_equal(irr(7), 0xffffffff);
    assert_true(lapic_level_triggered(l, 0) == 0xaaaaaaaaaaaa0000);
    assert_true(lapic_level_triggered(l, 3) == 0xaaaaaaaaaaaaaaaa);
}

/* What was posted last counts; those that were not posted keep theirs. */
static void test_trigger_mode(void **state)
{
    (void)state;
    lapic_post(l, 0x41, true);
    lapic_post(l, 0x42, true);
    lapic_take_posted(l);
    assert_int_equal(tmr(2), BIT(1) | BIT(2));
    lapic_post(l, 0x41, true);
    lapic_post(l, 0x41, false);
    lapic_post(l, 0x43, true);
    lapic_take_posted(l);
    assert_int_equal(tmr(2), BIT(2) | BIT(3));
    lapic_post(l, 0x42, false);
    lapic_post(l, 0x42, true);
    lapic_post(l, 0x43, false);
    lapic_take_posted(l);
    assert_int_equal(tmr(2), BIT(2));
    assert_int_equal(tmr(1) | tmr(3), 0);
}

static void test_status(void **state)
{
    (void)state;
    assert_int_equal(lapic_status(l), 0);
    lapic_post(l, 0x31, false);
    assert_int_equal(lapic_status(l), 0); /* not taken yet */
    assert_int_equal(pending(0), 0x31);
    assert_int_equal(lapic_status(l), 0x0031);
    lapic_ack(l, 0x31);
    assert_int_equal(lapic_status(l), 0x3100);
    lapic_post(l, 0xff, false);
    lapic_post(l, 0x32, false);
    assert_int_equal(pending(0), 0xff);
    assert_int_equal(lapic_status(l), 0x31ff);
    lapic_ack(l, 0xff);
    assert_int_equal(lapic_status(l), 0xff32);
    lapic_eoi(l);
    lapic_eoi(l);
    assert_int_equal(lapic_status(l), 0x0032);
}

static bool changed(void)
{
    bool was = l->changed;

    l->changed = false;
    return was;
}

/* From its request to its end, by the CPU. */
static void cpu_serves(u8 vector)
{
    lapic_take_posted(l);
    *lapic_reg(l, REG_IRR + vector / 32) &= ~(1u << vector % 32);
}

/* The CPU learns of all that software does to IRR, ISR and TMR; when it delivers itself. */
static void test_changed(void **state)
{
    (void)state;
    for (u32 by_cpu = 0; by_cpu < 2; by_cpu++) {
        l->by_cpu = by_cpu;
        lapic_post(l, 0x41, true);
        assert_false(changed());
        lapic_take_posted(l);
        assert_int_equal(changed(), by_cpu);
        lapic_take_posted(l); /* nothing */
        assert_false(changed());
        lapic_ack(l, 0x41);
        assert_int_equal(changed(), by_cpu);
        lapic_eoi(l);
        assert_int_equal(changed(), by_cpu);
        lapic_eoi(l);
        assert_false(changed());
        lapic_post(l, 0x42, true);
        cpu_serves(0x42);
        changed();
        lapic_ended_by_cpu(l, 0x42);
        assert_int_equal(changed(), by_cpu);
        lapic_set_tpr(l, 0x20);
        assert_false(changed());
        lapic_reset(l);
        assert_int_equal(changed(), by_cpu);
        set(SVR, 0x1ff);
        assert_int_equal(changed(), by_cpu);
        l->by_cpu = false;
        changed();
    }
}

/* A CPU that runs the guest takes what is in PIR before it has the EOI-exit bitmap for it. */
static void test_level_is_not_in_pir(void **state)
{
    (void)state;
    vm->vcpu[0].kicks = 0;
    lapic_post(l, 0x41, true);
    assert_true(!l->pid.pir[1] && !pi_is_on(&l->pid) && lapic_has_posted(l));
    assert_int_equal(vm->vcpu[0].kicks, 1);
    assert_int_equal(vm->vcpu[0].notified, 0);
    lapic_post(l, 0x52, false);
    lapic_take_posted(l);
    assert_false(lapic_has_posted(l));
    assert_int_equal(tmr(2), BIT(1));
    assert_int_equal(pending(0), 0x52);
}

/* It has put ISR, and what follows from it, right itself. */
static void test_ended_by_cpu(void **state)
{
    (void)state;
    lapic_post(l, 0x41, true);
    cpu_serves(0x41);
    LAPIC_REG(l, ISR) = 0x10; /* of another */
    vm->vcpu[0].kicks = 0;
    lapic_ended_by_cpu(l, 0x41);
    assert_int_equal(level_eois, 1);
    assert_int_equal(last_level_eoi, 0x41);
    assert_int_equal(LAPIC_REG(l, ISR), 0x10);
    assert_int_equal(tmr(2), 0);
    assert_int_equal(vm->vcpu[0].kicks, 1);
    LAPIC_REG(l, ISR) = 0;
    set(SVR, 0x11ff); /* the guest tells the I/O APIC itself */
    lapic_ended_by_cpu(l, 0x41);
    assert_int_equal(level_eois, 1);
}

/* The same vector has been requested again: that one is level-triggered too. */
static void test_ended_while_another_waits(void **state)
{
    (void)state;
    lapic_post(l, 0x41, true);
    cpu_serves(0x41);
    lapic_post(l, 0x41, true);
    lapic_take_posted(l);
    lapic_ended_by_cpu(l, 0x41);
    assert_int_equal(level_eois, 1);
    assert_int_equal(tmr(2), BIT(1));
    cpu_serves(0x41);
    lapic_ended_by_cpu(l, 0x41);
    assert_int_equal(level_eois, 2);
    assert_int_equal(tmr(2), 0);
}

/* The CPU raises one that waits below a priority that has come down; software has to look for that. */
static void test_priority_lowered(void **state)
{
    (void)state;
    vm->vcpu[0].kicks = 0;
    set(TPR, 0x20);
    assert_int_equal(vm->vcpu[0].kicks, 0);
    l->by_cpu = true;
    set(TPR, 0x10);
    assert_int_equal(vm->vcpu[0].kicks, 1);
}

/* 'Virtualizing MSR-Based APIC Accesses'. Not the ICR, since its halves are elsewhere here, nor the current
 * count, which nobody keeps. */
static void test_virtual_msrs(void **state)
{
    static const u8 read[] = {0x02, 0x03, 0x08, 0x0a, 0x0d, 0x0f, 0x28, 0x32,
                              0x33, 0x34, 0x35, 0x36, 0x37, 0x38, 0x3e};

    (void)state;
    for (u32 reg = 0; reg < 0x100; reg++) {
        bool is = reg >= 0x10 && reg < 0x28;

        for (u32 i = 0; i < ARRAY_SIZE(read); i++)
            is |= read[i] == reg;
        assert_int_equal(lapic_is_virtual(0x800 + reg, false), is);
        assert_int_equal(lapic_is_virtual(0x800 + reg, true), reg == 0x08 || reg == 0x0b || reg == 0x3f);
    }
    assert_false(lapic_is_virtual(0x7ff, false) || lapic_is_virtual(0x7ff, true));
    assert_false(lapic_is_virtual(0x900, false) || lapic_is_virtual(0x1808, false));
}

/* What RDMSR would give is in the page, in 8 bytes. PPR the CPU keeps itself. */
static void test_page_is_what_is_read(void **state)
{
    const u8 *page = vm->vcpu[0].apic_pages + PAGE_SIZE;

    (void)state;
    to_x2(0);
    for (u32 offset = LVT; offset <= LVT_ERR; offset += 0x10)
        assert_int_equal(msr_set(offset, 0x100c0 + offset / 0x10), 0);
    assert_int_equal(msr_set(INITIAL, 12345), 0);
    assert_int_equal(msr_set(DIVIDE, 0xb), 0);
    assert_int_equal(msr_set(TPR, 0x23), 0);
    assert_int_equal(msr_set(ICR, 0x500004051ull), 0);
    lapic_error(l, ESR_SEND_VECTOR);
    assert_int_equal(msr_set(ESR, 0), 0);
    for (u32 vector = 0x10; vector < 0x100; vector += 0x1b)
        lapic_post(l, (u8)vector, vector & 1);
    lapic_ack(l, (u8)pending(0));
    for (u32 reg = 0; reg < LAPIC_NR_REGS; reg++) {
        if (reg != REG_PPR && lapic_is_virtual(0x800 + reg, false))
            assert_true(*(const u64 *)(page + 16 * reg) == msr(16 * reg));
    }
    assert_true(msr(DIVIDE) == 0xb && msr(INITIAL) == 12345 && msr(ESR) && msr(LVT));
}

/* --- APIC-write exits --- */

/* As the CPU does it: the page, then the exit. */
static void written(u32 offset, u32 value)
{
    *lapic_reg(l, offset / 16) = value;
    lapic_written(l, offset);
}

/* Whatever the guest writes, what it reads and what happens is as without APICv. */
static void test_written(void **state)
{
    static const u32 offsets[] = {ID,         LDR,   DFR,   SVR,     ESR,     ICR_HIGH, LVT,
                                  LVT + 0x10, LINT0, LINT1, LVT_ERR, INITIAL, DIVIDE};
    static const u32 values[] = {0, ~0u, 0x1ff, 0x12345678, 0x000200c0, 0x2000000};

    (void)state;
    for (u32 i = 0; i < ARRAY_SIZE(offsets); i++) {
        for (u32 k = 0; k < ARRAY_SIZE(values); k++) {
            struct lapic *other = vm->vcpu[1].lapic;

            lapic_power_up(l);
            lapic_power_up(other);
            set(SVR, 0x1ff);
            set_of(1, SVR, 0x1ff);
            set(LINT0, 0x10000);
            set(LINT1, 0x10000);
            l->by_cpu = true;
            written(offsets[i], values[k]);
            l->by_cpu = false;
            set_of(1, offsets[i], values[k]);
            for (u32 offset = LDR; offset <= DIVIDE; offset += 0x10)
                assert_int_equal(get(offset), get_of(1, offset));
            assert_int_equal(get(ID), 0);
        }
    }
}

static void test_written_icr(void **state)
{
    (void)state;
    written(ICR_HIGH, 3 << 24);
    written(ICR, 0x4051);
    assert_int_equal(pending(3), 0x51);
    written(ICR, 0x44041);
    assert_int_equal(pending(0), 0x41);
}

/* The CPU leaves those to software that it would have to refuse. */
static void test_written_self_ipi(void **state)
{
    (void)state;
    to_x2(0);
    written(0x3f0, 0x0f);
    assert_int_equal(pending(0), -1);
    assert_int_equal(msr_set(ESR, 0), 0);
    assert_int_equal(msr(ESR), ESR_SEND_VECTOR);
    written(0x3f0, 0x41);
    assert_int_equal(pending(0), 0x41);
}

/* No offset leads out of the registers. */
static void test_written_elsewhere(void **state)
{
    (void)state;
    for (u32 offset = 0x400; offset < PAGE_SIZE; offset += 0x10)
        lapic_written(l, offset);
    assert_int_equal(pending(0), -1);
    assert_int_equal(get(SVR), 0x1ff);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, lapic_setup, lapic_teardown)
    const struct CMUnitTest tests[] = {
        T(test_on),
        T(test_suppressed),
        T(test_all_vectors),
        T(test_trigger_mode),
        T(test_status),
        T(test_changed),
        T(test_level_is_not_in_pir),
        T(test_ended_by_cpu),
        T(test_ended_while_another_waits),
        T(test_priority_lowered),
        T(test_virtual_msrs),
        T(test_page_is_what_is_read),
        T(test_written),
        T(test_written_icr),
        T(test_written_self_ipi),
        T(test_written_elsewhere),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
