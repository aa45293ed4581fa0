/* SPDX-License-Identifier: MIT */
/*
 * The trace: events of exits, in a ring for each physical CPU. Each ring has one writer, its CPU, and one
 * reader, the monitor, on any CPU; neither waits for the other. Pure logic: vmm/observe.c makes the events.
 */
#ifndef VMM_TRACE_H
#define VMM_TRACE_H

#include "arch/x86/vmx_bits.h"
#include "lib/types.h"

/* a: RIP, unless it says otherwise. */
enum trace_kind {
    TRACE_EXIT,   /* b: trace_detail; cost: ticks until the guest goes on, or the slow path begins */
    TRACE_ENTRY,  /* behind the slow path */
    TRACE_INJECT, /* b: interruption information, and error code << 32 */
    TRACE_NESTED, /* level is where it goes on; b: vmcs12; reason: L2's exit reason */
    TRACE_CHECK, /* b: the row that fails, a packed text, or 0; reason: EXIT_REASON or VM-instruction error */
    TRACE_IPI,   /* b: ICR, in the form of x2APIC mode */
    TRACE_PORT,  /* b: port, its size << 16, in << 20, string << 21; value << 32 */
    TRACE_MMIO,  /* b: guest-physical address, and qualification << 52 */
    TRACE_KINDS,
};

struct trace_event {
    u64 tsc;
    u8 kind : 4;
    u8 level : 2;     /* 1 or 2: who ran, or goes on */
    u8 slow : 1;      /* an exit with the slow path behind it */
    u8 reflected : 1; /* an exit of L2 that L1 has */
    u8 vm, vcpu;
    u8 reason;
    u32 cost;
    u64 a, b;
};
_Static_assert(sizeof(struct trace_event) == 32, "four words");

#define TRACE_ANY 0xff

/* What is recorded. */
struct trace_filter {
    u32 kinds;   /* bits */
    u8 vm, vcpu; /* or TRACE_ANY */
    u64 reasons[2];
};

extern const struct trace_filter trace_everything;

/* Of events with an exit's reason only those are asked for it that happen at exits. */
static inline bool trace_wants(const struct trace_filter *f, const struct trace_event *e)
{
    return f->kinds >> e->kind & 1 && (f->vm == TRACE_ANY || f->vm == e->vm) &&
           (f->vcpu == TRACE_ANY || f->vcpu == e->vcpu) &&
           (e->kind != TRACE_EXIT || f->reasons[e->reason >> 6 & 1] >> (e->reason & 63) & 1);
}

/* --- a ring --- */

struct trace_ring {
    u64 head;                   /* events that were ever written; the writer's */
    u64 mask;                   /* room for mask + 1, a power of two */
    struct trace_event *events; /* null: nothing is recorded */
    /* The reader's. */
    u64 next; /* the one to be read */
    u64 lost; /* overwritten before they were */
    struct trace_event peeked;
    bool has_peeked;
};

/* By the ring's CPU, with interrupts off. */
void trace_put(struct trace_ring *r, const struct trace_event *e);
/* The next one, if there is one. */
bool trace_get(struct trace_ring *r, struct trace_event *e);
/* The reader begins at the newest n that are left. Returns how many there are. */
u64 trace_rewind(struct trace_ring *r, u64 n);
/* Of several rings the earliest one. Returns which, nr: none is left. */
u32 trace_get_first(struct trace_ring *rings, u32 nr, struct trace_event *e);

/* --- as text, trace_text.c --- */

/* "exit", ...; a packed text. */
const char *trace_kind_name(u32 kind);
/* A kind by its name; TRACE_KINDS: there is none. */
u32 trace_kind_of(const char *name);
/* An exit reason by its number, its name with '-' for what is no letter or digit, or a part of that; the
 * first of several, if none begins with it. ERR_NOENT. */
int trace_reason_of(const char *text);
/* What there is to say of e but when and who. */
void trace_text(char *buf, size_t size, const struct trace_event *e);

#endif
