/* SPDX-License-Identifier: MIT */
#include "guest/common/cpus.h"
#include "guest/common/acpi.h"
#include "guest/common/apic.h"
#include "guest/common/guest.h"
#include "lib/string.h"

#define STACK_SIZE  8192
#define START_TICKS 50000000ull

u64 ap_stack;
extern u64 start_c;
extern const u8 trampoline[], trampoline_end[];

u32 cpu_ids[MAX_CPUS];
u32 nr_cpus;

static u8 stacks[MAX_CPUS][STACK_SIZE] __aligned(16);

/* Of the CPU that is being started. */
static struct {
    u32 number;
    bool x2apic;
    void (*fn)(u32 i);
} starting;
static u32 online;

/* The task register tells CPUs apart. */
u32 this_cpu(void)
{
    u16 selector;

    asm("str %0" : "=r"(selector));
    return (selector - SEL_TSS) / 16u;
}

bool wait_for(const u32 *value, u32 wanted, u64 ticks)
{
    u64 start = rdtsc();

    while (__atomic_load_n(value, __ATOMIC_ACQUIRE) < wanted) {
        if (rdtsc() - start > ticks)
            return false;
        cpu_pause();
    }
    return true;
}

bool cpus_find(u32 wanted)
{
    u32 mine = apic_id();

    nr_cpus = acpi_cpus(cpu_ids, MAX_CPUS);
    if (nr_cpus && wanted && nr_cpus != wanted) {
        printf("CPUs in the MADT: %u, not %u\n", nr_cpus, wanted);
        return false;
    }
    if (!nr_cpus) {
        nr_cpus = MIN(wanted ? wanted : 1, MAX_CPUS);
        for (u32 i = 0; i < nr_cpus; i++)
            cpu_ids[i] = i;
        printf("no MADT, %u CPUs by the command line\n", nr_cpus);
    }
    /* The boot CPU comes first, whatever its id. */
    for (u32 i = 0; i < nr_cpus; i++) {
        if (cpu_ids[i] == mine) {
            cpu_ids[i] = cpu_ids[0];
            cpu_ids[0] = mine;
            return true;
        }
    }
    printf("the boot CPU's APIC id %u is not in the MADT\n", mine);
    return false;
}

static void __noreturn ap_main(void)
{
    u32 me = starting.number;
    void (*fn)(u32 i) = starting.fn;

    trap_init_cpu(me);
    apic_enable(starting.x2apic, false);
    __atomic_fetch_add(&online, 1, __ATOMIC_ACQ_REL);
    fn(me);
    for (;;)
        idle_halt();
}

bool cpus_release(u32 i, bool x2apic, void (*fn)(u32 i))
{
    u32 wanted = __atomic_load_n(&online, __ATOMIC_ACQUIRE) + 1;

    starting.number = i;
    starting.x2apic = x2apic;
    starting.fn = fn;
    ap_stack = (u64)stacks[i] + STACK_SIZE;
    start_c = (u64)ap_main;
    memcpy((void *)TRAMPOLINE, trampoline, (size_t)(trampoline_end - trampoline));
    for (u32 attempt = 0; attempt < 2; attempt++) {
        apic_send(cpu_ids[i], ICR_ASSERT | ICR_STARTUP | TRAMPOLINE / PAGE_SIZE);
        if (wait_for(&online, wanted, START_TICKS))
            return true;
    }
    return false;
}

bool cpus_start(u32 i, bool x2apic, void (*fn)(u32 i))
{
    u64 start = rdtsc();

    apic_send(cpu_ids[i], ICR_ASSERT | ICR_INIT);
    while (rdtsc() - start < START_TICKS / 10)
        cpu_pause();
    return cpus_release(i, x2apic, fn);
}
