/* SPDX-License-Identifier: MIT */
/* A vCPU with shadow EPTs, and all that lies below them: included after cmocka, it includes the source. */
#ifndef TESTS_UNIT_SHADOW_EPT_CASE_H
#define TESTS_UNIT_SHADOW_EPT_CASE_H

#include "arch/x86/vmx_caps.h"

/* Stands in for arch/x86/vmx.h: the CPU's caches. */
#define ARCH_X86_VMX_H
static void invept_single(u64 eptp);
static void invept_all(void);

#include "vmm/nested/shadow_ept.c"

#define CAPS    (EPT_CAP_EXECUTE_ONLY | EPT_CAP_2M | EPT_CAP_1G | EPT_CAP_ACCESSED_DIRTY | EPT_CAP_INVEPT_SINGLE)
#define AD      EPTP_ACCESSED_DIRTY
#define EPTP(n) ((n)*PAGE_SIZE | EPTP_WB | EPTP_WALK_4)

/* Qualifications. */
#define AT     (EPT_QUAL_LINEAR_VALID | EPT_QUAL_TRANSLATION) /* with the page of a linear address */
#define READ   (EPT_QUAL_READ | AT)
#define WRITE  (EPT_QUAL_WRITE | AT)
#define FETCH  (EPT_QUAL_FETCH | AT)
#define PAGING (EPT_QUAL_READ | EPT_QUAL_LINEAR_VALID)

/*
 * L1's RAM. What is below SMALL lies in the host such that there are small pages only, what is above it in
 * pieces of 2 MiB, which make pages of 1 GiB when all are there.
 */
#define RAM      GiB(4)
#define SMALL    GiB(1)
#define HOST     GiB(16)
#define L1_PAGES 200u /* the lowest, which have contents: L1's tables */

static u8 l1_ram[L1_PAGES * PAGE_SIZE] __attribute__((aligned(4096)));
static u32 l1_used;
static struct vm vm;
static struct vcpu vcpu;
static struct nested nested;
static struct guest_cpuid cpuid_of_l1;
static gpa_t gpa1;
static u64 reflect;

/* --- what lies below --- */

static u32 held; /* pages of the pool */
static s32 fail_after, populate_fails, updates_fail;

/* What a CPU remembers of tables: it must forget each before it is freed. */
static struct {
    paddr_t root, table;
} cached[1024];
static u32 nr_cached, invepts;

void *pool_alloc(struct frame_owner *owner, u32 pages)
{
    void *p;

    assert_ptr_equal(owner, &vm.owner);
    if (fail_after >= 0 && fail_after-- == 0)
        return NULL;
    p = aligned_alloc(PAGE_SIZE, pages * PAGE_SIZE);
    memset(p, 0, pages * PAGE_SIZE);
    held += pages;
    return p;
}

void pool_free(struct frame_owner *owner, void *p, u32 pages)
{
    assert_ptr_equal(owner, &vm.owner);
    for (u32 i = 0; i < nr_cached; i++)
        assert_int_not_equal(cached[i].table, pool_pa(p));
    held -= pages;
    free(p);
}

static void invept_single(u64 eptp)
{
    u32 n = 0;

    assert_int_equal(eptp & ~(EPT_ADDR | AD), EPTP_WB | EPTP_WALK_4);
    for (u32 i = 0; i < nr_cached; i++) {
        if (cached[i].root != (eptp & EPT_ADDR))
            cached[n++] = cached[i];
    }
    nr_cached = n;
    invepts++;
}

static void invept_all(void)
{
    nr_cached = 0;
    invepts++;
}

static void cache_table(paddr_t root, paddr_t table)
{
    for (u32 i = 0; i < nr_cached; i++) {
        if (cached[i].root == root && cached[i].table == table)
            return;
    }
    assert_true(nr_cached < ARRAY_SIZE(cached));
    cached[nr_cached].root = root;
    cached[nr_cached++].table = table;
}

static void cache_tables(paddr_t root, paddr_t table, u32 level)
{
    const u64 *t = pool_va(table);

    cache_table(root, table);
    for (u32 i = 0; level > 1 && i < 512; i++) {
        if ((t[i] & EPT_RWX) && !(t[i] & EPT_LARGE))
            cache_tables(root, t[i] & EPT_ADDR, level - 1);
    }
}

/* L2 runs, and its CPU sees all tables there are. */
static void run(void)
{
    paddr_t root = nested.shadow->current->ept.root;

    cache_tables(root, root, 4);
}

static paddr_t host_of(gpa_t gpa)
{
    return HOST + gpa + (gpa < SMALL ? PAGE_SIZE : 0);
}

int vm_populate(struct vm *m, gpa_t gpa)
{
    gpa_t piece = ALIGN_DOWN(gpa, MiB(2));

    assert_ptr_equal(m, &vm);
    assert_int_equal(vm.mem_lock.owner, vm.mem_lock.next);
    if (gpa >= RAM)
        return ERR_RANGE;
    if (ept_lookup(&vm.ept, gpa, NULL))
        return OK;
    if (populate_fails)
        return ERR_NOMEM;
    assert_int_equal(ept_map(&vm.ept, piece, host_of(piece), MiB(2), EPT_RWX, EPT_WB), OK);
    return OK;
}

int guest_read(struct vm *m, gpa_t gpa, void *to, u64 n)
{
    assert_ptr_equal(m, &vm);
    if (gpa >= sizeof(l1_ram))
        return ERR_RANGE;
    memcpy(to, l1_ram + gpa, n);
    return OK;
}

int guest_update(struct vm *m, gpa_t gpa, u32 size, u64 old, u64 new)
{
    assert_ptr_equal(m, &vm);
    assert_int_equal(size, 8);
    if (updates_fail || memcmp(l1_ram + gpa, &old, 8) != 0)
        return ERR_BUSY;
    memcpy(l1_ram + gpa, &new, 8);
    return OK;
}

static bool log_full;
static gpa_t logged[4];
static u32 nr_logged;

bool nested_pml_full(struct vcpu *v)
{
    assert_ptr_equal(v, &vcpu);
    return log_full;
}

void nested_pml_log(struct vcpu *v, gpa_t gpa2)
{
    assert_ptr_equal(v, &vcpu);
    assert_true(nr_logged < ARRAY_SIZE(logged));
    logged[nr_logged++] = gpa2;
}

/* The VM's own EPT. */
static paddr_t own_alloc(void *ctx)
{
    void *p = aligned_alloc(PAGE_SIZE, PAGE_SIZE);

    (void)ctx;
    memset(p, 0, PAGE_SIZE);
    return pool_pa(p);
}

static void own_free(void *ctx, paddr_t pa)
{
    (void)ctx;
    free(pool_va(pa));
}

static const struct ept_ops own_ops = {own_alloc, own_free, table_access};

/* --- L1 --- */

/* The entry for gpa2 at a level, below an EPTP; tables above it are made. */
static u64 *l1_entry(u64 eptp, gpa_t gpa2, u32 level)
{
    u64 *table = (u64 *)(l1_ram + (eptp & EPT_ADDR));

    for (u32 l = 4;; l--) {
        u64 *e = &table[gpa2 >> (12 + 9 * (l - 1)) & 511];

        if (l == level)
            return e;
        if (!*e) {
            assert_true(l1_used < L1_PAGES);
            *e = l1_used++ * PAGE_SIZE | EPT_RWX;
        }
        table = (u64 *)(l1_ram + (*e & EPT_ADDR));
    }
}

static void l1_map(u64 eptp, gpa_t gpa2, u32 level, gpa_t to, u64 rights)
{
    *l1_entry(eptp, gpa2, level) = to | rights | EPT_WB << EPT_TYPE_SHIFT | (level > 1 ? EPT_LARGE : 0);
}

static enum shadow_result fill(gpa_t gpa2, u64 qualification)
{
    run();
    return shadow_ept_fill(&vcpu, gpa2, qualification, &gpa1, &reflect);
}

/* L2's access goes on; what it then has. */
static struct ept_leaf filled(gpa_t gpa2, u64 qualification)
{
    struct ept_leaf leaf = {0};

    assert_int_equal(fill(gpa2, qualification), SHADOW_OK);
    assert_true(ept_lookup(&nested.shadow->current->ept, gpa2, &leaf));
    assert_int_equal(leaf.pa, host_of(gpa1));
    assert_false(nested.shadow->current->ept.stale);
    return leaf;
}

static bool mapped(gpa_t gpa2)
{
    return ept_lookup(&nested.shadow->current->ept, gpa2, NULL);
}

static void begin(void)
{
    memset(l1_ram, 0, sizeof(l1_ram));
    memset(&vm, 0, sizeof(vm));
    l1_used = 16; /* EPTP(1) to EPTP(15) */
    fail_after = -1;
    populate_fails = updates_fail = 0;
    nr_cached = invepts = nr_logged = 0;
    log_full = false;
    vm.memory = RAM;
    vm.nested_caps.ept_vpid = CAPS;
    assert_int_equal(ept_init(&vm.ept, &own_ops, NULL, CAPS, 46), OK);
    cpuid_of_l1.maxphyaddr = 40;
    nested = (struct nested){0};
    vcpu.vm = &vm;
    vcpu.cpuid = &cpuid_of_l1;
    vcpu.nested = &nested;
    assert_int_equal(shadow_ept_create(&vcpu), OK);
    assert_int_equal(held, 1 + ROOTS);
    shadow_ept_use(&vcpu, EPTP(1));
}

static void end(void)
{
    assert_int_equal(nested.shadow->nr_tables, held - 1);
    nr_cached = 0; /* the VM is gone */
    shadow_ept_destroy(&vcpu);
    assert_null(nested.shadow);
    assert_int_equal(held, 0);
    ept_destroy(&vm.ept);
}

#endif
