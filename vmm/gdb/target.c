/* SPDX-License-Identifier: MIT */
#include "vmm/gdb/target.h"
#include "lib/format.h"

/* Texts that stand one behind the other: packed_nth(). */
enum { T_INT, T_INT32, T_INT64, T_DATA, T_CODE, T_FLAGS, T_X87, T_VECTOR };
static const char types[] = PACK "int\0int32\0int64\0data_ptr\0code_ptr\0i386_eflags\0i387_ext\0vec128";

static const char features[] =
    PACK "gnu.gdb.i386.core\0gnu.gdb.i386.sse\0gnu.gdb.i386.linux\0gnu.gdb.i386.segments\0nidus.system";

static const char names[] =
    PACK "rax\0rbx\0rcx\0rdx\0rsi\0rdi\0rbp\0rsp\0r%u\0rip\0eflags\0cs\0ss\0ds\0es\0fs\0gs\0st%u\0"
         "fctrl\0fstat\0ftag\0fiseg\0fioff\0foseg\0fooff\0fop\0xmm%u\0mxcsr\0orig_rax\0fs_base\0gs_base\0"
         "k_gs_base\0cr0\0cr2\0cr3\0cr4\0cr8\0efer";

/* Some of a kind, in the order of names: count that have names of their own, or (numbered) one name and the
 * numbers from first on. */
struct run {
    u8 count, bytes, type, feature;
    bool numbered;
    u8 first;
};

static const struct run runs[] = {
    {6, 8, T_INT64, 0, false, 0}, {2, 8, T_DATA, 0, false, 0},  {8, 8, T_INT64, 0, true, 8},
    {1, 8, T_CODE, 0, false, 0},  {1, 4, T_FLAGS, 0, false, 0}, {6, 4, T_INT32, 0, false, 0},
    {8, 10, T_X87, 0, true, 0},   {8, 4, T_INT, 0, false, 0},   {16, 16, T_VECTOR, 1, true, 0},
    {1, 4, T_INT32, 1, false, 0}, {1, 8, T_INT64, 2, false, 0}, {2, 8, T_INT64, 3, false, 0},
    {7, 8, T_INT64, 4, false, 0},
};

bool gdb_reg(u64 n, u32 *offset, u32 *size)
{
    *offset = 0;
    for (u32 i = 0; i < ARRAY_SIZE(runs); i++) {
        *size = runs[i].bytes;
        if (n < runs[i].count) {
            *offset += (u32)n * *size;
            return true;
        }
        n -= runs[i].count;
        *offset += runs[i].count * *size;
    }
    return false;
}

/* --- the description: printed from its beginning each time, and what was not asked for is dropped --- */

struct part {
    struct gdb_writer *w;
    u64 skip, left;
    bool more;
};

static void put(void *ctx, const char *text, size_t n)
{
    struct part *p = ctx;

    for (; n; n--, text++) {
        if (p->skip) {
            p->skip--;
        } else if (p->left) {
            p->left--;
            gdb_put_escaped(p->w, *text);
        } else {
            p->more = true;
        }
    }
}

static void __printf(2, 3) print(struct part *p, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    format_to(put, p, fmt, args);
    va_end(args);
}
#define print(p, ...) print(p, PACK __VA_ARGS__)

static void flags(struct part *p)
{
    static const char flag[] =
        PACK "CF\0\0PF\0\0AF\0\0ZF\0SF\0TF\0IF\0DF\0OF\0IOPL\0\0NT\0\0RF\0VM\0AC\0VIF\0VIP\0ID";

    print(p, "<flags id=\"i386_eflags\" size=\"4\">");
    for (u32 i = 0; i < 22; i++) {
        const char *name = packed_nth(flag, i);

        if (*name)
            print(p, "<field name=\"%s\" start=\"%u\" end=\"%u\"/>", name, i, i == 12 ? 13 : i);
    }
    print(p, "</flags>");
}

static void vectors(struct part *p)
{
    print(
        p,
        "<vector id=\"v4f\" type=\"ieee_single\" count=\"4\"/><vector id=\"v2d\" type=\"ieee_double\" count=\"2\"/>"
        "<vector id=\"v16i8\" type=\"int8\" count=\"16\"/><vector id=\"v4i32\" type=\"int32\" count=\"4\"/>");
    print(
        p,
        "<vector id=\"v2i64\" type=\"int64\" count=\"2\"/><union id=\"vec128\"><field name=\"v4_float\" type=\"v4f\"/>"
        "<field name=\"v2_double\" type=\"v2d\"/><field name=\"v16_int8\" type=\"v16i8\"/>");
    print(p, "<field name=\"v4_int32\" type=\"v4i32\"/><field name=\"v2_int64\" type=\"v2i64\"/>"
             "<field name=\"uint128\" type=\"uint128\"/></union>");
}

static void describe_run(struct part *p, const struct run *r, u32 *name)
{
    for (u32 i = 0; i < r->count; i++) {
        char text[16];

        (format)(text, sizeof(text), packed_nth(names, *name), r->first + i);
        print(p, "<reg name=\"%s\" bitsize=\"%u\" type=\"%s\"/>", text, r->bytes * 8,
              packed_nth(types, r->type));
        if (!r->numbered)
            ++*name;
    }
    if (r->numbered)
        ++*name;
}

static void describe(struct part *p)
{
    u32 name = 0;

    print(p, "<?xml version=\"1.0\"?><!DOCTYPE target SYSTEM \"gdb-target.dtd\"><target>"
             "<architecture>i386:x86-64</architecture>");
    for (u32 i = 0; i < ARRAY_SIZE(runs); i++) {
        if (!i || runs[i].feature != runs[i - 1].feature) {
            print(p, "%s<feature name=\"org.%s\">", i ? "</feature>" : "",
                  packed_nth(features, runs[i].feature));
            if (!i)
                flags(p);
            if (runs[i].type == T_VECTOR)
                vectors(p);
        }
        describe_run(p, &runs[i], &name);
    }
    print(p, "</feature></target>");
}

void gdb_describe(struct gdb_writer *w, u64 offset, u64 n)
{
    struct part p = {.w = w, .skip = offset, .left = MIN(n, (gdb_room(w) - 1) / 2)};
    u32 kind = w->n;

    gdb_put(w, 'l');
    describe(&p);
    if (p.more)
        w->data[kind] = 'm';
}
