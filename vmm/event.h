/* SPDX-License-Identifier: MIT */
/* What a vCPU takes next. The vCPU is loaded on this CPU. */
#ifndef VMM_EVENT_H
#define VMM_EVENT_H

#include "lib/types.h"

struct vcpu;

/* An exception for the guest's next entry; with one that is being delivered it makes a double fault where the
 * SDM says so, and with a double fault a triple fault. */
void vcpu_inject_exception(struct vcpu *v, u8 vector);
void vcpu_inject_exception_error(struct vcpu *v, u8 vector, u32 error_code);
void vcpu_inject_page_fault(struct vcpu *v, u32 error_code, gva_t address);
/* Before an entry, with the device lock held: interrupts, NMIs and windows. */
void vcpu_deliver_events(struct vcpu *v);
/* After an exit during the delivery of an event: it is delivered again, unless the exit makes another one of
 * it. */
void vcpu_requeue_event(struct vcpu *v);
/* The instruction that exited is done: next RIP, shadows gone, single-step trap pending. */
void vcpu_skip_instruction(struct vcpu *v);

#endif
