/* SPDX-License-Identifier: MIT */
/*
 * 8254 timer, ports 0x40 to 0x43, and port 0x61 (channel 2's gate and output, refresh toggle). Channel 0
 * drives IRQ 0. Periods are counted from the moment the count was loaded, so they do not drift. Ticks that
 * come due while the timer could not be looked after are coalesced: one edge is given for all of them and the
 * phase is kept.
 */
#ifndef VMM_DEV_PIT_H
#define VMM_DEV_PIT_H

#include "lib/types.h"

#define PIT_HZ 1193182u

struct vm;
struct pit;

struct pit *pit_create(struct vm *vm);

#endif
