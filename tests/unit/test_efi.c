/* SPDX-License-Identifier: MIT */
/* links: boot/efi/image.c boot/efi/tables.c boot/efi/memory_map.c */
/* links: boot/boot_info.c lib/format.c lib/str_copy.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "boot/efi/image.h"
#include "boot/efi/memory_map.h"
#include "boot/efi/tables.h"

#define VIRTUAL 0xffffffff80000000ull

/* An image of two segments: 0x2000 bytes at the base, of which 0x800 are in the file, and 0x1000 at 0x3000.
 */
static u8 file[0x2000];
static struct image image;
static char err[256];

static void put(u32 at, u64 value, u32 n)
{
    memcpy(file + at, &value, n);
}

static void segment(u32 i, u32 type, u64 offset, u64 vaddr, u64 filesz, u64 memsz)
{
    u32 at = 64 + i * 56;

    put(at, type, 4);
    put(at + 8, offset, 8);
    put(at + 16, vaddr, 8);
    put(at + 32, filesz, 8);
    put(at + 40, memsz, 8);
}

static void start(void)
{
    memset(file, 0, sizeof(file));
    memcpy(file,
           "\x7f"
           "ELF\2\1\1",
           7);
    put(16, 2, 2);
    put(18, 62, 2);
    put(32, 64, 8);
    put(54, 56, 2);
    put(56, 3, 2);
    segment(0, 4, 0, 0, 0, 0); /* a note */
    segment(1, 1, 0x1000, VIRTUAL, 0x800, 0x2000);
    segment(2, 1, 0x1800, VIRTUAL + 0x3000, 0x800, 0x1000);
    memset(file + 0x1000, 0x11, 0x800);
    memset(file + 0x1800, 0x22, 0x800);
    memcpy(file + 0x1000, "NIDUS64", 8);
    put(0x1008, VIRTUAL + 0x40, 8);
    put(0x1010, 0x5000, 8);
}

static int check(void)
{
    u8 *copy = malloc(sizeof(file));
    int rc;

    memcpy(copy, file, sizeof(file));
    err[0] = 0;
    rc = image_check(&image, copy, sizeof(file), err, sizeof(err));
    free(copy);
    assert_int_equal(rc == 0, err[0] == 0);
    return rc;
}

static void refused(const char *text)
{
    assert_int_equal(check(), ERR_INVAL);
    if (!strstr(err, text))
        fail_msg("'%s' not in '%s'", text, err);
    start();
}

static void placed(void **state)
{
    u8 *memory = malloc(0x5000);

    (void)state;
    start();
    assert_int_equal(check(), 0);
    assert_true(image.virtual_base == VIRTUAL && image.size == 0x5000 && image.entry == VIRTUAL + 0x40);
    memset(memory, 0xee, 0x5000);
    image_place(&image, file, memory);
    for (u32 i = 0; i < 0x5000; i++) {
        u8 expected = i < 0x18 ? file[0x1000 + i] : i < 0x800 ? 0x11 : i >= 0x3000 && i < 0x3800 ? 0x22 : 0;

        assert_int_equal(memory[i], expected);
    }
    free(memory);
}

static void image_faults(void **state)
{
    (void)state;
    start();
    assert_int_equal(image_check(&image, file, 63, err, sizeof(err)), ERR_INVAL);
    file[1] = 'e';
    refused("not an ELF64 file");
    file[4] = 1;
    refused("not an ELF64 file");
    put(16, 3, 2);
    refused("ELF type 3 for machine 62");
    put(18, 3, 2);
    refused("ELF type 2 for machine 3");
    put(54, 32, 2);
    refused("program headers");
    put(32, ~0ull, 8);
    refused("program headers");
    put(56, 0xffff, 2);
    refused("65535 program headers");
    put(56, 1, 2);
    refused("nothing to load");
    file[0x1000] = 'n';
    refused("no NIDUS64 header");
    segment(1, 1, 0x1000, VIRTUAL, 16, 0x2000);
    refused("no NIDUS64 header");
    segment(1, 1, 0x2000, VIRTUAL, 1, 0x2000);
    refused("segment 1 is not all in the file");
    segment(1, 1, ~0ull, VIRTUAL, 0x800, 0x2000);
    refused("segment 1 is not all in the file");
    segment(2, 1, 0x1000, VIRTUAL, ~0ull, ~0ull);
    refused("segment 2 is not all in the file");
    segment(2, 1, 0x1000, VIRTUAL, 0x800, 0x7ff);
    refused("segment 2 is not all in the file");
    segment(2, 1, 0x1800, VIRTUAL - 0x1000, 0x800, 0x800);
    refused("segment 2 at 0xffffffff7ffff000, size 0x800, is outside of the image");
    segment(2, 1, 0x1800, VIRTUAL + 0x4001, 0x800, 0x1000);
    refused("outside of the image");
    segment(2, 1, 0x1800, VIRTUAL, 0x800, ~0ull);
    refused("outside of the image");
    segment(1, 1, 0x1000, VIRTUAL + 0x1000, 0x800, 0x2000);
    refused("at a multiple of");
    put(0x1010, 0, 8);
    refused("0 bytes");
    put(0x1010, MiB(16) + 1, 8);
    refused("at most 0x1000000");
    put(0x1008, VIRTUAL - 1, 8);
    refused("entry 0xffffffff7fffffff is outside");
    put(0x1008, VIRTUAL + 0x5000, 8);
    refused("entry 0xffffffff80005000 is outside");
}

/* The physical address of a virtual one by the tables, as a CPU walks them; all ones where it faults. */
static u64 translate(u64 cr3, u64 va)
{
    u64 *table = (u64 *)cr3;

    for (u32 level = 3;; level--) {
        u64 entry = table[va >> (12 + 9 * level) & 511];

        if (!(entry & 1))
            return ~0ull;
        assert_int_equal(entry & 0xfff, level == 1 ? 0x83 : 3); /* present, writable, supervisor */
        if (level == 1)
            return (entry & ~0x1fffffull) | (va & 0x1fffff);
        table = (u64 *)(entry & ~0xfffull);
    }
}

static void page_tables(void **state)
{
    static const u64 limits[] = {GiB(4), GiB(4) + 1, GiB(37) + MiB(1)};

    (void)state;
    for (u32 i = 0; i < ARRAY_SIZE(limits); i++) {
        u64 size = tables_pages(limits[i]) * PAGE_SIZE, mapped = ALIGN_UP(limits[i], GiB(1)), cr3;
        u64 *memory = aligned_alloc(PAGE_SIZE, size);

        memset(memory, 0xff, size);
        cr3 = tables_build(memory, limits[i], VIRTUAL, 0x1da00000);
        assert_true(cr3 == (u64)memory);
        for (u64 va = 0; va < mapped; va += MiB(2) - 4096)
            assert_true(translate(cr3, va) == va);
        assert_true(translate(cr3, mapped - 1) == mapped - 1);
        assert_true(translate(cr3, mapped) == ~0ull);
        assert_true(translate(cr3, VIRTUAL - 1) == ~0ull);
        for (u64 at = 0; at < MiB(16); at += 0x1ff000)
            assert_true(translate(cr3, VIRTUAL + at) == 0x1da00000 + at);
        assert_true(translate(cr3, VIRTUAL + MiB(16)) == ~0ull);
        assert_true(translate(cr3, 0xffff800000000000) == ~0ull);
        free(memory);
    }
}

struct descriptor {
    u32 type, pad;
    u64 physical, virtual, pages, attribute, future; /* firmware may make them longer */
};

static struct boot_info info;

static void memory_map(void **state)
{
    static const u32 expected[] = {
        BOOT_RANGE_RESERVED, BOOT_RANGE_RAM,      BOOT_RANGE_RAM,      BOOT_RANGE_RAM,
        BOOT_RANGE_RAM,      BOOT_RANGE_RUNTIME,  BOOT_RANGE_RUNTIME,  BOOT_RANGE_RAM,
        BOOT_RANGE_BAD,      BOOT_RANGE_ACPI,     BOOT_RANGE_NVS,      BOOT_RANGE_RESERVED,
        BOOT_RANGE_RESERVED, BOOT_RANGE_RESERVED, BOOT_RANGE_RESERVED, BOOT_RANGE_RESERVED};
    struct descriptor map[BOOT_MAX_RANGES + 10] = {0};

    (void)state;
    for (u32 i = 0; i < 16; i++) /* every type, and one that does not exist yet; none next to another */
        map[i] = (struct descriptor){.type = i, .physical = i * 0x10000, .pages = 2};
    map[16] = (struct descriptor){.type = 0x80000000, .physical = 0x200000, .pages = 1};
    info.nr_ranges = 0;
    assert_int_equal(memory_map_convert(&info, map, 17 * sizeof(map[0]) + 5, sizeof(map[0])), 0);
    assert_int_equal(info.nr_ranges, 17);
    for (u32 i = 0; i < 16; i++) {
        assert_int_equal(info.ranges[i].type, expected[i]);
        assert_true(info.ranges[i].base == i * 0x10000 && info.ranges[i].size == 0x2000);
    }
    assert_int_equal(info.ranges[16].type, BOOT_RANGE_RESERVED);

    for (u32 i = 0; i < 8; i++) /* neighbours of one kind merge */
        map[i] = (struct descriptor){.type = 1 + i % 4, .physical = i * 0x1000, .pages = 1};
    info.nr_ranges = 0;
    assert_int_equal(memory_map_convert(&info, map, 8 * sizeof(map[0]), sizeof(map[0])), 0);
    assert_int_equal(info.nr_ranges, 1);
    assert_true(info.ranges[0].size == 0x8000);

    for (u32 i = 0; i < ARRAY_SIZE(map); i++)
        map[i] = (struct descriptor){.type = 7, .physical = i * 0x2000, .pages = 1};
    info.nr_ranges = 0;
    assert_int_equal(memory_map_convert(&info, map, sizeof(map), sizeof(map[0])), 10);
    assert_int_equal(info.nr_ranges, BOOT_MAX_RANGES);
    info.nr_ranges = 0;
    memory_map_convert(&info, map, sizeof(map), 39); /* a stride that no descriptor fits */
    memory_map_convert(&info, map, sizeof(map), 0);
    assert_int_equal(info.nr_ranges, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(placed),
        cmocka_unit_test(image_faults),
        cmocka_unit_test(page_tables),
        cmocka_unit_test(memory_map),
    };

    return cmocka_run_group_tests_name("efi", tests, NULL, NULL);
}
