/* SPDX-License-Identifier: MIT */
/* links: boot/multiboot2.c boot/boot_info.c lib/format.c lib/str_copy.c */
#include <stdlib.h>
#include <string.h>

#include "boot/multiboot2.h"

static void warn(const char *text)
{
    (void)text;
}

/* Anything may come; what passes both checks must keep the promises of boot_info.h. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct boot_info bi;
    char err[256];

    if (multiboot2_parse(&bi, MULTIBOOT2_BOOT_MAGIC, data, size, err, sizeof(err)))
        return 0;
    bi.image_base = 0x200000;
    bi.image_size = 0x1000;
    if (boot_info_validate(&bi, warn, err, sizeof(err)))
        return 0;
    for (u32 i = 0; i < bi.nr_ranges; i++) {
        const struct boot_range *r = &bi.ranges[i];

        if (!r->size || !IS_ALIGNED(r->base | r->size, PAGE_SIZE) || r->base + r->size > BIT(52))
            abort();
        if (i && r[-1].base + r[-1].size > r->base)
            abort();
    }
    for (u32 i = 0; i < bi.nr_modules; i++)
        if (!bi.modules[i].name[0] || strnlen(bi.modules[i].name, sizeof(bi.modules[i].name)) > 127)
            abort();
    return 0;
}
