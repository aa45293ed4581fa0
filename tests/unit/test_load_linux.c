/* SPDX-License-Identifier: MIT */
/* links: vmm/load.c vmm/load_util.c vmm/load_elf.c vmm/load_linux.c vmm/load_multiboot.c vmm/load_mbinfo.c */
/* links: vmm/load_bios.c lib/format.c vmm/bus.c tests/unit/fake_host.c tests/unit/load_test.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <asm/bootparam.h>
#include <string.h>

#include "tests/unit/load_test.h"

#define SETUP_BYTES 0x800 /* three sectors of set-up code */
#define IMAGE       0x3000

static struct load_test *t;

static struct setup_header *header(void)
{
    return &((struct boot_params *)t->image)->hdr;
}

static int setup(void **state)
{
    (void)state;
    t = load_test_new();
    memset(t->image, 0xee, SETUP_BYTES); /* what is not the header must not get into the zero page */
    memset(t->image + SETUP_BYTES, 0x5a, IMAGE - SETUP_BYTES);
    *header() = (struct setup_header){
        .setup_sects = 3,
        .boot_flag = 0xaa55,
        .jump = 0xeb | (0x26c - 0x202) << 8,
        .header = 0x53726448, /* HdrS */
        .version = 0x020f,
        .loadflags = LOADED_HIGH,
        .initrd_addr_max = 0x7fffffff,
        .kernel_alignment = 0x200000,
        .relocatable_kernel = 1,
        .xloadflags = XLF_KERNEL_64,
        .cmdline_size = 100,
        .pref_address = 0x1000000,
        .init_size = 0x100000,
        .hardware_subarch_data = 0x1122334455667788,
    };
    t->rq.kernel.name = "vmlinuz";
    t->rq.rsdp = 0xe0000;
    t->initrd = (struct load_file){"rd.gz", NULL, t->image + SETUP_BYTES, 0x1234};
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    load_test_free(t);
    return 0;
}

static struct boot_params zero_page(void)
{
    struct boot_params zp;

    assert_int_equal(guest_read(t->vm, t->start.rsi, &zp, sizeof(zp)), 0);
    return zp;
}

static u64 ram64(gpa_t at)
{
    return ram32(t, at) | (u64)ram32(t, at + 4) << 32;
}

static void test_kernel_and_state(void **state)
{
    (void)state;
    load_ok(t, IMAGE);
    assert_int_equal(t->start.mode, START_LONG64);
    assert_int_equal(t->start.rip, 0x1000200);
    assert_int_equal(ram32(t, 0x1000000), 0x5a5a5a5a);
    assert_int_equal(ram32(t, 0x1000000 + IMAGE - SETUP_BYTES - 4), 0x5a5a5a5a);
    assert_int_equal(ram32(t, 0x1000000 + IMAGE - SETUP_BYTES), 0xcccccccc);
    assert_int_equal(t->start.cs, 0x10);
    assert_int_equal(t->start.ds, 0x18);
    assert_int_equal(t->start.gdt_limit, 31);
    assert_int_equal(ram64(t->start.gdt_base + 0x10), 0x00af9b000000ffff); /* 64-bit code */
    assert_int_equal(ram64(t->start.gdt_base + 0x18), 0x00cf93000000ffff);
}

static void test_zero_page(void **state)
{
    struct boot_params zp;

    (void)state;
    t->rq.initrd = &t->initrd;
    load_ok(t, IMAGE);
    assert_int_equal(t->start.rsi & 0xfff, 0);
    zp = zero_page();
    assert_int_equal(zp.hdr.header, 0x53726448);
    assert_int_equal(zp.hdr.type_of_loader, 0xff);
    assert_int_equal(zp.hdr.hardware_subarch_data, 0x1122334455667788);
    assert_int_equal(zp.acpi_rsdp_addr, 0xe0000);
    assert_string_equal((char *)t->vm->ram + zp.hdr.cmd_line_ptr, "a=1 b");
    assert_int_equal(zp.sentinel, 0);
    assert_int_equal(zp.ext_ramdisk_image, 0);
    assert_int_equal(zp.e820_entries, 3);
    assert_int_equal(zp.e820_table[2].addr, 0x100000);
    assert_int_equal(zp.e820_table[2].size, MiB(63));
    assert_int_equal(zp.e820_table[2].type, 1);
    assert_int_equal(zp.e820_table[3].size, 0);
    assert_int_equal(zp.screen_info.orig_video_isVGA, 0);
    assert_int_equal(zp.eddbuf[0].device, 0);
    assert_int_equal(zp.hdr.ramdisk_image, MiB(64) - 0x2000); /* as high as possible */
    assert_int_equal(zp.hdr.ramdisk_size, 0x1234);
    assert_int_equal(ram32(t, MiB(64) - 0x2000), 0x5a5a5a5a);
}

/* Linux puts its trampoline below 0x9f000 and must not find its page tables or parameters there. */
static void test_structures_are_low_and_apart(void **state)
{
    gpa_t zp, tables, gdt, cmdline;

    (void)state;
    load_ok(t, IMAGE);
    zp = t->start.rsi;
    tables = t->start.cr3;
    gdt = t->start.gdt_base;
    cmdline = zero_page().hdr.cmd_line_ptr;
    assert_true(zp >= 0x10000 && zp + 0x1000 <= 0x90000);
    assert_true(tables >= 0x10000 && tables + 0x6000 <= 0x90000);
    assert_true(cmdline >= 0x10000 && cmdline + 6 <= 0x90000);
    assert_true(gdt >= 0x10000 && gdt + 32 <= 0x90000);
    assert_true(tables >= zp + 0x1000 || tables + 0x6000 <= zp);
    assert_true(gdt >= tables + 0x6000 && cmdline >= tables + 0x6000);
    assert_true(gdt >= cmdline + 6 || gdt + 32 <= cmdline);
}

static gpa_t walk(gpa_t address)
{
    u64 pml4e = ram64(t->start.cr3 + (address >> 39 & 511) * 8);
    u64 pdpte = ram64((pml4e & ~0xfffull) + (address >> 30 & 511) * 8);
    u64 pde = ram64((pdpte & ~0xfffull) + (address >> 21 & 511) * 8);

    assert_int_equal(pml4e & 0xfff, 3);
    assert_int_equal(pdpte & 0xfff, 3);
    assert_int_equal(pde & 0xfff, 0x83);
    return (pde & ~0xfffull) + (address & (MiB(2) - 1));
}

static void test_page_tables(void **state)
{
    (void)state;
    load_ok(t, IMAGE);
    assert_int_equal(walk(0), 0);
    assert_int_equal(walk(0x1000200), 0x1000200);
    assert_int_equal(walk(0x12345678), 0x12345678);
    assert_int_equal(walk(0xfee00000), 0xfee00000);
    assert_int_equal(walk(0xffffffff), 0xffffffff);
    assert_int_equal(ram64(t->start.cr3 + 8), 0);
    assert_int_equal(ram64(t->start.cr3 + 0x1000 + 4 * 8), 0);
}

static void test_setup_sects_0_means_4(void **state)
{
    (void)state;
    header()->setup_sects = 0;
    memset(t->image + 0xa00, 0x11, 0x300);
    load_ok(t, IMAGE);
    assert_int_equal(ram32(t, 0x1000000), 0x11111111);
}

static void test_relocation(void **state)
{
    (void)state;
    header()->pref_address = MiB(64) - 0x80000; /* only half of what it needs to start */
    load_ok(t, IMAGE);
    assert_int_equal(t->start.rip, 0x200200); /* by its alignment */
    header()->init_size = MiB(63);
    load_fails(t, IMAGE, "'vmlinuz': no room in guest memory: it needs 64512 KiB");
    header()->init_size = 0x100000;
    header()->relocatable_kernel = 0;
    load_fails(t, IMAGE, "needs 1024 KiB at 0x3f80000");
    header()->pref_address = ~0ull;
    load_fails(t, IMAGE, "at 0xffffffffffffffff");
    header()->pref_address = 0x100000;
    load_ok(t, IMAGE);
    assert_int_equal(t->start.rip, 0x100200);
}

static void test_initrd_places(void **state)
{
    (void)state;
    t->rq.initrd = &t->initrd;
    header()->initrd_addr_max = 0x2ffffff;
    load_ok(t, IMAGE);
    assert_int_equal(zero_page().hdr.ramdisk_image, 0x2ffe000);
    header()->pref_address = 0x2e00000; /* the kernel's need is in the way up to 0x2f00000 */
    header()->initrd_addr_max = 0x2f00fff;
    load_ok(t, IMAGE);
    assert_int_equal(zero_page().hdr.ramdisk_image, 0x2dfe000);
    header()->initrd_addr_max = 0x100fff;
    load_fails(t, IMAGE, "'rd.gz': no room for this initrd of 4 KiB in guest memory below 0x101000");
    t->initrd.size = 0;
    load_ok(t, IMAGE);
    assert_int_equal(zero_page().hdr.ramdisk_size, 0);
}

static void test_refusals(void **state)
{
    (void)state;
    header()->version = 0x020b;
    load_fails(t, IMAGE, "'vmlinuz': Linux boot protocol 2.11; at least 2.12 is needed");
    header()->version = 0x020c;
    header()->xloadflags = 0;
    load_fails(t, IMAGE, "not a 64-bit Linux kernel");
    header()->xloadflags = XLF_KERNEL_64;
    header()->loadflags = 0;
    load_fails(t, IMAGE, "a zImage, not a bzImage");
    header()->loadflags = LOADED_HIGH;
    header()->jump = 0xeb | 0x65 << 8;
    load_fails(t, IMAGE, "Linux setup header ends at 0x267");
    header()->jump = 0xeb | 0x8f << 8;
    load_fails(t, IMAGE, "Linux setup header ends at 0x291");
    header()->jump = 0xeb | 0x66 << 8;
    header()->kernel_alignment = 0;
    load_fails(t, IMAGE, "alignment 0x0 is not a power of 2");
    header()->kernel_alignment = 0x300000;
    load_fails(t, IMAGE, "alignment 0x300000 is not a power of 2");
    header()->kernel_alignment = 0x80000000;
    load_ok(t, IMAGE);
    header()->cmdline_size = 4;
    load_fails(t, IMAGE, "command line longer than the 4 characters");
    header()->cmdline_size = 5;
    t->rq.nr_modules = 1;
    t->modules[0].name = "m.bin";
    load_fails(t, IMAGE, "'m.bin': modules are for multiboot kernels");
}

static void test_truncated(void **state)
{
    (void)state;
    t->rq.kernel.size = IMAGE;
    load_truncated(t, SETUP_BYTES + 0x201);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_kernel_and_state),
        T(test_zero_page),
        T(test_structures_are_low_and_apart),
        T(test_page_tables),
        T(test_setup_sects_0_means_4),
        T(test_relocation),
        T(test_initrd_places),
        T(test_refusals),
        T(test_truncated),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
