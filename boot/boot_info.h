/* SPDX-License-Identifier: MIT */
/*
 * What a boot loader hands to Nidus, the same for multiboot2 and for the UEFI application. Everything in it
 * is untrusted until boot_info_validate() has passed. All addresses are physical.
 */
#ifndef BOOT_BOOT_INFO_H
#define BOOT_BOOT_INFO_H

#include "lib/framebuffer.h"
#include "lib/types.h"

#define BOOT_INFO_MAGIC   0x4f464e495344494eull /* "NIDSINFO" */
#define BOOT_INFO_VERSION 1
#define BOOT_MAX_RANGES   512
#define BOOT_MAX_MODULES  64
#define BOOT_NAME_MAX     120
#define BOOT_CMDLINE_MAX  1024

enum boot_range_type {
    BOOT_RANGE_RAM = 1,  /* free for use (boot services' memory included) */
    BOOT_RANGE_RESERVED, /* never touched */
    BOOT_RANGE_ACPI,     /* ACPI tables: read only, kept */
    BOOT_RANGE_NVS,      /* firmware's: kept */
    BOOT_RANGE_BAD,
    BOOT_RANGE_RUNTIME, /* UEFI runtime services: kept */
};

struct boot_range {
    u64 base, size; /* bytes; page-aligned and sorted after validation */
    u32 type, reserved;
};

/* A file that the boot loader placed in memory. name: the first word of its multiboot2 string, or its UEFI
 * path. */
struct boot_module {
    u64 base, size;
    char name[BOOT_NAME_MAX + 8];
};

struct boot_info {
    u64 magic;
    u32 version, size; /* sizeof(struct boot_info) */
    char loader[64];
    char cmdline[BOOT_CMDLINE_MAX];
    u64 image_base, image_size; /* where Nidus itself lies */
    u8 rsdp[36]; /* copy of the ACPI RSDP; rsdp_size bytes of it are valid (0: none, search for it) */
    u32 rsdp_size;
    u32 efi; /* booted by UEFI, boot services already left */
    struct boot_framebuffer fb;
    u32 nr_ranges, nr_modules;
    struct boot_range ranges[BOOT_MAX_RANGES];
    struct boot_module modules[BOOT_MAX_MODULES];
};

/* Appends a range, or lengthens the last one where it goes on with the same type. ERR_NOMEM: the map is full.
 */
int boot_info_add_range(struct boot_info *bi, u64 base, u64 size, u32 type);

/*
 * Checks magic, version, size and NUL-termination, sorts the memory map, resolves overlaps (the more
 * restrictive type wins), aligns RAM inwards and everything else outwards, merges neighbours, and checks that
 * modules and image lie in RAM and not over each other. What is wrong is named in err; ERR_INVAL. A module
 * that is bad is dropped with a warning through warn(text) and the rest goes on.
 */
int boot_info_validate(struct boot_info *bi, void (*warn)(const char *text), char *err, size_t err_size);

#endif
