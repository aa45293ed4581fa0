/* SPDX-License-Identifier: MIT */
/* Names of the image's own functions, for backtraces. scripts/symbols.py makes the table from the linked
 * image. */
#ifndef LIB_SYMBOLS_H
#define LIB_SYMBOLS_H

#include "lib/types.h"

/*
 * The table: symbol_count offsets from symbol_base, ascending, and as many NUL-terminated names in the same
 * order. An empty name says that there is no function from there on. An image may be linked without it: then
 * no address has a name.
 */
extern const u64 symbol_base __attribute__((weak));
extern const u32 symbol_count __attribute__((weak));
extern const u32 symbol_offsets[] __attribute__((weak));
extern const char symbol_names[] __attribute__((weak));

/* The function that addr lies in, and how far from its start; null if that is not known. */
const char *symbol_name(u64 addr, u64 *offset);

#endif
