/* SPDX-License-Identifier: MIT */
/* links: vmm/bus.c tests/unit/fake_host.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/fake_host.h"

/* A device that keeps what it is asked and answers with a pattern made of its number and the offset. */
struct device {
    u8 id;
    bool unlocked;
    u32 accesses;
    u64 offset, value;
    u32 size;
    u64 holes; /* a bit per offset */
};

static struct vm *vm;
static struct vcpu *cpu;
static struct bus *bus;

static void note(struct device *d, struct vcpu *vcpu, u64 offset, u32 size)
{
    assert_ptr_equal(vcpu, cpu);
    assert_int_equal(vm->dev_lock.next - vm->dev_lock.owner, !d->unlocked);
    d->accesses++;
    d->offset = offset;
    d->size = size;
}

static u64 device_read(void *dev, struct vcpu *vcpu, u64 offset, u32 size)
{
    struct device *d = dev;

    note(d, vcpu, offset, size);
    return 0x1122334455667700ull + d->id + (offset << 4);
}

static void device_write(void *dev, struct vcpu *vcpu, u64 offset, u32 size, u64 value)
{
    struct device *d = dev;

    note(d, vcpu, offset, size);
    d->value = value;
}

static bool device_claims(void *dev, struct vcpu *vcpu, u64 offset)
{
    const struct device *d = dev;

    assert_ptr_equal(vcpu, cpu);
    return !(d->holes >> offset & 1);
}

static const struct bus_ops ops = {device_read, device_write, NULL};
static const struct bus_ops ops_holes = {device_read, device_write, device_claims};

static int setup(void **state)
{
    (void)state;
    vm = fake_vm(2, 0);
    cpu = &vm->vcpu[0];
    bus = &vm->mmio;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    assert_int_equal(vm->dev_lock.next, vm->dev_lock.owner);
    fake_vm_free(vm);
    return 0;
}

static u64 rd(u64 addr, u32 size)
{
    return bus_read(&cpu->mmio, addr, size);
}

static void wr(u64 addr, u32 size, u64 value)
{
    bus_write(&cpu->mmio, addr, size, value);
}

/* The device that serves addr; null: none. */
static void *at(u64 addr)
{
    struct bus_slot slot;
    bool found = bus_find(&cpu->mmio, addr, &slot);

    assert_true(addr >= slot.first && addr - slot.first <= slot.span);
    return found ? slot.dev : NULL;
}

static void add_and_find(void **state)
{
    struct device a = {.id = 1}, b = {.id = 2}, c = {.id = 3};
    struct bus_slot slot;

    (void)state;
    assert_false(bus_find(&cpu->mmio, 0, &slot));
    assert_int_equal(slot.span, ~0ull);
    assert_int_equal(bus_add(bus, 0x3f8, 8, &ops, &b), OK);
    assert_int_equal(bus_add(bus, 0x20, 2, &ops, &a), OK);
    assert_int_equal(bus_add(bus, 0x400, 1, &ops, &c), OK);
    assert_null(at(0x1f));
    assert_ptr_equal(at(0x20), &a);
    assert_ptr_equal(at(0x21), &a);
    assert_null(at(0x22));
    assert_ptr_equal(at(0x3f8), &b);
    assert_ptr_equal(at(0x3ff), &b);
    assert_ptr_equal(at(0x400), &c);
    assert_null(at(0x401));
    assert_null(at(~0ull));
    assert_false(bus_find(&cpu->mmio, 0x100, &slot));
    assert_int_equal(slot.first, 0x22);
    assert_int_equal(slot.span, 0x3f7 - 0x22);
}

static void refusals(void **state)
{
    struct device last, ten, before, behind;

    (void)state;
    assert_int_equal(bus_add(bus, 5, 0, &ops, NULL), ERR_INVAL);
    assert_int_equal(bus_add(bus, 0, 0, &ops, NULL), ERR_INVAL);
    assert_int_equal(bus_add(bus, ~0ull, 2, &ops, NULL), ERR_INVAL);
    assert_int_equal(bus_add(bus, ~0ull - 7, 8, &ops, &last), OK);
    assert_ptr_equal(at(~0ull), &last);
    assert_int_equal(bus_add(bus, 100, 10, &ops, &ten), OK);
    assert_int_equal(bus_add(bus, 100, 10, &ops, NULL), ERR_EXIST);
    assert_int_equal(bus_add(bus, 99, 2, &ops, NULL), ERR_EXIST);
    assert_int_equal(bus_add(bus, 109, 1, &ops, NULL), ERR_EXIST);
    assert_int_equal(bus_add(bus, 90, 100, &ops, NULL), ERR_EXIST);
    assert_int_equal(bus_add(bus, 103, 2, &ops, NULL), ERR_EXIST);
    assert_int_equal(bus_add(bus, 0, ~0ull, &ops, NULL), ERR_EXIST);
    assert_int_equal(bus_add(bus, 99, 1, &ops, &before), OK);
    assert_int_equal(bus_add(bus, 110, 1, &ops, &behind), OK);
    assert_int_equal(bus_remove(bus, 101), ERR_NOENT);
    assert_int_equal(bus_remove(bus, 111), ERR_NOENT);
    assert_int_equal(bus_remove(bus, 100), OK);
    assert_null(at(100));
    assert_ptr_equal(at(99), &before);
    assert_ptr_equal(at(110), &behind);
    assert_int_equal(bus_remove(bus, 100), ERR_NOENT);
}

#define MANY 1000

static void many(void **state)
{
    static struct device d[MANY];

    (void)state;
    for (u32 i = 0; i < MANY; i++) { /* in an order that is neither up nor down */
        u64 k = i * 7ull % MANY;

        assert_int_equal(bus_add(bus, k * 16, 8, &ops, &d[k]), OK);
    }
    for (u64 i = 0; i < MANY; i++) {
        assert_ptr_equal(at(i * 16 + 7), &d[i]);
        assert_null(at(i * 16 + 8));
    }
    for (u64 i = 0; i < MANY; i += 2)
        assert_int_equal(bus_remove(bus, i * 16), OK);
    for (u64 i = 0; i < MANY; i++)
        assert_ptr_equal(at(i * 16), i % 2 ? &d[i] : NULL);
}

static void no_memory(void **state)
{
    struct device d[9];

    (void)state;
    vm->allocs_left = 1;
    for (u64 i = 0; i < 8; i++)
        assert_int_equal(bus_add(bus, i * 16, 8, &ops, &d[i]), OK);
    assert_int_equal(bus_add(bus, 8 * 16, 8, &ops, &d[8]), ERR_NOMEM);
    assert_null(at(8 * 16));
    assert_int_equal(bus_move(bus, 0, 8 * 16), OK); /* needs none */
    assert_ptr_equal(at(8 * 16), &d[0]);
    assert_int_equal(bus_remove(bus, 16), OK);
    assert_int_equal(bus_add(bus, 0, 8, &ops, &d[8]), OK);
}

static void accesses(void **state)
{
    struct device a = {.id = 1};

    (void)state;
    assert_int_equal(bus_add(bus, 0x1000, 16, &ops, &a), OK);
    assert_int_equal(rd(0x1008, 8), 0x1122334455667781);
    assert_int_equal(a.offset, 8);
    assert_int_equal(a.size, 8);
    assert_int_equal(rd(0x1000, 4), 0x55667701); /* what is above the size is cut off */
    assert_int_equal(rd(0x100e, 2), 0x77e1);
    assert_int_equal(rd(0x1001, 1), 0x11);
    wr(0x1004, 2, 0xaabbccdd);
    assert_int_equal(a.offset, 4);
    assert_int_equal(a.size, 2);
    assert_int_equal(a.value, 0xccdd);
    wr(0x1003, 8, ~0ull); /* unaligned is the device's affair */
    assert_int_equal(a.offset, 3);
    assert_int_equal(a.value, ~0ull);
    assert_int_equal(a.accesses, 6);
    assert_int_equal(rd(0x1000, 3), 0x211101); /* by bytes */
    assert_int_equal(a.accesses, 9);
    assert_int_equal(a.size, 1);
    wr(0x1001, 7, 0x0a0b0c0d0e0f10);
    assert_int_equal(a.accesses, 16);
    assert_int_equal(a.offset, 7);
    assert_int_equal(a.value, 0x0a);
}

static void unclaimed(void **state)
{
    struct device a = {.id = 1};

    (void)state;
    assert_int_equal(rd(0, 1), 0xff); /* no devices at all */
    assert_int_equal(bus_add(bus, 0x1000, 16, &ops, &a), OK);
    assert_int_equal(rd(0xff8, 8), ~0ull);
    assert_int_equal(rd(0xfff, 1), 0xff);
    assert_int_equal(rd(0x1010, 2), 0xffff);
    assert_int_equal(rd(0, 4), 0xffffffff);
    assert_int_equal(rd(0x1010, 5), 0xffffffffff);
    wr(0x1010, 8, 1);
    wr(0xffc, 4, 1);
    assert_int_equal(a.accesses, 0);
}

/* Across the end of a range, into nothing, into the next one, out of nothing. */
static void split(void **state)
{
    struct device a = {.id = 1}, b = {.id = 2};

    (void)state;
    assert_int_equal(bus_add(bus, 0x10, 4, &ops, &a), OK);
    assert_int_equal(bus_add(bus, 0x14, 2, &ops, &b), OK);
    assert_int_equal(rd(0x12, 8), 0xffffffff12023121);
    assert_int_equal(a.accesses, 2);
    assert_int_equal(b.accesses, 2);
    assert_int_equal(b.size, 1);
    assert_int_equal(rd(0xf, 2), 0x01ff);
    wr(0x13, 4, 0x44332211);
    assert_int_equal(a.value, 0x11);
    assert_int_equal(a.offset, 3);
    assert_int_equal(b.value, 0x33);
    assert_int_equal(b.offset, 1);
    assert_int_equal(bus_add(bus, ~0ull, 1, &ops, &a), OK);
    assert_int_equal(rd(~0ull, 2), 0xff01); /* goes on at address 0 */
}

static void own_bus_eclipses(void **state)
{
    struct device below = {.id = 1}, own = {.id = 2, .unlocked = true};

    (void)state;
    assert_int_equal(bus_add(bus, 0x1000, 0x100, &ops, &below), OK);
    assert_int_equal(rd(0x1040, 2), 0x7b01); /* has been looked up before */
    assert_int_equal(bus_add_lock(&cpu->own_mmio, 0x1040, 4, &ops, &own, NULL), OK);
    assert_int_equal(rd(0x1040, 2), 0x7702);
    assert_int_equal(own.accesses, 1);
    assert_int_equal(rd(0x103c, 4), 0x55667ac1);
    assert_int_equal(rd(0x1044, 1), 0x41);
    assert_int_equal(rd(0x103e, 8), 0x514132221202f1e1);
    cpu = &vm->vcpu[1];
    assert_int_equal(rd(0x1040, 2), 0x7b01); /* another vCPU does not see it */
    cpu = &vm->vcpu[0];
    assert_int_equal(bus_remove(&cpu->own_mmio, 0x1040), OK);
    assert_int_equal(rd(0x1040, 2), 0x7b01);
}

static void holes(void **state)
{
    struct device a = {.id = 1, .holes = 0xf0}, own = {.id = 2, .holes = 0xff00};

    (void)state;
    assert_int_equal(bus_add(bus, 0x100, 16, &ops_holes, &a), OK);
    assert_int_equal(rd(0x100, 4), 0x55667701);
    assert_int_equal(a.accesses, 1);
    assert_int_equal(rd(0x104, 4), 0xffffffff);
    wr(0x104, 4, 0);
    assert_int_equal(a.accesses, 1);
    assert_int_equal(rd(0x102, 4), 0xffff3121); /* partly: by bytes */
    assert_int_equal(a.accesses, 3);
    /* Under a hole of the vCPU's bus lies the VM's. */
    assert_int_equal(bus_add(&cpu->own_mmio, 0x100, 16, &ops_holes, &own), OK);
    assert_int_equal(rd(0x100, 2), 0x7702);
    assert_int_equal(rd(0x108, 4), 0x55667781);
    assert_int_equal(a.size, 4);
    assert_int_equal(rd(0x107, 2), 0x8172);
    wr(0x10a, 2, 0xabcd);
    assert_int_equal(a.value, 0xabcd);
    assert_int_equal(a.offset, 10);
    own.holes = 0xfff0; /* both have the same one */
    assert_int_equal(rd(0x104, 2), 0xffff);
}

static void moves(void **state)
{
    struct device a = {.id = 1}, b = {.id = 2};

    (void)state;
    assert_int_equal(bus_add(bus, 0x1000, 0x100, &ops, &a), OK);
    assert_int_equal(bus_add(bus, 0x3000, 0x100, &ops, &b), OK);
    assert_int_equal(rd(0x1001, 1), 0x11);
    assert_int_equal(bus_move(bus, 0x1000, 0x5000), OK);
    assert_int_equal(rd(0x1001, 1), 0xff);
    assert_int_equal(rd(0x5002, 1), 0x21);
    assert_int_equal(bus_move(bus, 0x5000, 0x5001), OK); /* over where it was */
    assert_null(at(0x5000));
    assert_ptr_equal(at(0x5100), &a);
    assert_int_equal(bus_move(bus, 0x5001, 0x2fff), ERR_EXIST);
    assert_ptr_equal(at(0x5001), &a);
    assert_int_equal(bus_move(bus, 0x5001, ~0ull - 0xfe), ERR_INVAL);
    assert_ptr_equal(at(0x5001), &a);
    assert_int_equal(bus_move(bus, 0x5001, ~0ull - 0xff), OK);
    assert_ptr_equal(at(~0ull), &a);
    assert_int_equal(bus_move(bus, 0x5001, 0), ERR_NOENT);
}

/* A device that is itself removed, by what it is asked for. */
static void leave(void *dev, struct vcpu *vcpu, u64 offset, u32 size, u64 value)
{
    (void)dev, (void)vcpu, (void)offset, (void)size;
    assert_int_equal(bus_remove(bus, value), OK);
}

static void change_by_device(void **state)
{
    static const struct bus_ops leaving = {.write = leave};

    (void)state;
    assert_int_equal(bus_add(bus, 0x40, 8, &leaving, NULL), OK);
    wr(0x44, 4, 0x40);
    assert_int_equal(rd(0x44, 4), 0xffffffff);
}

/* --- against an array of bytes --- */

#define SPACE 64

struct bytes {
    u8 byte[SPACE];
    u64 holes;
};

static u64 bytes_read(void *dev, struct vcpu *vcpu, u64 offset, u32 size)
{
    u64 value = ~0ull; /* what is above the size must not matter */

    (void)vcpu;
    memcpy(&value, ((struct bytes *)dev)->byte + offset, size);
    return value;
}

static void bytes_write(void *dev, struct vcpu *vcpu, u64 offset, u32 size, u64 value)
{
    (void)vcpu;
    assert_true(size == 8 || value >> 8 * size == 0);
    memcpy(((struct bytes *)dev)->byte + offset, &value, size);
}

static bool bytes_claims(void *dev, struct vcpu *vcpu, u64 offset)
{
    (void)vcpu;
    return !(((struct bytes *)dev)->holes >> offset & 1);
}

static const struct bus_ops byte_ops = {bytes_read, bytes_write, bytes_claims};
static const struct bus_ops whole_ops = {bytes_read, bytes_write, NULL};

#define NR_DEVICES 12

/* Half of the devices are the VM's, half vCPU 0's; size 0: not there. */
static struct model {
    struct bytes bytes;
    u64 base, size;
    bool with_holes;
} model[NR_DEVICES];

static struct bus *bus_of(u32 i)
{
    return i < NR_DEVICES / 2 ? &vm->mmio : &vm->vcpu[0].own_mmio;
}

/* The byte that serves addr for a vCPU. Null: nothing. */
static u8 *model_byte(u32 vcpu, u64 addr)
{
    for (u32 k = NR_DEVICES; k--;) { /* the vCPU's own first */
        struct model *m = &model[k];

        if (k >= NR_DEVICES / 2 && vcpu)
            continue;
        if (addr - m->base < m->size && !(m->with_holes && (m->bytes.holes >> (addr - m->base) & 1)))
            return &m->bytes.byte[addr - m->base];
    }
    return NULL;
}

static void model_change(u32 i)
{
    struct model *m = &model[i];
    u64 base = (u64)rand() % SPACE, size = (u64)rand() % 12;
    bool overlaps = false;

    for (u32 k = 0; k < NR_DEVICES; k++)
        overlaps |= k != i && model[k].size && bus_of(k) == bus_of(i) &&
                    base < model[k].base + model[k].size && model[k].base < base + (m->size ? m->size : size);
    if (m->size && rand() % 2) {
        assert_int_equal(bus_remove(bus_of(i), m->base), OK);
        m->size = 0;
    } else if (m->size) {
        assert_int_equal(bus_move(bus_of(i), m->base, base), overlaps ? ERR_EXIST : OK);
        m->base = overlaps ? m->base : base;
    } else {
        bool with_holes = rand() % 2;
        int rc = bus_add(bus_of(i), base, size, with_holes ? &byte_ops : &whole_ops, &m->bytes);

        assert_int_equal(rc, !size ? ERR_INVAL : overlaps ? ERR_EXIST : OK);
        if (rc)
            return;
        m->base = base;
        m->size = size;
        m->with_holes = with_holes;
        m->bytes.holes = rand() & rand();
    }
}

static void model_access(u32 vcpu)
{
    struct bus_view *view = &vm->vcpu[vcpu].mmio;
    u64 addr = (u64)rand() % (SPACE + 12) - 4, value = (u64)rand() << 33 ^ (u64)rand() << 11 ^ rand();
    u32 size = rand() % 8 + 1;
    u64 expected = 0;

    if (rand() % 2) {
        bus_write(view, addr, size, value);
        for (u32 i = 0; i < size; i++) { /* a byte that stays what it was would show below */
            u8 *byte = model_byte(vcpu, addr + i);

            if (byte)
                assert_int_equal(*byte, value >> 8 * i & 0xff);
        }
    }
    for (u32 i = 0; i < size; i++) {
        u8 *byte = model_byte(vcpu, addr + i);

        expected |= (byte ? *byte : 0xffull) << 8 * i;
    }
    assert_int_equal(bus_read(view, addr, size), expected);
}

static void against_model(void **state)
{
    (void)state;
    srand(1);
    memset(model, 0, sizeof(model));
    for (u32 n = 0; n < 200000; n++) {
        if (n % 8 == 0)
            model_change(rand() % NR_DEVICES);
        model_access(rand() % 2);
    }
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(add_and_find), T(refusals),         T(many),  T(no_memory), T(accesses),         T(unclaimed),
        T(split),        T(own_bus_eclipses), T(holes), T(moves),     T(change_by_device), T(against_model),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
