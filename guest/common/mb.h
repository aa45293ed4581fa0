/* SPDX-License-Identifier: MIT */
/* What a loader of multiboot 1 or 2 or of PVH tells, copied into one structure; and the options of the
 * command line. */
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

enum boot_protocol {
    BOOT_UNKNOWN, /* the magic number is nobody's */
    BOOT_MULTIBOOT1,
    BOOT_MULTIBOOT2,
    BOOT_PVH, /* a guest of Xen's: there are its hypercalls, and hardly a device */
};

struct boot {
    enum boot_protocol protocol;
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
