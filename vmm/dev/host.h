/* SPDX-License-Identifier: MIT */
/*
 * What a virtual device may ask of the VM it is in: the seam between devices and the VMM's core. Unit tests
 * bring their own implementation of these. Time is the VM's own: guest TSC ticks since the VM started. All of
 * these are called with the VM's device lock held unless stated.
 */
#ifndef VMM_DEV_HOST_H
#define VMM_DEV_HOST_H

#include "lib/list.h"
#include "lib/types.h"

struct vm;
struct vcpu;
struct or_word;
struct bus;

struct vtimer {
    struct list node;
    u64 when; /* VM time */
    bool armed;
    void (*fire)(struct vtimer *timer); /* may set the timer again */
    struct vcpu *vcpu;                  /* whose CPU looks after it */
};

u64 vm_now(struct vm *vm); /* VM time in ticks */
u64 vm_hz(struct vm *vm);  /* ticks in a second */
void vtimer_init(struct vtimer *t, struct vcpu *vcpu, void (*fire)(struct vtimer *));
void vtimer_set(struct vtimer *t, u64 when); /* a time in the past fires as soon as possible */
void vtimer_cancel(struct vtimer *t);

struct vcpu *vm_vcpu(struct vm *vm, u32 id); /* null if there is none */
u32 vm_nr_vcpus(struct vm *vm);
u32 vcpu_id(struct vcpu *vcpu);
struct vm *vcpu_vm(struct vcpu *vcpu);
struct lapic *vcpu_lapic(struct vcpu *vcpu);
/* Two zeroed pages for its local APIC, as long as it lives. */
void *vcpu_apic_pages(struct vcpu *vcpu);
struct platform *vm_platform(struct vm *vm); /* what platform_create() returned; null before */

/* Something changed that this vCPU must look at before its next instruction: wakes it or makes it exit. */
void vcpu_kick(struct vcpu *vcpu);
/* An interrupt has been posted to its local APIC, by who has set ON: as vcpu_kick(), or without an exit. */
void vcpu_notify(struct vcpu *vcpu);
/* Whether a fixed interrupt that is sent to this id of an APIC may be posted to this vCPU by the sender's
 * CPU, and will arrive so. */
void vcpu_takes_ipis(struct vcpu *vcpu, u32 id, bool takes);
void vcpu_init_signal(struct vcpu *vcpu);     /* INIT arrived */
void vcpu_sipi(struct vcpu *vcpu, u8 vector); /* start-up IPI; ignored unless it waits for one */
void vcpu_nmi(struct vcpu *vcpu);

enum vm_end { VM_END_POWEROFF, VM_END_RESET, VM_END_CRASH };
/* The VM shall end; the access that asked completes first. why: a short text for the log. */
void vm_request_end(struct vm *vm, enum vm_end how, const char *why);

void vm_console_put(struct vm *vm, const char *text, size_t n); /* guest serial output */

/* Has platform_poll() called soon, on a CPU that has the guest's memory at hand. Safe without the lock, as
 * long as the VM exists. */
void vm_request_poll(struct vm *vm);
const char *vm_name(struct vm *vm);
/* Random bytes, fit for keys where the CPU has RDSEED or RDRAND. */
void vm_random(void *to, size_t n);

struct bus *vm_pio_bus(struct vm *vm);
struct bus *vm_mmio_bus(struct vm *vm);
struct bus *vcpu_mmio_bus(struct vcpu *vcpu); /* what only this vCPU sees */
/* The VM's device lock, for devices that are called without it. */
void vm_lock(struct vm *vm);
void vm_unlock(struct vm *vm);
/* Zeroed memory that lives as long as the VM; null when there is none. */
void *vm_alloc(struct vm *vm, size_t size);

/* Guest memory. ERR_RANGE where the range is not all RAM; nothing is promised about a part copied before. */
int guest_write(struct vm *vm, gpa_t gpa, const void *from, u64 n);
/* user_or_words() from the page at gpa to the one at to. OK, or as guest_read(). */
int guest_or_words(struct vm *vm, gpa_t gpa, const struct or_word *words, u32 n, void *to);
int guest_read(struct vm *vm, gpa_t gpa, void *to, u64 n);
/* An aligned word at once, between user_begin() and user_end() on a CPU that runs or polls the VM. False: it
 * is not aligned, or not in RAM that has been touched. */
bool guest_write_quickly(gpa_t gpa, u64 value);

#endif
