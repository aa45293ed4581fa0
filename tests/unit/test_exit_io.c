/* SPDX-License-Identifier: MIT */
/* links: vmm/bus.c */
/* Exits for ports: what reaches the device and RAX, the first time and when it is remembered. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/fake_asm.h"
#include "tests/unit/no_ports.h"
#include "tests/unit/fake_vmx.h"
#include "vmm/exit_io.c"

#define RAX 0x1122334455667788ull

static struct vm vm;
static struct vcpu vcpu;
static struct bus_domain domain;
static struct spinlock dev_lock;
static struct bus pio;
static u64 qualification, rip, dr7;
static u32 watched, strings;
static void *allocated[16];
static u32 nr_allocated;
static struct {
    u32 reads, writes, size;
    u64 offset, value;
    bool locked;
} device;

static u64 vmread(u32 field)
{
    switch (field) {
    case EXIT_QUALIFICATION:
        return qualification;
    case GUEST_RIP:
        return rip;
    case EXIT_INSTRUCTION_LENGTH:
        return 1;
    case GUEST_DR7:
        return dr7;
    default:
        return 0;
    }
}

static void vmwrite(u32 field, u64 value)
{
    assert_int_equal(field, GUEST_RIP);
    rip = value;
}

static inline u64 fake_tsc(void)
{
    return 0;
}

void *vm_alloc(struct vm *of, size_t size)
{
    (void)of;
    assert_true(nr_allocated < ARRAY_SIZE(allocated));
    return allocated[nr_allocated++] = calloc(1, size);
}

void(fail_guest)(struct vcpu *v, const char *fmt, ...)
{
    (void)v;
    fail_msg("%s", fmt);
}

void vcpu_watch_port(struct vcpu *v, u16 port, u32 size)
{
    (void)v;
    watched = (u32)port << 16 | size;
}

void string_io_from_exit(struct string_io *io, u64 q, u32 info, u32 length)
{
    (void)io, (void)info, (void)length;
    assert_true(q & IO_STRING);
}

int string_io(struct vcpu *v, const struct string_io *io)
{
    (void)v, (void)io;
    strings++;
    return OK;
}

static u64 device_read(void *dev, struct vcpu *v, u64 offset, u32 size)
{
    assert_ptr_equal(dev, &device);
    assert_ptr_equal(v, &vcpu);
    device.reads++;
    device.offset = offset;
    device.size = size;
    device.locked = dev_lock.next != dev_lock.owner;
    return device.value;
}

static void device_write(void *dev, struct vcpu *v, u64 offset, u32 size, u64 value)
{
    device_read(dev, v, offset, size);
    device.reads--;
    device.writes++;
    device.value = value;
}

static bool claims(void *dev, struct vcpu *v, u64 offset)
{
    (void)dev, (void)v;
    return offset != 1;
}

static const struct bus_ops ops = {.read = device_read, .write = device_write};
static const struct bus_ops with_hole = {.read = device_read, .write = device_write, .claims = claims};

static int start(void **state)
{
    (void)state;
    memset(&vcpu, 0, sizeof(vcpu));
    memset(&device, 0, sizeof(device));
    memset(&dev_lock, 0, sizeof(dev_lock));
    vcpu.vm = &vm;
    vcpu.until = ~0ull;
    bus_domain_init(&domain, &vm, &dev_lock);
    pio = (struct bus){.domain = &domain};
    bus_view_init(&vcpu.pio, NULL, &pio, &vcpu, BUS_PIO_SHIFT);
    dr7 = watched = strings = 0;
    return 0;
}

static int stop(void **state)
{
    (void)state;
    while (nr_allocated)
        free(allocated[--nr_allocated]);
    return 0;
}

static void access(u16 port, u32 size, bool in)
{
    qualification = (u64)port << 16 | (in ? IO_IN : 0) | (size - 1);
    rip = 0x1000;
    vcpu.gpr[REG_RAX] = RAX;
    assert_true(exit_io(&vcpu));
    assert_int_equal(rip, 0x1001);
    assert_int_equal(dev_lock.next, dev_lock.owner);
}

static u64 merged(u64 value, u32 size)
{
    u64 mask = BIT(8 * size) - 1;

    return size == 4 ? value & mask : (RAX & ~mask) | (value & mask);
}

static void test_sizes(void **state)
{
    (void)state;
    assert_int_equal(bus_add(&pio, 0x70, 8, &ops, &device), OK);
    for (u32 round = 0; round < 3; round++) /* the first has to be looked up */
        for (u32 size = 1; size <= 4; size *= 2) {
            device.value = 0xfedcba9876543210;
            access(0x72, size, true);
            assert_int_equal(vcpu.gpr[REG_RAX], merged(0xfedcba9876543210, size));
            assert_int_equal(device.offset, 2);
            assert_int_equal(device.size, size);
            assert_true(device.locked);
            access(0x73, size, false);
            assert_int_equal(device.value, RAX & (BIT(8 * size) - 1));
            assert_int_equal(device.offset, 3);
            assert_int_equal(device.size, size);
            assert_int_equal(vcpu.gpr[REG_RAX], RAX);
            access(0x200, size, true);
            assert_int_equal(vcpu.gpr[REG_RAX], merged(~0ull, size));
            access(0x200, size, false);
        }
    assert_int_equal(device.reads, 9);
    assert_int_equal(device.writes, 9);
}

/* Of two that use the same place each is served, time after time. */
static void test_all_ports(void **state)
{
    (void)state;
    assert_int_equal(bus_add(&pio, 0, 0x10000, &ops, &device), OK);
    for (u32 round = 0; round < 2; round++)
        for (u32 port = 0; port < 0x10000; port++) {
            access((u16)port, 1, port & 1);
            assert_int_equal(device.offset, port);
        }
}

static void test_changes_of_the_bus(void **state)
{
    (void)state;
    for (u32 i = 0; i < 3; i++)
        access(0x60, 1, true);
    assert_int_equal(bus_add(&pio, 0x60, 1, &ops, &device), OK);
    access(0x60, 1, true);
    access(0x60, 1, true);
    assert_int_equal(device.reads, 2);
    assert_int_equal(bus_move(&pio, 0x60, 0x64), OK);
    access(0x60, 1, true);
    assert_int_equal(device.reads, 2);
    access(0x64, 1, true);
    assert_int_equal(device.reads, 3);
    assert_int_equal(bus_remove(&pio, 0x64), OK);
    access(0x64, 1, true);
    assert_int_equal(device.reads, 3);
    assert_int_equal(vcpu.gpr[REG_RAX], merged(~0ull, 1));
}

/* What is split is not remembered as a whole. */
static void test_split(void **state)
{
    (void)state;
    assert_int_equal(bus_add(&pio, 0x80, 4, &with_hole, &device), OK);
    for (u32 i = 0; i < 3; i++) {
        device.value = 0;
        access(0x80, 2, true);
        assert_int_equal(vcpu.gpr[REG_RAX], merged(0xff00, 2));
        access(0x83, 2, true); /* across its end */
        assert_int_equal(vcpu.gpr[REG_RAX], merged(0xff00, 2));
    }
}

static void test_strings_and_breakpoints(void **state)
{
    (void)state;
    qualification = 0x60 << 16 | IO_STRING | IO_IN;
    for (u32 i = 1; i < 3; i++) {
        assert_true(exit_io(&vcpu));
        assert_int_equal(strings, i);
    }
    access(0x60, 2, true);
    assert_int_equal(watched, 0);
    dr7 = 1;
    for (u32 i = 0; i < 2; i++) {
        watched = 0;
        access(0x60, 2, true);
        assert_int_equal(watched, 0x60 << 16 | 2);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_sizes, start, stop),
        cmocka_unit_test_setup_teardown(test_all_ports, start, stop),
        cmocka_unit_test_setup_teardown(test_changes_of_the_bus, start, stop),
        cmocka_unit_test_setup_teardown(test_split, start, stop),
        cmocka_unit_test_setup_teardown(test_strings_and_breakpoints, start, stop),
    };

    return cmocka_run_group_tests_name("exit_io", tests, NULL, NULL);
}
