/* SPDX-License-Identifier: MIT */
#include "boot/gdb_port.h"
#include "arch/x86/cpu.h"
#include "arch/x86/trap.h"
#include "boot/console.h"
#include "boot/machine_parts.h"
#include "lib/log.h"
#include "lib/spinlock.h"
#include "vmm/gdb/gdb.h"

static struct uart16550 uart;

static u32 send(const char *data, u32 n)
{
    return uart16550_send(&uart, data, n);
}

/* The interrupt's handler, and the task that is on another CPU if the boot CPU has no time. */
static void take(void)
{
    static struct spinlock lock;
    char data[64];
    size_t n = 0;
    int c;

    spin_lock(&lock);
    while (n < sizeof(data) && (c = uart16550_read(&uart)) >= 0)
        data[n++] = (char)c;
    if (n)
        gdb_input(data, n);
    spin_unlock(&lock);
}

static void interrupt(u8 vector)
{
    (void)vector;
    take();
}

static struct gdb_port port = {.send = send, .poll = take};

/* Without an interrupt, or with one that the console has, the task looks by itself. */
static void route(void)
{
    s16 irq = uart.at.irq;
    u8 vector = (u8)(VECTOR_DEVICES + irq);
    bool level;

    if (irq == SERIAL_NO_IRQ || irq == machine.console->at.irq ||
        machine_route((u32)irq, vector, this_cpu()->apic_id, &level))
        return;
    port.interrupts = true;
    irq_set_handler(vector, interrupt);
    uart16550_enable_rx_interrupt(&uart);
}

/* --- the console's port, while a person has given it to GDB --- */

static void (*console_write)(struct log_sink *sink, const char *text, size_t n);

static u32 send_to_console(const char *data, u32 n)
{
    return uart16550_send(machine.console, data, n);
}

static void write_nothing(struct log_sink *sink, const char *text, size_t n)
{
    (void)sink, (void)text, (void)n;
}

static void take_console(void)
{
    console_write = machine.console->sink.write;
    machine.console->sink.write = write_nothing;
}

static void leave_console(void)
{
    if (console_write)
        machine.console->sink.write = console_write;
    console_write = NULL;
    uart16550_write(machine.console, "\r\n", 2); /* a packet is no line */
    log_info("console: it is GDB's no longer");
}

/* Keys come by vmm_console_input(). */
static void poll_nothing(void) {}

static bool start_on_console(void)
{
    static const struct gdb_port shared = {.send = send_to_console,
                                           .poll = poll_nothing,
                                           .interrupts = true,
                                           .take = take_console,
                                           .leave = leave_console};

    if (machine.console->at.kind <= SERIAL_NONE || gdb_start(&shared)) {
        log_error("gdb = console: there is no serial port, or no memory");
        return false;
    }
    log_info("GDB can have the console: Ctrl-] g");
    return true;
}

bool gdb_port_start(const struct config *config)
{
    const struct serial_port *at = &config->gdb;
    const char *kind = at->kind == SERIAL_MMIO ? PACK "address" : PACK "port", *why;

    if (config->gdb_on_console)
        return start_on_console();
    if (at->kind <= SERIAL_NONE)
        return true;
    why = console_start_uart(&uart, at);
    if (!why && gdb_start(&port))
        why = "no memory";
    if (why) {
        log_error("gdb: %s at %s 0x%lx; name another port, or gdb = console", why, kind, at->base);
        return false;
    }
    machine.gdb = &uart;
    route();
    log_info("GDB can attach at %s 0x%lx, %u baud", kind, at->base, at->baud);
    return true;
}
