/* SPDX-License-Identifier: MIT */
/* links: boot/efi/dhcp.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "boot/efi/dhcp.h"

static u8 packet[1472];
static size_t end; /* of the options so far */
static struct dhcp_boot boot;

static void option(u8 code, const void *value, u8 n)
{
    packet[end++] = code;
    packet[end++] = n;
    memcpy(packet + end, value, n);
    end += n;
    packet[end] = 255;
}

/* An acknowledgement of 10.0.2.2 that names a file in the fixed field, or none. */
static void start(const char *file)
{
    memset(packet, 0, sizeof(packet));
    memcpy(packet + 20, "\x0a\0\2\2", 4);
    memcpy(packet + 236, "\x63\x82\x53\x63", 4);
    memcpy(packet + 108, file, strlen(file));
    end = 240;
    option(53, "\5", 1);
}

/* In memory that ends with the packet, so that a read beyond it is seen. */
static bool read_bytes(size_t n)
{
    u8 *copy = malloc(n);
    bool good;

    memcpy(copy, packet, n);
    memset(&boot, 0xee, sizeof(boot));
    good = dhcp_boot_read(&boot, copy, n);
    free(copy);
    return good;
}

static void is(const char *server, const char *directory)
{
    assert_true(read_bytes(sizeof(packet)));
    assert_memory_equal(boot.server, server, 4);
    assert_string_equal(boot.directory, directory);
}

static void file_in_its_field(void **state)
{
    (void)state;
    start("nidus.efi");
    is("\x0a\0\2\2", "");
    start("/srv/nidus/nidus.efi");
    is("\x0a\0\2\2", "/srv/nidus/");
    start("boot\\nidus.efi");
    is("\x0a\0\2\2", "boot\\");
    start("dir/");
    is("\x0a\0\2\2", "dir/");
    start("");
    assert_false(read_bytes(sizeof(packet)));
    start("");
    memset(packet + 108, 'x', 128); /* all of the field, without an end */
    packet[120] = '/';
    is("\x0a\0\2\2", "xxxxxxxxxxxx/");
}

static void file_as_an_option(void **state)
{
    (void)state;
    start("other/file");
    option(67, "tftp/nidus.efi\0", 15);
    is("\x0a\0\2\2", "tftp/");
    start("");
    option(67, "a/b\xff", 4);
    is("\x0a\0\2\2", "a/");
}

static void overloaded_fields(void **state)
{
    (void)state;
    start("");
    option(52, "\1", 1); /* the field for the file has options */
    memcpy(packet + 108, "\0\x43\5x/abc\xff", 9);
    is("\x0a\0\2\2", "x/");
    memcpy(packet + 108, "abcdefgh", 9); /* and is no name then */
    assert_false(read_bytes(sizeof(packet)));
    start("");
    option(52, "\2", 1);
    memcpy(packet + 44, "\x43\3y/z\xff", 6);
    is("\x0a\0\2\2", "y/");
    start("");
    option(52, "\2\2", 2); /* malformed: as if it were not there */
    memcpy(packet + 44, "\x43\3y/z\xff", 6);
    assert_false(read_bytes(sizeof(packet)));
}

static void server(void **state)
{
    (void)state;
    start("f");
    option(54, "\x0a\0\2\x63", 4);
    is("\x0a\0\2\2", ""); /* the next server first */
    memset(packet + 20, 0, 4);
    is("\x0a\0\2\x63", "");
    start("f");
    memset(packet + 20, 0, 4);
    assert_false(read_bytes(sizeof(packet)));
    option(54, "\x0a\0\2", 3);
    assert_false(read_bytes(sizeof(packet)));
}

static void what_tftp_cannot_fetch(void **state)
{
    char name[300];

    (void)state;
    start("http://10.0.2.2/nidus.efi");
    assert_false(read_bytes(sizeof(packet)));
    start("dir/\tnidus.efi");
    assert_false(read_bytes(sizeof(packet)));
    start("f");
    memset(name, 'n', sizeof(name));
    name[254] = '/';
    option(67, name, 255);
    is("\x0a\0\2\2", (name[255] = 0, name));
}

static void malformed_packets(void **state)
{
    (void)state;
    start("f");
    packet[236] = 0;
    assert_false(read_bytes(sizeof(packet)));
    start("f");
    for (size_t n = 0; n < 240; n++)
        assert_false(read_bytes(n));
    assert_true(read_bytes(240));
    assert_true(read_bytes(241));
    start("f");
    option(67, "d/nidus.efi", 11);
    for (size_t n = 240; n < end; n++) { /* an option that is cut off does not count */
        assert_true(read_bytes(n));
        assert_string_equal(boot.directory, "");
    }
    assert_true(read_bytes(end));
    assert_string_equal(boot.directory, "d/");
    srand(1);
    for (u32 i = 0; i < 100000; i++) {
        start("a/b");
        for (u32 k = 0; k < 40; k++)
            packet[rand() % 2 ? 240 + rand() % 60 : 44 + rand() % 192] = rand() % 3 ? rand() % 70 : rand();
        if (read_bytes(240 + rand() % 100))
            assert_true(memchr(boot.directory, 0, sizeof(boot.directory)) != NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(file_in_its_field),      cmocka_unit_test(file_as_an_option),
        cmocka_unit_test(overloaded_fields),      cmocka_unit_test(server),
        cmocka_unit_test(what_tftp_cannot_fetch), cmocka_unit_test(malformed_packets),
    };

    return cmocka_run_group_tests_name("efi_dhcp", tests, NULL, NULL);
}
