/* SPDX-License-Identifier: MIT */
#include "lib/symbols.h"
#include "lib/packed.h"

static u64 read_size(const u8 **at)
{
    u64 size = 0;
    u32 shift = 0;

    do {
        size |= (u64)(**at & 0x7f) << shift;
        shift += 7;
    } while (*(*at)++ & 0x80);
    return size;
}

/* The function that lies offset bytes from the first one, which becomes the offset in it; symbol_count if
 * none does. */
static u32 find(u64 *offset)
{
    const u8 *at = symbol_sizes;
    u32 n;

    for (n = 0; n < symbol_count; n++) {
        u64 size = read_size(&at);

        if (*offset < size)
            break;
        *offset -= size;
    }
    return n;
}

bool symbol_name(u64 addr, char name[SYMBOL_NAME_SIZE], u64 *offset)
{
    struct packed_reader r = {.pairs = symbol_pairs, .next = symbol_names};
    u32 n;

    if (!&symbol_count || addr < symbol_base)
        return false;
    *offset = addr - symbol_base;
    n = find(offset);
    if (n == symbol_count)
        return false;
    while (n) {
        if (!packed_read(&r))
            n--;
    }
    do {
        name[n] = packed_read(&r);
    } while (name[n++]);
    return true;
}
