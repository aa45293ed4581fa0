/* SPDX-License-Identifier: MIT */
/* The ports of fake_asm.h, for a test of what uses none. */
#ifndef TESTS_UNIT_NO_PORTS_H
#define TESTS_UNIT_NO_PORTS_H

#include "lib/types.h"

static inline u32 fake_in(u16 port, u32 size)
{
    (void)size;
    fail_msg("port 0x%x", port);
    return 0;
}

static inline void fake_out(u16 port, u32 size, u32 value)
{
    (void)size, (void)value;
    fail_msg("port 0x%x", port);
}

#endif
