/* SPDX-License-Identifier: MIT */
/* Timers of virtual devices (vmm/dev/host.h), kept by the vCPU that looks after them. */
#ifndef VMM_TIMER_H
#define VMM_TIMER_H

#include "vmm/vm.h"

/* Fires what is due. With the device lock held. */
void vtimers_run(struct vcpu *v);

/* --- run.c --- */

/* v's deadline has become earlier. True: v has this CPU, and its next entry will end in time for it. */
bool vcpu_sooner(struct vcpu *v);

#endif
