/* SPDX-License-Identifier: MIT */
/* links: vmm/trace.c vmm/stats.c */
/* What is recorded and counted of exits, which here do what a test says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "lib/types.h"
#define ARCH_X86_CPU_H

struct cpu {
    u32 id;
};

static struct cpu cpu = {.id = 1};

static struct cpu *this_cpu(void)
{
    return &cpu;
}

#include "tests/unit/nested_l2.h"
#include "vmm/observe.c"

#define ROOM  32
#define RAM   0x100000u
#define COST  70
#define GUEST 1000 /* ticks between exits */

static struct observed observed;
static struct trace_event slots[ROOM];
static struct trace_ring rings[2];
static struct lapic lapic;
static u32 regs[1024];
static struct vcpu_stop stopped;
static void (*handler)(void); /* what the exit does besides */
static bool resumes;

static bool exits(struct vcpu *v)
{
    assert_ptr_equal(v, &vcpu);
    now += COST;
    if (handler)
        handler();
    return resumes;
}

bool vmx_exit(struct vcpu *v)
{
    assert_false(nested.in_l2);
    return exits(v);
}

bool nested_l2_exit(struct vcpu *v)
{
    assert_true(nested.in_l2);
    return exits(v);
}

u64 vmx_enter(struct vcpu *v)
{
    assert_ptr_equal(v, &vcpu);
    return 0;
}

bool vm_may_be_ram(const struct vm *m, gpa_t gpa)
{
    assert_ptr_equal(m, &vm);
    return gpa < RAM;
}

void vcpu_stop(struct vcpu *v, const struct vcpu_stop *why)
{
    assert_ptr_equal(v, &vcpu);
    stopped = *why;
}

static void start(void)
{
    start_l2();
    memset(&observed, 0, sizeof(observed));
    memset(&lapic, 0, sizeof(lapic));
    memset(regs, 0, sizeof(regs));
    stopped.kind = STOP_NONE;
    handler = NULL;
    resumes = true;
    vm.index = 3;
    vcpu.id = 2;
    vcpu.turn = 1;
    vcpu.observed = &observed;
    vcpu.lapic = &lapic;
    lapic.regs = regs;
    rings[1] = (struct trace_ring){.events = slots, .mask = ROOM - 1};
    observing = (struct observing){.stats = true, .filter = trace_everything, .rings = rings, .nr_rings = 2};
    in_l2(false);
    nested.current = 0x7000;
    nested.synced = true;
}

static void exit_now(u32 reason, u64 qualification)
{
    now += GUEST;
    loaded[EXIT_REASON] = reason;
    loaded[EXIT_QUALIFICATION] = qualification;
    if (nested.in_l2)
        assert_int_equal(nested_l2_exit_observed(&vcpu), resumes);
    else
        assert_int_equal(vmx_exit_observed(&vcpu), resumes);
}

static struct trace_event next(enum trace_kind kind)
{
    struct trace_event e;

    assert_true(trace_get(&rings[1], &e));
    assert_int_equal(e.kind, kind);
    assert_int_equal(e.vm, 3);
    assert_int_equal(e.vcpu, 2);
    return e;
}

static void nothing_more(void)
{
    struct trace_event e;

    assert_false(trace_get(&rings[1], &e));
    assert_int_equal(rings[0].head, 0);
}

static void skips(void)
{
    loaded[GUEST_RIP] += 2;
    vcpu.gpr[REG_RAX] = 0x4e;
}

static void an_exit_is_as_it_came(void **state)
{
    struct trace_event e;

    (void)state;
    start();
    loaded[GUEST_RIP] = 0x1234;
    vcpu.gpr[REG_RAX] = 7;
    handler = skips;
    exit_now(EXIT_REASON_CPUID, 0);
    e = next(TRACE_EXIT);
    assert_int_equal(e.reason, EXIT_REASON_CPUID);
    assert_int_equal(e.level, 1);
    assert_int_equal(e.a, 0x1234);
    assert_int_equal(e.b, 7);
    assert_int_equal(e.cost, COST);
    assert_int_equal(e.tsc, now - COST);
    assert_false(e.slow);
    nothing_more();
    assert_int_equal(observed.stats.nr, 1);
    assert_int_equal(observed.stats.rows[0].sum, COST);
}

static void ports_have_their_values(void **state)
{
    (void)state;
    start();
    vcpu.gpr[REG_RAX] = 0x11223344;
    exit_now(EXIT_REASON_IO_INSTRUCTION, 0x3f8ull << 16 | 1);
    assert_int_equal(next(TRACE_EXIT).b, 0x203f8);
    assert_int_equal(next(TRACE_PORT).b, 0x3344ull << 32 | 0x203f8);
    handler = skips;
    exit_now(EXIT_REASON_IO_INSTRUCTION, 0x3fdull << 16 | 8);
    next(TRACE_EXIT);
    assert_int_equal(next(TRACE_PORT).b, 0x4eull << 32 | 0x1103fd);
    exit_now(EXIT_REASON_IO_INSTRUCTION, 0x1f0ull << 16 | 0x19);
    next(TRACE_EXIT);
    assert_int_equal(next(TRACE_PORT).b, 0x3201f0);
    nothing_more();
}

static void ipis_are_seen_on_every_way(void **state)
{
    (void)state;
    start();
    vcpu.gpr[REG_RCX] = MSR_IA32_X2APIC_ICR;
    vcpu.gpr[REG_RAX] = 0xfd;
    vcpu.gpr[REG_RDX] = 1;
    exit_now(EXIT_REASON_WRMSR, 0);
    assert_int_equal(next(TRACE_EXIT).b, 0xfdull << 32 | MSR_IA32_X2APIC_ICR);
    assert_int_equal(next(TRACE_IPI).b, 0x1000000fd);

    lapic.placed = true;
    lapic.page = LAPIC_BASE;
    LAPIC_REG(&lapic, ICR) = 0xfc;
    LAPIC_REG(&lapic, ICR_HIGH) = 2 << 24;
    loaded[GUEST_PHYSICAL_ADDRESS] = LAPIC_BASE + 0x300;
    exit_now(EXIT_REASON_EPT_VIOLATION, EPT_QUAL_WRITE);
    next(TRACE_EXIT);
    assert_int_equal(next(TRACE_MMIO).b, 2ull << 52 | 0xfee00300);
    assert_int_equal(next(TRACE_IPI).b, 0x2000000fc);
    exit_now(EXIT_REASON_EPT_VIOLATION, EPT_QUAL_READ);
    next(TRACE_EXIT);
    next(TRACE_MMIO);
    exit_now(EXIT_REASON_APIC_ACCESS, 0x1300);
    next(TRACE_EXIT);
    assert_int_equal(next(TRACE_MMIO).b, 2ull << 52 | 0xfee00300);
    next(TRACE_IPI);
    exit_now(EXIT_REASON_APIC_WRITE, 0x300);
    next(TRACE_EXIT);
    next(TRACE_IPI);
    lapic.base = LAPIC_BASE_EXTD;
    LAPIC_X2_ICR_HIGH(&lapic) = 9;
    exit_now(EXIT_REASON_APIC_WRITE, 0x300);
    next(TRACE_EXIT);
    assert_int_equal(next(TRACE_IPI).b, 0x9000000fc);
    exit_now(EXIT_REASON_APIC_WRITE, 0x310);
    next(TRACE_EXIT);
    nothing_more();
}

static void memory_is_no_device(void **state)
{
    (void)state;
    start();
    loaded[GUEST_PHYSICAL_ADDRESS] = RAM - 1;
    exit_now(EXIT_REASON_EPT_VIOLATION, EPT_QUAL_WRITE);
    assert_int_equal(next(TRACE_EXIT).b, 2ull << 52 | (RAM - 1));
    nothing_more();
}

static void enters(void)
{
    in_l2(true);
    vmcs02[GUEST_RIP] = 0x20;
    vmcs02[ENTRY_INTERRUPTION_INFO] = INTR_INFO(INTR_TYPE_HARDWARE_EXCEPTION, 14) | INTR_INFO_DELIVER_ERROR;
    vmcs02[ENTRY_EXCEPTION_ERROR_CODE] = 6;
}

static void leaves(void)
{
    in_l2(false);
    vmcs01[GUEST_RIP] = 0x30;
    vmcs01[ENTRY_INTERRUPTION_INFO] = 0;
    nested.synced = false;
}

static void l2_is_entered_and_left(void **state)
{
    struct trace_event e;

    (void)state;
    start();
    handler = enters;
    exit_now(EXIT_REASON_VMRESUME, 0);
    assert_int_equal(next(TRACE_EXIT).level, 1);
    e = next(TRACE_NESTED);
    assert_int_equal(e.level, 2);
    assert_int_equal(e.a, 0x20);
    assert_int_equal(e.b, 0x7000);
    e = next(TRACE_INJECT);
    assert_int_equal(e.level, 2);
    assert_int_equal(e.b, 6ull << 32 | 0x80000b0e);
    vmcs02[ENTRY_INTERRUPTION_INFO] = 0;

    handler = NULL; /* Nidus's own */
    exit_now(EXIT_REASON_EXTERNAL_INTERRUPT, 0);
    e = next(TRACE_EXIT);
    assert_int_equal(e.level, 2);
    assert_false(e.reflected);

    handler = leaves;
    exit_now(EXIT_REASON_HLT, 0);
    e = next(TRACE_EXIT);
    assert_int_equal(e.level, 2);
    assert_true(e.reflected);
    e = next(TRACE_NESTED);
    assert_int_equal(e.level, 1);
    assert_int_equal(e.reason, EXIT_REASON_HLT);
    assert_int_equal(e.a, 0x30);
    nothing_more();
    assert_int_equal(observed.stats.nr, 3);
    assert_int_equal(observed.stats.rows[0].level, STATS_L1);
    assert_int_equal(observed.stats.rows[1].level, STATS_L2);
    assert_int_equal(observed.stats.rows[2].level, STATS_REFLECTED);
}

/* As nested_before_entry() does. */
static void l2_is_left_in_the_slow_path(void **state)
{
    struct trace_event e;

    (void)state;
    start();
    in_l2(true);
    resumes = false;
    exit_now(EXIT_REASON_EXTERNAL_INTERRUPT, 0);
    e = next(TRACE_EXIT);
    assert_true(e.slow);
    assert_false(e.reflected);
    leaves();
    nested.synced = true;
    L1_SAYS(EXIT_REASON) = EXIT_REASON_EXTERNAL_INTERRUPT;
    vcpu.turn += 2;
    now += 100;
    assert_int_equal(vmx_enter_observed(&vcpu), 0);
    e = next(TRACE_NESTED);
    assert_int_equal(e.level, 1);
    assert_int_equal(e.reason, EXIT_REASON_EXTERNAL_INTERRUPT);
    e = next(TRACE_ENTRY);
    assert_int_equal(e.level, 1);
    assert_int_equal(e.a, 0x30);
    nothing_more();
    assert_int_equal(observed.stats.rows[0].sum, COST + 100);
}

static void what_is_injected_is_seen_at_the_entry(void **state)
{
    (void)state;
    start();
    resumes = false;
    exit_now(EXIT_REASON_HLT, 0);
    next(TRACE_EXIT);
    assert_int_equal(observed.stats.nr, 0);
    vmcs01[ENTRY_INTERRUPTION_INFO] = INTR_INFO(INTR_TYPE_EXTERNAL, 0xec);
    vcpu.turn += 4; /* it has slept: that is no cost */
    now += 5000;
    assert_int_equal(vmx_enter_observed(&vcpu), 0);
    assert_int_equal(next(TRACE_INJECT).b, 0x800000ec);
    next(TRACE_ENTRY);
    assert_int_equal(observed.stats.rows[0].sum, COST);
    assert_int_equal(vmx_enter_observed(&vcpu), 0);
    assert_int_equal(observed.stats.rows[0].count, 1);
}

static void what_is_not_asked_for_is_not_recorded(void **state)
{
    (void)state;
    start();
    observing.filter.kinds = 1 << TRACE_PORT;
    exit_now(EXIT_REASON_IO_INSTRUCTION, 0x3f8ull << 16);
    next(TRACE_PORT);
    nothing_more();
    observing.rings = NULL;
    exit_now(EXIT_REASON_IO_INSTRUCTION, 0x3f8ull << 16);
    assert_int_equal(vmx_enter_observed(&vcpu), 0);
    nothing_more();
    assert_int_equal(observed.stats.rows[0].count, 2);
    observing.rings = rings;
    observing.filter = trace_everything;
    observing.stats = false;
    exit_now(EXIT_REASON_CPUID, 0);
    next(TRACE_EXIT);
    assert_int_equal(observed.stats.rows[0].count, 2);
}

static bool stops(u32 reason, u64 qualification)
{
    stopped.kind = STOP_NONE;
    now += GUEST;
    loaded[EXIT_REASON] = reason;
    loaded[EXIT_QUALIFICATION] = qualification;
    if (vmx_exit_observed(&vcpu)) {
        assert_int_equal(stopped.kind, STOP_NONE);
        return false;
    }
    assert_int_equal(stopped.kind, STOP_EXIT);
    assert_int_equal(stopped.data[0], reason);
    assert_int_equal(stopped.data[1], qualification);
    return true;
}

static void breaks_stop_the_vcpu(void **state)
{
    struct exit_break *b = &observing.breaks[5];

    (void)state;
    start();
    *b = (struct exit_break){.used = true, .vm = TRACE_ANY, .vcpu = TRACE_ANY, .reason = EXIT_REASON_HLT};
    assert_false(stops(EXIT_REASON_HLT, 0)); /* it is not counted yet */
    observing.nr_breaks = 1;
    assert_true(stops(EXIT_REASON_HLT, 0));
    assert_false(stops(EXIT_REASON_CPUID, 0));
    b->vm = 1;
    assert_false(stops(EXIT_REASON_HLT, 0));
    b->vm = 3;
    assert_true(stops(EXIT_REASON_HLT, 0));
    b->vcpu = 1;
    assert_false(stops(EXIT_REASON_HLT, 0));
    b->vcpu = 2;
    assert_true(stops(EXIT_REASON_HLT, 0));
    b->level = 2;
    assert_false(stops(EXIT_REASON_HLT, 0));
    b->level = 1;
    assert_true(stops(EXIT_REASON_HLT, 0));
    b->check = true;
    assert_false(stops(EXIT_REASON_HLT, 0));
}

static void breaks_look_at_what_the_exit_is_for(void **state)
{
    struct exit_break *b = &observing.breaks[0];

    (void)state;
    start();
    observing.nr_breaks = 1;
    *b = (struct exit_break){.used = true, .vm = TRACE_ANY, .vcpu = TRACE_ANY, .has_what = true};
    b->reason = EXIT_REASON_IO_INSTRUCTION;
    b->what = 0x3f9;
    assert_false(stops(EXIT_REASON_IO_INSTRUCTION, 0x3f8ull << 16));
    assert_true(stops(EXIT_REASON_IO_INSTRUCTION, 0x3f9ull << 16 | 8));
    b->reason = EXIT_REASON_WRMSR;
    b->what = 0xc0000080;
    vcpu.gpr[REG_RAX] = vcpu.gpr[REG_RCX] = 0x10;
    assert_false(stops(EXIT_REASON_WRMSR, 0));
    vcpu.gpr[REG_RCX] = 0xc0000080;
    assert_true(stops(EXIT_REASON_WRMSR, 0));
    b->reason = EXIT_REASON_EPT_VIOLATION;
    b->what = 0xfec00000;
    loaded[GUEST_PHYSICAL_ADDRESS] = 0xfec01000;
    assert_false(stops(EXIT_REASON_EPT_VIOLATION, 2));
    loaded[GUEST_PHYSICAL_ADDRESS] = 0xfec00010;
    assert_true(stops(EXIT_REASON_EPT_VIOLATION, 2));
    b->reason = EXIT_REASON_CR_ACCESS;
    b->what = 4;
    assert_false(stops(EXIT_REASON_CR_ACCESS, 3));
    assert_true(stops(EXIT_REASON_CR_ACCESS, 4));
}

static const struct entry_verdict why = {.stage = ENTRY_VMFAIL_HOST, .row = "HOST_CR0: too bad"};

static void fails_check(void)
{
    observe_check(&vcpu, &why);
}

static void failed_checks_are_told(void **state)
{
    struct trace_event e;

    (void)state;
    start();
    loaded[GUEST_RIP] = 0x44;
    handler = fails_check;
    exit_now(EXIT_REASON_VMLAUNCH, 0);
    assert_int_equal(stopped.kind, STOP_NONE);
    next(TRACE_EXIT);
    e = next(TRACE_CHECK);
    assert_int_equal(e.reason, 8);
    assert_int_equal(e.level, 1);
    assert_int_equal(e.a, 0x44);
    assert_string_equal((const char *)e.b, why.row);
    handler = NULL;
    exit_now(EXIT_REASON_VMLAUNCH, 0);
    next(TRACE_EXIT);
    nothing_more();
    observing.breaks[1] =
        (struct exit_break){.used = true, .check = true, .vm = TRACE_ANY, .vcpu = TRACE_ANY};
    observing.nr_breaks = 1;
    observed.exit.reason = EXIT_REASON_VMLAUNCH;
    observe_check(&vcpu, &why);
    assert_int_equal(stopped.kind, STOP_CHECK);
    assert_int_equal(stopped.data[0], 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_exit_is_as_it_came),
        cmocka_unit_test(ports_have_their_values),
        cmocka_unit_test(ipis_are_seen_on_every_way),
        cmocka_unit_test(memory_is_no_device),
        cmocka_unit_test(l2_is_entered_and_left),
        cmocka_unit_test(l2_is_left_in_the_slow_path),
        cmocka_unit_test(what_is_injected_is_seen_at_the_entry),
        cmocka_unit_test(what_is_not_asked_for_is_not_recorded),
        cmocka_unit_test(breaks_stop_the_vcpu),
        cmocka_unit_test(breaks_look_at_what_the_exit_is_for),
        cmocka_unit_test(failed_checks_are_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
