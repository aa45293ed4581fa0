/* SPDX-License-Identifier: MIT */
#include "vmm/dev/virtio_console.h"
#include "vmm/dev/host.h"
#include "vmm/dev/virtio.h"

#define FIFO_SIZE 256 /* a power of two */
#define BUDGET    KiB(16)
#define PIECE     128

enum { QUEUE_RECEIVE, QUEUE_TRANSMIT };

struct console {
    struct virtio v;
    u8 fifo[FIFO_SIZE]; /* input that the driver has given no buffer for */
    u32 in, out;        /* counted without end */
};

static void receive(struct console *c)
{
    struct virtio *v = &c->v;

    while (c->in != c->out && virtio_pop(v, QUEUE_RECEIVE)) {
        u32 n = 0;

        while (n < v->chain.to_write && c->in != c->out &&
               !virtq_write(&v->queue[QUEUE_RECEIVE], &v->chain, n, &c->fifo[c->out % FIFO_SIZE], 1)) {
            c->out++;
            n++;
        }
        virtio_push(v, QUEUE_RECEIVE, n);
    }
    virtio_done(v, QUEUE_RECEIVE);
}

/* Writes out what the chain has, at most max bytes; returns how many. */
static u64 put_chain(struct virtio *v, u64 max)
{
    u64 n = MIN(v->chain.to_read, max);
    char piece[PIECE];

    for (u64 done = 0, step; done < n; done += step) {
        step = MIN(n - done, sizeof(piece));
        if (virtq_read(&v->queue[QUEUE_TRANSMIT], &v->chain, done, piece, step))
            break;
        vm_console_put(v->vm, piece, step);
    }
    return n;
}

/* Of a chain that is longer than all of the budget the rest is lost. */
static void transmit(struct virtio *v)
{
    u64 budget = BUDGET;

    while (budget && virtio_pop(v, QUEUE_TRANSMIT)) {
        u64 n = put_chain(v, BUDGET) + 1;

        budget -= MIN(budget, n);
        virtio_push(v, QUEUE_TRANSMIT, 0);
    }
    if (!budget)
        vm_request_poll(v->vm);
    virtio_done(v, QUEUE_TRANSMIT);
}

static void notify(struct virtio *v, u32 queue)
{
    if (queue == QUEUE_RECEIVE)
        receive(container_of(v, struct console, v));
    else
        transmit(v);
}

static void poll(struct virtio *v)
{
    receive(container_of(v, struct console, v));
    transmit(v);
}

static void reset(struct virtio *v)
{
    struct console *c = container_of(v, struct console, v);

    c->in = c->out = 0;
}

size_t virtio_console_receive(struct virtio *v, const void *data, size_t n)
{
    struct console *c = container_of(v, struct console, v);
    size_t taken;

    for (taken = 0; taken < n && c->in - c->out < FIFO_SIZE; taken++)
        c->fifo[c->in++ % FIFO_SIZE] = ((const u8 *)data)[taken];
    vm_request_poll(v->vm); /* guest memory is reached from a vCPU of the VM only */
    return taken;
}

struct virtio *virtio_console_create(struct vm *vm, struct pci_bus *bus)
{
    static const struct virtio_class class = {.name = "virtio-console",
                                              .type = VIRTIO_CONSOLE,
                                              .pci_class = 0x078000,
                                              .nr_queues = 2,
                                              .notify = notify,
                                              .poll = poll,
                                              .reset = reset};
    struct console *c = vm_alloc(vm, sizeof(*c));

    return !c || virtio_create(&c->v, vm, bus, &class, NULL, 0) ? NULL : &c->v;
}
