/* SPDX-License-Identifier: MIT */
/* Uses the paravirtual interface of Nidus: each operation, from all vCPUs, rightly and wrongly. */
#include "guest/common/apic.h"
#include "guest/common/legacy.h"
#include "guest/pv/tests.h"

#define SPURIOUS     0xff
#define WAKE_VECTOR  0x43
#define TIMER_TICKS  3000 /* of the APIC's timer, divided by 16 */
#define DIVIDE_BY_16 3

struct nidus_info info;
struct nidus_queue queues[MAX_CPUS];
u8 hypercall_page[PAGE_SIZE] __aligned(4096);
u32 counted[MAX_CPUS];

static struct nidus_area areas[MAX_CPUS] __aligned(4096);
static u32 timer_count[MAX_CPUS];

bool need(u32 feature)
{
    if (info.features & feature)
        return true;
    test_skip("not offered");
    return false;
}

static void register_area(u32 cpu)
{
    nidus_register_area(&info, &queues[cpu], &areas[cpu], (u64)&areas[cpu]);
}

void new_area(void)
{
    u32 cpu = this_cpu();

    nidus_unregister_area(&info, &queues[cpu]);
    nidus_register_area(&info, &queues[cpu], &areas[cpu], (u64)&areas[cpu]);
}

/* --- interrupts --- */

static void on_timer(struct trap_frame *f)
{
    u32 cpu = this_cpu();
    struct nidus_queue *q = &queues[cpu];
    s64 index = nidus_reserve(q, 1, 0);

    (void)f;
    /* Full: behind what is interrupted. What has to be done now is done by a call. */
    if (index >= 0)
        nidus_publish(nidus_slot(q, (u32)index), NIDUS_OP_NOP, 0);
    else if (call(NIDUS_OP_NOP, 0, 0, 0, 0))
        test_fail("a call in a handler");
    if (timer_count[cpu]++ & 1 && nidus_flush() < 0)
        test_fail("a flush in a handler");
    apic_eoi();
}

void timer_start(void)
{
    timer_count[this_cpu()] = 0;
    apic_write(APIC_TIMER_DIVIDE, DIVIDE_BY_16);
    apic_write(APIC_LVT_TIMER, BIT(17) | TIMER_VECTOR); /* periodic */
    apic_write(APIC_TIMER_INITIAL, TIMER_TICKS);
    irq_enable();
}

void timer_stop(void)
{
    u32 cpu = this_cpu();

    wait_for(&timer_count[cpu], 3, WAIT_TICKS);
    irq_disable();
    apic_write(APIC_LVT_TIMER, LVT_MASKED);
    apic_write(APIC_TIMER_INITIAL, 0);
    expect(timer_count[cpu] >= 3, "%u timer interrupts", timer_count[cpu]);
    nidus_flush();
}

static void on_count(struct trap_frame *f)
{
    (void)f;
    __atomic_fetch_add(&counted[this_cpu()], 1, __ATOMIC_ACQ_REL);
    apic_eoi();
}

static void on_other(struct trap_frame *f)
{
    (void)f;
    apic_eoi();
}

static void on_spurious(struct trap_frame *f)
{
    (void)f;
}

static bool on_exception(struct trap_frame *f)
{
    return f->vector == X_NMI;
}

static void set_handlers(void)
{
    for (u32 v = 32; v < SPURIOUS; v++)
        trap_set_handler((u8)v, on_other);
    trap_set_handler(SPURIOUS, on_spurious);
    trap_set_handler(TIMER_VECTOR, on_timer);
    trap_set_handler(COUNT_VECTOR, on_count);
    trap_hook = on_exception;
}

static void __noreturn fail(const char *what)
{
    printf("pv: FAIL: %s\n", what);
    guest_fail(1);
}

static void start(void)
{
    bool x2apic = option("x2apic") || apic_mode() == APIC_X2;

    if (!nidus_discover(&info))
        fail("no Nidus");
    printf("pv: version %u, features 0x%x, %u slots, %u operations, TSC %u kHz\n", info.version,
           info.features, info.slots, info.operations, info.tsc_khz);
    if (info.operations < NIDUS_NR_OPS)
        fail("operations");
    apic_enable(x2apic, false);
    if (!cpus_find((u32)option_number("cpus", 0)))
        fail("CPUs");
    set_handlers();
    if (!work_start(x2apic, WAKE_VECTOR, register_area))
        fail("a CPU does not start");
}

void guest_main(void)
{
    pic_init();
    start();
    if (option("bench")) {
        figures();
        return;
    }
    if (option("turns")) {
        channel_turns((u32)option_number("turns", 0));
        return;
    }
    tests_run(queue_tests);
    tests_run(operation_tests);
    tests_run(memory_tests);
    tests_run(channel_tests);
    tests_run(many_tests);
    tests_run(bad_tests);
    tests_end("pv");
}
