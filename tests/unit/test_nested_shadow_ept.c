/* SPDX-License-Identifier: MIT */
/* links: vmm/nested/ept12.c vmm/ept.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/shadow_ept_case.h"

static void test_create(void **state)
{
    (void)state;
    begin();
    end();
    for (s32 n = 0; n < 1 + ROOTS; n++) {
        fail_after = n;
        assert_int_equal(shadow_ept_create(&vcpu), ERR_NOMEM);
        assert_int_equal(held, 0);
        assert_null(nested.shadow);
    }
    shadow_ept_destroy(&vcpu);
}

static void populate_all(void)
{
    for (gpa_t gpa = 0; gpa < RAM; gpa += MiB(2))
        vm_populate(&vm, gpa);
    ept_reclaim(&vm.ept);
}

/* The smaller one of L1's page and of what is contiguous behind it. */
static void test_sizes(void **state)
{
    static const struct {
        u32 level; /* of L1's page */
        gpa_t to;
        bool all; /* of L1's RAM has been touched */
        u32 size;
    } row[] = {
        {1, SMALL, true, 1},  {2, SMALL, true, 2}, {3, SMALL, true, 3}, {2, SMALL, false, 2},
        {3, SMALL, false, 2}, {1, 0, true, 1},     {2, 0, true, 1},     {3, 0, true, 1},
    };

    (void)state;
    for (u32 i = 0; i < ARRAY_SIZE(row); i++) {
        gpa_t gpa2 = GiB(9) + MiB(6) + 0x7123;
        struct ept_leaf leaf;

        begin();
        if (row[i].all)
            populate_all();
        l1_map(EPTP(1), gpa2, row[i].level, row[i].to, EPT_RWX);
        leaf = filled(gpa2, READ);
        assert_int_equal(leaf.level, row[i].size);
        assert_int_equal(leaf.entry & EPT_RWX, EPT_RWX);
        assert_int_equal(invepts, 0);
        end();
    }
}

/* A physical device of the VM's: uncached whatever L1 says, and never executable. */
static void test_device(void **state)
{
    struct ept_leaf leaf;

    (void)state;
    begin();
    assert_int_equal(ept_map(&vm.ept, RAM + 0x3000, RAM + 0x3000, 2 * PAGE_SIZE, EPT_RW, EPT_UC), OK);
    l1_map(EPTP(1), 0x5000, 1, RAM + 0x3000, EPT_RWX);
    assert_int_equal(fill(0x5000, WRITE), SHADOW_OK);
    assert_true(ept_lookup(&nested.shadow->current->ept, 0x5000, &leaf));
    assert_int_equal(leaf.pa, RAM + 0x3000);
    assert_int_equal(leaf.size, PAGE_SIZE);
    assert_int_equal(leaf.entry & (EPT_RWX | 7 << EPT_TYPE_SHIFT), EPT_RW | EPT_UC << EPT_TYPE_SHIFT);
    assert_int_equal(fill(0x5000, FETCH), SHADOW_DEVICE);
    l1_map(EPTP(1), 0x6000, 1, RAM + 0x5000, EPT_RWX); /* behind it there is nothing */
    assert_int_equal(fill(0x6000, READ), SHADOW_DEVICE);
    end();
}

static void test_rights(void **state)
{
    static const u64 kind[] = {READ, WRITE, FETCH};

    (void)state;
    for (u32 n = 0; n < 8 * 3; n++) {
        u64 rights = n / 3, q = kind[n % 3];
        enum shadow_result r;

        if ((rights & EPT_WRITE) && !(rights & EPT_READ))
            continue;
        begin();
        l1_map(EPTP(1), 0x5000, 1, GiB(2), rights);
        if (!(q & ~rights & EPT_RWX)) {
            assert_int_equal(filled(0x5000, q).entry & EPT_RWX, rights);
        } else {
            r = fill(0x5000, q | EPT_QUAL_UNBLOCKED_NMI | EPT_RWX << 3 | EPT_QUAL_ADVANCED);
            assert_int_equal(r, SHADOW_VIOLATION);
            assert_int_equal(reflect, q | rights << 3 | EPT_QUAL_UNBLOCKED_NMI);
            assert_false(mapped(0x5000));
            vm.nested_caps.ept_vpid |= EPT_CAP_ADVANCED_EXIT_INFO;
            fill(0x5000, q | EPT_QUAL_ADVANCED);
            assert_int_equal(reflect, q | rights << 3 | EPT_QUAL_ADVANCED);
        }
        end();
    }
}

static void test_types(void **state)
{
    static const u32 type[] = {EPT_UC, EPT_WC, EPT_WT, EPT_WP, EPT_WB};

    (void)state;
    for (u32 n = 0; n < 2 * ARRAY_SIZE(type); n++) {
        u64 bits = (type[n / 2] | (n % 2 ? EPT_IPAT : 0)) << EPT_TYPE_SHIFT;

        begin();
        *l1_entry(EPTP(1), 0x5000, 1) = GiB(2) | EPT_RWX | bits;
        assert_int_equal(filled(0x5000, READ).entry & BITS(6, 3), bits);
        end();
    }
}

/* L1 changes a page and does not tell: the violation shows it, and its neighbours stay. */
static void test_upgrade(void **state)
{
    struct ept_leaf leaf;

    (void)state;
    begin();
    l1_map(EPTP(1), 0x5000, 1, GiB(2), EPT_READ);
    l1_map(EPTP(1), 0x6000, 1, GiB(2) + KiB(8), EPT_READ);
    filled(0x5000, READ);
    filled(0x6000, READ);
    assert_int_equal(invepts, 0);
    l1_map(EPTP(1), 0x5000, 1, GiB(2), EPT_RWX);
    leaf = filled(0x5000, WRITE);
    assert_int_equal(leaf.entry & EPT_RWX, EPT_RWX);
    assert_int_equal(invepts, 1);
    l1_map(EPTP(1), 0x6000, 1, GiB(3), EPT_RW);
    leaf = filled(0x6000, WRITE);
    assert_int_equal(leaf.pa, host_of(GiB(3)));
    assert_int_equal(invepts, 2);
    assert_true(mapped(0x5000));
    end();
}

/* A large page of old behind a new small one, and the other way round. */
static void test_other_size(void **state)
{
    (void)state;
    begin();
    l1_map(EPTP(1), MiB(2), 2, GiB(2), EPT_READ);
    filled(MiB(2), READ);
    *l1_entry(EPTP(1), MiB(2), 2) = 0;
    l1_map(EPTP(1), MiB(2) + KiB(4), 1, GiB(3), EPT_RWX);
    assert_int_equal(filled(MiB(2) + KiB(4), WRITE).level, 1);
    assert_true(mapped(MiB(2)));
    assert_int_equal(invepts, 1);
    l1_map(EPTP(1), MiB(2), 2, GiB(2), EPT_RWX);
    assert_int_equal(filled(MiB(2), WRITE).level, 2);
    assert_int_equal(invepts, 2);
    end();
}

/* Small pages that come to make a large one; the table that they were in is freed when the CPU has forgotten
 * it. */
static void test_merge(void **state)
{
    (void)state;
    begin();
    for (u32 i = 0; i < 512; i++)
        l1_map(EPTP(1), MiB(2) + i * PAGE_SIZE, 1, GiB(2) + i * PAGE_SIZE, EPT_RWX);
    for (u32 i = 0; i < 511; i++)
        assert_int_equal(filled(MiB(2) + i * PAGE_SIZE, READ).level, 1);
    assert_int_equal(invepts, 0);
    assert_int_equal(filled(MiB(4) - 1, READ).level, 2);
    assert_int_equal(invepts, 1);
    assert_int_equal(held, 1 + ROOTS + 2);
    end();
}

static void test_dirty(void **state)
{
    (void)state;
    for (u32 level = 1; level <= 2; level++) {
        gpa_t gpa2 = MiB(8);
        u64 *e, eptp = EPTP(1) | AD;

        begin();
        assert_int_equal(shadow_ept_use(&vcpu, eptp) & ~EPT_ADDR, 0x5e);
        l1_map(eptp, gpa2, level, GiB(2), EPT_RWX);
        e = l1_entry(eptp, gpa2, level);
        assert_int_equal(filled(gpa2, READ).entry & EPT_RWX, EPT_READ | EPT_EXEC);
        assert_int_equal(*e & (EPT_ACCESSED | EPT_DIRTY), EPT_ACCESSED);
        assert_true(*l1_entry(eptp, gpa2, 4) & EPT_ACCESSED);
        assert_int_equal(filled(gpa2, WRITE).entry & EPT_RWX, EPT_RWX);
        assert_true(*e & EPT_DIRTY);
        assert_int_equal(invepts, 1);

        /* L1 clears it, and says so. */
        *e &= ~EPT_DIRTY;
        shadow_ept_invalidate(&vcpu, eptp);
        assert_int_equal(filled(gpa2, READ).entry & EPT_RWX, EPT_READ | EPT_EXEC);
        assert_int_equal(filled(gpa2, PAGING).entry & EPT_RWX, EPT_RWX);
        assert_true(*e & EPT_DIRTY);

        /* It is set already. */
        shadow_ept_invalidate(&vcpu, eptp);
        assert_int_equal(filled(gpa2, READ).entry & EPT_RWX, EPT_RWX);
        end();
    }
}

/* Each time that a dirty flag of L1's becomes 1, whoever makes the access. */
static void test_log(void **state)
{
    u64 eptp = EPTP(1) | AD;

    (void)state;
    begin();
    shadow_ept_use(&vcpu, eptp);
    l1_map(eptp, MiB(8), 1, GiB(2), EPT_RWX);
    l1_map(eptp, MiB(16), 2, GiB(2) + MiB(2), EPT_RWX);
    log_full = true;
    assert_int_equal(fill(MiB(8), READ), SHADOW_LOG_FULL);
    log_full = false;
    filled(MiB(8), READ);
    assert_int_equal(nr_logged, 0);
    log_full = true;
    assert_int_equal(fill(MiB(8) + 8, WRITE), SHADOW_LOG_FULL);
    assert_int_equal(shadow_ept_translate(&vcpu, MiB(8), EPT_WRITE, &gpa1, &reflect), SHADOW_LOG_FULL);
    assert_false(*l1_entry(eptp, MiB(8), 1) & EPT_DIRTY);
    log_full = false;
    filled(MiB(8) + 8, WRITE);
    assert_int_equal(nr_logged, 1);
    assert_int_equal(logged[0], MiB(8) + 8);
    log_full = true;
    filled(MiB(8) + 8, WRITE);
    log_full = false;
    assert_int_equal(shadow_ept_translate(&vcpu, MiB(16) + 0x5010, EPT_WRITE, &gpa1, &reflect), SHADOW_OK);
    assert_int_equal(nr_logged, 2);
    assert_int_equal(logged[1], MiB(16) + 0x5010);
    filled(MiB(16) + 0x9000, WRITE);
    assert_int_equal(nr_logged, 2);
    end();
}

static void test_no_dirty_flags(void **state)
{
    (void)state;
    begin();
    assert_int_equal(shadow_ept_use(&vcpu, EPTP(1)), nested.shadow->current->ept.root | 0x1e);
    l1_map(EPTP(1), 0x5000, 1, GiB(2), EPT_RWX);
    assert_int_equal(filled(0x5000, PAGING).entry & EPT_RWX, EPT_RWX);
    assert_false(*l1_entry(EPTP(1), 0x5000, 1) & (EPT_ACCESSED | EPT_DIRTY));
    end();
}

/* The CPU's accesses to paging structures that L1 has not made writable: with flags they violate. */
static void test_paging_structures(void **state)
{
    (void)state;
    begin();
    l1_map(EPTP(1), 0x5000, 1, GiB(2), EPT_READ);
    filled(0x5000, PAGING);
    shadow_ept_use(&vcpu, EPTP(1) | AD);
    assert_int_equal(fill(0x5000, EPT_QUAL_WRITE | EPT_QUAL_LINEAR_VALID), SHADOW_VIOLATION);
    assert_int_equal(reflect, EPT_QUAL_READ | EPT_QUAL_WRITE | EPT_READ << 3 | EPT_QUAL_LINEAR_VALID);
    /* A load of PDPTEs is a read. */
    assert_int_equal(fill(0x5000, EPT_QUAL_READ), SHADOW_OK);
    end();
}

static void test_not_ram(void **state)
{
    (void)state;
    begin();
    l1_map(EPTP(1), 0x5000, 1, RAM + 0x3000, EPT_RWX);
    assert_int_equal(fill(0x5678, WRITE), SHADOW_DEVICE);
    assert_int_equal(gpa1, RAM + 0x3678);
    assert_int_equal(shadow_ept_translate(&vcpu, 0x5678, EPT_WRITE, &gpa1, &reflect), SHADOW_DEVICE);
    assert_int_equal(gpa1, RAM + 0x3678);
    /* Rights come first. */
    l1_map(EPTP(1), 0x5000, 1, RAM, EPT_READ);
    assert_int_equal(fill(0x5678, WRITE), SHADOW_VIOLATION);
    assert_false(mapped(0x5678));

    /* An access that the VM's own EPT does not allow is not L1's business. */
    l1_map(EPTP(1), 0x6000, 1, GiB(2), EPT_RWX);
    vm_populate(&vm, GiB(2));
    assert_int_equal(ept_protect(&vm.ept, GiB(2), KiB(4), EPT_READ), OK);
    assert_int_equal(fill(0x6000, WRITE), SHADOW_DEVICE);
    assert_int_equal(filled(0x6000, READ).entry & EPT_RWX, EPT_READ);
    end();
}

/* An APIC-access page without RAM has a page that stands in for it, and no other address has. */
static void test_stand_in(void **state)
{
    struct ept_leaf leaf;

    (void)state;
    begin();
    nested.none = pool_va(0x123000); /* only its address counts */
    nested.stand_in = (RAM + 0x3000) | NESTED_STANDS_IN;
    l1_map(EPTP(1), 0x5000, 1, RAM + 0x3000, EPT_RWX);
    l1_map(EPTP(1), 0x6000, 1, RAM + 0x4000, EPT_RWX);
    l1_map(EPTP(1), 0x7000, 1, RAM + 0x3000, EPT_READ);
    assert_int_equal(fill(0x5678, WRITE), SHADOW_OK);
    assert_true(ept_lookup(&nested.shadow->current->ept, 0x5678, &leaf));
    assert_int_equal(leaf.pa, 0x123678);
    assert_int_equal(fill(0x7000, READ), SHADOW_OK);
    assert_true(ept_lookup(&nested.shadow->current->ept, 0x7000, &leaf));
    assert_int_equal(leaf.entry & EPT_RWX, EPT_READ);
    assert_int_equal(fill(0x6000, READ), SHADOW_DEVICE);
    nested.stand_in = 0;
    shadow_ept_invalidate_all(&vcpu);
    assert_int_equal(fill(0x5678, WRITE), SHADOW_DEVICE);
    end();
}

static void test_misconfiguration(void **state)
{
    (void)state;
    begin();
    l1_map(EPTP(1), 0x5000, 1, BIT(40), EPT_RWX);
    assert_int_equal(fill(0x5000, READ), SHADOW_MISCONFIG);
    assert_int_equal(shadow_ept_translate(&vcpu, 0x5000, EPT_READ, &gpa1, &reflect), SHADOW_MISCONFIG);
    /* A table where there is no memory. */
    *l1_entry(EPTP(1), 0, 2) = RAM | EPT_RWX;
    assert_int_equal(fill(0x5000, READ), SHADOW_MISCONFIG);
    /* What L1 is not offered. */
    l1_map(EPTP(1), GiB(3), 3, GiB(1), EPT_RWX);
    vm.nested_caps.ept_vpid &= ~EPT_CAP_1G;
    assert_int_equal(fill(GiB(3), READ), SHADOW_MISCONFIG);
    end();
}

static void test_invalidate(void **state)
{
    u32 empty_held;

    (void)state;
    begin();
    for (u32 n = 1; n <= 3; n++) {
        l1_map(EPTP(n), 0x5000, 1, GiB(2), EPT_RWX);
        shadow_ept_use(&vcpu, EPTP(n));
        filled(0x5000, READ);
    }
    shadow_ept_use(&vcpu, EPTP(2) | AD);
    filled(0x5000, READ);
    run();
    empty_held = 1 + ROOTS;
    assert_int_equal(held, empty_held + 4 * 3);

    /* Both that have this address, whatever else is in the EPTP. */
    shadow_ept_invalidate(&vcpu, EPTP(2) & EPT_ADDR);
    assert_int_equal(invepts, 2);
    assert_int_equal(held, empty_held + 2 * 3);
    assert_false(mapped(0x5000));
    shadow_ept_use(&vcpu, EPTP(2));
    assert_false(mapped(0x5000));
    shadow_ept_use(&vcpu, EPTP(1));
    assert_true(mapped(0x5000));
    /* One that is not there. */
    shadow_ept_invalidate(&vcpu, EPTP(9));
    assert_int_equal(invepts, 2);

    shadow_ept_invalidate_all(&vcpu);
    assert_int_equal(invepts, 4);
    assert_int_equal(held, empty_held);
    assert_false(mapped(0x5000));
    filled(0x5000, READ);
    shadow_ept_use(&vcpu, EPTP(3));
    filled(0x5000, READ);
    end();
}

static void test_invept_of_all(void **state)
{
    (void)state;
    begin();
    nested.shadow->current->ept.caps &= ~EPT_CAP_INVEPT_SINGLE;
    l1_map(EPTP(1), 0x5000, 1, GiB(2), EPT_RWX);
    filled(0x5000, READ);
    run();
    shadow_ept_invalidate(&vcpu, EPTP(1));
    assert_int_equal(nr_cached, 0);
    assert_int_equal(invepts, 1);
    end();
}

static void test_mode_based(void **state)
{
    static const struct {
        u64 rights;
        bool supervisor, user;
    } rows[] = {
        {EPT_RWX, true, false},
        {EPT_RWX | EPT_EXEC_USER, true, true},
        {EPT_RW | EPT_EXEC_USER, false, true},
        {EPT_EXEC_USER, false, true},
        {EPT_RW, false, false},
    };

    (void)state;
    for (u32 i = 0; i < 2 * ARRAY_SIZE(rows); i++) {
        u64 rights = rows[i / 2].rights, user = i & 1 ? EPT_QUAL_USER : 0;
        u64 seen =
            (rights & EPT_RWX) << EPT_QUAL_RIGHTS_SHIFT | (rights & EPT_EXEC_USER ? EPT_QUAL_EXEC_USER : 0);

        begin();
        vm.nested_caps.ept_vpid |= EPT_CAP_ADVANCED_EXIT_INFO;
        shadow_ept_use(&vcpu, EPTP(1) | SHADOW_MODE_BASED);
        l1_map(EPTP(1), 0x5000, 1, GiB(2), rights);
        for (u32 level = 2; level <= 4; level++)
            *l1_entry(EPTP(1), 0x5000, level) |= EPT_EXEC_USER;
        if (user ? rows[i / 2].user : rows[i / 2].supervisor) {
            assert_int_equal(filled(0x5000, FETCH | user).entry & (EPT_RWX | EPT_EXEC_USER), rights);
        } else {
            assert_int_equal(fill(0x5000, FETCH | user | BIT(10)), SHADOW_VIOLATION);
            assert_int_equal(reflect, FETCH | user | BIT(10) | seen);
        }
        end();
    }
}

/* The same EPTP with the control and without are two. */
static void test_mode_based_is_a_key(void **state)
{
    u64 with, without;

    (void)state;
    begin();
    l1_map(EPTP(1), 0x5000, 1, GiB(2), EPT_RWX);
    without = shadow_ept_use(&vcpu, EPTP(1));
    assert_int_equal(filled(0x5000, FETCH | EPT_QUAL_USER).entry & (EPT_RWX | EPT_EXEC_USER), EPT_RWX);
    with = shadow_ept_use(&vcpu, EPTP(1) | SHADOW_MODE_BASED);
    assert_int_not_equal(with & EPT_ADDR, without & EPT_ADDR);
    assert_int_equal(with & SHADOW_MODE_BASED, 0);
    assert_false(mapped(0x5000));
    assert_int_equal(fill(0x5000, FETCH | EPT_QUAL_USER), SHADOW_VIOLATION);
    assert_int_equal(shadow_ept_use(&vcpu, EPTP(1)), without);
    assert_true(mapped(0x5000));
    shadow_ept_use(&vcpu, EPTP(1) | SHADOW_MODE_BASED);
    filled(0x5000, FETCH);
    shadow_ept_invalidate(&vcpu, EPTP(1));
    assert_false(mapped(0x5000));
    end();
}

static void test_least_recently_used(void **state)
{
    u64 pointer[ROOTS + 2];

    (void)state;
    begin();
    for (u32 n = 1; n <= ROOTS + 1; n++)
        l1_map(EPTP(n), 0x5000, 1, GiB(2), EPT_RWX);
    for (u32 n = 1; n <= ROOTS; n++) {
        pointer[n] = shadow_ept_use(&vcpu, EPTP(n));
        filled(0x5000, READ);
        for (u32 k = 1; k < n; k++)
            assert_int_not_equal(pointer[n], pointer[k]);
    }
    /* 2 is the oldest then. */
    assert_int_equal(shadow_ept_use(&vcpu, EPTP(1)), pointer[1]);
    assert_true(mapped(0x5000));
    assert_int_equal(invepts, 0);
    assert_int_equal(shadow_ept_use(&vcpu, EPTP(ROOTS + 1)), pointer[2]);
    assert_false(mapped(0x5000));
    assert_int_equal(invepts, 1);
    filled(0x5000, READ);
    for (u32 n = 1; n <= ROOTS; n++) {
        if (n == 2)
            continue;
        assert_int_equal(shadow_ept_use(&vcpu, EPTP(n)), pointer[n]);
        assert_true(mapped(0x5000));
    }
    end();
}

/* Bits of an EPTP that do not tell it apart, and the one that does. */
static void test_key(void **state)
{
    u64 plain;

    (void)state;
    begin();
    plain = shadow_ept_use(&vcpu, EPTP(1));
    assert_int_equal(shadow_ept_use(&vcpu, (EPTP(1) & ~7ull) | EPT_UC), plain);
    assert_int_not_equal(shadow_ept_use(&vcpu, EPTP(1) | AD) & EPT_ADDR, plain & EPT_ADDR);
    end();
}

static void test_table_bound(void **state)
{
    u32 drops = 0;

    (void)state;
    begin();
    nested.shadow->max_tables = SPARSE_TABLES;
    /* Another EPTP's are among what is dropped. */
    l1_map(EPTP(2), 0x5000, 1, GiB(2), EPT_RWX);
    shadow_ept_use(&vcpu, EPTP(2));
    filled(0x5000, READ);
    shadow_ept_use(&vcpu, EPTP(1));
    for (u32 i = 0; i < 80; i++) {
        u64 before = nested.shadow->nr_tables;

        l1_map(EPTP(1), i * GiB(1), 1, GiB(2), EPT_RWX);
        filled(i * GiB(1), READ);
        assert_true(nested.shadow->nr_tables <= SPARSE_TABLES);
        drops += nested.shadow->nr_tables < before;
    }
    assert_int_equal(drops, 2);
    shadow_ept_use(&vcpu, EPTP(2));
    assert_false(mapped(0x5000));
    end();
}

static void test_bound_by_memory(void **state)
{
    static const struct {
        u64 memory, tables;
    } row[] = {{MiB(16), 72}, {GiB(4), 2112}, {GiB(1024), 16384}};

    (void)state;
    for (u32 i = 0; i < ARRAY_SIZE(row); i++) {
        begin();
        shadow_ept_destroy(&vcpu);
        vm.memory = row[i].memory;
        assert_int_equal(shadow_ept_create(&vcpu), OK);
        assert_int_equal(nested.shadow->max_tables, row[i].tables);
        end();
    }
}

static void test_no_memory(void **state)
{
    (void)state;
    begin();
    l1_map(EPTP(1), 0x5000, 1, GiB(2), EPT_RWX);
    l1_map(EPTP(1), GiB(5), 1, GiB(2), EPT_RWX);
    filled(0x5000, READ);
    /* Other tables make room. */
    fail_after = 1;
    filled(GiB(5), READ);
    assert_false(mapped(0x5000));
    /* There is no room whatever is dropped. */
    shadow_ept_invalidate_all(&vcpu);
    nested.shadow->max_tables = ROOTS + 2;
    assert_int_equal(fill(GiB(5), READ), SHADOW_NO_MEMORY);
    assert_false(mapped(GiB(5)));
    assert_int_equal(nested.shadow->nr_tables, ROOTS);
    /* L1's memory is not to be had. */
    nested.shadow->max_tables = 100;
    populate_fails = 1;
    l1_map(EPTP(1), 0x5000, 1, GiB(3), EPT_RWX);
    assert_int_equal(fill(0x5000, READ), SHADOW_NO_MEMORY);
    assert_int_equal(shadow_ept_translate(&vcpu, 0x5000, EPT_READ, &gpa1, &reflect), SHADOW_NO_MEMORY);
    end();
}

/* Entries that L1 writes to all the time. */
static void test_busy(void **state)
{
    (void)state;
    begin();
    shadow_ept_use(&vcpu, EPTP(1) | AD);
    l1_map(EPTP(1), 0x5000, 1, GiB(2), EPT_RWX);
    updates_fail = 1;
    assert_int_equal(fill(0x5000, WRITE), SHADOW_OK);
    assert_false(mapped(0x5000));
    assert_int_equal(shadow_ept_translate(&vcpu, 0x5000, EPT_WRITE, &gpa1, &reflect), SHADOW_VIOLATION);
    end();
}

static void test_moved(void **state)
{
    (void)state;
    begin();
    l1_map(EPTP(1), 0x5000, 1, GiB(2), EPT_RWX);
    filled(0x5000, READ);
    run();
    shadow_ept_use(&vcpu, EPTP(2));
    run();
    shadow_ept_moved(&vcpu);
    assert_int_equal(invepts, 2); /* the others were never used */
    assert_int_equal(nr_cached, 0);
    shadow_ept_use(&vcpu, EPTP(1));
    assert_true(mapped(0x5000));
    vcpu.nested = NULL;
    shadow_ept_moved(&vcpu);
    vcpu.nested = &nested;
    assert_int_equal(invepts, 2);
    end();
}

static void test_translate(void **state)
{
    u64 eptp = EPTP(1) | AD;

    (void)state;
    begin();
    shadow_ept_use(&vcpu, eptp);
    l1_map(eptp, MiB(4), 2, GiB(2), EPT_RWX);
    l1_map(eptp, 0x5000, 1, GiB(3), EPT_READ);
    assert_int_equal(shadow_ept_translate(&vcpu, MiB(4) + 0x1234, EPT_WRITE, &gpa1, &reflect), SHADOW_OK);
    assert_int_equal(gpa1, GiB(2) + 0x1234);
    assert_true(*l1_entry(eptp, MiB(4), 2) & EPT_DIRTY);
    assert_false(mapped(MiB(4)));
    assert_int_equal(shadow_ept_translate(&vcpu, 0x5000, EPT_READ, &gpa1, &reflect), SHADOW_OK);
    assert_int_equal(shadow_ept_translate(&vcpu, 0x5000, EPT_WRITE, &gpa1, &reflect), SHADOW_VIOLATION);
    assert_int_equal(reflect, WRITE | EPT_READ << 3);
    assert_int_equal(shadow_ept_translate(&vcpu, 0x5000, EPT_READ | EPT12_PAGING, &gpa1, &reflect),
                     SHADOW_VIOLATION);
    assert_int_equal(reflect, PAGING | EPT_QUAL_WRITE | EPT_READ << 3);
    assert_int_equal(shadow_ept_translate(&vcpu, 0x7000, EPT_EXEC, &gpa1, &reflect), SHADOW_VIOLATION);
    assert_int_equal(reflect, FETCH);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_create),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_rights),
        cmocka_unit_test(test_device),
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_upgrade),
        cmocka_unit_test(test_other_size),
        cmocka_unit_test(test_merge),
        cmocka_unit_test(test_dirty),
        cmocka_unit_test(test_log),
        cmocka_unit_test(test_no_dirty_flags),
        cmocka_unit_test(test_paging_structures),
        cmocka_unit_test(test_not_ram),
        cmocka_unit_test(test_stand_in),
        cmocka_unit_test(test_misconfiguration),
        cmocka_unit_test(test_invalidate),
        cmocka_unit_test(test_invept_of_all),
        cmocka_unit_test(test_mode_based),
        cmocka_unit_test(test_mode_based_is_a_key),
        cmocka_unit_test(test_least_recently_used),
        cmocka_unit_test(test_key),
        cmocka_unit_test(test_table_bound),
        cmocka_unit_test(test_bound_by_memory),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_busy),
        cmocka_unit_test(test_moved),
        cmocka_unit_test(test_translate),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
