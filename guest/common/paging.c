/* SPDX-License-Identifier: MIT */
#include "guest/common/paging.h"

extern u64 boot_pml4[512];

static u64 pdpt[512] __aligned(4096), pd[WINDOW_SLOTS] __aligned(4096);

u64 *window_entry(u32 slot)
{
    boot_pml4[WINDOW_BASE >> 39] = (u64)pdpt | PTE_P | PTE_W | PTE_U;
    pdpt[0] = (u64)pd | PTE_P | PTE_W | PTE_U;
    return &pd[slot];
}

volatile u8 *window_map(u32 slot, u64 physical, u64 flags)
{
    *window_entry(slot) = ALIGN_DOWN(physical, MiB(2)) | flags | PTE_PS;
    asm volatile("invlpg (%0)" ::"r"(WINDOW(slot)) : "memory");
    return (volatile u8 *)(WINDOW(slot) + (physical & (MiB(2) - 1)));
}
