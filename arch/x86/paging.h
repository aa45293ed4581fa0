/* SPDX-License-Identifier: MIT */
/* Nidus's own address spaces: 4-level tables, W^X, and short windows on any page of memory. */
#ifndef ARCH_X86_PAGING_H
#define ARCH_X86_PAGING_H

#include "arch/x86/regs.h"
#include "lib/frames.h"

/* Protection of a mapping: read-only, never executable, unless said. */
#define MAP_WRITE    PTE_W
#define MAP_USER     PTE_U /* guest memory: out of reach while SMAP is on, except between stac and clac */
#define MAP_UNCACHED (PTE_PCD | PTE_PWT)
#define MAP_EXEC     BIT(62) /* not a bit of the entry: leaves NX out */

/*
 * Builds the final tables for the image and the direct map's first chunk and switches to them: whatever early
 * tables mapped is gone. early_base/early_size: the pool's first chunk(s), 2 MiB-aligned.
 */
void paging_init(paddr_t image_base, paddr_t early_base, u64 early_size);
/* After boot: nothing writes the tables of constants that had to be computed (IDT). */
void paging_seal(void);
/* CR4 and EFER bits of this CPU for the tables above (SMEP, SMAP, NXE, PGE, WP); every CPU calls it. */
void paging_init_cpu(void);
/* CR3 of the address space without any VM. */
u64 paging_base_cr3(void);

/*
 * Maps [va, va + size) to [pa, pa + size) in the tables at root (0: those of Nidus, shared by all). Uses 2
 * MiB pages where alignment allows. Addresses and size are multiples of 4 KiB; what was mapped there must not
 * be. ERR_NOMEM leaves a part mapped: unmap the range. The tables' pages are charged to owner.
 */
int paging_map(struct frame_owner *owner, paddr_t root, u64 va, paddr_t pa, u64 size, u64 prot);
/* Takes pages of 2 MiB out of a VM's space, where there are some; va and size are multiples of that. CPUs may
 * have them cached. */
void paging_unmap(paddr_t root, u64 va, u64 size);
/* A new address space: the shared upper half, an empty lower half. 0 when out of memory. */
paddr_t paging_new_space(struct frame_owner *owner);
/* Frees the lower half's tables and the root; no CPU may use them any more. */
void paging_free_space(struct frame_owner *owner, paddr_t root);

/* Maps a physical range (any alignment) for good, in the vmap area; null when out of memory. */
void *vmap(paddr_t pa, u64 size, u64 prot);
/* A stack of size bytes with an unmapped page below; returns its top, 0 when out of memory. */
u64 stack_alloc(u64 size);

/* This CPU's windows: one page each, for a short time. */
enum window_slot { WINDOW_ZERO };
int window_init_cpu(u32 cpu);
void *window_open(u32 cpu, enum window_slot slot, paddr_t page);
void window_close(u32 cpu, enum window_slot slot);

/* One leaf of a live table, for the audit. */
typedef void paging_visit(void *ctx, u64 va, u64 entry, u64 size);
void paging_walk(paddr_t root, paging_visit *visit, void *ctx);

/*
 * Maps a new chunk of the pool at its direct address. The pool cannot be asked for the table that this may
 * need: a spare one is kept, and true is returned when it was used and paging_set_spare() must give another.
 */
bool paging_map_chunk(paddr_t base);
void paging_set_spare(void *page);

#endif
