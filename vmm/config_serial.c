/* SPDX-License-Identifier: MIT */
/* How a serial port is written, in the configuration and on the command line. */
#include "lib/string.h"
#include "lib/text.h"
#include "vmm/config_parser.h"

#define PORTS_END 0x10000
#define ADDRESSES BIT(52)

static bool take_place(const char *text, struct serial_port *port)
{
    static const struct {
        const char *prefix;
        u8 kind, shift;
    } kinds[] = {{"port:", SERIAL_PORT, 0}, {"mmio:", SERIAL_MMIO, 0}, {"mmio32:", SERIAL_MMIO, 2}};
    static const u16 com[] = {0x3f8, 0x2f8, 0x3e8, 0x2e8};

    if (!strncmp(text, "com", 3) && text[3] >= '1' && text[3] <= '4' && !text[4]) {
        u32 n = (u32)(text[3] - '1');

        port->kind = SERIAL_PORT;
        port->base = com[n];
        port->irq = n & 1 ? 3 : 4;
        return true;
    }
    for (u32 i = 0; i < ARRAY_SIZE(kinds); i++) {
        size_t n = strlen(kinds[i].prefix);

        if (strncmp(text, kinds[i].prefix, n))
            continue;
        port->kind = kinds[i].kind;
        port->shift = kinds[i].shift;
        port->wide = port->shift;
        text += n;
        return text_take_address(&text, &port->base) && !*text && port->base &&
               IS_ALIGNED(port->base, 1u << port->shift) &&
               port->base <= (port->kind == SERIAL_PORT ? PORTS_END : ADDRESSES) - serial_port_size(port);
    }
    port->kind = SERIAL_NONE;
    return !strcmp(text, "none");
}

bool config_serial_port(char *text, struct serial_port *port)
{
    char *speed = text_split(text, ','), *line = speed ? text_split(speed, ',') : NULL;
    const char *at = speed;
    u64 n;

    *port = (struct serial_port){.baud = SERIAL_DEFAULT_BAUD, .irq = SERIAL_NO_IRQ};
    if (!take_place(text, port) || (speed && port->kind == SERIAL_NONE))
        return false;
    if (speed) {
        if (!text_take_number(&at, &n) || *at || n > SERIAL_DEFAULT_BAUD || (n && SERIAL_DEFAULT_BAUD % n))
            return false;
        port->baud = (u32)n;
    }
    if (line) {
        at = line + 3;
        if (strncmp(line, "irq", 3) || !text_take_number(&at, &n) || *at || n > CONFIG_IRQ_MAX)
            return false;
        port->irq = (s16)n;
    }
    return true;
}
