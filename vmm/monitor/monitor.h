/* SPDX-License-Identifier: MIT */
/*
 * The monitor: what a person at the console asks of Nidus while guests go on. It is a task; its commands are
 * rows of tables, which commands.c lists. docs/monitor.md.
 */
#ifndef VMM_MONITOR_MONITOR_H
#define VMM_MONITOR_MONITOR_H

#include "lib/packed.h"
#include "lib/types.h"

struct monitor;
struct task;

#define MONITOR_MAX_WORDS 16

/* A table of them ends with a row without a name. */
struct command {
    const char *name; /* not packed, as what is typed is compared with it */
    const char *args; /* packed; null: it takes none */
    const char *help; /* packed; "\n" between lines */
    /* argv[0] is the name, and argv[argc] null. The words are the command's, to change as it likes. */
    void (*run)(struct monitor *m, u32 argc, char **argv);
    /* What Tab offers behind the name, with blanks between; not packed. @vm: names of VMs, @vcpu: NAME.NUMBER
     * too, @reg: registers, @command: commands. May be null. */
    const char *words;
};

extern const struct command *const monitor_tables[];
extern const u32 monitor_nr_tables;

/*
 * Output, in lines of any length. It gives way to the guests at each end of a line: whatever else is read
 * between two lines may have changed, and no lock may be held. After Ctrl-C nothing is printed until the
 * command is over.
 */
void mon_print(struct monitor *m, const char *fmt, ...) __printf(2, 3);
#define mon_print(m, ...) mon_print(m, PACK __VA_ARGS__)
/* Has the person typed Ctrl-C? A command that has much to do, or waits, asks this and ends. */
bool mon_stopped(struct monitor *m);
/* Gives way for this many microseconds. False: a key was typed meanwhile, which is then forgotten. For live
 * views. */
bool mon_pause(struct monitor *m, u64 us);

/*
 * The vCPU that a word means: "VM.NUMBER" with the VM's name or number from 1 on, "VM" (vCPU 0, or the one
 * that was selected), or ".NUMBER" of the VM selected. Null: the one selected. False: there is no such one,
 * and the person has been told. It may end at any time: control_call() says so.
 */
bool mon_vcpu(struct monitor *m, const char *word, u32 *vm, u32 *vcpu);
/* A number: decimal, or hexadecimal with 0x. False: it is none, and the person has been told. */
bool mon_number(struct monitor *m, const char *word, u64 *value);
/* The monitor's own task, for control_call(). */
struct task *mon_task(struct monitor *m);

#endif
