/* SPDX-License-Identifier: MIT */
/* How interrupt lines reach vCPUs. */
#ifndef VMM_DEV_IRQ_H
#define VMM_DEV_IRQ_H

#include "lib/types.h"

struct vm;
struct vcpu;

/* The level of ISA interrupt line irq (0 to 15), at the PICs and the I/O APIC, where IRQ 0 is input 2. Called
 * with the VM's device lock held. Without effect on a line that the HPET has replaced. */
void vm_set_irq(struct vm *vm, u32 irq, bool level);
/* The same by the HPET, for lines 0 and 8. */
void irq_set_legacy(struct vm *vm, u32 irq, bool level);
/* The level of an input of the I/O APIC that is no ISA line. */
void irq_set_input(struct vm *vm, u32 pin, bool level);
/* The PIC's INTR output may have changed; it goes to each local APIC's LINT0 and the I/O APIC's input 0. The
 * vCPU that takes it is kicked when it is high. */
void irq_pic_changed(struct vm *vm);
/* The same after an acknowledge cycle, in which INTR falls: what still waits makes it rise again. */
void irq_pic_acknowledged(struct vm *vm);

/* A local APIC has ended a level-triggered interrupt. */
void irq_eoi(struct vm *vm, u8 vector);

/* What an acknowledge cycle of the PIC would give this vCPU; -1: it makes none. */
int vcpu_extint_pending(struct vcpu *vcpu);
/* What the vCPU would take as an external interrupt now (RFLAGS.IF and shadows aside): a vector or -1. */
int vcpu_irq_pending(struct vcpu *vcpu);
/* Takes it, with the controller's acknowledge cycle; -1 if there is none. */
int vcpu_irq_ack(struct vcpu *vcpu);

#endif
