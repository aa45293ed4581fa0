/* SPDX-License-Identifier: MIT */
/*
 * printf-like formatting without libc. Understood: flags '-', '0', '#'; width and precision, also '*';
 * lengths hh, h, l, ll, z; conversions d i u x X c s p %. '%p' prints 0x and 16 digits. Nothing else: no
 * floating point.
 */
#ifndef LIB_FORMAT_H
#define LIB_FORMAT_H

#include "lib/packed.h"
#include "lib/types.h"

/* Each formatted piece goes to put(ctx, text, length). Returns the number of characters. */
size_t format_to(void (*put)(void *ctx, const char *text, size_t n), void *ctx, const char *fmt,
                 va_list args);

/* Like C's vsnprintf: returns the length wanted; buf always ends with NUL when size > 0. */
size_t format_va(char *buf, size_t size, const char *fmt, va_list args);
size_t format(char *buf, size_t size, const char *fmt, ...) __printf(3, 4);
#define format(buf, size, ...) format(buf, size, PACK __VA_ARGS__)

#endif
