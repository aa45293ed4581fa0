/* SPDX-License-Identifier: MIT */
#include "drivers/uart16550.h"
#include "arch/x86/asm.h"

enum {               /* registers, from the base on */
       REG_DATA = 0, /* divisor low byte while LCR_DLAB */
       REG_IER = 1,  /* divisor high byte while LCR_DLAB */
       REG_IIR = 2,  /* read */
       REG_FCR = 2,  /* write */
       REG_LCR = 3,
       REG_MCR = 4,
       REG_LSR = 5,
       REG_MSR = 6,
       REG_SCR = 7,
};

#define IER_RX_DATA   0x01
#define IIR_FIFOS_ON  0xc0
#define FCR_ENABLE    0x01
#define FCR_CLEAR_ALL 0x06
#define LCR_8N1       0x03
#define LCR_DLAB      0x80
#define MCR_DTR       0x01
#define MCR_RTS       0x02
#define MCR_OUT2      0x08 /* lets the interrupt out on a PC */
#define MCR_LOOP      0x10
#define ABSENT        0xff
#define LSR_DATA      0x01
#define LSR_THR_EMPTY 0x20
#define LSR_ALL_SENT  0x40 /* transmitter empty: the last bit has left */
#define MSR_CTS       0x10
#define MSR_LINES     0xf0
#define MSR_DCD       0x80

#define FIFO_SIZE 16
#define BASE_BAUD 115200
#define WAIT_READS \
    100000 /* a port read takes about 1 us on real hardware; 16 bytes at 1200 baud take 133 ms */

static u8 get(const struct uart16550 *u, u32 reg)
{
    reg <<= u->at.shift;
    if (u->at.kind == SERIAL_PORT)
        return inb((u16)(u->at.base + reg));
    return u->at.wide ? (u8) * (volatile u32 *)(u->regs + reg) : u->regs[reg];
}

static void put(const struct uart16550 *u, u32 reg, u8 value)
{
    reg <<= u->at.shift;
    if (u->at.kind == SERIAL_PORT)
        outb((u16)(u->at.base + reg), value);
    else if (u->at.wide)
        *(volatile u32 *)(u->regs + reg) = value;
    else
        u->regs[reg] = value;
}

static bool in_use(const struct uart16550 *u)
{
    return u->at.kind > SERIAL_NONE;
}

static bool scratch_holds(const struct uart16550 *u, u8 value)
{
    put(u, REG_SCR, value);
    return get(u, REG_SCR) == value;
}

/* In loopback mode RTS comes back as CTS, DTR as DSR, OUT1 as RI and OUT2 as DCD. */
static bool loops_back(const struct uart16550 *u)
{
    u8 lines;

    put(u, REG_MCR, MCR_LOOP | MCR_RTS | MCR_OUT2);
    lines = get(u, REG_MSR) & MSR_LINES;
    put(u, REG_MCR, 0);
    return lines == (MSR_CTS | MSR_DCD);
}

/* Where nothing is, one reads all ones. Early 8250s have no scratch register, some virtual ones no
 * loopback. */
static bool answers(const struct uart16550 *u)
{
    return get(u, REG_LSR) != ABSENT && ((scratch_holds(u, 0x5a) && scratch_holds(u, 0xa5)) || loops_back(u));
}

static bool wait_for(struct uart16550 *u, u8 bit)
{
    u32 reads = u->stuck ? 1 : WAIT_READS;

    while (reads--) {
        if (get(u, REG_LSR) & bit) {
            u->stuck = false;
            return true;
        }
        cpu_pause();
    }
    u->stuck = true;
    return false;
}

static void sink_write(struct log_sink *sink, const char *text, size_t n)
{
    struct uart16550 *u = container_of(sink, struct uart16550, sink);
    size_t from = 0;

    for (size_t i = 0; i < n; i++) {
        if (text[i] == '\n' && u->last != '\r') {
            uart16550_write(u, text + from, i - from);
            uart16550_write(u, "\r", 1);
            from = i;
        }
        u->last = text[i];
    }
    uart16550_write(u, text + from, n - from);
}

static void set_baud(struct uart16550 *u, u32 divisor)
{
    put(u, REG_LCR, LCR_DLAB | LCR_8N1);
    put(u, REG_DATA, divisor & 0xff);
    put(u, REG_IER, divisor >> 8);
}

int uart16550_init(struct uart16550 *u, const struct serial_port *at, volatile void *regs)
{
    u32 baud = at->baud;
    int e = OK;

    *u = (struct uart16550){.sink = {.write = sink_write, .terminal = true}, .at = *at, .regs = regs};
    if (baud && (BASE_BAUD % baud || BASE_BAUD / baud > 0xffff))
        e = ERR_INVAL;
    else if (!in_use(u) || !answers(u))
        e = ERR_NOENT;
    if (e) {
        u->at.kind = SERIAL_NONE;
        return e;
    }
    put(u, REG_IER, 0);
    if (baud)
        set_baud(u, BASE_BAUD / baud);
    put(u, REG_LCR, LCR_8N1);
    put(u, REG_FCR, FCR_ENABLE | FCR_CLEAR_ALL);
    put(u, REG_MCR, MCR_DTR | MCR_RTS | MCR_OUT2);
    u->fifo = (get(u, REG_IIR) & IIR_FIFOS_ON) == IIR_FIFOS_ON ? FIFO_SIZE : 1;
    return OK;
}

void uart16550_write(struct uart16550 *u, const char *data, size_t n)
{
    if (!in_use(u))
        return;
    while (n && wait_for(u, LSR_THR_EMPTY)) {
        /* Empty means that all of the FIFO is free: one look for several bytes, each costs an exit when
         * nested. */
        for (u32 i = 0; n && i < u->fifo; i++, n--)
            put(u, REG_DATA, *data++);
    }
}

u32 uart16550_send(struct uart16550 *u, const char *data, u32 n)
{
    u32 room = in_use(u) && get(u, REG_LSR) & LSR_THR_EMPTY ? u->fifo : 0;

    n = MIN(n, room);
    for (u32 i = 0; i < n; i++)
        put(u, REG_DATA, data[i]);
    return n;
}

void uart16550_drain(struct uart16550 *u)
{
    if (in_use(u))
        wait_for(u, LSR_ALL_SENT);
}

int uart16550_read(struct uart16550 *u)
{
    u8 status = in_use(u) ? get(u, REG_LSR) : 0;

    if (!(status & LSR_DATA) || status == ABSENT) /* a card may be gone */
        return -1;
    return get(u, REG_DATA);
}

void uart16550_enable_rx_interrupt(struct uart16550 *u)
{
    if (in_use(u))
        put(u, REG_IER, IER_RX_DATA);
}
