/* SPDX-License-Identifier: MIT */
/* Random numbers and the console. */
/* links: vmm/dev/virtio_rng.c vmm/dev/virtio_console.c vmm/dev/virtio.c vmm/dev/virtq.c vmm/dev/pci.c */
/* links: vmm/dev/pci_msix.c vmm/bus.c lib/log.c lib/format.c */
/* links: tests/unit/fake_host.c tests/unit/fake_pci.c tests/unit/fake_driver.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <string.h>

#include "tests/unit/fake_driver.h"
#include "vmm/dev/virtio.h"
#include "vmm/dev/virtio_console.h"
#include "vmm/dev/virtio_rng.h"

static struct vm *vm;
static struct fake_driver d;
static struct virtio *rng, *console;

static int setup(void **state)
{
    struct pci_bus *bus;

    (void)state;
    vm = fake_vm(1, MiB(2));
    fake_pci_clear();
    bus = pci_create(vm, NULL, NULL);
    rng = bus ? virtio_rng_create(vm, bus) : NULL;
    console = bus ? virtio_console_create(vm, bus) : NULL;
    return !rng || !console;
}

static int teardown(void **state)
{
    (void)state;
    fake_vm_free(vm);
    return 0;
}

static void start(u32 slot, u32 queues)
{
    driver_find(&d, vm, slot);
    driver_start(&d, F_VERSION_1, queues);
}

static void test_random(void **state)
{
    (void)state;
    start(1, 1);
    driver_desc(&d, 0, 0, DRIVER_DATA, 10, DESC_WRITE, 0);
    driver_desc(&d, 0, 1, DRIVER_DATA + 0x100, 1000, DESC_WRITE, 0);
    driver_offer(&d, 0, 0);
    driver_offer(&d, 0, 1);
    driver_notify(&d, 0);
    assert_int_equal(driver_used(&d, 0), 2);
    assert_int_equal(driver_used_len(&d, 0, 0), 10);
    assert_memory_equal(vm->ram + DRIVER_DATA, "\x5a\x5a\x5a\x5a\x5a\x5a\x5a\x5a\x5a\x5a\xcc", 11);
    assert_int_equal(driver_used_len(&d, 0, 1), 256); /* not more at once */
    assert_int_equal(vm->ram[DRIVER_DATA + 0x100 + 256], 0xcc);
}

static void test_random_without_a_buffer(void **state)
{
    (void)state;
    start(1, 1);
    driver_desc(&d, 0, 0, DRIVER_DATA, 10, 0, 0);
    driver_offer(&d, 0, 0);
    driver_notify(&d, 0);
    assert_int_equal(driver_used_len(&d, 0, 0), 0);
    assert_int_equal(driver_get(&d, 0x14, 1), 0xf);
}

static void test_output(void **state)
{
    (void)state;
    start(2, 2);
    memcpy(vm->ram + DRIVER_DATA, "hello, ", 7);
    memset(vm->ram + DRIVER_DATA + 0x100, 'x', 200);
    driver_desc(&d, 1, 0, DRIVER_DATA, 7, DESC_NEXT, 1);
    driver_desc(&d, 1, 1, DRIVER_DATA + 0x100, 200, 0, 0);
    driver_offer(&d, 1, 0);
    driver_notify(&d, 1);
    assert_int_equal(driver_used(&d, 1), 1);
    assert_int_equal(vm->console_size, 207);
    assert_memory_equal(vm->console, "hello, xxx", 10);
    assert_int_equal(vm->console[206], 'x');
}

static void test_input(void **state)
{
    (void)state;
    start(2, 2);
    assert_int_equal(virtio_console_receive(console, "abcdef", 6), 6);
    assert_int_equal(vm->polls, 1);
    assert_int_equal(vm->ram[DRIVER_DATA], 0xcc); /* not from here */
    console->class->poll(console);                /* no buffer yet */
    driver_desc(&d, 0, 0, DRIVER_DATA, 4, DESC_WRITE, 0);
    driver_desc(&d, 0, 1, DRIVER_DATA + 0x100, 16, DESC_WRITE, 0);
    driver_offer(&d, 0, 0);
    driver_offer(&d, 0, 1);
    driver_notify(&d, 0);
    assert_int_equal(driver_used(&d, 0), 2);
    assert_int_equal(driver_used_len(&d, 0, 0), 4);
    assert_int_equal(driver_used_len(&d, 0, 1), 2);
    assert_memory_equal(vm->ram + DRIVER_DATA, "abcd\xcc", 5);
    assert_memory_equal(vm->ram + DRIVER_DATA + 0x100, "ef\xcc", 3);
    virtio_console_receive(console, "g", 1);
    driver_offer(&d, 0, 0);
    console->class->poll(console);
    assert_int_equal(driver_used(&d, 0), 3);
    assert_int_equal(vm->ram[DRIVER_DATA], 'g');
}

static void test_input_is_bounded(void **state)
{
    static const char much[300];

    (void)state;
    start(2, 2);
    assert_int_equal(virtio_console_receive(console, much, sizeof(much)), 256);
    assert_int_equal(virtio_console_receive(console, much, 1), 0);
    driver_start(&d, F_VERSION_1, 2); /* a reset forgets it */
    assert_int_equal(virtio_console_receive(console, much, 1), 1);
}

static void test_much_is_left_for_later(void **state)
{
    (void)state;
    start(1, 1);
    for (u16 i = 0; i < DRIVER_QUEUE; i++)
        driver_desc(&d, 0, i, DRIVER_DATA, 1, DESC_WRITE, 0);
    for (u32 round = 0; round < 2; round++) { /* one notification takes 16, here never more than 8 */
        for (u16 i = 0; i < DRIVER_QUEUE; i++)
            driver_offer(&d, 0, i);
        driver_notify(&d, 0);
    }
    assert_int_equal(driver_used(&d, 0), 16);
    assert_int_equal(vm->polls, 0);
    start(2, 2);
    driver_desc(&d, 1, 0, DRIVER_DATA, 0x8000, 0, 0);
    driver_desc(&d, 1, 1, DRIVER_DATA, 1, 0, 0);
    driver_offer(&d, 1, 0);
    driver_offer(&d, 1, 1);
    driver_notify(&d, 1);
    assert_int_equal(driver_used(&d, 1), 1);
    assert_int_equal(vm->polls, 1);
    console->class->poll(console);
    assert_int_equal(driver_used(&d, 1), 2);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_random), T(test_random_without_a_buffer), T(test_output),
        T(test_input),  T(test_input_is_bounded),        T(test_much_is_left_for_later),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
