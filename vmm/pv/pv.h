/* SPDX-License-Identifier: MIT */
/* The paravirtual interface: what a VM and its vCPUs hold for it, and its entrances. docs/pv.md. */
#ifndef VMM_PV_PV_H
#define VMM_PV_PV_H

#include "guest/pv/nidus.h"
#include "lib/spinlock.h"
#include "lib/types.h"
#include "vmm/config.h"
#include "vmm/dev/host.h"
#include "vmm/pv/kvm.h"

struct vm;
struct vcpu;

/* Who runs an operation: the vCPU itself; for its L2, whose VMCS is current; another CPU, while v may be
 * running. */
enum pv_by { PV_BY_SELF, PV_BY_L2, PV_BY_POLLER };

/* An operation with its arguments, which it may change when it wants to go on later. */
struct pv_call {
    struct vcpu *v; /* the one that asked */
    u32 op;
    enum pv_by by;
    u64 arg[4];
};

#define PV_AGAIN INT64_MIN /* not done yet: to be called again, with the arguments as they are then */

struct pv_queue {
    struct spinlock lock;    /* of all below */
    struct nidus_area *area; /* in the VM's space; null: none. Its page stays in place as long */
    u32 head;                /* what area->head should be */
    bool begun;              /* call is the entry at head: PV_AGAIN */
    bool stopped;            /* the CPU that polls leaves it alone until the guest flushes */
    bool asked;              /* the next entry is for the vCPU to run, which has been told */
    struct pv_call call;
};

/* Clocks that are kept for a vCPU. */
enum pv_clock_place { PV_CLOCK_AREA, PV_CLOCK_KVM, PV_NR_CLOCKS };

struct pv_vcpu {
    struct pv_queue queue;
    gpa_t area;                /* as its MSR reads; 0: none */
    gpa_t clock[PV_NR_CLOCKS]; /* of a struct nidus_clock; GPA_NONE */
    struct vtimer timer;       /* NIDUS_OP_SET_TIMER */
    u8 timer_vector;
    struct pv_kvm kvm;
};

#define GPA_NONE (~(gpa_t)0)

/* A VM's end of a channel, of whose lock it all is. */
struct pv_member {
    struct vcpu *vcpu; /* null: not open */
    u8 vector;
    gpa_t gpa; /* of the page */
    struct pv_member *next;
};

struct pv_vm {
    struct spinlock lock;    /* of hypercall_page, and of area and clock of all vCPUs */
    u64 hypercall_page;      /* as its MSR reads */
    struct spinlock balloon; /* memory is released or populated */
    struct pv_member member[CONFIG_MAX_CHANNELS];
};

/* --- hypercall.c --- */

/* Runs an entry of a queue once. PV_AGAIN, or the result. */
s64 pv_call_run(struct pv_call *c);
/* May the CPU that polls run it? */
bool pv_call_anywhere(u32 op);

/* L2's VMCS is current, and it has made a hypercall: is it one that Nidus has for L2? */
bool pv_serves_l2(struct vcpu *v);
/* Then: an exit handler. */
bool pv_l2_vmcall(struct vcpu *v);

/* --- queue.c --- */

enum pv_queue_end {
    PV_QUEUE_EMPTY,
    PV_QUEUE_BLOCKED, /* the next entry is not ready: who queues it was interrupted */
    PV_QUEUE_STOPPED, /* behind an entry that failed and says so */
    PV_QUEUE_AGAIN,   /* there is something more urgent */
    PV_QUEUE_OWN,     /* the next entry is for the vCPU itself to run */
    PV_QUEUE_BAD,     /* indices out of range */
};

/* Runs entries of a queue of v's, whose lock is held and which has an area. */
enum pv_queue_end pv_queue_serve(struct pv_queue *q, struct vcpu *v, enum pv_by by);
/* An entry with NIDUS_NOTIFY is done. */
void pv_queue_notify(struct vcpu *v, u32 vector);

/* --- area.c: the two MSRs --- */

void pv_vcpu_init(struct vcpu *v);
/* INIT: the vCPU has no area any more. */
void pv_vcpu_reset(struct vcpu *v);
/* v's VMCS is current and its control registers may have changed. */
void pv_area_store_crs(struct vcpu *v);
/* Is a part of the range in use as an area or hypercall page, so that it has to stay? With vm->pv.lock held,
 * from before it is known to be RAM until it is in use, or is taken. */
bool pv_pins(struct vm *vm, gpa_t gpa, u64 size);

/* The page at gpa as an area, cleared, for the vCPU of this number; null: it is no RAM. */
struct nidus_area *pv_area_at(struct vm *vm, gpa_t gpa, u32 id);

/* --- channel.c --- */

/* None of the VM's vCPUs runs any more, and vmm_flush_wanted has been raised. */
void pv_channels_leave(struct vm *vm);

/* --- poll.c --- */

extern u32 pv_poll_cpu; /* the CPU that serves the queues of all VMs; CPU_NONE */
void __noreturn pv_poll_main(void);
/* Another CPU has met an entry that v has to run. v's VMCS is current, not that of its L2. */
void pv_queue_asked(struct vcpu *v);

/* --- clock.c --- */

/* ns = (ticks << *shift) * *mul >> 32; a shift below 0 is one to the right. hz: at least 1. */
void pv_clock_scale(u64 hz, u32 *mul, s8 *shift);
/* The clocks of all vCPUs are written anew: one was added, or a TSC offset has changed. With vm->pv.lock. */
void pv_clocks_publish(struct vm *vm);
/* Into the guest's memory at gpa: n bytes from *version on, which is the first of them and is made the next
 * even one. Readers wait while it is odd. */
void pv_publish(struct vm *vm, gpa_t gpa, u32 *version, u64 n);
u64 pv_clock_ns(struct vm *vm); /* what they show now */
u64 pv_clock_ticks(u64 ns);     /* the VM time when they show this; below 2^57 */

/* --- ops_cpu.c --- */

void pv_timer_init(struct vcpu *v);

#endif
