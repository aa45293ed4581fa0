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

#define HEADER 0x400
#define IMAGE  0x3000

static struct load_test *t;

static void put_mb1(u32 flags)
{
    put32(t, HEADER, 0x1badb002);
    put32(t, HEADER + 4, flags);
    put32(t, HEADER + 8, -(0x1badb002 + flags));
}

static u32 tag_end;

/* A multiboot2 header; tags follow by put_tag(), up to put_end(). */
static void put_mb2(void)
{
    put32(t, HEADER, 0xe85250d6);
    put32(t, HEADER + 4, 0);
    tag_end = HEADER + 16;
}

static void put_tag(u16 type, u16 flags, u32 nr, const u32 *words)
{
    put32(t, tag_end, type | flags << 16);
    put32(t, tag_end + 4, 8 + nr * 4);
    for (u32 i = 0; i < nr; i++)
        put32(t, tag_end + 8 + 4 * i, words[i]);
    tag_end += ALIGN_UP(8 + nr * 4, 8);
}

static void put_end(void)
{
    put_tag(0, 0, 0, NULL);
    put32(t, HEADER + 8, tag_end - HEADER);
    put32(t, HEADER + 12, -(0xe85250d6 + tag_end - HEADER));
}

#define WORDS(...)                              \
    (sizeof((u32[]){__VA_ARGS__}) / 4), (u32[]) \
    {                                           \
        __VA_ARGS__                             \
    }

static int setup(void **state)
{
    (void)state;
    t = load_test_new();
    put_elf32(t, 0x1000, 0x100000, 0x1000, 0x2000);
    memset(t->image + 0x1000, 0x5a, 0x1000);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    load_test_free(t);
    return 0;
}

static const char *text_at(gpa_t at)
{
    assert_true(at < t->vm->ram_size);
    return (const char *)t->vm->ram + at;
}

static void add_module(const char *name, const char *args, u64 size)
{
    struct load_file *m = &t->modules[t->rq.nr_modules++];

    *m = (struct load_file){name, args, t->image + 0x1000, size};
}

static void test_mb1_information(void **state)
{
    u32 info, mods;

    (void)state;
    put_mb1(3);
    add_module("m1", "x y", 0x1001);
    add_module("m2", NULL, 0);
    load_ok(t, IMAGE);
    assert_int_equal(t->start.mode, START_PROT32);
    assert_int_equal(t->start.rip, 0x100010);
    assert_int_equal(t->start.rax, 0x2badb002);
    info = t->start.rbx;
    assert_true(info >= 0x10000 && info < 0x90000);
    assert_int_equal(ram32(t, info), 0x24d); /* memory, command line, modules, map, name */
    assert_int_equal(ram32(t, info + 4), 640);
    assert_int_equal(ram32(t, info + 8), 63 * 1024);
    assert_string_equal(text_at(ram32(t, info + 16)), "k.elf a=1 b");
    assert_string_equal(text_at(ram32(t, info + 64)), "Nidus");
    assert_int_equal(ram32(t, info + 20), 2);
    mods = ram32(t, info + 24);
    assert_int_equal(ram32(t, mods), 0x102000); /* behind the kernel's bss */
    assert_int_equal(ram32(t, mods + 4), 0x103001);
    assert_string_equal(text_at(ram32(t, mods + 8)), "m1 x y");
    assert_int_equal(ram32(t, mods + 12), 0);
    assert_int_equal(ram32(t, mods + 16), 0x104000);
    assert_int_equal(ram32(t, mods + 20), 0x104000);
    assert_string_equal(text_at(ram32(t, mods + 24)), "m2");
    assert_int_equal(ram32(t, 0x102000), 0x5a5a5a5a);
}

static void test_mb1_memory_map(void **state)
{
    u32 info, at;

    (void)state;
    put_mb1(0);
    load_ok(t, IMAGE);
    info = t->start.rbx;
    assert_int_equal(ram32(t, info + 44), 3 * 24);
    at = ram32(t, info + 48) + 48; /* the third entry */
    assert_int_equal(ram32(t, at), 20);
    assert_int_equal(ram32(t, at + 4), 0x100000);
    assert_int_equal(ram32(t, at + 8), 0);
    assert_int_equal(ram32(t, at + 12), MiB(63));
    assert_int_equal(ram32(t, at + 20), 1);
}

static void test_start_state(void **state)
{
    u64 code, data;

    (void)state;
    put_mb1(0);
    load_ok(t, IMAGE);
    assert_int_equal(t->start.cs, 8);
    assert_int_equal(t->start.ds, 16);
    assert_int_equal(t->start.gdt_limit, 23);
    assert_int_equal(guest_read(t->vm, t->start.gdt_base + 8, &code, 8), 0);
    assert_int_equal(guest_read(t->vm, t->start.gdt_base + 16, &data, 8), 0);
    assert_int_equal(code, 0x00cf9b000000ffff); /* flat 4 GiB, 32 bits, execute and read */
    assert_int_equal(data, 0x00cf93000000ffff);
}

static void test_mb1_required_features(void **state)
{
    (void)state;
    put_mb1(4);
    load_fails(t, IMAGE, "'k.elf': its multiboot header requires a video mode");
    put_mb1(0x8008);
    load_fails(t, IMAGE, "requires unknown features (flags 0x8008)");
    put_mb1(0xfffe0000); /* optional ones may be unknown */
    load_ok(t, IMAGE);
}

static void test_header_search(void **state)
{
    (void)state;
    put_mb1(0);
    put32(t, HEADER + 8, 1);
    load_fails(t, IMAGE, "without a multiboot header"); /* the checksum */
    memset(t->image + HEADER, 0, 12);
    put32(t, 8192 - 12, 0x1badb002);
    put32(t, 8192 - 8, 0);
    put32(t, 8192 - 4, -0x1badb002u);
    load_ok(t, IMAGE);
    put32(t, 8192 - 12, 0);
    put32(t, 8192 - 8, 0x1badb002);
    put32(t, 8192 - 4, 0);
    put32(t, 8192, -0x1badb002u);
    load_fails(t, IMAGE, "without a multiboot header"); /* not all of it in the first 8 KiB */
}

static void test_mb1_addresses(void **state)
{
    (void)state;
    memset(t->image, 0, 52); /* no ELF file */
    put_mb1(BIT(16));
    put32(t, HEADER + 12, 0x200400); /* header_addr: the file's start is at 0x200000 */
    put32(t, HEADER + 16, 0x200000);
    put32(t, HEADER + 20, 0x201800);
    put32(t, HEADER + 24, 0x204000);
    put32(t, HEADER + 28, 0x200abc);
    load_ok(t, IMAGE);
    assert_int_equal(t->start.rip, 0x200abc);
    assert_int_equal(ram32(t, 0x200400), 0x1badb002);
    assert_int_equal(ram32(t, 0x2017fc), 0x5a5a5a5a);
    assert_int_equal(ram32(t, 0x201800), 0);
    assert_int_equal(ram32(t, 0x203ffc), 0);
    put32(t, HEADER + 16, 0x200200); /* without the first 0x200 bytes */
    put32(t, HEADER + 20, 0);        /* to the end of the file */
    put32(t, HEADER + 24, 0);        /* no bss */
    load_ok(t, IMAGE);
    assert_int_equal(ram32(t, 0x202ffc), 0);
    assert_int_equal(ram32(t, 0x203000), 0); /* from before */
}

static void test_mb1_bad_addresses(void **state)
{
    static const struct {
        u32 header, load, load_end, bss_end;
        const char *text;
    } cases[] = {
        {0x200400, 0x200401, 0, 0, "lie outside of the file"},
        {0x200401, 0x200000, 0, 0, "lie outside of the file"},
        {0x200400, 0x200000, 0x1fffff, 0, "go beyond the file"},
        {0x200400, 0x200000, 0x203001, 0, "go beyond the file"},
        {0x200400, 0x200000, 0x202000, 0x201fff, "below the load end"},
        {0x200400, 0x200000, 0x202000, 0x1fffff, "below the load end"},
        {0x200400, 0x200000, 0x200000, 0, "not all free guest RAM"},
        {0x200400, 0x200000, 0, 0xffffffff, "not all free guest RAM"},
        {0xfffff400, 0xfffff000, 0, 0, "not all free guest RAM"},
    };

    (void)state;
    put_mb1(BIT(16));
    for (u32 i = 0; i < ARRAY_SIZE(cases); i++) {
        put32(t, HEADER + 12, cases[i].header);
        put32(t, HEADER + 16, cases[i].load);
        put32(t, HEADER + 20, cases[i].load_end);
        put32(t, HEADER + 24, cases[i].bss_end);
        load_fails(t, IMAGE, cases[i].text);
    }
    load_fails(t, HEADER + 31, "multiboot header cut short");
}

static void put_sections(void)
{
    static const Elf32_Shdr sections[3] = {
        {0},
        {1, SHT_SYMTAB, 0, 0, 0x1000, 0x30, 2, 0, 4, 16},
        {2, SHT_STRTAB, 0, 0, 0x1800, 0x10, 0, 0, 1, 0},
    };
    Elf32_Ehdr *h = (Elf32_Ehdr *)t->image;

    h->e_shoff = 0x2800;
    h->e_shentsize = sizeof(sections[0]);
    h->e_shnum = 3;
    h->e_shstrndx = 2;
    memcpy(t->image + 0x2800, sections, sizeof(sections));
    memset(t->image + 0x1800, 0x77, 0x10);
}

static void check_sections(gpa_t at)
{
    Elf32_Shdr s[3];

    assert_int_equal(guest_read(t->vm, at, s, sizeof(s)), 0);
    assert_int_equal(s[0].sh_addr, 0);
    assert_int_equal(s[1].sh_addr, 0x102000); /* from the file, on a page behind the kernel */
    assert_int_equal(s[2].sh_addr, 0x103000);
    assert_int_equal(s[1].sh_size, 0x30);
    assert_int_equal(ram32(t, s[1].sh_addr), 0x5a5a5a5a);
    assert_int_equal(ram32(t, s[2].sh_addr + 12), 0x77777777);
}

static void test_mb1_sections(void **state)
{
    u32 info;

    (void)state;
    put_mb1(0);
    put_sections();
    add_module("m", NULL, 1);
    load_ok(t, IMAGE);
    info = t->start.rbx;
    assert_true(ram32(t, info) & BIT(5));
    assert_int_equal(ram32(t, info + 28), 3);
    assert_int_equal(ram32(t, info + 32), 40);
    assert_int_equal(ram32(t, info + 40), 2);
    check_sections(ram32(t, info + 36));
    assert_int_equal(ram32(t, ram32(t, info + 24)), 0x104000); /* the module comes behind them */
}

static void test_bad_sections_are_none(void **state)
{
    Elf32_Ehdr *h = (Elf32_Ehdr *)t->image;

    (void)state;
    put_mb1(0);
    put_sections();
    h->e_shstrndx = 3;
    load_ok(t, IMAGE);
    assert_false(ram32(t, t->start.rbx) & BIT(5));
    h->e_shstrndx = 2;
    h->e_shoff = IMAGE - 40;
    load_ok(t, IMAGE);
    assert_false(ram32(t, t->start.rbx) & BIT(5));
    h->e_shoff = 0x2800;
    ((Elf32_Shdr *)(t->image + 0x2800))[1].sh_offset = ~0u; /* the header is passed on as it is */
    load_ok(t, IMAGE);
    assert_true(ram32(t, t->start.rbx) & BIT(5));
}

/* Address of the payload of an information tag; 0 if there is none. Checks the structure on the way. */
static gpa_t find_info(u32 type, u32 *size)
{
    gpa_t info = t->start.rbx, at = info + 8, end = info + ram32(t, info);

    assert_int_equal(info & 7, 0);
    while (at < end) {
        u32 tag = ram32(t, at);

        *size = ram32(t, at + 4);
        assert_true(*size >= 8 && at + *size <= end);
        if (tag == 0)
            assert_true(*size == 8 && at + 8 == end);
        if (tag == type)
            return at + 8;
        at += ALIGN_UP((u64)*size, 8);
    }
    return 0;
}

static void test_mb2_information(void **state)
{
    gpa_t at;
    u32 size;

    (void)state;
    put_mb2();
    put_tag(1, 0, WORDS(1, 2, 3, 4, 6, 9, 21));
    put_tag(6, 0, 0, NULL);
    put_end();
    put_sections();
    add_module("m1", "x", 5);
    load_ok(t, IMAGE);
    assert_int_equal(t->start.rax, 0x36d76289);
    assert_int_equal(t->start.rip, 0x100010);
    assert_int_equal(ram32(t, t->start.rbx + 4), 0);
    assert_string_equal(text_at(find_info(1, &size)), "k.elf a=1 b");
    assert_int_equal(size, 8 + 12);
    assert_string_equal(text_at(find_info(2, &size)), "Nidus");
    at = find_info(3, &size);
    assert_int_equal(ram32(t, at), 0x104000);
    assert_int_equal(ram32(t, at + 4), 0x104005);
    assert_string_equal(text_at(at + 8), "m1 x");
    at = find_info(4, &size);
    assert_int_equal(ram32(t, at), 640);
    assert_int_equal(ram32(t, at + 4), 63 * 1024);
    at = find_info(6, &size);
    assert_int_equal(size, 16 + 3 * 24);
    assert_int_equal(ram32(t, at), 24);
    assert_int_equal(ram32(t, at + 4), 0);
    assert_int_equal(ram32(t, at + 8 + 24), 0xe0000);
    assert_int_equal(ram32(t, at + 8 + 24 + 16), 2);
    at = find_info(9, &size);
    assert_int_equal(ram32(t, at), 3);
    assert_int_equal(ram32(t, at + 4), 40);
    assert_int_equal(ram32(t, at + 8), 2);
    check_sections(at + 12);
    at = find_info(21, &size);
    assert_int_equal(ram32(t, at), 0x100000);
    assert_int_equal(find_info(15, &size), 0);
    assert_int_not_equal(find_info(0, &size), 0);
}

static void test_mb2_rsdp(void **state)
{
    u32 size;
    gpa_t at;

    (void)state;
    put_mb2();
    put_tag(1, 0, WORDS(15));
    put_end();
    load_fails(t, IMAGE, "requires information that a VM cannot give: ACPI RSDP (15)");
    memcpy(t->vm->ram + 0xe0000, "RSD PTR and so on", 18);
    t->rq.rsdp = 0xe0000;
    load_ok(t, IMAGE);
    at = find_info(15, &size);
    assert_int_equal(size, 8 + 36);
    assert_string_equal(text_at(at), "RSD PTR and so on");
    t->rq.rsdp = 0xc0000; /* no RAM */
    load_fails(t, IMAGE, "boot information cannot be written");
}

static void test_mb2_refusals(void **state)
{
    static const struct {
        u16 type;
        u32 word;
        const char *text;
    } cases[] = {
        {1, 5, "cannot give: BIOS boot device (5)"},
        {1, 7, "cannot give: VBE information (7)"},
        {1, 12, "cannot give: EFI 64-bit system table (12)"},
        {1, 99, "cannot give: unknown tag (99)"},
        {5, 1024, "requires a framebuffer"},
        {7, 0, "requires EFI boot services"},
        {77, 0, "requires unknown tag 77"},
    };

    (void)state;
    for (u32 i = 0; i < ARRAY_SIZE(cases); i++) {
        put_mb2();
        put_tag(cases[i].type, 0, 1, &cases[i].word);
        put_end();
        load_fails(t, IMAGE, cases[i].text);
        put_mb2();
        put_tag(cases[i].type, 1, 1, &cases[i].word); /* optional */
        put_end();
        load_ok(t, IMAGE);
    }
}

static void test_mb2_ignored(void **state)
{
    (void)state;
    put_mb2();
    put_tag(4, 0, WORDS(1));
    put_tag(8, 0, WORDS(0x1234));
    put_tag(9, 0, WORDS(0x1234));
    put_end();
    load_ok(t, IMAGE);
    assert_int_equal(t->start.rip, 0x100010);
}

static void test_mb2_entry(void **state)
{
    (void)state;
    put_mb2();
    put_tag(3, 0, WORDS(0x100800));
    put_end();
    load_ok(t, IMAGE);
    assert_int_equal(t->start.rip, 0x100800);
}

static void test_mb2_addresses(void **state)
{
    u32 size;

    (void)state;
    memset(t->image, 0, 52);
    put_mb2();
    put_tag(2, 0, WORDS(0x300400, ~0u, 0, 0));
    put_end();
    load_fails(t, IMAGE, "an address tag but no entry address tag");
    put_mb2();
    put_tag(2, 0, WORDS(0x300400, ~0u, 0, 0)); /* all of the file */
    put_tag(3, 0, WORDS(0x300008));
    put_end();
    load_ok(t, IMAGE);
    assert_int_equal(t->start.rip, 0x300008);
    assert_int_equal(ram32(t, 0x300400), 0xe85250d6);
    assert_int_equal(ram32(t, find_info(21, &size)), 0x300000);
}

static void put_relocatable(u32 min, u32 max, u32 align, u32 preference)
{
    put_mb2();
    put_tag(10, 0, WORDS(min, max, align, preference));
    put_end();
}

static void test_mb2_relocatable(void **state)
{
    u32 size;

    (void)state;
    put_relocatable(0x100000, 0xffffff, 0x1000, 0);
    load_ok(t, IMAGE); /* where it is linked is allowed and free */
    assert_int_equal(t->start.rip, 0x100010);
    put_relocatable(0x180000, 0xffffff, 0x100000, 1);
    load_ok(t, IMAGE);
    assert_int_equal(t->start.rip, 0x200010);
    assert_int_equal(ram32(t, 0x200000), 0x5a5a5a5a);
    assert_int_equal(ram32(t, 0x201ffc), 0);
    assert_int_equal(ram32(t, find_info(21, &size)), 0x200000);
    put_relocatable(0x180000, 0xffffff, 0, 2);
    load_ok(t, IMAGE);
    assert_int_equal(ram32(t, find_info(21, &size)), 0xffe000);
    ((Elf32_Phdr *)(t->image + 52))->p_paddr = 0x3fff000; /* not in RAM: from 64 MiB - 4 KiB */
    put_relocatable(0, 0xffffffff, 0x1000, 1);
    load_ok(t, IMAGE);
    assert_int_equal(ram32(t, find_info(21, &size)), 0x100000);
    put_relocatable(0x100000, 0x100fff, 0x1000, 0);
    load_fails(t, IMAGE, "no free guest RAM for it between 0x100000 and 0x100fff");
    put_relocatable(0x100000, 0xffffff, 0x1001, 0);
    load_fails(t, IMAGE, "malformed multiboot2 header tag 10");
}

static void test_mb2_malformed(void **state)
{
    (void)state;
    put_mb2();
    put_tag(3, 0, 0, NULL);
    put_end();
    load_fails(t, IMAGE, "malformed multiboot2 header tag 3");
    put_mb2();
    put_tag(4, 1, WORDS(0));
    put_end();
    put32(t, HEADER + 20, 7);
    load_fails(t, IMAGE, "malformed multiboot2 header tag 4");
    put32(t, HEADER + 20, ~0u);
    load_fails(t, IMAGE, "malformed multiboot2 header tag 4");
    put32(t, HEADER + 20, 24); /* up to the very end */
    load_fails(t, IMAGE, "without an end tag");
    put_mb2();
    put_end();
    load_fails(t, HEADER + 20, "multiboot2 header cut short");
    put32(t, HEADER + 4, 4);
    put32(t, HEADER + 12, -(0xe85250d6 + 4 + 24));
    load_fails(t, IMAGE, "architecture 4, not x86");
}

static void test_first_version_wins(void **state)
{
    (void)state;
    put_mb2();
    put_end();
    put32(t, 0x800, 0x1badb002);
    put32(t, 0x808, -0x1badb002u);
    load_ok(t, IMAGE);
    assert_int_equal(t->start.rax, 0x2badb002);
}

static void test_modules_and_initrd(void **state)
{
    (void)state;
    put_mb1(0);
    add_module("big.img", NULL, IMAGE_MAX - 0x1000);
    t->rq.memory = MiB(1) + 0x2000 + 0x1000;
    load_fails(t, IMAGE, "'big.img': no room for this module of 126976 bytes");
    t->rq.memory = MiB(64);
    t->rq.initrd = &t->initrd;
    t->initrd.name = "rd.gz";
    load_fails(t, IMAGE, "'rd.gz': initrd is for Linux");
    t->rq.initrd = NULL;
    t->rq.nr_modules = 25;
    load_fails(t, IMAGE, "25 modules are too many");
}

static void test_bios(void **state)
{
    (void)state;
    put_mb1(0);
    load_ok(t, IMAGE);
    for (u32 i = 0; i < 256; i++) {
        u32 vector = ram32(t, 4 * i), at = (vector >> 16 << 4) + (vector & 0xffff);
        bool ignored = i < 0x10 || (i >= 0x70 && i <= 0x77);

        assert_int_equal(vector >> 16, 0xf000);
        if (i == 0x12)
            assert_int_equal(ram32(t, at), 0xcf0280b8); /* mov ax, 640; iret */
        else if (ignored)
            assert_int_equal(ram32(t, at) & 0xff, 0xcf);
        else
            assert_memory_equal(t->vm->ram + at, "\x55\x89\xe5\x80\x4e\x06\x01\x5d\xb4\x86\xcf", 11);
    }
    assert_int_equal(ram32(t, 0x400), 0x3f8);
    assert_int_equal(ram32(t, 0x40c), 0); /* no extended BIOS data area */
    assert_int_equal(ram32(t, 0x413), 640);
}

static void test_bios_leaves_the_kernel_alone(void **state)
{
    (void)state;
    put_mb1(0);
    put_elf32(t, 0x1000, 0x4ff, 0x1000, 0x1000);
    load_ok(t, IMAGE);
    assert_int_equal(ram32(t, 0), 0xcccccccc); /* as it was */
    assert_int_equal(ram32(t, 0x500), 0x5a5a5a5a);
    put_elf32(t, 0x1000, 0x500, 0x1000, 0x1000);
    load_ok(t, IMAGE);
    assert_int_equal(ram32(t, 0x500), 0x5a5a5a5a);
    assert_int_equal(ram32(t, 0x10), 0xf000ff53);
}

static void test_low_memory_taken(void **state)
{
    (void)state;
    put_mb1(0);
    put_elf32(t, 0x1000, 0x1000, 0x1000, 0x9e000);
    load_ok(t, IMAGE); /* what usually goes below 640 KiB goes behind */
    assert_true(t->start.rbx >= 0x100000);
    assert_true(t->start.gdt_base >= 0x100000);
}

static void test_truncated(void **state)
{
    (void)state;
    put_mb2();
    put_tag(1, 0, WORDS(1, 2, 3, 4));
    put_tag(3, 0, WORDS(0x100800));
    put_end();
    put_sections();
    t->rq.kernel.size = IMAGE;
    load_truncated(t, 0x2000);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_mb1_information),
        T(test_mb1_memory_map),
        T(test_start_state),
        T(test_mb1_required_features),
        T(test_header_search),
        T(test_mb1_addresses),
        T(test_mb1_bad_addresses),
        T(test_mb1_sections),
        T(test_bad_sections_are_none),
        T(test_mb2_information),
        T(test_mb2_rsdp),
        T(test_mb2_refusals),
        T(test_mb2_ignored),
        T(test_mb2_entry),
        T(test_mb2_addresses),
        T(test_mb2_relocatable),
        T(test_mb2_malformed),
        T(test_first_version_wins),
        T(test_bios),
        T(test_bios_leaves_the_kernel_alone),
        T(test_modules_and_initrd),
        T(test_low_memory_taken),
        T(test_truncated),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
