/* SPDX-License-Identifier: MIT */
#include "boot/efi/memory_map.h"
#include "lib/string.h"

struct descriptor {
    u32 type, pad;
    u64 physical, virtual, pages, attribute;
};

static const u8 types[] = {
    [0] = BOOT_RANGE_RESERVED,  /* EfiReservedMemoryType */
    [1] = BOOT_RANGE_RAM,       /* EfiLoaderCode */
    [2] = BOOT_RANGE_RAM,       /* EfiLoaderData */
    [3] = BOOT_RANGE_RAM,       /* EfiBootServicesCode */
    [4] = BOOT_RANGE_RAM,       /* EfiBootServicesData */
    [5] = BOOT_RANGE_RUNTIME,   /* EfiRuntimeServicesCode */
    [6] = BOOT_RANGE_RUNTIME,   /* EfiRuntimeServicesData */
    [7] = BOOT_RANGE_RAM,       /* EfiConventionalMemory */
    [8] = BOOT_RANGE_BAD,       /* EfiUnusableMemory */
    [9] = BOOT_RANGE_ACPI,      /* EfiACPIReclaimMemory */
    [10] = BOOT_RANGE_NVS,      /* EfiACPIMemoryNVS */
    [11] = BOOT_RANGE_RESERVED, /* EfiMemoryMappedIO */
    [12] = BOOT_RANGE_RESERVED, /* EfiMemoryMappedIOPortSpace */
    [13] = BOOT_RANGE_RESERVED, /* EfiPalCode */
    [14] = BOOT_RANGE_RESERVED, /* EfiPersistentMemory */
};

u32 memory_map_convert(struct boot_info *info, const void *map, u64 size, u64 stride)
{
    u32 left_out = 0;

    for (u64 at = 0; stride >= sizeof(struct descriptor) && at + stride <= size; at += stride) {
        struct descriptor d;
        u32 type;

        memcpy(&d, (const u8 *)map + at, sizeof(d));
        type = d.type < ARRAY_SIZE(types) ? types[d.type] : BOOT_RANGE_RESERVED;
        left_out += boot_info_add_range(info, d.physical, d.pages << PAGE_SHIFT, type) != OK;
    }
    return left_out;
}
