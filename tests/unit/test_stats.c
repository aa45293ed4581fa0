/* SPDX-License-Identifier: MIT */
/* links: vmm/stats.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "vmm/stats.h"

static struct stats s;

static void begin(void)
{
    memset(&s, 0, sizeof(s));
}

static void exits_are_counted_by_reason_and_level(void **state)
{
    (void)state;
    begin();
    stats_count(&s, STATS_L1, 10, 100);
    stats_count(&s, STATS_L1, 10, 50);
    stats_count(&s, STATS_REFLECTED, 10, 700);
    assert_int_equal(s.nr, 2);
    assert_int_equal(s.rows[0].count, 2);
    assert_int_equal(s.rows[0].sum, 150);
    assert_int_equal(s.rows[0].min, 50);
    assert_int_equal(s.rows[0].max, 100);
    assert_int_equal(s.rows[0].reason, 10);
    assert_int_equal(s.rows[0].level, STATS_L1);
    assert_int_equal(s.rows[1].level, STATS_REFLECTED);
    assert_int_equal(s.rows[1].sum, 700);
}

static u32 bucket_of(u64 cost)
{
    begin();
    stats_count(&s, STATS_L2, 1, cost);
    for (u32 i = 0; i < STATS_BUCKETS; i++) {
        if (s.rows[0].bucket[i])
            return i;
    }
    return ~0u;
}

static void costs_go_into_buckets(void **state)
{
    (void)state;
    assert_int_equal(bucket_of(0), 0);
    assert_int_equal(bucket_of(1), 0);
    assert_int_equal(bucket_of(63), 0);
    assert_int_equal(bucket_of(64), 1);
    assert_int_equal(bucket_of(127), 1);
    assert_int_equal(bucket_of(128), 2);
    assert_int_equal(bucket_of(BIT(STATS_FIRST + STATS_BUCKETS - 1) - 1), STATS_BUCKETS - 2);
    assert_int_equal(bucket_of(BIT(STATS_FIRST + STATS_BUCKETS - 1)), STATS_BUCKETS - 1);
    assert_int_equal(bucket_of(~0ull), STATS_BUCKETS - 1);
    assert_int_equal(s.rows[0].min, ~0u);
    assert_int_equal(s.rows[0].max, ~0ull);
}

static void the_median_is_that_of_a_bucket(void **state)
{
    (void)state;
    begin();
    assert_int_equal(stats_median(&s.rows[0]), 0);
    for (u32 i = 0; i < 5; i++)
        stats_count(&s, STATS_L1, 1, 100);
    assert_int_equal(stats_median(&s.rows[0]), 64);
    for (u32 i = 0; i < 6; i++)
        stats_count(&s, STATS_L1, 1, 5000);
    assert_int_equal(stats_median(&s.rows[0]), 4096);
}

/* More combinations than there are rows: the last has what is left. */
static void the_last_row_has_the_rest(void **state)
{
    (void)state;
    begin();
    for (u32 i = 0; i < VMX_NR_EXIT_REASONS; i++)
        stats_count(&s, STATS_L1, i, 1);
    stats_count(&s, STATS_L2, 3, 1);
    stats_count(&s, STATS_L1, 1000, 1);
    stats_count(&s, STATS_L1, 0, 1);
    assert_int_equal(s.nr, STATS_ROWS);
    assert_int_equal(s.rows[0].count, 2);
    assert_int_equal(s.rows[STATS_ROWS - 1].reason, STATS_REST);
    assert_int_equal(s.rows[STATS_ROWS - 1].count, VMX_NR_EXIT_REASONS - (STATS_ROWS - 1) + 2);
}

static void what_is_new_is_asked_for(void **state)
{
    struct stats_delta d;

    (void)state;
    begin();
    stats_count(&s, STATS_L1, 1, 5);
    d = stats_new(&s.rows[0]);
    assert_int_equal(d.count, 1);
    assert_int_equal(d.sum, 5);
    stats_count(&s, STATS_L1, 1, 6);
    stats_count(&s, STATS_L1, 1, 7);
    d = stats_new(&s.rows[0]);
    assert_int_equal(d.count, 2);
    assert_int_equal(d.sum, 13);
    assert_int_equal(stats_new(&s.rows[0]).count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exits_are_counted_by_reason_and_level),
        cmocka_unit_test(costs_go_into_buckets),
        cmocka_unit_test(the_median_is_that_of_a_bucket),
        cmocka_unit_test(the_last_row_has_the_rest),
        cmocka_unit_test(what_is_new_is_asked_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
