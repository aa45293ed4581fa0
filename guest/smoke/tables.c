/* SPDX-License-Identifier: MIT */
/* Page tables of every kind that map the image one to one, and one page under another address as well. */
#include "guest/smoke/tables.h"
#include "guest/common/paging.h"
#include "lib/string.h"

#define NR_PAGES 12

static u8 pages[NR_PAGES][PAGE_SIZE] __aligned(4096);
static u32 used;

static void *new_page(void)
{
    void *p = pages[used++];

    memset(p, 0, PAGE_SIZE);
    return p;
}

/* One to one for the first 16 MiB; then the alias. */
u32 tables_32(bool large, u64 target, u32 flags)
{
    u32 *directory, *table;

    used = 0;
    directory = new_page();
    for (u32 i = 0; i < 4; i++) {
        if (large) {
            directory[i] = i << 22 | PTE_P | PTE_W | PTE_PS;
            continue;
        }
        table = new_page();
        for (u32 j = 0; j < 1024; j++)
            table[j] = (i << 22) | (j << 12) | PTE_P | PTE_W;
        directory[i] = (u32)(u64)table | PTE_P | PTE_W;
    }
    if (large) {
        directory[ALIAS >> 22] = (u32)ALIGN_DOWN(target, MiB(4)) | flags | PTE_PS;
    } else {
        table = new_page();
        table[ALIAS_OFFSET >> 12] = (u32)target | flags;
        directory[ALIAS >> 22] = (u32)(u64)table | PTE_P | PTE_W;
    }
    return (u32)(u64)directory;
}

/* The two lower levels of PAE and 4-level paging. */
static u64 *directory_64(bool large, u64 target, u64 flags)
{
    u64 *directory = new_page(), *table;

    for (u64 i = 0; i < 8; i++)
        directory[i] = i << 21 | PTE_P | PTE_W | PTE_PS;
    if (large) {
        directory[ALIAS_64 >> 21 & 511] = ALIGN_DOWN(target, MiB(2)) | flags | PTE_PS;
    } else {
        table = new_page();
        table[ALIAS_64 >> 12 & 511] = target | flags;
        directory[ALIAS_64 >> 21 & 511] = (u64)table | PTE_P | PTE_W;
    }
    return directory;
}

u32 tables_pae(bool large, u64 target, u64 flags, u64 pdpte_flags)
{
    u64 *pointers;

    used = 0;
    pointers = new_page();
    pointers[0] = (u64)directory_64(large, target, flags) | PTE_P | pdpte_flags;
    return (u32)(u64)pointers;
}

u64 tables_4level(u64 size, u64 target, u64 flags)
{
    u64 *pml4, *pointers;

    used = 0;
    pml4 = new_page();
    pointers = new_page();
    pml4[0] = (u64)pointers | PTE_P | PTE_W;
    pointers[0] = (u64)directory_64(size != PAGE_SIZE, target, flags) | PTE_P | PTE_W;
    if (size == GiB(1))
        pointers[ALIAS_1G >> 30] = ALIGN_DOWN(target, GiB(1)) | flags | PTE_PS;
    return (u64)pml4;
}

/* The lowest-level entry of the alias, in the tables made last. */
u64 *tables_entry_64(u64 cr3, u64 linear)
{
    u64 *e = (u64 *)cr3;

    for (u32 shift = 39;; shift -= 9) {
        e += linear >> shift & 511;
        if (shift == 12 || (*e & PTE_PS && shift < 39))
            return e;
        e = (u64 *)(*e & BITS(51, 12));
    }
}
