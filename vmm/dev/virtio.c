/* SPDX-License-Identifier: MIT */
#include "vmm/dev/virtio.h"
#include "lib/log.h"
#include "lib/string.h"
#include "vmm/bus.h"
#include "vmm/dev/host.h"

#define VENDOR          0x1af4
#define DEVICE_ID(type) (0x1040 + (type))
#define REVISION        1
#define MEMORY_BAR      0
#define MSIX_BAR        1
#define NO_VECTOR       0xffff

#define STATUS_FEATURES_OK BIT(3)
#define STATUS_DRIVER_OK   BIT(2)
#define STATUS_NEEDS_RESET BIT(6)
#define ISR_QUEUE          BIT(0)
#define ISR_CONFIG         BIT(1)

#define F_INDIRECT  BIT(28)
#define F_EVENT_IDX BIT(29)
#define F_VERSION_1 BIT(32)

/* The memory BAR: four parts. */
enum { PART_COMMON, PART_ISR, PART_DEVICE, PART_NOTIFY, NR_PARTS };
#define PART_SIZE       0x1000u
#define NOTIFY_MULTIPLY 4
#define WINDOW_CAP_TYPE 5

/* struct virtio_pci_cap */
enum {
    CAP_LENGTH = 2,
    CAP_TYPE = 3,
    CAP_BAR = 4,
    CAP_OFFSET = 8,
    CAP_SIZE = 12,
    CAP_EXTRA = 16,
    CAP_END = 20
};

/* struct virtio_pci_common_cfg */
enum {
    FEATURE_SELECT = 0x00,
    FEATURE = 0x04,
    DRIVER_FEATURE_SELECT = 0x08,
    DRIVER_FEATURE = 0x0c,
    CONFIG_VECTOR = 0x10,
    NUM_QUEUES = 0x12,
    STATUS = 0x14,
    GENERATION = 0x15,
    QUEUE_SELECT = 0x16,
    QUEUE_SIZE = 0x18,
    QUEUE_VECTOR = 0x1a,
    QUEUE_ENABLE = 0x1c,
    QUEUE_NOTIFY = 0x1e,
    QUEUE_DESC = 0x20,
    QUEUE_AVAIL = 0x28,
    QUEUE_USED = 0x30,
    COMMON_SIZE = 0x38,
};

static u64 offered(const struct virtio *v)
{
    return v->class->features | F_INDIRECT | F_EVENT_IDX | F_VERSION_1;
}

/* --- interrupts, failure, reset --- */

static void interrupt(struct virtio *v, u16 vector, u8 isr)
{
    if (pci_msix_enabled(&v->pci)) {
        pci_msix_fire(&v->pci, vector);
        return;
    }
    v->isr |= isr;
    pci_set_intx(&v->pci, true);
}

static void check_queue(struct virtio *v, u32 queue)
{
    const char *why = v->queue[queue].broken;

    if (!why || (v->status & STATUS_NEEDS_RESET))
        return;
    if (!v->told) /* once: the guest must not fill the log */
        log_warn("%s: %s in slot %u, queue %u: %s; it needs a reset", vm_name(v->vm), v->class->name,
                 v->pci.slot, queue, why);
    v->told = true;
    v->status |= STATUS_NEEDS_RESET;
    if (v->status & STATUS_DRIVER_OK)
        interrupt(v, v->config_vector, ISR_CONFIG);
}

static void reset(struct virtio *v)
{
    v->status = v->isr = 0;
    v->features = 0;
    v->feature_select = v->driver_feature_select = 0;
    v->queue_select = 0;
    v->config_vector = NO_VECTOR;
    for (u32 i = 0; i < v->class->nr_queues; i++) {
        v->queue[i] = (struct virtq){.vm = v->vm, .size = VIRTQ_MAX_SIZE};
        v->vector[i] = NO_VECTOR;
    }
    v->pci.pending = 0;
    pci_set_intx(&v->pci, false);
    if (v->class->reset)
        v->class->reset(v);
}

bool virtio_running(const struct virtio *v)
{
    return (v->status & (STATUS_DRIVER_OK | STATUS_NEEDS_RESET)) == STATUS_DRIVER_OK;
}

bool virtio_pop(struct virtio *v, u32 queue)
{
    bool got = virtio_running(v) && virtq_pop(&v->queue[queue], &v->chain);

    check_queue(v, queue);
    return got;
}

void virtio_push(struct virtio *v, u32 queue, u32 written)
{
    virtq_push(&v->queue[queue], v->chain.head, written);
    check_queue(v, queue);
}

void virtio_done(struct virtio *v, u32 queue)
{
    if (virtq_wants_interrupt(&v->queue[queue]))
        interrupt(v, v->vector[queue], ISR_QUEUE);
    check_queue(v, queue);
}

/* --- common configuration --- */

/* The selected queue; null when there is no such. */
static struct virtq *selected(struct virtio *v)
{
    return v->queue_select < v->class->nr_queues ? &v->queue[v->queue_select] : NULL;
}

static void queue_registers(struct virtio *v, u8 *image)
{
    const struct virtq *q = selected(v);

    pci_put(image, QUEUE_SELECT, 2, v->queue_select);
    if (!q)
        return; /* size 0: it does not exist */
    pci_put(image, QUEUE_SIZE, 2, q->size);
    pci_put(image, QUEUE_VECTOR, 2, v->vector[v->queue_select]);
    pci_put(image, QUEUE_ENABLE, 2, q->enabled);
    pci_put(image, QUEUE_NOTIFY, 2, v->queue_select);
    memcpy(image + QUEUE_DESC, &q->desc, sizeof(q->desc));
    memcpy(image + QUEUE_AVAIL, &q->avail, sizeof(q->avail));
    memcpy(image + QUEUE_USED, &q->used, sizeof(q->used));
}

static u64 common_read(struct virtio *v, u32 offset, u32 size)
{
    u8 image[COMMON_SIZE] = {0};
    u64 value = 0;

    if (offset + size > COMMON_SIZE)
        return 0;
    pci_put(image, FEATURE_SELECT, 4, v->feature_select);
    pci_put(image, FEATURE, 4, v->feature_select < 2 ? (u32)(offered(v) >> 32 * v->feature_select) : 0);
    pci_put(image, DRIVER_FEATURE_SELECT, 4, v->driver_feature_select);
    pci_put(image, DRIVER_FEATURE, 4,
            v->driver_feature_select < 2 ? (u32)(v->features >> 32 * v->driver_feature_select) : 0);
    pci_put(image, CONFIG_VECTOR, 2, v->config_vector);
    pci_put(image, NUM_QUEUES, 2, v->class->nr_queues);
    pci_put(image, STATUS, 1, v->status);
    queue_registers(v, image);
    memcpy(&value, image + offset, size);
    return value;
}

/* FEATURES_OK stays clear when the driver took what was not offered, or not the modern interface. */
static void set_status(struct virtio *v, u8 value)
{
    u8 was = v->status;

    if (!value) {
        reset(v);
        return;
    }
    if (((value & ~was) & STATUS_FEATURES_OK) &&
        (!(v->features & F_VERSION_1) || (v->features & ~offered(v))))
        value &= ~STATUS_FEATURES_OK;
    v->status = (value & 0x8f) | (was & STATUS_NEEDS_RESET);
    if ((v->status & ~was) & STATUS_DRIVER_OK)
        for (u32 i = 0; i < v->class->nr_queues; i++)
            v->class->notify(v, i); /* what has been waiting */
}

static void set_driver_features(struct virtio *v, u32 value)
{
    u32 shift = 32 * v->driver_feature_select;

    if (v->driver_feature_select < 2 && !(v->status & STATUS_FEATURES_OK))
        v->features = (v->features & ~((u64)~0u << shift)) | (u64)value << shift;
}

static void set_vector(struct virtio *v, u16 *vector, u16 value)
{
    *vector = value < v->pci.nr_vectors ? value : NO_VECTOR;
}

/* A queue's place and size stay as they are while it is enabled. */
static void queue_write(struct virtio *v, struct virtq *q, u32 offset, u32 value)
{
    gpa_t *const rings[] = {&q->desc, &q->avail, &q->used};
    u32 ring = (offset - QUEUE_DESC) / 8;

    if (offset == QUEUE_VECTOR)
        set_vector(v, &v->vector[v->queue_select], (u16)value);
    if (q->enabled)
        return;
    if (offset == QUEUE_SIZE && value && value <= VIRTQ_MAX_SIZE && !(value & (value - 1)))
        q->size = (u16)value;
    if (offset == QUEUE_ENABLE && value == 1) {
        q->indirect = v->features & F_INDIRECT;
        q->event_idx = v->features & F_EVENT_IDX;
        virtq_enable(q);
        check_queue(v, v->queue_select);
    }
    if (offset >= QUEUE_DESC && offset < COMMON_SIZE)
        memcpy((u8 *)rings[ring] + offset % 8, &value, sizeof(value));
}

static const struct {
    u8 offset, size;
} common_fields[] = {
    {FEATURE_SELECT, 4},  {DRIVER_FEATURE_SELECT, 4},
    {DRIVER_FEATURE, 4},  {CONFIG_VECTOR, 2},
    {STATUS, 1},          {QUEUE_SELECT, 2},
    {QUEUE_SIZE, 2},      {QUEUE_VECTOR, 2},
    {QUEUE_ENABLE, 2},    {QUEUE_DESC, 4},
    {QUEUE_DESC + 4, 4},  {QUEUE_AVAIL, 4},
    {QUEUE_AVAIL + 4, 4}, {QUEUE_USED, 4},
    {QUEUE_USED + 4, 4},
};

static bool is_field(u32 offset, u32 size)
{
    for (u32 i = 0; i < ARRAY_SIZE(common_fields); i++) {
        if (common_fields[i].offset == offset)
            return common_fields[i].size == size;
    }
    return false;
}

/* Fields are written with their own width, those of 64 bits also by halves; anything else is ignored. */
static void common_write(struct virtio *v, u32 offset, u32 size, u64 value)
{
    struct virtq *q = selected(v);

    if (size == 8) {
        common_write(v, offset, 4, (u32)value);
        common_write(v, offset + 4, 4, value >> 32);
        return;
    }
    if (!is_field(offset, size))
        return;
    switch (offset) {
    case FEATURE_SELECT:
        v->feature_select = (u32)value;
        break;
    case DRIVER_FEATURE_SELECT:
        v->driver_feature_select = (u32)value;
        break;
    case DRIVER_FEATURE:
        set_driver_features(v, (u32)value);
        break;
    case CONFIG_VECTOR:
        set_vector(v, &v->config_vector, (u16)value);
        break;
    case STATUS:
        set_status(v, (u8)value);
        break;
    case QUEUE_SELECT:
        v->queue_select = (u16)value;
        break;
    default:
        if (q)
            queue_write(v, q, offset, (u32)value);
    }
}

/* --- the memory BAR --- */

static u64 isr_read(struct virtio *v)
{
    u8 isr = v->isr;

    v->isr = 0;
    pci_set_intx(&v->pci, false);
    return isr;
}

static u64 device_read(const struct virtio *v, u32 offset, u32 size)
{
    u64 value = 0;

    for (u32 i = 0; i < size && offset + i < v->config_size; i++)
        value |= (u64)((const u8 *)v->config)[offset + i] << 8 * i;
    return value;
}

static u64 bar_read(void *dev, struct vcpu *vcpu, u64 at, u32 size)
{
    struct virtio *v = dev;
    u32 offset = at % PART_SIZE;

    (void)vcpu;
    switch (at / PART_SIZE) {
    case PART_COMMON:
        return common_read(v, offset, size);
    case PART_ISR:
        return offset ? 0 : isr_read(v);
    case PART_DEVICE:
        return device_read(v, offset, size);
    default:
        return 0;
    }
}

static void bar_write(void *dev, struct vcpu *vcpu, u64 at, u32 size, u64 value)
{
    struct virtio *v = dev;
    u32 offset = at % PART_SIZE;

    (void)vcpu;
    if (at / PART_SIZE == PART_COMMON)
        common_write(v, offset, size, value);
    else if (at / PART_SIZE == PART_NOTIFY && offset / NOTIFY_MULTIPLY < v->class->nr_queues &&
             virtio_running(v))
        v->class->notify(v, offset / NOTIFY_MULTIPLY);
}

/* --- the PCI function --- */

/* The capability that reaches the BAR by configuration space: its last word is the data. */
static void window_access(struct pci_function *f, u32 offset, u32 size, bool write)
{
    struct virtio *v = container_of(f, struct virtio, pci);
    u32 data = v->window + CAP_EXTRA, at = pci_get32(f, v->window + CAP_OFFSET);
    u32 n = pci_get32(f, v->window + CAP_SIZE);

    if (offset < data || offset >= data + 4)
        return;
    if (f->config[v->window + CAP_BAR] != MEMORY_BAR || (n != 1 && n != 2 && n != 4) || (at & (n - 1)) ||
        at >= NR_PARTS * PART_SIZE || size > n)
        return;
    if (write)
        bar_write(v, NULL, at, n, pci_get32(f, data) & BITS(8 * n - 1, 0));
    else
        pci_put(f->config, data, 4, (u32)bar_read(v, NULL, at, n));
}

static u8 add_capability(struct virtio *v, u32 type, u32 offset, u32 size, u32 extra)
{
    u8 at = pci_add_capability(&v->pci, PCI_CAP_VENDOR, CAP_END);

    if (!at)
        return 0;
    v->pci.config[at + CAP_LENGTH] = CAP_END;
    v->pci.config[at + CAP_TYPE] = (u8)type;
    v->pci.config[at + CAP_BAR] = MEMORY_BAR;
    pci_put(v->pci.config, at + CAP_OFFSET, 4, offset);
    pci_put(v->pci.config, at + CAP_SIZE, 4, size);
    pci_put(v->pci.config, at + CAP_EXTRA, 4, extra);
    return at;
}

static int add_capabilities(struct virtio *v)
{
    static const struct {
        u8 part, type;
    } parts[] = {{PART_COMMON, 1}, {PART_NOTIFY, 2}, {PART_ISR, 3}, {PART_DEVICE, 4}};

    for (u32 i = 0; i < ARRAY_SIZE(parts); i++) {
        if (!add_capability(v, parts[i].type, parts[i].part * PART_SIZE, PART_SIZE, NOTIFY_MULTIPLY))
            return ERR_NOMEM;
    }
    v->window = add_capability(v, WINDOW_CAP_TYPE, 0, 0, 0);
    if (!v->window)
        return ERR_NOMEM;
    v->pci.writable[v->window + CAP_BAR] = 0xff;
    memset(v->pci.writable + v->window + CAP_OFFSET, 0xff, CAP_END - CAP_OFFSET);
    v->pci.accessed = window_access;
    return OK;
}

int virtio_create(struct virtio *v, struct vm *vm, struct pci_bus *bus, const struct virtio_class *class,
                  const void *config, u32 config_size)
{
    static const struct bus_ops bar_ops = {.read = bar_read, .write = bar_write};
    const struct pci_id id = {
        VENDOR, DEVICE_ID(class->type), VENDOR, DEVICE_ID(class->type), class->pci_class, REVISION};

    v->vm = vm;
    v->class = class;
    v->config = config;
    v->config_size = config_size;
    if (pci_add(bus, &v->pci, &id) || pci_set_bar(&v->pci, MEMORY_BAR, NR_PARTS * PART_SIZE, &bar_ops, v) ||
        pci_add_msix(&v->pci, MSIX_BAR, 1 + class->nr_queues) || add_capabilities(v))
        return ERR_NOMEM;
    reset(v);
    return OK;
}
