/* SPDX-License-Identifier: MIT */
/*
 * The monitor: what a person at the console asks of Nidus while guests go on. It is a task; its commands are
 * rows of tables, which commands.c lists. docs/monitor.md.
 */
#ifndef VMM_MONITOR_MONITOR_H
#define VMM_MONITOR_MONITOR_H

#include "lib/packed.h"
#include "lib/types.h"
#include "vmm/inspect.h"

struct monitor;
struct task;
struct vcpu;

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
/* control_call(); false: there is no such vCPU any more, and the person has been told. */
bool mon_call(struct monitor *m, u32 vm, u32 vcpu, void (*fn)(struct vcpu *v, void *arg), void *arg);

/* What a command is about. */
struct mon_view {
    u32 vm, vcpu;
    u32 level;     /* 1 or 2; 0: not said, the one that runs */
    bool physical; /* "gpa" was said */
};

/* Takes the words that say that out of argv, wherever they stand: a vCPU as mon_vcpu() has it, if there is a
 * '.' in it or it is the name of a VM; l1, l2, gpa, gva. False: the person has been told what is wrong. */
bool mon_view(struct monitor *m, u32 *argc, char **argv, struct mon_view *view);
/* The view's registers. False: told. */
bool mon_regs(struct monitor *m, const struct mon_view *view, struct inspect_regs *out);
/* Sums and differences of numbers and registers, which are the view's: "rsp+0x40". False: told. */
bool mon_address(struct monitor *m, const struct mon_view *view, const char *word, u64 *value);

/* --- for vmm.c; keys come one at a time, on any CPU --- */

/* Opens it, with the VM of this number selected. */
void monitor_open(u32 vm);
/* False: it is closed, and the key is somebody else's. */
bool monitor_key(char key);

/* --- for its parts --- */

/* The nth register by its name, as enum inspect_reg counts them; null: there are fewer. */
const char *mon_reg_name(u32 n);
/* What has happened to vCPUs and VMs since it was called last. */
void mon_news(struct monitor *m);
/* 01, 12 or 02, as enum inspect_vmcs; word may be null. False: told. */
bool mon_which_vmcs(struct monitor *m, const char *word, enum inspect_vmcs *which);
void mon_close(struct monitor *m); /* once the command is over */
void mon_selected(const struct monitor *m, u32 *vm, u32 *vcpu);
void mon_select(struct monitor *m, u32 vm, u32 vcpu);

/* Room for what a command wants to know of a vCPU, which is too much for a stack: as the last command left
 * it.
 */
void *mon_scratch(struct monitor *m);
#define MON_SCRATCH KiB(16)

/* The monitor's own task, for control_call(). */
struct task *mon_task(struct monitor *m);

#endif
