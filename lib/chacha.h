/* SPDX-License-Identifier: MIT */
/* The ChaCha20 block function. RFC 8439, 'The ChaCha20 Block Function'. */
#ifndef LIB_CHACHA_H
#define LIB_CHACHA_H

#include "lib/types.h"

#define CHACHA_KEY_WORDS 8

/* counter_and_nonce: words 12 to 15 of the state. */
void chacha20_block(const u32 key[CHACHA_KEY_WORDS], const u32 counter_and_nonce[4], u32 out[16]);

#endif
