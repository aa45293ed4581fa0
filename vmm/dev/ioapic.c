/* SPDX-License-Identifier: MIT */
/* Source: Intel 82093AA data sheet (290566); SDM 325384, 'Signaling Interrupt Servicing Completion'. */
#include "vmm/dev/ioapic.h"
#include "vmm/bus.h"
#include "vmm/dev/host.h"
#include "vmm/dev/lapic.h"

enum { WINDOW_SELECT = 0x00, WINDOW_DATA = 0x10, WINDOW_EOI = 0x40, WINDOW_SIZE = 0x1000 };
enum { REG_ID, REG_VERSION, REG_ARBITRATION, REG_ENTRY0 = 0x10 };
#define VERSION 0x20 /* has the EOI register */

#define ENTRY_MODE(e)    ((e) >> 8 & 7)
#define ENTRY_DEST(e)    ((u32)((e) >> 56 | ((e) >> 49 & 0x7f) << 8)) /* with the extended destination id */
#define MODE_LOWEST      1
#define ENTRY_STATUS     BIT(12)
#define ENTRY_REMOTE_IRR BIT(14)
#define ENTRY_LEVEL      BIT(15)
#define ENTRY_MASKED     BIT(16)
#define ENTRY_WRITABLE   (0xfffe00000001ffffull & ~(ENTRY_STATUS | ENTRY_REMOTE_IRR))

struct ioapic {
    struct vm *vm;
    u32 select, id;
    u32 high; /* inputs, one bit each */
    u32 told; /* inputs whose EOI goes to served() */
    void (*served)(struct vm *vm, u32 pin);
    u64 entry[IOAPIC_PINS];
};

/* 'I/O Redirection Table Registers': NMI and INIT are edge-triggered whatever the entry says, and ExtINT must
 * be; they are ended by no EOI. */
static bool is_level(u64 e)
{
    return (e & ENTRY_LEVEL) && ENTRY_MODE(e) <= MODE_LOWEST;
}

static void send(struct ioapic *io, u32 pin)
{
    u64 e = io->entry[pin];

    if (is_level(e))
        io->entry[pin] |= ENTRY_REMOTE_IRR;
    lapic_message(io->vm, (u32)e & 0xffff, ENTRY_DEST(e));
}

/* A level-triggered input asks for as long as it is high and its last interrupt is done. */
static void look(struct ioapic *io, u32 pin)
{
    u64 e = io->entry[pin];

    if (is_level(e) && (io->high & BIT(pin)) && !(e & (ENTRY_MASKED | ENTRY_REMOTE_IRR)))
        send(io, pin);
}

void ioapic_set_pin(struct ioapic *io, u32 pin, bool high)
{
    bool was_high;

    if (pin >= IOAPIC_PINS)
        return;
    was_high = io->high & BIT(pin);
    if (high)
        io->high |= (u32)BIT(pin);
    else
        io->high &= ~(u32)BIT(pin);
    if (is_level(io->entry[pin]))
        look(io, pin);
    else if (high && !was_high && !(io->entry[pin] & ENTRY_MASKED))
        send(io, pin);
}

void ioapic_on_eoi(struct ioapic *io, u32 pin, void (*served)(struct vm *vm, u32 pin))
{
    io->told |= (u32)BIT(pin);
    io->served = served;
}

void ioapic_eoi(struct ioapic *io, u8 vector)
{
    for (u32 pin = 0; pin < IOAPIC_PINS; pin++) {
        u64 *e = &io->entry[pin];

        if ((*e & ENTRY_REMOTE_IRR) && (u8)*e == vector) {
            *e &= ~ENTRY_REMOTE_IRR;
            if (io->told >> pin & 1)
                io->served(io->vm, pin);
            look(io, pin);
        }
    }
}

u64 ioapic_entry(const struct ioapic *io, u32 pin, bool *high)
{
    *high = io->high >> pin & 1;
    return io->entry[pin];
}

static u32 reg_read(const struct ioapic *io)
{
    u32 pin = (io->select - REG_ENTRY0) / 2;

    if (io->select == REG_ID || io->select == REG_ARBITRATION)
        return io->id << 24;
    if (io->select == REG_VERSION)
        return (IOAPIC_PINS - 1) << 16 | VERSION;
    if (io->select < REG_ENTRY0 || pin >= IOAPIC_PINS)
        return ~0u;
    return (u32)(io->select & 1 ? io->entry[pin] >> 32 : io->entry[pin]);
}

static void reg_write(struct ioapic *io, u32 value)
{
    u32 pin = (io->select - REG_ENTRY0) / 2;
    u64 e, half;

    if (io->select == REG_ID)
        io->id = value >> 24 & 0xf;
    if (io->select < REG_ENTRY0 || pin >= IOAPIC_PINS)
        return;
    e = io->entry[pin];
    half = io->select & 1 ? (u64)value << 32 | (u32)e : (e & ~0xffffffffull) | value;
    e = (half & ENTRY_WRITABLE) | (e & ENTRY_REMOTE_IRR);
    /* What has become edge-triggered waits for no EOI. */
    io->entry[pin] = is_level(e) ? e : e & ~ENTRY_REMOTE_IRR;
    look(io, pin);
}

static u64 window_read(void *dev, struct vcpu *vcpu, u64 offset, u32 size)
{
    struct ioapic *io = dev;

    (void)vcpu;
    (void)size;
    if (offset == WINDOW_SELECT)
        return io->select;
    return offset == WINDOW_DATA ? reg_read(io) : 0;
}

static void window_write(void *dev, struct vcpu *vcpu, u64 offset, u32 size, u64 value)
{
    struct ioapic *io = dev;

    (void)vcpu;
    (void)size;
    if (offset == WINDOW_SELECT)
        io->select = (u8)value;
    else if (offset == WINDOW_DATA)
        reg_write(io, (u32)value);
    else if (offset == WINDOW_EOI)
        ioapic_eoi(io, (u8)value);
}

static const struct bus_ops window_ops = {.read = window_read, .write = window_write};

struct ioapic *ioapic_create(struct vm *vm)
{
    struct ioapic *io = vm_alloc(vm, sizeof(*io));

    if (!io)
        return NULL;
    io->vm = vm;
    for (u32 pin = 0; pin < IOAPIC_PINS; pin++)
        io->entry[pin] = ENTRY_MASKED;
    return bus_add(vm_mmio_bus(vm), IOAPIC_BASE, WINDOW_SIZE, &window_ops, io) ? NULL : io;
}
