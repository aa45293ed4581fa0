/* SPDX-License-Identifier: MIT */
/* The page tables that Nidus is entered with. Pure logic. */
#ifndef BOOT_EFI_TABLES_H
#define BOOT_EFI_TABLES_H

#include "lib/types.h"

/* Pages of 4 KiB for tables that map physical memory below limit (at most 512 GiB) and the image. */
u32 tables_pages(u64 limit);

/*
 * Builds them in memory (tables_pages(limit) pages, whose physical address is their address): identity below
 * limit, and 16 MiB from virtual_base (in the last 2 GiB) on to image (both multiples of 2 MiB), all of it
 * writable and executable. Returns the value for CR3. SDM, '4-Level Paging and 5-Level Paging'.
 */
u64 tables_build(u64 *memory, u64 limit, u64 virtual_base, paddr_t image);

#endif
