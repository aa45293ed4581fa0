/* SPDX-License-Identifier: MIT */
/* Extra mappings of physical memory, from 512 GiB of the linear addresses on. */
#ifndef GUEST_PAGING_H
#define GUEST_PAGING_H

#include "lib/types.h"

#define PTE_P   BIT(0)
#define PTE_W   BIT(1)
#define PTE_U   BIT(2)
#define PTE_PWT BIT(3)
#define PTE_PCD BIT(4)
#define PTE_A   BIT(5)
#define PTE_D   BIT(6)
#define PTE_PS  BIT(7)
#define PTE_G   BIT(8)
#define PTE_NX  BIT(63)

#define WINDOW_BASE  GiB(512)
#define WINDOW_SLOTS 512
#define WINDOW(slot) (WINDOW_BASE + MiB(2) * (slot))

/* Maps the 2 MiB around physical at WINDOW(slot) with those flags; returns where physical itself is then. */
volatile u8 *window_map(u32 slot, u64 physical, u64 flags);
/* The same without change of what a processor may have in its TLBs: the raw entry. */
u64 *window_entry(u32 slot);

#endif
