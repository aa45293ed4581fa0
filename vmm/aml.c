/* SPDX-License-Identifier: MIT */
#include "vmm/aml.h"

enum {
    OP_ZERO = 0x00,
    OP_ONE = 0x01,
    OP_NAME = 0x08,
    OP_BYTE = 0x0a,
    OP_WORD = 0x0b,
    OP_DWORD = 0x0c,
    OP_SCOPE = 0x10,
    OP_BUFFER = 0x11,
    OP_PACKAGE = 0x12,
    OP_EXTENDED = 0x5b,
    OP_DEVICE = 0x82, /* behind OP_EXTENDED */
};

/* Small and large resource data types, with their lengths where these are fixed. */
enum {
    TAG_IRQ = 0x22,
    TAG_IO = 0x47,
    TAG_END = 0x79,
    TAG_MEMORY32_FIXED = 0x86,
};

#define IO_DECODES_16_BITS 1
#define MEMORY_WRITABLE    1

static void byte(struct aml *a, u32 value)
{
    if (a->n == AML_SIZE)
        a->full = true;
    else
        a->bytes[a->n++] = (u8)value;
}

static void number(struct aml *a, u32 value, u32 size)
{
    for (u32 i = 0; i < size; i++)
        byte(a, value >> 8 * i);
}

static void integer(struct aml *a, u32 value)
{
    if (value <= 1) {
        byte(a, value ? OP_ONE : OP_ZERO);
        return;
    }
    byte(a, value <= 0xff ? OP_BYTE : value <= 0xffff ? OP_WORD : OP_DWORD);
    number(a, value, value <= 0xff ? 1 : value <= 0xffff ? 2 : 4);
}

static void segment(struct aml *a, const char *name)
{
    for (u32 i = 0; i < 4; i++)
        byte(a, (u8)name[i]);
}

static void name_op(struct aml *a, const char *name)
{
    byte(a, OP_NAME);
    segment(a, name);
}

/* PkgLength is always of two bytes (up to 4095), written by aml_end(). */
static u32 begin(struct aml *a)
{
    u32 start = a->n;

    number(a, 0, 2);
    return start;
}

void aml_end(struct aml *a, u32 start)
{
    u32 length = a->n - start;

    if (a->full)
        return;
    a->bytes[start] = 1 << 6 | (length & 15);
    a->bytes[start + 1] = (u8)(length >> 4);
}

u32 aml_scope(struct aml *a, const char *name)
{
    u32 start;

    byte(a, OP_SCOPE);
    start = begin(a);
    byte(a, '\\');
    segment(a, name);
    return start;
}

u32 aml_device(struct aml *a, const char *name)
{
    u32 start;

    byte(a, OP_EXTENDED);
    byte(a, OP_DEVICE);
    start = begin(a);
    segment(a, name);
    return start;
}

void aml_name_integer(struct aml *a, const char *name, u32 value)
{
    name_op(a, name);
    integer(a, value);
}

static u32 hex_digit(char c)
{
    return (u32)(c <= '9' ? c - '0' : c - 'A' + 10);
}

/* 'EISAID': five bits a letter, four a digit, from the highest bit on; the highest byte comes first. */
void aml_name_eisa_id(struct aml *a, const char *name, const char *id)
{
    u32 value = 0;

    for (u32 i = 0; i < 3; i++)
        value = value << 5 | (u32)(id[i] - 'A' + 1);
    for (u32 i = 3; i < 7; i++)
        value = value << 4 | hex_digit(id[i]);
    name_op(a, name);
    byte(a, OP_DWORD);
    number(a, __builtin_bswap32(value), 4);
}

void aml_name_package(struct aml *a, const char *name, const u8 *values, u32 n)
{
    u32 start;

    name_op(a, name);
    byte(a, OP_PACKAGE);
    start = begin(a);
    byte(a, n);
    for (u32 i = 0; i < n; i++)
        integer(a, values[i]);
    aml_end(a, start);
}

static void resource(struct aml *a, const struct aml_resource *r)
{
    switch (r->kind) {
    case RESOURCE_IO:
        byte(a, TAG_IO);
        byte(a, IO_DECODES_16_BITS);
        number(a, r->base, 2); /* lowest and highest base */
        number(a, r->base, 2);
        byte(a, 1); /* alignment */
        byte(a, r->length);
        break;
    case RESOURCE_IRQ:
        byte(a, TAG_IRQ);
        number(a, 1u << r->base, 2);
        break;
    case RESOURCE_MEMORY:
        byte(a, TAG_MEMORY32_FIXED);
        number(a, 9, 2);
        byte(a, MEMORY_WRITABLE);
        number(a, r->base, 4);
        number(a, r->length, 4);
        break;
    case RESOURCE_END:
        byte(a, TAG_END);
        byte(a, 0); /* no checksum */
        break;
    }
}

void aml_name_resources(struct aml *a, const char *name, const struct aml_resource *r)
{
    u32 start, size, first;

    name_op(a, name);
    byte(a, OP_BUFFER);
    start = begin(a);
    byte(a, OP_BYTE);
    size = a->n;
    byte(a, 0); /* the buffer's size, filled in below */
    first = a->n;
    do {
        resource(a, r);
    } while (r++->kind != RESOURCE_END);
    if (!a->full)
        a->bytes[size] = (u8)(a->n - first);
    aml_end(a, start);
}
