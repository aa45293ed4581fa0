/* SPDX-License-Identifier: MIT */
#ifndef GUEST_SMOKE_TABLES_H
#define GUEST_SMOKE_TABLES_H

#include "lib/types.h"

/* Where the target page appears a second time: with 32-bit paging, with PAE or 4 levels, with a 1 GiB page.
 * With large pages it is at the target's own offset in the large page. */
#define ALIAS        0x40000000u
#define ALIAS_OFFSET 0u
#define ALIAS_64     0x1800000ull
#define ALIAS_1G     GiB(2)

/* target: physical, 4 KiB-aligned, below 16 MiB. Each call overwrites the tables of the one before; returns
 * CR3. */
u32 tables_32(bool large, u64 target, u32 flags);
u32 tables_pae(bool large, u64 target, u64 flags, u64 pdpte_flags);
u64 tables_4level(u64 size, u64 target, u64 flags);

u64 *tables_entry_64(u64 cr3, u64 linear);

#endif
