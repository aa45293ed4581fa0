/* SPDX-License-Identifier: MIT */
#ifndef VMM_DEV_SCALE_H
#define VMM_DEV_SCALE_H

#include "lib/types.h"

/* value * to / from, rounded down, without overflow as long as from * to < 2^64 and the result fits. */
static inline u64 scale_down(u64 value, u64 to, u64 from)
{
    return value / from * to + value % from * to / from;
}

/* The same, rounded up. */
static inline u64 scale_up(u64 value, u64 to, u64 from)
{
    return value / from * to + (value % from * to + from - 1) / from;
}

#endif
