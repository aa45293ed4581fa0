/* SPDX-License-Identifier: MIT */
/* MC146818 clock and CMOS memory, ports 0x70 and 0x71, IRQ 8. */
#ifndef VMM_DEV_RTC_H
#define VMM_DEV_RTC_H

#include "lib/types.h"

struct vm;
struct rtc;

/* utc: seconds since 1970 at VM time 0. memory: bytes of guest RAM, for the CMOS bytes that tell its size. */
struct rtc *rtc_create(struct vm *vm, u64 utc, u64 memory);

#endif
