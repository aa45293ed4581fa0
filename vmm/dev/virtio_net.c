/* SPDX-License-Identifier: MIT */
#include "vmm/dev/virtio_net.h"
#include "lib/log.h"
#include "lib/string.h"
#include "vmm/dev/host.h"
#include "vmm/dev/net_switch.h"
#include "vmm/dev/virtio.h"

#define F_MAC    BIT(5)
#define F_STATUS BIT(16)
#define LINK_UP  1
#define BUDGET   64 /* frames before the vCPU gets a chance to do something else */

enum { QUEUE_RECEIVE, QUEUE_TRANSMIT };

/* struct virtio_net_hdr; before each frame. */
struct header {
    u8 flags, gso_type;
    u16 hdr_len, gso_size, csum_start, csum_offset, num_buffers;
};

struct net_config {
    u8 mac[NET_MAC];
    u16 status;
};

struct net {
    struct virtio v;
    struct net_config config;
    struct net_port port;
    struct net_frame frame; /* on its way between the guest and the switch */
    bool waiting;           /* frame was taken from the switch, for which the driver has given no buffer */
};

/* Whether the frame could be put into the guest's memory; one that its buffer is too small for is dropped. */
static bool give(struct net *n)
{
    struct virtio *v = &n->v;
    struct virtq *q = &v->queue[QUEUE_RECEIVE];
    const struct header h = {.num_buffers = 1};

    if (!virtio_pop(v, QUEUE_RECEIVE))
        return false;
    if (v->chain.to_write < sizeof(h) + n->frame.size) {
        virtio_push(v, QUEUE_RECEIVE, 0);
        return true;
    }
    virtq_write(q, &v->chain, 0, &h, sizeof(h));
    virtq_write(q, &v->chain, sizeof(h), n->frame.bytes, n->frame.size);
    virtio_push(v, QUEUE_RECEIVE, sizeof(h) + n->frame.size);
    return true;
}

static void receive(struct net *n)
{
    for (u32 budget = BUDGET; virtio_running(&n->v); budget--) {
        if (!budget) {
            vm_request_poll(n->v.vm);
            break;
        }
        if (!n->waiting && !net_receive(&n->port, &n->frame))
            break;
        n->waiting = !give(n);
        if (n->waiting)
            break;
    }
    virtio_done(&n->v, QUEUE_RECEIVE);
}

static void transmit(struct net *n)
{
    struct virtio *v = &n->v;
    u8 frame[NET_FRAME_MAX];
    u32 budget = BUDGET;

    while (budget && virtio_pop(v, QUEUE_TRANSMIT)) {
        u64 size = v->chain.to_read - MIN(v->chain.to_read, sizeof(struct header));

        if (size > sizeof(frame))
            size = 0; /* dropped by the switch, and counted */
        if (!size || !virtq_read(&v->queue[QUEUE_TRANSMIT], &v->chain, sizeof(struct header), frame, size))
            net_send(&n->port, frame, (u32)size);
        virtio_push(v, QUEUE_TRANSMIT, 0);
        budget--;
    }
    if (!budget)
        vm_request_poll(v->vm);
    virtio_done(v, QUEUE_TRANSMIT);
}

static void notify(struct virtio *v, u32 queue)
{
    struct net *n = container_of(v, struct net, v);

    if (queue == QUEUE_RECEIVE)
        receive(n);
    else
        transmit(n);
}

static void poll(struct virtio *v)
{
    notify(v, QUEUE_RECEIVE);
    notify(v, QUEUE_TRANSMIT);
}

static void reset(struct virtio *v)
{
    container_of(v, struct net, v)->waiting = false;
}

static void leave(struct virtio *v)
{
    struct net *n = container_of(v, struct net, v);

    net_leave(&n->port);
    log_debug("%s: network card in slot %u: %lu frames sent, %lu received, %lu dropped", vm_name(v->vm),
              v->pci.slot, n->port.sent, n->port.received, n->port.dropped);
}

struct virtio *virtio_net_create(struct vm *vm, struct pci_bus *bus, const char *net, u8 vm_number, u8 card)
{
    static const struct virtio_class class = {.name = "virtio-net",
                                              .type = VIRTIO_NET,
                                              .pci_class = 0x020000,
                                              .nr_queues = 2,
                                              .features = F_MAC | F_STATUS,
                                              .notify = notify,
                                              .poll = poll,
                                              .reset = reset,
                                              .leave = leave};
    struct net *n = vm_alloc(vm, sizeof(*n));

    if (!n)
        return NULL;
    n->config = (struct net_config){{0x52, 0x4e, 0x44, 0x00, vm_number, card}, LINK_UP};
    if (virtio_create(&n->v, vm, bus, &class, &n->config, sizeof(n->config)))
        return NULL;
    return net_join(&n->port, vm, net) ? NULL : &n->v;
}
