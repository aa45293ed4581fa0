/* SPDX-License-Identifier: MIT */
/* links: vmm/dev/pic.c vmm/bus.c tests/unit/fake_host.c tests/unit/fake_irq.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "tests/unit/fake_host.h"
#include "tests/unit/fake_irq.h"
#include "vmm/dev/pic.h"

#define MASTER 0x20
#define SLAVE  0xa0

static struct vm *vm;
static struct pic *pic;

static void init_chip(u16 port, u8 base, u8 icw3, u8 icw4)
{
    fake_out(vm, port, 0x11);
    fake_out(vm, port + 1, base);
    fake_out(vm, port + 1, icw3);
    fake_out(vm, port + 1, icw4);
}

static void init_both(u8 icw4)
{
    init_chip(MASTER, 0x30, 0x04, icw4);
    init_chip(SLAVE, 0x38, 0x02, icw4);
}

static int setup(void **state)
{
    (void)state;
    fake_irq_clear();
    vm = fake_vm(1, 0);
    pic = pic_create(vm);
    init_both(0x01);
    return !pic;
}

static int teardown(void **state)
{
    (void)state;
    fake_vm_free(vm);
    return 0;
}

static void raise(u32 irq)
{
    pic_set_irq(pic, irq, false);
    pic_set_irq(pic, irq, true);
}

static u8 read_irr(u16 port)
{
    fake_out(vm, port, 0x0a);
    return fake_in(vm, port);
}

static u8 read_isr(u16 port)
{
    fake_out(vm, port, 0x0b);
    return fake_in(vm, port);
}

static void test_starts_masked(void **state)
{
    (void)state;
    fake_remove_devices(vm);
    pic = pic_create(vm);
    raise(0);
    assert_int_equal(pic_pending(pic), -1);
    assert_int_equal(fake_in(vm, MASTER + 1), 0xff);
    fake_out(vm, MASTER + 1, 0xfe);
    assert_int_equal(pic_pending(pic), 0x08);
}

static void test_vector_and_eoi(void **state)
{
    (void)state;
    assert_int_equal(pic_pending(pic), -1);
    raise(4);
    assert_int_equal(pic_pending(pic), 0x34);
    assert_int_equal(pic_pending(pic), 0x34);
    assert_int_equal(read_irr(MASTER), 0x10);
    assert_int_equal(pic_ack(pic), 0x34);
    assert_int_equal(read_irr(MASTER), 0);
    assert_int_equal(read_isr(MASTER), 0x10);
    assert_int_equal(pic_pending(pic), -1);
    raise(4);
    assert_int_equal(pic_pending(pic), -1);
    fake_out(vm, MASTER, 0x20);
    assert_int_equal(read_isr(MASTER), 0);
    assert_int_equal(pic_ack(pic), 0x34);
}

static void test_priorities_nest(void **state)
{
    (void)state;
    raise(5);
    raise(3);
    assert_int_equal(pic_ack(pic), 0x33);
    assert_int_equal(pic_pending(pic), -1); /* 5 is below 3 */
    raise(1);
    assert_int_equal(pic_ack(pic), 0x31);
    assert_int_equal(read_isr(MASTER), 0x0a);
    fake_out(vm, MASTER, 0x20); /* the highest in service: 1 */
    assert_int_equal(read_isr(MASTER), 0x08);
    fake_out(vm, MASTER, 0x63); /* 3 by name */
    assert_int_equal(read_isr(MASTER), 0);
    assert_int_equal(pic_ack(pic), 0x35);
}

static void test_cascade(void **state)
{
    (void)state;
    raise(8);
    raise(12);
    raise(6);
    assert_int_equal(read_irr(MASTER), 0x44);
    assert_int_equal(pic_ack(pic), 0x38);
    assert_int_equal(read_isr(MASTER), 0x04);
    assert_int_equal(read_isr(SLAVE), 0x01);
    fake_out(vm, SLAVE, 0x20);
    assert_int_equal(pic_pending(pic), -1); /* the master still serves its input 2 */
    fake_out(vm, MASTER, 0x20);
    assert_int_equal(pic_ack(pic), 0x3c);
    fake_out(vm, SLAVE, 0x20);
    fake_out(vm, MASTER, 0x20);
    assert_int_equal(pic_ack(pic), 0x36);
}

static void test_special_fully_nested(void **state)
{
    (void)state;
    init_chip(MASTER, 0x30, 0x04, 0x11);
    raise(12);
    assert_int_equal(pic_ack(pic), 0x3c);
    raise(9);
    assert_int_equal(pic_ack(pic), 0x39);
}

static void test_cascade_input_and_beyond_ignored(void **state)
{
    (void)state;
    raise(2);
    raise(16);
    raise(~0u);
    assert_int_equal(pic_pending(pic), -1);
    assert_int_equal(read_irr(MASTER), 0);
}

static void test_mask(void **state)
{
    (void)state;
    fake_out(vm, MASTER + 1, 0x10);
    raise(4);
    raise(5);
    assert_int_equal(fake_in(vm, MASTER + 1), 0x10);
    assert_int_equal(pic_pending(pic), 0x35);
    fake_out(vm, MASTER + 1, 0);
    assert_int_equal(pic_pending(pic), 0x34);
    assert_true(fake_pic_changes > 0);
}

static void test_edge_needs_a_new_edge(void **state)
{
    (void)state;
    pic_set_irq(pic, 4, true);
    assert_int_equal(pic_ack(pic), 0x34);
    fake_out(vm, MASTER, 0x20);
    assert_int_equal(pic_pending(pic), -1);
    pic_set_irq(pic, 4, true);
    assert_int_equal(pic_pending(pic), -1);
    raise(4);
    assert_int_equal(pic_pending(pic), 0x34);
}

static void test_level_stays(void **state)
{
    (void)state;
    fake_out(vm, 0x4d1, 0xff);
    fake_out(vm, 0x4d0, 0xff);
    assert_int_equal(fake_in(vm, 0x4d1), 0xde); /* 8 and 13 cannot be */
    assert_int_equal(fake_in(vm, 0x4d0), 0xf8);
    assert_int_equal(bus_read(&vm->vcpu[0].pio, 0x4d0, 2), 0xdef8);
    pic_set_irq(pic, 9, true);
    assert_int_equal(pic_ack(pic), 0x39);
    fake_out(vm, SLAVE, 0x20);
    fake_out(vm, MASTER, 0x20);
    assert_int_equal(pic_ack(pic), 0x39);
    pic_set_irq(pic, 9, false);
    fake_out(vm, SLAVE, 0x20);
    fake_out(vm, MASTER, 0x20);
    assert_int_equal(pic_pending(pic), -1);
}

static void test_spurious(void **state)
{
    (void)state;
    pic_set_irq(pic, 3, true);
    pic_set_irq(pic, 3, false);
    assert_int_equal(pic_pending(pic), -1);
    assert_int_equal(pic_ack(pic), 0x37);
    assert_int_equal(read_isr(MASTER), 0);
}

static void test_auto_eoi(void **state)
{
    (void)state;
    init_both(0x03);
    raise(4);
    assert_int_equal(pic_ack(pic), 0x34);
    assert_int_equal(read_isr(MASTER), 0);
    raise(5);
    assert_int_equal(pic_ack(pic), 0x35);
}

static void test_rotate_in_auto_eoi(void **state)
{
    (void)state;
    init_both(0x03);
    fake_out(vm, MASTER, 0x80);
    raise(0);
    assert_int_equal(pic_ack(pic), 0x30); /* 0 becomes the lowest */
    raise(0);
    raise(7);
    assert_int_equal(pic_ack(pic), 0x37);
    fake_out(vm, MASTER, 0x00); /* no more rotation: the lowest stays 7 */
    raise(7);
    assert_int_equal(pic_ack(pic), 0x30);
}

static void test_rotate_on_eoi(void **state)
{
    (void)state;
    raise(3);
    raise(4);
    assert_int_equal(pic_ack(pic), 0x33);
    fake_out(vm, MASTER, 0xa0); /* 3 is now the lowest */
    raise(3);
    raise(1);
    assert_int_equal(pic_ack(pic), 0x34);
    fake_out(vm, MASTER, 0xe4); /* rotate on the specific EOI of 4: 5 is now the highest */
    raise(5);
    assert_int_equal(pic_ack(pic), 0x35);
    fake_out(vm, MASTER, 0x20);
    assert_int_equal(pic_ack(pic), 0x31);
}

static void test_set_priority(void **state)
{
    (void)state;
    fake_out(vm, MASTER, 0xc4);
    raise(4);
    raise(6);
    assert_int_equal(pic_ack(pic), 0x36);
    fake_out(vm, MASTER, 0x40); /* no operation */
    fake_out(vm, MASTER, 0x20);
    assert_int_equal(pic_ack(pic), 0x34);
}

static void test_special_mask_mode(void **state)
{
    (void)state;
    raise(1);
    assert_int_equal(pic_ack(pic), 0x31);
    fake_out(vm, MASTER + 1, 0x02);
    raise(6);
    assert_int_equal(pic_pending(pic), -1);
    fake_out(vm, MASTER, 0x68);
    assert_int_equal(pic_pending(pic), 0x36);
    fake_out(vm, MASTER, 0x20); /* does not touch what is masked */
    assert_int_equal(read_isr(MASTER), 0x02);
    fake_out(vm, MASTER, 0x48);
    assert_int_equal(pic_pending(pic), -1);
}

static void test_poll(void **state)
{
    (void)state;
    fake_out(vm, MASTER, 0x0c);
    assert_int_equal(fake_in(vm, MASTER), 0);
    raise(5);
    fake_out(vm, MASTER, 0x0c);
    assert_int_equal(fake_in(vm, MASTER), 0x85);
    assert_int_equal(read_isr(MASTER), 0x20);
    raise(10);
    fake_out(vm, SLAVE, 0x0c);
    assert_int_equal(fake_in(vm, SLAVE), 0x82);
}

static void test_initialisation(void **state)
{
    (void)state;
    raise(1);
    pic_ack(pic);
    raise(3);
    fake_out(vm, MASTER + 1, 0x55);
    fake_out(vm, MASTER, 0x13); /* single: no ICW3 */
    raise(4);
    assert_int_equal(pic_pending(pic), -1); /* not ready */
    fake_out(vm, MASTER + 1, 0x47);         /* low bits are not the vector's */
    fake_out(vm, MASTER + 1, 0x01);
    assert_int_equal(fake_in(vm, MASTER + 1), 0);
    assert_int_equal(read_isr(MASTER), 0);
    assert_int_equal(pic_ack(pic), 0x44); /* the request from before is gone */
    fake_out(vm, MASTER, 0x12);           /* neither ICW3 nor ICW4 */
    fake_out(vm, MASTER + 1, 0x50);
    raise(0);
    assert_int_equal(pic_ack(pic), 0x50);
    fake_out(vm, MASTER, 0x18); /* level-triggered, all inputs */
    fake_out(vm, MASTER + 1, 0x50);
    fake_out(vm, MASTER + 1, 0x04);
    assert_int_equal(pic_ack(pic), 0x50);
    fake_out(vm, MASTER, 0x20);
    assert_int_equal(pic_ack(pic), 0x50);
}

static void test_creation_fails(void **state)
{
    (void)state;
    assert_null(pic_create(vm)); /* its ports are taken */
    vm->allocs_left = 0;
    fake_remove_devices(vm);
    assert_null(pic_create(vm));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_starts_masked),
        T(test_vector_and_eoi),
        T(test_priorities_nest),
        T(test_cascade),
        T(test_special_fully_nested),
        T(test_cascade_input_and_beyond_ignored),
        T(test_mask),
        T(test_edge_needs_a_new_edge),
        T(test_level_stays),
        T(test_spurious),
        T(test_auto_eoi),
        T(test_rotate_in_auto_eoi),
        T(test_rotate_on_eoi),
        T(test_set_priority),
        T(test_special_mask_mode),
        T(test_poll),
        T(test_initialisation),
        T(test_creation_fails),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
