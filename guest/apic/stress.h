/* SPDX-License-Identifier: MIT */
/*
 * Accounts of random IPIs. Each sender has vectors of its own, and sends a vector again to a CPU only when
 * that has taken it: requests for the same one would merge. So what is taken must be exactly what was sent.
 */
#ifndef GUEST_APIC_STRESS_H
#define GUEST_APIC_STRESS_H

#include "guest/apic/tests.h"

#define FIRST_VECTOR 0x40
#define NR_VECTORS   160
#define TIMER_VECTOR 0x38

enum form { PHYSICAL, LOGICAL, SELF, SELF_MSR, SET, ALL, OTHERS, BROADCAST, LOWEST, NR_FORMS };
extern const char *const form_names[NR_FORMS];

/* Rows of accounts: the CPUs; whoever takes a lowest-priority interrupt. */
#define ROW_ANY MAX_CPUS
#define ROWS    (MAX_CPUS + 1)

struct account {
    u32 sent;  /* by the vector's owner */
    u32 taken; /* by the target */
    u64 at;    /* TSC at which it was sent last, of the sender's */
    enum form form;
    bool to_sleeper; /* to a CPU that slept without a timer */
};

enum doing { WORKS, MASKED, RAISED, SLEEPS, SLEEPS_TIMER, ENDS };

struct stressed {
    enum doing doing;
    u32 level;           /* class of what is in service or of TPR: no interrupt of such a class may come */
    u32 done;            /* IPIs that arrive by what this CPU has sent */
    u32 forms[NR_FORMS]; /* sent */
    u32 halts, nested, nmis;   /* counted */
    u64 latest;                /* ticks it took at most to wake this CPU from a sleep without a timer */
    struct account timer, nmi; /* NMIs: of all CPUs to this one, one at a time */
    u32 nmi_from;              /* sender + 1 while one is on its way */
};

extern struct account accounts[ROWS][256];
extern struct stressed stressed[MAX_CPUS];
extern u32 per_cpu;  /* vectors of each sender */
extern u64 patience; /* ticks after which what has not arrived is lost */

static inline bool outstanding(const struct account *a)
{
    return __atomic_load_n(&a->taken, __ATOMIC_ACQUIRE) != a->sent;
}

static inline void account_send(struct account *a, enum form form, u64 now)
{
    a->at = now;
    a->form = form;
    __atomic_store_n(&a->sent, a->sent + 1, __ATOMIC_RELEASE);
}

/* Another CPU's TSC may be a little ahead. */
static inline u64 ticks_since(u64 at)
{
    u64 now = rdtsc();

    return now > at ? now - at : 0;
}

static inline u32 below(u32 n)
{
    return (u32)(cpu_random() >> 33) % n;
}

/* The last of each sender's vectors is for lowest priority: who takes it is not known before. */
static inline bool is_any(u32 vector)
{
    return (vector - FIRST_VECTOR) % per_cpu == per_cpu - 1;
}

/* An IPI of that form. False: its vector is still on its way, or there is no such destination. */
bool try_send(u32 me, enum form form);
/* With interrupts off, whatever is interrupted. */
void try_send_in_handler(u32 me);
void post_and_send(u32 cpu, u32 vector);
/* To a CPU at a time only one: a second and third would merge. */
void send_nmi(u32 me);

/* Everything that CPU of has sent: ends the machine if something is lost; true: all is taken. */
bool look_for_lost(u32 of);
void pause_until_taken(u32 of);
/* The end of a round: takes interrupts until all CPUs are here. */
void leave(u32 me);
/* n IPIs one behind the other, with nobody awake but who sends. */
void chain(u32 n);

/* These end the machine, having said all that there is to know. vector: 2 for an NMI. */
void __noreturn report_lost(u32 row, u32 vector, u32 sender, const struct account *a);
void __noreturn report_here(const char *what, u32 vector, const struct trap_frame *f);
/* In an NMI's handler: whether it comes of such a report; then this CPU has said how it is. */
bool report_nmi(const struct trap_frame *f);

#endif
