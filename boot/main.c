/* SPDX-License-Identifier: MIT */
/* The order in which Nidus takes the machine over. */
#include "boot/main.h"
#include "arch/x86/apic.h"
#include "arch/x86/asm.h"
#include "arch/x86/cpu.h"
#include "arch/x86/paging.h"
#include "arch/x86/pool.h"
#include "arch/x86/smp.h"
#include "arch/x86/time.h"
#include "arch/x86/trap.h"
#include "drivers/uart16550.h"
#include "lib/log.h"
#include "lib/string.h"

extern u8 _image_start[], _image_end[];

static const struct boot_info *boot;
static struct frame_owner image_owner = {.name = "image"}, module_owner = {.name = "modules"};

static bool overlaps(u64 a, u64 a_size, u64 b, u64 b_size)
{
    return a < b + b_size && b < a + a_size;
}

/* The first 2 MiB-aligned piece of free RAM below 4 GiB, where the early tables map it. */
static paddr_t find_early(u64 size)
{
    for (u32 i = 0; i < boot->nr_ranges; i++) {
        const struct boot_range *r = &boot->ranges[i];

        if (r->type != BOOT_RANGE_RAM)
            continue;
        for (u64 at = ALIGN_UP(r->base, POOL_CHUNK); at + size <= MIN(r->base + r->size, GiB(4)); at += POOL_CHUNK) {
            bool taken = overlaps(at, size, boot->image_base, boot->image_size);

            for (u32 m = 0; m < boot->nr_modules; m++)
                taken |= overlaps(at, size, boot->modules[m].base, boot->modules[m].size);
            if (!taken)
                return at;
        }
    }
    panic("no %lu MiB of free memory below 4 GiB; the machine needs more memory", size >> 20);
}

/* The book-keeping of frames lies at the end of the pool's first chunks. */
static void take_memory(void)
{
    paddr_t max_pa = 0, early;
    u64 metadata, size;

    for (u32 i = 0; i < boot->nr_ranges; i++) {
        if (boot->ranges[i].type == BOOT_RANGE_RAM)
            max_pa = MAX(max_pa, boot->ranges[i].base + boot->ranges[i].size);
    }
    metadata = ALIGN_UP(frames_metadata_size(max_pa), PAGE_SIZE);
    size = ALIGN_UP(metadata + POOL_CHUNK / 2, POOL_CHUNK);
    early = find_early(size);
    frames_init(pool_va(early + size - metadata), max_pa);
    for (u32 i = 0; i < boot->nr_ranges; i++) {
        if (boot->ranges[i].type == BOOT_RANGE_RAM)
            frames_add(boot->ranges[i].base, boot->ranges[i].size);
    }
    frames_reserve(&pool_owner, 0, PAGE_SIZE); /* so that no physical address is null */
    frames_reserve(&image_owner, boot->image_base, ALIGN_UP(boot->image_size, PAGE_SIZE));
    frames_reserve(&pool_owner, early, size);
    for (u32 i = 0; i < boot->nr_modules; i++)
        frames_reserve(&module_owner, boot->modules[i].base, boot->modules[i].size);
    pool_init(early, size, metadata);
    paging_init(boot->image_base, early, size);
}

void __noreturn nidus_main(struct boot_info *bi, struct uart16550 *uart)
{
    (void)uart;
    boot = bi;
    take_memory();
    log_info("memory: %lu MiB, %lu KiB taken", frames_total() >> 20, (frames_total() - frames_available()) >> 10);
    panic("that was all");
}
