/* SPDX-License-Identifier: MIT */
/* links: vmm/pv/queue.c */
/* A guest that writes anywhere in its queue's page, also while entries run, and flushes now and then. */
#include <stdlib.h>
#include <string.h>

#include "vmm/vm.h"

bool have_smap;

struct step {
    u8 what;
    u8 slot;
    u16 where;
    u32 value;
};

static struct vm vm;
static struct vcpu vcpu = {.vm = &vm};
static struct pv_queue queue;
static struct nidus_area *area;
static const struct step *steps, *last_step;
static u32 runs;

static void must(bool condition)
{
    if (!condition)
        abort();
}

static void write_somewhere(const struct step *s)
{
    struct nidus_slot *slot = &area->slot[s->slot % NIDUS_SLOTS];

    switch (s->what % 6) {
    case 0:
        memcpy((u8 *)area + s->where % (sizeof(*area) - 4), &s->value, 4);
        break;
    case 1:
        area->tail = queue.head + s->value % (NIDUS_SLOTS + 2);
        break;
    case 2:
        area->tail = s->value;
        break;
    case 3: /* likely entries */
        *slot = (struct nidus_slot){.op = s->value % (NIDUS_NR_OPS + 1), .flags = s->where | NIDUS_READY};
        break;
    case 4:
        area->slot[area->tail++ % NIDUS_SLOTS] =
            (struct nidus_slot){.op = s->value % NIDUS_NR_OPS, .flags = NIDUS_READY};
        break;
    case 5:
        slot->flags ^= s->value;
        break;
    }
}

static void maybe_write(void)
{
    if (steps != last_step)
        write_somewhere(steps++);
}

s64 pv_call_run(struct pv_call *c)
{
    runs++;
    maybe_write();
    if (c->arg[3] % 5 == 1 && c->arg[0] < 3) {
        c->arg[0]++;
        return PV_AGAIN;
    }
    return c->op == NIDUS_OP_NOP ? 0 : -(s64)c->arg[1];
}

bool pv_call_anywhere(u32 op)
{
    return op & 1;
}

void pv_queue_notify(struct vcpu *v, u32 vector)
{
    must(v == &vcpu);
    (void)vector;
    maybe_write();
}

bool guest_write_quickly(gpa_t gpa, u64 value)
{
    maybe_write();
    return (gpa ^ value) & 1;
}

static void serve(enum pv_by by)
{
    u32 before = queue.head;

    runs = 0;
    pv_queue_serve(&queue, &vcpu, by);
    must(queue.head - before <= NIDUS_SLOTS && runs <= NIDUS_SLOTS);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
    area = aligned_alloc(PAGE_SIZE, sizeof(*area)); /* whose ends ASan watches */
    memset(area, 0, sizeof(*area));
    queue = (struct pv_queue){.area = area};
    vcpu.until = ~0ull;
    steps = (const struct step *)data;
    last_step = steps + size / sizeof(*steps);
    while (steps != last_step) {
        const struct step *s = steps++;

        write_somewhere(s);
        if (s->what >> 6 == 3)
            serve(s->what >> 5 & 1 ? PV_BY_POLLER : PV_BY_SELF);
    }
    free(area);
    return 0;
}
