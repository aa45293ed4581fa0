/* SPDX-License-Identifier: MIT */
#include "vmm/dev/virtq.h"
#include "lib/packed.h"
#include "vmm/dev/host.h"

struct descriptor {
    u64 addr;
    u32 len;
    u16 flags, next;
};

#define DESC_NEXT     BIT(0)
#define DESC_WRITE    BIT(1)
#define DESC_INDIRECT BIT(2)

#define CHAIN_MAX_BYTES BIT(32)

/* Available ring: flags, index, heads, used event. Used ring: flags, index, elements, available event. */
enum { RING_FLAGS = 0, RING_INDEX = 2, RING_ENTRIES = 4 };
#define AVAIL_NO_INTERRUPT BIT(0)

struct used_element {
    u32 id, len;
};

static bool fail(struct virtq *q, const char *why)
{
    if (!q->broken)
        q->broken = why;
    return false;
}
#define fail(q, text) fail(q, PACK text)

static bool get(struct virtq *q, gpa_t at, void *to, u32 n)
{
    return !guest_read(q->vm, at, to, n) || fail(q, "a ring is not in RAM");
}

static bool put(struct virtq *q, gpa_t at, const void *from, u32 n)
{
    return !guest_write(q->vm, at, from, n) || fail(q, "a ring is not in RAM");
}

bool virtq_enable(struct virtq *q)
{
    u16 index;

    if (q->desc & 15 || q->avail & 1 || q->used & 3)
        return fail(q, "a ring is not aligned");
    q->enabled = true;
    return get(q, q->avail + RING_INDEX, &index, sizeof(index));
}

/* Asks for a notification when something comes after what has been taken. */
static bool tell_event(struct virtq *q)
{
    if (!put(q, q->used + RING_ENTRIES + sizeof(struct used_element) * q->size, &q->next_avail, 2))
        return false;
    q->event_told = true;
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* the index is read again after this is seen */
    return true;
}

static bool is_waiting(struct virtq *q)
{
    u16 index;

    if (!get(q, q->avail + RING_INDEX, &index, sizeof(index)))
        return false;
    if (index == q->next_avail && q->event_idx && !q->event_told &&
        (!tell_event(q) || !get(q, q->avail + RING_INDEX, &index, sizeof(index))))
        return false;
    if ((u16)(index - q->next_avail) > q->size)
        return fail(q, "the available index runs ahead");
    return index != q->next_avail;
}

static bool add_buffer(struct virtq *q, struct virtq_chain *c, const struct descriptor *d)
{
    u32 n = c->nr_read + c->nr_write;

    if (n == q->size)
        return fail(q, "a chain is a loop or too long");
    if (!(d->flags & DESC_WRITE) && c->nr_write)
        return fail(q, "a buffer to read follows one to write");
    c->buf[n] = (struct virtq_buffer){d->addr, d->len};
    if (d->flags & DESC_WRITE) {
        c->nr_write++;
        c->to_write += d->len;
    } else {
        c->nr_read++;
        c->to_read += d->len;
    }
    return c->to_read + c->to_write <= CHAIN_MAX_BYTES || fail(q, "a chain has more than 4 GiB");
}

/* The rest of the chain is in a table of its own. */
static bool enter_table(struct virtq *q, const struct descriptor *d)
{
    if (!q->indirect)
        return fail(q, "an indirect descriptor without the feature");
    if (d->flags & DESC_NEXT)
        return fail(q, "an indirect descriptor has a next one");
    if (!d->len || d->len % sizeof(*d) || d->len / sizeof(*d) > BIT(16))
        return fail(q, "an indirect table has a bad size");
    return true;
}

static bool take_chain(struct virtq *q, struct virtq_chain *c)
{
    gpa_t table = q->desc;
    u32 entries = q->size, i = c->head;
    bool in_table = false;

    for (;;) {
        struct descriptor d;

        if (i >= entries)
            return fail(q, "a descriptor's number is out of range");
        if (guest_read(q->vm, table + i * sizeof(d), &d, sizeof(d)))
            return fail(q, "a descriptor is not in RAM");
        if (d.flags & DESC_INDIRECT) {
            if (in_table)
                return fail(q, "an indirect table within another");
            if (!enter_table(q, &d))
                return false;
            in_table = true;
            table = d.addr;
            entries = d.len / sizeof(d);
            i = 0;
            continue;
        }
        if (!add_buffer(q, c, &d))
            return false;
        if (!(d.flags & DESC_NEXT))
            return true;
        i = d.next;
    }
}

bool virtq_pop(struct virtq *q, struct virtq_chain *c)
{
    if (!q->enabled || q->broken || !is_waiting(q))
        return false;
    c->nr_read = c->nr_write = 0;
    c->to_read = c->to_write = 0;
    if (!get(q, q->avail + RING_ENTRIES + 2 * (q->next_avail & (q->size - 1)), &c->head, 2) ||
        !take_chain(q, c))
        return false;
    q->next_avail++;
    q->event_told = false;
    return true;
}

void virtq_unpop(struct virtq *q)
{
    q->next_avail--;
    q->event_told = false;
}

void virtq_push(struct virtq *q, u16 head, u32 written)
{
    const struct used_element e = {head, written};
    u16 next = q->next_used + 1;

    /* The index after the element: stores are seen in their order. */
    if (q->broken ||
        !put(q, q->used + RING_ENTRIES + sizeof(e) * (q->next_used & (q->size - 1)), &e, sizeof(e)) ||
        !put(q, q->used + RING_INDEX, &next, sizeof(next)))
        return;
    q->next_used = next;
}

bool virtq_wants_interrupt(struct virtq *q)
{
    u16 before = q->told_used, wanted;

    if (!q->enabled || q->broken || before == q->next_used)
        return false;
    q->told_used = q->next_used;
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* the driver sees the index, or we see what it wants */
    if (q->event_idx)
        return get(q, q->avail + RING_ENTRIES + 2 * q->size, &wanted, 2) &&
               (u16)(q->next_used - wanted - 1) < (u16)(q->next_used - before);
    return get(q, q->avail + RING_FLAGS, &wanted, 2) && !(wanted & AVAIL_NO_INTERRUPT);
}

static int copy(struct virtq *q, const struct virtq_buffer *buf, u32 nr, u64 offset, u8 *data, u64 n,
                bool write)
{
    for (u32 i = 0; i < nr && n; i++) {
        u64 step;

        if (offset >= buf[i].len) {
            offset -= buf[i].len;
            continue;
        }
        step = MIN(n, buf[i].len - offset);
        if (write ? guest_write(q->vm, buf[i].addr + offset, data, step)
                  : guest_read(q->vm, buf[i].addr + offset, data, step)) {
            fail(q, "a buffer is not in RAM");
            return ERR_RANGE;
        }
        offset = 0;
        data += step;
        n -= step;
    }
    if (n)
        fail(q, "a chain is too short");
    return n ? ERR_RANGE : OK;
}

int virtq_read(struct virtq *q, const struct virtq_chain *c, u64 offset, void *to, u64 n)
{
    return copy(q, c->buf, c->nr_read, offset, to, n, false);
}

int virtq_write(struct virtq *q, const struct virtq_chain *c, u64 offset, const void *from, u64 n)
{
    return copy(q, c->buf + c->nr_read, c->nr_write, offset, (u8 *)from, n, true);
}
