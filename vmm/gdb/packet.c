/* SPDX-License-Identifier: MIT */
#include "vmm/gdb/packet.h"
#include "lib/format.h"
#include "lib/string.h"
#include "lib/text.h"

#define ESCAPE    '}'
#define FLIP      0x20
#define INTERRUPT 3

enum { BETWEEN, INSIDE, FIRST_DIGIT, SECOND_DIGIT };

static enum gdb_event between(struct gdb_reader *r, char c)
{
    switch (c) {
    case '$':
        *r = (struct gdb_reader){.state = INSIDE};
        return GDB_NOTHING;
    case '+':
        return GDB_ACK;
    case '-':
        return GDB_NAK;
    case INTERRUPT:
        return GDB_INTERRUPT;
    default:
        return GDB_NOTHING;
    }
}

static void add(struct gdb_reader *r, char c)
{
    r->sum += (u8)c;
    if (c == ESCAPE && !r->escaped) {
        r->escaped = true;
        return;
    }
    if (r->n == GDB_PACKET_MAX)
        r->too_long = true;
    else
        r->data[r->n++] = r->escaped ? c ^ FLIP : c;
    r->escaped = false;
}

static enum gdb_event end(struct gdb_reader *r, char c)
{
    int d = text_hex_digit(c);

    /* Some that the line has lost are no reason to lose the next packet too. */
    if (d < 0) {
        r->state = BETWEEN;
        return c == '$' ? between(r, c), GDB_NOTHING : GDB_BAD;
    }
    r->given = (u8)(r->given << 4 | d);
    if (r->state++ == FIRST_DIGIT)
        return GDB_NOTHING;
    r->state = BETWEEN;
    r->data[r->n] = 0;
    return r->given == r->sum && !r->too_long && !r->escaped ? GDB_PACKET : GDB_BAD;
}

enum gdb_event gdb_read(struct gdb_reader *r, char c)
{
    if (r->state == BETWEEN || (r->state == INSIDE && c == '$'))
        return between(r, c);
    if (r->state != INSIDE)
        return end(r, c);
    if (c == '#')
        r->state = FIRST_DIGIT;
    else
        add(r, c);
    return GDB_NOTHING;
}

/* --- what is sent --- */

void gdb_begin(struct gdb_writer *w)
{
    w->cut = false;
    w->data[0] = '$';
    w->n = 1;
}

u32 gdb_room(const struct gdb_writer *w)
{
    return GDB_PACKET_MAX + 1 - w->n;
}

void gdb_put(struct gdb_writer *w, char c)
{
    if (gdb_room(w))
        w->data[w->n++] = c;
    else
        w->cut = true;
}

void gdb_put_escaped(struct gdb_writer *w, char c)
{
    if (c == '$' || c == '#' || c == '*' || c == ESCAPE) {
        gdb_put(w, ESCAPE);
        c ^= FLIP;
    }
    gdb_put(w, c);
}

static char as_digit(u32 value)
{
    return (char)(value < 10 ? '0' + value : 'a' + value - 10);
}

void gdb_put_hex(struct gdb_writer *w, const void *data, u32 n)
{
    for (const u8 *at = data; n; n--, at++) {
        gdb_put(w, as_digit(*at >> 4));
        gdb_put(w, as_digit(*at & 15));
    }
}

static void put_text(void *ctx, const char *text, size_t n)
{
    for (; n; n--)
        gdb_put(ctx, *text++);
}

static void put_text_hex(void *ctx, const char *text, size_t n)
{
    gdb_put_hex(ctx, text, (u32)n);
}

void(gdb_print)(struct gdb_writer *w, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    format_to(put_text, w, fmt, args);
    va_end(args);
}

void gdb_print_hex(struct gdb_writer *w, const char *fmt, va_list args)
{
    format_to(put_text_hex, w, fmt, args);
}

void gdb_end(struct gdb_writer *w)
{
    u8 sum = 0;

    for (u32 i = 1; i < w->n; i++)
        sum += (u8)w->data[i];
    w->data[w->n++] = '#';
    w->data[w->n++] = as_digit(sum >> 4);
    w->data[w->n++] = as_digit(sum & 15);
}

/* --- what was received --- */

bool gdb_take(const char **at, const char *text)
{
    size_t n = strlen(text);

    if (strncmp(*at, text, n))
        return false;
    *at += n;
    return true;
}

bool gdb_take_bytes(const char **at, void *to, u32 n)
{
    const char *s = *at;

    for (u8 *byte = to; n; n--, s += 2) {
        int high = text_hex_digit(s[0]), low = high < 0 ? -1 : text_hex_digit(s[1]);

        if (low < 0)
            return false;
        *byte++ = (u8)(high << 4 | low);
    }
    *at = s;
    return true;
}

static bool take_part(const char **at, u32 *part)
{
    u64 value;

    if (gdb_take(at, "-1"))
        value = GDB_ALL;
    else if (!text_take_hex(at, &value) || value >= GDB_ALL)
        return false;
    *part = (u32)value;
    return true;
}

bool gdb_take_thread(const char **at, struct gdb_thread *out)
{
    struct gdb_thread id = {out->process, GDB_ALL};
    const char *s = *at;

    if (gdb_take(&s, "p")) {
        /* A process alone means all of its threads. */
        if (!take_part(&s, &id.process) || (gdb_take(&s, ".") && !take_part(&s, &id.thread)))
            return false;
    } else if (!take_part(&s, &id.thread)) {
        return false;
    }
    *out = id;
    *at = s;
    return true;
}
