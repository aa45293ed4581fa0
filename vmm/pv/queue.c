/* SPDX-License-Identifier: MIT */
/*
 * A vCPU's queue: a ring in a page of the guest's. Nothing in it is trusted: the index of what is done is
 * Nidus's own, and each word of an entry is read once.
 */
#include "arch/x86/user.h"
#include "vmm/exit.h"

#define READ(x)     __atomic_load_n(&(x), __ATOMIC_ACQUIRE)
#define WRITE(x, y) __atomic_store_n(&(x), (y), __ATOMIC_RELEASE)

/* An entry's first two fields, read at once. */
#define WORD(op, flags) ((u64)(flags) << 32 | (op))

/* Of those that are done at once, with what may stand beside them: a no-op, and the write of an entry. */
#define QUICK(op) WORD(op, NIDUS_READY)
#define ANY_QUICK WORD(0, NIDUS_STOP_ON_ERROR)

static bool run_quick(struct nidus_slot *slot, u64 word, enum pv_by by)
{
    word &= ~ANY_QUICK;
    if (likely(word == QUICK(NIDUS_OP_NOP)))
        return true;
    return word == QUICK(NIDUS_OP_WRITE_ENTRY) && by != PV_BY_L2 &&
           guest_write_quickly(READ(slot->arg[0]), READ(slot->arg[1]));
}

/* How many entries from slot on, before end, were quick ones. */
static u32 run_all_quick(struct nidus_slot *slot, const struct nidus_slot *end, enum pv_by by)
{
    struct nidus_slot *p = slot;

    for (; p != end && likely(run_quick(p, READ(*(u64 *)p), by)); p++) {
        p->result = 0;
        WRITE(p->flags, NIDUS_DONE);
    }
    return (u32)(p - slot);
}

static void take_arguments(struct pv_queue *q, const struct nidus_slot *slot)
{
    q->call.arg[0] = READ(slot->arg[0]);
    q->call.arg[1] = READ(slot->arg[1]);
    q->call.arg[2] = READ(slot->arg[2]);
    q->call.arg[3] = READ(slot->arg[3]);
}

/* Who wants the VM for itself wants to release its memory, or to destroy it. */
static bool may_go_on(const struct vcpu *v, enum pv_by by)
{
    return by == PV_BY_POLLER ? !spin_contended(&v->vm->held) : vcpu_can_resume(v);
}

/* Runs the entry at q->head. PV_QUEUE_EMPTY: done, and the next one may be. */
static enum pv_queue_end serve_one(struct pv_queue *q, struct vcpu *v, enum pv_by by)
{
    struct nidus_slot *slot = &q->area->slot[q->head % NIDUS_SLOTS];
    u64 word = READ(*(u64 *)slot);
    u32 flags = word >> 32;
    s64 result;

    if (!(flags & NIDUS_READY))
        return PV_QUEUE_BLOCKED;
    if (likely(!q->begun)) {
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
    if (unlikely(q->begun))
        return by == PV_BY_POLLER ? PV_QUEUE_OWN : PV_QUEUE_AGAIN;
    slot->result = result;
    WRITE(slot->flags, (flags & ~NIDUS_READY) | NIDUS_DONE);
    WRITE(q->area->head, ++q->head);
    if (unlikely(flags & NIDUS_NOTIFY) && by != PV_BY_L2) /* whose interrupts are L1's to give */
        pv_queue_notify(v, READ(q->area->notify_vector));
    if (unlikely(result < 0) && flags & NIDUS_STOP_ON_ERROR)
        return PV_QUEUE_STOPPED;
    return likely(may_go_on(v, by)) ? PV_QUEUE_EMPTY : PV_QUEUE_AGAIN;
}

/* Quick ones, as far as they stand in a row before tail. */
static void serve_quick(struct pv_queue *q, u32 tail, enum pv_by by)
{
    u32 first = q->head % NIDUS_SLOTS, n = MIN(tail - q->head, NIDUS_SLOTS - first);
    struct nidus_slot *slot = &q->area->slot[first];

    q->head += run_all_quick(slot, slot + n, by);
    WRITE(q->area->head, q->head);
}

/* With the guest's memory at hand. */
static enum pv_queue_end serve(struct pv_queue *q, struct vcpu *v, enum pv_by by)
{
    enum pv_queue_end end = PV_QUEUE_EMPTY;
    u32 tail = READ(q->area->tail);

    if (tail - q->head > NIDUS_SLOTS)
        return PV_QUEUE_BAD;
    while (q->head != tail && end == PV_QUEUE_EMPTY) {
        u32 before = q->head;

        if (likely(!q->begun))
            serve_quick(q, tail, by);
        if (q->head == before)
            end = serve_one(q, v, by);
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
