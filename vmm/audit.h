/* SPDX-License-Identifier: MIT */
/* Walks over live page tables: do they keep the promises of arch/x86/layout.h? A broken one is a panic. */
#ifndef VMM_AUDIT_H
#define VMM_AUDIT_H

#include "vmm/vm.h"

/*
 * Nidus's own tables: nothing is writable and executable, nothing below the upper half is mapped (the null
 * page least of all), no user pages, only the image is executable, the direct map holds the pool and nothing
 * else. Logged at debug level.
 */
void audit_base(void);
/* The VM's own space: its RAM at VM_BASE as user pages without execution, none of it anywhere else; no other
 * VM's. */
void audit_vm(const struct vm *vm);

#endif
