/* SPDX-License-Identifier: MIT */
#include "lib/format.h"
#include "lib/packed.h"
#include "lib/string.h"

struct out {
    void (*put)(void *ctx, const char *text, size_t n);
    void *ctx;
    size_t total;
};

enum length { LENGTH_CHAR, LENGTH_SHORT, LENGTH_INT, LENGTH_LONG };

/* One conversion specification. precision: -1 when absent. */
struct spec {
    bool left, zero, alternate;
    int width, precision;
    enum length length;
};

static void emit(struct out *out, const char *text, size_t n)
{
    if (n)
        out->put(out->ctx, text, n);
    out->total += n;
}

static void emit_repeated(struct out *out, char c, size_t n)
{
    char chunk[16];

    memset(chunk, c, sizeof(chunk));
    for (; n > sizeof(chunk); n -= sizeof(chunk))
        emit(out, chunk, sizeof(chunk));
    emit(out, chunk, n);
}

/* prefix, then zeros, then text, padded with blanks to the width. */
static void emit_padded(struct out *out, const struct spec *spec, const char *prefix, size_t zeros,
                        const char *text, size_t n)
{
    size_t prefix_len = strlen(prefix), used = prefix_len + zeros + n;
    size_t blanks = (size_t)spec->width > used ? (size_t)spec->width - used : 0;

    if (!spec->left)
        emit_repeated(out, ' ', blanks);
    emit(out, prefix, prefix_len);
    emit_repeated(out, '0', zeros);
    emit(out, text, n);
    if (spec->left)
        emit_repeated(out, ' ', blanks);
}

static void emit_number(struct out *out, const struct spec *spec, u64 value, u32 base, const char *digits,
                        const char *prefix)
{
    char text[24];
    size_t n = 0, least = 1;

    for (; value; value /= base)
        text[sizeof(text) - ++n] = digits[value % base];
    if (spec->precision >= 0)
        least = (size_t)spec->precision;
    else if (spec->zero && !spec->left && (size_t)spec->width > strlen(prefix))
        least = MAX((size_t)spec->width - strlen(prefix), 1u);
    emit_padded(out, spec, prefix, least > n ? least - n : 0, text + sizeof(text) - n, n);
}

static void emit_signed(struct out *out, const struct spec *spec, s64 value)
{
    emit_number(out, spec, value < 0 ? -(u64)value : (u64)value, 10, "0123456789", value < 0 ? "-" : "");
}

static void emit_hex(struct out *out, const struct spec *spec, u64 value, bool upper)
{
    const char *prefix = upper ? "0X" : "0x";

    emit_number(out, spec, value, 16, upper ? "0123456789ABCDEF" : "0123456789abcdef",
                spec->alternate && value ? prefix : "");
}

static void emit_pointer(struct out *out, const struct spec *spec, const void *p)
{
    struct spec fixed = {.left = spec->left, .width = spec->width, .precision = 16};

    emit_number(out, &fixed, (uintptr_t)p, 16, "0123456789abcdef", "0x");
}

/* The text, from room if it is one that the image has packed. */
static const char *unpacked(const char *text, char room[PACKED_SIZE])
{
    struct packed_reader r = {.pairs = packed_pairs, .next = (const u8 *)text};
    u32 n = 0;

    if (text < packed_texts || text >= packed_texts_end)
        return text;
    do {
        room[n] = packed_read(&r);
    } while (room[n++]);
    return room;
}

static void emit_string(struct out *out, const struct spec *spec, const char *s)
{
    char room[PACKED_SIZE];

    if (!s)
        s = "(null)";
    s = unpacked(s, room);
    emit_padded(out, spec, "", 0, s, spec->precision >= 0 ? strnlen(s, (size_t)spec->precision) : strlen(s));
}

static const char *parse_flags(struct spec *spec, const char *at)
{
    for (;; at++) {
        if (*at == '-')
            spec->left = true;
        else if (*at == '0')
            spec->zero = true;
        else if (*at == '#')
            spec->alternate = true;
        else
            return at;
    }
}

/* Larger numbers than this are nonsense; the limit keeps the arithmetic far from overflow. */
#define MAX_FIELD 65536

static const char *parse_number(int *value, const char *at)
{
    for (*value = 0; *at >= '0' && *at <= '9'; at++)
        *value = MIN(*value * 10 + (*at - '0'), MAX_FIELD);
    return at;
}

static const char *parse_length(struct spec *spec, const char *at)
{
    spec->length = LENGTH_INT;
    if (*at == 'h') {
        spec->length = at[1] == 'h' ? LENGTH_CHAR : LENGTH_SHORT;
        return at + (at[1] == 'h' ? 2 : 1);
    }
    if (*at == 'l' || *at == 'z') {
        spec->length = LENGTH_LONG;
        return at + (at[0] == 'l' && at[1] == 'l' ? 2 : 1);
    }
    return at;
}

/* A va_list that can be handed on by address. */
struct arguments {
    va_list list;
};

/* at: behind the '%'. Returns where the conversion's letter stands. */
static const char *parse_spec(struct spec *spec, const char *at, struct arguments *args)
{
    at = parse_flags(spec, at);
    if (*at == '*') {
        spec->width = va_arg(args->list, int);
        at++;
    } else {
        at = parse_number(&spec->width, at);
    }
    if (spec->width < 0) {
        spec->left = true;
        spec->width = spec->width < -MAX_FIELD ? MAX_FIELD : -spec->width;
    }
    if (*at == '.' && at[1] == '*') {
        spec->precision = va_arg(args->list, int);
        at += 2;
    } else if (*at == '.') {
        at = parse_number(&spec->precision, at + 1);
    }
    return parse_length(spec, at);
}

static s64 signed_argument(enum length length, struct arguments *args)
{
    switch (length) {
    case LENGTH_CHAR:
        return (s8)va_arg(args->list, int);
    case LENGTH_SHORT:
        return (s16)va_arg(args->list, int);
    case LENGTH_INT:
        return va_arg(args->list, int);
    default:
        return va_arg(args->list, s64);
    }
}

static u64 unsigned_argument(enum length length, struct arguments *args)
{
    switch (length) {
    case LENGTH_CHAR:
        return (u8)va_arg(args->list, unsigned);
    case LENGTH_SHORT:
        return (u16)va_arg(args->list, unsigned);
    case LENGTH_INT:
        return va_arg(args->list, unsigned);
    default:
        return va_arg(args->list, u64);
    }
}

/* False when the conversion is not one of ours. */
static bool convert(struct out *out, const struct spec *spec, char conversion, struct arguments *args)
{
    char c;

    switch (conversion) {
    case 'd':
    case 'i':
        emit_signed(out, spec, signed_argument(spec->length, args));
        return true;
    case 'u':
        emit_number(out, spec, unsigned_argument(spec->length, args), 10, "0123456789", "");
        return true;
    case 'x':
    case 'X':
        emit_hex(out, spec, unsigned_argument(spec->length, args), conversion == 'X');
        return true;
    case 'c':
        c = (char)va_arg(args->list, int);
        emit_padded(out, spec, "", 0, &c, 1);
        return true;
    case 's':
        emit_string(out, spec, va_arg(args->list, const char *));
        return true;
    case 'p':
        emit_pointer(out, spec, va_arg(args->list, const void *));
        return true;
    case '%':
        emit(out, "%", 1);
        return true;
    default:
        return false;
    }
}

size_t format_to(void (*put)(void *ctx, const char *text, size_t n), void *ctx, const char *fmt, va_list list)
{
    struct out out = {put, ctx, 0};
    struct arguments args;
    char room[PACKED_SIZE];

    fmt = unpacked(fmt, room);
    va_copy(args.list, list);
    for (;;) {
        struct spec spec = {.precision = -1};
        const char *start = fmt, *at;

        while (*fmt && *fmt != '%')
            fmt++;
        emit(&out, start, (size_t)(fmt - start));
        if (!*fmt)
            break;
        at = parse_spec(&spec, fmt + 1, &args);
        start = fmt;
        fmt = *at ? at + 1 : at;
        if (!convert(&out, &spec, *at, &args))
            emit(&out, start, (size_t)(fmt - start)); /* shown as it stands */
    }
    va_end(args.list);
    return out.total;
}

struct buffer {
    char *text;
    size_t room, used;
};

static void put_in_buffer(void *ctx, const char *text, size_t n)
{
    struct buffer *b = ctx;

    n = MIN(n, b->room - b->used);
    if (!n)
        return;
    memcpy(b->text + b->used, text, n);
    b->used += n;
}

size_t format_va(char *buf, size_t size, const char *fmt, va_list args)
{
    struct buffer b = {buf, size ? size - 1 : 0, 0};
    size_t n = format_to(put_in_buffer, &b, fmt, args);

    if (size)
        buf[b.used] = 0;
    return n;
}

size_t(format)(char *buf, size_t size, const char *fmt, ...)
{
    va_list args;
    size_t n;

    va_start(args, fmt);
    n = format_va(buf, size, fmt, args);
    va_end(args);
    return n;
}
