/* SPDX-License-Identifier: MIT */
/*
 * The VMCSs of L1's that are active, of which one is current: SDM, 'Software Use of Virtual-Machine Control
 * Structures'. A hypervisor with more than one virtual CPU, or with hypervisors as guests, goes to and fro
 * between several; each keeps its vmcs02, so that it goes on with quick entries. What is in L1's memory is
 * out of date until VMCLEAR.
 */
#include "arch/x86/asm.h"
#include "arch/x86/pool.h"
#include "lib/string.h"
#include "vmm/nested/instructions.h"
#include "vmm/vm.h"

/* What is kept of a vmcs12 that is not current: struct nested from current on. */
#define PART_AT   offsetof(struct nested, current)
#define PART_SIZE (sizeof(struct nested) - PART_AT)

struct nested_slot {
    struct nested of; /* only that part */
    u64 used;         /* for the one that was not used for the longest time */
};
_Static_assert(sizeof(struct nested_slot) <= PAGE_SIZE, "a slot is a page");

static void copy_part(struct nested *to, const struct nested *from)
{
    memcpy((u8 *)to + PART_AT, (const u8 *)from + PART_AT, PART_SIZE);
}

/* What the current one has is not there. */
static bool is_aside(const struct nested *n, u32 i)
{
    return i != n->slot && n->slots[i];
}

/* -1: it is not at hand. */
static s32 slot_of(const struct nested *n, gpa_t address)
{
    for (u32 i = 0; i < NESTED_SLOTS; i++)
        if (is_aside(n, i) && n->slots[i]->of.current == address)
            return (s32)i;
    return -1;
}

/* With a vmcs02 that was never used; the current vmcs12 has one. */
static bool make_slot(struct vcpu *v, u32 i)
{
    struct frame_owner *owner = &v->vm->owner;
    struct nested_slot *s = pool_alloc(owner, 1);

    if (!s)
        return false;
    if (i != v->nested->slot && nested_init_vmcs02(v, &s->of)) {
        nested_free_vmcs02(v, &s->of);
        pool_free(owner, s, 1);
        return false;
    }
    v->nested->slots[i] = s;
    return true;
}

/* The shadow VMCS that vmcs01 refers to is that of the current vmcs12. */
static void swap(struct vcpu *v, u32 i)
{
    struct nested *n = v->nested;
    bool shadowing = n->shadowing;

    nested_shadow(v, false);
    n->shadowing = shadowing;
    copy_part(&n->slots[n->slot]->of, n);
    n->slots[n->slot]->used = rdtsc();

    copy_part(n, &n->slots[i]->of);
    n->slot = i;
    n->stale_ept = true;
    shadowing = n->shadowing;
    n->shadowing = false;
    nested_shadow(v, shadowing);
}

/* VMREAD and VMWRITE of L2 find a shadow VMCS in L1's memory: it is nowhere else unless it is current. */
static bool may_stay(const struct nested *n)
{
    return n->current != NO_VMCS && !(n->vmcs12.revision & VMCS12_SHADOW);
}

/* A slot for another vmcs12: one without, or else the one that was not used for the longest time. The current
 * one's if there is no memory. */
static u32 free_slot(struct vcpu *v)
{
    struct nested *n = v->nested;
    u32 oldest = n->slot;

    if (!n->slots[n->slot] && !make_slot(v, n->slot))
        return n->slot;
    for (u32 i = 0; i < NESTED_SLOTS; i++) {
        if (i == n->slot)
            continue;
        if (n->slots[i] ? n->slots[i]->of.current == NO_VMCS : make_slot(v, i))
            return i;
        if (n->slots[i] && (oldest == n->slot || n->slots[i]->used < n->slots[oldest]->used))
            oldest = i;
    }
    return oldest;
}

void nested_put_aside(struct vcpu *v)
{
    struct nested *n = v->nested;

    if (may_stay(n)) {
        u32 i = free_slot(v);

        if (i != n->slot)
            swap(v, i);
    }
    nested_vmcs12_release(v);
}

bool nested_recall(struct vcpu *v, gpa_t address)
{
    s32 i = slot_of(v->nested, address);

    if (i < 0)
        return false;
    if (!may_stay(v->nested))
        nested_vmcs12_release(v);
    swap(v, (u32)i);
    return true;
}

bool nested_clear_aside(struct vcpu *v, gpa_t address)
{
    struct nested *n = v->nested;
    s32 i = slot_of(n, address);
    u32 back = n->slot;

    if (i < 0)
        return false;
    swap(v, (u32)i);
    n->vmcs12.launched = 0;
    nested_vmcs12_release(v);
    swap(v, back);
    return true;
}

void nested_release_all(struct vcpu *v)
{
    struct nested *n = v->nested;

    nested_vmcs12_release(v);
    for (u32 i = 0; i < NESTED_SLOTS; i++)
        if (is_aside(n, i) && n->slots[i]->of.current != NO_VMCS) {
            swap(v, i);
            nested_vmcs12_release(v);
        }
}

void nested_flush_all(struct nested *n)
{
    n->flush_vpid = true;
    for (u32 i = 0; i < NESTED_SLOTS; i++)
        if (is_aside(n, i))
            n->slots[i]->of.flush_vpid = true;
}

void nested_slots_unload(struct nested *n)
{
    for (u32 i = 0; i < NESTED_SLOTS; i++)
        if (is_aside(n, i))
            nested_unload_vmcs(&n->slots[i]->of.other);
}

void nested_slots_destroy(struct vcpu *v)
{
    struct nested *n = v->nested;

    for (u32 i = 0; i < NESTED_SLOTS; i++) {
        if (is_aside(n, i))
            nested_free_vmcs02(v, &n->slots[i]->of);
        pool_free(&v->vm->owner, n->slots[i], 1);
    }
}
