/* SPDX-License-Identifier: MIT */
#include "vmm/extents.h"

const struct vm_extent *extents_find(const struct extents *x, gpa_t gpa)
{
    for (u32 i = 0; i < x->nr; i++) {
        if (gpa - x->at[i].gpa < x->at[i].size)
            return &x->at[i];
    }
    return NULL;
}

bool extents_overlap(const struct extents *x, gpa_t gpa, u64 size)
{
    for (u32 i = 0; i < x->nr; i++) {
        if (gpa - x->at[i].gpa < x->at[i].size || x->at[i].gpa - gpa < size)
            return true;
    }
    return false;
}

static bool joins(const struct vm_extent *a, const struct vm_extent *b)
{
    return a->gpa + a->size == b->gpa && a->pa + a->size == b->pa;
}

int extents_add(struct extents *x, struct vm_extent e)
{
    for (u32 i = 0; i < x->nr;) {
        struct vm_extent *other = &x->at[i];

        if (joins(other, &e)) {
            e.gpa = other->gpa;
            e.pa = other->pa;
        } else if (!joins(&e, other)) {
            i++;
            continue;
        }
        e.size += other->size;
        *other = x->at[--x->nr];
    }
    if (x->nr == VM_MAX_EXTENTS)
        return ERR_NOMEM;
    x->at[x->nr++] = e;
    return OK;
}

int extents_cut(struct extents *x, struct vm_extent *piece)
{
    struct vm_extent *e = (struct vm_extent *)extents_find(x, piece->gpa), behind;
    u64 before;

    if (!e)
        return ERR_RANGE;
    before = piece->gpa - e->gpa;
    piece->size = MIN(piece->size, e->size - before);
    piece->pa = e->pa + before;
    behind =
        (struct vm_extent){piece->gpa + piece->size, piece->pa + piece->size, e->size - before - piece->size};
    if (before && behind.size && x->nr == VM_MAX_EXTENTS)
        return ERR_NOMEM;
    e->size = before;
    if (!before)
        *e = x->at[--x->nr];
    if (behind.size)
        x->at[x->nr++] = behind;
    return OK;
}
