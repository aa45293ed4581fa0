/* SPDX-License-Identifier: MIT */
/* The kernel's ELF image: checked, and placed in memory. Pure logic. */
#ifndef BOOT_EFI_IMAGE_H
#define BOOT_EFI_IMAGE_H

#include "lib/types.h"

#define IMAGE_ALIGN MiB(2)
#define IMAGE_LIMIT MiB(16) /* of the image in memory: what the early tables map */

struct image {
    u64 virtual_base; /* of the first segment */
    u64 size;         /* bytes in memory from there, with everything zero-initialised */
    u64 entry;        /* virtual address of the 64-bit entry */
};

/*
 * elf: a static ELF64 executable for x86-64, whose first loadable segment starts with struct image_header.
 * Fills *image; ERR_INVAL with the fault named in err.
 */
int image_check(struct image *image, const u8 *elf, u64 size, char *err, size_t err_size);

/* Copies the segments of an image that passed image_check() to memory (image->size bytes), and zeroes the
 * rest. */
void image_place(const struct image *image, const u8 *elf, u8 *memory);

#endif
