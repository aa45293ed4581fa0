/* SPDX-License-Identifier: MIT */
/* What a vCPU takes next: vmm/events.h on the VMCS. The vCPU is loaded on this CPU. */
#ifndef VMM_EVENT_H
#define VMM_EVENT_H

#include "vmm/events.h"

struct vcpu;

/* An exception for the guest's next entry; with one that is being delivered it makes a double fault where the
 * SDM says so, and with a double fault a triple fault. */
void vcpu_inject_exception(struct vcpu *v, u8 vector);
void vcpu_inject_exception_error(struct vcpu *v, u8 vector, u32 error_code);
void vcpu_inject_page_fault(struct vcpu *v, u32 error_code, gva_t address);
/* Before an entry, with the device lock held: interrupts, NMIs and windows. */
void vcpu_deliver_events(struct vcpu *v);
/* With the device lock held: does anything end its HLT? */
bool vcpu_wakes(struct vcpu *v);
/* count: 1 or 2 NMIs. */
void vcpu_nmi_arrived(struct vcpu *v, u32 count);
/* After an exit during the delivery of an event: it is delivered again, unless the exit makes another one of
 * it. unblocked_nmi: as in struct events_exit. */
void vcpu_requeue_event(struct vcpu *v, bool unblocked_nmi);
/* RFLAGS.RF is as an exception that Nidus has met for the guest saves it. info: its interruption information.
 */
void vcpu_set_resume_flag(u32 info);
/* The instruction that exited is done: next RIP, shadows gone, single-step trap pending. */
void vcpu_skip_instruction(struct vcpu *v);
/* What the vCPU's breakpoints match of an access: events_breakpoints(). */
u64 vcpu_breakpoints(struct vcpu *v, u64 address, u32 size, enum debug_access access);
/* An instruction is done that matched them. */
void vcpu_debug_trap(struct vcpu *v, u64 breakpoints);
/* A port was accessed by an instruction that is done. */
void vcpu_watch_port(struct vcpu *v, u16 port, u32 size);

#endif
