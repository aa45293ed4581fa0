/* SPDX-License-Identifier: MIT */
#include "boot/cmdline.h"
#include "lib/string.h"
#include "lib/text.h"

bool cmdline_value(const char *cmdline, const char *prefix, char *value, size_t size)
{
    size_t n = strlen(prefix);

    while (*cmdline) {
        size_t length = 0;

        while (cmdline[length] && !text_is_blank(cmdline[length]))
            length++;
        if (length >= n && !memcmp(cmdline, prefix, n)) {
            length = MIN(length - n, size - 1);
            memcpy(value, cmdline + n, length);
            value[length] = 0;
            return true;
        }
        cmdline += length + (cmdline[length] != 0);
    }
    return false;
}

bool cmdline_has(const char *cmdline, const char *word)
{
    char rest[2];

    return cmdline_value(cmdline, word, rest, sizeof(rest)) && !rest[0];
}
