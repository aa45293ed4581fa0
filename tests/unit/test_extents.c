/* SPDX-License-Identifier: MIT */
/* links: vmm/extents.c */
/* Pieces of RAM that are cut out of others, and joined again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "vmm/extents.h"

#define M MiB(1)

static struct extents x;

static int setup(void **state)
{
    (void)state;
    memset(&x, 0, sizeof(x));
    return 0;
}

static int add(gpa_t gpa, paddr_t pa, u64 size)
{
    return extents_add(&x, (struct vm_extent){gpa, pa, size});
}

static void expect(gpa_t gpa, paddr_t pa, u64 size)
{
    const struct vm_extent *e = extents_find(&x, gpa);

    assert_non_null(e);
    assert_true(e->gpa == gpa && e->pa == pa && e->size == size);
}

static int cut(gpa_t gpa, u64 size, struct vm_extent *out)
{
    *out = (struct vm_extent){.gpa = gpa, .size = size};
    return extents_cut(&x, out);
}

static void test_find(void **state)
{
    (void)state;
    add(4 * M, 100 * M, 4 * M);
    assert_null(extents_find(&x, 4 * M - 1));
    assert_non_null(extents_find(&x, 8 * M - 1));
    assert_null(extents_find(&x, 8 * M));
    assert_null(extents_find(&x, ~0ull));
    assert_false(extents_overlap(&x, 0, 4 * M));
    assert_true(extents_overlap(&x, 0, 4 * M + 1));
    assert_true(extents_overlap(&x, 5 * M, M));
    assert_true(extents_overlap(&x, 0, 100 * M));
    assert_true(extents_overlap(&x, 8 * M - 1, M));
    assert_false(extents_overlap(&x, 8 * M, M));
}

static void test_add_joins(void **state)
{
    (void)state;
    assert_int_equal(add(4 * M, 104 * M, 2 * M), OK);
    assert_int_equal(add(0, 100 * M, 2 * M), OK);
    assert_int_equal(x.nr, 2);
    assert_int_equal(add(2 * M, 102 * M, 2 * M), OK); /* to both */
    assert_int_equal(x.nr, 1);
    expect(0, 100 * M, 6 * M);
    assert_int_equal(add(6 * M, 108 * M, 2 * M), OK);  /* its memory is elsewhere */
    assert_int_equal(add(10 * M, 110 * M, 2 * M), OK); /* its address is */
    assert_int_equal(x.nr, 3);
    expect(6 * M, 108 * M, 2 * M);
}

static void test_cut_ends(void **state)
{
    struct vm_extent e;

    (void)state;
    add(0, 100 * M, 8 * M);
    assert_int_equal(cut(0, 2 * M, &e), OK);
    assert_true(e.pa == 100 * M && e.size == 2 * M);
    expect(2 * M, 102 * M, 6 * M);
    assert_int_equal(cut(6 * M, 4 * M, &e), OK); /* more than there is */
    assert_true(e.pa == 106 * M && e.size == 2 * M);
    expect(2 * M, 102 * M, 4 * M);
    assert_int_equal(x.nr, 1);
    assert_int_equal(cut(0, 2 * M, &e), ERR_RANGE);
    assert_int_equal(cut(2 * M, 4 * M, &e), OK);
    assert_int_equal(x.nr, 0);
}

static void test_cut_middle(void **state)
{
    struct vm_extent e;

    (void)state;
    add(0, 100 * M, 8 * M);
    assert_int_equal(cut(2 * M, 2 * M, &e), OK);
    assert_int_equal(x.nr, 2);
    expect(0, 100 * M, 2 * M);
    expect(4 * M, 104 * M, 4 * M);
    assert_null(extents_find(&x, 2 * M));
    assert_int_equal(extents_add(&x, e), OK);
    assert_int_equal(x.nr, 1);
    expect(0, 100 * M, 8 * M);
}

static void fill_up(void)
{
    for (u32 i = 0; i < VM_MAX_EXTENTS; i++)
        assert_int_equal(add(i * 16 * M, i * 32 * M, 8 * M), OK);
}

static void test_too_many(void **state)
{
    struct extents before;
    struct vm_extent e;

    (void)state;
    fill_up();
    before = x;
    assert_int_equal(add(GiB(64), GiB(64), M), ERR_NOMEM);
    assert_int_equal(cut(2 * M, 2 * M, &e), ERR_NOMEM);
    assert_memory_equal(&x, &before, sizeof(x));
    assert_int_equal(cut(0, 2 * M, &e), OK); /* nothing becomes two */
    assert_int_equal(cut(16 * M + 6 * M, 2 * M, &e), OK);
    assert_int_equal(extents_add(&x, e), OK);
    assert_int_equal(x.nr, VM_MAX_EXTENTS);
}

/* Random cuts and additions, beside a table of what is where. */
static void test_random(void **state)
{
    enum { PIECES = 64 };
    paddr_t at[PIECES];
    u64 seed = 1, next = 1;

    (void)state;
    memset(at, 0, sizeof(at));
    for (u32 n = 0; n < 100000; n++) {
        u32 i;

        seed = seed * 6364136223846793005 + 1442695040888963407;
        i = seed >> 40 & (PIECES - 1);
        if (at[i]) {
            struct vm_extent e = {.gpa = i * M, .size = (1 + (seed >> 33 & 7)) * M};

            assert_int_equal(extents_cut(&x, &e), OK);
            assert_true(e.pa == at[i] && e.size >= M);
            for (u64 k = 0; k < e.size / M; k++) {
                assert_true(at[i + k] == e.pa + k * M);
                at[i + k] = 0;
            }
        } else {
            /* Now and then what makes it one with those beside it. */
            at[i] = seed & 1 ? (GiB(1) + i * M) : GiB(4) + next++ * 2 * M;
            assert_int_equal(add(i * M, at[i], M), OK);
        }
        for (u32 k = 0; k < PIECES; k++) {
            const struct vm_extent *e = extents_find(&x, k * M);

            assert_true(e ? e->pa + (k * M - e->gpa) == at[k] : !at[k]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_find, setup),     cmocka_unit_test_setup(test_add_joins, setup),
        cmocka_unit_test_setup(test_cut_ends, setup), cmocka_unit_test_setup(test_cut_middle, setup),
        cmocka_unit_test_setup(test_too_many, setup), cmocka_unit_test_setup(test_random, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
