/* SPDX-License-Identifier: MIT */
/* The two cascaded 8259A interrupt controllers of a PC, ports 0x20, 0xa0 and the edge/level registers 0x4d0.
 */
#ifndef VMM_DEV_PIC_H
#define VMM_DEV_PIC_H

#include "lib/types.h"

struct vm;
struct pic;

/* Claims the ports; null when there is no memory or a port is taken. */
struct pic *pic_create(struct vm *vm);
/* The state of input irq (0 to 15; 2 is the cascade and ignored, as is anything above). */
void pic_set_irq(struct pic *pic, u32 irq, bool level);
/* The vector that an INTA cycle would give now, -1 when INTR is low. No side effect. */
int pic_pending(const struct pic *pic);
/* The same with INTR low: the spurious vector. */
u8 pic_vector(const struct pic *pic);
/* The INTA cycle. Like the chip it gives the spurious vector (IRQ 7 of the chip) when the request has
 * vanished. */
int pic_ack(struct pic *pic);

/* Chip 0 or 1, for who looks at it. No side effect. */
struct pic_view {
    u8 base, requests, in_service, masked, level;
    bool ready; /* initialized */
};

void pic_look(const struct pic *pic, u32 chip, struct pic_view *out);

#endif
