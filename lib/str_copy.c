/* SPDX-License-Identifier: MIT */
/* Apart from string.c, so that host tests can link it beside libc. */
#include "lib/string.h"

bool str_copy(char *to, const char *from, size_t size)
{
    size_t n = strnlen(from, size);
    bool whole = n < size;

    if (!whole)
        n = size - 1;
    memcpy(to, from, n);
    to[n] = 0;
    return whole;
}
