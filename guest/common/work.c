/* SPDX-License-Identifier: MIT */
#include "guest/common/work.h"
#include "guest/common/apic.h"
#include "guest/common/cpus.h"
#include "guest/common/test.h"

#define WAIT_TICKS 500000000ull

static void (*work[MAX_CPUS])(u32 cpu);
static void (*setup)(u32 cpu);
static u8 wake_vector;
static u32 nr_ready;
static u64 random_state[MAX_CPUS];

u64 cpu_random(void)
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

void start_on(u32 cpu, void (*fn)(u32 cpu))
{
    __atomic_store_n(&work[cpu], fn, __ATOMIC_RELEASE);
    apic_send(cpu_ids[cpu], ICR_ASSERT | wake_vector);
}

void finish(u32 cpu)
{
    u64 start = rdtsc();

    while (__atomic_load_n(&work[cpu], __ATOMIC_ACQUIRE)) {
        if (rdtsc() - start > 20 * WAIT_TICKS) {
            printf("FAIL: CPU %u does not end its work\n", cpu);
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

static void set_up(u32 cpu)
{
    random_state[cpu] = (option_number("seed", 1) * MAX_CPUS + cpu) * 0x9e3779b97f4a7c15ull | 1;
    if (setup)
        setup(cpu);
}

static void serve(u32 cpu)
{
    set_up(cpu);
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

bool work_start(bool x2apic, u8 vector, void (*fn)(u32 cpu))
{
    wake_vector = vector;
    setup = fn;
    set_up(0);
    for (u32 i = 1; i < nr_cpus; i++) {
        if (!cpus_start(i, x2apic, serve))
            return false;
    }
    return wait_for(&nr_ready, nr_cpus - 1, WAIT_TICKS);
}

bool work_release(u32 cpu, bool x2apic)
{
    u32 wanted = __atomic_load_n(&nr_ready, __ATOMIC_ACQUIRE) + 1;

    __atomic_store_n(&work[cpu], NULL, __ATOMIC_RELEASE);
    return cpus_release(cpu, x2apic, serve) && wait_for(&nr_ready, wanted, WAIT_TICKS);
}
