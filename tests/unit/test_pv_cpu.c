/* SPDX-License-Identifier: MIT */
/* links: vmm/pv/clock.c */
/* Operations on control registers, translations, interrupts and time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86/vmx_caps.h"
#define ARCH_X86_VMX_H /* this test is it */
#include "arch/x86/vmcs.h"

static struct vmx_features vmx_features;
static struct vmx_caps vmx_caps;
static u32 flushed[8], nr_pages;
static u64 page[64];

static void invvpid_single(u16 vpid)
{
    flushed[vpid % 8]++;
}

static void invvpid_address(u16 vpid, u64 address)
{
    (void)vpid;
    assert_true(nr_pages < ARRAY_SIZE(page));
    page[nr_pages++] = address;
}

#include "vmm/pv/ops_cpu.c"

u64 tsc_hz = 50000000;

static struct vm vm;
static struct vcpu vcpus[3];
static struct guest_cpuid features;
static bool contended;
static u64 waited, posted[3], timer_when;
static u32 nmis[3], cancels, stored;
static struct vcpu *waiter, *preferred;
static u64 cr, cr_value;

bool exit_write_cr(struct vcpu *v, u64 number, u64 value)
{
    assert_ptr_equal(v, &vcpus[0]);
    cr = number;
    cr_value = value;
    return number <= 4;
}

void pv_area_store_crs(struct vcpu *v)
{
    assert_ptr_equal(v, &vcpus[0]);
    stored++;
}

void vm_wait_until_seen(struct vm *v, struct vcpu *self, u64 mask)
{
    assert_ptr_equal(v, &vm);
    waiter = self;
    waited = mask;
    for (u32 i = 0; i < 3; i++)
        assert_int_equal(vcpus[i].requests, mask >> i & 1 ? REQ_FLUSH : 0);
}

void lapic_post(struct lapic *l, u8 vector, bool level)
{
    assert_false(level);
    posted[(u64)l - 1] = vector;
}

void vcpu_nmi(struct vcpu *v)
{
    nmis[v->id]++;
}

struct lapic *vcpu_lapic(struct vcpu *v)
{
    return v->lapic;
}

void vtimer_init(struct vtimer *t, struct vcpu *v, void (*fire)(struct vtimer *))
{
    t->vcpu = v;
    t->fire = fire;
}

void vtimer_set(struct vtimer *t, u64 when)
{
    assert_ptr_equal(t, &vcpus[0].pv.timer);
    timer_when = when;
}

void vtimer_cancel(struct vtimer *t)
{
    assert_ptr_equal(t, &vcpus[0].pv.timer);
    cancels++;
}

bool sched_give_way(struct vcpu *v, struct vcpu *to)
{
    assert_ptr_equal(v, &vcpus[0]);
    preferred = to;
    return contended;
}

int guest_read(struct vm *v, gpa_t gpa, void *to, u64 n)
{
    (void)v, (void)gpa, (void)to, (void)n;
    return ERR_RANGE;
}

int guest_write(struct vm *v, gpa_t gpa, const void *from, u64 n)
{
    (void)v, (void)gpa, (void)from, (void)n;
    return ERR_RANGE;
}

static int start(void **state)
{
    (void)state;
    memset(&vm, 0, sizeof(vm));
    memset(vcpus, 0, sizeof(vcpus));
    memset(flushed, 0, sizeof(flushed));
    memset(posted, 0, sizeof(posted));
    memset(nmis, 0, sizeof(nmis));
    nr_pages = cancels = stored = 0;
    waited = timer_when = 0;
    waiter = preferred = NULL;
    features.linear_bits = 48;
    vmx_features.granted = BIT(VF_VPID);
    vmx_caps.ept_vpid = VPID_CAP_INVVPID_ADDRESS;
    vm.nr_vcpus = 3;
    contended = false;
    for (u32 i = 0; i < 3; i++) {
        vm.vcpus[i] = &vcpus[i];
        vcpus[i].vm = &vm;
        vcpus[i].id = i;
        vcpus[i].cpuid = &features;
        vcpus[i].lapic = (struct lapic *)(u64)(i + 1);
        pv_timer_init(&vcpus[i]);
    }
    return 0;
}

static struct pv_call call(u64 a, u64 b, u64 c, u64 d)
{
    return (struct pv_call){.v = &vcpus[0], .arg = {a, b, c, d}};
}

static s64 run(s64 (*op)(struct pv_call *), u64 a, u64 b, u64 c, u64 d)
{
    struct pv_call x = call(a, b, c, d);

    return op(&x);
}

static void test_control_registers(void **state)
{
    (void)state;
    assert_int_equal(run(pv_set_cr, 3, 0x5000, 0, 0), 0);
    assert_int_equal(cr, 3);
    assert_int_equal(cr_value, 0x5000);
    assert_int_equal(stored, 0);
    vcpus[0].pv.area = 0x1001;
    assert_int_equal(run(pv_set_cr, 4, 1, 0, 0), 0);
    assert_int_equal(stored, 1);
    assert_int_equal(run(pv_set_cr, BIT(32), 1, 0, 0), -NIDUS_EINVAL);
    assert_int_equal(stored, 1);
}

static void test_flush_local(void **state)
{
    u16 vpid = vcpu_vpid(&vcpus[0], 0) % 8;

    (void)state;
    assert_int_equal(run(pv_flush_local, 0x1000, 3, 0, 0), 0);
    assert_int_equal(nr_pages, 3);
    assert_int_equal(page[2], 0x3000);
    assert_int_equal(flushed[vpid], 0);
    /* All; too many; not canonical at the end; a range around the end of the address space; no such INVVPID.
     */
    assert_int_equal(run(pv_flush_local, 0, 0, 0, 0), 0);
    assert_int_equal(run(pv_flush_local, 0, MAX_PAGES_APART + 1, 0, 0), 0);
    assert_int_equal(run(pv_flush_local, 0x7fffffffe000, 3, 0, 0), 0);
    assert_int_equal(run(pv_flush_local, 0, ~0ull, 0, 0), 0);
    vmx_caps.ept_vpid = 0;
    assert_int_equal(run(pv_flush_local, 0, 1, 0, 0), 0);
    assert_int_equal(flushed[vpid], 5);
    assert_int_equal(nr_pages, 3);
    vmx_features.granted = 0;
    assert_int_equal(run(pv_flush_local, 0, 0, 0, 0), 0);
    assert_int_equal(flushed[vpid], 5);
}

static void test_flush_others(void **state)
{
    struct pv_call by_poller = call(7, 0, 0, 0);

    (void)state;
    assert_int_equal(run(pv_flush_tlb, 1, 0, 0x1000, 1), 0);
    assert_int_equal(nr_pages, 1);
    assert_int_equal(waited, 0);
    assert_int_equal(run(pv_flush_tlb, 3, 1, 0, 0), 0);
    assert_int_equal(waited, 6);
    assert_ptr_equal(waiter, &vcpus[0]);
    start(NULL);
    by_poller.by = PV_BY_POLLER;
    assert_int_equal(pv_flush_tlb(&by_poller), 0);
    assert_int_equal(waited, 7);
    assert_null(waiter);
}

static const u64 no_targets[][2] = {{8, 0},       {BIT(63), 0}, {1, 3},          {2, 2},
                                    {1, BIT(63)}, {1, ~0ull},   {BIT(63), ~0ull}};

static void test_no_such_targets(void **state)
{
    (void)state;
    for (u32 i = 0; i < ARRAY_SIZE(no_targets); i++) {
        assert_int_equal(run(pv_flush_tlb, no_targets[i][0], no_targets[i][1], 0, 0), -NIDUS_ENOENT);
        assert_int_equal(run(pv_send_ipi, no_targets[i][0], no_targets[i][1], 0x40, 0), -NIDUS_ENOENT);
    }
    assert_int_equal(waited, 0);
    assert_int_equal(posted[0] | posted[1] | posted[2], 0);
    assert_int_equal(run(pv_send_ipi, 0, 99, 0x40, 0), 0);
}

static void test_ipi(void **state)
{
    (void)state;
    assert_int_equal(run(pv_send_ipi, 5, 0, 0x41, 0), 2);
    assert_int_equal(posted[0], 0x41);
    assert_int_equal(posted[1], 0);
    assert_int_equal(posted[2], 0x41);
    assert_int_equal(run(pv_send_ipi, 1, 1, 0x400, 0), 1);
    assert_int_equal(nmis[1], 1);
    assert_int_equal(run(pv_send_ipi, 1, 1, 0x0f, 0), -NIDUS_EINVAL);
    assert_int_equal(run(pv_send_ipi, 1, 1, 0x540, 0), -NIDUS_EINVAL);
}

static void test_timer(void **state)
{
    (void)state;
    assert_int_equal(run(pv_set_timer, 1000000000, 0x60, 0, 0), 0);
    assert_int_equal(timer_when, tsc_hz);
    vcpus[0].pv.timer.fire(&vcpus[0].pv.timer);
    assert_int_equal(posted[0], 0x60);
    assert_int_equal(run(pv_set_timer, 0, 0, 0, 0), 0);
    assert_int_equal(cancels, 1);
    assert_int_equal(run(pv_set_timer, 1, 15, 0, 0), -NIDUS_EINVAL);
    assert_int_equal(run(pv_set_timer, 1, 256, 0, 0), -NIDUS_EINVAL);
    assert_int_equal(run(pv_set_timer, MAX_TIME + 1, 0x60, 0, 0), -NIDUS_ERANGE);
    tsc_hz = 6000000000;
    assert_int_equal(run(pv_set_timer, MAX_TIME, 0x60, 0, 0), 0);
    assert_int_equal(timer_when, 6 * MAX_TIME);
    tsc_hz = 50000000;
}

static void test_yield(void **state)
{
    (void)state;
    assert_int_equal(run(pv_yield, 3, 0, 0, 0), -NIDUS_ENOENT);
    assert_int_equal(run(pv_yield, NIDUS_ANY_VCPU, 0, 0, 0), 0);
    assert_null(preferred);
    contended = true;
    assert_int_equal(run(pv_yield, 2, 0, 0, 0), 1);
    assert_ptr_equal(preferred, &vcpus[2]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_control_registers, start),
        cmocka_unit_test_setup(test_flush_local, start),
        cmocka_unit_test_setup(test_flush_others, start),
        cmocka_unit_test_setup(test_no_such_targets, start),
        cmocka_unit_test_setup(test_ipi, start),
        cmocka_unit_test_setup(test_timer, start),
        cmocka_unit_test_setup(test_yield, start),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
