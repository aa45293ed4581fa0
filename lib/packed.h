/* SPDX-License-Identifier: MIT */
/*
 * Texts that take less room. In a packed text, code c stands for the codes pairs[c], or for the character c
 * if the first of them is c itself.
 *
 * PACK "text" is a text that scripts/pack.py packs where it builds the image: what is only formatted, by
 * format_to() as a format or for %s, and never looked into otherwise. In what is built without that script
 * (host tests, the UEFI application), it is simply the text.
 */
#ifndef LIB_PACKED_H
#define LIB_PACKED_H

#include "lib/types.h"

#ifndef PACK
#define PACK
#endif

#define PACKED_SIZE  320 /* of the longest text, unpacked, with its NUL */
#define PACKED_DEPTH 16  /* how deep pairs may lie within pairs */

/* All that is packed, and its pairs. NUL is never part of a pair here. */
extern const char packed_texts[] __attribute__((weak, visibility("hidden")));
extern const char packed_texts_end[] __attribute__((weak, visibility("hidden")));
extern const u8 packed_pairs[256][2] __attribute__((weak, visibility("hidden")));

struct packed_reader {
    const u8 (*pairs)[2];
    const u8 *next;
    u8 later[PACKED_DEPTH]; /* second halves of the pairs that are being read, the innermost last */
    u32 depth;
};

static inline char packed_read(struct packed_reader *r)
{
    u8 code = r->depth ? r->later[--r->depth] : *r->next++;

    while (r->pairs[code][0] != code) {
        r->later[r->depth++] = r->pairs[code][1];
        code = r->pairs[code][0];
    }
    return (char)code;
}

/* The nth of texts that stand one behind the other, each with its NUL: PACK "a\0" "b\0". */
static inline const char *packed_nth(const char *texts, u32 n)
{
    while (n) {
        if (!*texts++)
            n--;
    }
    return texts;
}

#endif
