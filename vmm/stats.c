/* SPDX-License-Identifier: MIT */
#include "vmm/stats.h"

static struct stat *find(struct stats *s, enum stats_level level, u32 reason)
{
    u8 *row = &s->row[level][reason];
    struct stat *new;

    if (*row)
        return &s->rows[*row - 1];
    if (s->nr == STATS_ROWS)
        return &s->rows[STATS_ROWS - 1];
    new = &s->rows[s->nr];
    new->level = (u8)level;
    new->reason = s->nr == STATS_ROWS - 1 ? STATS_REST : (u8)reason;
    new->min = ~0u;
    __atomic_store_n(&s->nr, s->nr + 1, __ATOMIC_RELEASE);
    *row = (u8)s->nr;
    return new;
}

void stats_count(struct stats *s, enum stats_level level, u32 reason, u64 cost)
{
    struct stat *row = find(s, level, MIN(reason, VMX_NR_EXIT_REASONS - 1u));
    u32 log = 63 - (u32)__builtin_clzll(cost | 1);

    row->count++;
    row->sum += cost;
    row->min = (u32)MIN(cost, row->min);
    row->max = MAX(cost, row->max);
    row->bucket[log < STATS_FIRST ? 0 : MIN(log - STATS_FIRST, STATS_BUCKETS - 1)]++;
}

u64 stats_median(const struct stat *s)
{
    u64 before = 0;

    for (u32 i = 0; i < STATS_BUCKETS; i++) {
        before += s->bucket[i];
        if (2 * before >= s->count && s->count)
            return i ? BIT(STATS_FIRST + i) : 0;
    }
    return 0;
}

struct stats_delta stats_new(struct stat *s)
{
    u64 count = __atomic_load_n(&s->count, __ATOMIC_RELAXED),
        sum = __atomic_load_n(&s->sum, __ATOMIC_RELAXED);
    struct stats_delta d = {count - s->seen_count, sum - s->seen_sum};

    s->seen_count = count;
    s->seen_sum = sum;
    return d;
}
