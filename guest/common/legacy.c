/* SPDX-License-Identifier: MIT */
#include "guest/common/legacy.h"
#include "guest/common/cpu.h"

#define PIC1     0x20
#define PIC2     0xa0
#define ICW1     0x11 /* edge triggered, cascade, ICW4 follows */
#define ICW4     0x01 /* 8086 mode */
#define OCW2_EOI 0x20

void pic_init(void)
{
    outb(PIC1, ICW1);
    outb(PIC1 + 1, IRQ_BASE);
    outb(PIC1 + 1, 4); /* second controller at IRQ 2 */
    outb(PIC1 + 1, ICW4);
    outb(PIC2, ICW1);
    outb(PIC2 + 1, IRQ_BASE + 8);
    outb(PIC2 + 1, 2);
    outb(PIC2 + 1, ICW4);
    pic_mask_all();
}

void pic_mask_all(void)
{
    outb(PIC1 + 1, 0xff);
    outb(PIC2 + 1, 0xff);
}

void pic_unmask(u32 irq)
{
    outb(PIC1 + 1, inb(PIC1 + 1) & (u8)~BIT(irq));
}

void pic_eoi(void)
{
    outb(PIC1, OCW2_EOI);
}

static void pit_program(u8 mode, u16 count)
{
    outb(PIT_COMMAND, 0x30 | mode); /* channel 0, both bytes */
    outb(PIT_CHANNEL0, (u8)count);
    outb(PIT_CHANNEL0, (u8)(count >> 8));
}

void pit_periodic(u16 divisor)
{
    pit_program(2 << 1, divisor);
}

void pit_one_shot(u16 ticks)
{
    pit_program(0 << 1, ticks);
}

u16 pit_read(void)
{
    u16 count;

    outb(PIT_COMMAND, 0); /* latch channel 0 */
    count = inb(PIT_CHANNEL0);
    return (u16)(count | inb(PIT_CHANNEL0) << 8);
}

u8 rtc_read(u8 index)
{
    outb(RTC_INDEX, index);
    return inb(RTC_DATA);
}
