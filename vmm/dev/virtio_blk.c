/* SPDX-License-Identifier: MIT */
#include "vmm/dev/virtio_blk.h"
#include "lib/string.h"
#include "vmm/dev/cow.h"
#include "vmm/dev/host.h"
#include "vmm/dev/virtio.h"

#define SECTOR      512
#define BUFFER_MAX  KiB(64) /* of a buffer */
#define SEG_MAX     64      /* buffers of data in a request */
#define REQUEST_MAX (BUFFER_MAX * SEG_MAX)
#define BUDGET      MiB(4) /* bytes before the vCPU gets a chance to do something else */
#define REQUEST_FEE 4096   /* what a request costs of the budget besides its bytes */
#define ID_LENGTH   20

#define F_SIZE_MAX BIT(1)
#define F_SEG_MAX  BIT(2)
#define F_BLK_SIZE BIT(6)
#define F_FLUSH    BIT(9)

enum { REQUEST_IN = 0, REQUEST_OUT = 1, REQUEST_FLUSH = 4, REQUEST_GET_ID = 8 };
enum status { STATUS_OK, STATUS_IOERR, STATUS_UNSUPP };

struct header {
    u32 type, reserved;
    u64 sector;
};

struct blk_config {
    u64 capacity; /* sectors */
    u32 size_max, seg_max;
    u32 geometry, blk_size;
};

struct blk {
    struct virtio v;
    struct blk_config config;
    struct cow disk;
    char id[ID_LENGTH];
    u8 page[PAGE_SIZE]; /* on its way between the disk and the guest */
};

/* Whether n bytes from a sector on are on the disk, and may be moved by one request. */
static bool fits(const struct blk *b, u64 sector, u64 n)
{
    return n % SECTOR == 0 && n <= REQUEST_MAX && sector <= b->config.capacity &&
           n / SECTOR <= b->config.capacity - sector;
}

static enum status read_sectors(struct blk *b, struct virtq *q, const struct virtq_chain *c, u64 sector)
{
    u64 at = sector * SECTOR, n = c->to_write - 1;

    if (!fits(b, sector, n))
        return STATUS_IOERR;
    for (u64 done = 0, step; done < n; done += step) {
        step = MIN(PAGE_SIZE - (at + done) % PAGE_SIZE, n - done);
        cow_read(&b->disk, at + done, b->page, step);
        if (virtq_write(q, c, done, b->page, step))
            return STATUS_IOERR;
    }
    return STATUS_OK;
}

static enum status write_sectors(struct blk *b, struct virtq *q, const struct virtq_chain *c, u64 sector)
{
    u64 at = sector * SECTOR, n = c->to_read - sizeof(struct header);

    if (!fits(b, sector, n))
        return STATUS_IOERR;
    for (u64 done = 0, step; done < n; done += step) {
        u8 *page = cow_page(&b->disk, at + done);

        step = MIN(PAGE_SIZE - (at + done) % PAGE_SIZE, n - done);
        if (!page || virtq_read(q, c, sizeof(struct header) + done, page + (at + done) % PAGE_SIZE, step))
            return STATUS_IOERR;
    }
    return STATUS_OK;
}

static enum status get_id(struct blk *b, struct virtq *q, const struct virtq_chain *c)
{
    u64 n = MIN(c->to_write - 1, (u64)ID_LENGTH);

    return virtq_write(q, c, 0, b->id, n) ? STATUS_IOERR : STATUS_OK;
}

static enum status execute(struct blk *b, struct virtq *q, const struct virtq_chain *c,
                           const struct header *h)
{
    switch (h->type) {
    case REQUEST_IN:
        return read_sectors(b, q, c, h->sector);
    case REQUEST_OUT:
        return write_sectors(b, q, c, h->sector);
    case REQUEST_FLUSH:
        return STATUS_OK; /* all that was written is in memory */
    case REQUEST_GET_ID:
        return get_id(b, q, c);
    default:
        return STATUS_UNSUPP;
    }
}

/* A header to read, data one way or the other, and a byte for the status to write at the end. */
static void serve(struct virtio *v)
{
    struct blk *b = container_of(v, struct blk, v);
    struct virtq *q = &v->queue[0];
    const struct virtq_chain *c = &v->chain;
    struct header h;
    u8 status;

    if (!c->to_write) {
        q->broken = "a request has no place for its status";
        return;
    }
    if (virtq_read(q, c, 0, &h, sizeof(h)))
        return;
    status = execute(b, q, c, &h);
    if (!q->broken)
        virtq_write(q, c, c->to_write - 1, &status, 1);
}

static void notify(struct virtio *v, u32 queue)
{
    u64 budget = BUDGET;

    while (budget && virtio_pop(v, queue)) {
        serve(v);
        virtio_push(v, queue, (u32)v->chain.to_write);
        budget -= MIN(budget, v->chain.to_read + v->chain.to_write + REQUEST_FEE);
    }
    if (!budget)
        vm_request_poll(v->vm);
    virtio_done(v, queue);
}

static void poll(struct virtio *v)
{
    notify(v, 0);
}

struct virtio *virtio_blk_create(struct vm *vm, struct pci_bus *bus, const char *name, const void *data,
                                 u64 size)
{
    static const struct virtio_class class = {.name = "virtio-blk",
                                              .type = VIRTIO_BLK,
                                              .pci_class = 0x018000,
                                              .nr_queues = 1,
                                              .features = F_SIZE_MAX | F_SEG_MAX | F_BLK_SIZE | F_FLUSH,
                                              .notify = notify,
                                              .poll = poll};
    u64 sectors = (size + SECTOR - 1) / SECTOR;
    struct blk *b = vm_alloc(vm, sizeof(*b));

    if (!b || cow_init(&b->disk, vm, data, size, sectors * SECTOR))
        return NULL;
    b->config = (struct blk_config){
        .capacity = sectors, .size_max = BUFFER_MAX, .seg_max = SEG_MAX, .blk_size = SECTOR};
    memcpy(b->id, name, strnlen(name, ID_LENGTH));
    return virtio_create(&b->v, vm, bus, &class, &b->config, sizeof(b->config)) ? NULL : &b->v;
}
