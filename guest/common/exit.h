/* SPDX-License-Identifier: MIT */
#ifndef GUEST_EXIT_H
#define GUEST_EXIT_H

#include "lib/types.h"

/* A guest of Xen's, started by PVH, asks Xen for each of these by a hypercall. */

/* Writes code to port 0xf4 (isa-debug-exit: not 0 is a failure) and, where nobody listens to that, powers
 * off. */
void __noreturn guest_fail(u32 code);
/* "Shutdown" to port 0x8900, then ACPI S5 if tables are found; stays halted where neither works. */
void __noreturn power_off(void);
/* Keyboard controller pulse, then port 0xcf9. */
void __noreturn machine_reset(void);

#endif
