/* SPDX-License-Identifier: MIT */
/* links: vmm/events.c */
/* What waits between two entries of L2, alone and in pairs: whose it is, and which comes first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/nested_l2.h"

static struct nested_exit_info got;
static u32 exits;
static int controller, acks, armed; /* vector that the controller asks with, or -1 */
static int behind;                  /* and the next, which is there when the first was posted */
static u32 posted;
static u64 armed_for;
static bool disappears; /* the controller thinks better of it */
static u32 resume_flag_for;

void nested_exit_with(struct vcpu *v, const struct nested_exit_info *x)
{
    got = *x;
    exits++;
    v->nested->injects = v->nested->exit_soon = v->nested->mtf = false;
}

int vcpu_irq_pending(struct vcpu *v)
{
    assert_int_equal(v->vm->dev_lock.next - v->vm->dev_lock.owner, 1);
    return controller;
}

int vcpu_irq_ack(struct vcpu *v)
{
    int vector = disappears ? -1 : controller;

    assert_int_equal(v->vm->dev_lock.next - v->vm->dev_lock.owner, 1);
    acks++;
    controller = -1;
    return vector;
}

void vcpu_set_resume_flag(u32 info)
{
    resume_flag_for = info;
}

void vtimer_init(struct vtimer *t, struct vcpu *v, void (*fire)(struct vtimer *))
{
    t->vcpu = v;
    t->fire = fire;
}

void vtimer_set(struct vtimer *t, u64 when)
{
    armed++;
    armed_for = when;
    t->fire(t);
}

static bool below_threshold;
static int notification; /* vector; -1: no interrupts are posted */

bool nested_tpr_below_threshold(struct vcpu *v)
{
    assert_ptr_equal(v, &vcpu);
    return below_threshold;
}

bool nested_posted_interrupt(struct vcpu *v, u32 vector)
{
    assert_int_equal(v->vm->dev_lock.next, v->vm->dev_lock.owner);
    if ((int)vector != notification)
        return false;
    posted++;
    controller = behind;
    return true;
}

#include "vmm/nested/pending.c"

static void start(void)
{
    start_l2();
    controller = behind = notification = -1;
    acks = armed = 0;
    posted = 0;
    below_threshold = false;
    disappears = false;
    vmcs02[GUEST_CR0] = CR0_PE | (u64)CR0_PG;
    vmcs02[GUEST_RFLAGS] = RFLAGS_FIXED;
}

/* The reason of the exit to L1; -1: there is none. */
static int look(void)
{
    exits = 0;
    resume_flag_for = 0;
    memset(&got, 0xee, sizeof(got));
    nested_before_entry(&vcpu);
    assert_true(exits < 2);
    return exits ? (int)got.reason : -1;
}

/* --- what may wait --- */

static void wait_due(void)
{
    nested.due = (struct nested_exit_info){.reason = EXIT_REASON_EPT_VIOLATION, .qualification = 0x182};
    nested.is_due = true;
}

static void wait_triple_fault(void)
{
    vcpu.events.triple_fault = true;
}

static void wait_intercepted(void)
{
    L1_SAYS(EXCEPTION_BITMAP) |= BIT(VEC_GP);
    events_raise_hardware(&vcpu.events, VEC_GP, 0x18);
}

static void wait_exception(void)
{
    events_raise_hardware(&vcpu.events, VEC_UD, 0);
}

static void wait_l1_injects(void)
{
    nested.injects = true;
}

static void wait_again(void)
{
    events_after_exit(&vcpu.events, &(struct events_exit){.idt_info = INTR_INFO(INTR_TYPE_EXTERNAL, 0x55)});
}

static void wait_nmi_again(void)
{
    events_after_exit(&vcpu.events, &(struct events_exit){.idt_info = INTR_INFO(INTR_TYPE_NMI, VEC_NMI)});
}

static void wait_init(void)
{
    vcpu.events.init = true;
}

static void wait_mtf(void)
{
    nested.mtf = true;
}

static void wait_tpr(void)
{
    below_threshold = true;
}

static void wait_debug_intercepted(void)
{
    L1_SAYS(EXCEPTION_BITMAP) |= BIT(VEC_DB);
    vmcs02[GUEST_PENDING_DEBUG_EXCEPTIONS] = PENDING_DEBUG_BS;
}

static void wait_debug(void)
{
    vmcs02[GUEST_PENDING_DEBUG_EXCEPTIONS] = PENDING_DEBUG_BS;
}

static void wait_timer(void)
{
    nested.timer_end = now;
}

static void wait_nmi(void)
{
    L1_SAYS(PIN_BASED_CONTROLS) |= PIN_NMI_EXITING;
    vcpu.events.nmi_pending = 1;
}

static void wait_interrupt(void)
{
    L1_SAYS(PIN_BASED_CONTROLS) |= PIN_EXTERNAL_INTERRUPT_EXITING;
    L1_SAYS(PRIMARY_EXIT_CONTROLS) |= EXITCTL_ACK_INTERRUPT_ON_EXIT;
    controller = 0x31;
}

/* From the highest priority to the lowest. HELD: it is under way, and the entry begins with it: exits of
 * those behind it wait. soon: but no longer than that. */
enum { HELD = -1 };
static const struct {
    void (*wait)(void);
    int reason;
    bool soon;
} things[] = {
    {wait_due, EXIT_REASON_EPT_VIOLATION, false},
    {wait_triple_fault, EXIT_REASON_TRIPLE_FAULT, false},
    {wait_intercepted, EXIT_REASON_EXCEPTION_OR_NMI, false},
    {wait_exception, HELD, false},
    {wait_l1_injects, HELD, false},
    {wait_again, HELD, false},
    {wait_nmi_again, HELD, false},
    {wait_init, EXIT_REASON_INIT, true},
    {wait_mtf, EXIT_REASON_MONITOR_TRAP_FLAG, false},
    {wait_tpr, EXIT_REASON_TPR_BELOW_THRESHOLD, false},
    {wait_debug_intercepted, EXIT_REASON_EXCEPTION_OR_NMI, false},
    {wait_debug, HELD, false},
    {wait_timer, EXIT_REASON_PREEMPTION_TIMER, false}, /* run.c sees to that end anyway */
    {wait_nmi, EXIT_REASON_EXCEPTION_OR_NMI, true},
    {wait_interrupt, EXIT_REASON_EXTERNAL_INTERRUPT, true},
};

#define NR ARRAY_SIZE(things)

static void nothing_is_no_exit(void **state)
{
    (void)state;
    start();
    assert_int_equal(look(), -1);
    assert_false(nested.exit_soon);
    assert_int_equal(acks, 0);
}

/* L1 does something about what would else come again. */
static void taken(u32 i)
{
    if (things[i].wait == wait_timer)
        nested.timer_end = ~0ull;
    if (things[i].wait == wait_tpr)
        below_threshold = false;
}

static void each_alone(void **state)
{
    (void)state;
    for (u32 i = 0; i < NR; i++) {
        start();
        things[i].wait();
        assert_int_equal(look(), things[i].reason);
        assert_false(nested.exit_soon);
        if (things[i].reason == HELD)
            continue;
        taken(i);
        assert_int_equal(look(), -1);
    }
}

static bool possible(void (*a)(void), void (*b)(void))
{
    /* One exception; and an entry's injection begins before the CPU has done anything. */
    if (a == wait_intercepted && b == wait_exception)
        return false;
    if (b == wait_l1_injects)
        return a != wait_exception && a != wait_intercepted;
    /* One that L1 intercepts or not. */
    return !(a == wait_debug_intercepted && b == wait_debug);
}

static void the_first_of_two(void **state)
{
    (void)state;
    for (u32 i = 0; i < NR; i++) {
        for (u32 j = i + 1; j < NR; j++) {
            if (!possible(things[i].wait, things[j].wait))
                continue;
            start();
            things[j].wait();
            things[i].wait();
            if (look() != things[i].reason)
                fail_msg("%u before %u: reason %d", i, j, (int)got.reason);
            assert_int_equal(nested.exit_soon, things[i].reason == HELD && things[j].soon);
        }
    }
}

/* What was behind is an exit once the first is out of the way. */
static void the_second_follows(void **state)
{
    (void)state;
    for (u32 i = 0; i < NR; i++) {
        for (u32 j = i + 1; j < NR; j++) {
            if (!possible(things[i].wait, things[j].wait) || things[i].reason == HELD ||
                things[j].reason == HELD || things[j].wait == wait_mtf)
                continue;
            start();
            things[j].wait();
            things[i].wait();
            assert_int_equal(look(), things[i].reason);
            taken(i);
            assert_int_equal(look(), things[j].reason);
        }
    }
}

/* --- exceptions --- */

static void intercepted_exception(void **state)
{
    (void)state;
    for (u32 vector = 0; vector < 32; vector++) {
        if (vector == VEC_PF || vector == VEC_NMI)
            continue;
        for (u32 bit = 0; bit < 32; bit++) {
            start();
            L1_SAYS(EXCEPTION_BITMAP) = BIT(bit);
            events_raise_hardware(&vcpu.events, (u8)vector, 0x1230);
            assert_int_equal(look(), bit == vector ? EXIT_REASON_EXCEPTION_OR_NMI : -1);
            if (bit != vector)
                continue;
            assert_int_equal(INTR_INFO_VECTOR(got.interruption_info), vector);
            assert_int_equal(INTR_INFO_TYPE(got.interruption_info), INTR_TYPE_HARDWARE_EXCEPTION);
            assert_true(got.interruption_info & INTR_INFO_VALID);
            assert_int_equal(!!(got.interruption_info & INTR_INFO_DELIVER_ERROR),
                             events_has_error_code((u8)vector));
            assert_int_equal(got.interruption_error, events_has_error_code((u8)vector) ? 0x1230 : 0);
            assert_int_equal(got.qualification, 0);
            assert_int_equal(got.idt_info, 0);
            assert_int_equal(resume_flag_for, got.interruption_info);
        }
    }
}

static void no_error_code_in_real_mode(void **state)
{
    (void)state;
    start();
    vmcs02[GUEST_CR0] = 0;
    wait_intercepted();
    assert_int_equal(look(), EXIT_REASON_EXCEPTION_OR_NMI);
    assert_int_equal(got.interruption_info, INTR_INFO(INTR_TYPE_HARDWARE_EXCEPTION, VEC_GP));
}

static void page_faults_by_mask_and_match(void **state)
{
    const u64 values[] = {0, 1, 2, 3, 7, 0x10, ~0u};

    (void)state;
    for (u32 error = 0; error < 32; error++)
        for (u32 m = 0; m < 7; m++)
            for (u32 t = 0; t < 7; t++)
                for (u32 bit = 0; bit < 2; bit++) {
                    bool match = (error & values[m]) == values[t];

                    start();
                    L1_SAYS(EXCEPTION_BITMAP) = bit ? BIT(VEC_PF) : 0;
                    L1_SAYS(PAGE_FAULT_ERROR_MASK) = values[m];
                    L1_SAYS(PAGE_FAULT_ERROR_MATCH) = values[t];
                    events_raise_page_fault(&vcpu.events, error, 0xffff800012345678);
                    assert_int_equal(look(), match == bit ? EXIT_REASON_EXCEPTION_OR_NMI : -1);
                    if (match != bit)
                        continue;
                    assert_int_equal(got.interruption_error, error);
                    assert_int_equal(got.qualification, 0xffff800012345678);
                }
}

/* An exception whose delivery was interrupted is not intercepted again. */
static void injected_exception(void **state)
{
    (void)state;
    start();
    L1_SAYS(EXCEPTION_BITMAP) = ~0u;
    events_after_exit(&vcpu.events,
                      &(struct events_exit){.idt_info = INTR_INFO(INTR_TYPE_HARDWARE_EXCEPTION, VEC_UD)});
    assert_int_equal(look(), -1);
    assert_int_equal(vcpu.events.exception_stage, EVENT_INJECTED);
}

static void software_exceptions_have_a_length(void **state)
{
    (void)state;
    start();
    L1_SAYS(EXCEPTION_BITMAP) = BIT(VEC_DB);
    events_raise(&vcpu.events, &(struct event_exception){.vector = VEC_DB,
                                                         .type = INTR_TYPE_PRIVILEGED_SOFTWARE_EXCEPTION,
                                                         .length = 1});
    assert_int_equal(look(), EXIT_REASON_EXCEPTION_OR_NMI);
    assert_int_equal(got.interruption_info, INTR_INFO(INTR_TYPE_PRIVILEGED_SOFTWARE_EXCEPTION, VEC_DB));
    assert_int_equal(got.instruction_length, 1);
}

static void debug_traps(void **state)
{
    static const struct {
        u64 pending, blocking, qualification;
        bool due;
    } rows[] = {
        {PENDING_DEBUG_BS, 0, PENDING_DEBUG_BS, true},
        {PENDING_DEBUG_ENABLED | 5, 0, 5, true},
        {PENDING_DEBUG_ENABLED | PENDING_DEBUG_BS | 8, INTERRUPTIBILITY_STI, PENDING_DEBUG_BS | 8, true},
        {PENDING_DEBUG_BS, INTERRUPTIBILITY_MOV_SS, 0, false},
        {5, 0, 0, false}, /* met, but not enabled */
        {0, 0, 0, false},
    };

    (void)state;
    for (u32 i = 0; i < ARRAY_SIZE(rows); i++)
        for (u32 mine = 0; mine < 2; mine++) {
            bool exit = rows[i].due && mine;

            start();
            L1_SAYS(EXCEPTION_BITMAP) = mine ? BIT(VEC_DB) : 0;
            vmcs02[GUEST_PENDING_DEBUG_EXCEPTIONS] = rows[i].pending;
            vmcs02[GUEST_INTERRUPTIBILITY_STATE] = rows[i].blocking;
            assert_int_equal(look(), exit ? EXIT_REASON_EXCEPTION_OR_NMI : -1);
            assert_int_equal(vmcs02[GUEST_PENDING_DEBUG_EXCEPTIONS], rows[i].due ? 0 : rows[i].pending);
            assert_int_equal(vcpu.events.exception_stage, rows[i].due && !mine ? EVENT_PENDING : EVENT_NONE);
            if (exit)
                assert_int_equal(got.qualification, rows[i].qualification);
        }
}

/* --- NMIs and interrupts --- */

static void nmis(void **state)
{
    (void)state;
    for (u32 i = 0; i < 8; i++) {
        bool exiting = i & 1, virtual = i & 2, blocked = i & 4, exit = exiting && (virtual || !blocked);

        start();
        set(&L1_SAYS(PIN_BASED_CONTROLS), PIN_NMI_EXITING, exiting);
        set(&L1_SAYS(PIN_BASED_CONTROLS), PIN_VIRTUAL_NMIS, virtual);
        set(&vmcs02[GUEST_INTERRUPTIBILITY_STATE], INTERRUPTIBILITY_NMI, blocked);
        vcpu.events.nmi_pending = 2;
        assert_int_equal(look(), exit ? EXIT_REASON_EXCEPTION_OR_NMI : -1);
        assert_int_equal(vcpu.events.nmi_pending, exit ? 1 : 2);
        if (exit)
            assert_int_equal(got.interruption_info, INTR_INFO(INTR_TYPE_NMI, VEC_NMI));
        nested.injects = true;
        assert_int_equal(look(), -1);
        assert_int_equal(nested.exit_soon, exit);
    }
}

/* RFLAGS.IF is not asked. */
static void interrupts(void **state)
{
    (void)state;
    for (u32 i = 0; i < 8; i++) {
        bool exiting = i & 1, ack = i & 2;

        start();
        set(&L1_SAYS(PIN_BASED_CONTROLS), PIN_EXTERNAL_INTERRUPT_EXITING, exiting);
        set(&L1_SAYS(PRIMARY_EXIT_CONTROLS), EXITCTL_ACK_INTERRUPT_ON_EXIT, ack);
        set(&vmcs02[GUEST_RFLAGS], RFLAGS_IF, i & 4);
        controller = 0xfe;
        assert_int_equal(look(), exiting ? EXIT_REASON_EXTERNAL_INTERRUPT : -1);
        assert_int_equal(acks, exiting && ack);
        if (exiting)
            assert_int_equal(got.interruption_info, ack ? INTR_INFO(INTR_TYPE_EXTERNAL, 0xfe) : 0);
    }
}

/* They wait for one instruction, which the monitor trap flag counts; without it they come too early. */
static void shadows(void **state)
{
    static const u32 blocking[] = {INTERRUPTIBILITY_STI, INTERRUPTIBILITY_MOV_SS};

    (void)state;
    for (u32 i = 0; i < 8; i++) {
        bool nmi = i & 1, trap = i & 2;
        int reason = nmi ? EXIT_REASON_EXCEPTION_OR_NMI : EXIT_REASON_EXTERNAL_INTERRUPT;

        start();
        vmx_features.granted = trap ? BIT(VF_MONITOR_TRAP_FLAG) : 0;
        vmcs02[PRIMARY_CONTROLS] = PROC_HLT_EXITING;
        vmcs02[GUEST_INTERRUPTIBILITY_STATE] = blocking[i / 4];
        nmi ? wait_nmi() : wait_interrupt();
        assert_int_equal(look(), trap ? -1 : reason);
        assert_int_equal(vmcs02[PRIMARY_CONTROLS], PROC_HLT_EXITING | (trap ? PROC_MONITOR_TRAP_FLAG : 0));
        assert_false(nested.exit_soon);
        if (!trap)
            continue;
        vmcs02[GUEST_INTERRUPTIBILITY_STATE] = 0;
        assert_int_equal(look(), reason);
    }
    /* What is delivered ends the shadow. */
    start();
    vmx_features.granted = BIT(VF_MONITOR_TRAP_FLAG);
    vmcs02[GUEST_INTERRUPTIBILITY_STATE] = INTERRUPTIBILITY_MOV_SS;
    wait_l1_injects();
    wait_nmi();
    assert_int_equal(look(), -1);
    assert_true(nested.exit_soon);
    assert_int_equal(vmcs02[PRIMARY_CONTROLS], 0);
}

static void interrupt_that_disappears(void **state)
{
    (void)state;
    start();
    wait_interrupt();
    disappears = true;
    assert_int_equal(look(), -1);
    assert_false(nested.exit_soon);
}

/* Of L1's, acknowledged, and put behind an exception before L1 entered L2. */
static void acknowledged_interrupt(void **state)
{
    (void)state;
    for (u32 i = 0; i < 4; i++) {
        bool exiting = i & 1, ack = i & 2;

        start();
        set(&L1_SAYS(PIN_BASED_CONTROLS), PIN_EXTERNAL_INTERRUPT_EXITING, exiting);
        set(&L1_SAYS(PRIMARY_EXIT_CONTROLS), EXITCTL_ACK_INTERRUPT_ON_EXIT, ack);
        events_acknowledge(&vcpu.events, 0x77);
        wait_timer();
        assert_int_equal(look(), EXIT_REASON_PREEMPTION_TIMER);
        nested.timer_end = ~0ull;
        assert_int_equal(look(), exiting ? EXIT_REASON_EXTERNAL_INTERRUPT : -1);
        assert_int_equal(vcpu.events.interrupt_stage, exiting && ack ? EVENT_NONE : EVENT_PENDING);
        if (exiting)
            assert_int_equal(got.interruption_info, ack ? INTR_INFO(INTR_TYPE_EXTERNAL, 0x77) : 0);
        assert_int_equal(acks, 0);
    }
}

/* Not its notification but what is behind that makes an exit; once: each new one comes with a kick. */
static void posted_interrupts(void **state)
{
    static const struct {
        int first, behind;
        int reason;
        u32 posted;
    } rows[] = {
        {0xf2, -1, -1, 1},
        {0xf2, 0x31, EXIT_REASON_EXTERNAL_INTERRUPT, 1},
        {0x31, 0xf2, EXIT_REASON_EXTERNAL_INTERRUPT, 0},
        {0xf2, 0xf2, -1, 2},
    };

    (void)state;
    for (u32 i = 0; i < ARRAY_SIZE(rows); i++) {
        start();
        wait_interrupt();
        notification = 0xf2;
        controller = rows[i].first;
        behind = rows[i].behind;
        assert_int_equal(look(), rows[i].reason);
        assert_int_equal(posted, rows[i].posted);
        if (rows[i].reason >= 0)
            assert_int_equal(got.interruption_info, INTR_INFO(INTR_TYPE_EXTERNAL, 0x31));
    }
    /* Acknowledged while L1 ran. */
    start();
    wait_interrupt();
    controller = -1;
    notification = 0xf2;
    events_acknowledge(&vcpu.events, 0xf2);
    assert_int_equal(look(), -1);
    assert_int_equal(posted, 1);
    assert_int_equal(vcpu.events.interrupt_stage, EVENT_NONE);
}

/* --- halted --- */

static void windows_of_a_halted_l2(void **state)
{
    (void)state;
    for (u32 i = 0; i < 32; i++) {
        bool halted = i & 1, irq = i & 2, nmi = i & 4, enabled = i & 8, blocked = i & 16;
        int wanted = -1;

        start();
        vcpu.activity = halted ? VCPU_HALTED : VCPU_ACTIVE;
        set(&L1_SAYS(PRIMARY_CONTROLS), PROC_INTERRUPT_WINDOW_EXITING, irq);
        set(&L1_SAYS(PRIMARY_CONTROLS), PROC_NMI_WINDOW_EXITING, nmi);
        set(&vmcs02[GUEST_RFLAGS], RFLAGS_IF, enabled);
        set(&vmcs02[GUEST_INTERRUPTIBILITY_STATE], INTERRUPTIBILITY_NMI, blocked);
        if (halted && irq && enabled)
            wanted = EXIT_REASON_INTERRUPT_WINDOW;
        if (halted && nmi && !blocked)
            wanted = EXIT_REASON_NMI_WINDOW;
        assert_int_equal(look(), wanted);
    }
}

static void all_that_ends_a_halt(void **state)
{
    (void)state;
    for (u32 i = 0; i < NR; i++) {
        start();
        vcpu.activity = VCPU_HALTED;
        things[i].wait();
        assert_int_equal(look(), things[i].reason);
        /* An exit does not make it active before: 'Architectural State Before a VM Exit'. */
        assert_int_equal(vcpu.activity, VCPU_HALTED);
    }
}

static void halt_ends_with_the_timer(void **state)
{
    (void)state;
    start();
    nested_before_halt(&vcpu);
    assert_int_equal(armed, 0);
    vm.start_tsc = 400;
    nested.timer_end = now + 5000;
    nested_before_halt(&vcpu);
    assert_int_equal(armed, 1);
    assert_int_equal(armed_for, now + 5000 - 400);
    assert_int_equal(look(), -1);
    now += 4999;
    assert_int_equal(look(), -1);
    now++;
    assert_int_equal(look(), EXIT_REASON_PREEMPTION_TIMER);
}

/* 'Activity State': only a start-up IPI ends it, whatever else waits. */
static void waits_for_sipi(void **state)
{
    (void)state;
    for (u32 i = 0; i < NR; i++) {
        if (things[i].wait == wait_due || things[i].wait == wait_l1_injects || things[i].wait == wait_mtf)
            continue;
        start();
        vcpu.activity = VCPU_WAIT_SIPI;
        things[i].wait();
        assert_int_equal(look(), -1);
        vcpu.events.sipi = true;
        vcpu.events.sipi_vector = 0x9a;
        assert_int_equal(look(), EXIT_REASON_SIPI);
        assert_int_equal(got.qualification, 0x9a);
        assert_int_equal(got.interruption_info | got.idt_info | got.instruction_length, 0);
        assert_false(vcpu.events.sipi);
        vcpu.activity = VCPU_ACTIVE;
        assert_int_equal(look(), things[i].reason);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_no_exit),
        cmocka_unit_test(each_alone),
        cmocka_unit_test(the_first_of_two),
        cmocka_unit_test(the_second_follows),
        cmocka_unit_test(intercepted_exception),
        cmocka_unit_test(no_error_code_in_real_mode),
        cmocka_unit_test(page_faults_by_mask_and_match),
        cmocka_unit_test(injected_exception),
        cmocka_unit_test(software_exceptions_have_a_length),
        cmocka_unit_test(debug_traps),
        cmocka_unit_test(nmis),
        cmocka_unit_test(interrupts),
        cmocka_unit_test(shadows),
        cmocka_unit_test(interrupt_that_disappears),
        cmocka_unit_test(acknowledged_interrupt),
        cmocka_unit_test(posted_interrupts),
        cmocka_unit_test(windows_of_a_halted_l2),
        cmocka_unit_test(all_that_ends_a_halt),
        cmocka_unit_test(halt_ends_with_the_timer),
        cmocka_unit_test(waits_for_sipi),
    };

    return cmocka_run_group_tests_name("nested_pending", tests, NULL, NULL);
}
