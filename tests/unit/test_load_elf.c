/* SPDX-License-Identifier: MIT */
/* links: vmm/load.c vmm/load_util.c vmm/load_elf.c vmm/load_linux.c vmm/load_multiboot.c vmm/load_mbinfo.c */
/* links: vmm/load_bios.c lib/format.c vmm/bus.c tests/unit/fake_host.c tests/unit/load_test.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <elf.h>
#include <string.h>

#include "tests/unit/load_test.h"
#include "vmm/load_util.h"

/* The multiboot header that lets the ELF loader be reached; anywhere in the first 8 KiB. */
#define MB_HEADER 0x400
#define IMAGE     0x3000

static struct load_test *t;

static Elf32_Ehdr *header(void)
{
    return (Elf32_Ehdr *)t->image;
}

static Elf32_Phdr *segment(u32 i)
{
    return (Elf32_Phdr *)(t->image + sizeof(Elf32_Ehdr)) + i;
}

static int setup(void **state)
{
    (void)state;
    t = load_test_new();
    put_elf32(t, 0x1000, 0x100000, 0x800, 0x2000);
    put32(t, MB_HEADER, 0x1badb002);
    put32(t, MB_HEADER + 8, -0x1badb002u);
    memset(t->image + 0x1000, 0x5a, 0x1000);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    load_test_free(t);
    return 0;
}

static void test_e820(void **state)
{
    struct e820_entry e[GUEST_MAX_E820];

    (void)state;
    assert_int_equal(guest_e820(MiB(16), e), 3);
    assert_true(e[0].base == 0 && e[0].size == 0xa0000 && e[0].type == 1);
    assert_true(e[1].base == 0xe0000 && e[1].size == 0x20000 && e[1].type == 2);
    assert_true(e[2].base == MiB(1) && e[2].size == MiB(15) && e[2].type == 1);
    assert_int_equal(guest_e820(GiB(3), e), 3);
    assert_true(e[2].size == GiB(3) - MiB(1));
    assert_int_equal(guest_e820(GiB(5), e), 4);
    assert_true(e[2].size == GiB(3) - MiB(1));
    assert_true(e[3].base == GiB(4) && e[3].size == GiB(2) && e[3].type == 1);
}

static void test_placement(void **state)
{
    struct load_ctx ctx = {.vm = t->vm, .rq = &t->rq};

    (void)state;
    ctx.nr_map = guest_e820(MiB(64), ctx.map);
    assert_true(load_is_free(&ctx, 0, 0xa0000));
    assert_false(load_is_free(&ctx, 0, 0xa0001));
    assert_false(load_is_free(&ctx, 0xe0000, 1));
    assert_false(load_is_free(&ctx, MiB(64) - 1, 2));
    assert_false(load_is_free(&ctx, ~0ull, 2));
    assert_false(load_is_free(&ctx, MiB(1), ~0ull));
    assert_int_equal(load_place(&ctx, 0x1001, 0x1000, MiB(1), GiB(4), false), MiB(1));
    assert_int_equal(load_place(&ctx, 1, 0x1000, MiB(1), GiB(4), false), MiB(1) + 0x2000);
    assert_int_equal(load_place(&ctx, 0x1001, 0x1000, MiB(1), GiB(4), true), MiB(64) - 0x2000);
    assert_int_equal(load_place(&ctx, 0x800, 0x800, MiB(1), GiB(4), true), MiB(64) - 0x800);
    assert_int_equal(load_place(&ctx, MiB(63), 1, 0, GiB(4), true), LOAD_NOWHERE);
    assert_int_equal(load_place(&ctx, 0, 1, 0, GiB(4), false), LOAD_NOWHERE);
    assert_int_equal(load_place(&ctx, ~0ull, 1, 0, GiB(4), false), LOAD_NOWHERE);
    assert_int_equal(load_place(&ctx, 0x2000, 0x1000, 0x9f000, 0xa0000, false), LOAD_NOWHERE);
    assert_int_equal(load_place_low(&ctx, 0x100, 16), LOAD_LOW_MIN);
    assert_int_equal(load_place_low(&ctx, 0x80000, 16), MiB(1) + 0x2010);
}

static void test_segment_and_bss(void **state)
{
    (void)state;
    load_ok(t, IMAGE);
    assert_int_equal(ram32(t, 0x100000), 0x5a5a5a5a);
    assert_int_equal(ram32(t, 0x1007fc), 0x5a5a5a5a);
    assert_int_equal(ram32(t, 0x100800), 0);
    assert_int_equal(ram32(t, 0x101ffc), 0);
    assert_int_equal(ram32(t, 0x102000), 0xcccccccc);
    assert_int_equal(t->start.mode, START_PROT32);
    assert_int_equal(t->start.rip, 0x100010);
}

static void test_entry_by_virtual_address(void **state)
{
    (void)state;
    segment(0)->p_vaddr = 0xc0100000;
    header()->e_entry = 0xc0100040;
    load_ok(t, IMAGE);
    assert_int_equal(t->start.rip, 0x100040);
}

static void test_elf64(void **state)
{
    Elf64_Ehdr h = {
        .e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
        .e_machine = EM_X86_64,
        .e_entry = 0xffffffff80100020,
        .e_phoff = 0x80,
        .e_phentsize = sizeof(Elf64_Phdr),
        .e_phnum = 2,
    };
    Elf64_Phdr p[2] = {
        {PT_NOTE, 0, 0, ~0ull, ~0ull, ~0ull, ~0ull, 0}, /* of no concern */
        {PT_LOAD, PF_R, 0x1000, 0xffffffff80100000, 0x200000, 0x100, 0x100, 0},
    };

    (void)state;
    memcpy(t->image, &h, sizeof(h));
    memcpy(t->image + 0x80, p, sizeof(p));
    load_ok(t, IMAGE);
    assert_int_equal(t->start.rip, 0x200020);
    assert_int_equal(ram32(t, 0x2000fc), 0x5a5a5a5a);
    p[1].p_paddr = 0xffffffff80100000;
    memcpy(t->image + 0x80, p, sizeof(p));
    load_fails(t, IMAGE, "segment 1 at 0xffffffff80100000 does not fit below 4 GiB");
    p[1].p_offset = ~0ull;
    memcpy(t->image + 0x80, p, sizeof(p));
    load_fails(t, IMAGE, "segment 1 lies outside of the file");
}

static void test_segments_apart(void **state)
{
    (void)state;
    header()->e_phnum = 2;
    *segment(1) = *segment(0);
    segment(1)->p_paddr = 0x80000;
    segment(1)->p_memsz = segment(1)->p_filesz = 0x20;
    load_ok(t, IMAGE); /* the higher one comes first in the table, and a hole is between them */
    assert_int_equal(ram32(t, 0x8001c), 0x5a5a5a5a);
    assert_int_equal(ram32(t, 0x100000), 0x5a5a5a5a);
}

static void test_bad_headers(void **state)
{
    (void)state;
    header()->e_machine = EM_ARM;
    load_fails(t, IMAGE, "'k.elf': ELF file for machine 40, not x86");
    header()->e_machine = EM_386;
    header()->e_phentsize = 8;
    load_fails(t, IMAGE, "program headers of 8 bytes");
    header()->e_phentsize = sizeof(Elf32_Phdr);
    header()->e_phoff = IMAGE - 31;
    load_fails(t, IMAGE, "program headers lie outside");
    header()->e_phoff = ~0u;
    load_fails(t, IMAGE, "program headers lie outside");
    header()->e_phoff = sizeof(Elf32_Ehdr);
    header()->e_phnum = 0;
    load_fails(t, IMAGE, "without a loadable segment");
    header()->e_phnum = 1;
    header()->e_ident[EI_DATA] = ELFDATA2MSB;
    load_fails(t, IMAGE, "little-endian");
    header()->e_ident[EI_DATA] = ELFDATA2LSB;
    header()->e_ident[EI_CLASS] = 3;
    load_fails(t, IMAGE, "neither a 32-bit nor a 64-bit");
    header()->e_ident[0] = 0;
    load_fails(t, IMAGE, "not an ELF file");
}

static void test_bad_segments(void **state)
{
    (void)state;
    segment(0)->p_filesz = 0x2001;
    load_fails(t, IMAGE, "larger in the file than in memory");
    segment(0)->p_filesz = 0x2000;
    load_ok(t, IMAGE);
    segment(0)->p_offset = 0x1001;
    load_fails(t, IMAGE, "ELF segment 0 lies outside of the file");
    segment(0)->p_offset = 0xfffff000;
    load_fails(t, IMAGE, "ELF segment 0 lies outside of the file");
    segment(0)->p_offset = 0x1000;
    segment(0)->p_paddr = 0xffffe001;
    load_fails(t, IMAGE, "does not fit below 4 GiB");
    segment(0)->p_paddr = 0xffffe000;
    load_fails(t, IMAGE, "needs memory 0xffffe000 to 0xffffffff, which is not all free guest RAM");
    segment(0)->p_paddr = 0x9f000;
    load_fails(t, IMAGE, "not all free guest RAM");
    segment(0)->p_paddr = MiB(64) - 0x1fff;
    load_fails(t, IMAGE, "not all free guest RAM");
    segment(0)->p_paddr = MiB(64) - 0x2000;
    load_ok(t, IMAGE);
}

static void test_overlap_and_number(void **state)
{
    (void)state;
    header()->e_phnum = 2;
    *segment(1) = *segment(0);
    segment(1)->p_paddr += 0x1fff;
    load_fails(t, IMAGE, "ELF segment 1 overlaps another");
    segment(1)->p_paddr += 1;
    load_ok(t, IMAGE);
    header()->e_phoff = 0x4000;
    header()->e_phnum = 33;
    for (u32 i = 0; i < 33; i++)
        memcpy(t->image + 0x4000 + i * sizeof(Elf32_Phdr),
               &(Elf32_Phdr){PT_LOAD, 0x1000, 0, MiB(1) + i * 0x1000, 16, 16, 0, 0}, sizeof(Elf32_Phdr));
    load_fails(t, 0x5000, "more than 32 ELF segments");
    header()->e_phnum = 32;
    load_ok(t, 0x5000);
}

static void test_truncated(void **state)
{
    (void)state;
    t->rq.kernel.size = 0x1800;
    load_truncated(t, 0x1800);
}

static void test_without_multiboot(void **state)
{
    (void)state;
    put32(t, MB_HEADER, 0);
    load_fails(t, IMAGE, "'k.elf': an ELF file without a multiboot header");
    memset(t->image, 0, 4);
    load_fails(t, IMAGE, "'k.elf': neither a multiboot kernel nor a Linux bzImage");
    load_fails(t, 1, "neither a multiboot kernel nor a Linux bzImage");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_e820),
        T(test_placement),
        T(test_segment_and_bss),
        T(test_entry_by_virtual_address),
        T(test_elf64),
        T(test_segments_apart),
        T(test_bad_headers),
        T(test_bad_segments),
        T(test_overlap_and_number),
        T(test_truncated),
        T(test_without_multiboot),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
