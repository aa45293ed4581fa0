/* SPDX-License-Identifier: MIT */
/* Pieces of guest RAM with the memory behind each: which there are, as plain data. */
#ifndef VMM_EXTENTS_H
#define VMM_EXTENTS_H

#include "lib/types.h"

struct vm_extent {
    gpa_t gpa;
    paddr_t pa;
    u64 size;
};

#define VM_MAX_EXTENTS 128

/* In no order; none overlaps another. */
struct extents {
    u32 nr;
    struct vm_extent at[VM_MAX_EXTENTS];
};

/* The one that gpa is in; null: there is none. */
const struct vm_extent *extents_find(const struct extents *x, gpa_t gpa);
bool extents_overlap(const struct extents *x, gpa_t gpa, u64 size);
/* Joined with those beside it whose memory lies beside it too. ERR_NOMEM: there are too many. */
int extents_add(struct extents *x, struct vm_extent e);
/*
 * Takes gpa to gpa + size out, as far as it lies in one extent: size is cut to that, pa is found. ERR_RANGE:
 * gpa is in none; ERR_NOMEM: one would become two, and there are too many.
 */
int extents_cut(struct extents *x, struct vm_extent *piece);

#endif
