/* SPDX-License-Identifier: MIT */
/*
 * A vCPU's queue: a ring in a page of the guest's. Nothing in it is trusted: the index of what is done is
 * Nidus's own, and each word of an entry is read once.
 */
#include "arch/x86/user.h"
#include "vmm/vm.h"

#define READ(x)     __atomic_load_n(&(x), __ATOMIC_ACQUIRE)
#define WRITE(x, y) __atomic_store_n(&(x), (y), __ATOMIC_RELEASE)

/* An entry's first two fields, read at once. */
#define WORD(op, flags) ((u64)(flags) << 32 | (op))

/* Operations for which nothing needs to be done, as bits of a mask; all that may stand beside them. */
#define NOTHING   BIT(NIDUS_OP_NOP)
#define LOW_OPS   (NIDUS_NR_OPS - 1u)
#define ANY_QUICK WORD(LOW_OPS, NIDUS_STOP_ON_ERROR)

_Static_assert((NIDUS_NR_OPS & LOW_OPS) == 0, "a mask is made of it");

static bool is_quick(u64 word)
{
    return (word & ~ANY_QUICK) == WORD(0, NIDUS_READY) && NOTHING >> (word & LOW_OPS) & 1;
}

/* How many entries from *slot on, of n, were quick ones. */
static u32 serve_quick(struct nidus_slot *slot, u32 n)
{
    struct nidus_slot *p = slot, *end = slot + n;

    for (; p != end; p++) {
        u64 word = READ(*(u64 *)p);

        if (unlikely(!is_quick(word)))
            break;
        p->result = 0;
        WRITE(p->flags, NIDUS_DONE);
    }
    return (u32)(p - slot);
}

static void take_arguments(struct pv_queue *q, const struct nidus_slot *slot)
{
    for (u32 i = 0; i < ARRAY_SIZE(q->call.arg); i++)
        q->call.arg[i] = READ(slot->arg[i]);
}

/* Runs the entry at q->head. PV_QUEUE_EMPTY: done, and the next one may be. */
static enum pv_queue_end serve_one(struct pv_queue *q, struct vcpu *v, struct nidus_slot *slot, enum pv_by by)
{
    u64 word = READ(*(u64 *)slot);
    u32 flags = word >> 32;
    s64 result;

    if (!(flags & NIDUS_READY))
        return PV_QUEUE_BLOCKED;
    if (!q->begun) {
        q->call.v = v;
        q->call.op = (u32)word;
        take_arguments(q, slot);
    }
    if (by == PV_BY_POLLER && (q->begun || !pv_call_anywhere(q->call.op)))
        return PV_QUEUE_OWN;
    q->call.by = by;
    user_end();
    result = pv_call_run(&q->call);
    user_begin();
    q->begun = result == PV_AGAIN;
    if (q->begun)
        return by == PV_BY_POLLER ? PV_QUEUE_OWN : PV_QUEUE_AGAIN;
    slot->result = result;
    WRITE(slot->flags, (flags & ~NIDUS_READY) | NIDUS_DONE);
    WRITE(q->area->head, ++q->head);
    if (flags & NIDUS_NOTIFY)
        pv_queue_notify(v, READ(q->area->notify_vector));
    if (result < 0 && flags & NIDUS_STOP_ON_ERROR)
        return PV_QUEUE_STOPPED;
    return pv_queue_may_go_on(v, by) ? PV_QUEUE_EMPTY : PV_QUEUE_AGAIN;
}

/* With the guest's memory at hand. */
static enum pv_queue_end serve(struct pv_queue *q, struct vcpu *v, enum pv_by by)
{
    struct nidus_area *a = q->area;
    enum pv_queue_end end = PV_QUEUE_EMPTY;
    u32 tail = READ(a->tail);

    if (tail - q->head > NIDUS_SLOTS)
        return PV_QUEUE_BAD;
    while (q->head != tail && end == PV_QUEUE_EMPTY) {
        u32 first = q->head % NIDUS_SLOTS, n = MIN(tail - q->head, NIDUS_SLOTS - first), done = 0;

        if (likely(!q->begun)) {
            done = serve_quick(&a->slot[first], n);
            q->head += done;
            WRITE(a->head, q->head);
        }
        if (done < n)
            end = serve_one(q, v, &a->slot[first + done], by);
    }
    return end;
}

HOT enum pv_queue_end pv_queue_serve(struct pv_queue *q, struct vcpu *v, enum pv_by by)
{
    enum pv_queue_end end;

    user_begin();
    end = serve(q, v, by);
    user_end();
    return end;
}
