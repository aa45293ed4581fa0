/* SPDX-License-Identifier: MIT */
/* The PIT's interrupts through the PIC, HLT, and what holds interrupts back. */
#include "guest/smoke/smoke.h"
#include "guest/common/apic.h"
#include "guest/common/legacy.h"

#define PATIENCE 1000000000ull /* in TSC ticks */
#define PIC1     0x20
#define OCW3_IRR 0x0a
#define OCW3_ISR 0x0b

static volatile u32 ticks;
static volatile u8 in_service;

static void tick(struct trap_frame *f)
{
    (void)f;
    outb(PIC1, OCW3_ISR);
    in_service = inb(PIC1);
    ticks++;
    pic_eoi();
}

static void ignore(struct trap_frame *f)
{
    (void)f;
}

static u8 requests(void)
{
    outb(PIC1, OCW3_IRR);
    return inb(PIC1);
}

/* All prepared, IRQ 0 not masked, no interrupt pending. */
static void begin(void)
{
    if (apic_mode() == APIC_X1)
        apic_enable(false, true);
    pic_init();
    trap_set_handler(IRQ_BASE + IRQ_TIMER, tick);
    trap_set_handler(IRQ_BASE + 7, ignore);
    trap_set_handler(0xff, ignore);
    ticks = 0;
}

/* Sets IRQ 0 pending with interrupts off. */
static bool make_pending(void)
{
    pit_one_shot(100);
    for (u64 start = rdtsc(); rdtsc() - start < PATIENCE;) {
        if (requests() & 1)
            return true;
    }
    smoke_fail("IRQ 0 is never requested");
    return false;
}

static void wait_for_ticks(u32 n)
{
    for (u64 start = rdtsc(); ticks < n && rdtsc() - start < PATIENCE;)
        cpu_pause();
}

static void test_periodic(void)
{
    begin();
    pit_periodic(PIT_HZ / 1000);
    pic_unmask(IRQ_TIMER);
    irq_enable();
    wait_for_ticks(20);
    irq_disable();
    expect(ticks >= 20, "%u ticks", ticks);
    expect_equal(in_service, 1, "in-service register in the handler");
    pic_mask_all();
}

static void test_mask(void)
{
    u32 before;

    begin();
    pit_periodic(PIT_HZ / 1000);
    pic_unmask(IRQ_TIMER);
    irq_enable();
    wait_for_ticks(2);
    pic_mask_all();
    before = ticks;
    for (u64 start = rdtsc(); rdtsc() - start < 1000000;)
        cpu_pause();
    irq_disable();
    expect(before >= 2, "%u ticks", before);
    expect(ticks - before <= 1, "%u ticks while masked", ticks - before);
}

static void test_halt(void)
{
    begin();
    pit_periodic(PIT_HZ / 1000);
    pic_unmask(IRQ_TIMER);
    for (u32 i = 0; i < 20; i++)
        irq_enable_and_halt();
    expect(ticks >= 20, "%u ticks in 20 halts", ticks);
    pic_mask_all();
}

/* The interrupt may come at any point around STI and HLT: none may be lost, else this never ends. */
static void test_shadow_halt(void)
{
    begin();
    pic_unmask(IRQ_TIMER);
    for (u32 i = 1; i <= 200; i++) {
        pit_one_shot((u16)(1 + i % 40));
        for (u32 spin = 0; spin < (i * 7) % 300; spin++)
            asm volatile("");
        while (ticks < i)
            irq_enable_and_halt();
    }
    expect_equal(ticks, 200, "ticks");
    pic_mask_all();
}

static void test_pending(void)
{
    begin();
    pic_unmask(IRQ_TIMER);
    if (!make_pending())
        return;
    expect_equal(ticks, 0, "ticks with interrupts off");
    asm volatile("sti; nop; nop; cli" ::: "memory");
    expect_equal(ticks, 1, "ticks after STI");
    if (!make_pending())
        return;
    asm volatile("pushfq; orq $0x200, (%%rsp); popfq; nop; cli" ::: "memory", "cc");
    expect_equal(ticks, 2, "ticks after POPF");
    pic_mask_all();
}

/* STI keeps interrupts off for one more instruction. */
static void test_shadow(void)
{
    begin();
    pic_unmask(IRQ_TIMER);
    if (!make_pending())
        return;
    for (u32 i = 0; i < 100; i++)
        asm volatile("sti; cli" ::: "memory");
    expect_equal(ticks, 0, "ticks after STI, CLI");
    asm volatile("sti; nop; nop; cli" ::: "memory");
    expect_equal(ticks, 1, "ticks after STI, NOP");
    pic_mask_all();
}

/* The shadow of STI over an instruction that a hypervisor emulates. */
static void test_shadow_exit(void)
{
    begin();
    pic_unmask(IRQ_TIMER);
    if (!make_pending())
        return;
    asm volatile("sti; cpuid; cli" ::: "memory", "rax", "rbx", "rcx", "rdx");
    expect_equal(ticks, 1, "ticks after STI, CPUID");
    pic_mask_all();
}

static void test_cr8(void)
{
    begin();
    pic_unmask(IRQ_TIMER);
    if (!make_pending())
        return;
    write_cr8(15); /* holds back what comes through the APIC, not the PIC's */
    asm volatile("sti; nop; nop; cli" ::: "memory");
    write_cr8(0);
    expect_equal(ticks, 1, "ticks with CR8 = 15");
    pic_mask_all();
}

const struct smoke_test interrupt_tests[] = {
    {"interrupt-periodic", test_periodic},
    {"interrupt-mask", test_mask},
    {"interrupt-halt", test_halt},
    {"interrupt-halt-race", test_shadow_halt},
    {"interrupt-pending", test_pending},
    {"interrupt-sti-shadow", test_shadow},
    {"interrupt-sti-shadow-exit", test_shadow_exit},
    {"interrupt-pic-and-cr8", test_cr8},
    {NULL, NULL},
};
