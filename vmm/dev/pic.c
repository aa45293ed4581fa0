/* SPDX-License-Identifier: MIT */
/* Intel 8259A data sheet (231468); the edge/level registers as in Intel's 82371 (PIIX) data sheets. */
#include "vmm/dev/pic.h"
#include "vmm/bus.h"
#include "vmm/dev/host.h"
#include "vmm/dev/irq.h"

#define CASCADE 2

enum { MASTER, SLAVE };

enum icw_step { READY, WAIT_ICW2, WAIT_ICW3, WAIT_ICW4 };

struct chip {
    u8 lines;   /* inputs as they are */
    u8 latched; /* inputs that rose since their last acknowledge: a request in edge mode */
    u8 elcr;    /* inputs in level mode */
    u8 imr, isr;
    u8 base;   /* vector of input 0 */
    u8 lowest; /* input that has the lowest priority */
    enum icw_step step;
    bool single, wants_icw4, ltim;
    bool auto_eoi, rotate_on_auto_eoi, special_mask, nested_special;
    bool poll, read_isr;
};

struct pic {
    struct vm *vm;
    struct chip chip[2];
};

static const u8 elcr_writable[2] = {0xf8, 0xde}; /* timer, keyboard, cascade, RTC and FPU are edge only */

static u8 requests(const struct chip *c)
{
    return c->lines & (c->ltim ? 0xff : (c->latched | c->elcr));
}

/* The input of highest priority among those in mask; -1 if none. rank: its distance from the highest, if
 * wanted. */
static int highest(const struct chip *c, u8 mask, u32 *rank)
{
    for (u32 i = 0; mask && i < 8; i++) {
        u32 input = (c->lowest + 1 + i) & 7;

        if (mask & BIT(input)) {
            if (rank)
                *rank = i;
            return (int)input;
        }
    }
    return -1;
}

static int chip_pending(const struct pic *pic, u32 which)
{
    const struct chip *c = &pic->chip[which];
    u8 wanted = requests(c), blocking = c->isr;
    u32 rank, rank_blocking;
    int input;

    if (c->step != READY)
        return -1;
    if (which == MASTER) {
        wanted &= ~BIT(CASCADE);
        if (chip_pending(pic, SLAVE) >= 0)
            wanted |= BIT(CASCADE);
        if (c->nested_special)
            blocking &= ~BIT(CASCADE); /* the slave may interrupt itself with a higher priority */
    }
    if (c->special_mask)
        blocking &= ~c->imr;
    input = highest(c, wanted & ~c->imr, &rank);
    if (input >= 0 && highest(c, blocking, &rank_blocking) >= 0 && rank >= rank_blocking)
        return -1;
    return input;
}

void pic_look(const struct pic *pic, u32 chip, struct pic_view *out)
{
    const struct chip *c = &pic->chip[chip];

    *out =
        (struct pic_view){c->base, requests(c), c->isr, c->imr, c->ltim ? 0xff : c->elcr, c->step == READY};
}

static void chip_ack(struct chip *c, u32 input)
{
    c->latched &= ~BIT(input);
    if (!c->auto_eoi)
        c->isr |= BIT(input);
    else if (c->rotate_on_auto_eoi)
        c->lowest = input;
}

int pic_pending(const struct pic *pic)
{
    int input = chip_pending(pic, MASTER);

    if (input != CASCADE)
        return input < 0 ? -1 : pic->chip[MASTER].base + input;
    return pic->chip[SLAVE].base + chip_pending(pic, SLAVE);
}

/* Spurious is input 7, with no in-service bit. */
u8 pic_vector(const struct pic *pic)
{
    int vector = pic_pending(pic);

    return vector < 0 ? pic->chip[MASTER].base + 7 : vector;
}

int pic_ack(struct pic *pic)
{
    int input = chip_pending(pic, MASTER);
    int slave_input = input == CASCADE ? chip_pending(pic, SLAVE) : -1;
    u8 vector = pic_vector(pic);

    if (input >= 0)
        chip_ack(&pic->chip[MASTER], input);
    if (slave_input >= 0)
        chip_ack(&pic->chip[SLAVE], slave_input);
    irq_pic_acknowledged(pic->vm);
    return vector;
}

void pic_set_irq(struct pic *pic, u32 irq, bool level)
{
    struct chip *c;
    u8 bit = BIT(irq & 7);

    if (irq > 15 || irq == CASCADE)
        return;
    c = &pic->chip[irq >> 3];
    if (!level) {
        c->lines &= ~bit;
        c->latched &= ~bit; /* a request must stay until it is acknowledged */
    } else if (!(c->lines & bit)) {
        c->lines |= bit;
        c->latched |= bit;
    }
}

static void write_icw1(struct chip *c, u8 value)
{
    c->wants_icw4 = value & BIT(0);
    c->single = value & BIT(1);
    c->ltim = value & BIT(3);
    c->latched = c->imr = c->isr = 0;
    c->lowest = 7;
    c->special_mask = c->read_isr = c->poll = false;
    c->rotate_on_auto_eoi = c->auto_eoi = c->nested_special = false;
    c->step = WAIT_ICW2;
}

static void write_ocw2(struct chip *c, u8 value)
{
    bool rotate = value & BIT(7), specific = value & BIT(6), eoi = value & BIT(5);
    int input = value & 7;

    if (!eoi) {
        if (specific && rotate)
            c->lowest = input;
        else if (!specific)
            c->rotate_on_auto_eoi = rotate;
        return;
    }
    if (!specific) /* in special mask mode a masked level stays in service */
        input = highest(c, c->isr & (c->special_mask ? ~c->imr : 0xff), NULL);
    if (input < 0)
        return;
    c->isr &= ~BIT(input);
    if (rotate)
        c->lowest = input;
}

static void write_ocw3(struct chip *c, u8 value)
{
    if (value & BIT(6))
        c->special_mask = value & BIT(5);
    if (value & BIT(2))
        c->poll = true;
    else if (value & BIT(1))
        c->read_isr = value & BIT(0);
}

static void write_data(struct chip *c, u8 value)
{
    switch (c->step) {
    case READY:
        c->imr = value;
        break;
    case WAIT_ICW2:
        c->base = value & 0xf8;
        c->step = !c->single ? WAIT_ICW3 : c->wants_icw4 ? WAIT_ICW4 : READY;
        break;
    case WAIT_ICW3: /* the wiring is fixed */
        c->step = c->wants_icw4 ? WAIT_ICW4 : READY;
        break;
    case WAIT_ICW4:
        c->auto_eoi = value & BIT(1);
        c->nested_special = value & BIT(4);
        c->step = READY;
        break;
    }
}

static u64 chip_read(struct pic *pic, u32 which, u64 offset)
{
    struct chip *c = &pic->chip[which];

    if (c->poll) {
        int input = chip_pending(pic, which);

        c->poll = false;
        if (input < 0)
            return 0;
        chip_ack(c, input);
        irq_pic_acknowledged(pic->vm);
        return 0x80 | input;
    }
    if (offset == 1)
        return c->imr;
    if (c->read_isr)
        return c->isr;
    return requests(c) | (which == MASTER && chip_pending(pic, SLAVE) >= 0 ? BIT(CASCADE) : 0);
}

static void chip_write(struct pic *pic, u32 which, u64 offset, u8 value)
{
    struct chip *c = &pic->chip[which];

    if (offset == 1)
        write_data(c, value);
    else if (value & BIT(4))
        write_icw1(c, value);
    else if (value & BIT(3))
        write_ocw3(c, value);
    else
        write_ocw2(c, value);
    irq_pic_changed(pic->vm);
}

static u64 master_read(void *dev, struct vcpu *vcpu, u64 offset, u32 size)
{
    (void)vcpu, (void)size;
    return chip_read(dev, MASTER, offset);
}

static void master_write(void *dev, struct vcpu *vcpu, u64 offset, u32 size, u64 value)
{
    (void)vcpu, (void)size;
    chip_write(dev, MASTER, offset, value);
}

static u64 slave_read(void *dev, struct vcpu *vcpu, u64 offset, u32 size)
{
    (void)vcpu, (void)size;
    return chip_read(dev, SLAVE, offset);
}

static void slave_write(void *dev, struct vcpu *vcpu, u64 offset, u32 size, u64 value)
{
    (void)vcpu, (void)size;
    chip_write(dev, SLAVE, offset, value);
}

static u64 elcr_read(void *dev, struct vcpu *vcpu, u64 offset, u32 size)
{
    struct pic *pic = dev;

    (void)vcpu;
    if (size == 2 && offset == 0)
        return pic->chip[MASTER].elcr | pic->chip[SLAVE].elcr << 8;
    return pic->chip[offset].elcr;
}

static void elcr_write(void *dev, struct vcpu *vcpu, u64 offset, u32 size, u64 value)
{
    struct pic *pic = dev;

    (void)vcpu;
    for (u32 i = 0; i < size && offset + i < 2; i++)
        pic->chip[offset + i].elcr = (value >> 8 * i) & elcr_writable[offset + i];
    irq_pic_changed(pic->vm);
}

struct pic *pic_create(struct vm *vm)
{
    static const struct bus_ops master_ops = {.read = master_read, .write = master_write};
    static const struct bus_ops slave_ops = {.read = slave_read, .write = slave_write};
    static const struct bus_ops elcr_ops = {.read = elcr_read, .write = elcr_write};
    struct pic *pic = vm_alloc(vm, sizeof(*pic));
    struct bus *bus = vm_pio_bus(vm);

    if (!pic || bus_add(bus, 0x20, 2, &master_ops, pic) || bus_add(bus, 0xa0, 2, &slave_ops, pic) ||
        bus_add(bus, 0x4d0, 2, &elcr_ops, pic))
        return NULL;
    pic->vm = vm;
    for (u32 i = 0; i < 2; i++) {
        /* As a BIOS leaves them, but for everything being masked. */
        pic->chip[i].base = i == MASTER ? 0x08 : 0x70;
        pic->chip[i].imr = 0xff;
        pic->chip[i].lowest = 7;
    }
    return pic;
}
