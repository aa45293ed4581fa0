/* SPDX-License-Identifier: MIT */
/*
 * Breakpoints, watchpoints and single steps of guests, at L1 and in L2, for those who debug them: the monitor
 * and GDB's stub. A vCPU that meets one stops (vmm/control.h). What the CPU is told for it stands in the VMCS
 * and in the debug registers only while the guest itself runs, from just before an entry to just behind the
 * exit: nothing else, L1 included, ever sees it, and nothing is left of it.
 */
#ifndef VMM_DEBUG_H
#define VMM_DEBUG_H

#include "lib/types.h"

struct task;
struct vcpu;
struct vm;

#define DEBUG_MAX_POINTS 64

enum debug_kind {
    DEBUG_SOFTWARE, /* INT3 in the guest's memory: in that page, whatever maps it */
    DEBUG_HARDWARE, /* the others: by a debug register, at that address in all address spaces of the level */
    DEBUG_WATCH_WRITE,
    DEBUG_WATCH_ACCESS,
};

/* Each has its own. */
enum debug_owner { DEBUG_BY_GDB, DEBUG_BY_MONITOR };

struct debug_point {
    u8 kind;     /* enum debug_kind */
    u8 level;    /* 1 or 2 */
    u32 size;    /* in bytes, of what is watched; 1 for the others */
    u64 address; /* linear */
};

struct debug_step {
    u8 level;     /* whose instructions count; 0: any */
    u64 from, to; /* it goes on as long as from <= RIP < to */
};

/* What is kept of one for each vCPU: struct vcpu's. */
struct vcpu_debug {
    bool entered; /* what follows is in use, its guest runs */
    u8 slots;     /* DR0 to DR3 that are not the guest's meanwhile */
    u64 exceptions, primary, dr[4], dr7;
    bool (*on_exit)(struct vcpu *v), (*on_l2_exit)(struct vcpu *v);

    bool stepping;
    struct debug_step step;
    bool shadow; /* interrupts are held back for it, by blocking by STI */
    bool lifted; /* the breakpoint that it is to go past is out of its way */
    u8 past;     /* number of that breakpoint, from 1 on; 0: none */
    u64 past_rip;
};

/* --- by tasks --- */

/*
 * vcpu: whose address space the address of a software breakpoint is in. One that is there already is OK.
 * ERR_NOENT: no such vCPU; ERR_NOMEM: no room, or no debug register is left; ERR_FAULT: no memory is mapped
 * there; ERR_RANGE: it is no RAM.
 */
int debug_insert(struct task *t, u32 vm, u32 vcpu, enum debug_owner owner, const struct debug_point *p);
int debug_remove(struct task *t, u32 vm, u32 vcpu, enum debug_owner owner, const struct debug_point *p);
/* All vCPUs have left it: its points are gone. */
void debug_vm_ends(const struct vm *vm);
/* Of that level; 0: of both. */
void debug_remove_all(struct task *t, u32 vm, enum debug_owner owner, u8 level);
/*
 * The nth of an owner's in a VM, as it was inserted; watched memory may be several. false: there is none.
 */
bool debug_get(u32 vm, enum debug_owner owner, u32 n, struct debug_point *out);

/*
 * A vCPU that is held stops again, with STOP_STEP, when it is released and has executed one instruction, or
 * as many as it takes to leave a range. Interrupts wait meanwhile; an exception counts as its instruction.
 * ERR_UNSUPP: the CPU has no monitor trap flag.
 */
int debug_step(struct task *t, u32 vm, u32 vcpu, const struct debug_step *s);
/* It does not, after all. */
int debug_cancel_step(struct task *t, u32 vm, u32 vcpu);

/* --- by a vCPU within control_call() --- */

/* What stands in memory at a linear address under breakpoints, of n bytes that were read there; or (write)
 * breakpoints stay, over what has been written there. */
void debug_hide(struct vcpu *v, u8 level, u64 address, u8 *buf, u32 n, bool write);

/* --- for run.c: with REQ_DEBUG, right before the guest is entered --- */

void debug_before_entry(struct vcpu *v);

#endif
