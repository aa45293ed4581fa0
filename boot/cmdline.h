/* SPDX-License-Identifier: MIT */
/* Nidus's own command line: words, some of them NAME=VALUE. */
#ifndef BOOT_CMDLINE_H
#define BOOT_CMDLINE_H

#include "lib/types.h"

/* Is there a word that begins with prefix? What follows in the first such word is copied, cut to size. */
bool cmdline_value(const char *cmdline, const char *prefix, char *value, size_t size);
bool cmdline_has(const char *cmdline, const char *word);

#endif
