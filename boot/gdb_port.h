/* SPDX-License-Identifier: MIT */
/* The serial port that GDB's stub is on, as the configuration says. */
#ifndef BOOT_GDB_PORT_H
#define BOOT_GDB_PORT_H

#include "vmm/config.h"

/* Once the console's interrupt is routed, and before any VM starts. False: it cannot be, which is logged. */
bool gdb_port_start(const struct config *config);

#endif
