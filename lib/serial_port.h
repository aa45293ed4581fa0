/* SPDX-License-Identifier: MIT */
/* Where a serial port is: what a configuration or firmware says of it. */
#ifndef LIB_SERIAL_PORT_H
#define LIB_SERIAL_PORT_H

#include "lib/types.h"

enum serial_kind { SERIAL_UNSAID, SERIAL_NONE, SERIAL_PORT, SERIAL_MMIO };

#define SERIAL_DEFAULT_BAUD 115200
#define SERIAL_NO_IRQ       (-1)

struct serial_port {
    u64 base; /* first I/O port, or physical address */
    u32 baud; /* 0: as it is */
    u8 kind;
    u8 shift;  /* registers are 1 << shift bytes apart */
    bool wide; /* registers in memory are accessed by 32 bits */
    s16 irq;   /* ISA line or input of the I/O APICs; SERIAL_NO_IRQ: its input is looked for */
};

#define SERIAL_COM1                                                               \
    (struct serial_port)                                                          \
    {                                                                             \
        .base = 0x3f8, .baud = SERIAL_DEFAULT_BAUD, .kind = SERIAL_PORT, .irq = 4 \
    }

static inline u64 serial_port_size(const struct serial_port *p)
{
    return 8u << p->shift;
}

#endif
