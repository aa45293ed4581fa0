/* SPDX-License-Identifier: MIT */
#include "boot/efi/tables.h"
#include "lib/string.h"

#define ENTRIES    512
#define PRESENT    BIT(0)
#define WRITABLE   BIT(1)
#define PAGE_2M    BIT(7) /* in a page-directory entry: a page of 2 MiB */
#define IMAGE_SPAN MiB(16)

static u32 directories(u64 limit)
{
    return ALIGN_UP(limit, GiB(1)) / GiB(1);
}

/* PML4, two page-directory-pointer tables, the image's page directory, one page directory for each GiB. */
u32 tables_pages(u64 limit)
{
    return 4 + directories(limit);
}

static u64 link(const u64 *table)
{
    return (u64)(uintptr_t)table | PRESENT | WRITABLE;
}

u64 tables_build(u64 *memory, u64 limit, u64 virtual_base, paddr_t image)
{
    u64 *pml4 = memory, *low = memory + ENTRIES, *high = memory + 2 * ENTRIES,
        *image_pd = memory + 3 * ENTRIES;
    u64 *pd = memory + 4 * ENTRIES;

    memset(memory, 0, tables_pages(limit) * PAGE_SIZE);
    pml4[0] = link(low);
    pml4[virtual_base >> 39 & 511] = link(high);
    high[virtual_base >> 30 & 511] = link(image_pd);
    for (u32 i = 0; i < IMAGE_SPAN / MiB(2); i++)
        image_pd[(virtual_base >> 21 & 511) + i] = (image + i * MiB(2)) | PRESENT | WRITABLE | PAGE_2M;
    for (u32 g = 0; g < directories(limit); g++)
        low[g] = link(pd + g * ENTRIES);
    for (u64 i = 0; i < (u64)directories(limit) * ENTRIES; i++)
        pd[i] = i * MiB(2) | PRESENT | WRITABLE | PAGE_2M;
    return (u64)(uintptr_t)pml4;
}
