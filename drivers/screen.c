/* SPDX-License-Identifier: MIT */
#include "drivers/screen.h"

#define TAB 8

static void new_line(struct screen *s)
{
    u32 n = MAX(s->rows / 4, 1u);

    s->column = 0;
    s->pending = false;
    if (++s->row == s->rows) {
        s->scroll(s, n);
        s->row -= n;
    }
}

static void put_char(struct screen *s, u8 c)
{
    if (s->pending)
        new_line(s);
    s->set(s, s->row, s->column, c < 0x7f ? c : '?');
    if (s->column + 1 < s->columns)
        s->column++;
    else
        s->pending = true;
}

static void control(struct screen *s, char c)
{
    switch (c) {
    case '\n':
        new_line(s);
        break;
    case '\r':
        s->column = 0;
        s->pending = false;
        break;
    case '\b':
        if (s->column > 0 && !s->pending)
            s->column--;
        s->pending = false;
        break;
    case '\t':
        do
            put_char(s, ' ');
        while (s->column % TAB && !s->pending);
        break;
    }
}

static void sink_write(struct log_sink *sink, const char *text, size_t n)
{
    struct screen *s = container_of(sink, struct screen, sink);

    for (size_t i = 0; i < n; i++) {
        if ((u8)text[i] < ' ')
            control(s, text[i]);
        else
            put_char(s, text[i]);
    }
}

void screen_init(struct screen *screen, u32 columns, u32 rows,
                 void (*set)(struct screen *screen, u32 row, u32 column, char c),
                 void (*scroll)(struct screen *screen, u32 n))
{
    *screen = (struct screen){
        .sink.write = sink_write, .columns = columns, .rows = rows, .set = set, .scroll = scroll};
}
