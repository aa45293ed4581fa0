/* SPDX-License-Identifier: MIT */
#ifndef BOOT_MEMORY_H
#define BOOT_MEMORY_H

#include "boot/boot_info.h"

/* Takes the machine's memory over: frames, the pool, final page tables. */
void memory_init(const struct boot_info *bi);
u64 memory_own(void);     /* bytes: image and pool */
u64 memory_modules(void); /* bytes: files that the boot loader brought */

#endif
