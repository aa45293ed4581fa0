/* SPDX-License-Identifier: MIT */
#include "boot/console.h"
#include "arch/x86/paging.h"
#include "boot/cmdline.h"
#include "boot/machine_parts.h"
#include "lib/log.h"
#include "lib/string.h"
#include "vmm/given.h"

/* SPCR: kinds of interfaces that are a 16550's. */
enum { SPCR_16550 = 0, SPCR_16450 = 1, SPCR_16550_GAS = 0x12 };

static struct uart16550 uarts[2], *current = &uarts[0];
static bool asked_for; /* on the command line */

struct uart16550 *console_uart(void)
{
    return current;
}

void console_begin(void)
{
    if (uart16550_init(current, &SERIAL_COM1, NULL) == OK)
        log_add_sink(&current->sink);
}

static bool same(const struct serial_port *a, const struct serial_port *b)
{
    return a->kind == b->kind && a->base == b->base && (!b->baud || a->baud == b->baud);
}

/* Looks whether there is one, for which its registers are written: nothing else must be there. */
const char *console_start_uart(struct uart16550 *u, const struct serial_port *at)
{
    const char *why = NULL;
    void *regs = NULL;

    if (at->kind == SERIAL_NONE)
        return NULL;
    why = machine_given.taken(at->kind == SERIAL_MMIO ? GIVEN_MMIO : GIVEN_PORT, at->base,
                              at->base + serial_port_size(at) - 1);
    if (why)
        return why;
    if (at->kind == SERIAL_MMIO)
        regs = vmap(at->base, serial_port_size(at), MAP_WRITE | MAP_UNCACHED);
    if (at->kind == SERIAL_MMIO && !regs)
        return "no memory to map it";
    return uart16550_init(u, at, regs) ? "no UART answers" : NULL;
}

/* The log goes there from now on; who: says so. */
static void use(const struct serial_port *at, const char *who)
{
    struct uart16550 *next = &uarts[current == &uarts[0]];
    const char *why;

    if (same(&current->at, at)) {
        current->at.irq = at->irq;
        return;
    }
    uart16550_drain(current);
    *next = (struct uart16550){0};
    why = console_start_uart(next, at);
    if (why) {
        log_warn("%s: %s at %s 0x%lx; staying where the log began", who, why,
                 at->kind == SERIAL_MMIO ? "address" : "port", at->base);
        return;
    }
    log_remove_sink(&current->sink);
    if (at->kind != SERIAL_NONE)
        log_add_sink(&next->sink);
    current = next;
}

void console_from_cmdline(const char *cmdline)
{
    char text[64], parts[64];
    struct serial_port at;

    if (!cmdline_value(cmdline, "console=", text, sizeof(text)))
        return;
    memcpy(parts, text, sizeof(parts));
    if (!config_serial_port(parts, &at)) {
        log_error("command line: unknown console '%s'; use " CONFIG_SERIAL_PORTS, text);
        return;
    }
    asked_for = true;
    use(&at, "command line: console");
}

static u8 log2_bytes(u32 bits)
{
    return bits == 32 ? 2 : bits == 16;
}

/* ACPI 6.5, 'Generic Address Structure': the width is that from one register to the next, the access size is
 * 3 for 32 bits. */
static bool port_of_spcr(const struct acpi_spcr *s, struct serial_port *at)
{
    if ((s->interface != SPCR_16550 && s->interface != SPCR_16450 && s->interface != SPCR_16550_GAS) ||
        s->base.space > ACPI_SPACE_IO)
        return false;
    *at = (struct serial_port){
        .base = s->base.address,
        .baud = s->baud,
        .kind = s->base.space == ACPI_SPACE_IO ? SERIAL_PORT : SERIAL_MMIO,
        .wide = s->base.access == 3,
        .shift = s->base.access == 3 ? 2 : log2_bytes(s->base.width),
        .irq = s->gsi && s->gsi <= CONFIG_IRQ_MAX ? (s16)s->gsi : SERIAL_NO_IRQ,
    };
    return IS_ALIGNED(at->base, 1u << at->shift);
}

void console_from_firmware(void)
{
    struct acpi_spcr s;
    struct serial_port at;

    if (asked_for || !machine.have_acpi || acpi_parse_spcr(&machine.acpi, &s) || !s.base.address)
        return;
    if (port_of_spcr(&s, &at)) {
        /* It may leave out what everybody knows. */
        if (at.irq == SERIAL_NO_IRQ && same(&current->at, &at))
            at.irq = current->at.irq;
        use(&at, "ACPI SPCR");
    } else {
        log_info("ACPI SPCR: a serial port that is no 16550 (type %u, at 0x%lx) is not used", s.interface,
                 s.base.address);
    }
}

void console_from_config(const struct config *config)
{
    if (!asked_for && config->console.kind != SERIAL_UNSAID)
        use(&config->console, "console");
}
