/* SPDX-License-Identifier: MIT */
/* links: boot/multiboot2.c boot/boot_info.c lib/format.c lib/str_copy.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "boot/multiboot2.h"

/* An information structure under construction. It is parsed from a heap copy of its exact size, so that the
 * sanitizer sees any read beyond it. */
static u8 info[0x10000];
static u32 used;
static struct boot_info bi;
static char err[256];

static void put(const void *data, u32 n)
{
    memcpy(info + used, data, n);
    used += n;
}

static void put32(u32 v)
{
    put(&v, 4);
}

static void put64(u64 v)
{
    put(&v, 8);
}

static void start(void)
{
    memset(info, 0, sizeof(info));
    used = 8;
}

static void tag(u32 type, u32 size)
{
    used = ALIGN_UP(used, 8);
    put32(type);
    put32(size);
}

static void string_tag(u32 type, const char *text)
{
    tag(type, 8 + strlen(text) + 1);
    put(text, strlen(text) + 1);
}

static void module_tag(u32 first, u32 end, const char *text)
{
    tag(3, 16 + strlen(text) + 1);
    put32(first);
    put32(end);
    put(text, strlen(text) + 1);
}

static void mmap_tag(u32 entries, u32 entry_size)
{
    tag(6, 16 + entries * entry_size);
    put32(entry_size);
    put32(0);
}

static void mmap_entry(u64 base, u64 size, u32 type)
{
    put64(base);
    put64(size);
    put32(type);
    put32(0);
}

static void one_range(void)
{
    mmap_tag(1, 24);
    mmap_entry(0x100000, 0x1000000, 1);
}

static int parse_sized(u32 stated, u32 readable)
{
    u8 *copy = malloc(readable);
    int rc;

    used = ALIGN_UP(used, 8);
    memcpy(info, &stated, 4);
    memcpy(copy, info, readable);
    err[0] = 0;
    rc = multiboot2_parse(&bi, MULTIBOOT2_BOOT_MAGIC, copy, readable, err, sizeof(err));
    free(copy);
    assert_int_equal(rc == 0, err[0] == 0);
    return rc;
}

static int parse(void)
{
    used = ALIGN_UP(used, 8);
    return parse_sized(used, used);
}

static int finish(void)
{
    tag(0, 8);
    return parse();
}

static void refused(int rc, const char *text)
{
    assert_int_equal(rc, ERR_INVAL);
    if (!strstr(err, text))
        fail_msg("'%s' not in '%s'", text, err);
}

static void complete(void **state)
{
    (void)state;
    start();
    string_tag(1, "loglevel=debug x=y");
    string_tag(2, "GRUB 2.06");
    module_tag(0x200000, 0x201234, "nidus.conf");
    module_tag(0x300000, 0x300000, "  vmlinuz quiet splash");
    mmap_tag(6, 24);
    mmap_entry(0, 0x9fc00, 1);
    mmap_entry(0x9fc00, 0x400, 2);
    mmap_entry(0x100000, 0x7ef00000, 1);
    mmap_entry(0x7f000000, 0x1000, 3);
    mmap_entry(0x7f001000, 0x1000, 4);
    mmap_entry(0x7f002000, 0x1000, 5);
    tag(12, 16);
    put64(0x12345);
    tag(8, 38);
    put64(0xc0000000);
    put32(4096);
    put32(1024);
    put32(768);
    put((u8[]){32, 1, 0, 0, 16, 8, 8, 7, 0, 6}, 10);
    tag(99, 12); /* a type that this code does not know is passed over */
    put32(1);
    assert_int_equal(finish(), 0);

    assert_true(bi.magic == BOOT_INFO_MAGIC && bi.version == BOOT_INFO_VERSION && bi.size == sizeof(bi));
    assert_string_equal(bi.cmdline, "loglevel=debug x=y");
    assert_string_equal(bi.loader, "GRUB 2.06");
    assert_int_equal(bi.efi, 1);
    assert_int_equal(bi.nr_modules, 2);
    assert_string_equal(bi.modules[0].name, "nidus.conf");
    assert_true(bi.modules[0].base == 0x200000 && bi.modules[0].size == 0x1234);
    assert_string_equal(bi.modules[1].name, "vmlinuz");
    assert_true(bi.modules[1].base == 0x300000 && bi.modules[1].size == 0);
    assert_int_equal(bi.nr_ranges, 6);
    assert_true(bi.ranges[2].base == 0x100000 && bi.ranges[2].size == 0x7ef00000);
    static const u32 types[] = {BOOT_RANGE_RAM,  BOOT_RANGE_RESERVED, BOOT_RANGE_RAM,
                                BOOT_RANGE_ACPI, BOOT_RANGE_NVS,      BOOT_RANGE_BAD};
    for (u32 i = 0; i < 6; i++)
        assert_int_equal(bi.ranges[i].type, types[i]);
    assert_int_equal(bi.fb.type, BOOT_FB_RGB);
    assert_true(bi.fb.base == 0xc0000000 && bi.fb.pitch == 4096 && bi.fb.width == 1024 &&
                bi.fb.height == 768);
    assert_true(bi.fb.bpp == 32 && bi.fb.red_pos == 16 && bi.fb.green_size == 7 && bi.fb.blue_size == 6);
}

static void magic_and_sizes(void **state)
{
    (void)state;
    start();
    one_range();
    tag(0, 8);
    refused(multiboot2_parse(&bi, 0x2badb002, info, used, err, sizeof(err)), "0x2badb002");
    refused(multiboot2_parse(&bi, MULTIBOOT2_BOOT_MAGIC, info, 8, err, sizeof(err)), "only 8 bytes");
    refused(parse_sized(8, used), "size 8");
    refused(parse_sized(used + 1, used), "information structure has size");
    refused(parse_sized(0xffffffff, used), "information structure has size 4294967295");
    assert_int_equal(parse_sized(used, used), 0);
}

static void bad_tag_sizes(void **state)
{
    static const u32 sizes[] = {0, 7, 0x80000000, 0xfffffff8, 0xffffffff, 65};

    (void)state;
    for (u32 i = 0; i < ARRAY_SIZE(sizes); i++) {
        start();
        one_range();
        tag(99, sizes[i]);
        used += 48;
        tag(0, 8);
        refused(parse(), "tag of type 99 at offset 0x30 has size");
    }
}

static void missing_end_tag(void **state)
{
    (void)state;
    start();
    one_range();
    refused(parse(), "no end tag");
    start();
    one_range();
    tag(0, 4);
    refused(parse(), "tag of type 0");
}

static void missing_memory_map(void **state)
{
    (void)state;
    start();
    string_tag(1, "x");
    refused(finish(), "no memory map");
}

static void memory_map_faults(void **state)
{
    static const u32 entry_sizes[] = {0, 8, 16, 23, 28, 0xffffffff};

    (void)state;
    for (u32 i = 0; i < ARRAY_SIZE(entry_sizes); i++) {
        start();
        tag(6, 16 + 24);
        put32(entry_sizes[i]);
        put32(0);
        mmap_entry(0, 0x1000, 1);
        refused(finish(), "memory map entry size");
    }
    start();
    tag(6, 12);
    put32(24);
    refused(finish(), "memory map tag at offset 0x8 has 12 bytes");
    start();
    tag(6, 16 + 32);
    put32(24);
    put32(0);
    mmap_entry(0, 0x1000, 1);
    put64(0);
    refused(finish(), "no whole number of entries");
    start();
    one_range();
    one_range();
    refused(finish(), "second memory map");

    /* entries may be larger than today's, and lie at their own stride */
    start();
    mmap_tag(2, 32);
    mmap_entry(0, 0x1000, 1);
    put64(~0ull);
    mmap_entry(0x2000, 0x1000, 1);
    put64(~0ull);
    assert_int_equal(finish(), 0);
    assert_true(bi.nr_ranges == 2 && bi.ranges[1].base == 0x2000);
}

static void many_ranges(void **state)
{
    (void)state;
    for (u32 n = BOOT_MAX_RANGES; n <= BOOT_MAX_RANGES + 1; n++) {
        start();
        mmap_tag(n, 24);
        for (u32 i = 0; i < n; i++)
            mmap_entry(i * 0x2000, 0x1000, 1);
        if (n == BOOT_MAX_RANGES)
            assert_int_equal(finish(), 0);
        else
            refused(finish(), "more than 512 ranges");
    }
    start(); /* neighbours of one type take no more than one range */
    mmap_tag(2000, 24);
    for (u32 i = 0; i < 2000; i++)
        mmap_entry(i * 0x1000, 0x1000, 1);
    assert_int_equal(finish(), 0);
    assert_int_equal(bi.nr_ranges, 1);
    assert_true(bi.ranges[0].size == 2000 * 0x1000);
}

static void string_faults(void **state)
{
    char text[BOOT_CMDLINE_MAX + 1];

    (void)state;
    start();
    one_range();
    tag(1, 8 + 4);
    put("abcd", 4);
    refused(finish(), "command line tag at offset 0x30 does not end");
    start();
    one_range();
    tag(1, 8);
    refused(finish(), "command line tag at offset 0x30 does not end");
    start();
    one_range();
    tag(2, 8 + 8);
    put("abcdefgh", 8);
    refused(finish(), "boot loader name");
    start();
    one_range();
    tag(3, 16 + 4);
    put32(0x1000);
    put32(0x2000);
    put("abcd", 4);
    refused(finish(), "module tag at offset 0x30 does not end");

    memset(text, 'a', sizeof(text));
    for (u32 n = BOOT_CMDLINE_MAX - 1; n <= BOOT_CMDLINE_MAX; n++) {
        text[n] = 0;
        start();
        one_range();
        string_tag(1, text);
        string_tag(2, text);
        if (n < BOOT_CMDLINE_MAX) {
            assert_int_equal(finish(), 0);
            assert_string_equal(bi.cmdline, text);
            assert_int_equal(strlen(bi.loader), sizeof(bi.loader) - 1);
        } else {
            refused(finish(), "command line is longer than 1023");
        }
        text[n] = 'a';
    }
}

static void module_faults(void **state)
{
    char name[200];

    (void)state;
    start();
    one_range();
    tag(3, 12);
    put32(0x1000);
    refused(finish(), "module tag at offset 0x30 has 12 bytes");
    start();
    one_range();
    module_tag(0x2000, 0x1fff, "m");
    refused(finish(), "ends at 0x1fff, before its start 0x2000");

    memset(name, 'n', sizeof(name));
    name[sizeof(bi.modules[0].name) - 1] = 0;
    start();
    one_range();
    module_tag(0x2000, 0x2001, name);
    assert_int_equal(finish(), 0);
    assert_string_equal(bi.modules[0].name, name);
    name[sizeof(bi.modules[0].name) - 1] = 'n';
    name[sizeof(bi.modules[0].name)] = 0;
    start();
    one_range();
    module_tag(0x2000, 0x2001, name);
    refused(finish(), "name of the module at 0x2000 is longer than 127");

    for (u32 n = BOOT_MAX_MODULES; n <= BOOT_MAX_MODULES + 1; n++) {
        start();
        one_range();
        for (u32 i = 0; i < n; i++)
            module_tag(0x1000 * i, 0x1000 * i + 1, "m");
        if (n == BOOT_MAX_MODULES)
            assert_int_equal(finish(), 0);
        else
            refused(finish(), "more than 64 modules");
    }
}

static void rsdp_versions(void **state)
{
    u8 v1[20] = "RSD PTR one", v2[36] = "RSD PTR two";

    (void)state;
    for (u32 newer_first = 0; newer_first < 2; newer_first++) {
        start();
        one_range();
        for (u32 i = 0; i < 2; i++) {
            bool newer = newer_first ? i == 0 : i == 1;

            tag(newer ? 15 : 14, 8 + (newer ? 36 : 20));
            put(newer ? v2 : v1, newer ? 36 : 20);
        }
        assert_int_equal(finish(), 0);
        assert_int_equal(bi.rsdp_size, 36);
        assert_memory_equal(bi.rsdp, v2, 36);
    }
    start();
    one_range();
    tag(14, 8 + 20);
    put(v1, 20);
    assert_int_equal(finish(), 0);
    assert_int_equal(bi.rsdp_size, 20);
    start();
    one_range();
    tag(14, 8 + 19);
    put(v1, 19);
    refused(finish(), "RSDP tag at offset 0x30 has 19 bytes of data, needs 20");
    start();
    one_range();
    tag(15, 8 + 35);
    put(v2, 35);
    refused(finish(), "has 35 bytes of data, needs 36");
}

static void framebuffers(void **state)
{
    (void)state;
    start();
    one_range();
    tag(8, 32);
    put64(0xb8000);
    put32(160);
    put32(80);
    put32(25);
    put((u8[]){16, 2, 0, 0}, 4);
    assert_int_equal(finish(), 0);
    assert_int_equal(bi.fb.type, BOOT_FB_EGA_TEXT);
    assert_int_equal(bi.fb.width, 80);

    info[0x30 + 29] = 0; /* indexed colour is not an error, nor used */
    assert_int_equal(parse(), 0);
    assert_int_equal(bi.fb.type, BOOT_FB_NONE);
    info[0x30 + 29] = 1; /* RGB without its colours */
    refused(parse(), "framebuffer tag at offset 0x30 has 32 bytes, needs 38");
    start();
    one_range();
    tag(8, 31);
    used += 23;
    refused(finish(), "framebuffer tag at offset 0x30 has 31 bytes");
}

static void boot_services_left(void **state)
{
    (void)state;
    start();
    one_range();
    tag(18, 8);
    refused(finish(), "EFI boot services");
}

/* Whatever single byte is changed, the parser answers and stays inside. */
static void any_byte_changed(void **state)
{
    u32 n;

    (void)state;
    complete(NULL);
    n = used;
    for (u32 at = 8; at < n; at++) {
        u8 was = info[at];

        for (u32 value = 0; value < 256; value += 15) {
            info[at] = value;
            (void)parse_sized(n, n);
        }
        info[at] = was;
    }
    assert_int_equal(parse_sized(n, n), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(complete),           cmocka_unit_test(magic_and_sizes),
        cmocka_unit_test(bad_tag_sizes),      cmocka_unit_test(missing_end_tag),
        cmocka_unit_test(missing_memory_map), cmocka_unit_test(memory_map_faults),
        cmocka_unit_test(many_ranges),        cmocka_unit_test(string_faults),
        cmocka_unit_test(module_faults),      cmocka_unit_test(rsdp_versions),
        cmocka_unit_test(framebuffers),       cmocka_unit_test(boot_services_left),
        cmocka_unit_test(any_byte_changed),
    };

    return cmocka_run_group_tests_name("multiboot2", tests, NULL, NULL);
}
