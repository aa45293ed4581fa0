/* SPDX-License-Identifier: MIT */
/* What takes a machine down: by right only this one. And loops that must not take more than their share. */
#include "guest/hostile/hostile.h"
#include "guest/common/legacy.h"
#include "guest/common/paging.h"

#define UNBACKED     0xfeb00000u
#define NONCANONICAL 0x8000000000000000ull
#define UNMAPPED     (GiB(512) + 0x123000) /* PML4[1] is empty */
#define PFLOOP_COUNT 100000
#define STORM_COUNT  20000
#define STORM_TICKS  2000000000ull

#define CANONICAL_END 0x800000000000ull
#define EDGE_PAGE     MiB(4) /* 2 MiB of RAM that nobody uses */

static void load_idt(u64 base, u16 limit)
{
    struct __packed {
        u16 limit;
        u64 base;
    } pointer = {limit, base};

    asm volatile("lidt %0" ::"m"(pointer));
}

void hostile_triple(void)
{
    load_idt(0, 0);
    asm volatile("ud2");
}

/* The IDT's own page is not present: #UD, then #PF, then #DF cannot be delivered. */
void hostile_idt(void)
{
    load_idt(UNMAPPED, 0xfff);
    asm volatile("ud2");
}

/* No stack for the exception, nor for the #DF that follows. */
void hostile_stack(void)
{
    for (u32 v = 0; v < 32; v++)
        trap_set_ist((u8)v, 0);
    asm volatile("mov %0, %%rsp; ud2" ::"r"(UNMAPPED));
}

/* Page tables where there is no RAM. */
void hostile_cr3(void)
{
    write_cr3(option_number("at", UNBACKED));
}

static void jump(void *target)
{
    asm volatile("call *%0" ::"r"(target) : "memory");
}

extern u64 boot_pml4[512];

/*
 * CPUID as the last instruction of the lower half: a hypervisor that skips it leaves RIP non-canonical, and
 * the CPU refuses to enter the guest like that.
 */
void hostile_edge(void)
{
    static u64 pdpt[512] __aligned(4096), pd[512] __aligned(4096);
    volatile u8 *page = (volatile u8 *)EDGE_PAGE;

    pd[511] = EDGE_PAGE | PTE_P | PTE_W | PTE_PS;
    pdpt[511] = (u64)pd | PTE_P | PTE_W;
    boot_pml4[255] = (u64)pdpt | PTE_P | PTE_W;
    page[MiB(2) - 2] = 0x0f;
    page[MiB(2) - 1] = 0xa2;
    if (try_call(jump, (void *)(CANONICAL_END - 2)) != X_GP || last_trap.rip != CANONICAL_END)
        hostile_failed("no #GP behind the last canonical address");
}

/* Unmapped and non-canonical first, with an exception each; then mapped but not backed by RAM. */
void hostile_nowhere(void)
{
    u64 at = option_number("at", UNBACKED);

    if (try_call(jump, (void *)UNMAPPED) != X_PF || last_trap.cr2 != UNMAPPED)
        hostile_failed("jump to an unmapped address: vector %u", (u32)last_trap.vector);
    if (try_call(jump, (void *)NONCANONICAL) != X_GP)
        hostile_failed("jump to a non-canonical address: vector %u", (u32)last_trap.vector);
    printf("hostile: jump to 0x%llx\n", (ull)at);
    printf("hostile: vector %d\n", try_call(jump, (void *)at));
}

static u32 faults;

/* Does nothing about the fault until the count is reached. */
static bool count_faults(struct trap_frame *f)
{
    if (f->vector != X_PF)
        return false;
    return ++faults < PFLOOP_COUNT;
}

static void touch(void *p)
{
    *(volatile u8 *)p = 1;
}

void hostile_pfloop(void)
{
    trap_hook = count_faults;
    if (try_call(touch, (void *)UNMAPPED) != X_PF || faults != PFLOOP_COUNT)
        hostile_failed("%u page faults", faults);
}

static volatile u32 ticks;
static u32 last_tick;

/* In a storm nothing else may come to run. */
static void count_tick(struct trap_frame *f)
{
    (void)f;
    ticks++;
    if (ticks == last_tick)
        machine_reset();
    pic_eoi();
}

static void ignore(struct trap_frame *f)
{
    (void)f;
}

void hostile_irqstorm(void)
{
    u64 start = rdtsc();

    last_tick = (u32)option_number("reset", 0);
    trap_set_handler(IRQ_BASE + IRQ_TIMER, count_tick);
    trap_set_handler(IRQ_BASE + 7, ignore); /* spurious */
    pic_unmask(IRQ_TIMER);
    pit_periodic((u16)option_number("divisor", 2));
    irq_enable();
    while (ticks < MAX(STORM_COUNT, last_tick) && rdtsc() - start < STORM_TICKS)
        asm volatile("cpuid" ::"a"(0) : "ebx", "ecx", "edx", "memory");
    irq_disable();
    printf("hostile: %u interrupts\n", ticks);
    if (!ticks)
        hostile_failed("no interrupt came");
}

static u32 debug_exceptions;

static bool count_debug(struct trap_frame *f)
{
    if (f->vector != X_DB)
        return false;
    debug_exceptions++;
    return true;
}

/* INT1 with and without STI's and MOV SS's shadow before it. */
void hostile_int1(void)
{
    trap_hook = count_debug;
    for (u32 i = 0; i < 1000; i++) {
        asm volatile(".byte 0xf1");
        asm volatile("sti; .byte 0xf1; cli");
        asm volatile("mov %%ss, %%eax; mov %%eax, %%ss; .byte 0xf1" ::: "eax");
    }
    trap_hook = NULL;
    if (debug_exceptions != 3000)
        hostile_failed("%u #DB of 3000", debug_exceptions);
}

/* For ever: only an NMI, INIT or SMI could end it. */
void hostile_halt(void)
{
    irq_disable();
    for (;;)
        cpu_halt();
}
