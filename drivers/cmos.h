/* SPDX-License-Identifier: MIT */
/* The physical MC146818 clock. */
#ifndef DRIVERS_CMOS_H
#define DRIVERS_CMOS_H

#include "lib/types.h"

/* Seconds since 1970, taking the clock for UTC; 0 when there is no clock or it shows no sensible time. */
u64 cmos_utc(void);

#endif
