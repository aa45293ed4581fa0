/* SPDX-License-Identifier: MIT */
#include "boot/memory.h"
#include "arch/x86/paging.h"
#include "arch/x86/pool.h"
#include "arch/x86/trap.h"

/* Firmware of many machines, in SMM, takes what is there for its own. */
#define FIRMWARES_LOW_MEMORY KiB(64)

static struct frame_owner low_owner = {.name = "firmware's low memory"};
static struct frame_owner image_owner = {.name = "image"}, module_owner = {.name = "modules"};

static bool overlaps(u64 a, u64 a_size, u64 b, u64 b_size)
{
    return a < b + b_size && b < a + a_size;
}

/* The first 2 MiB-aligned piece of free RAM below 4 GiB, where the early tables map it. */
static paddr_t find_early(const struct boot_info *bi, u64 size)
{
    for (u32 i = 0; i < bi->nr_ranges; i++) {
        const struct boot_range *r = &bi->ranges[i];

        if (r->type != BOOT_RANGE_RAM)
            continue;
        for (u64 at = ALIGN_UP(r->base, POOL_CHUNK); at + size <= MIN(r->base + r->size, GiB(4));
             at += POOL_CHUNK) {
            bool taken = overlaps(at, size, bi->image_base, bi->image_size);

            for (u32 m = 0; m < bi->nr_modules; m++)
                taken |= overlaps(at, size, bi->modules[m].base, bi->modules[m].size);
            if (!taken)
                return at;
        }
    }
    panic("no %lu MiB of free memory below 4 GiB; the machine needs more memory", size >> 20);
}

/* The book-keeping of frames lies at the end of the pool's first chunks. */
void memory_init(const struct boot_info *bi)
{
    paddr_t max_pa = 0, early;
    u64 metadata, size;

    for (u32 i = 0; i < bi->nr_ranges; i++) {
        if (bi->ranges[i].type == BOOT_RANGE_RAM)
            max_pa = MAX(max_pa, bi->ranges[i].base + bi->ranges[i].size);
    }
    metadata = ALIGN_UP(frames_metadata_size(max_pa), PAGE_SIZE);
    size = ALIGN_UP(metadata + POOL_CHUNK / 2, POOL_CHUNK);
    early = find_early(bi, size);
    frames_init(pool_va(early + size - metadata), max_pa);
    for (u32 i = 0; i < bi->nr_ranges; i++) {
        if (bi->ranges[i].type == BOOT_RANGE_RAM)
            frames_add(bi->ranges[i].base, bi->ranges[i].size);
    }
    frames_reserve(&low_owner, 0, FIRMWARES_LOW_MEMORY); /* and no physical address is null */
    frames_reserve(&image_owner, bi->image_base, ALIGN_UP(bi->image_size, PAGE_SIZE));
    frames_reserve(&pool_owner, early, size);
    for (u32 i = 0; i < bi->nr_modules; i++)
        frames_reserve(&module_owner, bi->modules[i].base, bi->modules[i].size);
    pool_init(early, size, metadata);
    paging_init(bi->image_base, early, size);
}

u64 memory_own(void)
{
    return (image_owner.pages + pool_owner.pages) * PAGE_SIZE;
}

u64 memory_modules(void)
{
    return module_owner.pages * PAGE_SIZE;
}
