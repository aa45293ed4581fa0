/* SPDX-License-Identifier: MIT */
/* A physical 16550 serial port: polled output as a sink of the log, polled input. Source: PC16550D data
 * sheet. */
#ifndef DRIVERS_UART16550_H
#define DRIVERS_UART16550_H

#include "lib/log.h"
#include "lib/types.h"

struct uart16550 {
    struct log_sink sink; /* writes with CR before a LF that has none */
    u16 port;
    u8 fifo;    /* bytes that fit when the transmitter is empty */
    bool stuck; /* it did not become empty in time: no more long waits until it does */
    char last;
};

/* Base port of "com1" to "com4"; 0 for any other name. */
u16 uart16550_port(const char *name);

/*
 * Sets 8 data bits, no parity, 1 stop bit, FIFOs on, interrupts off. baud: a divisor of 115200. ERR_NOENT: no
 * UART answers at this port; ERR_INVAL: baud. After an error output goes nowhere and input never comes.
 */
int uart16550_init(struct uart16550 *u, u16 port, u32 baud);

/* Sends n bytes as they are. Waits, but not for ever: a transmitter that does not move loses them. */
void uart16550_write(struct uart16550 *u, const char *data, size_t n);

/* Waits, but not for ever, until everything has left the UART: before the machine is switched off. */
void uart16550_drain(struct uart16550 *u);

/* The next byte received, or -1 if there is none. */
int uart16550_read(struct uart16550 *u);

/* Interrupts on received data (edge-triggered on ISA IRQ 4 or 3). */
void uart16550_enable_rx_interrupt(struct uart16550 *u);

#endif
