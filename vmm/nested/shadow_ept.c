/* SPDX-License-Identifier: MIT */
/*
 * Shadow EPTs: what L1's EPT (gpa2 to gpa1) and the VM's own (gpa1 to host) make together, page by page as L2
 * touches them. A vCPU keeps those of the EPTPs that L1 used last.
 *
 * L1 expects of them what it may expect of a TLB: an entry that it changed counts when L1 has executed INVEPT
 * for its EPTP, or when an access has met a violation; not-present entries are not remembered. L1 does that
 * on each of its CPUs, so each vCPU has shadow EPTs of its own, and no lock.
 *
 * While the vCPU is in VMX operation the VM's own EPT only grows: vm_populate() adds pieces, which may merge
 * into larger pages of the same memory. What was taken from it here stays right until VMXOFF, and is dropped
 * then.
 *
 * What a CPU caches of a shadow EPT goes by the address of its root. The roots therefore stay the vCPU's as
 * long as it lives, whatever EPTP they stand for. This CPU forgets before a table is freed; the others may
 * keep it until the vCPU comes back to them, since they use it for nobody else: shadow_ept_moved().
 */
#include "arch/x86/vmx.h"
#include "vmm/dev/lapic.h"
#include "vmm/mmio_host.h"
#include "vmm/nested/ept12.h"
#include "vmm/vm.h"

#define ROOTS   4
#define NO_EPTP (~0ull)
/* The rest says the same in all EPTPs that VM entry takes. */
#define KEY (EPT_ADDR | EPTP_ACCESSED_DIRTY | SHADOW_MODE_BASED)

/* Tables of a vCPU: what small pages for all of the VM's memory take, and some for sparse use, within reason.
 */
#define SPARSE_TABLES 64
#define MAX_TABLES    16384

struct root {
    struct ept ept;
    u64 eptp12; /* KEY of it; NO_EPTP: none so far */
    u64 used;   /* the newest has the highest */
};

struct shadow_ept {
    struct frame_owner *owner;
    u64 nr_tables, max_tables;
    u64 clock;
    struct root *current;
    struct root root[ROOTS];
};

static paddr_t table_alloc(void *ctx)
{
    struct shadow_ept *s = ctx;
    void *p = s->nr_tables < s->max_tables ? pool_alloc(s->owner, 1) : NULL;

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

int shadow_ept_create(struct vcpu *v)
{
    struct vm *vm = v->vm;
    struct shadow_ept *s = pool_alloc(&vm->owner, 1);

    _Static_assert(sizeof(*s) <= PAGE_SIZE, "shadow_ept is one page");
    if (!s)
        return ERR_NOMEM;
    v->nested->shadow = s;
    s->owner = &vm->owner;
    s->max_tables = MIN(SPARSE_TABLES + vm->memory / MiB(2), MAX_TABLES);
    for (u32 i = 0; i < ROOTS; i++)
        s->root[i].ept.root = EPT_NO_TABLE;
    for (u32 i = 0; i < ROOTS; i++) {
        struct root *r = &s->root[i];

        r->eptp12 = NO_EPTP;
        if (ept_init(&r->ept, &table_ops, s, vm->ept.caps, vm->ept.maxphyaddr)) {
            shadow_ept_destroy(v);
            return ERR_NOMEM;
        }
    }
    return OK;
}

/* With the VM only: other CPUs may still hold translations of the roots' addresses, until vmm_flush_wanted.
 */
void shadow_ept_destroy(struct vcpu *v)
{
    struct shadow_ept *s = v->nested->shadow;

    if (!s)
        return;
    for (u32 i = 0; i < ROOTS; i++) {
        if (s->root[i].ept.root != EPT_NO_TABLE)
            ept_destroy(&s->root[i].ept);
    }
    pool_free(s->owner, s, 1);
    v->nested->shadow = NULL;
}

static void forget(const struct root *r)
{
    if (r->ept.caps & EPT_CAP_INVEPT_SINGLE)
        invept_single(ept_pointer(&r->ept));
    else
        invept_all();
}

/* After every change: what the CPU may have cached of it, and then the tables that hung on that. */
static void settle(struct root *r)
{
    if (!r->ept.stale)
        return;
    forget(r);
    ept_reclaim(&r->ept);
}

/* The whole range has no page to split, so that this needs no memory. */
static void empty(struct root *r)
{
    ept_unmap(&r->ept, 0, BIT(EPT_GPA_BITS));
    settle(r);
}

void shadow_ept_moved(struct vcpu *v)
{
    struct shadow_ept *s = v->nested ? v->nested->shadow : NULL;

    for (u32 i = 0; s && i < ROOTS; i++) {
        if (s->root[i].eptp12 != NO_EPTP)
            forget(&s->root[i]);
    }
}

void shadow_ept_invalidate(struct vcpu *v, u64 eptp12)
{
    struct shadow_ept *s = v->nested->shadow;

    for (u32 i = 0; i < ROOTS; i++) {
        struct root *r = &s->root[i];

        if (r->eptp12 != NO_EPTP && !((r->eptp12 ^ eptp12) & EPT_ADDR))
            empty(r);
    }
}

void shadow_ept_invalidate_all(struct vcpu *v)
{
    struct shadow_ept *s = v->nested->shadow;

    for (u32 i = 0; i < ROOTS; i++)
        empty(&s->root[i]);
}

/* The root for an EPTP: its own, or else the one that was not used for the longest time. */
static struct root *find_root(struct shadow_ept *s, u64 eptp12)
{
    struct root *oldest = &s->root[0];

    for (u32 i = 0; i < ROOTS; i++) {
        struct root *r = &s->root[i];

        if (r->eptp12 == eptp12)
            return r;
        if (r->used < oldest->used)
            oldest = r;
    }
    return oldest;
}

/*
 * Accessed and dirty flags are enabled exactly where L1 enables them, since they also make the CPU's accesses
 * to L2's paging structures writes.
 */
u64 shadow_ept_use(struct vcpu *v, u64 eptp12)
{
    struct shadow_ept *s = v->nested->shadow;
    u64 key = eptp12 & KEY, flags = eptp12 & EPTP_ACCESSED_DIRTY ? EPT_CAP_ACCESSED_DIRTY : 0;
    struct root *r = find_root(s, key);

    if (r->eptp12 != key) {
        empty(r);
        r->eptp12 = key;
        r->ept.caps = v->vm->ept.caps & (~EPT_CAP_ACCESSED_DIRTY | flags);
        r->ept.mode_based = key & SHADOW_MODE_BASED;
    }
    r->used = ++s->clock;
    s->current = r;
    return ept_pointer(&r->ept);
}

static int read_entry(void *ctx, gpa_t gpa1, u64 *entry)
{
    return guest_read(ctx, gpa1, entry, sizeof(*entry));
}

static int update_entry(void *ctx, gpa_t gpa1, u64 old, u64 new)
{
    return guest_update(ctx, gpa1, sizeof(old), old, new) ? ERR_BUSY : OK; /* it has just been read */
}

static int walk12(struct vcpu *v, gpa_t gpa2, u64 access, struct ept12_result *out)
{
    const struct ept12_ctx w = {
        .eptp = v->nested->shadow->current->eptp12,
        .caps = v->vm->nested_caps.ept_vpid,
        .maxphyaddr = v->cpuid->maxphyaddr,
        .mode_based = v->nested->shadow->current->ept.mode_based,
        .log_full = nested_pml_full(v),
        .ctx = v->vm,
        .read = read_entry,
        .update = update_entry,
    };
    int r;

    r = ept12_walk(&w, gpa2, access, out);
    if (r == OK && out->marked)
        nested_pml_log(v, gpa2);
    return r;
}

/* What stands in for an APIC-access page without RAM. */
static bool find_stand_in(struct vcpu *v, gpa_t gpa1, struct ept_leaf *out)
{
    struct nested *n = v->nested;

    if (likely(n->stand_in != (ALIGN_DOWN(gpa1, PAGE_SIZE) | NESTED_STANDS_IN)))
        return false;
    *out = (struct ept_leaf){.gpa = ALIGN_DOWN(gpa1, PAGE_SIZE),
                             .pa = pool_pa(n->none),
                             .size = PAGE_SIZE,
                             .entry = EPT_RWX | EPT_WB << EPT_TYPE_SHIFT,
                             .level = 1};
    return true;
}

/* The page behind L1's memory. ERR_RANGE: there is neither RAM nor a device of its own; ERR_NOMEM. */
static int find_page(struct vcpu *v, gpa_t gpa1, struct ept_leaf *out)
{
    struct vm *vm = v->vm;
    int r = vm_populate(vm, gpa1);

    if (r && r != ERR_RANGE)
        return r;
    /* Where there is no RAM there may be a device that was given to the VM. The APIC-access page is L1's
     * alone. */
    spin_lock(&vm->mem_lock);
    r = gpa1 >> PAGE_SHIFT != LAPIC_BASE >> PAGE_SHIFT && ept_lookup(&vm->ept, gpa1, out) ? OK : ERR_RANGE;
    spin_unlock(&vm->mem_lock);
    return r && find_stand_in(v, gpa1, out) ? OK : r;
}

/* From gpa2 to the page behind it. ept12_walk()'s result is r. */
static enum shadow_result behind(struct vcpu *v, int r, const struct ept12_result *t, struct ept_leaf *page)
{
    if (r == OK) {
        r = find_page(v, t->gpa1, page);
        if (r == OK && (t->qualification & ~page->entry & EPT_RWX))
            r = ERR_RANGE;
    }
    switch (r) {
    case OK:
        return SHADOW_OK;
    case ERR_RANGE:
        return SHADOW_DEVICE;
    case ERR_INVAL:
        return SHADOW_MISCONFIG;
    case ERR_NOENT:
        return SHADOW_LOG_FULL;
    case ERR_NOMEM:
        return SHADOW_NO_MEMORY;
    default:
        return SHADOW_VIOLATION;
    }
}

static u64 rights_of_both(const struct ept12_result *t, const struct ept_leaf *page)
{
    /* The VM's own EPT knows one kind of fetches. */
    u64 own = page->entry & EPT_EXEC ? EPT_EXEC_USER : 0;

    return t->rights & ((page->entry & EPT_RWX) | own);
}

/*
 * L1's type and IPAT hold as they are. The VM's own EPT gives its RAM WB and leaves the rest to the guest's
 * PAT, so L1 has the choice of type already, and on a machine of its own L2 would see just L1's EPT combined
 * with its PAT; MTRRs have no say with EPT. A physical device stays uncached.
 */
static u32 type_of_both(const struct ept12_result *t, const struct ept_leaf *page)
{
    return page->entry & EPT_WB << EPT_TYPE_SHIFT ? t->type : EPT_UC;
}

static int map(struct root *root, gpa_t gpa2, const struct ept12_result *t, const struct ept_leaf *page)
{
    u64 size = MIN(t->page_size, page->size), rights = rights_of_both(t, page);
    u32 type = type_of_both(t, page);
    gpa_t start = ALIGN_DOWN(gpa2, size);
    paddr_t pa = ALIGN_DOWN(page->pa, size);
    int r;

    if (!t->dirty)
        rights &= ~EPT_WRITE; /* the first write must come here, to set the flag */
    r = ept_map(&root->ept, start, pa, size, rights, type);
    if (r != ERR_EXIST)
        return r;
    r = ept_unmap(&root->ept, start, size);
    return r ? r : ept_map(&root->ept, start, pa, size, rights, type);
}

static int install(struct root *root, gpa_t gpa2, const struct ept12_result *t, const struct ept_leaf *page)
{
    int r = map(root, gpa2, t, page);

    settle(root);
    return r;
}

/* Bits of the exit's qualification that ept12 has no say in. */
static u64 kept(const struct vcpu *v, u64 qualification)
{
    u64 mask = EPT_QUAL_LINEAR_VALID | EPT_QUAL_TRANSLATION | EPT_QUAL_UNBLOCKED_NMI;

    if (v->vm->nested_caps.ept_vpid & EPT_CAP_ADVANCED_EXIT_INFO)
        mask |= EPT_QUAL_ADVANCED;
    return qualification & mask;
}

enum shadow_result shadow_ept_fill(struct vcpu *v, gpa_t gpa2, u64 qualification, gpa_t *gpa1, u64 *reflect)
{
    struct root *root = v->nested->shadow->current;
    u64 access = qualification & EPT_RWX; /* bits 2:0 are the rights that it needs */
    struct ept12_result t;
    struct ept_leaf page;
    enum shadow_result result;
    int r;

    if ((qualification & EPT_QUAL_LINEAR_VALID) && !(qualification & EPT_QUAL_TRANSLATION))
        access |= EPT12_PAGING;
    if (qualification & EPT_QUAL_USER)
        access |= EPT12_USER;
    r = walk12(v, gpa2, access, &t);
    if (r == ERR_BUSY)
        return SHADOW_OK; /* L2 tries again */
    result = behind(v, r, &t, &page);
    *gpa1 = t.gpa1;
    *reflect = t.qualification | kept(v, qualification);
    if (result)
        return result;
    r = install(root, gpa2, &t, &page);
    if (r) {
        shadow_ept_invalidate_all(v);
        r = install(root, gpa2, &t, &page);
    }
    return r ? SHADOW_NO_MEMORY : SHADOW_OK;
}

/* To an emulator, an ept12 that is written to all the time is as if nothing were there: L2 tries again when
 * L1 has found no fault. */
enum shadow_result shadow_ept_translate(struct vcpu *v, gpa_t gpa2, u64 access, gpa_t *gpa1, u64 *reflect)
{
    struct ept12_result t;
    struct ept_leaf page;
    enum shadow_result result = behind(v, walk12(v, gpa2, access, &t), &t, &page);

    *gpa1 = t.gpa1;
    *reflect = t.qualification | EPT_QUAL_LINEAR_VALID | (access & EPT12_PAGING ? 0 : EPT_QUAL_TRANSLATION);
    return result;
}
