/* SPDX-License-Identifier: MIT */
/*
 * The shadow EPT: L2's physical addresses by way of ept12 and of the VM's own tables, as far as L2 has asked
 * for them. Like a TLB's its contents follow ept12 only when L1 runs INVEPT; what the VM's own tables have
 * mapped never changes.
 */
#include "arch/x86/vmx.h"
#include "vmm/mmio_host.h"
#include "vmm/nested/ept12.h"
#include "vmm/vm.h"

#define ROOTS      4u
#define MAX_TABLES 512u /* of a vCPU: what they map is dropped with them */
#define KEY        (EPT_ADDR | EPTP_ACCESSED_DIRTY)
#define NO_KEY     (~0ull)

struct root {
    struct ept ept;
    u64 key;  /* the ept12 that it is of: KEY of its EPTP, or NO_KEY */
    u64 eptp; /* its own */
    u64 used; /* shadow_ept.clock when it came into use last; 0: it never did */
};

/*
 * A root's page stays with the vCPU: a CPU where it ran once may have cached what a root had, and must not
 * meet it again as another vCPU's.
 */
struct shadow_ept {
    struct root *now;
    struct root roots[ROOTS];
    u32 nr_roots;
    u32 nr_tables;
    u64 clock;
    struct frame_owner *owner;
};
_Static_assert(sizeof(struct shadow_ept) <= PAGE_SIZE, "a page is allocated");

static paddr_t table_alloc(void *ctx)
{
    struct shadow_ept *s = ctx;
    void *p = s->nr_tables < MAX_TABLES ? pool_alloc(s->owner, 1) : NULL;

    if (!p)
        return EPT_NO_TABLE;
    s->nr_tables++;
    return pool_pa(p);
}

static void table_free(void *ctx, paddr_t pa)
{
    struct shadow_ept *s = ctx;

    s->nr_tables--;
    pool_free(s->owner, pool_va(pa), 1);
}

static u64 *table_access(void *ctx, paddr_t pa)
{
    (void)ctx;
    return pool_va(pa);
}

static const struct ept_ops table_ops = {table_alloc, table_free, table_access};

/* --- roots --- */

/* With EPTP bit 6 the CPU takes its walks of guest page tables for writes: it must do so if and only if L1's
 * would. On a CPU without those flags L1 misses violations of walks that only read. */
static void set_key(struct root *r, u64 key)
{
    r->key = key;
    r->ept.caps = vmx_caps.ept_vpid & ~(key & EPTP_ACCESSED_DIRTY ? 0 : EPT_CAP_ACCESSED_DIRTY);
    r->eptp = ept_pointer(&r->ept);
}

int shadow_ept_create(struct vcpu *v)
{
    struct frame_owner *owner = &v->vm->owner;
    struct shadow_ept *s = pool_alloc(owner, 1);

    if (!s)
        return ERR_NOMEM;
    v->nested->shadow = s;
    s->owner = owner;
    s->now = &s->roots[0];
    for (; s->nr_roots < ROOTS; s->nr_roots++) {
        struct root *r = &s->roots[s->nr_roots];

        if (ept_init(&r->ept, &table_ops, s, vmx_caps.ept_vpid, v->vm->ept.maxphyaddr))
            return ERR_NOMEM;
        r->key = NO_KEY;
    }
    return OK;
}

void shadow_ept_destroy(struct vcpu *v)
{
    struct shadow_ept *s = v->nested->shadow;

    if (!s)
        return;
    for (u32 i = 0; i < s->nr_roots; i++)
        ept_destroy(&s->roots[i].ept);
    pool_free(s->owner, s, 1);
    v->nested->shadow = NULL;
}

static void flush(struct root *r)
{
    invept_single(r->eptp);
    ept_reclaim(&r->ept);
}

static void clear(struct root *r)
{
    if (r->ept.nr_tables == 1)
        return;
    ept_clear(&r->ept);
    flush(r);
}

static struct root *find(struct shadow_ept *s, u64 key)
{
    for (u32 i = 0; i < ROOTS; i++)
        if (s->roots[i].key == key)
            return &s->roots[i];
    return NULL;
}

static struct root *least_recent(struct shadow_ept *s)
{
    struct root *r = &s->roots[0];

    for (u32 i = 1; i < ROOTS; i++)
        if (s->roots[i].used < r->used)
            r = &s->roots[i];
    return r;
}

static __attribute__((noinline)) u64 change(struct shadow_ept *s, u64 key)
{
    struct root *r = find(s, key);

    if (!r) {
        r = least_recent(s);
        clear(r);
        set_key(r, key);
    }
    r->used = ++s->clock;
    s->now = r;
    return r->eptp;
}

u64 shadow_ept_use(struct vcpu *v, u64 eptp12)
{
    struct shadow_ept *s = v->nested->shadow;

    return likely(s->now->key == (eptp12 & KEY)) ? s->now->eptp : change(s, eptp12 & KEY);
}

void shadow_ept_moved(struct vcpu *v)
{
    struct shadow_ept *s = v->nested->shadow;

    for (u32 i = 0; i < ROOTS; i++)
        if (s->roots[i].used)
            invept_single(s->roots[i].eptp);
}

void shadow_ept_invalidate(struct vcpu *v, u64 eptp12)
{
    struct shadow_ept *s = v->nested->shadow;

    for (u32 i = 0; i < ROOTS; i++)
        if ((s->roots[i].key & EPT_ADDR) == (eptp12 & EPT_ADDR))
            clear(&s->roots[i]);
}

void shadow_ept_invalidate_all(struct vcpu *v)
{
    struct shadow_ept *s = v->nested->shadow;

    for (u32 i = 0; i < ROOTS; i++)
        clear(&s->roots[i]);
}

/* --- translations --- */

struct entries {
    struct vm *vm;
    bool no_memory; /* of Nidus's, for the page tables of L1's memory */
};

static int read_entry(void *ctx, gpa_t gpa1, u64 *entry)
{
    struct entries *e = ctx;
    int r = guest_read(e->vm, gpa1, entry, sizeof(*entry));

    e->no_memory |= r == ERR_NOMEM;
    return r;
}

static int update_entry(void *ctx, gpa_t gpa1, u64 old, u64 new)
{
    return guest_update(((struct entries *)ctx)->vm, gpa1, sizeof(old), old, new);
}

static enum shadow_result walk12(struct vcpu *v, gpa_t gpa2, u64 access, struct ept12_result *out)
{
    static const enum shadow_result results[] = {
        [EPT12_OK] = SHADOW_OK, [EPT12_VIOLATION] = SHADOW_VIOLATION, [EPT12_MISCONFIG] = SHADOW_MISCONFIG};
    struct entries entries = {.vm = v->vm};
    const struct ept12 t = {.eptp = v->nested->shadow->now->key,
                            .caps = v->vm->nested_caps.ept_vpid,
                            .maxphyaddr = v->cpuid->maxphyaddr,
                            .ctx = &entries,
                            .read = read_entry,
                            .update = update_entry};
    enum ept12_outcome outcome = ept12_walk(&t, gpa2, access, out);

    return entries.no_memory ? SHADOW_NO_MEMORY : results[outcome];
}

enum shadow_result shadow_ept_translate(struct vcpu *v, gpa_t gpa2, u64 access, gpa_t *gpa1, u64 *reflect)
{
    struct ept12_result to;
    enum shadow_result r = walk12(v, gpa2, access, &to);

    if (r == SHADOW_OK)
        *gpa1 = to.gpa1;
    else if (r == SHADOW_VIOLATION)
        *reflect = to.qualification;
    return r;
}

static bool lookup(struct vm *vm, gpa_t gpa1, struct ept_leaf *leaf)
{
    bool found;

    spin_lock(&vm->mem_lock);
    found = ept_lookup(&vm->ept, gpa1, leaf);
    spin_unlock(&vm->mem_lock);
    return found;
}

static enum shadow_result find_ram(struct vm *vm, gpa_t gpa1, struct ept_leaf *leaf)
{
    int r = OK;

    if (unlikely(!lookup(vm, gpa1, leaf))) {
        r = vm_populate(vm, gpa1);
        if (!r)
            lookup(vm, gpa1, leaf);
    }
    return r == OK ? SHADOW_OK : r == ERR_NOMEM ? SHADOW_NO_MEMORY : SHADOW_DEVICE;
}

/* Without a dirty flag there is no right to write: the first write is to come by here and set it. */
static enum shadow_result map(struct root *r, gpa_t gpa2, const struct ept12_result *to,
                              const struct ept_leaf *ram)
{
    u64 size = MIN(to->size, ram->size), rights = to->rights & ~(to->dirty ? 0 : EPT_WRITE);

    if (ept_map_page(&r->ept, ALIGN_DOWN(gpa2, size), ALIGN_DOWN(ram->pa, size), size, rights, to->type))
        return SHADOW_NO_MEMORY;
    if (r->ept.stale)
        flush(r);
    return SHADOW_OK;
}

/* What of an EPT violation's exit qualification is true for L1 as it is. */
#define QUAL_KEPT (BITS(63, 12) | EPT_QUAL_TRANSLATION | EPT_QUAL_LINEAR_VALID)

static enum shadow_result fill(struct vcpu *v, gpa_t gpa2, u64 qualification, gpa_t *gpa1, u64 *reflect)
{
    bool paging = (qualification & (EPT_QUAL_LINEAR_VALID | EPT_QUAL_TRANSLATION)) == EPT_QUAL_LINEAR_VALID;
    struct ept12_result to;
    struct ept_leaf ram;
    enum shadow_result r = walk12(v, gpa2, (qualification & EPT_RWX) | (paging ? EPT12_PAGING : 0), &to);

    if (r == SHADOW_VIOLATION)
        *reflect = (qualification & QUAL_KEPT) | to.qualification;
    if (r != SHADOW_OK)
        return r;
    *gpa1 = to.gpa1;
    r = find_ram(v->vm, to.gpa1, &ram);
    return r == SHADOW_OK ? map(v->nested->shadow->now, gpa2, &to, &ram) : r;
}

enum shadow_result shadow_ept_fill(struct vcpu *v, gpa_t gpa2, u64 qualification, gpa_t *gpa1, u64 *reflect)
{
    enum shadow_result r = fill(v, gpa2, qualification, gpa1, reflect);

    if (likely(r != SHADOW_NO_MEMORY))
        return r;
    shadow_ept_invalidate_all(v);
    return fill(v, gpa2, qualification, gpa1, reflect);
}
