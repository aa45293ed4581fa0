/* SPDX-License-Identifier: MIT */
/* links: vmm/gdb/target.c vmm/gdb/packet.c lib/format.c lib/str_copy.c lib/text.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "vmm/gdb/target.h"

static struct gdb_writer writer;
static char xml[16384];

/* The whole of it, in pieces of at most n; returns how many there were. */
static u32 fetch(u64 n)
{
    size_t have = 0;
    u32 pieces = 0;
    char kind;

    do {
        gdb_begin(&writer);
        gdb_describe(&writer, have, n);
        assert_false(writer.cut);
        kind = writer.data[1];
        assert_true(kind == 'l' || kind == 'm');
        assert_true(writer.n - 2 <= n);
        assert_true(have + writer.n < sizeof(xml));
        memcpy(xml + have, writer.data + 2, writer.n - 2);
        have += writer.n - 2;
        pieces++;
    } while (kind == 'm');
    xml[have] = 0;
    return pieces;
}

static void each_register_is_described_where_it_is(void **state)
{
    u32 offset, size, next = 0, n = 0;
    const char *at;

    (void)state;
    fetch(4096);
    for (at = xml; (at = strstr(at, "<reg name=\"")); n++) {
        unsigned bits = 0;

        assert_int_equal(sscanf(at, "<reg name=\"%*[a-z0-9_]\" bitsize=\"%u\"", &bits), 1);
        assert_true(gdb_reg(n, &offset, &size));
        assert_int_equal(offset, next);
        assert_int_equal(size * 8, bits);
        next += size;
        at++;
    }
    assert_int_equal(next, sizeof(struct gdb_regs));
    assert_false(gdb_reg(n, &offset, &size));
    assert_false(gdb_reg(~0ull, &offset, &size));
    assert_int_equal(n, 24 + 16 + 17 + 1 + 2 + 7);
}

static void is_at(u64 n, const char *name, size_t wanted)
{
    u32 offset, size;
    char text[40];
    const char *at = xml;

    snprintf(text, sizeof(text), "<reg name=\"%s\"", name);
    for (u64 i = 0; i <= n; i++)
        at = strstr(at, "<reg name") + 1;
    assert_memory_equal(at - 1, text, strlen(text));
    assert_true(gdb_reg(n, &offset, &size));
    assert_int_equal(offset, wanted);
}

static void some_by_name(void **state)
{
    (void)state;
    fetch(4096);
    is_at(0, "rax", 0);
    is_at(GDB_REG_RSP, "rsp", offsetof(struct gdb_regs, rsp));
    is_at(15, "r15", offsetof(struct gdb_regs, r8[7]));
    is_at(GDB_REG_RIP, "rip", offsetof(struct gdb_regs, rip));
    is_at(23, "gs", offsetof(struct gdb_regs, gs));
    is_at(24, "st0", GDB_G_SIZE);
    is_at(39, "fop", offsetof(struct gdb_regs, fop));
    is_at(55, "xmm15", offsetof(struct gdb_regs, xmm[15]));
    is_at(57, "orig_rax", offsetof(struct gdb_regs, orig_rax));
    is_at(66, "efer", offsetof(struct gdb_regs, efer));
}

static void pieces_are_the_same_as_the_whole(void **state)
{
    static char whole[sizeof(xml)];
    static const u64 sizes[] = {1, 7, 100, 599, 600, GDB_PACKET_MAX, ~0ull};

    (void)state;
    fetch(~0ull);
    strcpy(whole, xml);
    assert_non_null(strstr(whole, "</feature></target>"));
    for (u32 i = 0; i < ARRAY_SIZE(sizes); i++) {
        fetch(sizes[i]);
        assert_string_equal(xml, whole);
    }
    gdb_begin(&writer);
    gdb_describe(&writer, strlen(whole), 100);
    assert_int_equal(writer.n, 2);
    assert_int_equal(writer.data[1], 'l');
    gdb_begin(&writer);
    gdb_describe(&writer, ~0ull, 100);
    assert_int_equal(writer.n, 2);
    if (getenv("GDB_XML"))
        puts(whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_register_is_described_where_it_is),
        cmocka_unit_test(some_by_name),
        cmocka_unit_test(pieces_are_the_same_as_the_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
