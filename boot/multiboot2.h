/* SPDX-License-Identifier: MIT */
#ifndef BOOT_MULTIBOOT2_H
#define BOOT_MULTIBOOT2_H

#include "boot/boot_info.h"

#define MULTIBOOT2_BOOT_MAGIC 0x36d76289u

/*
 * Fills *bi from a multiboot2 information structure ('Boot information format' of the Multiboot2
 * Specification 2.0). info: its first byte, readable for the length that it states, at most max_size. magic:
 * EAX at entry. Returns 0, or ERR_INVAL with the malformed or missing part named in err. image_base and
 * image_size are left to the caller.
 */
int multiboot2_parse(struct boot_info *bi, u32 magic, const void *info, size_t max_size, char *err,
                     size_t err_size);

#endif
