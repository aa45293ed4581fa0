/* SPDX-License-Identifier: MIT */
/* links: vmm/bus.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "vmm/bus.h"

/* A device that keeps what it is asked and answers with a pattern made of its number and the offset. */
struct device {
    u8 id;
    u32 accesses;
    u64 offset, value;
    u32 size;
};

static u64 device_read(void *dev, struct vcpu *vcpu, u64 offset, u32 size)
{
    struct device *d = dev;

    assert_null(vcpu);
    d->accesses++;
    d->offset = offset;
    d->size = size;
    return 0x1122334455667700ull + d->id + (offset << 4);
}

static void device_write(void *dev, struct vcpu *vcpu, u64 offset, u32 size, u64 value)
{
    struct device *d = dev;

    assert_null(vcpu);
    d->accesses++;
    d->offset = offset;
    d->size = size;
    d->value = value;
}

static const struct bus_ops ops = {device_read, device_write};

static void add_and_find(void **state)
{
    struct device a = {.id = 1}, b = {.id = 2}, c = {.id = 3};
    struct bus bus = {0};

    (void)state;
    assert_null(bus_find(&bus, 0));
    assert_int_equal(bus_add(&bus, 0x3f8, 8, &ops, &b, "b"), OK);
    assert_int_equal(bus_add(&bus, 0x20, 2, &ops, &a, "a"), OK);
    assert_int_equal(bus_add(&bus, 0x400, 1, &ops, &c, "c"), OK);
    assert_int_equal(bus.nr, 3);
    assert_null(bus_find(&bus, 0x1f));
    assert_string_equal(bus_find(&bus, 0x20)->name, "a");
    assert_string_equal(bus_find(&bus, 0x21)->name, "a");
    assert_null(bus_find(&bus, 0x22));
    assert_string_equal(bus_find(&bus, 0x3f8)->name, "b");
    assert_string_equal(bus_find(&bus, 0x3ff)->name, "b");
    assert_string_equal(bus_find(&bus, 0x400)->name, "c");
    assert_null(bus_find(&bus, 0x401));
    assert_null(bus_find(&bus, ~0ull));
}

static void refusals(void **state)
{
    struct bus bus = {0};

    (void)state;
    assert_int_equal(bus_add(&bus, 5, 0, &ops, NULL, "empty"), ERR_INVAL);
    assert_int_equal(bus_add(&bus, ~0ull, 2, &ops, NULL, "wraps"), ERR_INVAL);
    assert_int_equal(bus_add(&bus, ~0ull - 7, 8, &ops, NULL, "last"), OK);
    assert_string_equal(bus_find(&bus, ~0ull)->name, "last");
    assert_int_equal(bus_add(&bus, 100, 10, &ops, NULL, "ten"), OK);
    assert_int_equal(bus_add(&bus, 100, 10, &ops, NULL, "same"), ERR_EXIST);
    assert_int_equal(bus_add(&bus, 99, 2, &ops, NULL, "begin"), ERR_EXIST);
    assert_int_equal(bus_add(&bus, 109, 1, &ops, NULL, "end"), ERR_EXIST);
    assert_int_equal(bus_add(&bus, 90, 100, &ops, NULL, "around"), ERR_EXIST);
    assert_int_equal(bus_add(&bus, 103, 2, &ops, NULL, "inside"), ERR_EXIST);
    assert_int_equal(bus_add(&bus, 0, ~0ull, &ops, NULL, "all"), ERR_EXIST);
    assert_int_equal(bus_add(&bus, 99, 1, &ops, NULL, "before"), OK);
    assert_int_equal(bus_add(&bus, 110, 1, &ops, NULL, "behind"), OK);
    assert_int_equal(bus_remove(&bus, 101), ERR_NOENT);
    assert_int_equal(bus_remove(&bus, 111), ERR_NOENT);
    assert_int_equal(bus_remove(&bus, 100), OK);
    assert_null(bus_find(&bus, 100));
    assert_string_equal(bus_find(&bus, 99)->name, "before");
    assert_string_equal(bus_find(&bus, 110)->name, "behind");
    assert_int_equal(bus_remove(&bus, 100), ERR_NOENT);
}

static void full(void **state)
{
    struct bus bus = {0};

    (void)state;
    for (u64 i = BUS_MAX_RANGES; i > 0; i--)
        assert_int_equal(bus_add(&bus, i * 16, 8, &ops, NULL, "x"), OK);
    assert_int_equal(bus_add(&bus, 0, 8, &ops, NULL, "x"), ERR_NOMEM);
    for (u64 i = 1; i <= BUS_MAX_RANGES; i++) {
        assert_int_equal(bus_find(&bus, i * 16 + 7)->base, i * 16);
        assert_null(bus_find(&bus, i * 16 + 8));
    }
    assert_int_equal(bus_read(&bus, NULL, (BUS_MAX_RANGES + 1) * 16, 8), ~0ull);
    for (u64 i = 1; i <= BUS_MAX_RANGES; i++)
        assert_int_equal(bus_remove(&bus, i * 16), OK);
    assert_int_equal(bus.nr, 0);
}

static void accesses(void **state)
{
    struct device a = {.id = 1};
    struct bus bus = {0};

    (void)state;
    assert_int_equal(bus_add(&bus, 0x1000, 16, &ops, &a, "a"), OK);
    assert_int_equal(bus_read(&bus, NULL, 0x1008, 8), 0x1122334455667781);
    assert_int_equal(a.offset, 8);
    assert_int_equal(a.size, 8);
    assert_int_equal(bus_read(&bus, NULL, 0x1000, 4), 0x55667701); /* what is above the size is cut off */
    assert_int_equal(bus_read(&bus, NULL, 0x100e, 2), 0x77e1);
    assert_int_equal(bus_read(&bus, NULL, 0x1001, 1), 0x11);
    bus_write(&bus, NULL, 0x1004, 2, 0xaabbccdd);
    assert_int_equal(a.offset, 4);
    assert_int_equal(a.size, 2);
    assert_int_equal(a.value, 0xccdd);
    bus_write(&bus, NULL, 0x1000, 8, ~0ull);
    assert_int_equal(a.value, ~0ull);
    assert_int_equal(a.accesses, 6);
}

static void unclaimed(void **state)
{
    struct device a = {.id = 1};
    struct bus bus = {0};

    (void)state;
    assert_int_equal(bus_add(&bus, 0x1000, 16, &ops, &a, "a"), OK);
    assert_int_equal(bus_read(&bus, NULL, 0xff8, 8), ~0ull);
    assert_int_equal(bus_read(&bus, NULL, 0xfff, 1), 0xff);
    assert_int_equal(bus_read(&bus, NULL, 0x1010, 2), 0xffff);
    assert_int_equal(bus_read(&bus, NULL, 0, 4), 0xffffffff);
    bus_write(&bus, NULL, 0x1010, 8, 1);
    bus_write(&bus, NULL, 0xffc, 4, 1);
    assert_int_equal(a.accesses, 0);
}

/* Across the end of a range, into nothing, into the next one, out of nothing. */
static void split(void **state)
{
    struct device a = {.id = 1}, b = {.id = 2};
    struct bus bus = {0};

    (void)state;
    assert_int_equal(bus_add(&bus, 0x10, 4, &ops, &a, "a"), OK);
    assert_int_equal(bus_add(&bus, 0x14, 2, &ops, &b, "b"), OK);
    assert_int_equal(bus_read(&bus, NULL, 0x12, 8), 0xffffffff12023121);
    assert_int_equal(a.accesses, 2);
    assert_int_equal(b.accesses, 2);
    assert_int_equal(b.size, 1);
    assert_int_equal(bus_read(&bus, NULL, 0xf, 2), 0x01ff);
    bus_write(&bus, NULL, 0x13, 4, 0x44332211);
    assert_int_equal(a.value, 0x11);
    assert_int_equal(a.offset, 3);
    assert_int_equal(b.value, 0x33);
    assert_int_equal(b.offset, 1);
    assert_int_equal(bus_add(&bus, ~0ull, 1, &ops, &a, "top"), OK);
    assert_int_equal(bus_read(&bus, NULL, ~0ull, 2), 0xff01); /* goes on at address 0 */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(add_and_find), cmocka_unit_test(refusals),  cmocka_unit_test(full),
        cmocka_unit_test(accesses),     cmocka_unit_test(unclaimed), cmocka_unit_test(split),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
