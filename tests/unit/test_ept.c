/* SPDX-License-Identifier: MIT */
/* links: vmm/ept.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "vmm/ept.h"

#define CAP_ALL (EPT_CAP_EXECUTE_ONLY | EPT_CAP_2M | EPT_CAP_1G | EPT_CAP_ACCESSED_DIRTY)
#define POOL    4096u
#define FRAME0  0x100000000ull /* address of the pool's first table */

/* A pool of table pages that counts, checks and can be told to fail. */
struct pool {
    u64 *page[POOL];
    u32 used, held;
    s32 fail_after; /* allocations until the one that fails; negative: never */
};

static paddr_t pool_alloc(void *ctx)
{
    struct pool *p = ctx;
    u32 n = 0;

    if (p->fail_after >= 0 && p->fail_after-- == 0)
        return EPT_NO_TABLE;
    while (n < p->used && p->page[n])
        n++;
    assert_true(n < POOL);
    p->used = MAX(p->used, n + 1);
    p->page[n] = calloc(512, sizeof(u64));
    p->held++;
    return FRAME0 + n * PAGE_SIZE;
}

static void pool_free(void *ctx, paddr_t pa)
{
    struct pool *p = ctx;
    u32 n = (pa - FRAME0) / PAGE_SIZE;

    assert_true(n < p->used && p->page[n]);
    free(p->page[n]);
    p->page[n] = NULL;
    p->held--;
}

static u64 *pool_access(void *ctx, paddr_t pa)
{
    struct pool *p = ctx;
    u32 n = (pa - FRAME0) / PAGE_SIZE;

    assert_true(IS_ALIGNED(pa, PAGE_SIZE) && n < p->used && p->page[n]);
    return p->page[n];
}

static const struct ept_ops pool_ops = {pool_alloc, pool_free, pool_access};

static struct pool *begin(struct ept *ept, u64 caps)
{
    struct pool *p = calloc(1, sizeof(*p));

    p->fail_after = -1;
    assert_int_equal(ept_init(ept, &pool_ops, p, caps, 46), OK);
    return p;
}

static void end(struct ept *ept, struct pool *p)
{
    assert_int_equal(ept->nr_tables, p->held);
    ept_destroy(ept);
    assert_int_equal(p->held, 0);
    free(p);
}

struct count {
    u32 level[4];
    gpa_t next;
};

static void count_leaf(void *ctx, const struct ept_leaf *leaf)
{
    struct count *c = ctx;

    assert_true(leaf->gpa >= c->next);
    assert_true(IS_ALIGNED(leaf->gpa | leaf->pa, leaf->size));
    c->next = leaf->gpa + leaf->size;
    c->level[leaf->level]++;
}

static void expect_leaves(const struct ept *ept, u32 n4k, u32 n2m, u32 n1g)
{
    struct count c = {0};

    ept_for_each_leaf(ept, count_leaf, &c);
    assert_int_equal(c.level[1], n4k);
    assert_int_equal(c.level[2], n2m);
    assert_int_equal(c.level[3], n1g);
}

static void test_page_sizes(void **state)
{
    struct ept ept;
    struct pool *p = begin(&ept, CAP_ALL);

    (void)state;
    assert_int_equal(ept_map(&ept, 0, GiB(4), GiB(8), EPT_RWX, EPT_WB), OK);
    expect_leaves(&ept, 0, 0, 8);
    assert_int_equal(p->held, 2);
    assert_false(ept.stale);
    assert_int_equal(ept_unmap(&ept, 0, GiB(8)), OK);
    assert_true(ept.stale);
    ept_reclaim(&ept);
    assert_int_equal(p->held, 1);

    /* Not aligned at either end: small pages up to the first boundary, then the largest. */
    assert_int_equal(ept_map(&ept, GiB(1) - MiB(2) - KiB(8), GiB(9) - MiB(2) - KiB(8),
                             GiB(1) + MiB(4) + KiB(12), EPT_RWX, EPT_WB),
                     OK);
    expect_leaves(&ept, 2 + 1, 1 + 1, 1);
    end(&ept, p);

    /* gpa and pa that are not aligned to each other cannot have large pages. */
    p = begin(&ept, CAP_ALL);
    assert_int_equal(ept_map(&ept, 0, KiB(4), MiB(4), EPT_RWX, EPT_WB), OK);
    expect_leaves(&ept, 1024, 0, 0);
    end(&ept, p);

    p = begin(&ept, CAP_ALL & ~EPT_CAP_1G);
    assert_int_equal(ept_map(&ept, 0, 0, GiB(1), EPT_RWX, EPT_WB), OK);
    expect_leaves(&ept, 0, 512, 0);
    end(&ept, p);

    p = begin(&ept, 0);
    assert_int_equal(ept_map(&ept, 0, 0, MiB(4), EPT_RWX, EPT_WB), OK);
    expect_leaves(&ept, 1024, 0, 0);
    end(&ept, p);
}

/* What becomes garbage after the others' INVEPT was asked for waits for the next. */
static void test_garbage_in_two_steps(void **state)
{
    struct ept ept;
    struct pool *p = begin(&ept, CAP_ALL);
    paddr_t tables;
    u64 before;

    (void)state;
    assert_int_equal(ept_map(&ept, 0, MiB(1), MiB(2), EPT_RWX, EPT_WB), OK);
    assert_int_equal(ept_map(&ept, GiB(1), MiB(1), MiB(2), EPT_RWX, EPT_WB), OK);
    before = p->held;
    assert_int_equal(ept_unmap(&ept, 0, MiB(2)), OK);
    tables = ept_take_garbage(&ept);
    assert_false(ept.stale);
    assert_int_equal(ept_unmap(&ept, GiB(1), MiB(2)), OK);
    assert_true(ept.stale);
    assert_int_equal(p->held, before);
    ept_free_garbage(&ept, tables);
    assert_true(p->held < before);
    before = p->held;
    assert_true(ept.stale);
    ept_reclaim(&ept);
    assert_true(p->held < before);
    ept_free_garbage(&ept, ept_take_garbage(&ept)); /* nothing */
    end(&ept, p);
}

static void test_entry_bits(void **state)
{
    struct ept ept;
    struct pool *p = begin(&ept, CAP_ALL);
    struct ept_leaf leaf;

    (void)state;
    assert_int_equal(ept_map(&ept, MiB(2), MiB(6), MiB(2), EPT_RW, EPT_UC | EPT_IPAT), OK);
    assert_int_equal(ept_map(&ept, KiB(4), MiB(1), KiB(4), EPT_EXEC, EPT_WB), OK);
    assert_true(ept_lookup(&ept, MiB(2) + 0x12345, &leaf));
    assert_int_equal(leaf.entry, MiB(6) | 0x80 | 0x40 | 3);
    assert_int_equal(leaf.level, 2);
    assert_int_equal(leaf.gpa, MiB(2));
    assert_int_equal(leaf.size, MiB(2));
    assert_int_equal(leaf.pa, MiB(6) + 0x12345);
    assert_true(ept_lookup(&ept, KiB(4) + 5, &leaf));
    assert_int_equal(leaf.entry, MiB(1) | 6 << 3 | 4);
    assert_int_equal(leaf.pa, MiB(1) + 5);
    assert_false(ept_lookup(&ept, 0, NULL));
    assert_false(ept_lookup(&ept, KiB(8), NULL));
    assert_false(ept_lookup(&ept, BIT(48), NULL));
    assert_int_equal(ept_pointer(&ept), ept.root | 0x5e);
    end(&ept, p);
    p = begin(&ept, 0);
    assert_int_equal(ept_pointer(&ept), ept.root | 0x1e);
    end(&ept, p);
}

static void test_merge_and_split(void **state)
{
    struct ept ept;
    struct pool *p = begin(&ept, CAP_ALL);
    struct ept_leaf leaf;

    (void)state;
    /* From the last page to the first: they merge when the run is complete, twice. */
    for (u32 i = 512; i-- > 0;)
        assert_int_equal(ept_map(&ept, MiB(2) + i * KiB(4), MiB(8) + i * KiB(4), KiB(4), EPT_RWX, EPT_WB),
                         OK);
    expect_leaves(&ept, 0, 1, 0);
    assert_true(ept.stale);
    ept_reclaim(&ept);
    assert_int_equal(ept_unmap(&ept, MiB(2), MiB(2)), OK);
    for (u32 i = 0; i < 512; i++)
        assert_int_equal(ept_map(&ept, GiB(2) + i * MiB(2), GiB(5) + i * MiB(2), MiB(2), EPT_RWX, EPT_WB),
                         OK);
    expect_leaves(&ept, 0, 0, 1);
    ept_reclaim(&ept);
    assert_int_equal(p->held, 2);

    /* One page of 1 GiB gets other rights and then its old ones. */
    assert_int_equal(ept_protect(&ept, GiB(2) + MiB(6) + KiB(4), KiB(4), EPT_READ), OK);
    assert_true(ept.stale);
    expect_leaves(&ept, 512, 511, 0);
    assert_int_equal(ept_protect(&ept, GiB(2) + MiB(6) + KiB(4), KiB(4), EPT_RWX), OK);
    expect_leaves(&ept, 0, 0, 1);
    ept_reclaim(&ept);
    assert_int_equal(p->held, 2);

    /* No change, nothing stale. */
    assert_int_equal(ept_protect(&ept, GiB(2), GiB(1), EPT_RWX), OK);
    assert_false(ept.stale);
    assert_int_equal(ept_unmap(&ept, 0, GiB(2)), OK);
    assert_false(ept.stale);

    /* A hole in the middle. */
    assert_int_equal(ept_unmap(&ept, GiB(2) + MiB(4), MiB(2) + KiB(4)), OK);
    expect_leaves(&ept, 511, 510, 0);
    assert_false(ept_lookup(&ept, GiB(2) + MiB(4), NULL));
    assert_false(ept_lookup(&ept, GiB(2) + MiB(6), NULL));
    assert_true(ept_lookup(&ept, GiB(2) + MiB(6) + KiB(4), &leaf));
    assert_int_equal(leaf.pa, GiB(5) + MiB(6) + KiB(4));
    end(&ept, p);
}

static void test_merge_keeps_accessed_and_dirty(void **state)
{
    struct ept ept;
    struct pool *p = begin(&ept, CAP_ALL);
    struct ept_leaf leaf;

    (void)state;
    assert_int_equal(ept_map(&ept, 0, 0, MiB(2) - KiB(4), EPT_RWX, EPT_WB), OK);
    pool_access(p, FRAME0 + 3 * PAGE_SIZE)[7] |= EPT_ACCESSED | EPT_DIRTY;
    assert_int_equal(ept_map(&ept, MiB(2) - KiB(4), MiB(2) - KiB(4), KiB(4), EPT_RWX, EPT_WB), OK);
    assert_true(ept_lookup(&ept, 0, &leaf));
    assert_int_equal(leaf.entry, 0x300 | EPT_LARGE | EPT_WB << 3 | EPT_RWX);
    end(&ept, p);
}

/* Runs that must not merge: other rights, another type, a break in host memory, or host memory not aligned.
 */
static void test_no_merge(void **state)
{
    static const struct {
        paddr_t pa;
        u64 rights;
        u32 type;
    } last[] = {
        {MiB(4) - KiB(4), EPT_RW, EPT_WB},
        {MiB(4) - KiB(4), EPT_RWX, EPT_UC},
        {MiB(8), EPT_RWX, EPT_WB},
    };

    (void)state;
    for (u32 i = 0; i < ARRAY_SIZE(last); i++) {
        struct ept ept;
        struct pool *p = begin(&ept, CAP_ALL);

        assert_int_equal(ept_map(&ept, 0, MiB(2), MiB(2) - KiB(4), EPT_RWX, EPT_WB), OK);
        assert_int_equal(ept_map(&ept, MiB(2) - KiB(4), last[i].pa, KiB(4), last[i].rights, last[i].type),
                         OK);
        expect_leaves(&ept, 512, 0, 0);
        end(&ept, p);
    }
}

static void test_errors(void **state)
{
    struct ept ept;
    struct pool *p = begin(&ept, CAP_ALL & ~EPT_CAP_EXECUTE_ONLY);

    (void)state;
    assert_int_equal(ept_map(&ept, 1, 0, KiB(4), EPT_RWX, EPT_WB), ERR_INVAL);
    assert_int_equal(ept_map(&ept, 0, 1, KiB(4), EPT_RWX, EPT_WB), ERR_INVAL);
    assert_int_equal(ept_map(&ept, 0, 0, 5, EPT_RWX, EPT_WB), ERR_INVAL);
    assert_int_equal(ept_map(&ept, 0, 0, 0, EPT_RWX, EPT_WB), ERR_INVAL);
    assert_int_equal(ept_map(&ept, 0, 0, KiB(4), 0, EPT_WB), ERR_INVAL);
    assert_int_equal(ept_map(&ept, 0, 0, KiB(4), 8, EPT_WB), ERR_INVAL);
    assert_int_equal(ept_map(&ept, 0, 0, KiB(4), EPT_WRITE, EPT_WB), ERR_INVAL);
    assert_int_equal(ept_map(&ept, 0, 0, KiB(4), EPT_WRITE | EPT_EXEC, EPT_WB), ERR_INVAL);
    assert_int_equal(ept_map(&ept, 0, 0, KiB(4), EPT_EXEC, EPT_WB), ERR_INVAL);
    for (u32 type = 0; type < 32; type++) {
        bool good = type < 16 && (type & 7) != 2 && (type & 7) != 3 && (type & 7) != 7;

        assert_int_equal(ept_map(&ept, type * PAGE_SIZE, 0, KiB(4), EPT_READ, type), good ? OK : ERR_INVAL);
    }
    assert_int_equal(ept_map(&ept, BIT(48), 0, KiB(4), EPT_RWX, EPT_WB), ERR_RANGE);
    assert_int_equal(ept_map(&ept, BIT(48) - KiB(4), 0, KiB(8), EPT_RWX, EPT_WB), ERR_RANGE);
    assert_int_equal(ept_map(&ept, -KiB(4), 0, KiB(8), EPT_RWX, EPT_WB), ERR_RANGE);
    assert_int_equal(ept_map(&ept, GiB(1), BIT(46) - KiB(4), KiB(8), EPT_RWX, EPT_WB), ERR_RANGE);
    assert_int_equal(ept_map(&ept, GiB(1), -KiB(4), KiB(8), EPT_RWX, EPT_WB), ERR_RANGE);
    assert_int_equal(ept_unmap(&ept, 0, 0), ERR_INVAL);
    assert_int_equal(ept_unmap(&ept, 3, KiB(4)), ERR_INVAL);
    assert_int_equal(ept_unmap(&ept, 0, BIT(48) + KiB(4)), ERR_RANGE);
    assert_int_equal(ept_protect(&ept, 0, KiB(4), EPT_EXEC), ERR_INVAL);

    assert_int_equal(ept_map(&ept, GiB(1), GiB(1), GiB(1), EPT_RWX, EPT_WB), OK);
    assert_int_equal(ept_map(&ept, GiB(2) - KiB(4), 0, KiB(8), EPT_RWX, EPT_WB), ERR_EXIST);
    assert_int_equal(ept_map(&ept, GiB(1) - KiB(4), 0, KiB(8), EPT_RWX, EPT_WB), ERR_EXIST);
    assert_int_equal(ept_map(&ept, GiB(1) + MiB(1), 0, KiB(4), EPT_RWX, EPT_WB), ERR_EXIST);
    /* The last page there is. */
    assert_int_equal(ept_map(&ept, BIT(48) - KiB(4), BIT(46) - KiB(4), KiB(4), EPT_RWX, EPT_WB), OK);
    assert_true(ept_lookup(&ept, BIT(48) - 1, NULL));
    assert_int_equal(ept_unmap(&ept, 0, BIT(48)), OK);
    ept_reclaim(&ept);
    assert_int_equal(p->held, 1);
    end(&ept, p);
}

/* The model: one word a page, 0 or the entry that ept_lookup() shall give (as if all pages were small). */
#define MODEL_PAGES (6 * 512u)
#define MODEL_BASE  (GiB(1) - MiB(4))

/* Mode-based execute control: a right more, in the pointers to tables too. */
static void test_mode_based(void **state)
{
    static const struct {
        u64 rights;
        bool without, with, execute_only; /* is it good? */
    } rows[] = {
        {EPT_RWX, true, true, false},
        {EPT_RWX | EPT_EXEC_USER, false, true, false},
        {EPT_READ | EPT_EXEC_USER, false, true, false},
        {EPT_EXEC, true, true, true},
        {EPT_EXEC_USER, false, true, true},
        {EPT_EXEC | EPT_EXEC_USER, false, true, true},
        {EPT_WRITE | EPT_EXEC_USER, false, false, false},
    };
    struct ept_leaf leaf;

    (void)state;
    for (u32 i = 0; i < 4 * ARRAY_SIZE(rows); i++) {
        u64 rights = rows[i / 4].rights, caps = CAP_ALL & (i & 1 ? ~0ull : ~EPT_CAP_EXECUTE_ONLY);
        bool with = i & 2,
             good = (with ? rows[i / 4].with : rows[i / 4].without) && (i & 1 || !rows[i / 4].execute_only);
        struct ept ept;
        struct pool *p = begin(&ept, caps);

        ept.mode_based = with;
        assert_int_equal(ept_map(&ept, 0x5000, MiB(1), KiB(4), rights, EPT_WB), good ? OK : ERR_INVAL);
        assert_int_equal(ept_lookup(&ept, 0x5000, &leaf), good);
        if (good) {
            u64 top = p->page[(ept.root - FRAME0) / PAGE_SIZE][0];

            assert_int_equal(leaf.entry & (EPT_RWX | EPT_EXEC_USER), rights);
            assert_int_equal(top & (EPT_RWX | EPT_EXEC_USER), EPT_RWX | (with ? EPT_EXEC_USER : 0));
            assert_int_equal(ept_protect(&ept, 0x5000, KiB(4), EPT_READ), OK);
            ept_lookup(&ept, 0x5000, &leaf);
            assert_int_equal(leaf.entry & (EPT_RWX | EPT_EXEC_USER), EPT_READ);
            assert_int_equal(ept_unmap(&ept, 0x5000, KiB(4)), OK);
            assert_false(ept_lookup(&ept, 0x5000, NULL));
        }
        end(&ept, p);
    }
}

static void compare(const struct ept *ept, const u64 *model)
{
    for (u32 i = 0; i < MODEL_PAGES; i++) {
        gpa_t gpa = MODEL_BASE + i * PAGE_SIZE;
        struct ept_leaf leaf;
        bool mapped = ept_lookup(ept, gpa, &leaf);

        assert_int_equal(mapped, model[i] != 0);
        if (mapped)
            assert_int_equal(leaf.pa | (leaf.entry & 0x7f), model[i]);
    }
}

/* Each leaf is as large as it can be: its siblings do not make a larger page. */
static void check_merged(void *ctx, const struct ept_leaf *leaf)
{
    const u64 *model = ctx;
    u32 first = (leaf->gpa - MODEL_BASE) / PAGE_SIZE, n = 0;

    if (leaf->level != 1 || !IS_ALIGNED(leaf->gpa | (leaf->pa), MiB(2)))
        return;
    while (n < 512 && first + n < MODEL_PAGES && model[first + n] == model[first] + n * PAGE_SIZE)
        n++;
    assert_true(n < 512);
}

static u32 next_random(u32 *seed)
{
    *seed = *seed * 1103515245 + 12345;
    return *seed >> 8;
}

static void test_against_model(void **state)
{
    u64 *model = calloc(MODEL_PAGES, sizeof(u64));
    struct ept ept;
    struct pool *p = begin(&ept, CAP_ALL);
    u32 seed = 7;

    (void)state;
    for (u32 step = 0; step < 6000; step++) {
        static const u64 rights[] = {EPT_READ, EPT_RW, EPT_RWX, EPT_EXEC};
        u32 grain = (const u32[]){1, 64, 512}[next_random(&seed) % 3];
        u32 first = next_random(&seed) % MODEL_PAGES / grain * grain;
        u32 wanted = (next_random(&seed) % 1024 + grain) / grain * grain;
        u32 n = MIN(wanted, MODEL_PAGES - first);
        u32 kinds = next_random(&seed) % 4 ? 1 : 4;
        u64 r = rights[next_random(&seed) % kinds];
        /* Mostly the same offset, so that runs come to meet. */
        paddr_t pa = GiB(4) + first * PAGE_SIZE + (next_random(&seed) % 4 ? 0 : PAGE_SIZE);
        gpa_t gpa = MODEL_BASE + first * PAGE_SIZE;
        bool free = true;
        u32 op = next_random(&seed) % 4;
        int result, expected = OK;

        for (u32 i = first; i < first + n; i++)
            free &= !model[i];
        p->fail_after = next_random(&seed) % 4 ? -1 : (s32)(next_random(&seed) % 5);
        if (op < 2) {
            expected = free ? OK : ERR_EXIST;
            result = ept_map(&ept, gpa, pa, n * PAGE_SIZE, r, EPT_WB);
        } else if (op == 2) {
            result = ept_unmap(&ept, gpa, n * PAGE_SIZE);
        } else {
            result = ept_protect(&ept, gpa, n * PAGE_SIZE, r);
        }
        if (p->fail_after < 0 && result == ERR_NOMEM)
            expected = ERR_NOMEM;
        p->fail_after = -1;
        assert_int_equal(result, expected);
        for (u32 i = first; !result && i < first + n; i++) {
            if (op < 2)
                model[i] = (pa + (i - first) * PAGE_SIZE) | EPT_WB << EPT_TYPE_SHIFT | r;
            else if (op == 2)
                model[i] = 0;
            else if (model[i])
                model[i] = (model[i] & ~EPT_RWX) | r;
        }
        if (next_random(&seed) % 2)
            ept_reclaim(&ept);
        if (step % 16 == 0 || result == ERR_NOMEM) {
            compare(&ept, model);
            ept_for_each_leaf(&ept, check_merged, model);
        }
    }
    assert_int_equal(ept_unmap(&ept, 0, BIT(48)), OK);
    ept_reclaim(&ept);
    assert_int_equal(p->held, 1);
    end(&ept, p);
    free(model);
}

/* Lets the nth allocation fail for every n until the call succeeds; each failure must leave no trace. */
static void test_every_allocation_fails(void **state)
{
    (void)state;
    for (u32 op = 0; op < 3; op++) {
        struct ept ept;
        struct pool *p = begin(&ept, CAP_ALL);
        u32 failures = 0;
        int result;

        if (op)
            assert_int_equal(ept_map(&ept, 0, 0, GiB(4), EPT_RWX, EPT_WB), OK);
        do {
            u32 held = p->held;

            p->fail_after = failures;
            if (op == 0)
                result = ept_map(&ept, GiB(1) - KiB(4), GiB(1) - KiB(4), GiB(512) + KiB(8), EPT_RWX, EPT_WB);
            else if (op == 1)
                result = ept_unmap(&ept, GiB(1) - KiB(4), GiB(1) + KiB(8));
            else
                result = ept_protect(&ept, GiB(1) - KiB(4), GiB(1) + KiB(8), EPT_READ);
            if (result) {
                assert_int_equal(result, ERR_NOMEM);
                expect_leaves(&ept, 0, 0, op ? 4 : 0);
                ept_reclaim(&ept);
                assert_int_equal(p->held, held);
                failures++;
            }
        } while (result);
        assert_int_equal(failures, op ? 4 : 6);
        end(&ept, p);
    }
    struct pool p = {.fail_after = 0};
    struct ept ept;

    assert_int_equal(ept_init(&ept, &pool_ops, &p, CAP_ALL, 46), ERR_NOMEM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_garbage_in_two_steps),
        cmocka_unit_test(test_page_sizes),
        cmocka_unit_test(test_entry_bits),
        cmocka_unit_test(test_merge_and_split),
        cmocka_unit_test(test_merge_keeps_accessed_and_dirty),
        cmocka_unit_test(test_no_merge),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_mode_based),
        cmocka_unit_test(test_against_model),
        cmocka_unit_test(test_every_allocation_fails),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
