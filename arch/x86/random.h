/* SPDX-License-Identifier: MIT */
/*
 * Random bytes. A ChaCha20 generator whose key is replaced with each request, and mixed before it with 256
 * fresh bits: from RDSEED or else RDRAND where the CPU has them, and always with the jitter of the TSC around
 * memory accesses. Where the CPU has neither instruction the jitter is all there is; on an emulator it may be
 * the same each time.
 */
#ifndef ARCH_X86_RANDOM_H
#define ARCH_X86_RANDOM_H

#include "lib/types.h"

void random_bytes(void *to, size_t n);

#endif
