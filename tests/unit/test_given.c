/* SPDX-License-Identifier: MIT */
/* links: vmm/bus.c */
/* Parts of the machine that are a VM's own: what is refused, ports by the bus, interrupts until the EOI. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define ARCH_X86_CPU_H
#include "tests/unit/fake_asm.h"

struct cpu {
    u32 apic_id;
};

static struct cpu cpu[2] = {{7}, {9}};
static struct cpu *cpus[2] = {&cpu[0], &cpu[1]};

#include "vmm/given.c"

static struct config_vm config;
static struct vm vm;
static struct platform platform;
static struct vcpu vcpu;
static void *allocs[64];
static u32 nr_allocs, pages;
static char said[200];
static char trace[400]; /* what happened to lines */

static void note(const char *fmt, ...) __printf(1, 2);
static void note(const char *fmt, ...)
{
    size_t n = strlen(trace);
    va_list args;

    va_start(args, fmt);
    vsnprintf(trace + n, sizeof(trace) - n, fmt, args);
    va_end(args);
}

static void expect_trace(const char *text)
{
    assert_string_equal(trace, text);
    trace[0] = 0;
}

/* --- what lies below --- */

static u32 last_in, last_out, last_value;

static u32 fake_in(u16 port, u32 size)
{
    last_in = (u32)port << 4 | size;
    return 0x11223344;
}

static void fake_out(u16 port, u32 size, u32 value)
{
    last_out = (u32)port << 4 | size;
    last_value = value;
}

static u64 fake_tsc(void)
{
    return 0;
}

void log_msg(enum log_level level, const char *fmt, ...)
{
    va_list args;

    assert_int_equal(level, LOG_ERROR);
    va_start(args, fmt);
    vsnprintf(said, sizeof(said), fmt, args);
    va_end(args);
}

void *vm_alloc(struct vm *v, size_t size)
{
    assert_ptr_equal(v, &vm);
    return allocs[nr_allocs++] = calloc(1, size);
}

void *pool_alloc(struct frame_owner *owner, u32 n)
{
    assert_ptr_equal(owner, &vm.owner);
    pages += n;
    return allocs[nr_allocs++] = calloc(n, PAGE_SIZE);
}

static u64 mapped, mapped_size;

const char *vm_map_device(struct vm *v, paddr_t pa, u64 size)
{
    assert_ptr_equal(v, &vm);
    mapped = pa;
    mapped_size = size;
    return pa == 0xd0000 ? "the VM has RAM there" : NULL;
}

static void (*handler)(u8 vector);

void irq_set_handler(u8 vector, void (*fn)(u8 vector))
{
    assert_in_range(vector, VECTOR_DEVICES, VECTOR_DEVICES + CONFIG_IRQ_MAX);
    handler = fn;
}

static bool locked(const struct spinlock *lock)
{
    return lock->owner != lock->next;
}

void vm_set_irq(struct vm *v, u32 irq, bool level)
{
    assert_ptr_equal(v, &vm);
    assert_true(locked(&vm.dev_lock));
    note(" isa%u=%d", irq, level);
}

void irq_set_input(struct vm *v, u32 pin, bool level)
{
    assert_ptr_equal(v, &vm);
    note(" pin%u=%d", pin, level);
}

static void (*on_eoi)(struct vm *vm, u32 pin);
static u32 eoi_pins;

void ioapic_on_eoi(struct ioapic *io, u32 pin, void (*served)(struct vm *vm, u32 pin))
{
    assert_ptr_equal(io, platform.ioapic);
    on_eoi = served;
    eoi_pins |= (u32)BIT(pin);
}

static const char *machine_taken(enum config_given kind, u64 first, u64 last)
{
    return kind == GIVEN_PORT && first <= 0x60 && last >= 0x60 ? "the keyboard controller is there" : NULL;
}

static int machine_route(u32 irq, u8 vector, u32 apic_id, bool *level)
{
    assert_int_equal(vector, VECTOR_DEVICES + irq);
    note(" route%u->%u", irq, apic_id);
    *level = irq >= 16;
    return irq == 23 ? ERR_RANGE : OK;
}

static void machine_mask(u32 irq, bool masked)
{
    note(" mask%u=%d", irq, masked);
}

static const struct given_machine machine = {machine_taken, machine_route, machine_mask};

/* --- tests --- */

static int setup(void **state)
{
    (void)state;
    memset(&vm, 0, sizeof(vm));
    memset(&config, 0, sizeof(config));
    memset(lines, 0, sizeof(lines));
    nr_allocs = pages = eoi_pins = 0;
    said[0] = trace[0] = 0;
    strcpy(config.name, "one");
    config.pin[0] = CONFIG_PIN_ANY;
    vm.config = &config;
    vm.platform = &platform;
    bus_domain_init(&vm.buses, &vm, &vm.dev_lock);
    vm.pio.domain = vm.mmio.domain = &vm.buses;
    bus_view_init(&vcpu.pio, NULL, &vm.pio, &vcpu, BUS_PIO_SHIFT);
    bus_view_init(&vcpu.mmio, NULL, &vm.mmio, &vcpu, BUS_MMIO_SHIFT);
    given_machine = &machine;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (u32 i = 0; i < nr_allocs; i++)
        free(allocs[i]);
    return 0;
}

static void want(enum config_given kind, u64 first, u64 last)
{
    config.given[kind][config.nr_given[kind]++] = (struct config_range){first, last, 12};
}

static void test_ports(void **state)
{
    (void)state;
    assert_true(given_start(&vm));
    assert_null(vm.io_bitmaps); /* without ports nothing is different */
    want(GIVEN_PORT, 0x2f9, 0x2ff);
    want(GIVEN_PORT, 0x7fff, 0x8000);
    assert_true(given_start(&vm));
    assert_int_equal(pages, IO_BITMAP_PAGES);
    for (u32 port = 0; port < 0x10000; port++) {
        bool given = (port >= 0x2f9 && port <= 0x2ff) || port == 0x7fff || port == 0x8000;

        assert_int_equal(vm.io_bitmaps[port / 8] >> port % 8 & 1, !given);
    }
    /* Where an access exits all the same. */
    assert_int_equal(bus_read(&vcpu.pio, 0x2fa, 2), 0x3344);
    assert_int_equal(last_in, 0x2fa2);
    assert_int_equal(bus_read(&vcpu.pio, 0x2fa, 4), 0x11223344);
    assert_int_equal(last_in, 0x2fa4);
    assert_int_equal(bus_read(&vcpu.pio, 0x2f8, 2), 0x44ff); /* its first byte is nobody's */
    assert_int_equal(last_in, 0x2f91);
    bus_write(&vcpu.pio, 0x7fff, 2, 0xabcd);
    assert_int_equal(last_out, 0x7fff2);
    assert_int_equal(last_value, 0xabcd);
    bus_write(&vcpu.pio, 0x2ff, 1, 0x56);
    assert_int_equal(last_out, 0x2ff1);
    bus_write(&vcpu.pio, 0x2fc, 4, 0x12345678);
    assert_int_equal(last_out, 0x2fc4);
    assert_int_equal(last_value, 0x12345678);
}

static void test_memory(void **state)
{
    (void)state;
    want(GIVEN_MMIO, 0xb9000, 0xbffff);
    assert_true(given_start(&vm));
    assert_int_equal(mapped, 0xb9000);
    assert_int_equal(mapped_size, 0x7000);
    assert_int_equal(bus_read(&vcpu.mmio, 0xb9000, 4), 0xffffffff);
    bus_write(&vcpu.mmio, 0xb9000, 8, 1);
}

static u64 nothing_read(void *dev, struct vcpu *v, u64 offset, u32 size)
{
    (void)dev, (void)v, (void)offset, (void)size;
    return 0;
}

static void test_refused(void **state)
{
    static const struct bus_ops ops = {.read = nothing_read};
    static const struct {
        enum config_given kind;
        u64 first, last;
        const char *said;
    } row[] = {
        {GIVEN_PORT, 0x5f, 0x61, "port cannot be given: the keyboard controller is there"},
        {GIVEN_PORT, 0x3f0, 0x3f8, "port cannot be given: a virtual device of the VM's is there"},
        {GIVEN_MMIO, 0xd0000, 0xd0fff, "mmio cannot be given: the VM has RAM there"},
        {GIVEN_MMIO, 0xfec00000, 0xfec0ffff, "mmio cannot be given: a virtual device of the VM's is there"},
        {GIVEN_IRQ, 4, 4, "irq cannot be given: a virtual device of the VM's uses it"},
        {GIVEN_IRQ, 17, 17, "irq cannot be given: a virtual device of the VM's uses it"},
        {GIVEN_IRQ, 23, 23, "irq cannot be given: no I/O APIC of the machine takes it to its CPU"},
    };

    for (u32 i = 0; i < ARRAY_SIZE(row); i++) {
        char text[200];

        setup(state);
        config.rng = true;
        assert_int_equal(bus_add(&vm.pio, 0x3f8, 8, &ops, NULL), OK);
        assert_int_equal(bus_add(&vm.mmio, 0xfec00000, 0x1000, &ops, NULL), OK);
        want(row[i].kind, row[i].first, row[i].last);
        assert_false(given_start(&vm));
        snprintf(text, sizeof(text), "nidus.conf:12: one: %s", row[i].said);
        assert_string_equal(said, text);
        for (u32 irq = 0; irq < ARRAY_SIZE(lines); irq++)
            assert_null(lines[irq].vm);
        teardown(state);
        nr_allocs = 0;
    }
}

/* An edge: one rising for each, and the end of interrupt means nothing. */
static void test_edge(void **state)
{
    (void)state;
    config.pin[0] = 1;
    want(GIVEN_IRQ, 3, 3);
    assert_true(given_start(&vm));
    expect_trace(" route3->9");
    assert_int_equal(eoi_pins, 0);
    handler(VECTOR_DEVICES + 3);
    handler(VECTOR_DEVICES + 3);
    expect_trace(" isa3=0 isa3=1 isa3=0 isa3=1");
    assert_false(locked(&vm.dev_lock));
    assert_false(locked(&lines_lock));
}

/* Masked from the interrupt to its end; what asks then comes again. */
static void test_level(void **state)
{
    (void)state;
    want(GIVEN_IRQ, 17, 17);
    want(GIVEN_IRQ, 3, 3);
    assert_true(given_start(&vm));
    expect_trace(" route17->7 route3->7");
    assert_int_equal(eoi_pins, BIT(17));
    for (u32 i = 0; i < 2; i++) {
        handler(VECTOR_DEVICES + 17);
        expect_trace(" mask17=1 pin17=1");
        on_eoi(&vm, 17);
        expect_trace(" pin17=0 mask17=0");
    }
}

static void test_end(void **state)
{
    struct vm other = {0};

    (void)state;
    want(GIVEN_IRQ, 17, 17);
    want(GIVEN_IRQ, 3, 3);
    assert_true(given_start(&vm));
    trace[0] = 0;
    given_leave(&other);
    expect_trace("");
    given_leave(&vm);
    expect_trace(" mask3=1 mask17=1");
    handler(VECTOR_DEVICES + 17); /* it was on its way */
    handler(VECTOR_DEVICES + 3);
    expect_trace("");
    given_leave(&vm);
    expect_trace("");
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(test_ports), TEST(test_memory), cmocka_unit_test(test_refused),
                                       TEST(test_edge),  TEST(test_level),  TEST(test_end)};

    return cmocka_run_group_tests_name("given", tests, NULL, NULL);
}
