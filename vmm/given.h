/* SPDX-License-Identifier: MIT */
/* Parts of the physical machine that are a VM's own: interrupt lines, ports, memory that is no RAM. */
#ifndef VMM_GIVEN_H
#define VMM_GIVEN_H

#include "vmm/vm.h"

/* What the VMM asks of the machine; boot/ sets it before any VM starts. Safe on several CPUs. */
struct given_machine {
    /* What is there that nobody may be given; null: nothing. */
    const char *(*taken)(enum config_given kind, u64 first, u64 last);
    /* The line interrupts that CPU, unmasked; an error where that cannot be done. */
    int (*route)(u32 irq, u8 vector, u32 apic_id, bool *level);
    void (*mask)(u32 irq, bool masked);
};

extern const struct given_machine *given_machine;

/* Gives the VM what its configuration says; its platform and vCPUs exist, none runs. False: the reason is
 * logged. */
bool given_start(struct vm *vm);
/* The VM ends: nothing reaches it any more. Without its device lock. */
void given_leave(struct vm *vm);

#endif
