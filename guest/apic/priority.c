/* SPDX-License-Identifier: MIT */
/* Which interrupt comes when: vectors' classes, TPR and CR8, PPR, nested handlers, EOI. */
#include "guest/apic/tests.h"

static void nothing_is_left(void)
{
    open_briefly(0);
    expect_set(APIC_IRR, "in the end");
    expect_set(APIC_ISR, "in the end");
    expect_equal(reg_read(APIC_PPR), 0, "PPR in the end");
}

static void test_order(void)
{
    const u8 vectors[] = {0x62, 0x41, 0xe1, 0x91, 0x4f, 0x40};

    for (u32 i = 0; i < ARRAY_SIZE(vectors); i++)
        self_ipi(vectors[i]);
    expect_set(APIC_IRR, "before", 0x40, 0x41, 0x4f, 0x62, 0x91, 0xe1);
    expect_set(APIC_ISR, "before");
    open_until(ARRAY_SIZE(vectors));
    expect_log(0, "all", 0xe1, 0x91, 0x62, 0x4f, 0x41, 0x40);
    nothing_is_left();
}

static void check_one(u32 vector)
{
    const u8 in_service[] = {0, (u8)vector};

    expect_set_of(APIC_ISR, "in the handler", in_service, sizeof(in_service));
    expect_set(APIC_IRR, "in the handler");
    expect_set(APIC_TMR, "in the handler");
    expect_equal(reg_read(APIC_PPR), vector & 0xf0, "PPR in the handler");
}

static void test_every_vector(void)
{
    in_handler = check_one;
    for (u32 v = 0x40; v < SPURIOUS; v++) {
        self_ipi(v);
        open_until(v - 0x3f);
        expect_equal(logs[0].n, v - 0x3f, "interrupts");
    }
    nothing_is_left();
}

/* --- vectors that are exceptions' too --- */

static u32 nr_low;

static bool on_low(struct trap_frame *f)
{
    if (f->vector != 0x1e)
        return false;
    nr_low++;
    expect_set(APIC_ISR, "in the handler", 0x1e);
    reg_write(APIC_EOI, 0);
    return true;
}

static void test_low_vector(void)
{
    trap_hook = on_low;
    nr_low = 0;
    reg_write(APIC_TPR, 0x10);
    self_ipi(0x1e);
    open_briefly(0);
    expect_equal(nr_low, 0, "interrupts with TPR 0x10");
    reg_write(APIC_TPR, 0);
    open_briefly(0);
    expect_equal(nr_low, 1, "interrupts");
    nothing_is_left();
}

/* --- task priority --- */

static void set_tpr(u32 class, bool by_cr8)
{
    if (by_cr8)
        write_cr8(class);
    else
        reg_write(APIC_TPR, class << 4);
}

static void hold_back(u32 class, bool by_cr8)
{
    u8 low = (u8)(class << 4 | 3), high = (u8)((class + 1) << 4 | 2);
    const u8 both[] = {0, high, low};

    set_tpr(class, by_cr8);
    expect_equal(read_cr8(), class, "CR8");
    expect_equal(reg_read(APIC_TPR), class << 4, "TPR");
    expect_equal(reg_read(APIC_PPR), class << 4, "PPR");
    self_ipi(low);
    if (class < 15)
        self_ipi(high);
    open_briefly(0);
    expect_log_of(0, "above TPR", both, class < 15 ? 2 : 1);
    set_tpr(class, !by_cr8);
    open_briefly(0);
    set_tpr(class - 1, !by_cr8);
    open_until(class < 15 ? 2 : 1);
    if (class == 15)
        expect_log(0, "with TPR lowered", 0xf3);
    else
        expect_log_of(0, "with TPR lowered", both, 3);
    set_tpr(0, by_cr8);
    nothing_is_left();
    clear_logs();
}

static void test_tpr(void)
{
    for (u32 class = 4; class < 16 && !test_over(); class ++) {
        hold_back(class, true);
        hold_back(class, false);
    }
}

/* With interrupts on, what TPR held back comes with the write that lets it. */
static void test_tpr_at_once(void)
{
    irq_enable();
    for (u32 i = 0; i < 50; i++) {
        write_cr8(15);
        self_ipi(0x45);
        write_cr8(i % 4);
        asm volatile("nop" ::: "memory");
        expect_equal(logs[0].n, 2 * i + 1, "interrupts with CR8 lowered");
        reg_write(APIC_TPR, 0x4f);
        self_ipi(0x46);
        reg_write(APIC_TPR, 0x3f);
        open_briefly(0);
        irq_enable();
        expect_equal(logs[0].n, 2 * i + 2, "interrupts with TPR lowered");
    }
    irq_disable();
    write_cr8(0);
}

static const struct {
    u8 tpr, ppr, or ; /* either, by model of the processor */
} ppr_rows[] = {
    {0x00, 0x60, 0x60}, {0x0f, 0x60, 0x60}, {0x5f, 0x60, 0x60}, {0x60, 0x60, 0x60},
    {0x6f, 0x6f, 0x60}, {0x70, 0x70, 0x70}, {0x75, 0x75, 0x75}, {0xff, 0xff, 0xff},
};

static void check_ppr(u32 vector)
{
    (void)vector;
    for (u32 i = 0; i < ARRAY_SIZE(ppr_rows); i++) {
        u32 ppr;

        reg_write(APIC_TPR, ppr_rows[i].tpr);
        ppr = reg_read(APIC_PPR);
        expect(ppr == ppr_rows[i].ppr || ppr == ppr_rows[i].or, "TPR 0x%x: PPR 0x%x, not 0x%x",
               ppr_rows[i].tpr, ppr, ppr_rows[i].ppr);
        expect_equal(read_cr8(), ppr_rows[i].tpr >> 4, "CR8");
    }
    reg_write(APIC_TPR, 0);
}

static void test_ppr(void)
{
    for (u32 tpr = 0; tpr < 256; tpr += 5) {
        reg_write(APIC_TPR, tpr);
        expect_equal(reg_read(APIC_PPR), tpr, "PPR with nothing in service");
    }
    reg_write(APIC_TPR, 0);
    in_handler = check_ppr;
    self_ipi(0x62);
    open_until(1);
    expect_log(0, "one", 0x62);
    nothing_is_left();
}

/* --- nested handlers --- */

static void nest(u32 vector)
{
    if (vector == 0x62) {
        expect_set(APIC_ISR, "in the inner handler", 0x45, 0x62);
        expect_set(APIC_IRR, "in the inner handler", 0x41, 0x47);
        expect_equal(reg_read(APIC_PPR), 0x60, "PPR in the inner handler");
    }
    if (vector != 0x45)
        return;
    self_ipi(0x47);
    self_ipi(0x62);
    self_ipi(0x41);
    expect_set(APIC_IRR, "in the outer handler", 0x41, 0x47, 0x62);
    open_briefly(0);
    expect_log(0, "within the outer handler", 0x45, 0x62);
    expect_set(APIC_ISR, "behind the inner handler", 0x45);
    expect_set(APIC_IRR, "behind the inner handler", 0x41, 0x47);
    expect_equal(reg_read(APIC_PPR), 0x40, "PPR behind the inner handler");
}

static void test_nested(void)
{
    in_handler = nest;
    self_ipi(0x45);
    open_until(4);
    expect_log(0, "all", 0x45, 0x62, 0x47, 0x41);
    nothing_is_left();
}

/* Each handler sends one of the next class, and lets it in. */
static void nest_all(u32 vector)
{
    u32 in_service = 0;

    for (u32 v = 0x41; v <= vector; v += 0x10)
        in_service += reg_bit(APIC_ISR, v);
    expect_equal(in_service, (vector - 0x31) >> 4, "bits in ISR");
    expect_equal(reg_read(APIC_PPR), vector & 0xf0, "PPR");
    if (vector < 0xf0) {
        self_ipi(vector + 0x10);
        self_ipi(vector - 1); /* waits */
        open_briefly(0);
    }
    expect_equal(reg_read(APIC_PPR), vector & 0xf0, "PPR behind the inner ones");
}

static void nest_odd(u32 vector)
{
    if (vector & 1)
        nest_all(vector);
}

static void test_nested_deeply(void)
{
    in_handler = nest_odd;
    self_ipi(0x41);
    open_until(23);
    expect_equal(logs[0].n, 23, "interrupts");
    for (u32 i = 0; i < 12; i++)
        expect_equal(logs[0].vector[i], 0x41 + 0x10 * i, "vector");
    nothing_is_left();
}

/* An EOI ends the highest in service, whoever gives it; one too many does nothing. */
static void end_twice(u32 vector)
{
    if (vector == 0x45) {
        self_ipi(0x62);
        open_briefly(0);
        return;
    }
    reg_write(APIC_EOI, 0);
    expect_set(APIC_ISR, "after one EOI", 0x45);
    reg_write(APIC_EOI, 0);
    expect_set(APIC_ISR, "after two EOIs");
    expect_equal(reg_read(APIC_PPR), 0, "PPR after two EOIs");
}

static void test_eoi(void)
{
    in_handler = end_twice;
    self_ipi(0x45);
    open_until(2);
    expect_log(0, "all", 0x45, 0x62);
    reg_write(APIC_EOI, 0);
    nothing_is_left();
    in_handler = NULL;
    self_ipi(0x45);
    open_until(3);
    expect_log(0, "afterwards", 0x45, 0x62, 0x45);
}

const struct test priority_tests[] = {
    {"priority-order", test_order},
    {"priority-every-vector", test_every_vector},
    {"priority-low-vector", test_low_vector},
    {"priority-tpr", test_tpr},
    {"priority-tpr-at-once", test_tpr_at_once},
    {"priority-ppr", test_ppr},
    {"priority-nested", test_nested},
    {"priority-nested-deeply", test_nested_deeply},
    {"priority-eoi", test_eoi},
    {NULL, NULL},
};
