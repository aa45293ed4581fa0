/* SPDX-License-Identifier: MIT */
/*
 * National Semiconductor PC16550D data sheet. Transmission takes no time: the transmitter is always empty.
 * The receive FIFO is the front of a longer ring, so nothing is overrun by input that comes in faster than
 * the guest reads.
 */
#include "vmm/dev/uart.h"
#include "vmm/bus.h"
#include "vmm/dev/host.h"
#include "vmm/dev/irq.h"

#define UART_BASE 0x3f8
#define UART_IRQ  4
#define FIFO_SIZE 16
#define RING_SIZE 1024 /* a power of 2 */

enum { REG_DATA, REG_IER, REG_IIR_FCR, REG_LCR, REG_MCR, REG_LSR, REG_MSR, REG_SCR };

#define IER_RX       BIT(0)
#define IER_THRE     BIT(1)
#define IER_LINE     BIT(2)
#define IER_MODEM    BIT(3)
#define IIR_NONE     0x01
#define IIR_MODEM    0x00
#define IIR_THRE     0x02
#define IIR_RX       0x04
#define IIR_LINE     0x06
#define IIR_TIMEOUT  0x0c
#define IIR_FIFOS    0xc0
#define FCR_ENABLE   BIT(0)
#define FCR_CLEAR_RX BIT(1)
#define LCR_DLAB     BIT(7)
#define MCR_DTR      BIT(0)
#define MCR_RTS      BIT(1)
#define MCR_OUT1     BIT(2)
#define MCR_OUT2     BIT(3)
#define MCR_LOOP     BIT(4)
#define LSR_DATA     BIT(0)
#define LSR_OVERRUN  BIT(1)
#define LSR_EMPTY    (BIT(5) | BIT(6)) /* THRE, TEMT */
#define MSR_CTS      BIT(4)
#define MSR_DSR      BIT(5)
#define MSR_RI       BIT(6)
#define MSR_DCD      BIT(7)

struct uart {
    struct vm *vm;
    u8 ier, lcr, mcr, scr, dll, dlm;
    u8 msr_delta; /* MSR bits 3:0 */
    u8 trigger;   /* receive FIFO's level for an interrupt */
    bool fifos, overrun;
    bool thre_pending; /* the transmitter became empty, or its interrupt was enabled while it is; IIR not read
                          since */
    u32 head, tail;    /* ring: written at head, read at tail */
    u8 ring[RING_SIZE];
    bool irq_high; /* as the interrupt controllers last heard */
};

static u32 received(const struct uart *u)
{
    return u->head - u->tail;
}

static u8 iir(const struct uart *u)
{
    if ((u->ier & IER_LINE) && u->overrun)
        return IIR_LINE;
    if ((u->ier & IER_RX) && received(u))
        return !u->fifos || received(u) >= u->trigger ? IIR_RX : IIR_TIMEOUT;
    if ((u->ier & IER_THRE) && u->thre_pending)
        return IIR_THRE;
    if ((u->ier & IER_MODEM) && u->msr_delta)
        return IIR_MODEM;
    return IIR_NONE;
}

/* OUT2 connects the interrupt output to the bus on a PC; in loopback mode the pin is inactive. */
static void update_irq(struct uart *u)
{
    bool high = iir(u) != IIR_NONE && (u->mcr & (MCR_OUT2 | MCR_LOOP)) == MCR_OUT2;

    if (high == u->irq_high)
        return;
    u->irq_high = high;
    vm_set_irq(u->vm, UART_IRQ, high);
}

static u8 msr_lines(const struct uart *u)
{
    u8 lines = 0;

    if (!(u->mcr & MCR_LOOP))
        return MSR_CTS | MSR_DSR | MSR_DCD;
    if (u->mcr & MCR_RTS)
        lines |= MSR_CTS;
    if (u->mcr & MCR_DTR)
        lines |= MSR_DSR;
    if (u->mcr & MCR_OUT1)
        lines |= MSR_RI;
    if (u->mcr & MCR_OUT2)
        lines |= MSR_DCD;
    return lines;
}

static void write_mcr(struct uart *u, u8 value)
{
    u8 before = msr_lines(u), changed;

    u->mcr = value & 0x1f;
    changed = before ^ msr_lines(u);
    if (before & ~msr_lines(u) & MSR_RI)
        u->msr_delta |= BIT(2); /* only RI's trailing edge counts */
    u->msr_delta |= (changed & (MSR_CTS | MSR_DSR | MSR_DCD)) >> 4;
}

static void push(struct uart *u, u8 byte)
{
    if (received(u) == RING_SIZE)
        u->overrun = true;
    else
        u->ring[u->head++ % RING_SIZE] = byte;
}

static void transmit(struct uart *u, u8 byte)
{
    char c = byte;

    if (u->mcr & MCR_LOOP)
        push(u, byte);
    else
        vm_console_put(u->vm, &c, 1);
    u->thre_pending = true;
}

static void write_fcr(struct uart *u, u8 value)
{
    static const u8 triggers[4] = {1, 4, 8, 14};
    bool enable = value & FCR_ENABLE;

    if (enable != u->fifos || (enable && (value & FCR_CLEAR_RX)))
        u->tail += MIN(received(u), FIFO_SIZE);
    u->fifos = enable;
    u->trigger = triggers[value >> 6 & 3];
}

static void write_ier(struct uart *u, u8 value)
{
    if ((value & IER_THRE) && !(u->ier & IER_THRE))
        u->thre_pending = true;
    u->ier = value & 0x0f;
}

static void uart_write(void *dev, struct vcpu *vcpu, u64 offset, u32 size, u64 value)
{
    struct uart *u = dev;
    bool dlab = u->lcr & LCR_DLAB;

    (void)vcpu, (void)size;
    switch (offset) {
    case REG_DATA:
        if (dlab)
            u->dll = value;
        else
            transmit(u, value);
        break;
    case REG_IER:
        if (dlab)
            u->dlm = value;
        else
            write_ier(u, value);
        break;
    case REG_IIR_FCR:
        write_fcr(u, value);
        break;
    case REG_LCR:
        u->lcr = value;
        break;
    case REG_MCR:
        write_mcr(u, value);
        break;
    case REG_SCR:
        u->scr = value;
        break;
    }
    update_irq(u);
}

static u8 read_register(struct uart *u, u32 reg)
{
    bool dlab = u->lcr & LCR_DLAB;
    u8 value;

    switch (reg) {
    case REG_DATA:
        if (dlab)
            return u->dll;
        return received(u) ? u->ring[u->tail++ % RING_SIZE] : 0;
    case REG_IER:
        return dlab ? u->dlm : u->ier;
    case REG_IIR_FCR:
        value = iir(u);
        if (value == IIR_THRE)
            u->thre_pending = false;
        return value | (u->fifos ? IIR_FIFOS : 0);
    case REG_LCR:
        return u->lcr;
    case REG_MCR:
        return u->mcr;
    case REG_LSR:
        value = LSR_EMPTY | (received(u) ? LSR_DATA : 0) | (u->overrun ? LSR_OVERRUN : 0);
        u->overrun = false;
        return value;
    case REG_MSR:
        value = msr_lines(u) | u->msr_delta;
        u->msr_delta = 0;
        return value;
    default:
        return u->scr;
    }
}

COLD static u64 read_and_update(struct uart *u, u64 offset)
{
    u8 value = read_register(u, offset);

    update_irq(u);
    return value;
}

static u64 uart_read(void *dev, struct vcpu *vcpu, u64 offset, u32 size)
{
    struct uart *u = dev;

    (void)vcpu, (void)size;
    if (likely(offset == REG_LSR && !u->overrun)) /* what drivers poll; it changes nothing */
        return LSR_EMPTY | (received(u) ? LSR_DATA : 0);
    return read_and_update(u, offset);
}

size_t uart_receive(struct uart *u, const void *data, size_t n)
{
    const u8 *bytes = data;
    size_t taken = 0;

    if (u->mcr & MCR_LOOP)
        return 0; /* the input is disconnected */
    while (taken < n && received(u) < RING_SIZE)
        push(u, bytes[taken++]);
    if (taken)
        update_irq(u);
    return taken;
}

struct uart *uart_create(struct vm *vm)
{
    static const struct bus_ops ops = {.read = uart_read, .write = uart_write};
    struct uart *u = vm_alloc(vm, sizeof(*u));

    if (!u || bus_add(vm_pio_bus(vm), UART_BASE, 8, &ops, u))
        return NULL;
    u->vm = vm;
    u->trigger = 1;
    u->dll = 1; /* 115200 baud */
    u->lcr = 3; /* 8 bits, no parity */
    return u;
}
