/* SPDX-License-Identifier: MIT */
/*
 * GDB's stub: a task that serves the remote serial protocol on a line of its own. docs/gdb.md says how VMs,
 * their levels and vCPUs are GDB's processes and threads.
 */
#ifndef VMM_GDB_GDB_H
#define VMM_GDB_GDB_H

#include "lib/types.h"

/* The line. */
struct gdb_port {
    /* Sends at once as many of the bytes as there is room for; returns how many. */
    u32 (*send)(const char *data, u32 n);
    /* Looks whether something has arrived. */
    void (*poll)(void);
    bool interrupts; /* it tells by itself, as a rule */
    /* The line is somebody else's again; null: it never is. */
    void (*leave)(void);
};

/* ERR_NOMEM. Once. */
int gdb_start(const struct gdb_port *port);
/* What has arrived; also from an interrupt handler; one at a time. */
void gdb_input(const char *data, size_t n);

#endif
