/* SPDX-License-Identifier: MIT */
/* Interrupt lines that remember what devices did to them, in the place of vmm/dev/irq.c. */
#ifndef TESTS_UNIT_FAKE_IRQ_H
#define TESTS_UNIT_FAKE_IRQ_H

#include "vmm/dev/irq.h"

extern bool fake_irq_level[16];
extern u32 fake_irq_edges[16]; /* times that the line rose */
extern u32 fake_pic_changes;

void fake_irq_clear(void);

#endif
