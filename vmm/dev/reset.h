/* SPDX-License-Identifier: MIT */
/*
 * The ways of a PC to reset itself: reset control register 0xcf9, system control port A 0x92, and the
 * keyboard controller's command 0xfe at 0x64. There is no keyboard: the controller's status is always 0, so
 * that software which waits for its input buffer before a reset need not wait, and the FADT says that there
 * is no 8042.
 */
#ifndef VMM_DEV_RESET_H
#define VMM_DEV_RESET_H

#include "lib/types.h"

struct vm;
struct reset;

/* Null when there is no memory or a port is taken. */
struct reset *reset_create(struct vm *vm);
/* Port 0xcf9, which lies within the PCI address register and is claimed with that. */
u8 reset_control_read(const struct reset *r);
void reset_control_write(struct reset *r, u8 value);

#endif
