/* SPDX-License-Identifier: MIT */
/*
 * What emulated memory accesses ask of the vCPU that makes them, and of its VM: the seam below vmm/mmio.c and
 * vmm/string_io.c. Unit tests bring their own. The caller holds no lock; guest_read() and guest_write() of
 * vmm/dev/host.h are used likewise.
 */
#ifndef VMM_MMIO_HOST_H
#define VMM_MMIO_HOST_H

#include "lib/types.h"
#include "vmm/event.h"
#include "vmm/dev/host.h"
#include "vmm/segment.h"
#include "vmm/walk.h"

u64 vcpu_get_reg(struct vcpu *v, u32 n); /* 0 to 15 */
void vcpu_set_reg(struct vcpu *v, u32 n, u64 value);
u64 vcpu_get_rflags(struct vcpu *v);
void vcpu_set_rflags(struct vcpu *v, u64 value);
/* Is any breakpoint enabled? Then each access asks vcpu_breakpoints() of vmm/event.h. */
bool vcpu_has_breakpoints(struct vcpu *v);
u64 vcpu_get_rip(struct vcpu *v);
void vcpu_segment(struct vcpu *v, u32 seg, struct segment *out); /* SEG_* */
/* Fills all of *w but ctx, read and update. */
void vcpu_paging(struct vcpu *v, struct walk_ctx *w);

/*
 * After an exit for an access to guest-physical memory: the linear address, if it is known and the access was
 * to its translation (not to a paging-structure entry). *write: the access was, or included, a write.
 */
bool vcpu_fault_linear(struct vcpu *v, gva_t *gva, bool *write);

/*
 * An instruction, or some items of a repeated one, are done: RIP becomes rip, blocking by STI and MOV SS
 * ends, and with RFLAGS.TF a single-step trap is pending.
 */
void vcpu_advance(struct vcpu *v, u64 rip);

/*
 * Sets 4 or 8 aligned bytes of guest RAM to new if they are old, atomically. OK; ERR_BUSY: they are not;
 * ERR_RANGE: not RAM.
 */
int guest_update(struct vm *vm, gpa_t gpa, u32 size, u64 old, u64 new);

/*
 * Where the vCPU's physical address *gpa is in the VM: the same, but for a guest of the guest. access:
 * WALK_*. ERR_BUSY: its hypervisor does not allow the access, and will see an exit before the next
 * instruction.
 */
int vcpu_physical(struct vcpu *v, gpa_t *gpa, u32 access);

/* The VM's name, for a message about something that it does; null when there have been many of them. */
const char *vcpu_may_report(struct vcpu *v);

/* The VM's buses. size: 1, 2, 4 or 8 (ports: to 4) bytes. */
u64 vcpu_mmio_read(struct vcpu *v, gpa_t gpa, u32 size);
void vcpu_mmio_write(struct vcpu *v, gpa_t gpa, u32 size, u64 value);
u32 vcpu_port_read(struct vcpu *v, u16 port, u32 size);
void vcpu_port_write(struct vcpu *v, u16 port, u32 size, u32 value);

#endif
