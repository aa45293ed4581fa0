/* SPDX-License-Identifier: MIT */
/* links: vmm/events.c vmm/events_record.c */
/* Saved and read back at every state; and a vCPU whose CPU is a model, driven at random. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86/regs.h"
#include "vmm/events_record.h"

static u64 seed;

static u32 random_below(u32 n)
{
    seed = seed * 6364136223846793005ull + 1442695040888963407ull;
    return (u32)(seed >> 33) % n;
}

static void expect_equal(const struct events *a, const struct events *b)
{
    assert_int_equal(a->due, b->due);
    assert_int_equal(a->init, b->init);
    assert_int_equal(a->sipi, b->sipi);
    assert_int_equal(a->sipi_vector, b->sipi_vector);
    assert_int_equal(a->nmi_pending, b->nmi_pending);
    assert_int_equal(a->interruptibility, b->interruptibility);
    assert_int_equal(a->pending_debug, b->pending_debug);
    assert_int_equal(a->interrupt_type, b->interrupt_type);
    assert_int_equal(a->interrupt_vector, b->interrupt_vector);
    assert_int_equal(a->interrupt_length, b->interrupt_length);
    assert_int_equal(a->exception.vector, b->exception.vector);
    assert_int_equal(a->exception.type, b->exception.type);
    assert_int_equal(a->exception.length, b->exception.length);
    assert_int_equal(a->exception.has_error, b->exception.has_error);
    assert_int_equal(a->exception.has_payload, b->exception.has_payload);
    assert_int_equal(a->exception.error_code, b->exception.error_code);
    assert_int_equal(a->exception.payload, b->exception.payload);
}

static void round_trip(const struct events *ev)
{
    u8 record[EVENTS_RECORD_SIZE + 1];
    struct events back;

    memset(record, 0xee, sizeof(record));
    memset(&back, 0xdd, sizeof(back));
    assert_int_equal(events_save(ev, record, EVENTS_RECORD_SIZE), OK);
    assert_int_equal(record[EVENTS_RECORD_SIZE], 0xee);
    assert_int_equal(events_restore(&back, record, sizeof(record)), OK);
    expect_equal(ev, &back);
}

/* The lay-out is a contract: byte by byte. */
static void test_layout(void **state)
{
    static const u8 wanted[EVENTS_RECORD_SIZE] = {
        1,    0,    56,   0,    1,    0,    0,    0,    /* version, size, oldest reader */
        1,    14,   3,    0,    1,    1,    0,    1,    /* stage, vector, type, length, flags */
        0x44, 0x33, 0x22, 0x11, 2,    4,    0x80, 2,    /* error code; interrupt */
        0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, /* payload */
        0x01, 0x10, 0,    0,    0,    0,    0,    0,
        0x0a, 0,    0,    0,    2,    1,    1, /* pending debug, interruptibility, NMIs, INIT, SIPI */
        0x9a,
    };
    struct events ev = {.exception_stage = EVENT_PENDING,
                        .interrupt_stage = EVENT_INJECTED,
                        .nmi_injected = true,
                        .init = true,
                        .sipi = true,
                        .sipi_vector = 0x9a,
                        .nmi_pending = 2,
                        .interrupt_type = INTR_TYPE_SOFTWARE_INTERRUPT,
                        .interrupt_vector = 0x80,
                        .interrupt_length = 2,
                        .exception = {.vector = 14,
                                      .type = 3,
                                      .has_error = true,
                                      .has_payload = true,
                                      .error_code = 0x11223344,
                                      .payload = 0x1122334455667788},
                        .interruptibility = INTERRUPTIBILITY_NMI | INTERRUPTIBILITY_MOV_SS,
                        .pending_debug = BIT(12) | 1};
    u8 record[EVENTS_RECORD_SIZE];

    (void)state;
    assert_int_equal(events_save(&ev, record, sizeof(record)), OK);
    assert_memory_equal(record, wanted, sizeof(wanted));
    round_trip(&ev);
    for (u32 n = 0; n < EVENTS_RECORD_SIZE; n++)
        assert_int_equal(events_save(&ev, record, n), ERR_RANGE);
}

static void test_truncated(void **state)
{
    u8 record[EVENTS_RECORD_SIZE];
    struct events ev, back;

    (void)state;
    events_reset(&ev);
    events_raise_page_fault(&ev, 2, 0x5000);
    assert_int_equal(events_save(&ev, record, sizeof(record)), OK);
    for (u32 n = 0; n < sizeof(record); n++) {
        memset(&back, 0x55, sizeof(back));
        assert_int_equal(events_restore(&back, record, n), ERR_RANGE);
        assert_int_equal(back.due, 0x55555555); /* untouched */
    }
}

/* Written by a version that knew fewer fields: the rest is as after RESET, but for a payload that was
 * promised. */
static void test_shorter(void **state)
{
    u8 record[EVENTS_RECORD_SIZE];
    struct events ev, back;

    (void)state;
    events_reset(&ev);
    events_raise_page_fault(&ev, 2, 0x5000);
    events_request_nmi(&ev, 1);
    ev.pending_debug = BIT(14);
    ev.interruptibility = INTERRUPTIBILITY_STI;
    assert_int_equal(events_save(&ev, record, sizeof(record)), OK);
    for (u32 n = 0; n < sizeof(record); n++) {
        record[2] = (u8)n;
        if (n < 32) {
            assert_int_equal(events_restore(&back, record, sizeof(record)), ERR_INVAL);
            continue;
        }
        assert_int_equal(events_restore(&back, record, sizeof(record)), OK);
        assert_int_equal(back.exception.payload, 0x5000);
        assert_int_equal(back.pending_debug, n < 40 ? 0 : BIT(14));
        assert_int_equal(back.interruptibility, n < 44 ? 0 : INTERRUPTIBILITY_STI);
        assert_int_equal(back.nmi_pending, n < 45 ? 0 : 1);
    }
}

static void test_newer(void **state)
{
    u8 record[EVENTS_RECORD_SIZE + 64];
    struct events ev, back;

    (void)state;
    events_reset(&ev);
    events_raise_page_fault(&ev, 2, 0x5000);
    memset(record, 0xff, sizeof(record));
    assert_int_equal(events_save(&ev, record, sizeof(record)), OK);
    record[0] = 7;
    record[2] = sizeof(record);
    assert_int_equal(events_restore(&back, record, sizeof(record)), OK);
    expect_equal(&ev, &back);
    record[4] = 2; /* what it adds must not be lost */
    assert_int_equal(events_restore(&back, record, sizeof(record)), ERR_UNSUPP);
    record[4] = 1;
    record[50] = 1; /* a flag that is not known */
    assert_int_equal(events_restore(&back, record, sizeof(record)), ERR_UNSUPP);
    record[50] = 0;
    record[0] = 0;
    assert_int_equal(events_restore(&back, record, sizeof(record)), ERR_INVAL);
}

/* Each byte of a good record with each value: accepted means that it is written out again as it is. */
static void test_any_byte(void **state)
{
    u8 record[EVENTS_RECORD_SIZE], again[EVENTS_RECORD_SIZE];
    struct events ev;
    u32 refused = 0;

    (void)state;
    events_reset(&ev);
    events_raise_page_fault(&ev, 2, 0x5000);
    events_software_interrupt(&ev, 0x80, 2);
    for (u32 at = 0; at < sizeof(record); at++) {
        for (u32 value = 0; value < 256; value++) {
            struct events back;

            assert_int_equal(events_save(&ev, record, sizeof(record)), OK);
            record[at] = (u8)value;
            if (events_restore(&back, record, sizeof(record))) {
                refused++;
                continue;
            }
            assert_int_equal(events_save(&back, again, sizeof(again)), OK);
            if (at >= 8 && at < 48)
                assert_memory_equal(record + 8, again + 8, 40);
        }
    }
    assert_true(refused > 4000);
}

/* --- The model --- */

/* What the CPU and the interrupt controller have, and what was counted. */
struct model {
    struct events ev;
    struct events_regs regs;
    bool enabled, irq;
    u32 acknowledged, interrupts, soft;
    u32 faults; /* #PF that were committed with their payload */
};

static void raise_something(struct model *m)
{
    switch (random_below(4)) {
    case 0:
        events_raise_page_fault(&m->ev, random_below(32), (u64)random_below(1000) << 12);
        break;
    case 1:
        events_raise_debug(&m->ev, BIT(random_below(4)));
        break;
    default:
        events_raise_hardware(&m->ev, (u8)random_below(32), random_below(65536));
    }
}

/* After the entry with e: it is delivered, or an exit comes before it is. */
static void run_guest(struct model *m, const struct events_entry *e)
{
    u32 type = INTR_INFO_TYPE(e->info);
    bool valid = e->info & INTR_INFO_VALID, back = valid && random_below(3) == 0;

    if (valid && type == INTR_TYPE_NMI)
        m->ev.interruptibility |= INTERRUPTIBILITY_NMI;
    if (back) {
        struct events_exit x = {
            .idt_info = e->info, .idt_error_code = e->error_code, .instruction_length = e->length};

        events_after_exit(&m->ev, &x);
        if (random_below(3) == 0)
            raise_something(m);
        return;
    }
    m->interrupts += valid && type == INTR_TYPE_EXTERNAL;
    m->soft += valid && type == INTR_TYPE_SOFTWARE_INTERRUPT;
    /* It runs on. */
    m->enabled = random_below(2);
    m->irq |= random_below(4) == 0;
    m->ev.interruptibility &= random_below(2) ? INTERRUPTIBILITY_NMI : 0;
    if (random_below(8) == 0)
        m->ev.interruptibility |= random_below(2) ? INTERRUPTIBILITY_STI : INTERRUPTIBILITY_MOV_SS;
    if (random_below(3) == 0)
        raise_something(m);
    else if (random_below(3) == 0)
        events_skip(&m->ev, random_below(4) == 0);
    if (random_below(4) == 0)
        events_request_nmi(&m->ev, 1 + random_below(2));
}

/* SDM, 'VM-Entry Control Fields' and 'Checks on Guest Non-Register State': what the CPU would refuse. */
static void check_entry(const struct model *m, const struct events_entry *e, u32 shadow)
{
    u32 type = INTR_INFO_TYPE(e->info), vector = INTR_INFO_VECTOR(e->info);

    assert_true(e->info & INTR_INFO_VALID);
    assert_int_equal(e->info & BITS(30, 12), 0);
    if (e->info & INTR_INFO_DELIVER_ERROR)
        assert_true(type == INTR_TYPE_HARDWARE_EXCEPTION && events_has_error_code((u8)vector));
    else
        assert_true(type != INTR_TYPE_HARDWARE_EXCEPTION || !events_has_error_code((u8)vector));
    switch (type) {
    case INTR_TYPE_EXTERNAL:
        assert_true(m->enabled);
        assert_false(shadow & (INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS));
        break;
    case INTR_TYPE_NMI:
        assert_int_equal(vector, 2);
        assert_false(shadow & INTERRUPTIBILITY_NMI);
        break;
    case INTR_TYPE_HARDWARE_EXCEPTION:
        assert_true(vector < 32);
        break;
    default:
        assert_in_range(e->length, 1, 15);
    }
}

/* False: triple fault. */
static bool step(struct model *m)
{
    struct events_cpu cpu = {.interrupts_enabled = m->enabled, .interrupt = m->irq, .protected_mode = true};
    enum event_kind kind = events_next(&m->ev, &cpu);
    struct events_regs before = m->regs;
    struct events_entry e = {0};
    u32 shadow = m->ev.interruptibility;
    bool fault = kind == EVENT_EXCEPTION && m->ev.exception_stage == EVENT_PENDING &&
                 m->ev.exception.vector == VEC_PF && m->ev.exception.has_payload;
    bool debug = kind == EVENT_DEBUG_TRAP || (kind == EVENT_EXCEPTION && m->ev.exception.vector == VEC_DB);

    round_trip(&m->ev);
    if (kind == EVENT_TRIPLE_FAULT)
        return false;
    if (kind == EVENT_INTERRUPT && m->ev.interrupt_stage == EVENT_NONE) {
        events_acknowledge(&m->ev, 0x30);
        m->acknowledged++;
        m->irq = false;
    }
    if (kind != EVENT_NOTHING) {
        events_commit(&m->ev, kind, &cpu, &m->regs, &e);
        check_entry(m, &e, shadow);
    }
    assert_true(fault || m->regs.cr2 == before.cr2);
    assert_true(debug || (m->regs.dr6 == before.dr6 && m->regs.dr7 == before.dr7));
    m->faults += fault;
    /* A window for all that waits. */
    cpu.interrupt = m->irq;
    assert_int_equal(events_wants_nmi_window(&m->ev), m->ev.nmi_pending > 0);
    assert_int_equal(events_wants_interrupt_window(&m->ev, &cpu),
                     m->irq || m->ev.interrupt_stage == EVENT_PENDING);
    assert_int_equal(m->ev.due & ~0xff00u, 0);
    run_guest(m, &e);
    return true;
}

static void test_model(void **state)
{
    u32 deaths = 0, taken = 0, faults = 0;

    (void)state;
    seed = 20260101;
    for (u32 run = 0; run < 2000; run++) {
        struct model m = {.regs = {.dr6 = DR6_INIT, .dr7 = DR7_INIT}};
        bool alive = true;

        events_reset(&m.ev);
        for (u32 i = 0; i < 200 && alive; i++)
            alive = step(&m);
        /* No interrupt that was acknowledged is lost, and none comes twice. */
        assert_int_equal(m.acknowledged, m.interrupts + (m.ev.interrupt_stage != EVENT_NONE));
        assert_int_equal(m.soft, 0);
        deaths += !alive;
        taken += m.interrupts;
        faults += m.faults;
    }
    assert_true(deaths > 10 && taken > 10000 && faults > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layout), cmocka_unit_test(test_truncated), cmocka_unit_test(test_shorter),
        cmocka_unit_test(test_newer),  cmocka_unit_test(test_any_byte),  cmocka_unit_test(test_model),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
