/* SPDX-License-Identifier: MIT */
/* links: vmm/events.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86/regs.h"
#include "vmm/events.h"

#define REGS                                                                       \
    (struct events_regs)                                                           \
    {                                                                              \
        .cr2 = 0xc2, .dr6 = DR6_INIT | 5, .dr7 = DR7_INIT | BIT(13), .debugctl = 3 \
    }

static const struct events_cpu open = {.interrupts_enabled = true, .protected_mode = true};

/* SDM, 'Interrupt 8: Double Fault Exception', written anew: B benign, C contributory, P page faults, D
 * double. */
static const char classes[33] = "CBBBBBBBDBCCCCPBBBBBPCBBBBBBBBBB";

/* What first and second make: s one after the other (the second first), d #DF, t triple fault. */
static char together(u8 first, u8 second)
{
    char a = classes[first], b = classes[second];

    if (a == 'D' && b != 'B')
        return 't';
    if ((a == 'C' && b == 'C') || (a == 'P' && (b == 'C' || b == 'P')))
        return 'd';
    return 's';
}

static u32 deliver(struct events *ev, enum event_kind wanted, const struct events_cpu *cpu,
                   struct events_entry *e)
{
    struct events_regs regs = REGS;

    assert_int_equal(events_next(ev, cpu), wanted);
    events_commit(ev, wanted, cpu, &regs, e);
    return e->info;
}

static u32 take(struct events *ev, enum event_kind wanted)
{
    struct events_entry e;

    return deliver(ev, wanted, &open, &e);
}

static void expect_nothing(const struct events *ev)
{
    assert_int_equal(events_next(ev, &open), EVENT_NOTHING);
    assert_int_equal(ev->due, 0);
    assert_false(events_wants_interrupt_window(ev, &open));
    assert_false(events_wants_nmi_window(ev));
}

static void start(struct events *ev)
{
    memset(ev, 0xff, sizeof(*ev));
    events_reset(ev);
    expect_nothing(ev);
}

/* The delivery of an event was interrupted. */
static void comes_back(struct events *ev, u32 type, u8 vector, u32 error, u32 length)
{
    struct events_exit x = {
        .idt_info = INTR_INFO(type, vector), .idt_error_code = error, .instruction_length = length};

    if (type == INTR_TYPE_HARDWARE_EXCEPTION && events_has_error_code(vector))
        x.idt_info |= INTR_INFO_DELIVER_ERROR;
    events_after_exit(ev, &x);
}

static void test_error_codes(void **state)
{
    (void)state;
    for (u32 v = 0; v < 256; v++)
        assert_int_equal(events_has_error_code((u8)v), v == 8 || (v >= 10 && v <= 14) || v == 17 || v == 21);
}

/* first: pending, or back from its delivery. */
static void exception_pair(u8 first, u8 second, bool back)
{
    struct events ev;
    u32 error = events_has_error_code(second) ? BIT(11) : 0;
    struct events_entry e;

    start(&ev);
    if (back)
        comes_back(&ev, INTR_TYPE_HARDWARE_EXCEPTION, first, 0x11, 0);
    else
        events_raise_hardware(&ev, first, 0x11);
    events_raise_hardware(&ev, second, 0x22);
    switch (together(first, second)) {
    case 't':
        assert_true(ev.triple_fault);
        assert_int_equal(events_next(&ev, &open), EVENT_TRIPLE_FAULT);
        return;
    case 'd':
        assert_int_equal(deliver(&ev, EVENT_EXCEPTION, &open, &e), 0x80000b08);
        assert_int_equal(e.error_code, 0);
        break;
    default:
        assert_int_equal(deliver(&ev, EVENT_EXCEPTION, &open, &e), 0x80000300 | second | error);
        assert_int_equal(e.error_code, error ? 0x22 : 0);
    }
    assert_int_equal(e.length, 0);
    expect_nothing(&ev);
}

static void test_exception_pairs(void **state)
{
    (void)state;
    for (u32 first = 0; first < 32; first++) {
        for (u32 second = 0; second < 32; second++) {
            exception_pair((u8)first, (u8)second, false);
            exception_pair((u8)first, (u8)second, true);
        }
    }
}

/* Every kind of event under delivery meets every exception. */
static void test_delivery_meets_exception(void **state)
{
    static const struct {
        u8 type, vector, length;
        u32 later; /* what is taken after the exception; 0: nothing */
    } firsts[] = {
        {INTR_TYPE_EXTERNAL, 0x41, 0, 0x80000041}, {INTR_TYPE_EXTERNAL, 14, 0, 0x8000000e},
        {INTR_TYPE_NMI, 2, 0, 0x80000202},         {INTR_TYPE_SOFTWARE_INTERRUPT, 0x80, 2, 0},
        {INTR_TYPE_SOFTWARE_INTERRUPT, 13, 2, 0},  {INTR_TYPE_SOFTWARE_EXCEPTION, 3, 1, 0},
        {INTR_TYPE_SOFTWARE_EXCEPTION, 4, 1, 0},   {INTR_TYPE_PRIVILEGED_SOFTWARE_EXCEPTION, 1, 1, 0},
    };

    (void)state;
    for (u32 i = 0; i < ARRAY_SIZE(firsts); i++) {
        for (u32 second = 0; second < 32; second++) {
            bool external = firsts[i].type == INTR_TYPE_EXTERNAL;
            struct events ev;

            start(&ev);
            comes_back(&ev, firsts[i].type, firsts[i].vector, 0, firsts[i].length);
            events_raise_hardware(&ev, (u8)second, 0);
            assert_int_equal(INTR_INFO_VECTOR(take(&ev, EVENT_EXCEPTION)), second);
            if (firsts[i].later) {
                const struct events_cpu closed = {.protected_mode = true};

                assert_int_equal(events_wants_interrupt_window(&ev, &closed), external);
                assert_int_equal(events_wants_nmi_window(&ev), !external);
                if (external) /* a handler behind an interrupt gate has IF = 0 */
                    assert_int_equal(events_next(&ev, &closed), EVENT_NOTHING);
                assert_int_equal(take(&ev, external ? EVENT_INTERRUPT : EVENT_NMI), firsts[i].later);
            }
            expect_nothing(&ev);
        }
    }
}

/* What comes back is injected as it was, whatever the flags, and before all that waits. */
static void test_delivery_goes_on(void **state)
{
    static const struct {
        u8 type, vector, length;
        enum event_kind kind;
    } events[] = {
        {INTR_TYPE_EXTERNAL, 0x41, 0, EVENT_INTERRUPT},
        {INTR_TYPE_NMI, 2, 0, EVENT_NMI},
        {INTR_TYPE_HARDWARE_EXCEPTION, 14, 0, EVENT_EXCEPTION},
        {INTR_TYPE_HARDWARE_EXCEPTION, 1, 0, EVENT_EXCEPTION},
        {INTR_TYPE_SOFTWARE_INTERRUPT, 0x80, 2, EVENT_INTERRUPT},
        {INTR_TYPE_PRIVILEGED_SOFTWARE_EXCEPTION, 1, 1, EVENT_EXCEPTION},
        {INTR_TYPE_SOFTWARE_EXCEPTION, 3, 1, EVENT_EXCEPTION},
        {INTR_TYPE_SOFTWARE_EXCEPTION, 4, 3, EVENT_EXCEPTION},
    };

    (void)state;
    for (u32 i = 0; i < ARRAY_SIZE(events); i++) {
        bool error = events[i].vector == 14;
        struct events ev;
        struct events_regs regs = REGS, same = REGS;
        struct events_entry e;
        const struct events_cpu cpu = {.interrupt = true, .protected_mode = true};

        start(&ev);
        ev.interruptibility = INTERRUPTIBILITY_NMI;
        comes_back(&ev, events[i].type, events[i].vector, 0x77, events[i].length);
        /* An NMI that was not delivered does not block itself. */
        assert_int_equal(ev.interruptibility, events[i].kind == EVENT_NMI ? 0 : INTERRUPTIBILITY_NMI);
        events_request_nmi(&ev, 1);
        assert_int_not_equal(ev.due, 0);
        assert_int_equal(events_next(&ev, &cpu), events[i].kind);
        events_commit(&ev, events[i].kind, &cpu, &regs, &e);
        assert_int_equal(e.info, INTR_INFO(events[i].type, events[i].vector) | (error ? BIT(11) : 0));
        assert_int_equal(e.error_code, error ? 0x77 : 0);
        assert_int_equal(e.length, events[i].length);
        assert_int_equal(ev.due, 0);
        assert_true(events_wants_nmi_window(&ev));
        assert_true(events_wants_interrupt_window(&ev, &cpu));
        /* The payload was delivered the first time. */
        if (events[i].type != INTR_TYPE_HARDWARE_EXCEPTION || events[i].vector != 1)
            assert_memory_equal(&regs, &same, sizeof(regs));
        assert_int_equal(regs.dr6, same.dr6);
    }
}

/* CR2, DR6, DR7 and DEBUGCTL change with the injection and not before; a #PF that becomes a #DF leaves CR2.
 */
static void test_payload(void **state)
{
    struct events ev;
    struct events_regs regs = REGS;
    struct events_entry e;

    (void)state;
    start(&ev);
    events_raise_page_fault(&ev, 6, 0x123456789000);
    assert_int_equal(ev.exception_stage, EVENT_PENDING);
    events_commit(&ev, EVENT_EXCEPTION, &open, &regs, &e);
    assert_int_equal(e.info, 0x80000b0e);
    assert_int_equal(e.error_code, 6);
    assert_int_equal(regs.cr2, 0x123456789000);
    assert_int_equal(regs.dr7, DR7_INIT | BIT(13));
    comes_back(&ev, INTR_TYPE_HARDWARE_EXCEPTION, 14, 6, 0);
    assert_int_equal(ev.exception_stage, EVENT_INJECTED);
    regs.cr2 = 1;
    events_raise_page_fault(&ev, 0, 0x2000);
    events_commit(&ev, EVENT_EXCEPTION, &open, &regs, &e);
    assert_int_equal(e.info, 0x80000b08);
    assert_int_equal(regs.cr2, 1);

    start(&ev);
    events_raise_debug(&ev, BIT(14) | 2);
    assert_int_equal(ev.exception.payload, BIT(14) | 2);
    events_commit(&ev, EVENT_EXCEPTION, &open, &regs, &e);
    assert_int_equal(e.info, 0x80000301);
    assert_int_equal(regs.dr6, DR6_INIT | BIT(14) | 2);
    assert_int_equal(regs.dr7, DR7_INIT);
    assert_int_equal(regs.debugctl, 0);

    /* INT1 has its own type and leaves DR6. */
    start(&ev);
    regs = REGS;
    events_raise(&ev, &(struct event_exception){
                          .vector = 1, .type = INTR_TYPE_PRIVILEGED_SOFTWARE_EXCEPTION, .length = 1});
    events_commit(&ev, EVENT_EXCEPTION, &open, &regs, &e);
    assert_int_equal(e.info, 0x80000501);
    assert_int_equal(e.length, 1);
    assert_int_equal(regs.dr6, DR6_INIT | 5);
}

static void test_dr6(void **state)
{
    (void)state;
    assert_int_equal(events_dr6(DR6_INIT | 0xf, 0), DR6_INIT);
    assert_int_equal(events_dr6(0, 8), DR6_INIT | 8);
    assert_int_equal(events_dr6(DR6_INIT | BIT(14), BIT(13)), DR6_INIT | BIT(14) | BIT(13)); /* these stay */
    assert_int_equal(events_dr6(DR6_INIT, BIT(16)), DR6_INIT & ~BIT(16));
    assert_int_equal(events_dr6(DR6_INIT, BIT(11)), DR6_INIT & ~BIT(11));
    assert_int_equal(events_dr6(DR6_INIT & ~BIT(16), 1), DR6_INIT | 1);
}

/* Two debug traps of one boundary come as one. */
static void test_debug_traps_merge(void **state)
{
    struct events ev;
    struct events_regs regs = REGS;
    struct events_entry e;

    (void)state;
    start(&ev);
    events_raise_debug(&ev, 1);
    events_skip(&ev, true);
    events_debug_trap(&ev, BIT(12) | 4);
    events_raise_debug(&ev, ev.pending_debug);
    events_commit(&ev, EVENT_EXCEPTION, &open, &regs, &e);
    assert_int_equal(regs.dr6, DR6_INIT | BIT(14) | 5);
    assert_int_equal(ev.pending_debug, 0);
    /* After it was injected, a new one is one of its own. */
    comes_back(&ev, INTR_TYPE_HARDWARE_EXCEPTION, 1, 0, 0);
    events_raise_debug(&ev, 2);
    regs = REGS;
    events_commit(&ev, EVENT_EXCEPTION, &open, &regs, &e);
    assert_int_equal(regs.dr6, DR6_INIT | 2);
}

static void test_no_error_code_in_real_mode(void **state)
{
    const struct events_cpu real = {.interrupts_enabled = true};
    struct events_entry e;
    struct events ev;

    (void)state;
    start(&ev);
    events_raise_hardware(&ev, VEC_GP, 5);
    assert_int_equal(deliver(&ev, EVENT_EXCEPTION, &real, &e), 0x8000030d);
    assert_int_equal(e.error_code, 0);
}

/* What was being delivered is lost; what waits stays. */
static void test_shut_down(void **state)
{
    static const u32 types[] = {INTR_TYPE_EXTERNAL, INTR_TYPE_NMI, INTR_TYPE_HARDWARE_EXCEPTION,
                                INTR_TYPE_SOFTWARE_INTERRUPT};

    (void)state;
    for (u32 i = 0; i < ARRAY_SIZE(types); i++) {
        struct events_entry idt;
        struct events ev;

        start(&ev);
        comes_back(&ev, types[i], types[i] == INTR_TYPE_NMI ? VEC_NMI : VEC_UD, 0, 0);
        events_request_nmi(&ev, 1);
        events_shut_down(&ev);
        assert_int_equal(events_next(&ev, &open), EVENT_TRIPLE_FAULT);
        assert_int_equal(ev.nmi_pending, 1);
        events_surrender(&ev, &idt);
        assert_int_equal(idt.info, 0);
    }
}

/* Each pair of rows of the table, in either order of coming: the higher one is taken first. */
enum { TRIPLE, INIT, EXCEPTION, TRAP, NMI, IRQ, NR_ROWS };

static void add(struct events *ev, struct events_cpu *cpu, u32 row)
{
    switch (row) {
    case TRIPLE:
        ev->triple_fault = true;
        break;
    case INIT:
        ev->init = true;
        break;
    case EXCEPTION:
        events_raise_hardware(ev, VEC_UD, 0);
        break;
    case TRAP:
        events_skip(ev, true);
        break;
    case NMI:
        events_request_nmi(ev, 1);
        break;
    case IRQ:
        cpu->interrupt = true;
        break;
    }
}

static void test_priorities(void **state)
{
    static const enum event_kind kinds[NR_ROWS] = {EVENT_TRIPLE_FAULT, EVENT_INIT, EVENT_EXCEPTION,
                                                   EVENT_DEBUG_TRAP,   EVENT_NMI,  EVENT_INTERRUPT};

    (void)state;
    for (u32 a = 0; a < NR_ROWS; a++) {
        for (u32 b = 0; b < NR_ROWS; b++) {
            struct events_cpu cpu = open;
            struct events ev;

            start(&ev);
            add(&ev, &cpu, a);
            add(&ev, &cpu, b);
            assert_int_equal(events_next(&ev, &cpu), kinds[MIN(a, b)]);
            assert_true(events_wake(&ev, &cpu));
        }
    }
}

/* What each shadow and flag holds back. */
static void test_shadows(void **state)
{
    const u32 sti = INTERRUPTIBILITY_STI, ss = INTERRUPTIBILITY_MOV_SS, nmi = INTERRUPTIBILITY_NMI;

    (void)state;
    for (u32 i = 0; i < 16; i++) {
        u32 shadow = (i & 1 ? sti : 0) | (i & 2 ? ss : 0) | (i & 4 ? nmi : 0);
        bool enabled = i & 8;

        for (u32 row = EXCEPTION; row < NR_ROWS; row++) {
            struct events_cpu cpu = {.interrupts_enabled = enabled, .protected_mode = true};
            struct events ev;
            bool held = (row == TRAP && shadow & ss) || (row == NMI && shadow) ||
                        (row == IRQ && (!enabled || shadow & (sti | ss)));

            start(&ev);
            add(&ev, &cpu, row);
            ev.interruptibility = shadow;
            assert_int_equal(events_next(&ev, &cpu) == EVENT_NOTHING, held);
            assert_int_equal(events_wants_nmi_window(&ev), row == NMI);
            assert_int_equal(events_wants_interrupt_window(&ev, &cpu), row == IRQ);
            events_skip(&ev, false);
            assert_int_equal(ev.interruptibility, shadow & nmi);
        }
    }
}

static void test_nmi_latches(void **state)
{
    struct events ev;

    (void)state;
    start(&ev);
    events_request_nmi(&ev, 2);
    events_request_nmi(&ev, 2);
    assert_int_equal(ev.nmi_pending, 2);
    assert_int_equal(take(&ev, EVENT_NMI), 0x80000202);
    ev.interruptibility = INTERRUPTIBILITY_NMI; /* the CPU does that */
    assert_int_equal(events_next(&ev, &open), EVENT_NOTHING);
    assert_true(events_wants_nmi_window(&ev));
    events_request_nmi(&ev, 2);
    assert_int_equal(ev.nmi_pending, 1);
    ev.interruptibility = 0; /* IRET */
    take(&ev, EVENT_NMI);
    expect_nothing(&ev);

    /* Its delivery meets an exception, with one latched already. */
    events_request_nmi(&ev, 1);
    comes_back(&ev, INTR_TYPE_NMI, 2, 0, 0);
    events_raise_hardware(&ev, VEC_GP, 0);
    assert_int_equal(ev.nmi_pending, 2);
    assert_false(ev.nmi_injected);

    /* A fault in IRET, which had unblocked NMIs. */
    start(&ev);
    events_after_exit(&ev, &(struct events_exit){.unblocked_nmi = true});
    assert_int_equal(ev.interruptibility, INTERRUPTIBILITY_NMI);
    /* Not if an event was being delivered: the bit has no meaning. */
    start(&ev);
    events_after_exit(
        &ev, &(struct events_exit){.unblocked_nmi = true, .idt_info = INTR_INFO(INTR_TYPE_EXTERNAL, 32)});
    assert_int_equal(ev.interruptibility, 0);
    start(&ev);
    events_after_exit(&ev, &(struct events_exit){.idt_info = 0x7fffffff});
    expect_nothing(&ev);
}

static void test_interrupts(void **state)
{
    struct events_cpu cpu = open;
    struct events ev;

    (void)state;
    start(&ev);
    cpu.interrupt = true;
    assert_int_equal(events_next(&ev, &cpu), EVENT_INTERRUPT);
    events_acknowledge(&ev, 0xfe);
    cpu.interrupt = false;
    assert_int_equal(events_next(&ev, &cpu), EVENT_INTERRUPT);
    assert_int_equal(take(&ev, EVENT_INTERRUPT), 0x800000fe);
    expect_nothing(&ev);
    events_software_interrupt(&ev, 0x80, 2);
    cpu.interrupts_enabled = false;
    assert_int_equal(events_next(&ev, &cpu), EVENT_INTERRUPT);
    assert_int_equal(take(&ev, EVENT_INTERRUPT), 0x80000480);
}

/* What entries leave of the pending debug exceptions. */
static void test_pending_debug(void **state)
{
    static const struct {
        u8 type, vector;
        bool keeps; /* in the shadow of MOV SS */
    } events[] = {
        {INTR_TYPE_EXTERNAL, 0x30, false},
        {INTR_TYPE_NMI, 2, false},
        {INTR_TYPE_HARDWARE_EXCEPTION, 6, false},
        {INTR_TYPE_SOFTWARE_INTERRUPT, 0x80, true},
        {INTR_TYPE_PRIVILEGED_SOFTWARE_EXCEPTION, 1, false},
        {INTR_TYPE_SOFTWARE_EXCEPTION, 3, true},
    };

    (void)state;
    for (u32 i = 0; i < ARRAY_SIZE(events); i++) {
        for (u32 shadow = 0; shadow < 2; shadow++) {
            struct events ev;

            start(&ev);
            ev.interruptibility = shadow ? INTERRUPTIBILITY_MOV_SS : 0;
            ev.pending_debug = BIT(12) | 1;
            comes_back(&ev, events[i].type, events[i].vector, 0, 1);
            take(&ev, events_next(&ev, &open));
            assert_int_equal(ev.pending_debug, shadow && events[i].keeps ? BIT(12) | 1 : 0);
        }
    }
}

static void test_debug_trap(void **state)
{
    struct events_regs regs = REGS;
    struct events_entry e;
    struct events ev;

    (void)state;
    start(&ev);
    events_debug_trap(&ev, 3); /* matched, not enabled */
    expect_nothing(&ev);
    events_debug_trap(&ev, BIT(12) | 8);
    assert_int_equal(events_next(&ev, &open), EVENT_DEBUG_TRAP);
    events_commit(&ev, EVENT_DEBUG_TRAP, &open, &regs, &e);
    assert_int_equal(e.info, 0x80000301);
    assert_int_equal(regs.dr6, DR6_INIT | 0xb);
    expect_nothing(&ev);
}

#define DR7(n, rw, len) (BIT(2 * (n)) | (u64)(rw) << (16 + 4 * (n)) | (u64)(len) << (18 + 4 * (n)))

static void test_breakpoints(void **state)
{
    static const struct {
        u64 dr, dr7, address;
        u32 size;
        enum debug_access access;
        u64 wanted;
    } rows[] = {
        {0x1000, DR7(0, 1, 0), 0x1000, 1, DEBUG_WRITE, 0x1001},
        {0x1000, DR7(0, 1, 0), 0x1000, 1, DEBUG_READ, 0},
        {0x1000, DR7(0, 3, 0), 0x1000, 1, DEBUG_READ, 0x1001},
        {0x1000, DR7(0, 3, 0), 0x1000, 1, DEBUG_WRITE, 0x1001},
        {0x1000, DR7(0, 0, 0), 0x1000, 1, DEBUG_READ, 0}, /* execution */
        {0x1000, DR7(0, 2, 0), 0x1000, 1, DEBUG_READ, 0}, /* I/O */
        {0x60, DR7(0, 2, 0), 0x60, 1, DEBUG_IO, 0x1001},
        {0x60, DR7(0, 3, 0), 0x60, 1, DEBUG_IO, 0},
        {0x1003, DR7(0, 3, 3), 0x1000, 1, DEBUG_READ, 0x1001}, /* aligned by its length */
        {0x1000, DR7(0, 3, 3), 0x1004, 1, DEBUG_READ, 0},
        {0x1000, DR7(0, 3, 3), 0x0fff, 1, DEBUG_READ, 0},
        {0x1000, DR7(0, 3, 3), 0x0fff, 2, DEBUG_READ, 0x1001},
        {0x1000, DR7(0, 3, 0), 0x0ff9, 8, DEBUG_READ, 0x1001},
        {0x1000, DR7(0, 3, 0), 0x0ff8, 8, DEBUG_READ, 0},
        {0x1000, DR7(0, 3, 2), 0x1007, 1, DEBUG_READ, 0x1001},
        {0x1000, DR7(0, 3, 1), 0x1002, 1, DEBUG_READ, 0},
        {0x1000, DR7(0, 3, 0) & ~1ull, 0x1000, 1, DEBUG_READ, 1}, /* not enabled */
        {0x1000, DR7(3, 3, 0), 0x1000, 1, DEBUG_READ, 0x1008},
        {0x1000, (DR7(1, 3, 0) & ~4ull) | BIT(3), 0x1000, 1, DEBUG_READ, 0x1002},
        {~0ull, DR7(0, 3, 0), ~0ull, 1, DEBUG_READ, 0x1001},
    };

    (void)state;
    for (u32 i = 0; i < ARRAY_SIZE(rows); i++) {
        /* The others stay away: at an address that nobody accesses. */
        u64 dr[4] = {1ull << 40, 1ull << 40, 1ull << 40, 1ull << 40}, n = rows[i].wanted & 0xf;

        dr[n == 8 ? 3 : n == 2 ? 1 : 0] = rows[i].dr;
        assert_int_equal(events_breakpoints(dr, rows[i].dr7, rows[i].address, rows[i].size, rows[i].access),
                         rows[i].wanted);
    }
}

static void test_init_and_sipi(void **state)
{
    struct events_cpu cpu = {.init_blocked = true};
    struct events ev;

    (void)state;
    start(&ev);
    assert_false(events_take_init(&ev));
    assert_int_equal(events_take_sipi(&ev, true), -1);
    events_raise_hardware(&ev, VEC_GP, 0);
    events_request_nmi(&ev, 1);
    ev.init = ev.sipi = true;
    ev.sipi_vector = 0x9a;
    assert_int_equal(events_next(&ev, &cpu), EVENT_EXCEPTION); /* INIT waits */
    cpu.init_blocked = false;
    assert_int_equal(events_next(&ev, &cpu), EVENT_INIT);
    assert_true(events_take_init(&ev));
    assert_int_equal(events_take_sipi(&ev, true), 0x9a);
    expect_nothing(&ev);
    ev.sipi = true;
    assert_int_equal(events_take_sipi(&ev, false), -1);
    assert_int_equal(events_take_sipi(&ev, true), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_error_codes),
        cmocka_unit_test(test_exception_pairs),
        cmocka_unit_test(test_delivery_meets_exception),
        cmocka_unit_test(test_delivery_goes_on),
        cmocka_unit_test(test_payload),
        cmocka_unit_test(test_dr6),
        cmocka_unit_test(test_debug_traps_merge),
        cmocka_unit_test(test_no_error_code_in_real_mode),
        cmocka_unit_test(test_priorities),
        cmocka_unit_test(test_shadows),
        cmocka_unit_test(test_nmi_latches),
        cmocka_unit_test(test_interrupts),
        cmocka_unit_test(test_pending_debug),
        cmocka_unit_test(test_debug_trap),
        cmocka_unit_test(test_breakpoints),
        cmocka_unit_test(test_init_and_sipi),
        cmocka_unit_test(test_shut_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
