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
static void (*work[MAX_CPUS])(u32 cpu);
static u32 nr_ready;
static u32 timer_count[MAX_CPUS];
static u64 random_state[MAX_CPUS];

u64 random64(void)
{
    u64 *r = &random_state[this_cpu()];

    *r ^= *r << 13;
    *r ^= *r >> 7;
    *r ^= *r << 17;
    return *r;
}

bool need_cpus(u32 n)
{
    if (nr_cpus >= n)
        return true;
    test_skip("too few CPUs");
    return false;
}

bool need(u32 feature)
{
    if (info.features & feature)
        return true;
    test_skip("not offered");
    return false;
}

/* --- the other CPUs --- */

void start_on(u32 cpu, void (*fn)(u32 cpu))
{
    __atomic_store_n(&work[cpu], fn, __ATOMIC_RELEASE);
    apic_send(cpu_ids[cpu], ICR_ASSERT | WAKE_VECTOR);
}

void finish(u32 cpu)
{
    u64 start = rdtsc();

    while (__atomic_load_n(&work[cpu], __ATOMIC_ACQUIRE)) {
        if (rdtsc() - start > 20 * WAIT_TICKS) {
            printf("pv: FAIL: CPU %u does not end its work\n", cpu);
            guest_fail(1);
        }
        cpu_pause();
    }
}

void on_cpu(u32 cpu, void (*fn)(u32 cpu))
{
    start_on(cpu, fn);
    finish(cpu);
}

void on_all(void (*fn)(u32 cpu))
{
    for (u32 i = 1; i < nr_cpus; i++)
        start_on(i, fn);
    fn(0);
    for (u32 i = 1; i < nr_cpus; i++)
        finish(i);
}

static void register_area(u32 cpu)
{
    nidus_register_area(&info, &queues[cpu], &areas[cpu], (u64)&areas[cpu]);
    random_state[cpu] = (option_number("seed", 1) * MAX_CPUS + cpu) * 0x9e3779b97f4a7c15ull | 1;
}

void new_area(void)
{
    u32 cpu = this_cpu();

    nidus_unregister_area(&info, &queues[cpu]);
    nidus_register_area(&info, &queues[cpu], &areas[cpu], (u64)&areas[cpu]);
}

static void serve(u32 cpu)
{
    register_area(cpu);
    __atomic_fetch_add(&nr_ready, 1, __ATOMIC_ACQ_REL);
    for (;;) {
        void (*fn)(u32 cpu) = __atomic_load_n(&work[cpu], __ATOMIC_ACQUIRE);

        if (!fn) {
            idle_halt();
            continue;
        }
        fn(cpu);
        __atomic_store_n(&work[cpu], NULL, __ATOMIC_RELEASE);
    }
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
    register_area(0);
    for (u32 i = 1; i < nr_cpus; i++) {
        if (!cpus_start(i, x2apic, serve))
            fail("a CPU does not start");
    }
    wait_for(&nr_ready, nr_cpus - 1, WAIT_TICKS);
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
