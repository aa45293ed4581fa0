/* SPDX-License-Identifier: MIT */
#ifndef GUEST_L1_MSR_AREA_H
#define GUEST_L1_MSR_AREA_H

#include "lib/types.h"

#define MSR_MTRR_DEF_TYPE  0x2ff
#define MSR_PAT            0x277
#define MSR_KERNEL_GS_BASE 0xc0000102u

/* SDM, 'Format of an MSR Entry'. */
struct msr_entry {
    u32 index, reserved;
    u64 value;
};

#endif
