/* SPDX-License-Identifier: MIT */
/* The PC's two 8259 interrupt controllers, the 8254 timer and the RTC. */
#ifndef GUEST_LEGACY_H
#define GUEST_LEGACY_H

#include "lib/types.h"

#define IRQ_BASE     0x20 /* vector of IRQ 0; IRQ 8 follows at 0x28 */
#define IRQ_TIMER    0
#define PIT_HZ       1193182u
#define PIT_CHANNEL0 0x40
#define PIT_CHANNEL2 0x42
#define PIT_COMMAND  0x43
#define PORT_B       0x61
#define RTC_INDEX    0x70
#define RTC_DATA     0x71

void pic_init(void);      /* vectors from IRQ_BASE, all masked */
void pic_unmask(u32 irq); /* of the first controller */
void pic_mask_all(void);
void pic_eoi(void); /* of the first controller */
void pit_periodic(u16 divisor);
void pit_one_shot(u16 ticks); /* interrupt on terminal count */
u16 pit_read(void);           /* the count of channel 0 */
u8 rtc_read(u8 index);

#endif
