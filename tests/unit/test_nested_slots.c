/* SPDX-License-Identifier: MIT */
/* links: arch/x86/vmx_caps.c */
/* VMCSs of L1's that stay at hand: L1 sees what it would see of one that has them all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define WITH_SLOTS
#include "tests/unit/fake_asm.h"
#include "tests/unit/no_ports.h"
#include "tests/unit/nested_l1.h"
#include "vmm/nested/instructions.c"
#include "vmm/nested/invalidate.c"
#include "vmm/nested/slots.c"
#include "vmm/nested/vmread.c"
#include "vmm/nested/vmxon.c"

#define NR_VMCS 6 /* more than there are slots */

static u32 nr_pages, most_pages;
static u64 tsc;

void *pool_alloc(struct frame_owner *owner, u32 pages)
{
    assert_ptr_equal(owner, &vm.owner);
    assert_int_equal(pages, 1);
    return nr_pages < most_pages ? nr_pages++, calloc(1, PAGE_SIZE) : NULL;
}

void pool_free(struct frame_owner *owner, void *p, u32 pages)
{
    assert_ptr_equal(owner, &vm.owner);
    nr_pages -= p ? pages : 0;
    free(p);
}

int nested_init_vmcs02(struct vcpu *v, struct nested *n)
{
    n->current = NO_VMCS;
    n->synced = true;
    n->region02 = pool_alloc(&v->vm->owner, 1);
    n->other.region = n->region02;
    n->msr_bitmap = pool_alloc(&v->vm->owner, 1);
    return n->region02 && n->msr_bitmap ? OK : ERR_NOMEM;
}

void nested_free_vmcs02(struct vcpu *v, struct nested *n)
{
    pool_free(&v->vm->owner, n->region02, 1);
    pool_free(&v->vm->owner, n->msr_bitmap, 1);
}

void nested_unload_vmcs(struct vmcs_ref *ref)
{
    ref->cpu = CPU_NONE;
}

static inline u64 fake_tsc(void)
{
    return ++tsc;
}

static gpa_t address_of(u32 i)
{
    return VMCS_A + i * PAGE_SIZE;
}

static void begin(u32 pages)
{
    start(EXIT_REASON_VMPTRLD);
    nr_pages = 0;
    most_pages = ~0u;
    assert_int_equal(nested_init_vmcs02(&vcpu, &nested), OK);
    most_pages = pages;
    for (u32 i = 0; i < NR_VMCS; i++)
        region(address_of(i))->revision = VMCS12_REVISION;
}

static void end(void)
{
    nested_slots_destroy(&vcpu);
    nested_free_vmcs02(&vcpu, &nested);
    assert_int_equal(nr_pages, 0);
}

static u32 execute(u32 reason, gpa_t operand)
{
    again(reason);
    low.operand[0] = operand;
    return run();
}

/* --- at random, against what is in L1's memory if each is put back at once --- */

static void write_rip(u64 value)
{
    again(EXIT_REASON_VMWRITE);
    low.field[EXIT_INSTRUCTION_INFO] = FORM(REG_RCX, REG_RDX);
    vcpu.gpr[REG_RDX] = GUEST_RIP;
    vcpu.gpr[REG_RCX] = value;
    assert_int_equal(run(), SUCCESS);
}

static u64 read_rip(void)
{
    again(EXIT_REASON_VMREAD);
    low.field[EXIT_INSTRUCTION_INFO] = FORM(REG_RCX, REG_RDX);
    vcpu.gpr[REG_RDX] = GUEST_RIP;
    assert_int_equal(run(), SUCCESS);
    return vcpu.gpr[REG_RCX];
}

static void at_random(u32 pages)
{
    struct {
        u64 rip;
        bool launched;
    } model[NR_VMCS] = {0};
    s32 current = -1;

    begin(pages);
    for (u32 step = 0; step < 20000; step++) {
        u32 i = (u32)rand() % NR_VMCS;

        switch (rand() % 5) {
        case 0:
        case 1:
            assert_int_equal(execute(EXIT_REASON_VMPTRLD, address_of(i)), SUCCESS);
            current = (s32)i;
            break;
        case 2:
            assert_int_equal(execute(EXIT_REASON_VMCLEAR, address_of(i)), SUCCESS);
            model[i].launched = false;
            assert_int_equal(VMCS(&region(address_of(i))->image, GUEST_RIP), model[i].rip);
            assert_int_equal(region(address_of(i))->launched, 0);
            current = current == (s32)i ? -1 : current;
            break;
        case 3:
            if (current < 0)
                continue;
            model[current].rip = step;
            write_rip(step);
            nested.vmcs12.launched = model[current].launched = true;
            break;
        default:
            if (rand() % 100)
                continue;
            assert_int_equal(execute(EXIT_REASON_VMXOFF, 0), SUCCESS);
            for (u32 k = 0; k < NR_VMCS; k++)
                assert_int_equal(VMCS(&region(address_of(k))->image, GUEST_RIP), model[k].rip);
            nested.vmx_on = true;
            nested.vmxon_pointer = VMXON_REGION;
            current = -1;
        }
        assert_int_equal(nested.current, current < 0 ? NO_VMCS : address_of((u32)current));
        if (current < 0)
            continue;
        assert_int_equal(read_rip(), model[current].rip);
        assert_int_equal(!!nested.vmcs12.launched, model[current].launched);
    }
    end();
}

static void test_at_random(void **state)
{
    (void)state;
    nested.current = NO_VMCS;
    for (u32 pages = 2; pages < 16; pages++)
        at_random(pages);
}

/* --- what stays with each --- */

static void make_current(u32 i)
{
    assert_int_equal(execute(EXIT_REASON_VMPTRLD, address_of(i)), SUCCESS);
}

static void test_stays(void **state)
{
    u32 *first, pages;

    (void)state;
    begin(~0u);
    make_current(0);
    first = nested.region02;
    nested.checked = true;
    nested.vpid12 = 7;
    nested.other.launched = 1;
    nested.stale_ept = false;
    make_current(1);
    assert_ptr_not_equal(nested.region02, first);
    assert_false(nested.checked);
    assert_int_equal(nested.slot, 1);
    assert_int_equal(nested_vpid02(&vcpu), vcpu_vpid(&vcpu, 2));
    nested_flush_all(&nested);
    nested_slots_unload(&nested);
    make_current(0);
    assert_ptr_equal(nested.region02, first);
    assert_true(nested.checked && nested.stale_ept && nested.flush_vpid);
    assert_int_equal(nested.vpid12, 7);
    assert_int_equal(nested.other.cpu, CPU_NONE);
    /* The oldest goes, and comes back from L1's memory. */
    make_current(2);
    make_current(3);
    make_current(0);
    make_current(4);
    pages = nr_pages;
    make_current(0);
    assert_true(nested.checked);
    make_current(1);
    assert_false(nested.checked);
    assert_int_equal(nr_pages, pages);
    end();
}

/* It is to be in memory when L2 asks for it, and nothing of it may be used to enter L2. */
static void test_shadows(void **state)
{
    (void)state;
    begin(~0u);
    vm.nested_caps.proc2 |= (u64)PROC2_VMCS_SHADOWING << 32;
    make_current(0);
    nested.checked = true;
    region(address_of(1))->revision |= VMCS12_SHADOW;
    make_current(1);
    write_rip(0x123);
    make_current(0);
    assert_true(nested.checked);
    assert_int_equal(VMCS(&region(address_of(1))->image, GUEST_RIP), 0x123);
    make_current(2);
    region(address_of(0))->revision |= VMCS12_SHADOW;
    make_current(0);
    assert_false(nested.checked);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_at_random),
        cmocka_unit_test(test_stays),
        cmocka_unit_test(test_shadows),
    };

    return cmocka_run_group_tests_name("nested_slots", tests, NULL, NULL);
}
