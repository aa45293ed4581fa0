/* SPDX-License-Identifier: MIT */
#include "guest/common/console.h"
#include "guest/common/cpu.h"
#include "guest/common/mb.h"
#include "lib/format.h"

#define UART_IER 1
#define UART_FCR 2
#define UART_LCR 3
#define UART_MCR 4
#define UART_LSR 5
#define LCR_8N1  0x03
#define LCR_DLAB 0x80
#define LSR_THRE 0x20
#define LSR_TEMT 0x40

/* A machine with a stuck port must not stop us. */
#define POLL_LIMIT 1000000

void console_init(void)
{
    outb(COM1 + UART_IER, 0);
    outb(COM1 + UART_LCR, LCR_DLAB);
    outb(COM1, 1); /* 115200 baud */
    outb(COM1 + 1, 0);
    outb(COM1 + UART_LCR, LCR_8N1);
    outb(COM1 + UART_FCR, 0x07); /* FIFOs on and empty */
    outb(COM1 + UART_MCR, 0x03); /* DTR, RTS */
}

static void console_putc(char c)
{
    if (boot.protocol == BOOT_PVH) {
        outb(XEN_DEBUG_PORT, (u8)c);
        return;
    }
    for (u32 i = 0; i < POLL_LIMIT && !(inb(COM1 + UART_LSR) & LSR_THRE); i++)
        cpu_pause();
    outb(COM1, (u8)c);
}

void console_write(const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (text[i] == '\n')
            console_putc('\r');
        console_putc(text[i]);
    }
}

void console_flush(void)
{
    for (u32 i = 0; i < POLL_LIMIT && !(inb(COM1 + UART_LSR) & LSR_TEMT); i++)
        cpu_pause();
}

static void put(void *ctx, const char *text, size_t n)
{
    (void)ctx;
    console_write(text, n);
}

void printf(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    format_to(put, NULL, fmt, args);
    va_end(args);
}
