/* SPDX-License-Identifier: MIT */
#include "lib/symbols.h"

/* The last entry whose offset is not above the one asked for; symbol_count if there is none. */
static u32 find(u64 offset)
{
    u32 low = 0, high = symbol_count;

    while (low < high) {
        u32 middle = (low + high) / 2;

        if (symbol_offsets[middle] <= offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low ? low - 1 : symbol_count;
}

const char *symbol_name(u64 addr, u64 *offset)
{
    const char *name = symbol_names;
    u32 n;

    if (!&symbol_count || addr < symbol_base)
        return NULL;
    n = find(addr - symbol_base);
    if (n == symbol_count)
        return NULL;
    for (u32 i = 0; i < n; i++) {
        while (*name++)
            ;
    }
    if (!*name)
        return NULL;
    *offset = addr - symbol_base - symbol_offsets[n];
    return name;
}
