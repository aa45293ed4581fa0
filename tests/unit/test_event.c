/* SPDX-License-Identifier: MIT */
/* links: vmm/events.c */
/* Who delivers an interrupt: Nidus, or the CPU from the virtual-APIC page. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/fake_vmx.h"
#include "arch/x86/vmx_bits.h"
#include "vmm/event.c"

static u64 field[0x7000];
static struct vcpu vcpu;
static struct lapic lapic;
static struct nested nested;
static int extint, fixed; /* what waits at the PIC and at the APIC; -1: nothing */
static u32 acks;

static u64 vmread(u32 encoding)
{
    return field[encoding];
}

static void vmwrite(u32 encoding, u64 value)
{
    field[encoding] = value;
}

int vcpu_extint_pending(struct vcpu *v)
{
    assert_ptr_equal(v, &vcpu);
    return extint;
}

int vcpu_irq_pending(struct vcpu *v)
{
    assert_ptr_equal(v, &vcpu);
    return extint >= 0 ? extint : fixed;
}

int vcpu_irq_ack(struct vcpu *v)
{
    int vector = vcpu_irq_pending(v);

    *(extint >= 0 ? &extint : &fixed) = -1;
    acks++;
    return vector;
}

void nested_before_injection(struct vcpu *v)
{
    v->nested->injects = false;
}

bool nested_virtual_interrupt(struct vcpu *v)
{
    (void)v;
    return false;
}

void(vm_crash)(struct vcpu *v, const char *fmt, ...)
{
    (void)v;
    fail_msg("%s", fmt);
}

static int start(void **s)
{
    (void)s;
    memset(field, 0, sizeof(field));
    memset(&nested, 0, sizeof(nested));
    lapic = (struct lapic){.by_cpu = true};
    vcpu = (struct vcpu){.lapic = &lapic};
    field[GUEST_RFLAGS] = RFLAGS_FIXED | RFLAGS_IF;
    field[GUEST_CR0] = CR0_PE;
    extint = fixed = -1;
    acks = 0;
    return 0;
}

/* Vector -1: nothing is injected. */
static void assert_delivers(int vector, bool window)
{
    field[ENTRY_INTERRUPTION_INFO] = 0;
    vcpu_deliver_events(&vcpu);
    assert_int_equal(field[ENTRY_INTERRUPTION_INFO], vector < 0 ? 0 : INTR_INFO_VALID | (u64)vector);
    assert_int_equal(!!(field[PRIMARY_CONTROLS] & PROC_INTERRUPT_WINDOW_EXITING), window);
    assert_int_equal(vcpu.irq_window, window);
}

static void test_by_nidus(void **s)
{
    (void)s;
    lapic.by_cpu = false;
    fixed = 0x41;
    assert_delivers(0x41, false);
    assert_int_equal(acks, 1);
    vcpu.events.interrupt_stage = EVENT_NONE; /* the guest has it */
    fixed = 0x41;
    extint = 0x08;
    assert_delivers(0x08, true); /* the other one waits */
    vcpu.events.interrupt_stage = EVENT_NONE;
    field[GUEST_RFLAGS] = RFLAGS_FIXED;
    assert_delivers(-1, true);
}

static void test_by_the_cpu(void **s)
{
    (void)s;
    fixed = 0x41;
    assert_delivers(-1, false);
    field[GUEST_RFLAGS] = RFLAGS_FIXED;
    assert_delivers(-1, false);
    assert_int_equal(acks, 0);
}

/* The PIC's comes from outside of the APIC. */
static void test_extint(void **s)
{
    (void)s;
    fixed = 0x41;
    extint = 0x08;
    field[GUEST_RFLAGS] = RFLAGS_FIXED;
    assert_delivers(-1, true);
    field[GUEST_RFLAGS] = RFLAGS_FIXED | RFLAGS_IF;
    assert_delivers(0x08, false); /* no window for the CPU's own */
    assert_int_equal(acks, 1);
    assert_int_equal(fixed, 0x41);
}

/* An exception or NMI does not make the CPU's interrupt Nidus's. */
static void test_with_an_nmi(void **s)
{
    (void)s;
    fixed = 0x41;
    vcpu_nmi_arrived(&vcpu, 1);
    vcpu_deliver_events(&vcpu);
    assert_int_equal(field[ENTRY_INTERRUPTION_INFO], INTR_INFO_VALID | INTR_TYPE_NMI << 8 | VEC_NMI);
    assert_false(vcpu.irq_window);
    assert_int_equal(acks, 0);
}

/* While L2 runs the page is not in use: what L1 does not intercept is L2's, from Nidus. */
static void test_in_l2(void **s)
{
    (void)s;
    vcpu.nested = &nested;
    nested.in_l2 = true;
    fixed = 0x41;
    nested.vmcs12.image.f[VI_PIN_BASED_CONTROLS] = PIN_EXTERNAL_INTERRUPT_EXITING;
    assert_delivers(-1, false); /* nested_before_entry()'s */
    nested.vmcs12.image.f[VI_PIN_BASED_CONTROLS] = 0;
    assert_delivers(0x41, false);
    vcpu.events.interrupt_stage = EVENT_NONE;
    nested.in_l2 = false;
    fixed = 0x42;
    assert_delivers(-1, false);
}

/* A CPU delivers nothing to a vCPU that does not run. */
static void test_wakes(void **s)
{
    (void)s;
    assert_false(vcpu_wakes(&vcpu));
    fixed = 0x41;
    assert_true(vcpu_wakes(&vcpu));
    field[GUEST_RFLAGS] = RFLAGS_FIXED;
    assert_false(vcpu_wakes(&vcpu));
    assert_int_equal(acks, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_by_nidus, start), cmocka_unit_test_setup(test_by_the_cpu, start),
        cmocka_unit_test_setup(test_extint, start),   cmocka_unit_test_setup(test_with_an_nmi, start),
        cmocka_unit_test_setup(test_in_l2, start),    cmocka_unit_test_setup(test_wakes, start),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
