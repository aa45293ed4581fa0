/* SPDX-License-Identifier: MIT */
/*
 * The serial port that the log goes to: what the command line says, or else the configuration, or else
 * firmware (ACPI's SPCR), or else com1, on which the log begins.
 */
#ifndef BOOT_CONSOLE_H
#define BOOT_CONSOLE_H

#include "vmm/config.h"

struct uart16550;

/* In use, or not there: then it is one that nothing reaches. */
struct uart16550 *console_uart(void);

/* Starts the UART there, which nobody else has; null, or why that cannot be. */
const char *console_start_uart(struct uart16550 *u, const struct serial_port *at);

/* The first console: every later one replays the log. */
void console_begin(void);
/* Then, each as soon as it is known; what has more to say than what comes after it stays. */
void console_from_cmdline(const char *cmdline);
void console_from_firmware(void);
void console_from_config(const struct config *config);

#endif
