/* SPDX-License-Identifier: MIT */
#include "drivers/keyboard.h"
#include "arch/x86/asm.h"

enum { PORT_DATA = 0x60, PORT_STATUS = 0x64, PORT_COMMAND = 0x64 };

#define STATUS_DATA   0x01 /* there is a byte to read */
#define STATUS_BUSY   0x02 /* the last one written was not taken yet */
#define STATUS_MOUSE  0x20 /* it is of the other port */
#define STATUS_ABSENT 0xff

#define CMD_READ_MODE  0x20
#define CMD_WRITE_MODE 0x60
#define CMD_ENABLE     0xae
#define MODE_INTERRUPT 0x01
#define MODE_OFF       0x10
#define MODE_TRANSLATE 0x40

#define WAIT_READS 10000 /* a port read takes about 1 us on real hardware */

#define RELEASED 0x80
#define EXTENDED 0xe0

enum { KEY_CONTROL = 0x1d, KEY_LEFT_SHIFT = 0x2a, KEY_RIGHT_SHIFT = 0x36 };

/* By scan code; 0: no character. */
static const char plain[] = "\0\0331234567890-=\177\tqwertyuiop[]\r\0asdfghjkl;'`\0\\zxcvbnm,./\0*\0 ";
static const char shifted[] = "\0\033!@#$%^&*()_+\177\tQWERTYUIOP{}\r\0ASDFGHJKL:\"~\0|ZXCVBNM<>?\0*\0 ";

static const struct {
    u8 code;
    char text[5];
} extended[] = {
    {0x1c, "\r"},     {0x35, "/"},      {0x47, "\033[H"}, {0x48, "\033[A"},  {0x4b, "\033[D"},
    {0x4d, "\033[C"}, {0x4f, "\033[F"}, {0x50, "\033[B"}, {0x53, "\033[3~"},
};

static bool wait_for(u8 bit, bool set)
{
    for (u32 i = 0; i < WAIT_READS; i++) {
        if (!(inb(PORT_STATUS) & bit) != set)
            return true;
        cpu_pause();
    }
    return false;
}

static bool write_to(u16 port, u8 value)
{
    if (!wait_for(STATUS_BUSY, false))
        return false;
    outb(port, value);
    return true;
}

static void drop_input(void)
{
    for (u32 i = 0; i < 64 && inb(PORT_STATUS) & STATUS_DATA; i++)
        inb(PORT_DATA);
}

bool keyboard_init(struct keyboard *k)
{
    u8 mode;

    *k = (struct keyboard){0};
    if (inb(PORT_STATUS) == STATUS_ABSENT)
        return false;
    drop_input();
    if (!write_to(PORT_COMMAND, CMD_READ_MODE) || !wait_for(STATUS_DATA, true))
        return false;
    mode = (u8)((inb(PORT_DATA) | MODE_INTERRUPT | MODE_TRANSLATE) & ~MODE_OFF);
    return write_to(PORT_COMMAND, CMD_WRITE_MODE) && write_to(PORT_DATA, mode) &&
           write_to(PORT_COMMAND, CMD_ENABLE);
}

static const char *extended_key(u8 code)
{
    for (u32 i = 0; i < ARRAY_SIZE(extended); i++)
        if (extended[i].code == code)
            return extended[i].text;
    return NULL;
}

/* What is to be sent of this code: -1: nothing. */
static int take(struct keyboard *k, u8 code)
{
    bool pressed = !(code & RELEASED), is_extended = k->extended;
    char c;

    k->extended = code == EXTENDED;
    if (k->extended)
        return -1;
    code &= (u8)~RELEASED;
    if (code == KEY_CONTROL) {
        k->control = pressed;
    } else if (is_extended) {
        k->rest = pressed ? extended_key(code) : NULL;
        return k->rest ? *k->rest++ : -1;
    } else if (code == KEY_LEFT_SHIFT || code == KEY_RIGHT_SHIFT) {
        k->shift = pressed;
    } else if (pressed && code < sizeof(plain) - 1) {
        c = k->shift ? shifted[code] : plain[code];
        if (c)
            return k->control && c >= '@' && c < '\177' ? c & 0x1f : c;
    }
    return -1;
}

int keyboard_read(struct keyboard *k)
{
    int c = -1;
    u8 status;

    if (k->rest && *k->rest)
        return *k->rest++;
    while (c < 0 && (status = inb(PORT_STATUS)) & STATUS_DATA && status != STATUS_ABSENT) {
        u8 code = inb(PORT_DATA);

        if (!(status & STATUS_MOUSE))
            c = take(k, code);
    }
    return c;
}
