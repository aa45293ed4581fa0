/* SPDX-License-Identifier: MIT */
/* links: vmm/bus.c tests/unit/fake_host.c */
/* libs: -lpthread */
/* vCPUs that access devices while these come, go and move. Also clean with -fsanitize=thread. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <pthread.h>
#include <sched.h>
#include <cmocka.h>

#include "tests/unit/fake_host.h"

#define NR_READERS 2
#define NR_DEVICES 40
#define NR_CHANGES 20000
#define SIZE       16

/* present is the changer's word, given under the device lock, under which devices are called. */
struct device {
    u64 base;
    bool present;
    u32 wrong;
};

static struct vm *vm;
static struct device device[NR_DEVICES], fixed, own[NR_READERS];
static u32 started, stop, wrong;

static u64 device_read(void *dev, struct vcpu *vcpu, u64 offset, u32 size)
{
    struct device *d = dev;

    (void)vcpu, (void)size;
    if (!d->present)
        d->wrong++;
    return (u64)(d - device) << 8 | offset;
}

static u64 fixed_read(void *dev, struct vcpu *vcpu, u64 offset, u32 size)
{
    (void)dev, (void)vcpu, (void)size;
    return 0xf0 | offset;
}

/* Without any lock: only its vCPU comes here. */
static u64 own_read(void *dev, struct vcpu *vcpu, u64 offset, u32 size)
{
    struct device *d = dev;

    (void)size;
    if (d != &own[vcpu_id(vcpu)])
        __atomic_add_fetch(&wrong, 1, __ATOMIC_RELAXED);
    return ++d->wrong << 4 | offset;
}

static const struct bus_ops ops = {.read = device_read}, fixed_ops = {.read = fixed_read},
                            own_ops = {.read = own_read};

/* Device k is at one of two places; between them, always, the fixed one. */
static u64 place(u32 k, bool second)
{
    return (second ? 0x20000 : 0) + k * 2 * SIZE;
}

#define FIXED_BASE 0x10000
#define OWN_BASE   0x18000

static void check(bool ok)
{
    if (!ok)
        __atomic_add_fetch(&wrong, 1, __ATOMIC_RELAXED);
}

static void *reader(void *arg)
{
    struct vcpu *vcpu = arg;
    u32 n = 0, id = vcpu_id(vcpu), own_reads = 0;

    __atomic_add_fetch(&started, 1, __ATOMIC_RELAXED);
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED) || n < 1000) {
        u32 k = n++ * 7 % NR_DEVICES;

        /* Not always: where threads share a CPU, a lock that is waited for takes long. */
        if (n % 8 == 0) {
            u64 value = bus_read(&vcpu->mmio, place(k, n & 8) + 3, 4);

            check(value == 0xffffffff || value == (k << 8 | 3));
        }
        check(bus_read(&vcpu->mmio, FIXED_BASE + n % 8, 1) == (0xf0 | n % 8));
        /* One's own device is never missing, wherever it moves: it does so by this thread. */
        check(bus_read(&vcpu->mmio, OWN_BASE + (n / 64 % 4) * 0x100 + 1, 8) == (++own_reads << 4 | 1));
        if (n % 64 == 63) {
            vm_lock(vm);
            check(bus_move(&vcpu->own_mmio, own[id].base, OWN_BASE + ((n + 1) / 64 % 4) * 0x100) == OK);
            vm_unlock(vm);
            own[id].base = OWN_BASE + ((n + 1) / 64 % 4) * 0x100;
        }
    }
    return NULL;
}

static void change(u32 n)
{
    u32 k = n * 11 % NR_DEVICES;
    struct device *d = &device[k];
    u64 to = place(k, n / NR_DEVICES & 1);

    vm_lock(vm);
    if (!d->present) {
        check(bus_add(&vm->mmio, to, SIZE, &ops, d) == OK);
        d->present = true;
        d->base = to;
    } else if (n % 3) {
        check(bus_move(&vm->mmio, d->base, to) == OK);
        d->base = to;
    } else {
        check(bus_remove(&vm->mmio, d->base) == OK);
        d->present = false;
    }
    vm_unlock(vm);
}

static void test_changes_under_way(void **state)
{
    pthread_t thread[NR_READERS];

    (void)state;
    vm = fake_vm(NR_READERS, 0);
    assert_int_equal(bus_add_lock(&vm->mmio, FIXED_BASE, SIZE, &fixed_ops, &fixed, NULL), OK);
    for (u32 i = 0; i < NR_READERS; i++) {
        own[i].base = OWN_BASE;
        assert_int_equal(bus_add_lock(&vm->vcpu[i].own_mmio, OWN_BASE, SIZE, &own_ops, &own[i], NULL), OK);
    }
    for (u32 i = 0; i < NR_READERS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, reader, &vm->vcpu[i]), 0);
    while (__atomic_load_n(&started, __ATOMIC_RELAXED) < NR_READERS)
        sched_yield();
    for (u32 n = 0; n < NR_CHANGES; n++)
        change(n);
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    for (u32 i = 0; i < NR_READERS; i++)
        assert_int_equal(pthread_join(thread[i], NULL), 0);
    assert_int_equal(wrong, 0);
    for (u32 k = 0; k < NR_DEVICES; k++)
        assert_int_equal(device[k].wrong, 0);
    fake_vm_free(vm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_changes_under_way)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
