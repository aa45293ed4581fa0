/* SPDX-License-Identifier: MIT */
#ifndef BOOT_MAIN_H
#define BOOT_MAIN_H

#include "boot/boot_info.h"

struct uart16550;

/* Everything from here on is the same however Nidus was loaded. bi is validated; uart: com1, in use if it
 * exists. */
void __noreturn nidus_main(struct boot_info *bi, struct uart16550 *uart);

#endif
