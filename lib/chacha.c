/* SPDX-License-Identifier: MIT */
#include "lib/chacha.h"
#include "lib/string.h"

#define ROUND_PAIRS 10

static void mix(u32 *a, u32 *b, u32 shift)
{
    *b ^= *a;
    *b = *b << shift | *b >> (32 - shift);
}

/* A quarter round. */
static void quarter(u32 s[16], u32 a, u32 b, u32 c, u32 d)
{
    s[a] += s[b];
    mix(&s[a], &s[d], 16);
    s[c] += s[d];
    mix(&s[c], &s[b], 12);
    s[a] += s[b];
    mix(&s[a], &s[d], 8);
    s[c] += s[d];
    mix(&s[c], &s[b], 7);
}

void chacha20_block(const u32 key[CHACHA_KEY_WORDS], const u32 counter_and_nonce[4], u32 out[16])
{
    static const u32 constants[4] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574}; /* "expand 32-byte k" */
    u32 start[16];

    memcpy(start, constants, sizeof(constants));
    memcpy(start + 4, key, CHACHA_KEY_WORDS * sizeof(u32));
    memcpy(start + 12, counter_and_nonce, 4 * sizeof(u32));
    memcpy(out, start, sizeof(start));
    for (u32 i = 0; i < ROUND_PAIRS; i++) {
        for (u32 n = 0; n < 4; n++)
            quarter(out, n, 4 + n, 8 + n, 12 + n);
        for (u32 n = 0; n < 4; n++)
            quarter(out, n, 4 + (n + 1) % 4, 8 + (n + 2) % 4, 12 + (n + 3) % 4);
    }
    for (u32 n = 0; n < 16; n++)
        out[n] += start[n];
}
