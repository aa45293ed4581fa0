/* SPDX-License-Identifier: MIT */
/* links: vmm/dev/virtio_blk.c vmm/dev/cow.c vmm/dev/virtio.c vmm/dev/virtq.c vmm/dev/pci.c */
/* links: vmm/dev/pci_msix.c vmm/bus.c lib/log.c lib/format.c */
/* links: tests/unit/fake_host.c tests/unit/fake_pci.c tests/unit/fake_driver.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <string.h>

#include "tests/unit/fake_driver.h"
#include "vmm/dev/virtio_blk.h"

#define SECTORS 20 /* the last one is short in the file */
#define BUFFER  (DRIVER_DATA + 0x1000)
#define STATUS  (DRIVER_DATA + 0x800)

static struct vm *vm;
static struct fake_driver d;
static u8 file[SECTORS * 512 - 100];

static int setup(void **state)
{
    struct pci_bus *bus;

    (void)state;
    vm = fake_vm(1, MiB(10));
    fake_pci_clear();
    for (u32 i = 0; i < sizeof(file); i++)
        file[i] = (u8)(i * 7 + i / 256);
    bus = pci_create(vm, NULL, NULL);
    if (!bus || !virtio_blk_create(vm, bus, "a-name-longer-than-20-chars", file, sizeof(file)))
        return 1;
    driver_find(&d, vm, 1);
    driver_start(&d, F_VERSION_1, 1);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fake_vm_free(vm);
    return 0;
}

/* A request with n bytes of data at BUFFER; returns its status. */
static u8 request(u32 type, u64 sector, u32 n, bool to_guest)
{
    const struct {
        u32 type, reserved;
        u64 sector;
    } header = {type, 0, sector};
    u16 done = driver_used(&d, 0);

    memcpy(vm->ram + DRIVER_DATA, &header, sizeof(header));
    vm->ram[STATUS] = 0xee;
    driver_desc(&d, 0, 0, DRIVER_DATA, sizeof(header), DESC_NEXT, n ? 1 : 2);
    driver_desc(&d, 0, 1, BUFFER, n, DESC_NEXT | (to_guest ? DESC_WRITE : 0), 2);
    driver_desc(&d, 0, 2, STATUS, 1, DESC_WRITE, 0);
    driver_offer(&d, 0, 0);
    driver_notify(&d, 0);
    assert_int_equal(driver_used(&d, 0), (u16)(done + 1));
    return vm->ram[STATUS];
}

static void test_config(void **state)
{
    (void)state;
    assert_int_equal(fake_read(vm, d.device, 8), SECTORS);
    assert_int_equal(fake_read(vm, d.device + 8, 4), 65536);
    assert_int_equal(fake_read(vm, d.device + 12, 4), 64);
    assert_int_equal(fake_read(vm, d.device + 20, 4), 512);
    assert_int_equal(fake_read(vm, d.device + 24, 4), 0);
}

static void test_read(void **state)
{
    static const u8 zeroes[100];

    (void)state;
    assert_int_equal(request(0, 3, 12 * 512, true), 0); /* across pages */
    assert_memory_equal(vm->ram + BUFFER, file + 3 * 512, 12 * 512);
    assert_int_equal(driver_used_len(&d, 0, 0), 12 * 512 + 1);
    assert_int_equal(request(0, SECTORS - 1, 512, true), 0);
    assert_memory_equal(vm->ram + BUFFER, file + (SECTORS - 1) * 512, 412);
    assert_memory_equal(vm->ram + BUFFER + 412, zeroes, 100);
}

static void test_write(void **state)
{
    u8 before[sizeof(file)];

    (void)state;
    memcpy(before, file, sizeof(file));
    memset(vm->ram + BUFFER, 0xab, 10 * 512);
    assert_int_equal(request(1, 4, 10 * 512, false), 0);
    assert_memory_equal(file, before, sizeof(file)); /* the original stays */
    assert_int_equal(request(0, 0, SECTORS * 512, true), 0);
    assert_memory_equal(vm->ram + BUFFER, file, 4 * 512);
    for (u32 i = 4 * 512; i < 14 * 512; i++)
        assert_int_equal(vm->ram[BUFFER + i], 0xab);
    assert_memory_equal(vm->ram + BUFFER + 14 * 512, file + 14 * 512, sizeof(file) - 14 * 512);
}

static void test_out_of_range(void **state)
{
    (void)state;
    assert_int_equal(request(0, SECTORS, 512, true), 1);
    assert_int_equal(request(0, SECTORS - 1, 1024, true), 1);
    assert_int_equal(request(0, ~0ull, 512, true), 1);
    assert_int_equal(request(1, ~0ull / 512, 512, false), 1);
    assert_int_equal(request(0, 0, 100, true), 1); /* no whole sectors */
    assert_int_equal(request(0, 0, MiB(5), true), 1);
    assert_int_equal(driver_get(&d, 0x14, 1), 0xf);
}

static void test_other_requests(void **state)
{
    (void)state;
    assert_int_equal(request(4, 0, 0, true), 0); /* flush */
    assert_int_equal(request(8, 0, 20, true), 0);
    assert_memory_equal(vm->ram + BUFFER, "a-name-longer-than-2", 20);
    assert_int_equal(request(11, 0, 512, false), 2); /* discard is not offered */
    assert_int_equal(request(0xffffffff, 0, 0, true), 2);
}

static void test_no_memory_to_write(void **state)
{
    (void)state;
    vm->allocs_left = 0;
    assert_int_equal(request(1, 0, 512, false), 1);
    assert_int_equal(request(0, 0, 512, true), 0);
    assert_memory_equal(vm->ram + BUFFER, file, 512);
    vm->allocs_left = 2;
    assert_int_equal(request(1, 0, 512, false), 0);
}

static void test_broken_requests(void **state)
{
    (void)state;
    driver_desc(&d, 0, 0, DRIVER_DATA, 16, 0, 0); /* no status */
    driver_offer(&d, 0, 0);
    driver_notify(&d, 0);
    assert_int_equal(driver_get(&d, 0x14, 1), 0x4f);
    driver_start(&d, F_VERSION_1, 1);
    driver_desc(&d, 0, 0, DRIVER_DATA, 15, DESC_NEXT, 1); /* a short header */
    driver_desc(&d, 0, 1, STATUS, 1, DESC_WRITE, 0);
    driver_offer(&d, 0, 0);
    driver_notify(&d, 0);
    assert_int_equal(driver_get(&d, 0x14, 1), 0x4f);
    assert_int_equal(driver_used(&d, 0), 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_config),          T(test_read),           T(test_write),
        T(test_out_of_range),    T(test_other_requests), T(test_no_memory_to_write),
        T(test_broken_requests),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
