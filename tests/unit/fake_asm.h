/* SPDX-License-Identifier: MIT */
/*
 * Stands in for arch/x86/asm.h, whose functions are single instructions: a test that includes this first, and
 * then a driver's source, has the driver's ports and time for itself.
 */
#ifndef TESTS_UNIT_FAKE_ASM_H
#define TESTS_UNIT_FAKE_ASM_H
#define ARCH_X86_ASM_H

#include "lib/types.h"

/* The test's own: size in bytes. */
static u32 fake_in(u16 port, u32 size);
static void fake_out(u16 port, u32 size, u32 value);
static u64 fake_tsc(void);

static inline u8 inb(u16 port)
{
    return fake_in(port, 1);
}

static inline u16 inw(u16 port)
{
    return fake_in(port, 2);
}

static inline u32 inl(u16 port)
{
    return fake_in(port, 4);
}

static inline void outb(u16 port, u8 v)
{
    fake_out(port, 1, v);
}

static inline void outw(u16 port, u16 v)
{
    fake_out(port, 2, v);
}

static inline void outl(u16 port, u32 v)
{
    fake_out(port, 4, v);
}

static inline u64 rdtsc(void)
{
    return fake_tsc();
}

static inline void cpu_pause(void) {}

#endif
