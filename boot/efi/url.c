/* SPDX-License-Identifier: MIT */
#include "boot/efi/url.h"
#include "lib/string.h"

static bool copy(char *to, const char *from, size_t n, size_t size)
{
    if (n >= size)
        return false;
    memcpy(to, from, n);
    to[n] = 0;
    return true;
}

/* The length of "http://" or "https://" at the start; 0: neither. */
static size_t scheme(const char *url, size_t n)
{
    static const char http[] = "http", tail[] = "://";
    size_t at = sizeof(http) - 1;

    if (n < at + sizeof(tail) || memcmp(url, http, at) != 0)
        return 0;
    at += url[at] == 's';
    return n > at + sizeof(tail) - 1 && !memcmp(url + at, tail, sizeof(tail) - 1) ? at + sizeof(tail) - 1 : 0;
}

static bool in_path(char c)
{
    return c > ' ' && c <= '~' && c != '?' && c != '#';
}

bool url_split(const char *url, size_t n, char *directory, char *server, size_t size)
{
    size_t start = scheme(url, n), end = start, last = 0;

    if (!start)
        return false;
    while (end < n && in_path(url[end]) && url[end] != '/')
        end++;
    for (size_t i = end; i < n && in_path(url[i]); i++)
        if (url[i] == '/')
            last = i + 1;
    return end > start && last && copy(server, url + start, end - start, size) &&
           copy(directory, url, last, size);
}
