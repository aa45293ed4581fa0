/* SPDX-License-Identifier: MIT */
/* The console: a 16550 at 0x3f8, polled; where we were started by PVH, Xen's port for messages to its own
 * console. */
#ifndef GUEST_CONSOLE_H
#define GUEST_CONSOLE_H

#include "lib/types.h"

#define COM1           0x3f8
#define XEN_DEBUG_PORT 0xe9

void console_init(void);
void console_write(const char *text, size_t n);
void console_flush(void); /* waits until the last byte is out */
void printf(const char *fmt, ...) __printf(1, 2);

#endif
