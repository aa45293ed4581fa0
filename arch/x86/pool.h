/* SPDX-License-Identifier: MIT */
/*
 * Nidus's own memory, by whole pages, mapped in the direct map: tables, VMCSs, stacks, objects. It grows by
 * chunks of 2 MiB and holds nothing of a guest's memory.
 */
#ifndef ARCH_X86_POOL_H
#define ARCH_X86_POOL_H

#include "arch/x86/layout.h"
#include "lib/frames.h"

#define POOL_CHUNK MiB(2)

/* Who holds the pool's free pages and what has no other owner. */
extern struct frame_owner pool_owner;

/* Hands the pool its first chunks, mapped at their direct address already: used bytes at the end are taken.
 */
void pool_init(paddr_t base, u64 size, u64 used);
/* Contiguous zeroed pages (1 to 511), null when there is no memory. Charged to owner. */
void *pool_alloc(struct frame_owner *owner, u32 pages);
void pool_free(struct frame_owner *owner, void *p, u32 pages);

u64 pool_chunk_bytes(void); /* all chunks together */

static inline paddr_t pool_pa(const void *p)
{
    return (u64)p - DIRECT_BASE;
}

static inline void *pool_va(paddr_t pa)
{
    return (void *)(pa + DIRECT_BASE);
}

#endif
