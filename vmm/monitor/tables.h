/* SPDX-License-Identifier: MIT */
/* The tables of commands, for commands.c. */
#ifndef VMM_MONITOR_TABLES_H
#define VMM_MONITOR_TABLES_H

#include "vmm/monitor/monitor.h"

extern const struct command monitor_vm[];      /* cmd_vm.c */
extern const struct command monitor_state[];   /* cmd_state.c */
extern const struct command monitor_memory[];  /* cmd_memory.c */
extern const struct command monitor_trace[];   /* cmd_trace.c */
extern const struct command monitor_stats[];   /* cmd_stats.c */
extern const struct command monitor_devices[]; /* cmd_devices.c, cmd_apic.c */

#endif
