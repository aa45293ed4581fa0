/* SPDX-License-Identifier: MIT */
/*
 * Tasks: what Nidus does for people, while guests run (the monitor, the debugger's stub). Each has a stack of
 * its own and is written straight on: it waits for a key or for a vCPU where it stands. All run on one CPU,
 * in its main loop between vCPUs, with interrupts off and no VM's memory mapped. While one runs that CPU's
 * guests do not: it gives way within about a millisecond, and holds no lock then.
 */
#ifndef VMM_TASK_H
#define VMM_TASK_H

#include "lib/types.h"

struct task {
    const char *name;
    void (*main)(struct task *t); /* never returns */
    u64 rsp;                      /* while it does not run */
    u64 due;                      /* host TSC: it runs then in any case; ~0: never */
    u32 ready;
    struct task *next;
};

/* Makes a stack for it; it starts soon. ERR_NOMEM. */
int task_start(struct task *t, const char *name, void (*main)(struct task *t));
/* t looks again, soon. On any CPU, interrupt handlers included. */
void task_wake(struct task *t);

/* --- by a task itself --- */

/* Until it is woken. That may have been for something else: look in a loop. */
void task_wait(struct task *t);
/* The same, but no longer than until then (host TSC; it may become a slice later). false: that is over. */
bool task_wait_until(struct task *t, u64 tsc);
/* The guests of this CPU have it for a while. */
void task_give_way(struct task *t);

/* --- for the main loop --- */

extern struct task *vmm_tasks; /* never fewer */

/* Does one want this CPU? */
bool tasks_wait(u64 now);
/* Each that does has it once. When the next wants it by itself; ~0: never. */
u64 tasks_run(void);
/* This CPU was told that there is something for a task: what runs here comes to prepare() soon. */
void tasks_poke(u8 vector);

#endif
