/* SPDX-License-Identifier: MIT */
#include "lib/text.h"
#include "lib/string.h"

bool text_has_blank(const char *text)
{
    while (*text && !text_is_blank(*text))
        text++;
    return *text != 0;
}

char *text_trim(char *text)
{
    size_t n;

    while (text_is_blank(*text))
        text++;
    n = strlen(text);
    while (n && text_is_blank(text[n - 1]))
        n--;
    text[n] = 0;
    return text;
}

char *text_split_word(char *text)
{
    while (*text && !text_is_blank(*text))
        text++;
    if (*text)
        *text++ = 0;
    return text_trim(text);
}

char *text_split(char *text, char separator)
{
    char *at = strchr(text, separator);

    if (at)
        *at++ = 0;
    return at;
}

bool text_take_number(const char **at, u64 *value)
{
    const char *s = *at;

    for (*value = 0; *s >= '0' && *s <= '9'; s++) {
        if (__builtin_mul_overflow(*value, 10, value) ||
            __builtin_add_overflow(*value, (u64)(*s - '0'), value))
            return false;
    }
    if (s == *at)
        return false;
    *at = s;
    return true;
}

int text_hex_digit(char c)
{
    char small = c | 0x20; /* digits have the bit */

    return c >= '0' && c <= '9' ? c - '0' : small >= 'a' && small <= 'f' ? small - 'a' + 10 : -1;
}

bool text_take_hex(const char **at, u64 *value)
{
    const char *s = *at;
    int digit;

    for (*value = 0; (digit = text_hex_digit(*s)) >= 0; s++) {
        if (*value >> 60)
            return false;
        *value = *value << 4 | (u64)digit;
    }
    if (s == *at)
        return false;
    *at = s;
    return true;
}

bool text_take_address(const char **at, u64 *value)
{
    const char *s = *at;

    if (s[0] != '0' || s[1] != 'x')
        return text_take_number(at, value);
    s += 2;
    if (!text_take_hex(&s, value))
        return false;
    *at = s;
    return true;
}

int text_choose(const char *text, const char *const *names, u32 n)
{
    for (u32 i = 0; i < n; i++) {
        if (!strcmp(text, names[i]))
            return (int)i;
    }
    return -1;
}
