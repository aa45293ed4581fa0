/* SPDX-License-Identifier: MIT */
#include "guest/l1/l1.h"
#include "lib/string.h"

#define GIB 4 /* that are mapped */

static u64 pml4[512] __aligned(4096), pdpt[512] __aligned(4096), pd[GIB][512] __aligned(4096);
static u64 pt[512] __aligned(4096);
/* Not in the 2 MiB of the image: what the tests do to its mapping must not hit L2's code. */
u8 *const page = (u8 *)TEST_PAGES;

u64 ept_build(void)
{
    u64 large = TEST_PAGES / MiB(2);

    pml4[0] = (u64)pdpt | EPT_RWX;
    for (u64 i = 0; i < GIB; i++)
        pdpt[i] = (u64)pd[i] | EPT_RWX;
    for (u64 i = 0; i < GIB * 512; i++)
        pd[i / 512][i % 512] = MiB(2) * i | EPT_RWX | EPT_WB | EPT_LARGE;
    for (u64 i = 0; i < 512; i++)
        pt[i] = (MiB(2) * large + PAGE_SIZE * i) | EPT_RWX | EPT_WB;
    pd[large / 512][large % 512] = (u64)pt | EPT_RWX;
    ept_flush();
    return (u64)pml4 | EPTP_WB | EPTP_WALK_4;
}

u64 *ept_entry(u32 level)
{
    switch (level) {
    case 1:
        return &pt[TEST_PAGES / PAGE_SIZE % 512];
    case 2:
        return &pd[TEST_PAGES / GiB(1)][TEST_PAGES / MiB(2) % 512];
    case 3:
        return &pdpt[TEST_PAGES / GiB(1)];
    default:
        return &pml4[0];
    }
}

void ept_flush(void)
{
    vmx_invept(2, (struct invalidate){0, 0});
}
