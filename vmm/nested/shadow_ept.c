/* SPDX-License-Identifier: MIT */
/*
 * A vCPU's shadow EPTs: for each of the EPT pointers that L1 has used lately a tree that leads from L2's
 * physical addresses to the machine's. It is to L1's tables what a TLB is to page tables: filled on a
 * violation, thrown away by INVEPT or at any time. Only its own vCPU uses it, so that it needs no lock. The
 * VM's own EPT only ever grows (vm_populate()): what has been put in here stays right.
 */
#include "arch/x86/asm.h"
#include "arch/x86/vmx.h"
#include "vmm/mmio_host.h"
#include "vmm/nested/ept12.h"
#include "vmm/nested/nested.h"
#include "vmm/vmm.h"

#define NR_ROOTS   4u
#define MAX_TABLES 1024u /* 4 MiB; a vCPU that needs more starts anew */

struct shadow_root {
    struct ept ept;
    u64 eptp12, eptp02;
    u64 used; /* when */
    bool made;
};

struct shadow_ept {
    struct shadow_root root[NR_ROOTS], *current;
    u64 clock;
    u32 tables;
};
_Static_assert(sizeof(struct shadow_ept) <= PAGE_SIZE, "a page is allocated");

/* --- tables --- */

static paddr_t table_alloc(void *ctx)
{
    struct vcpu *v = ctx;
    struct shadow_ept *s = v->nested->shadow;
    void *p = s->tables < MAX_TABLES ? pool_alloc(&v->vm->owner, 1) : NULL;

    if (!p)
        return EPT_NO_TABLE;
    s->tables++;
    return pool_pa(p);
}

static void table_free(void *ctx, paddr_t pa)
{
    struct vcpu *v = ctx;

    v->nested->shadow->tables--;
    pool_free(&v->vm->owner, pool_va(pa), 1);
}

static u64 *table_access(void *ctx, paddr_t pa)
{
    (void)ctx;
    return pool_va(pa);
}

static const struct ept_ops table_ops = {table_alloc, table_free, table_access};

static void forget(const struct shadow_root *r)
{
    if (vmx_has(&vmx_features, VF_INVEPT_SINGLE))
        invept_single(r->eptp02);
    else
        invept_all();
}

/* Tables may only go when this CPU cannot walk them any more; others forget before the vCPU runs there again.
 */
static void settle(struct shadow_root *r)
{
    if (!r->ept.stale)
        return;
    forget(r);
    ept_reclaim(&r->ept);
}

static void empty(struct shadow_root *r)
{
    if (!r->made)
        return;
    ept_unmap(&r->ept, 0, BIT(EPT_GPA_BITS));
    settle(r);
}

static void empty_all(struct shadow_ept *s)
{
    for (u32 i = 0; i < NR_ROOTS; i++)
        empty(&s->root[i]);
}

/* --- life --- */

int shadow_ept_create(struct vcpu *v)
{
    v->nested->shadow = pool_alloc(&v->vm->owner, 1);
    return v->nested->shadow ? OK : ERR_NOMEM;
}

void shadow_ept_destroy(struct vcpu *v)
{
    struct shadow_ept *s = v->nested->shadow;

    if (!s)
        return;
    for (u32 i = 0; i < NR_ROOTS; i++)
        if (s->root[i].made)
            ept_destroy(&s->root[i].ept);
    pool_free(&v->vm->owner, s, 1);
    v->nested->shadow = NULL;
}

void shadow_ept_moved(struct vcpu *v)
{
    const struct shadow_ept *s = v->nested->shadow;

    for (u32 i = 0; i < NR_ROOTS; i++)
        if (s->root[i].made)
            forget(&s->root[i]);
}

/* --- roots --- */

static bool make(struct vcpu *v, struct shadow_root *r)
{
    if (r->made)
        return true;
    r->made = !ept_init(&r->ept, &table_ops, v, vmx_caps.ept_vpid, v->cpuid->maxphyaddr);
    return r->made;
}

/* Accessed and dirty flags as L1 has them: they decide whether a walk of L2's page tables counts as a write.
 */
static u64 pointer(const struct shadow_root *r, u64 eptp12)
{
    return (ept_pointer(&r->ept) & ~(u64)EPTP_ACCESSED_DIRTY) |
           (vmx_caps.ept_vpid & EPT_CAP_ACCESSED_DIRTY ? eptp12 & EPTP_ACCESSED_DIRTY : 0);
}

static struct shadow_root *oldest(struct shadow_ept *s)
{
    struct shadow_root *r = &s->root[0];

    for (u32 i = 1; i < NR_ROOTS; i++)
        if (s->root[i].used < r->used)
            r = &s->root[i];
    return r;
}

static struct shadow_root *find(struct shadow_ept *s, u64 eptp12)
{
    for (u32 i = 0; i < NR_ROOTS; i++)
        if (s->root[i].made && s->root[i].eptp12 == eptp12)
            return &s->root[i];
    return NULL;
}

static struct shadow_root *take(struct vcpu *v, u64 eptp12)
{
    struct shadow_ept *s = v->nested->shadow;
    struct shadow_root *r = find(s, eptp12);

    if (r)
        return r;
    r = oldest(s);
    empty(r);
    if (!make(v, r)) {
        empty_all(s);
        if (!make(v, r))
            return NULL;
    }
    r->eptp12 = eptp12;
    r->eptp02 = pointer(r, eptp12);
    return r;
}

u64 shadow_ept_use(struct vcpu *v, u64 eptp12)
{
    struct shadow_ept *s = v->nested->shadow;

    if (likely(s->current && s->current->eptp12 == eptp12))
        return s->current->eptp02;
    s->current = take(v, eptp12);
    if (!s->current) {
        vm_crash(v, "no memory for the shadow page tables of its guest");
        return v->vm->eptp;
    }
    s->current->used = ++s->clock;
    return s->current->eptp02;
}

void shadow_ept_invalidate(struct vcpu *v, u64 eptp12)
{
    struct shadow_ept *s = v->nested->shadow;

    for (u32 i = 0; i < NR_ROOTS; i++)
        if (!((s->root[i].eptp12 ^ eptp12) & EPT_ADDR))
            empty(&s->root[i]);
}

void shadow_ept_invalidate_all(struct vcpu *v)
{
    empty_all(v->nested->shadow);
}

/* --- translation --- */

static u64 read_entry(void *ctx, gpa_t gpa1)
{
    u64 entry;

    return guest_read(((struct vcpu *)ctx)->vm, gpa1, &entry, sizeof(entry)) ? ~0ull : entry;
}

static int update_entry(void *ctx, gpa_t gpa1, u64 old, u64 new)
{
    return guest_update(((struct vcpu *)ctx)->vm, gpa1, sizeof(new), old, new);
}

static enum ept12_outcome walk12(struct vcpu *v, gpa_t gpa2, u64 access, struct ept12_result *out)
{
    const struct ept12 e = {.eptp = v->nested->shadow->current->eptp12,
                            .caps = v->vm->nested_caps.ept_vpid,
                            .maxphyaddr = v->cpuid->maxphyaddr,
                            .ctx = v,
                            .read = read_entry,
                            .update = update_entry};

    return ept12_walk(&e, gpa2, access, out);
}

enum shadow_result shadow_ept_translate(struct vcpu *v, gpa_t gpa2, u64 access, gpa_t *gpa1, u64 *reflect)
{
    struct ept12_result r;

    switch (walk12(v, gpa2, access, &r)) {
    case EPT12_OK:
        *gpa1 = r.gpa1;
        return SHADOW_OK;
    case EPT12_MISCONFIG:
        return SHADOW_MISCONFIG;
    default:
        *reflect = access | r.rights << 3;
        return SHADOW_VIOLATION;
    }
}

/* Where the CPU has no such flags, its walks of L2's page tables are reads all the same. */
static u64 access_of(const struct shadow_root *r, u64 q)
{
    bool walk = (q & (EPT_QUAL_LINEAR_VALID | EPT_QUAL_TRANSLATION)) == EPT_QUAL_LINEAR_VALID;

    return (q & EPT_RWX) | (walk && r->eptp12 & EPTP_ACCESSED_DIRTY ? EPT_WRITE : 0);
}

static int map(struct shadow_root *r, gpa_t gpa2, paddr_t pa, u64 size, u64 rights, u32 type)
{
    int result = ept_map(&r->ept, gpa2, pa, size, rights, type);

    if (result == ERR_EXIST) {
        /* It had fewer rights, or lay elsewhere. */
        ept_unmap(&r->ept, gpa2, size);
        settle(r);
        result = ept_map(&r->ept, gpa2, pa, size, rights, type);
    }
    settle(r);
    return result;
}

/* The largest page that is one in L1's tables and in the VM's. Its memory is RAM, for which L1's memory type
 * makes no difference but for IPAT. */
static enum shadow_result fill(struct vcpu *v, gpa_t gpa2, const struct ept12_result *l1)
{
    struct shadow_ept *s = v->nested->shadow;
    struct vm *vm = v->vm;
    struct ept_leaf leaf;
    u64 size, rights;
    u32 type = EPT_WB | (l1->ipat ? EPT_IPAT : 0);

    spin_lock(&vm->mem_lock);
    ept_lookup(&vm->ept, l1->gpa1, &leaf);
    spin_unlock(&vm->mem_lock);
    size = MIN(l1->size, leaf.size);
    rights = l1->rights & leaf.entry & EPT_RWX & ~(l1->clean ? EPT_WRITE : 0);
    gpa2 = ALIGN_DOWN(gpa2, size);
    if (map(s->current, gpa2, ALIGN_DOWN(leaf.pa, size), size, rights, type) == OK)
        return SHADOW_OK;
    empty_all(s);
    return map(s->current, gpa2, ALIGN_DOWN(leaf.pa, size), size, rights, type) ? SHADOW_NO_MEMORY
                                                                                : SHADOW_OK;
}

enum shadow_result shadow_ept_fill(struct vcpu *v, gpa_t gpa2, u64 qualification, gpa_t *gpa1, u64 *reflect)
{
    struct ept12_result r;

    switch (walk12(v, gpa2, access_of(v->nested->shadow->current, qualification), &r)) {
    case EPT12_OK:
        break;
    case EPT12_MISCONFIG:
        return SHADOW_MISCONFIG;
    case EPT12_BUSY:
        return SHADOW_OK;
    case EPT12_VIOLATION:
        *reflect = (qualification & ~(EPT_RWX << 3)) | r.rights << 3;
        return SHADOW_VIOLATION;
    }
    *gpa1 = r.gpa1;
    switch (vm_populate(v->vm, r.gpa1)) {
    case OK:
        return fill(v, gpa2, &r);
    case ERR_NOMEM:
        return SHADOW_NO_MEMORY;
    default:
        return SHADOW_DEVICE;
    }
}
