/* SPDX-License-Identifier: MIT */
/* The virtio transport and its queues, with a device that counts and answers. */
/* links: vmm/dev/virtio.c vmm/dev/virtq.c vmm/dev/pci.c vmm/dev/pci_msix.c vmm/bus.c */
/* links: lib/log.c lib/format.c tests/unit/fake_host.c tests/unit/fake_pci.c tests/unit/fake_driver.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <string.h>

#include "tests/unit/fake_driver.h"
#include "vmm/dev/virtio.h"

static struct vm *vm;
static struct virtio dev;
static struct fake_driver d;
static u32 notified[2], resets;
static char text[16]; /* what the device read */

/* Takes what is there, reads up to 15 bytes, writes three. */
static void notify(struct virtio *v, u32 queue)
{
    notified[queue]++;
    while (virtio_pop(v, queue)) {
        u64 n = MIN(v->chain.to_read, sizeof(text) - 1);

        memset(text, 0, sizeof(text));
        if (n)
            virtq_read(&v->queue[queue], &v->chain, 0, text, n);
        if (v->chain.to_write)
            virtq_write(&v->queue[queue], &v->chain, 0, "abc", 3);
        virtio_push(v, queue, 3);
    }
    virtio_done(v, queue);
}

static void count_reset(struct virtio *v)
{
    (void)v;
    resets++;
}

static const struct virtio_class class = {.name = "test",
                                          .type = VIRTIO_BLK,
                                          .pci_class = 0x018000,
                                          .nr_queues = 2,
                                          .features = BIT(3),
                                          .notify = notify,
                                          .reset = count_reset};

static int setup(void **state)
{
    struct pci_bus *bus;

    (void)state;
    vm = fake_vm(1, MiB(2));
    fake_pci_clear();
    dev = (struct virtio){0};
    bus = pci_create(vm, NULL, NULL);
    if (!bus || virtio_create(&dev, vm, bus, &class, "config", 6))
        return 1;
    driver_find(&d, vm, 1);
    notified[0] = notified[1] = resets = 0;
    memset(vm->ram + DRIVER_RING(0), 0, 0x1000);
    memcpy(vm->ram + DRIVER_DATA, "hello world", 11);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fake_vm_free(vm);
    return 0;
}

static void start(u64 features)
{
    driver_start(&d, F_VERSION_1 | features, 2);
}

static void assert_broken(const char *why)
{
    assert_int_equal(driver_get(&d, 0x14, 1) & 0x40, 0x40);
    assert_string_equal(dev.queue[0].broken, why);
    assert_int_equal(driver_used(&d, 0), 0);
    /* A reset makes all good. */
    start(F_INDIRECT);
    assert_int_equal(driver_get(&d, 0x14, 1), 0xf);
    driver_desc(&d, 0, 0, DRIVER_DATA, 5, 0, 0);
    driver_offer(&d, 0, 0);
    driver_notify(&d, 0);
    assert_int_equal(driver_used(&d, 0), 1);
    assert_string_equal(text, "hello");
}

static void test_identity(void **state)
{
    (void)state;
    assert_int_equal(fake_pci_get(vm, 1, 0, 4), 0x10421af4);
    assert_int_equal(fake_pci_get(vm, 1, 8, 4), 0x01800001);
    assert_true(d.common && d.isr && d.device && d.notify);
    assert_int_equal(fake_read(vm, d.device, 4), 0x666e6f63);
    assert_int_equal(fake_read(vm, d.device + 4, 4), 0x6769); /* then nothing */
    assert_int_equal(driver_get(&d, 0x12, 2), 2);
    assert_int_equal(driver_get(&d, 0x18, 2), VIRTQ_MAX_SIZE);
    driver_set(&d, 0x16, 2, 2);
    assert_int_equal(driver_get(&d, 0x18, 2), 0); /* no such queue */
}

static void test_features(void **state)
{
    (void)state;
    assert_int_equal(driver_get(&d, 4, 4), 0x30000008);
    driver_set(&d, 0, 4, 1);
    assert_int_equal(driver_get(&d, 4, 4), 1);
    driver_set(&d, 0, 4, 2);
    assert_int_equal(driver_get(&d, 4, 4), 0);
    assert_int_equal(driver_negotiate(&d, F_VERSION_1 | BIT(3)), 0xb);
    driver_set(&d, 0x08, 4, 0);
    driver_set(&d, 0x0c, 4, 0); /* too late */
    assert_int_equal(driver_get(&d, 0x0c, 4), 8);
    assert_int_equal(driver_negotiate(&d, BIT(3)), 3);               /* the old interface */
    assert_int_equal(driver_negotiate(&d, F_VERSION_1 | BIT(4)), 3); /* not offered */
}

static void test_reset(void **state)
{
    (void)state;
    start(0);
    driver_set(&d, 0x14, 1, 0);
    assert_int_equal(driver_get(&d, 0x14, 1), 0);
    driver_set(&d, 0x16, 2, 0);
    assert_int_equal(driver_get(&d, 0x1c, 2), 0);
    assert_int_equal(driver_get(&d, 0x20, 4), 0);
    assert_int_equal(driver_get(&d, 0x0c, 4), 0);
    assert_int_equal(resets, 2); /* by start(), now */
    driver_notify(&d, 0);
    assert_int_equal(notified[0], 1); /* by DRIVER_OK */
}

static void test_chain_is_served(void **state)
{
    (void)state;
    start(0);
    driver_desc(&d, 0, 2, DRIVER_DATA, 6, DESC_NEXT, 5);
    driver_desc(&d, 0, 5, DRIVER_DATA + 6, 5, DESC_NEXT, 1);
    driver_desc(&d, 0, 1, DRIVER_DATA + 0x100, 2, DESC_NEXT | DESC_WRITE, 3);
    driver_desc(&d, 0, 3, DRIVER_DATA + 0x200, 9, DESC_WRITE, 0);
    driver_offer(&d, 0, 2);
    driver_notify(&d, 0);
    assert_string_equal(text, "hello world");
    assert_memory_equal(vm->ram + DRIVER_DATA + 0x100, "ab\xcc", 3);
    assert_memory_equal(vm->ram + DRIVER_DATA + 0x200, "c\xcc", 2);
    assert_int_equal(driver_used(&d, 0), 1);
    assert_int_equal(driver_used_id(&d, 0, 0), 2);
    assert_int_equal(driver_used_len(&d, 0, 0), 3);
    assert_int_equal(notified[1], 1); /* the other queue only by DRIVER_OK */
}

static void test_ring_wraps(void **state)
{
    (void)state;
    start(F_EVENT_IDX);
    driver_desc(&d, 0, 7, DRIVER_DATA, 5, 0, 0);
    for (u32 i = 0; i < 70000; i++) {
        driver_offer(&d, 0, 7);
        if (i % 3 == 0)
            driver_notify(&d, 0);
    }
    driver_notify(&d, 0);
    assert_int_equal(driver_used(&d, 0), (u16)70000);
    assert_int_equal(driver_get(&d, 0x14, 1), 0xf);
}

static void test_indirect(void **state)
{
    (void)state;
    start(F_INDIRECT);
    driver_desc(&d, 1, 0, DRIVER_DATA + 1, 4, DESC_NEXT,
                2); /* a table in the other queue's unused descriptors */
    driver_desc(&d, 1, 2, DRIVER_DATA + 0x100, 8, DESC_WRITE, 0);
    driver_desc(&d, 0, 0, DRIVER_DATA, 1, DESC_NEXT, 4);
    driver_desc(&d, 0, 4, DRIVER_RING(1), 48, DESC_INDIRECT, 0);
    driver_offer(&d, 0, 0);
    driver_notify(&d, 0);
    assert_string_equal(text, "hello");
    assert_memory_equal(vm->ram + DRIVER_DATA + 0x100, "abc", 3);
}

static void test_hostile_chains(void **state)
{
    static const struct {
        u64 addr;
        u32 len;
        u16 flags, next, head;
        const char *why;
    } cases[] = {
        {DRIVER_DATA, 1, DESC_NEXT, 0, 0, "a chain is a loop or too long"},
        {DRIVER_DATA, 1, 0, 0, DRIVER_QUEUE, "a descriptor's number is out of range"},
        {DRIVER_DATA, 1, DESC_NEXT, DRIVER_QUEUE, 0, "a descriptor's number is out of range"},
        {DRIVER_DATA, 1, DESC_NEXT | DESC_WRITE, 1, 0, "a buffer to read follows one to write"},
        {DRIVER_DATA, 0, DESC_INDIRECT, 0, 0, "an indirect table has a bad size"},
        {DRIVER_DATA, 17, DESC_INDIRECT, 0, 0, "an indirect table has a bad size"},
        {DRIVER_DATA, 16, DESC_INDIRECT | DESC_NEXT, 1, 0, "an indirect descriptor has a next one"},
        {DRIVER_RING(0), 16, DESC_INDIRECT, 0, 0, "an indirect table within another"},
        {MiB(2), 16, DESC_INDIRECT, 0, 0, "a descriptor is not in RAM"},
        {~0ull - 8, 16, DESC_INDIRECT, 0, 0, "a descriptor is not in RAM"},
        {MiB(2) - 2, 4, 0, 0, 0, "a buffer is not in RAM"},
        {~0ull, 4, 0, 0, 0, "a buffer is not in RAM"},
        {MiB(2) - 2, 4, DESC_WRITE, 0, 0, "a buffer is not in RAM"},
        {DRIVER_DATA + 0x300, 2, DESC_WRITE, 0, 0, "a chain is too short"},
    };

    (void)state;
    for (u32 i = 0; i < ARRAY_SIZE(cases); i++) {
        start(F_INDIRECT);
        driver_desc(&d, 0, 1, DRIVER_DATA, 1, 0, 0);
        driver_desc(&d, 0, 0, cases[i].addr, cases[i].len, cases[i].flags, cases[i].next);
        driver_offer(&d, 0, cases[i].head);
        driver_notify(&d, 0);
        assert_broken(cases[i].why);
    }
}

static void test_too_many_bytes(void **state)
{
    (void)state;
    start(0);
    driver_desc(&d, 0, 0, DRIVER_DATA, 0xffffffff, DESC_NEXT, 1);
    driver_desc(&d, 0, 1, DRIVER_DATA, 2, DESC_WRITE, 0);
    driver_offer(&d, 0, 0);
    driver_notify(&d, 0);
    assert_broken("a chain has more than 4 GiB");
}

static void test_indirect_not_negotiated(void **state)
{
    (void)state;
    start(0);
    driver_desc(&d, 0, 0, DRIVER_DATA, 16, DESC_INDIRECT, 0);
    driver_offer(&d, 0, 0);
    driver_notify(&d, 0);
    assert_broken("an indirect descriptor without the feature");
}

static void test_index_runs_ahead(void **state)
{
    u16 index = DRIVER_QUEUE + 1;

    (void)state;
    start(0);
    memcpy(vm->ram + DRIVER_AVAIL(0) + 2, &index, 2);
    driver_notify(&d, 0);
    assert_broken("the available index runs ahead");
}

static void test_rings_out_of_place(void **state)
{
    static const struct {
        u32 offset, value;
        const char *why;
    } cases[] = {
        {0x20, DRIVER_RING(0) + 8, "a ring is not aligned"},
        {0x28, DRIVER_AVAIL(0) + 1, "a ring is not aligned"},
        {0x30, DRIVER_USED(0) + 2, "a ring is not aligned"},
        {0x28, MiB(2), "a ring is not in RAM"},
    };

    (void)state;
    for (u32 i = 0; i < ARRAY_SIZE(cases); i++) {
        memset(vm->ram + DRIVER_RING(0), 0, 0x1000);
        driver_negotiate(&d, F_VERSION_1);
        driver_set(&d, 0x16, 2, 0);
        fake_write(vm, d.common + 0x20, 8, DRIVER_RING(0));
        fake_write(vm, d.common + 0x28, 8, DRIVER_AVAIL(0));
        fake_write(vm, d.common + 0x30, 8, DRIVER_USED(0));
        driver_set(&d, cases[i].offset, 4, cases[i].value);
        driver_set(&d, 0x1c, 2, 1);
        assert_broken(cases[i].why);
    }
}

static void test_queue_registers(void **state)
{
    (void)state;
    driver_negotiate(&d, F_VERSION_1);
    driver_set(&d, 0x18, 2, 7); /* no power of two */
    driver_set(&d, 0x18, 2, 0);
    driver_set(&d, 0x18, 2, 2 * VIRTQ_MAX_SIZE);
    assert_int_equal(driver_get(&d, 0x18, 2), VIRTQ_MAX_SIZE);
    driver_set(&d, 0x18, 1, 4); /* a field has one width */
    assert_int_equal(driver_get(&d, 0x18, 2), VIRTQ_MAX_SIZE);
    driver_set_queue(&d, 0);
    driver_set(&d, 0x18, 2, 4);
    driver_set(&d, 0x20, 4, 0);
    driver_set(&d, 0x1c, 2, 0);
    assert_int_equal(driver_get(&d, 0x18, 2), DRIVER_QUEUE); /* enabled: it stays */
    assert_int_equal(driver_get(&d, 0x20, 4), DRIVER_RING(0));
    assert_int_equal(driver_get(&d, 0x1c, 2), 1);
    driver_set(&d, 0x1a, 2, 2);
    assert_int_equal(driver_get(&d, 0x1a, 2), 2);
    driver_set(&d, 0x1a, 2, 3); /* there are three */
    assert_int_equal(driver_get(&d, 0x1a, 2), 0xffff);
    assert_int_equal(driver_get(&d, 0x38, 4), 0);
}

static void serve_one(void)
{
    driver_desc(&d, 0, 0, DRIVER_DATA, 1, 0, 0);
    driver_offer(&d, 0, 0);
    driver_notify(&d, 0);
}

static void test_inta_and_isr(void **state)
{
    u16 no_interrupt = 1;

    (void)state;
    start(0);
    serve_one();
    assert_true(fake_pin[17]);
    assert_int_equal(fake_read(vm, d.isr, 1), 1);
    assert_false(fake_pin[17]);
    assert_int_equal(fake_read(vm, d.isr, 1), 0);
    memcpy(vm->ram + DRIVER_AVAIL(0), &no_interrupt, 2);
    serve_one();
    assert_false(fake_pin[17]);
    driver_desc(&d, 0, 0, DRIVER_DATA, 1, DESC_NEXT, 0);
    driver_offer(&d, 0, 0);
    driver_notify(&d, 0); /* needs a reset: a change of the configuration */
    assert_int_equal(fake_read(vm, d.isr, 1), 2);
}

static void use_msix(void)
{
    u32 table = fake_pci_get(vm, 1, 0x14, 4), msix = fake_pci_get(vm, 1, 0x34, 1);

    for (u32 i = 0; i < 3; i++) {
        fake_write(vm, table + 16 * i, 8, 0xfee00000);
        fake_write(vm, table + 16 * i + 8, 8, 0x50 + i);
    }
    fake_pci_set(vm, 1, msix + 2, 2, 0x8000);
    driver_set(&d, 0x10, 2, 2);
    driver_set(&d, 0x16, 2, 0);
    driver_set(&d, 0x1a, 2, 1);
}

static void test_msix(void **state)
{
    (void)state;
    start(0);
    use_msix();
    serve_one();
    assert_int_equal(fake_messages, 1);
    assert_int_equal(fake_message_low, 0x51);
    assert_false(fake_pin[17]);
    assert_int_equal(fake_read(vm, d.isr, 1), 0);
    driver_offer(&d, 0, DRIVER_QUEUE);
    driver_notify(&d, 0);
    assert_int_equal(fake_messages, 2);
    assert_int_equal(fake_message_low, 0x52);
}

static void test_used_event(void **state)
{
    u16 wanted = 2;

    (void)state;
    start(F_EVENT_IDX);
    use_msix();
    memcpy(vm->ram + DRIVER_AVAIL(0) + 4 + 2 * DRIVER_QUEUE, &wanted, 2);
    serve_one();
    serve_one();
    assert_int_equal(fake_messages, 0);
    serve_one(); /* the used index passes 2 */
    assert_int_equal(fake_messages, 1);
    serve_one();
    assert_int_equal(fake_messages, 1);
}

static void test_avail_event(void **state)
{
    u16 event;

    (void)state;
    start(F_EVENT_IDX);
    serve_one();
    serve_one();
    memcpy(&event, vm->ram + DRIVER_USED(0) + 4 + 8 * DRIVER_QUEUE, 2);
    assert_int_equal(event, 2); /* tell me when the third comes */
}

static void test_window(void **state)
{
    u32 at = fake_pci_get(vm, 1, 0x34, 1);

    (void)state;
    while (fake_pci_get(vm, 1, at, 1) != 9 || fake_pci_get(vm, 1, at + 3, 1) != 5)
        at = fake_pci_get(vm, 1, at + 1, 1);
    fake_pci_set(vm, 1, at + 8, 4, (u32)(d.common + 0x12 - fake_pci_get(vm, 1, 0x10, 4)));
    fake_pci_set(vm, 1, at + 12, 4, 2);
    assert_int_equal(fake_pci_get(vm, 1, at + 16, 2), 2); /* queues */
    fake_pci_set(vm, 1, at + 8, 4, (u32)(d.common + 0x14 - fake_pci_get(vm, 1, 0x10, 4)));
    fake_pci_set(vm, 1, at + 12, 4, 1);
    fake_pci_set(vm, 1, at + 16, 1, 3);
    assert_int_equal(driver_get(&d, 0x14, 1), 3);
    fake_pci_set(vm, 1, at + 8, 4, 0xfffffffe); /* outside of the BAR: nothing happens */
    fake_pci_set(vm, 1, at + 16, 1, 0);
    assert_int_equal(driver_get(&d, 0x14, 1), 3);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_identity),
        T(test_features),
        T(test_reset),
        T(test_chain_is_served),
        T(test_ring_wraps),
        T(test_indirect),
        T(test_hostile_chains),
        T(test_too_many_bytes),
        T(test_index_runs_ahead),
        T(test_indirect_not_negotiated),
        T(test_queue_registers),
        T(test_rings_out_of_place),
        T(test_inta_and_isr),
        T(test_msix),
        T(test_used_event),
        T(test_avail_event),
        T(test_window),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
