/* SPDX-License-Identifier: MIT */
/* links: vmm/pv/result.c */
/* Release and populate: which ranges, in which order translations and frames go, and what is in the way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "lib/spinlock.h"
#define sched_yield vmm_sched_yield /* the host has one too */
#include "vmm/pv/balloon.c"

#define LOW_END  GiB(3)
#define HIGH_END GiB(7)
#define TABLES   0x7000u

static struct vm vm;
static struct vcpu vcpu, other;
static struct nested nested;
u64 vmm_flush_wanted;

static enum { START, TAKEN, SEEN, SETTLED } at;
static struct {
    int error;          /* of what is below */
    u64 most;           /* that one extent has */
    bool pinned, vmxon; /* the second: while the others are waited for */
    bool put_back;
    struct vm_extent piece;
    u32 calls;
} low;

bool vm_may_be_ram(const struct vm *m, gpa_t gpa)
{
    assert_ptr_equal(m, &vm);
    return gpa < LOW_END || (gpa >= GiB(4) && gpa < HIGH_END);
}

bool pv_pins(struct vm *m, gpa_t gpa, u64 size)
{
    assert_ptr_equal(m, &vm);
    assert_false(spin_trylock(&vm.pv.lock));
    assert_true(gpa >= MiB(2) && size);
    return low.pinned;
}

int vm_memory_take(struct vm *m, struct vm_extent *piece, paddr_t *tables)
{
    assert_ptr_equal(m, &vm);
    assert_false(spin_trylock(&vm.pv.lock));
    assert_false(spin_trylock(&vm.pv.balloon));
    low.calls++;
    if (low.error)
        return low.error;
    assert_int_equal(at, START);
    at = TAKEN;
    piece->size = MIN(piece->size, low.most);
    piece->pa = GiB(64);
    low.piece = *piece;
    *tables = TABLES;
    return OK;
}

void vm_wait_until_seen(struct vm *m, struct vcpu *self, u64 mask)
{
    assert_ptr_equal(m, &vm);
    assert_ptr_equal(self, &vcpu);
    assert_true(mask == ~0ull);
    assert_int_equal(at, TAKEN);
    assert_int_equal(vmm_flush_wanted, 2);
    assert_true(spin_trylock(&vm.pv.lock)); /* nobody is kept from stepping out */
    spin_unlock(&vm.pv.lock);
    nested.vmx_on = low.vmxon;
    at = SEEN;
}

void vcpu_step_back_in(struct vcpu *v)
{
    assert_ptr_equal(v, &vcpu);
    assert_int_equal(at, SEEN);
    assert_true(spin_trylock(&vm.held));
    spin_unlock(&vm.held);
    vcpu_step_in(v);
}

void vm_memory_settle(struct vm *m, const struct vm_extent *piece, paddr_t tables, bool put_back)
{
    assert_ptr_equal(m, &vm);
    assert_int_equal(at, SEEN);
    assert_int_equal(tables, TABLES);
    assert_memory_equal(piece, &low.piece, sizeof(*piece));
    assert_true(vcpu.turn & 1);
    low.put_back = put_back;
    at = SETTLED;
}

int vm_memory_add(struct vm *m, gpa_t gpa, u64 size)
{
    assert_ptr_equal(m, &vm);
    assert_false(spin_trylock(&vm.pv.balloon));
    low.calls++;
    low.piece = (struct vm_extent){.gpa = gpa, .size = size};
    return low.error;
}

static int setup(void **state)
{
    (void)state;
    memset(&vm, 0, sizeof(vm));
    memset(&vcpu, 0, sizeof(vcpu));
    memset(&other, 0, sizeof(other));
    memset(&nested, 0, sizeof(nested));
    memset(&low, 0, sizeof(low));
    vm.nr_vcpus = 2;
    vm.vcpus[0] = &vcpu;
    vm.vcpus[1] = &other;
    vcpu.vm = other.vm = &vm;
    vcpu.turn = 1;
    other.nested = &nested;
    low.most = ~0ull;
    vmm_flush_wanted = 1;
    at = START;
    return 0;
}

static struct pv_call call;

static s64 run(s64 (*op)(struct pv_call *), gpa_t gpa, u64 size)
{
    s64 r;

    call = (struct pv_call){.v = &vcpu, .arg = {gpa, size}};
    r = op(&call);
    if (r != PV_AGAIN) {
        assert_true(spin_trylock(&vm.pv.lock) && spin_trylock(&vm.pv.balloon));
        spin_unlock(&vm.pv.lock);
        spin_unlock(&vm.pv.balloon);
    }
    return r;
}

static void test_ranges(void **state)
{
    static const struct {
        u64 gpa, size;
        s64 result;
    } bad[] = {
        {MiB(4), 0, -NIDUS_EINVAL},
        {MiB(4), MiB(1), -NIDUS_EINVAL},
        {MiB(5), MiB(2), -NIDUS_EINVAL},
        {0, MiB(4), -NIDUS_EINVAL},
        {LOW_END - MiB(2), MiB(4), -NIDUS_EFAULT},
        {LOW_END, MiB(2), -NIDUS_EFAULT},
        {LOW_END - MiB(2), GiB(2), -NIDUS_EFAULT}, /* both ends are RAM */
        {HIGH_END - MiB(2), MiB(4), -NIDUS_EFAULT},
        {MiB(4), -MiB(2), -NIDUS_EFAULT},
        {-MiB(2), MiB(2), -NIDUS_EFAULT},
        {-MiB(2), MiB(8), -NIDUS_EFAULT},
    };

    (void)state;
    for (u32 i = 0; i < ARRAY_SIZE(bad); i++) {
        assert_int_equal(run(pv_release, bad[i].gpa, bad[i].size), bad[i].result);
        assert_int_equal(run(pv_populate, bad[i].gpa, bad[i].size), bad[i].result);
    }
    assert_int_equal(low.calls, 0);
}

static void test_release(void **state)
{
    (void)state;
    assert_int_equal(run(pv_release, MiB(2), MiB(6)), 0);
    assert_int_equal(at, SETTLED);
    assert_false(low.put_back);
    assert_true(low.piece.gpa == MiB(2) && low.piece.size == MiB(6));
}

/* Of one extent at a time, and no more than 1 GiB. */
static void test_release_goes_on(void **state)
{
    (void)state;
    low.most = MiB(4);
    assert_true(run(pv_release, MiB(2), MiB(6)) == PV_AGAIN);
    assert_true(call.arg[0] == MiB(6) && call.arg[1] == MiB(2));
    setup(NULL);
    assert_true(run(pv_release, MiB(512), GiB(2)) == PV_AGAIN);
    assert_true(low.piece.size == MiB(512));
    assert_true(call.arg[0] == GiB(1) && call.arg[1] == GiB(2) - MiB(512));
}

static void test_in_the_way(void **state)
{
    (void)state;
    low.pinned = true;
    assert_int_equal(run(pv_release, MiB(2), MiB(2)), -NIDUS_EBUSY);
    low.pinned = false;
    nested.vmx_on = true;
    assert_int_equal(run(pv_release, MiB(2), MiB(2)), -NIDUS_EBUSY);
    nested.vmx_on = false;
    assert_int_equal(low.calls, 0);
    low.error = ERR_RANGE;
    assert_int_equal(run(pv_release, MiB(2), MiB(2)), -NIDUS_EFAULT);
    low.error = ERR_NOMEM;
    assert_int_equal(run(pv_release, MiB(2), MiB(2)), -NIDUS_ENOMEM);
    assert_int_equal(at, START);
    spin_lock(&vm.pv.balloon); /* another vCPU is at it */
    assert_true(run(pv_release, MiB(2), MiB(2)) == PV_AGAIN);
    assert_true(call.arg[0] == MiB(2) && call.arg[1] == MiB(2));
    assert_true(run(pv_populate, MiB(2), MiB(2)) == PV_AGAIN);
}

/* A vCPU that is in VMX operation only now may know the pages. */
static void test_vmxon_meanwhile(void **state)
{
    (void)state;
    low.vmxon = true;
    assert_int_equal(run(pv_release, MiB(2), MiB(2)), -NIDUS_EBUSY);
    assert_int_equal(at, SETTLED);
    assert_true(low.put_back);
}

static void test_populate(void **state)
{
    (void)state;
    assert_true(run(pv_populate, GiB(4), GiB(3)) == PV_AGAIN);
    assert_true(low.piece.gpa == GiB(4) && low.piece.size == GiB(1));
    assert_int_equal(run(pv_populate, call.arg[0], MiB(2)), 0);
    assert_true(low.piece.gpa == GiB(5) && low.piece.size == MiB(2));
    low.error = ERR_EXIST;
    assert_int_equal(run(pv_populate, MiB(2), MiB(2)), -NIDUS_EEXIST);
    low.error = ERR_NOMEM;
    assert_int_equal(run(pv_populate, MiB(2), MiB(2)), -NIDUS_ENOMEM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_ranges, setup),          cmocka_unit_test_setup(test_release, setup),
        cmocka_unit_test_setup(test_release_goes_on, setup), cmocka_unit_test_setup(test_in_the_way, setup),
        cmocka_unit_test_setup(test_vmxon_meanwhile, setup), cmocka_unit_test_setup(test_populate, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
