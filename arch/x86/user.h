/* SPDX-License-Identifier: MIT */
/* Guest memory, used in place: SMAP is lifted in between. */
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

/* One aligned word that may be mapped, inline. false: it is not, and CR2 says so. */
#define USER_WORD(insn) "9: " insn "\n.pushsection .ex_table, \"a\"\n.quad 9b, %l[none]\n.popsection"

static inline bool user_load(const u64 *p, u64 *value)
{
    asm goto(USER_WORD("mov %1, %0") : "=r"(*value) : "m"(*p) : : none);
    return true;
none:
    return false;
}

static inline bool user_store(u64 *p, u64 value)
{
    asm goto(USER_WORD("mov %1, %0") : : "m"(*p), "r"(value) : "memory" : none);
    return true;
none:
    return false;
}

/* Atomically. */
static inline bool user_or(u64 *p, u64 bits)
{
    asm goto(USER_WORD("lock orq %1, %0") : : "m"(*p), "r"(bits) : "memory", "cc" : none);
    return true;
none:
    return false;
}

static inline bool user_and(u64 *p, u64 bits)
{
    asm goto(USER_WORD("lock andq %1, %0") : : "m"(*p), "r"(bits) : "memory", "cc" : none);
    return true;
none:
    return false;
}

/* If it is *was it becomes new; *was is what it was. */
static inline bool user_replace(u64 *p, u64 *was, u64 new)
{
    u64 word = *was;

    asm goto(USER_WORD("lock cmpxchgq %2, %1") : "+a"(word) : "m"(*p), "r"(new) : "memory", "cc" : none);
    *was = word;
    return true;
none:
    return false;
}

/* It becomes 0. */
static inline bool user_take(u64 *p, u64 *was)
{
    u64 word = 0;

    asm goto(USER_WORD("xchg %0, %1") : "+r"(word) : "m"(*p) : "memory" : none);
    *was = word;
    return true;
none:
    return false;
}

#endif
