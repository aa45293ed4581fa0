/* SPDX-License-Identifier: MIT */
/* Network cards and the switch between them. */
/* links: vmm/dev/virtio_net.c vmm/dev/net_switch.c vmm/dev/virtio.c vmm/dev/virtq.c vmm/dev/pci.c */
/* links: vmm/dev/pci_msix.c vmm/bus.c lib/log.c lib/format.c lib/str_copy.c */
/* links: tests/unit/fake_host.c tests/unit/fake_pci.c tests/unit/fake_driver.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <string.h>

#include "tests/unit/fake_driver.h"
#include "vmm/dev/net_switch.h"
#include "vmm/dev/virtio.h"
#include "vmm/dev/virtio_net.h"

#define CARDS  3
#define HEADER 12

static struct vm *vm[CARDS];
static struct virtio *card[CARDS];
static struct fake_driver d[CARDS];

static int setup(void **state)
{
    (void)state;
    fake_pci_clear();
    for (u32 i = 0; i < CARDS; i++) {
        struct pci_bus *bus;

        vm[i] = fake_vm(1, MiB(2));
        bus = pci_create(vm[i], NULL, NULL);
        card[i] = bus ? virtio_net_create(vm[i], bus, "lan", (u8)i, 0) : NULL;
        if (!card[i])
            return 1;
        driver_find(&d[i], vm[i], 1);
        driver_start(&d[i], F_VERSION_1, 2);
        for (u16 n = 0; n < DRIVER_QUEUE; n++) {
            driver_desc(&d[i], 0, n, DRIVER_DATA + 0x1000 * n, 1600, DESC_WRITE, 0);
            driver_offer(&d[i], 0, n);
        }
        driver_notify(&d[i], 0);
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (u32 i = 0; i < CARDS; i++) {
        card[i]->class->leave(card[i]);
        fake_vm_free(vm[i]);
    }
    return 0;
}

/* The device address of a card; CARDS: of none; beyond: broadcast. */
static void put_mac(u8 *to, u32 i)
{
    const u8 mac[6] = {0x52, 0x4e, 0x44, 0, (u8)i, 0};

    memcpy(to, i > CARDS ? (const u8 *)"\xff\xff\xff\xff\xff\xff" : mac, 6);
}

static void send(u32 from, u32 to, u32 size, u8 fill)
{
    u8 *frame = vm[from]->ram + DRIVER_DATA + 0x10000 + HEADER;

    memset(frame - HEADER, 0, HEADER);
    memset(frame, fill, size);
    if (size >= NET_HEADER) {
        put_mac(frame, to);
        put_mac(frame + 6, from);
    }
    driver_desc(&d[from], 1, 0, DRIVER_DATA + 0x10000, HEADER + size, 0, 0);
    driver_offer(&d[from], 1, 0);
    driver_notify(&d[from], 1);
}

/* Frames that the driver of a card has got, after its VM has polled. */
static u32 got(u32 i)
{
    card[i]->class->poll(card[i]);
    return driver_used(&d[i], 0);
}

static void test_config(void **state)
{
    (void)state;
    assert_int_equal(fake_read(vm[2], d[2].device, 8), 0x1000200444e52);
}

static void test_unknown_goes_to_all(void **state)
{
    (void)state;
    send(0, 1, 100, 0x11);
    assert_int_equal(vm[1]->polls, 1);
    assert_int_equal(driver_used(&d[1], 0), 0); /* by its own VM only */
    assert_int_equal(got(0), 0);
    assert_int_equal(got(1), 1);
    assert_int_equal(got(2), 1);
    assert_int_equal(driver_used_len(&d[1], 0, 0), HEADER + 100);
    assert_int_equal(vm[1]->ram[DRIVER_DATA + 10], 1); /* num_buffers */
    assert_memory_equal(vm[1]->ram + DRIVER_DATA + HEADER, vm[0]->ram + DRIVER_DATA + 0x10000 + HEADER, 100);
    assert_int_equal(vm[1]->ram[DRIVER_DATA + HEADER + 100], 0xcc);
}

static void test_learned(void **state)
{
    (void)state;
    send(1, 0, 60, 0);
    assert_int_equal(got(0), 1);
    assert_int_equal(got(2), 1);
    send(0, 1, 60, 0);
    assert_int_equal(got(1), 1);
    assert_int_equal(got(2), 1); /* not for it */
    send(0, CARDS + 1, 60, 0);   /* broadcast */
    assert_int_equal(got(1), 2);
    assert_int_equal(got(2), 2);
    assert_int_equal(got(0), 1);
}

static void test_bad_sizes(void **state)
{
    (void)state;
    send(0, 1, 13, 0);
    send(0, 1, 1519, 0);
    send(0, 1, 0, 0);
    assert_int_equal(got(1), 0);
    send(0, 1, 14, 0);
    send(0, 1, 1518, 0);
    assert_int_equal(got(1), 2);
    assert_int_equal(driver_get(&d[0], 0x14, 1), 0xf);
    assert_int_equal(driver_used(&d[0], 1), 5);
}

static void test_queue_is_bounded(void **state)
{
    (void)state;
    for (u32 i = 0; i < 100; i++)
        send(0, 1, 60, (u8)i);
    assert_int_equal(got(1), DRIVER_QUEUE);
    for (u32 round = 0; round < 20; round++) { /* the driver gives its buffers again */
        for (u16 n = 0; n < DRIVER_QUEUE; n++)
            driver_offer(&d[1], 0, n);
        driver_notify(&d[1], 0);
        if (driver_used(&d[1], 0) < (round + 2) * DRIVER_QUEUE)
            break;
    }
    assert_int_equal(driver_used(&d[1], 0), NET_QUEUE);
}

static void test_small_buffer(void **state)
{
    (void)state;
    driver_desc(&d[1], 0, 0, DRIVER_DATA, HEADER + 59, DESC_WRITE, 0);
    send(0, 1, 60, 0);
    assert_int_equal(got(1), 1);
    assert_int_equal(driver_used_len(&d[1], 0, 0), 0);
    assert_int_equal(vm[1]->ram[DRIVER_DATA], 0xcc);
}

static void test_who_left_gets_nothing(void **state)
{
    (void)state;
    send(1, 0, 60, 0); /* its place is known */
    card[1]->class->leave(card[1]);
    send(0, 1, 60, 0);
    assert_int_equal(vm[1]->polls, 0);
    assert_int_equal(got(1), 0);
}

static void test_other_switch(void **state)
{
    static struct net_port port;

    (void)state;
    assert_int_equal(net_join(&port, vm[0], "elsewhere"), 0);
    send(0, CARDS + 1, 60, 0);
    assert_int_equal(port.in, 0);
    net_leave(&port);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_config),
        T(test_unknown_goes_to_all),
        T(test_learned),
        T(test_bad_sizes),
        T(test_queue_is_bounded),
        T(test_small_buffer),
        T(test_who_left_gets_nothing),
        T(test_other_switch),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
