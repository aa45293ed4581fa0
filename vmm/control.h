/* SPDX-License-Identifier: MIT */
/* What people do to VMs and vCPUs from outside, while these run: the monitor, the debugger's stub. */
#ifndef VMM_CONTROL_H
#define VMM_CONTROL_H

#include "lib/types.h"

struct task;
struct vcpu;
struct vm;

enum stop_kind {
    STOP_NONE,
    STOP_STEP,       /* after one instruction */
    STOP_BREAKPOINT, /* data[0]: linear address */
    STOP_WATCH,      /* data[0]: linear address; data[1]: 1 write, 3 read or write */
    STOP_EXIT,       /* data[0]: exit reason; data[1]: qualification */
    STOP_CHECK,      /* a VM entry of L1's failed a check; data[1]: which, a packed text, or 0 */
    STOP_CRASH,      /* vm->why; with crash = keep */
};

/* Why a vCPU has stopped by itself. */
struct vcpu_stop {
    u8 kind; /* enum stop_kind */
    u64 data[2];
};

struct vcpu_call {
    void (*fn)(struct vcpu *v, void *arg);
    void *arg;
    struct task *task;
    u32 done;
    int result;
};

/* --- by tasks --- */

/*
 * Calls fn(v, arg) where the vCPU is, in its slow path, and waits: its VMCS (in L2: vmcs02) and registers are
 * in the CPU, its VM's memory is mapped, no lock is held. That works whatever the vCPU does, and when it is
 * held; its guest does not notice. fn must not wait for anything. ERR_NOENT: there is no such vCPU, or its VM
 * has ended.
 */
int control_call(struct task *t, u32 vm, u32 vcpu, void (*fn)(struct vcpu *v, void *arg), void *arg);
/* Calls fn(vm, arg) at once; the VM stays as long. fn must not wait for anything. ERR_NOENT: it does not run.
 */
int control_vm(struct task *t, u32 vm, void (*fn)(struct vm *vm, void *arg), void *arg);
/* t is woken whenever a vCPU stops, and when a VM starts or ends. For good. */
void control_listen(struct task *t);

/* --- by anybody, on any CPU, while the VM stays --- */

/* v does not go on before vcpu_release(); until then its timers run and its interrupts wait. why: REQ_HELD or
 * REQ_STOPPED, which do not know of each other. */
void vcpu_hold(struct vcpu *v, u64 why);
void vcpu_release(struct vcpu *v, u64 why);
void vm_hold_all(struct vm *vm, u64 why);
void vm_release_all(struct vm *vm, u64 why);

/* --- by a vCPU in its own exit or slow path --- */

/* It stops before its next instruction, and those who listen are told. An exit handler returns false then. */
void vcpu_stop(struct vcpu *v, const struct vcpu_stop *why);

/* --- for run.c and vmm.c --- */

/* REQ_CALL. */
void control_serve(struct vcpu *v);
/* The vCPU ends: nobody waits for it any more. */
void control_vcpu_gone(struct vcpu *v);
/* A VM has started, or ended. */
void control_changed(void);

#endif
