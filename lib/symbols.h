/* SPDX-License-Identifier: MIT */
/* Names of the image's own functions, for backtraces. scripts/symbols.py makes the table from the linked
 * image. */
#ifndef LIB_SYMBOLS_H
#define LIB_SYMBOLS_H

#include "lib/types.h"

#define SYMBOL_NAME_SIZE 64 /* of the longest name, with its NUL */

/*
 * The table: symbol_count functions from symbol_base on, ascending. symbol_sizes has how far it is from each
 * to the next, seven bits a byte, lowest first, bit 7 set in all bytes but the last. symbol_names has their
 * NUL-terminated names in the same order, packed with symbol_pairs (lib/packed.h). An image may be linked
 * without the table: then no address has a name.
 */
extern const u64 symbol_base __attribute__((weak));
extern const u32 symbol_count __attribute__((weak));
extern const u8 symbol_pairs[256][2] __attribute__((weak));
extern const u8 symbol_sizes[] __attribute__((weak));
extern const u8 symbol_names[] __attribute__((weak));

/* The function that addr lies in, and how far from its start; false if that is not known. */
bool symbol_name(u64 addr, char name[SYMBOL_NAME_SIZE], u64 *offset);

#endif
