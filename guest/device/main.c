/* SPDX-License-Identifier: MIT */
/* Drives a physical 16550 in its loopback mode, by interrupts, and looks at memory of a device; or checks
 * that neither is there. */
#include "guest/common/apic.h"
#include "guest/common/guest.h"
#include "guest/common/legacy.h"

enum { DATA, IER, IIR, LCR, MCR, LSR, MSR, SCRATCH };
#define IER_RX        BIT(0)
#define IER_TX        BIT(1)
#define IIR_NONE      0x01
#define IIR_KIND      0x0f
#define IIR_TX        0x02
#define IIR_RX        0x04
#define LCR_8_BITS    0x03
#define LCR_DIVISOR   0x80
#define MCR_OUT2      0x08 /* lets the interrupt through */
#define MCR_LOOP      0x10
#define IOAPIC_BASE   0xfec00000u
#define IOAPIC_ENTRY  0x10
#define IOAPIC_VECTOR 0x60
#define PATIENCE      2000000000ull /* in TSC ticks */
#define PATTERN       0x1d2a5c3eu

static u16 base;
static u64 wanted;
static bool by_ioapic;
static volatile u64 interrupts, sent, received, wrong;

static u8 in(u32 reg)
{
    return inb((u16)(base + reg));
}

static void out(u32 reg, u8 value)
{
    outb((u16)(base + reg), value);
}

static void __noreturn fail(const char *what)
{
    printf("device: FAIL: %s: %llu interrupts, %llu sent, %llu received, %llu wrong\n", what, (ull)interrupts,
           (ull)sent, (ull)received, (ull)wrong);
    guest_fail(1);
}

static void take(void)
{
    wrong += in(DATA) != (u8)received;
    received++;
}

/* The line is edge-triggered: it must have been low before another interrupt can come. */
static void uart_interrupt(struct trap_frame *f)
{
    u8 iir;

    (void)f;
    interrupts++;
    while (!((iir = in(IIR)) & IIR_NONE)) {
        if ((iir & IIR_KIND) == IIR_RX)
            take();
    }
    if (by_ioapic)
        apic_eoi();
    else
        pic_eoi();
}

static void route(u32 irq)
{
    pic_init();
    if (by_ioapic) {
        apic_enable(false, false);
        trap_set_handler(IOAPIC_VECTOR, uart_interrupt);
        MMIO(u32, IOAPIC_BASE) = IOAPIC_ENTRY + 2 * irq + 1;
        MMIO(u32, IOAPIC_BASE + 0x10) = apic_id() << 24;
        MMIO(u32, IOAPIC_BASE) = IOAPIC_ENTRY + 2 * irq;
        MMIO(u32, IOAPIC_BASE + 0x10) = IOAPIC_VECTOR;
        return;
    }
    trap_set_handler((u8)(IRQ_BASE + irq), uart_interrupt);
    pic_unmask(irq);
}

static void test_loop(u32 irq)
{
    out(LCR, LCR_DIVISOR);
    out(DATA, 1);
    out(IER, 0);
    out(LCR, LCR_8_BITS);
    out(IIR, 0); /* no FIFOs */
    out(MCR, MCR_LOOP | MCR_OUT2);
    route(irq);
    out(IER, IER_RX | IER_TX);
    irq_enable();
    /* Each makes an interrupt of its own: it is not sent before the one ahead has come back. */
    while (sent < wanted) {
        out(DATA, (u8)sent++);
        for (u64 start = rdtsc(); received < sent;) {
            if (rdtsc() - start > PATIENCE)
                fail("bytes are missing");
        }
    }
    irq_disable();
    out(IER, 0);
    if (wrong || interrupts < wanted)
        fail("wrong bytes, or too few interrupts");
    printf("device: %llu bytes by interrupts, ok\n", (ull)received);
}

static void test_ports(u64 n)
{
    for (u64 i = 0; i < n; i++) {
        out(SCRATCH, (u8)i);
        if (in(SCRATCH) != (u8)i)
            fail("the scratch register");
    }
    printf("device: %llu accesses of ports, ok\n", (ull)(2 * n));
}

static void test_memory(u64 at)
{
    u32 before = MMIO(u32, at);

    MMIO(u32, at) = PATTERN;
    if (MMIO(u32, at) != PATTERN)
        fail("the memory");
    if (!option("leave"))
        MMIO(u32, at) = before;
    printf("device: memory was 0x%x, ok\n", before);
}

static void test_absent(u64 at)
{
    out(SCRATCH, 0x55);
    if (in(SCRATCH) != 0xff || in(LSR) != 0xff)
        fail("the port is there");
    if (at) {
        MMIO(u32, at) = ~PATTERN;
        if (MMIO(u32, at) != ~0u)
            fail("the memory is there");
    }
    printf("device: nothing is there, ok\n");
}

void guest_main(void)
{
    u64 memory = option_number("memory", 0);

    base = (u16)option_number("port", 0x2f8);
    wanted = option_number("count", 200);
    by_ioapic = option("ioapic");
    if (option("absent")) {
        test_absent(memory);
        return;
    }
    test_ports(option_number("accesses", 2000));
    if (memory)
        test_memory(memory);
    test_loop((u32)option_number("irq", 3));
    if (option("reboot"))
        machine_reset();
}
