/* SPDX-License-Identifier: MIT */
/*
 * Nidus's virtual address space. The upper half is the same in every address space; the lower half belongs to
 * the VM whose vCPU runs on this CPU: its RAM from VM_BASE on, as user pages, so that SMAP and SMEP guard it.
 * The null page, and with it the whole first PML4 slot, is never mapped.
 */
#ifndef ARCH_X86_LAYOUT_H
#define ARCH_X86_LAYOUT_H

#define VM_BASE  0x0000008000000000 /* guest physical 0; PML4 slot 1 on */
#define VM_LIMIT 0x0000800000000000
#define DIRECT_BASE \
    0xffff800000000000 /* Nidus's own pages (pool.h), at DIRECT_BASE + physical address; one slot */
#define VMAP_BASE   0xffffc00000000000 /* devices, firmware tables, boot modules */
#define STACK_BASE  0xffffc80000000000 /* stacks, each above an unmapped guard page */
#define WINDOW_BASE 0xffffca0000000000 /* per-CPU windows on any page */
#define IMAGE_BASE  0xffffffff80000000 /* the image, wherever it lies in memory */
#define IMAGE_LMA   0x200000           /* where a loader that cannot relocate puts it */
#define IMAGE_MAX   0x1000000          /* early tables map this much of it */

#endif
