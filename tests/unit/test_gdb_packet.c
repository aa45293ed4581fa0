/* SPDX-License-Identifier: MIT */
/* links: vmm/gdb/packet.c lib/format.c lib/str_copy.c lib/text.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "vmm/gdb/packet.h"

static struct gdb_reader reader;
static struct gdb_writer writer;

/* What the last character comes to; the ones before come to nothing but acknowledgements. */
static enum gdb_event feed(const char *text, size_t n)
{
    enum gdb_event last = GDB_NOTHING;

    for (size_t i = 0; i < n; i++)
        last = gdb_read(&reader, text[i]);
    return last;
}

#define FEED(text) feed(text, sizeof(text) - 1)

static int fresh(void **state)
{
    (void)state;
    memset(&reader, 0, sizeof(reader));
    return 0;
}

static void whole_packets(void **state)
{
    (void)state;
    assert_int_equal(FEED("$g#67"), GDB_PACKET);
    assert_int_equal(reader.n, 1);
    assert_string_equal(reader.data, "g");
    assert_int_equal(FEED("$#00"), GDB_PACKET);
    assert_int_equal(reader.n, 0);
    assert_int_equal(FEED("junk$OK#9A"), GDB_PACKET);
    assert_string_equal(reader.data, "OK");
}

static void characters_between(void **state)
{
    (void)state;
    assert_int_equal(FEED("+"), GDB_ACK);
    assert_int_equal(FEED("-"), GDB_NAK);
    assert_int_equal(FEED("\003"), GDB_INTERRUPT);
    assert_int_equal(FEED("x"), GDB_NOTHING);
    assert_int_equal(FEED("#"), GDB_NOTHING);
}

static void any_byte_can_be_escaped(void **state)
{
    (void)state;
    assert_int_equal(FEED("$a}\003}\004}\nb\003#"), GDB_NOTHING);
    assert_int_equal(FEED("4e"), GDB_PACKET);
    assert_int_equal(reader.n, 6);
    assert_memory_equal(reader.data, "a#$*b\003", 6);
}

static void bad_packets(void **state)
{
    (void)state;
    assert_int_equal(FEED("$g#68"), GDB_BAD);
    assert_int_equal(FEED("$g#x"), GDB_BAD);
    assert_int_equal(FEED("$g#6$"), GDB_NOTHING);
    assert_int_equal(FEED("g#67"), GDB_PACKET);
    assert_int_equal(FEED("$abc$g#67"), GDB_PACKET);
    assert_int_equal(FEED("$}#7d"), GDB_BAD);
}

static void the_longest(void **state)
{
    u8 sum = 0;
    char digits[3];

    (void)state;
    for (u32 extra = 0; extra < 3; extra++) {
        FEED("$");
        sum = 0;
        for (u32 i = 0; i < GDB_PACKET_MAX + extra; i++, sum += 'm')
            assert_int_equal(FEED("m"), GDB_NOTHING);
        snprintf(digits, sizeof(digits), "%02x", sum);
        FEED("#");
        assert_int_equal(feed(digits, 2), extra ? GDB_BAD : GDB_PACKET);
        assert_int_equal(reader.n, GDB_PACKET_MAX);
        assert_int_equal(reader.data[GDB_PACKET_MAX], 0);
    }
}

static void expect(const char *text)
{
    gdb_end(&writer);
    assert_int_equal(writer.n, strlen(text));
    assert_memory_equal(writer.data, text, writer.n);
}

static void print_hex(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    gdb_print_hex(&writer, fmt, args);
    va_end(args);
}

static void what_is_sent(void **state)
{
    (void)state;
    gdb_begin(&writer);
    expect("$#00");
    gdb_begin(&writer);
    gdb_print(&writer, "T%02xthread:p%x.%x;", 5, 11, 1);
    expect("$T05thread:pb.1;#d7");
    gdb_begin(&writer);
    gdb_put_hex(&writer, "\x00\xa5\xff", 3);
    print_hex("%s%u", "Z", 7);
    expect("$00a5ff5a37#c2");
    gdb_begin(&writer);
    for (const char *c = "a}#$*"; *c; c++)
        gdb_put_escaped(&writer, *c);
    gdb_end(&writer);
    assert_memory_equal(writer.data, "$a}]}\003}\004}\n#", 11);
}

static void what_is_too_long_is_cut(void **state)
{
    (void)state;
    gdb_begin(&writer);
    assert_int_equal(gdb_room(&writer), GDB_PACKET_MAX);
    for (u32 i = 0; i < GDB_PACKET_MAX; i++)
        gdb_put(&writer, 'x');
    assert_false(writer.cut);
    gdb_put(&writer, 'x');
    assert_true(writer.cut);
    gdb_end(&writer);
    assert_int_equal(writer.n, sizeof(writer.data));
    for (u32 i = 0; i < writer.n; i++)
        assert_int_equal(gdb_read(&reader, writer.data[i]), i + 1 < writer.n ? GDB_NOTHING : GDB_PACKET);
}

static void numbers(void **state)
{
    const char *at = "12abCDef,ffffffffffffffff;10000000000000000;,";
    u64 value;

    (void)state;
    assert_true(text_take_hex(&at, &value));
    assert_int_equal(value, 0x12abcdef);
    assert_true(gdb_take(&at, ","));
    assert_true(text_take_hex(&at, &value));
    assert_true(value == ~0ull);
    assert_true(gdb_take(&at, ";"));
    assert_false(text_take_hex(&at, &value));
    assert_true(gdb_take(&at, "10000000000000000;"));
    assert_false(text_take_hex(&at, &value));
    assert_false(gdb_take(&at, ";"));
    assert_true(gdb_take(&at, ","));
    assert_false(text_take_hex(&at, &value));
    assert_false(gdb_take(&at, ","));
}

static void bytes(void **state)
{
    const char *text = "00ff7g1", *at = text;
    u8 to[4] = {1, 2, 3, 4};

    (void)state;
    assert_true(gdb_take_bytes(&at, to, 2));
    assert_memory_equal(to, "\x00\xff\x03", 3);
    assert_false(gdb_take_bytes(&at, to, 1));
    assert_ptr_equal(at, text + 4);
    at = text + 6;
    assert_false(gdb_take_bytes(&at, to, 1));
    assert_true(gdb_take_bytes(&at, to, 0));
}

static void thread_ids(void **state)
{
    static const struct {
        const char *text;
        bool good;
        u32 process, thread;
        const char *rest;
    } cases[] = {
        {"1", true, 9, 1, ""},
        {"-1", true, 9, GDB_ALL, ""},
        {"0;", true, 9, 0, ";"},
        {"pb.2", true, 11, 2, ""},
        {"p-1.-1", true, GDB_ALL, GDB_ALL, ""},
        {"pc", true, 12, GDB_ALL, ""},
        {"pc.-1:x", true, 12, GDB_ALL, ":x"},
        {"", false, 9, 7, ""},
        {"p", false, 9, 7, "p"},
        {"p.1", false, 9, 7, "p.1"},
        {"p1.", false, 9, 7, "p1."},
        {"-2", false, 9, 7, "-2"},
        {"ffffffff", false, 9, 7, "ffffffff"},
        {"x", false, 9, 7, "x"},
    };

    (void)state;
    for (u32 i = 0; i < ARRAY_SIZE(cases); i++) {
        struct gdb_thread id = {9, 7};
        const char *at = cases[i].text;

        assert_int_equal(gdb_take_thread(&at, &id), cases[i].good);
        assert_int_equal(id.process, cases[i].process);
        assert_int_equal(id.thread, cases[i].thread);
        assert_string_equal(at, cases[i].rest);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(whole_packets, fresh),
        cmocka_unit_test_setup(characters_between, fresh),
        cmocka_unit_test_setup(any_byte_can_be_escaped, fresh),
        cmocka_unit_test_setup(bad_packets, fresh),
        cmocka_unit_test_setup(the_longest, fresh),
        cmocka_unit_test_setup(what_is_sent, fresh),
        cmocka_unit_test_setup(what_is_too_long_is_cut, fresh),
        cmocka_unit_test(numbers),
        cmocka_unit_test(bytes),
        cmocka_unit_test(thread_ids),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
