/* SPDX-License-Identifier: MIT */
/* 16550A serial port at 0x3f8, IRQ 4. What the guest sends goes to its console at once. */
#ifndef VMM_DEV_UART_H
#define VMM_DEV_UART_H

#include "lib/types.h"

struct vm;
struct uart;

struct uart *uart_create(struct vm *vm);
/* Input for the guest, with the device lock held. Returns how many of the n bytes were taken: the rest did
 * not fit. */
size_t uart_receive(struct uart *uart, const void *data, size_t n);

#endif
