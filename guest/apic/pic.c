/* SPDX-License-Identifier: MIT */
/* The PIC's interrupts beside the APIC's: by LINT0, by the I/O APIC, by neither. */
#include "guest/apic/ioapic.h"
#include "guest/apic/tests.h"
#include "guest/common/legacy.h"

#define VECTOR     0x51
#define NR_TICKS   20
#define PIC1       0x20
#define OCW3_IRR   0x0a
#define PIC_VECTOR (IRQ_BASE + IRQ_TIMER)

static u32 ticks;

static void on_pic(struct trap_frame *f)
{
    (void)f;
    ticks++;
    if (apic_mode() != APIC_OFF)
        expect_equal(reg_bit(APIC_ISR, PIC_VECTOR), 0, "ISR for an ExtINT");
    pic_eoi();
}

static void on_pic_spurious(struct trap_frame *f)
{
    (void)f;
    test_fail("a spurious interrupt of the PIC");
}

static void begin(u32 lint0)
{
    trap_set_handler(PIC_VECTOR, on_pic);
    trap_set_handler(IRQ_BASE + 7, on_pic_spurious);
    ticks = 0;
    reg_write(APIC_LVT_LINT0, lint0);
    pic_unmask(IRQ_TIMER);
}

static bool pic_requests(void)
{
    outb(PIC1, OCW3_IRR);
    return inb(PIC1) & 1;
}

static void pulse(void)
{
    line_down();
    line_up();
}

/* One way for the PIT's edges after another. */
enum route { BY_LINT0, BY_IOAPIC, BY_IOAPIC_EXTINT, BY_NONE, NR_ROUTES };

static void set_route(enum route route)
{
    pic_mask_all();
    reg_write(APIC_LVT_LINT0, route == BY_LINT0 ? LVT_EXTINT : LVT_MASKED);
    ioapic_write(PIN_PIT, route == BY_IOAPIC ? entry_to(0, VECTOR) : ENTRY_MASKED);
    ioapic_write(PIN_INTR, route == BY_IOAPIC_EXTINT ? entry_to(0, ENTRY_EXTINT) : ENTRY_MASKED);
    if (route == BY_LINT0 || route == BY_IOAPIC_EXTINT)
        pic_unmask(IRQ_TIMER);
}

static void test_lint0(void)
{
    begin(LVT_EXTINT);
    for (u32 i = 1; i <= NR_TICKS; i++) {
        pulse();
        expect(pic_requests(), "not requested");
        open_briefly(0);
        expect_equal(ticks, i, "ticks");
    }
    expect_log(0, "the APIC's");
}

/* What TPR holds back are the APIC's alone. */
static void test_and_ipis(void)
{
    begin(LVT_EXTINT);
    for (u32 i = 1; i <= NR_TICKS; i++) {
        self_ipi(VECTOR);
        self_ipi(VECTOR + 0x20);
        write_cr8(6);
        pulse();
        open_briefly(0);
        expect_equal(ticks, i, "ticks");
        expect_equal(logs[0].n, 2 * i - 1, "IPIs above TPR");
        write_cr8(0);
        open_until(2 * i);
        expect_equal(logs[0].n, 2 * i, "IPIs");
        expect_equal(ticks, i, "ticks behind the IPIs");
    }
}

static void test_masked(void)
{
    begin(LVT_MASKED | LVT_EXTINT);
    pulse();
    open_briefly(0);
    expect_equal(ticks, 0, "ticks while LINT0 is masked");
    expect(pic_requests(), "not requested");
    reg_write(APIC_LVT_LINT0, LVT_EXTINT);
    open_briefly(0);
    expect_equal(ticks, 1, "ticks");
}

/* An entry that is not ExtINT sees the PIC's output rise. */
static void test_fixed(void)
{
    begin(VECTOR);
    pulse();
    expect_taken(1, VECTOR, "LINT0 as a fixed interrupt");
    expect_equal(ticks, 0, "ticks");
    reg_write(APIC_LVT_LINT0, LVT_MASKED);
    outb(PIC1, 0x0c); /* poll: acknowledges */
    inb(PIC1);
    pic_eoi();
    reg_write(APIC_LVT_LINT0, LVT_NMI);
    pulse();
    expect_nmis(1, "LINT0 as NMI");
}

static void test_routes(void)
{
    u32 by_pic = 0, by_apic = 0;

    begin(LVT_MASKED);
    for (u32 i = 0; i < 40; i++) {
        enum route route = (enum route)(cpu_random() % NR_ROUTES);

        line_down();
        set_route(route);
        line_up();
        open_briefly(0);
        by_pic += route == BY_LINT0 || route == BY_IOAPIC_EXTINT;
        by_apic += route == BY_IOAPIC;
        expect(ticks == by_pic && logs[0].n == by_apic,
               "route %u: %u by the PIC, not %u; %u by the APIC, not %u", route, ticks, by_pic, logs[0].n,
               by_apic);
    }
}

/* Halted, with both: whichever comes wakes, neither is lost. */
static void test_halted(void)
{
    begin(LVT_EXTINT);
    reg_write(APIC_TIMER_DIVIDE, 0xb);
    reg_write(APIC_LVT_TIMER, VECTOR);
    for (u32 i = 1; i <= NR_TICKS; i++) {
        pit_one_shot((u16)(1 + cpu_random() % 500));
        reg_write(APIC_TIMER_INITIAL, 1 + (u32)(cpu_random() % 20000));
        while (ticks < i || logs[0].n < i)
            idle_halt();
    }
    expect_equal(ticks, NR_TICKS, "ticks");
    expect_equal(logs[0].n, NR_TICKS, "timer interrupts");
}

/* A disabled APIC is no longer in the way. */
static void test_apic_off(void)
{
    u64 base = rdmsr(MSR_APIC_BASE);

    if (!under_hypervisor()) {
        test_skip("the lab's own CPU cannot enable an APIC again");
        return;
    }
    begin(LVT_MASKED);
    wrmsr(MSR_APIC_BASE, base & ~(APIC_BASE_ENABLE | APIC_BASE_X2));
    for (u32 i = 0; i < 5; i++) {
        pulse();
        irq_enable();
        wait_for(&ticks, i + 1, WAIT_TICKS);
        irq_disable();
    }
    wrmsr(MSR_APIC_BASE, (base & ~APIC_BASE_X2) | APIC_BASE_ENABLE);
    set_model(0);
    expect_equal(ticks, 5, "ticks with the APIC disabled");
}

const struct test pic_tests[] = {
    {"pic-lint0", test_lint0},       {"pic-and-ipis", test_and_ipis},
    {"pic-masked", test_masked},     {"pic-fixed", test_fixed},
    {"pic-routes", test_routes},     {"pic-halted", test_halted},
    {"pic-apic-off", test_apic_off}, {NULL, NULL},
};
