/* SPDX-License-Identifier: MIT */
/* What a multiboot 1 or 2 loader tells, copied into one structure; and the options of the command line. */
#ifndef GUEST_MB_H
#define GUEST_MB_H

#include "lib/types.h"

#define BOOT_MAX_MAP     32
#define BOOT_MAX_MODULES 16
#define MEMORY_RAM       1

struct boot_range {
    u64 base, size;
    u32 type; /* as ACPI's E820: 1 is RAM */
};

struct boot_module {
    u64 start, end; /* end exclusive */
    char name[128];
};

struct boot {
    u32 protocol; /* 1 or 2; 0: the magic number is neither's */
    u32 magic;
    char loader[64];
    char cmdline[1024];
    u32 nr_map, nr_modules;
    struct boot_range map[BOOT_MAX_MAP];
    struct boot_module modules[BOOT_MAX_MODULES];
    u64 rsdp; /* address of a copy in the loader's information; 0: none */
};
extern struct boot boot;

void boot_parse(u32 magic, const void *info);

/* True: a page of RAM that holds nothing of ours (image, low 64 KiB, modules). */
bool boot_page_is_free(u64 address);

/* The option NAME or NAME=... on the command line: the text after '=' (up to the next space), "" without;
 * else null. */
const char *option(const char *name);
u64 option_number(const char *name, u64 otherwise); /* decimal or 0x... */
bool option_is(const char *name, const char *value);

#endif
