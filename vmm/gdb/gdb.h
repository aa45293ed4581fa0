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
    /* The line is the stub's, or the console's again; null: it always is the stub's. */
    void (*take)(void);
    void (*leave)(void);
};

/* ERR_NOMEM. Once. */
int gdb_start(const struct gdb_port *port);
/* What has arrived; also from an interrupt handler; one at a time. */
void gdb_input(const char *data, size_t n);

/* --- a line that is shared with the console --- */

/* Somebody wants to run GDB at the console. False: the stub has a line of its own, or there is none. */
bool gdb_take_line(void);
/* False: the line is not the stub's now, and the key is for others. */
bool gdb_key(char key);

#endif
