/* SPDX-License-Identifier: MIT */
#include "vmm/trace.h"

const struct trace_filter trace_everything = {
    .kinds = (1u << TRACE_KINDS) - 1, .vm = TRACE_ANY, .vcpu = TRACE_ANY, .reasons = {~0ull, ~0ull}};

#define WORDS (sizeof(struct trace_event) / sizeof(u64))

union words {
    struct trace_event event;
    u64 word[WORDS];
};

/*
 * The reader may copy an event while it is overwritten, and asks afterwards whether that has been so: not as
 * long as head, which says which one is being written, is less than a round ahead. It must not be seen later
 * than what is written then.
 */
void trace_put(struct trace_ring *r, const struct trace_event *e)
{
    u64 head = r->head, *to = (u64 *)&r->events[head & r->mask];
    union words from = {.event = *e};

    __atomic_thread_fence(__ATOMIC_RELEASE);
    for (u32 i = 0; i < WORDS; i++)
        __atomic_store_n(&to[i], from.word[i], __ATOMIC_RELAXED);
    __atomic_store_n(&r->head, head + 1, __ATOMIC_RELEASE);
}

bool trace_get(struct trace_ring *r, struct trace_event *e)
{
    for (;;) {
        u64 head = __atomic_load_n(&r->head, __ATOMIC_ACQUIRE), oldest = head > r->mask ? head - r->mask : 0;
        const u64 *from;
        union words to;

        if (r->next < oldest) {
            r->lost += oldest - r->next;
            r->next = oldest;
        }
        if (r->next == head)
            return false;
        from = (const u64 *)&r->events[r->next & r->mask];
        for (u32 i = 0; i < WORDS; i++)
            to.word[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (__atomic_load_n(&r->head, __ATOMIC_RELAXED) - r->next > r->mask)
            continue;
        r->next++;
        *e = to.event;
        return true;
    }
}

u64 trace_rewind(struct trace_ring *r, u64 n)
{
    u64 head = __atomic_load_n(&r->head, __ATOMIC_ACQUIRE), have = MIN(MIN(n, r->mask), head);

    r->next = head - have;
    r->lost = 0;
    r->has_peeked = false;
    return have;
}

u32 trace_get_first(struct trace_ring *rings, u32 nr, struct trace_event *e)
{
    u32 first = nr;

    for (u32 i = 0; i < nr; i++) {
        struct trace_ring *r = &rings[i];

        if (!r->has_peeked)
            r->has_peeked = trace_get(r, &r->peeked);
        if (r->has_peeked && (first == nr || r->peeked.tsc < rings[first].peeked.tsc))
            first = i;
    }
    if (first < nr) {
        *e = rings[first].peeked;
        rings[first].has_peeked = false;
    }
    return first;
}
