/* SPDX-License-Identifier: MIT */
/*
 * What the compiler and the kernel need of <string.h>. Up to 32 bytes are moved with overlapping loads and
 * stores, more with the 8-byte string instructions. All loads of a piece come before its stores, so that an
 * overlap is harmless.
 */
#include "lib/string.h"

typedef u64 __attribute__((may_alias, aligned(1))) any_u64;
typedef u32 __attribute__((may_alias, aligned(1))) any_u32;
typedef u16 __attribute__((may_alias, aligned(1))) any_u16;

#define AT(type, p, offset) (*(type *)((char *)(p) + (offset)))

/* Hides a loop's variable from the compiler, which would turn the loop into a call of the function it
 * implements. */
#define OPAQUE(x) __asm__("" : "+r"(x))

static void copy_up_to_32(void *to, const void *from, size_t n)
{
    if (n >= 16) {
        u64 a = AT(const any_u64, from, 0), b = AT(const any_u64, from, 8);
        u64 c = AT(const any_u64, from, n - 16), d = AT(const any_u64, from, n - 8);

        AT(any_u64, to, 0) = a;
        AT(any_u64, to, 8) = b;
        AT(any_u64, to, n - 16) = c;
        AT(any_u64, to, n - 8) = d;
    } else if (n >= 8) {
        u64 a = AT(const any_u64, from, 0), b = AT(const any_u64, from, n - 8);

        AT(any_u64, to, 0) = a;
        AT(any_u64, to, n - 8) = b;
    } else if (n >= 4) {
        u32 a = AT(const any_u32, from, 0), b = AT(const any_u32, from, n - 4);

        AT(any_u32, to, 0) = a;
        AT(any_u32, to, n - 4) = b;
    } else if (n >= 2) {
        u16 a = AT(const any_u16, from, 0), b = AT(const any_u16, from, n - 2);

        AT(any_u16, to, 0) = a;
        AT(any_u16, to, n - 2) = b;
    } else if (n == 1) {
        AT(char, to, 0) = AT(const char, from, 0);
    }
}

/* n >= 8. Right for an overlap too when to lies below from. */
static void copy_forward(void *to, const void *from, size_t n)
{
    u64 tail = AT(const any_u64, from, n - 8);
    void *last = (char *)to + n - 8;
    size_t count = n / 8;

    __asm__ volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
    *(any_u64 *)last = tail;
}

/* n >= 8. For an overlap with to above from. */
static void copy_backward(void *to, const void *from, size_t n)
{
    u64 head = AT(const any_u64, from, 0);

    for (size_t left = n; left >= 8;) {
        left -= 8;
        AT(any_u64, to, left) = AT(const any_u64, from, left);
        OPAQUE(left);
    }
    AT(any_u64, to, 0) = head;
}

void *memcpy(void *restrict to, const void *restrict from, size_t n)
{
    if (n <= 32)
        copy_up_to_32(to, from, n);
    else
        copy_forward(to, from, n);
    return to;
}

void *memmove(void *to, const void *from, size_t n)
{
    if (n <= 32)
        copy_up_to_32(to, from, n);
    else if ((uintptr_t)to - (uintptr_t)from >= n)
        copy_forward(to, from, n);
    else
        copy_backward(to, from, n);
    return to;
}

void *memset(void *p, int c, size_t n)
{
    u64 value = 0x0101010101010101ull * (u8)c;

    if (n >= 8) {
        void *at = p;
        size_t count = n / 8;

        AT(any_u64, p, n - 8) = value;
        if (n < 16)
            AT(any_u64, p, 0) = value;
        else
            __asm__ volatile("rep stosq" : "+D"(at), "+c"(count) : "a"(value) : "memory");
    } else if (n >= 4) {
        AT(any_u32, p, 0) = (u32)value;
        AT(any_u32, p, n - 4) = (u32)value;
    } else if (n >= 2) {
        AT(any_u16, p, 0) = (u16)value;
        AT(any_u16, p, n - 2) = (u16)value;
    } else if (n == 1) {
        AT(u8, p, 0) = (u8)value;
    }
    return p;
}

int memcmp(const void *a, const void *b, size_t n)
{
    const u8 *x = a, *y = b;

    for (; n >= 8; n -= 8, x += 8, y += 8) {
        if (AT(const any_u64, x, 0) != AT(const any_u64, y, 0))
            break;
    }
    for (; n; n--, x++, y++) {
        if (*x != *y)
            return *x - *y;
        OPAQUE(x);
    }
    return 0;
}

size_t strlen(const char *s)
{
    const char *end = s;

    while (*end) {
        end++;
        OPAQUE(end);
    }
    return (size_t)(end - s);
}

size_t strnlen(const char *s, size_t max)
{
    size_t n = 0;

    while (n < max && s[n])
        n++;
    return n;
}

int strcmp(const char *a, const char *b)
{
    for (; *a && *a == *b; a++, b++)
        OPAQUE(a);
    return (u8)*a - (u8)*b;
}

int strncmp(const char *a, const char *b, size_t n)
{
    for (; n && *a && *a == *b; a++, b++, n--)
        OPAQUE(a);
    return n ? (u8)*a - (u8)*b : 0;
}

char *strchr(const char *s, int c)
{
    for (; *s != (char)c; s++) {
        if (!*s)
            return NULL;
    }
    return (char *)s;
}

char *strstr(const char *s, const char *what)
{
    size_t n = strlen(what);

    for (; strncmp(s, what, n); s++) {
        if (!*s)
            return NULL;
    }
    return (char *)s;
}
