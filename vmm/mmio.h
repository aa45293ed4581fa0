/* SPDX-License-Identifier: MIT */
#ifndef VMM_MMIO_H
#define VMM_MMIO_H

#include "lib/types.h"

struct vcpu;

/*
 * The guest accessed fault_gpa, where there is no RAM: fetches the instruction at CS:RIP and carries it out.
 * OK: the guest goes on (after the instruction, in an exception, or with the same again). ERR_UNSUPP: the
 * instruction cannot be emulated, or cannot be fetched from RAM; it is in the log, and the guest's state is
 * as it was.
 */
int mmio_emulate(struct vcpu *v, gpa_t fault_gpa);

#endif
