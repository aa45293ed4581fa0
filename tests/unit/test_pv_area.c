/* SPDX-License-Identifier: MIT */
/* links: vmm/pv/clock.c */
/* The hypercall page, the vCPUs' areas and their clocks: what the MSRs take and what stands in memory then.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86/layout.h"
#include "tests/unit/fake_vmx.h"
#undef VM_BASE
#define VM_BASE ((u64)ram)

static unsigned char ram[0x8000] __attribute__((aligned(4096)));

#include "vmm/pv/area.c"

#define ON NIDUS_MSR_ENABLE

bool have_smap;
u64 tsc_hz = 50000000;

static struct vm vm;
static struct vcpu vcpus[2];
static u64 field[0x7000];
static u32 cancelled, kvm_resets;

static u64 vmread(u32 encoding)
{
    return field[encoding];
}

static void vmwrite(u32 encoding, u64 value)
{
    field[encoding] = value;
}

int vm_populate(struct vm *v, gpa_t gpa)
{
    assert_ptr_equal(v, &vm);
    return gpa < sizeof(ram) ? OK : ERR_RANGE;
}

int guest_read(struct vm *v, gpa_t gpa, void *to, u64 n)
{
    assert_ptr_equal(v, &vm);
    if (gpa > sizeof(ram) - n)
        return ERR_RANGE;
    memcpy(to, ram + gpa, n);
    return OK;
}

int guest_write(struct vm *v, gpa_t gpa, const void *from, u64 n)
{
    assert_ptr_equal(v, &vm);
    if (gpa > sizeof(ram) - n)
        return ERR_RANGE;
    memcpy(ram + gpa, from, n);
    return OK;
}

void vcpu_step_back_in(struct vcpu *v)
{
    vcpu_step_in(v);
}

void pv_kvm_reset(struct vcpu *v)
{
    assert_ptr_equal(v, &vcpus[1]);
    kvm_resets++;
}

void pv_timer_init(struct vcpu *v)
{
    (void)v;
}

void vtimer_cancel(struct vtimer *t)
{
    assert_ptr_equal(t, &vcpus[1].pv.timer);
    cancelled++;
}

static int start(void **state)
{
    (void)state;
    memset(&vm, 0, sizeof(vm));
    memset(vcpus, 0, sizeof(vcpus));
    memset(field, 0, sizeof(field));
    memset(ram, 0xa5, sizeof(ram));
    vm.nr_vcpus = 2;
    vm.cpuid.nidus[1].eax = NIDUS_HAS_CLOCK;
    for (u32 i = 0; i < 2; i++) {
        vm.vcpus[i] = &vcpus[i];
        vcpus[i].vm = &vm;
        vcpus[i].id = i;
        pv_vcpu_init(&vcpus[i]);
    }
    return 0;
}

static int write_page(u64 value)
{
    return msr_pv_page_write(&vcpus[0], NULL, 0, value);
}

static int write_area(u32 id, u64 value)
{
    return msr_pv_area_write(&vcpus[id], NULL, 0, value);
}

static u64 read_area(u32 id)
{
    u64 value = 1;

    assert_int_equal(msr_pv_area_read(&vcpus[id], NULL, 0, &value), OK);
    return value;
}

static const struct nidus_area *area_at(gpa_t gpa)
{
    return (const struct nidus_area *)(ram + gpa);
}

static void test_hypercall_page(void **state)
{
    u64 value = 1;

    (void)state;
    assert_int_equal(write_page(0x2000 | ON), OK);
    assert_memory_equal(ram + 0x2000, "\x0f\x01\xc1\xc3\xcc\xcc", 6);
    assert_int_equal(ram[0x2fff], 0xcc);
    assert_int_equal(ram[0x1fff], 0xa5);
    assert_int_equal(ram[0x3000], 0xa5);
    assert_int_equal(msr_pv_page_read(&vcpus[1], NULL, 0, &value), OK);
    assert_int_equal(value, 0x2000 | ON);
    /* The same again changes nothing, another is refused, given up it stays as it is in memory. */
    ram[0x2000] = 0;
    assert_int_equal(write_page(0x2000 | ON), OK);
    assert_int_equal(ram[0x2000], 0);
    assert_int_equal(write_page(0x3000 | ON), ERR_INVAL);
    assert_int_equal(write_page(0), OK);
    assert_int_equal(write_page(0x3000 | ON), OK);
}

static const u64 bad[] = {0x2000, ON | 0x2002, ON | 0x2800, ON | sizeof(ram), ON | 0xfee00000, ON | BIT(63),
                          2};

static void test_bad_values(void **state)
{
    (void)state;
    for (u32 i = 0; i < ARRAY_SIZE(bad); i++) {
        assert_int_equal(write_page(bad[i]), ERR_INVAL);
        assert_int_equal(write_area(0, bad[i]), ERR_INVAL);
    }
    assert_int_equal(vm.pv.hypercall_page, 0);
    assert_int_equal(read_area(0), 0);
    assert_null(vcpus[0].pv.queue.area);
    for (u32 i = 0; i < sizeof(ram); i++)
        assert_int_equal(ram[i], 0xa5);
}

static void test_area(void **state)
{
    const struct nidus_area *a = area_at(0x3000);

    (void)state;
    field[CR0_GUEST_HOST_MASK] = 0xffff0000;
    field[CR0_READ_SHADOW] = 0x11112222;
    field[GUEST_CR0] = 0x33334444;
    field[CR4_GUEST_HOST_MASK] = 0x2000;
    field[CR4_READ_SHADOW] = 0;
    field[GUEST_CR4] = 0x2020;
    field[GUEST_CR3] = 0x123000;
    assert_int_equal(write_area(1, 0x3000 | ON), OK);
    assert_int_equal(read_area(1), 0x3000 | ON);
    assert_int_equal(read_area(0), 0);
    assert_ptr_equal(vcpus[1].pv.queue.area, a);
    assert_int_equal(a->vcpu, 1);
    assert_int_equal(a->cr0, 0x11114444);
    assert_int_equal(a->cr3, 0x123000);
    assert_int_equal(a->cr4, 0x20);
    assert_int_equal(a->head, 0);
    assert_int_equal(a->tail, 0);
    assert_int_equal(a->polled, 0);
    for (u32 i = 0; i < NIDUS_SLOTS; i++)
        assert_int_equal(a->slot[i].flags, 0);
    assert_int_equal(vcpus[1].turn & 1, 1);
}

/* Twice: the same is nothing new, another is refused; a page is one vCPU's only. */
static void test_area_twice(void **state)
{
    (void)state;
    assert_int_equal(write_page(0x2000 | ON), OK);
    assert_int_equal(write_area(0, 0x3000 | ON), OK);
    vcpus[0].pv.queue.head = 5;
    assert_int_equal(write_area(0, 0x3000 | ON), OK);
    assert_int_equal(vcpus[0].pv.queue.head, 5);
    assert_int_equal(write_area(0, 0x4000 | ON), ERR_INVAL);
    assert_int_equal(write_area(1, 0x3000 | ON), ERR_INVAL);
    assert_int_equal(write_area(1, 0x2000 | ON), ERR_INVAL);
    assert_int_equal(vcpus[0].pv.queue.head, 5);
    assert_int_equal(write_area(0, 0), OK);
    assert_null(vcpus[0].pv.queue.area);
    assert_int_equal(write_area(1, 0x3000 | ON), OK);
    assert_int_equal(write_area(0, 0x4000 | ON), OK);
    assert_int_equal(vcpus[0].pv.queue.head, 0);
}

static void test_init(void **state)
{
    (void)state;
    assert_int_equal(write_area(1, 0x3000 | ON), OK);
    vcpus[1].pv.queue.begun = vcpus[1].pv.queue.stopped = true;
    cancelled = kvm_resets = 0;
    pv_vcpu_reset(&vcpus[1]);
    assert_int_equal(cancelled, 1);
    assert_int_equal(kvm_resets, 1);
    assert_int_equal(read_area(1), 0);
    assert_null(vcpus[1].pv.queue.area);
    assert_false(vcpus[1].pv.queue.begun || vcpus[1].pv.queue.stopped);
    assert_true(vcpus[1].pv.clock[PV_CLOCK_AREA] == GPA_NONE);
}

static void test_pins(void **state)
{
    (void)state;
    assert_false(pv_pins(&vm, 0, sizeof(ram)));
    assert_int_equal(write_page(0x2000 | ON), OK);
    assert_int_equal(write_area(1, 0x5000 | ON), OK);
    assert_true(pv_pins(&vm, 0, sizeof(ram)));
    assert_true(pv_pins(&vm, 0x2000, 0x1000));
    assert_true(pv_pins(&vm, 0x2fff, 1));
    assert_true(pv_pins(&vm, 0x4000, 0x2000));
    assert_false(pv_pins(&vm, 0x3000, 0x2000));
    assert_false(pv_pins(&vm, 0x1000, 0x1000));
    assert_false(pv_pins(&vm, 0x6000, 0x2000));
}

/* hide = PV_CLOCK: nothing is written there. */
static void test_hidden_clock(void **state)
{
    static const struct nidus_clock none;

    (void)state;
    vm.cpuid.nidus[1].eax = 0;
    vm.start_tsc = 1000;
    assert_int_equal(write_area(0, 0x3000 | ON), OK);
    pv_clocks_publish(&vm);
    assert_memory_equal(&area_at(0x3000)->clock, &none, sizeof(none));
}

static void test_polled(void **state)
{
    (void)state;
    vm.cpuid.nidus[1].eax = NIDUS_HAS_POLL;
    assert_int_equal(write_area(0, 0x3000 | ON), OK);
    assert_int_equal(area_at(0x3000)->polled, 1);
}

/* --- the clock --- */

static u64 ns_of(u64 ticks, u32 mul, s8 shift)
{
    ticks = shift < 0 ? ticks >> -shift : ticks << shift;
    return (u64)((unsigned __int128)ticks * mul >> 32);
}

static void test_scale(void **state)
{
    static const u64 rates[] = {1000000, 50000000, 999999999, 1000000000, 1000000001, 2400000000, 5100000000};
    u32 mul;
    s8 shift;

    (void)state;
    for (u32 i = 0; i < ARRAY_SIZE(rates); i++) {
        u64 day = rates[i] * 86400, wanted = 86400ull * 1000000000, got;

        pv_clock_scale(rates[i], &mul, &shift);
        got = ns_of(day, mul, shift);
        assert_in_range(mul, BIT(31) - 1, BIT(32) - 1);
        assert_true(got <= wanted && wanted - got < 100000);
    }
}

static void test_clock(void **state)
{
    const struct nidus_clock *clock = &area_at(0x3000)->clock;
    u32 version;

    (void)state;
    vm.start_tsc = 1000;
    vcpus[0].tsc_offset = vcpus[1].tsc_offset = -1000ull;
    assert_int_equal(write_area(1, 0x3000 | ON), OK);
    version = clock->version;
    assert_int_equal(version % 2, 0);
    assert_int_equal(clock->tsc_timestamp, 0);
    assert_int_equal(clock->system_time, 0);
    assert_int_equal(clock->flags, 1);
    assert_int_equal(ns_of(50000000, clock->tsc_to_system_mul, clock->tsc_shift), 1000000000);
    /* A TSC that was moved shows the same time; of two that differ each has its own clock. */
    vcpus[1].tsc_offset += 500;
    vcpus[0].pv.clock[PV_CLOCK_KVM] = 0x100;
    pv_clocks_publish(&vm);
    assert_int_equal(clock->tsc_timestamp, 500);
    assert_int_equal(clock->flags, 0);
    assert_int_not_equal(clock->version, version);
    assert_int_equal(clock->version % 2, 0);
    assert_int_equal(((struct nidus_clock *)(ram + 0x100))->tsc_timestamp, 0);
    assert_int_equal(((struct nidus_clock *)(ram + 0x100))->flags, 0);
    /* Nothing is written to where no RAM is, nor where no clock is any more. */
    vcpus[0].pv.clock[PV_CLOCK_KVM] = sizeof(ram) - 8;
    assert_int_equal(write_area(1, 0), OK);
    version = clock->version;
    pv_clocks_publish(&vm);
    assert_int_equal(clock->version, version);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_hypercall_page, start), cmocka_unit_test_setup(test_bad_values, start),
        cmocka_unit_test_setup(test_area, start),           cmocka_unit_test_setup(test_area_twice, start),
        cmocka_unit_test_setup(test_init, start),           cmocka_unit_test_setup(test_pins, start),
        cmocka_unit_test_setup(test_polled, start),         cmocka_unit_test(test_scale),
        cmocka_unit_test_setup(test_clock, start),          cmocka_unit_test_setup(test_hidden_clock, start),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
