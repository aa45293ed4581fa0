/* SPDX-License-Identifier: MIT */
/*
 * Exits under observation: counted with what they cost (stats.h), recorded (trace.h), or stopped at. As long
 * as nobody asks for that, struct vcpu's on_exit, on_l2_exit and enter are the functions themselves, and it
 * costs nothing.
 */
#ifndef VMM_OBSERVE_H
#define VMM_OBSERVE_H

#include "vmm/stats.h"
#include "vmm/trace.h"

struct entry_verdict;
struct task;
struct vcpu;
struct vm;

/* Of a vCPU, while it is observed. Its CPU's, but for what stats.h gives to a reader. */
struct observed {
    struct stats stats;
    struct trace_event exit; /* the newest exit; tsc: when it came */
    u64 qualification;
    u64 value;         /* what it was to write: WRMSR, OUT */
    u64 turn;          /* the vCPU's, then */
    const char *check; /* the row that a VM entry by it has failed, as trace_kind says */
    u8 failed;         /* how; 0: it has not */
    bool waiting;      /* it is not counted yet: the slow path goes on */
    u8 level;          /* that runs as far as the trace says */
};
_Static_assert(sizeof(struct observed) <= 2 * PAGE_SIZE, "OBSERVED_PAGES");

/* What a vCPU is to stop behind: an exit, or (check) a VM entry of L1's that fails. */
struct exit_break {
    bool used, check;
    u8 vm, vcpu; /* or TRACE_ANY */
    u8 level;    /* 0: either */
    u8 reason;
    bool has_what;
    u64 what; /* the port, MSR, guest-physical page, CPUID leaf, or else the exit qualification */
};

#define OBSERVE_BREAKS 8

struct observing {
    bool stats;
    struct trace_filter filter;       /* no kinds: nothing is recorded just now */
    struct trace_ring *rings;         /* by CPU; null: the trace is off */
    u32 nr_rings, rings_pages, pages; /* of the rings' heads, and of each */
    u32 nr_breaks;                    /* in use */
    struct exit_break breaks[OBSERVE_BREAKS];
};

extern struct observing observing;

/* --- for those who run vCPUs --- */

bool vmx_exit_observed(struct vcpu *v);
bool nested_l2_exit_observed(struct vcpu *v);
u64 vmx_enter_observed(struct vcpu *v);
/* v->observed: L1's VM entry fails. */
void observe_check(struct vcpu *v, const struct entry_verdict *why);
/* The VM has just become one that runs, but its vCPUs do not yet. */
void observe_vm(struct vm *vm);
/* The vCPU is being destroyed. */
void observe_free(struct vcpu *v);

/* --- by the monitor's task: each waits until all vCPUs know. ERR_NOMEM: for some it is off --- */

/* What is on is to be off, and so on. */
int observe_stats(struct task *t, bool on);
/* With rings of this many pages for each CPU, a power of two. */
int observe_trace(struct task *t, u32 pages);
void observe_trace_off(struct task *t);
/* ERR_NOMEM too if there are OBSERVE_BREAKS already. */
int observe_break(struct task *t, const struct exit_break *b);
void observe_unbreak(struct task *t, u32 n);

#endif
