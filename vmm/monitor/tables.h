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

extern const struct command monitor_debug[]; /* cmd_debug.c */

/* To print where ERR_NOENT says that L1 has no L2. */
extern const char *const mon_no_l2; /* words.c */

/* --- breakpoints at addresses, for 'break' and 'unbreak' --- */

/* "break at | write | access ADDRESS ...". False: it is about something else. */
bool mon_break_at(struct monitor *m, u32 argc, char **argv);
/* Numbered from first on. */
void mon_list_points(struct monitor *m, u32 first);
/* The nth of them; false: there are fewer, or its VM has ended. */
bool mon_remove_point(struct monitor *m, u32 n);

#endif
