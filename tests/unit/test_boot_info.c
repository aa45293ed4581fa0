/* SPDX-License-Identifier: MIT */
/* links: boot/boot_info.c lib/format.c lib/str_copy.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "boot/boot_info.h"

static struct boot_info bi;
static char err[256], warnings[4096];
static u32 nr_warnings;

static void warn(const char *text)
{
    size_t n = strlen(warnings);

    nr_warnings++;
    snprintf(warnings + n, sizeof(warnings) - n, "%s\n", text);
}

static void range(u64 base, u64 size, u32 type)
{
    bi.ranges[bi.nr_ranges++] = (struct boot_range){.base = base, .size = size, .type = type};
}

static void module(const char *name, u64 base, u64 size)
{
    struct boot_module *m = &bi.modules[bi.nr_modules++];

    m->base = base;
    m->size = size;
    strcpy(m->name, name);
}

/* 64 MiB of RAM with Nidus at 2 MiB. */
static void start(void)
{
    memset(&bi, 0, sizeof(bi));
    bi.magic = BOOT_INFO_MAGIC;
    bi.version = BOOT_INFO_VERSION;
    bi.size = sizeof(bi);
    bi.image_base = MiB(2);
    bi.image_size = 0x54321;
    range(0, MiB(64), BOOT_RANGE_RAM);
}

static int validate(void)
{
    int rc;

    err[0] = warnings[0] = 0;
    nr_warnings = 0;
    rc = boot_info_validate(&bi, warn, err, sizeof(err));
    assert_int_equal(rc == 0, err[0] == 0);
    return rc;
}

static void refused(const char *text)
{
    assert_int_equal(validate(), ERR_INVAL);
    if (!strstr(err, text))
        fail_msg("'%s' not in '%s'", text, err);
}

static void warned(u32 n, const char *text)
{
    assert_int_equal(validate(), 0);
    if (nr_warnings != n || !strstr(warnings, text))
        fail_msg("wanted %u warnings with '%s', got %u: %s", n, text, nr_warnings, warnings);
}

static void expect_range(u32 i, u64 base, u64 end, u32 type)
{
    assert_true(i < bi.nr_ranges);
    assert_int_equal(bi.ranges[i].base, base);
    assert_int_equal(bi.ranges[i].size, end - base);
    assert_int_equal(bi.ranges[i].type, type);
}

static void header(void **state)
{
    (void)state;
    start();
    assert_int_equal(validate(), 0);
    start(), bi.magic++;
    refused("magic");
    start(), bi.version++;
    refused("version is 2, must be 1");
    start(), bi.size--;
    refused("size");
    start(), bi.nr_ranges = BOOT_MAX_RANGES + 1;
    refused("513 memory ranges");
    start(), bi.nr_ranges = 0xffffffff;
    refused("4294967295 memory ranges");
    start(), bi.nr_modules = BOOT_MAX_MODULES + 1;
    refused("65 modules, at most 64");
    start(), bi.rsdp_size = 37;
    refused("RSDP of 37 bytes");
    start(), memset(bi.loader, 'x', sizeof(bi.loader));
    refused("boot loader does not end");
    start(), memset(bi.cmdline, 'x', sizeof(bi.cmdline));
    refused("command line does not end");
}

static void add_range(void **state)
{
    (void)state;
    memset(&bi, 0, sizeof(bi));
    assert_int_equal(boot_info_add_range(&bi, 0x1000, 0x1000, 1), 0);
    assert_int_equal(boot_info_add_range(&bi, 0x2000, 0x1000, 1), 0);
    assert_int_equal(boot_info_add_range(&bi, 0x9000, 0, 2), 0);
    assert_int_equal(bi.nr_ranges, 1);
    expect_range(0, 0x1000, 0x3000, 1);
    assert_int_equal(boot_info_add_range(&bi, 0x3000, 0x1000, 2), 0);
    assert_int_equal(boot_info_add_range(&bi, 0x5000, 0x1000, 2), 0);
    assert_int_equal(bi.nr_ranges, 3);
    /* merging must not make a size that wraps around */
    assert_int_equal(boot_info_add_range(&bi, 0x6000, ~0ull, 2), 0);
    assert_int_equal(bi.nr_ranges, 4);
    bi.nr_ranges = BOOT_MAX_RANGES;
    assert_int_equal(boot_info_add_range(&bi, 0x9000, 1, 1), ERR_NOMEM);
    assert_int_equal(bi.nr_ranges, BOOT_MAX_RANGES);
}

static void alignment(void **state)
{
    (void)state;
    start();
    range(GiB(1) + 0x800, 0x3000, BOOT_RANGE_RAM);
    range(GiB(2) + 0x800, 0x3000, BOOT_RANGE_RESERVED);
    range(GiB(3) + 0x800, 0x900, BOOT_RANGE_RAM); /* no whole page in it */
    range(GiB(3) + 0x10001, 1, BOOT_RANGE_ACPI);
    assert_int_equal(validate(), 0);
    assert_int_equal(bi.nr_ranges, 4);
    expect_range(1, GiB(1) + 0x1000, GiB(1) + 0x3000, BOOT_RANGE_RAM);
    expect_range(2, GiB(2), GiB(2) + 0x4000, BOOT_RANGE_RESERVED);
    expect_range(3, GiB(3) + 0x10000, GiB(3) + 0x11000, BOOT_RANGE_ACPI);
}

static void overlaps(void **state)
{
    static const u32 order[] = {BOOT_RANGE_RAM,     BOOT_RANGE_ACPI,     BOOT_RANGE_NVS,
                                BOOT_RANGE_RUNTIME, BOOT_RANGE_RESERVED, BOOT_RANGE_BAD};

    (void)state;
    for (u32 a = 0; a < 6; a++) {
        for (u32 b = 0; b < 6; b++) {
            u32 winner = order[MAX(a, b)];

            start();
            range(GiB(1), 0x3000, order[a]);
            range(GiB(1) + 0x1000, 0x1000, order[b]);
            assert_int_equal(validate(), 0);
            if (winner == order[a]) {
                assert_int_equal(bi.nr_ranges, 2);
                expect_range(1, GiB(1), GiB(1) + 0x3000, winner);
            } else {
                assert_int_equal(bi.nr_ranges, 4);
                expect_range(1, GiB(1), GiB(1) + 0x1000, order[a]);
                expect_range(2, GiB(1) + 0x1000, GiB(1) + 0x2000, winner);
                expect_range(3, GiB(1) + 0x2000, GiB(1) + 0x3000, order[a]);
            }
        }
    }
}

static void extreme_ranges(void **state)
{
    (void)state;
    start();
    range(0xfffffffffffff000, 0x2000, BOOT_RANGE_RESERVED);
    refused("memory range 1 at 0xfffffffffffff000, size 0x2000, goes beyond the last address");
    start();
    range(1, ~0ull,
          BOOT_RANGE_RAM); /* up to the last byte: no wrap-around, but far beyond what a CPU can address */
    warned(1, "goes beyond 52-bit addresses");
    expect_range(0, 0, BIT(52), BOOT_RANGE_RAM);
    start();
    range(BIT(60), BIT(20), BOOT_RANGE_RESERVED);
    assert_int_equal(validate(), 0);
    assert_int_equal(bi.nr_ranges, 1);
    start();
    range(0x1000, 0x1000, 0);
    refused("memory range 1 at 0x1000 has the unknown type 0");
    start();
    range(0x1000, 0x1000, 7);
    refused("unknown type 7");
    start();
    bi.nr_ranges = 0;
    refused("no usable RAM");
    start();
    range(0, GiB(1), BOOT_RANGE_BAD);
    refused("no usable RAM");

    start();
    bi.nr_ranges = 0;
    range(0, GiB(1), BOOT_RANGE_RAM);
    while (bi.nr_ranges < BOOT_MAX_RANGES)
        range(MiB(64) + bi.nr_ranges * 0x2000, 0x1000, BOOT_RANGE_RESERVED);
    refused("more than 512 memory ranges after overlaps");
}

static void image(void **state)
{
    (void)state;
    start(), bi.image_size = 0;
    refused("Nidus itself");
    start(), bi.image_base = MiB(64) - 0x1000;
    refused("Nidus itself");
    start(), bi.image_size = ~0ull;
    refused("Nidus itself");
    start(), bi.image_base = ~0ull;
    refused("Nidus itself");
}

static void bad_modules(void **state)
{
    (void)state;
    start();
    module("good", MiB(8), 0x1000);
    module("high", MiB(64) - 0x1000, 0x1001);
    module("nowhere", GiB(2), 1);
    module("wraps", ~0ull - 0xfff, 0x2000);
    module("huge", MiB(8), ~0ull);
    module("over-nidus", MiB(2) + 0x54320, 0x1000);
    module("over-good", MiB(8) + 0xfff, 1);
    module("good", MiB(10), 1);
    module("", MiB(11), 1);
    module("empty", 0x123456789abc, 0);
    module("last", MiB(12), 0x1000);
    warned(8, "module good is there twice");
    assert_non_null(strstr(warnings, "module high at 0x3fff000, size 0x1001, is not in RAM"));
    assert_non_null(strstr(warnings, "module nowhere"));
    assert_non_null(strstr(warnings, "module wraps"));
    assert_non_null(strstr(warnings, "module huge"));
    assert_non_null(strstr(warnings, "module over-nidus lies over Nidus itself"));
    assert_non_null(strstr(warnings, "module over-good lies over module good"));
    assert_non_null(strstr(warnings, "module 8 has no name"));
    assert_int_equal(bi.nr_modules, 3);
    assert_string_equal(bi.modules[0].name, "good");
    assert_string_equal(bi.modules[1].name, "empty");
    assert_string_equal(bi.modules[2].name, "last");
    assert_true(bi.modules[2].base == MiB(12));

    start();
    module("x", MiB(8), 1);
    memset(bi.modules[0].name, 'x', sizeof(bi.modules[0].name));
    warned(1, "module 0: its name does not end");
    assert_int_equal(bi.nr_modules, 0);
}

static void framebuffer(void)
{
    start();
    bi.fb = (struct boot_framebuffer){.base = GiB(3),
                                      .type = BOOT_FB_RGB,
                                      .pitch = 3200,
                                      .width = 800,
                                      .height = 600,
                                      .bpp = 32,
                                      .red_pos = 16,
                                      .red_size = 8,
                                      .green_pos = 8,
                                      .green_size = 8,
                                      .blue_size = 8};
}

static void bad_framebuffer(const char *why)
{
    warned(1, why);
    assert_int_equal(bi.fb.type, BOOT_FB_NONE);
}

static void framebuffers(void **state)
{
    (void)state;
    framebuffer();
    assert_int_equal(validate(), 0);
    assert_int_equal(nr_warnings, 0);
    assert_int_equal(bi.fb.type, BOOT_FB_RGB);
    framebuffer(), bi.fb.type = 9;
    bad_framebuffer("type is unknown");
    framebuffer(), bi.fb.width = 0;
    bad_framebuffer("empty");
    framebuffer(), bi.fb.height = 0;
    bad_framebuffer("empty");
    framebuffer(), bi.fb.bpp = 8;
    bad_framebuffer("neither");
    framebuffer(), bi.fb.red_pos = 25;
    bad_framebuffer("colours");
    framebuffer(), bi.fb.green_size = 0;
    bad_framebuffer("colours");
    framebuffer(), bi.fb.blue_size = 255;
    bad_framebuffer("colours");
    framebuffer(), bi.fb.pitch = 3199;
    bad_framebuffer("pitch");
    framebuffer(), bi.fb.width = 0x80000000;
    bad_framebuffer("pitch");
    framebuffer(), bi.fb.base = ~0ull;
    bad_framebuffer("52-bit");
    framebuffer(), bi.fb.base = BIT(52) - 3200 * 600 + 1;
    bad_framebuffer("52-bit");
    framebuffer(), bi.fb.base = MiB(64) - 1;
    bad_framebuffer("in RAM");
}

/* Random maps over a few frames, compared with a model that knows the type of each frame. */
#define FRAMES 64

static u32 rank(u32 type)
{
    static const u32 ranks[] = {0, 1, 5, 2, 3, 6, 4};

    return ranks[type];
}

static void random_maps(void **state)
{
    (void)state;
    srand(1);
    for (u32 round = 0; round < 20000; round++) {
        u8 model[FRAMES] = {0};
        u32 n = 1 + rand() % 12;

        start();
        bi.image_base = GiB(1);
        bi.image_size = 0x1000;
        bi.nr_ranges = 0;
        range(GiB(1), 0x1000, BOOT_RANGE_RAM);
        for (u32 i = 0; i < n; i++) {
            u64 base = rand() % (FRAMES * 0x1000), size = rand() % (FRAMES * 0x1000 - base);
            u32 type = 1 + rand() % 6;

            if (rand() % 2) {
                base &= ~0xfffull;
                size &= ~0xfffull;
            }
            range(base, size, type);
            for (u64 f = 0; f < FRAMES; f++) {
                u64 first = f * 0x1000, end = first + 0x1000;
                bool whole = base <= first && base + size >= end, part = base < end && base + size > first;

                if (size && (type == BOOT_RANGE_RAM ? whole : part) && rank(type) > rank(model[f]))
                    model[f] = type;
            }
        }
        assert_int_equal(validate(), 0);

        for (u32 i = 0; i < bi.nr_ranges; i++) {
            struct boot_range *r = &bi.ranges[i];

            assert_true(r->size && IS_ALIGNED(r->base | r->size, 0x1000));
            if (i) {
                struct boot_range *before = r - 1;

                assert_true(before->base + before->size <= r->base);
                assert_true(before->base + before->size < r->base || before->type != r->type);
            }
            for (u64 f = r->base / 0x1000; f < (r->base + r->size) / 0x1000 && f < FRAMES; f++) {
                assert_int_equal(model[f], r->type);
                model[f] = 0;
            }
        }
        for (u32 f = 0; f < FRAMES; f++)
            assert_int_equal(model[f], 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(header),      cmocka_unit_test(add_range),      cmocka_unit_test(alignment),
        cmocka_unit_test(overlaps),    cmocka_unit_test(extreme_ranges), cmocka_unit_test(image),
        cmocka_unit_test(bad_modules), cmocka_unit_test(framebuffers),   cmocka_unit_test(random_maps),
    };

    return cmocka_run_group_tests_name("boot_info", tests, NULL, NULL);
}
