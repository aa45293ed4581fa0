/* SPDX-License-Identifier: MIT */
/* A physical 16550 serial port, by I/O ports or in memory: polled output as a sink of the log, polled input.
 * Source: PC16550D data sheet. */
#ifndef DRIVERS_UART16550_H
#define DRIVERS_UART16550_H

#include "lib/log.h"
#include "lib/serial_port.h"

struct uart16550 {
    struct log_sink sink;  /* writes with CR before a LF that has none */
    struct serial_port at; /* SERIAL_NONE: not in use */
    volatile u8 *regs;     /* of SERIAL_MMIO */
    u8 fifo;               /* bytes that fit when the transmitter is empty */
    bool stuck;            /* it did not become empty in time: no more long waits until it does */
    char last;
};

/*
 * Sets 8 data bits, no parity, 1 stop bit, FIFOs on, interrupts off. at: its speed is 0 or a divisor of
 * 115200; regs: where SERIAL_MMIO is mapped, uncached. ERR_NOENT: no UART answers there; ERR_INVAL: the
 * speed. After an error output goes nowhere and input never comes.
 */
int uart16550_init(struct uart16550 *u, const struct serial_port *at, volatile void *regs);

/* Sends n bytes as they are. Waits, but not for ever: a transmitter that does not move loses them. */
void uart16550_write(struct uart16550 *u, const char *data, size_t n);

/* The same at once, as much as there is room for now; returns how much. */
u32 uart16550_send(struct uart16550 *u, const char *data, u32 n);

/* Waits, but not for ever, until everything has left the UART: before the machine is switched off. */
void uart16550_drain(struct uart16550 *u);

/* The next byte received, or -1 if there is none. */
int uart16550_read(struct uart16550 *u);

/* Interrupts on received data. */
void uart16550_enable_rx_interrupt(struct uart16550 *u);

#endif
