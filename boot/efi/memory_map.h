/* SPDX-License-Identifier: MIT */
/* A UEFI memory map as boot information. Pure logic. UEFI 2.10, 'EFI_BOOT_SERVICES.GetMemoryMap()'. */
#ifndef BOOT_EFI_MEMORY_MAP_H
#define BOOT_EFI_MEMORY_MAP_H

#include "boot/boot_info.h"

/*
 * Appends size bytes of descriptors, stride bytes apart, to the ranges, merging neighbours that come one
 * after the other. Memory of the loader and of boot services is RAM. When the map is full the rest is left
 * out: descriptors do not overlap, so that memory not mentioned is only not used. Returns the number left
 * out.
 */
u32 memory_map_convert(struct boot_info *info, const void *map, u64 size, u64 stride);

#endif
