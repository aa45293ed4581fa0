/* SPDX-License-Identifier: MIT */
/* Guest memory that is known to be mapped, used in place: SMAP is lifted in between. */
#ifndef ARCH_X86_USER_H
#define ARCH_X86_USER_H

#include "arch/x86/asm.h"
#include "arch/x86/trap.h"

static inline void user_begin(void)
{
    if (have_smap)
        stac();
}

static inline void user_end(void)
{
    if (have_smap)
        clac();
}

#endif
