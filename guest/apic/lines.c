/* SPDX-License-Identifier: MIT */
/* The I/O APIC: edge and level, remote IRR and EOI, destinations and delivery modes of its entries. */
#include "guest/apic/ioapic.h"
#include "guest/apic/tests.h"

#define VECTOR           0x51
#define VERSION_SUPPRESS BIT(24)
#define SVR_SUPPRESS     0x1000u

static bool remote_irr(void)
{
    return ioapic_read(PIN_PIT) & ENTRY_REMOTE_IRR;
}

static void pulse(void)
{
    line_down();
    line_up();
}

/* In x2APIC mode the same 8 bits: those of cluster 0. */
static u64 logical_entry(u64 low, u64 *reached)
{
    return (u64)logical_destination(all_cpus() & 0xff, reached) << 56 | ICR_LOGICAL | low;
}

static void test_edge(void)
{
    for (u32 i = 0; i < nr_cpus; i++) {
        ioapic_write(PIN_PIT, entry_to(i, VECTOR));
        for (u32 n = 0; n < 5; n++) {
            pulse();
            expect_taken(BIT(i), VECTOR, "an edge");
            expect(!remote_irr(), "remote IRR of an edge");
        }
    }
}

static void test_edge_masked(void)
{
    ioapic_write(PIN_PIT, entry_to(0, ENTRY_MASKED | VECTOR));
    pulse();
    ioapic_write(PIN_PIT, entry_to(0, VECTOR));
    expect_taken(0, VECTOR, "an edge while masked");
    pulse();
    expect_set(APIC_IRR, "edge", VECTOR);
    expect_set(APIC_TMR, "edge");
    expect_taken(1, VECTOR, "the next edge");
}

static void test_logical(void)
{
    u64 reached, entry = logical_entry(VECTOR, &reached);

    ioapic_write(PIN_PIT, entry);
    pulse();
    expect_taken(reached, VECTOR, "logical");
    ioapic_write(PIN_PIT, (u64)0xff << 56 | VECTOR);
    pulse();
    expect_taken(all_cpus(), VECTOR, "broadcast");
}

static void test_lowest(void)
{
    u64 reached, entry = logical_entry(ICR_LOWEST | VECTOR, &reached);
    u32 n = 0;

    ioapic_write(PIN_PIT, entry);
    for (u32 i = 1; i <= 10; i++) {
        pulse();
        settle();
        n = 0;
        for (u32 cpu = 0; cpu < nr_cpus; cpu++)
            n += taken(cpu, VECTOR);
        expect_equal(n, i, "interrupts in all");
    }
}

static void test_nmi(void)
{
    for (u32 i = 0; i < nr_cpus; i++) {
        ioapic_write(PIN_PIT, entry_to(i, ICR_NMI | ENTRY_LEVEL | VECTOR));
        line_down();
        clear_logs();
        line_up();
        expect_nmis(BIT(i), "NMI");
        expect(!remote_irr(), "remote IRR of an NMI");
    }
}

/* --- level --- */

static u32 nr_left; /* after so many interrupts the handler lowers the line */

static void lower_in_time(u32 vector)
{
    if (vector != VECTOR)
        return;
    expect_equal(reg_bit(APIC_TMR, VECTOR), 1, "TMR of a level-triggered interrupt");
    expect_equal(reg_bit(APIC_ISR, VECTOR), 1, "ISR in the handler");
    expect(remote_irr(), "no remote IRR in the handler");
    if (!--nr_left)
        line_down();
}

/* As long as the line is high an EOI asks for the next. */
static void test_level(void)
{
    for (u32 i = 0; i < nr_cpus; i++) {
        in_handler = lower_in_time;
        nr_left = 5;
        ioapic_write(PIN_PIT, entry_to(i, ENTRY_LEVEL | VECTOR));
        line_up();
        expect(wait_for(&logs[i].n, i ? 5 : 0, WAIT_TICKS), "%u interrupts", logs[i].n);
        settle();
        expect_equal(logs[i].n, 5, "interrupts");
        expect(!remote_irr(), "remote IRR in the end");
        in_handler = NULL;
        logs[i].n = 0;
        expect_taken(0, VECTOR, "with the line low");
    }
}

/* The line goes while its interrupt waits: that is taken all the same. */
static void test_level_withdrawn(void)
{
    ioapic_write(PIN_PIT, entry_to(0, ENTRY_LEVEL | VECTOR));
    reg_write(APIC_TPR, 0x60);
    line_up();
    open_briefly(0);
    expect_log(0, "below TPR");
    expect_set(APIC_IRR, "below TPR", VECTOR);
    expect_set(APIC_TMR, "below TPR", VECTOR);
    expect(remote_irr(), "no remote IRR");
    line_down();
    expect_set(APIC_IRR, "with the line low", VECTOR);
    reg_write(APIC_TPR, 0);
    open_until(1);
    expect_log(0, "in the end", VECTOR);
    expect(!remote_irr(), "remote IRR in the end");
}

static void mask_in_handler(u32 vector)
{
    (void)vector;
    ioapic_write(PIN_PIT, ioapic_read(PIN_PIT) | ENTRY_MASKED);
}

/* Masked in the handler, with the line still high; unmasked it comes again. */
static void test_level_masked(void)
{
    in_handler = mask_in_handler;
    ioapic_write(PIN_PIT, entry_to(0, ENTRY_LEVEL | VECTOR));
    line_up();
    open_until(1);
    expect_log(0, "masked", VECTOR);
    expect(!remote_irr(), "remote IRR behind EOI");
    for (u32 i = 2; i < 6; i++) {
        ioapic_write(PIN_PIT, entry_to(0, ENTRY_LEVEL | VECTOR));
        open_until(i);
        expect_equal(logs[0].n, i, "interrupts");
    }
    line_down();
    ioapic_write(PIN_PIT, entry_to(0, ENTRY_LEVEL | VECTOR));
    open_briefly(0);
    expect_equal(logs[0].n, 5, "interrupts in the end");
}

/* The same vector comes as an edge, then by level, then as an edge: TMR follows, and so does the EOI. */
static void test_both(void)
{
    for (u32 i = 0; i < 3; i++) {
        self_ipi(VECTOR);
        expect_set(APIC_TMR, "IPI");
        expect_taken(1, VECTOR, "IPI");
        in_handler = lower_in_time;
        nr_left = 2;
        ioapic_write(PIN_PIT, entry_to(0, ENTRY_LEVEL | VECTOR));
        line_up();
        expect_set(APIC_TMR, "level", VECTOR);
        open_until(2);
        expect_log(0, "level", VECTOR, VECTOR);
        ioapic_write(PIN_PIT, entry_to(0, ENTRY_MASKED | VECTOR));
        in_handler = NULL;
        clear_logs();
    }
}

static void suppress(bool on)
{
    reg_write(APIC_SVR, 0x1ff | (on ? SVR_SUPPRESS : 0));
}

/* EOIs that the I/O APIC does not hear of; its own register ends the interrupt. */
static void test_suppressed(void)
{
    if (!(reg_read(APIC_VERSION) & VERSION_SUPPRESS)) {
        test_skip("EOI broadcasts cannot be suppressed");
        return;
    }
    suppress(true);
    ioapic_write(PIN_PIT, entry_to(0, ENTRY_LEVEL | VECTOR));
    line_up();
    open_until(1);
    expect_log(0, "one", VECTOR);
    expect(remote_irr(), "no remote IRR behind EOI");
    ioapic_end(VECTOR);
    open_until(2);
    expect_log(0, "with the I/O APIC's EOI", VECTOR, VECTOR);
    line_down();
    ioapic_end(VECTOR);
    expect(!remote_irr(), "remote IRR in the end");
    suppress(false);
}

/* An entry made edge-triggered forgets what it waits for. */
static void test_remote_irr_cleared(void)
{
    ioapic_write(PIN_PIT, entry_to(0, ENTRY_LEVEL | VECTOR));
    line_up();
    expect(remote_irr(), "no remote IRR");
    line_down();
    ioapic_write(PIN_PIT, entry_to(0, ENTRY_MASKED | VECTOR));
    ioapic_write(PIN_PIT, entry_to(0, ENTRY_LEVEL | ENTRY_MASKED | VECTOR));
    expect(!remote_irr(), "remote IRR");
    open_until(1);
    expect_log(0, "what was on its way", VECTOR);
}

/* Handlers of higher priority come between interrupt and EOI. */
static void nest(u32 vector)
{
    if (vector == VECTOR) {
        self_ipi(VECTOR + 0x20);
        open_briefly(0);
        expect(remote_irr(), "no remote IRR behind another one's EOI");
    }
    lower_in_time(vector);
}

static void test_level_nested(void)
{
    in_handler = nest;
    nr_left = 3;
    ioapic_write(PIN_PIT, entry_to(0, ENTRY_LEVEL | VECTOR));
    line_up();
    open_until(6);
    expect_log(0, "all", VECTOR, VECTOR + 0x20, VECTOR, VECTOR + 0x20, VECTOR, VECTOR + 0x20);
    expect(!remote_irr(), "remote IRR in the end");
}

const struct test line_tests[] = {
    {"line-edge", test_edge},
    {"line-edge-masked", test_edge_masked},
    {"line-logical", test_logical},
    {"line-lowest", test_lowest},
    {"line-nmi", test_nmi},
    {"line-level", test_level},
    {"line-level-withdrawn", test_level_withdrawn},
    {"line-level-masked", test_level_masked},
    {"line-level-and-ipi", test_both},
    {"line-level-nested", test_level_nested},
    {"line-eoi-suppressed", test_suppressed},
    {"line-remote-irr-cleared", test_remote_irr_cleared},
    {NULL, NULL},
};
