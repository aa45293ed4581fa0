/* SPDX-License-Identifier: MIT */
#ifndef BOOT_MAIN_H
#define BOOT_MAIN_H

#include "boot/boot_info.h"

/* Everything from here on is the same however Nidus was loaded. bi is validated. */
void __noreturn nidus_main(struct boot_info *bi);

#endif
