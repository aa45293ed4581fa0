/* SPDX-License-Identifier: MIT */
/* A new VMCS, from a table of fields. */
#ifndef VMM_VMCS_SETUP_H
#define VMM_VMCS_SETUP_H

#include "vmm/vm.h"

#define IO_BITMAP_PAGES 2

/* The I/O bitmaps of all VMs that have none of their own, and of every L2. ERR_NOMEM. */
int vmcs_setup_init(void);
/* Fills the current VMCS with all that does not depend on the physical CPU or on the start state. */
void vmcs_setup(struct vcpu *v);
/* No port is let through, whatever the VM has been given. */
void vmcs_all_ports_exit(void);
/* The fields that depend on the physical CPU. */
void vmcs_set_cpu(void);

/* Nidus's own values, of which a VMCS that also has to do what L1 wants takes its part. */
u64 vmcs_cr0_mask(struct vcpu *v);
u64 vmcs_cr4_mask(struct vcpu *v);
u64 vmcs_secondary_controls(struct vcpu *v);
#define VMCS_PLE_GAP          128
#define VMCS_PLE_WINDOW       4096
#define VMCS_EXCEPTION_BITMAP (BIT(VEC_DB) | BIT(VEC_AC) | BIT(VEC_MC))

#endif
