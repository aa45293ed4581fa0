/* SPDX-License-Identifier: MIT */
/* links: vmm/dev/lapic.c vmm/dev/lapic_ipi.c vmm/dev/lapic_regs.c vmm/dev/lapic_timer.c vmm/bus.c */
/* links: tests/unit/fake_host.c tests/unit/lapic_test.c */
/* EOIs that the guest leaves out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/lapic_test.h"

#define WORD 0x104

static int setup(void **state)
{
    lapic_setup(state);
    vm->ram = calloc(1, PAGE_SIZE);
    vm->ram_size = PAGE_SIZE;
    assert_int_equal(lapic_set_pv_eoi(l, WORD | 1), OK);
    return 0;
}

static bool offered(void)
{
    return vm->ram[WORD] & 1;
}

/* What a guest does at the end of its handler. */
static void end_interrupt(void)
{
    if (offered())
        vm->ram[WORD] = 0;
    else
        set(EOI, 0);
}

static void take(u8 vector)
{
    lapic_before_look(l);
    assert_int_equal(pending(0), vector);
    lapic_ack(l, vector);
}

static void arrive(u8 vector, bool level)
{
    lapic_post(l, vector, level);
    take(vector);
}

static bool in_service(u8 vector)
{
    return get(ISR + vector / 32 * 16) >> vector % 32 & 1;
}

static void test_left_out(void **state)
{
    (void)state;
    arrive(0x31, false);
    assert_true(offered());
    assert_true(in_service(0x31));
    assert_int_equal(get(PPR), 0x30);
    assert_true(offered());
    end_interrupt();
    assert_int_equal(get(PPR), 0);
    assert_int_equal(lapic_eois_saved(l), 1);
    assert_false(in_service(0x31));
    /* The same vector again, seen before anything is asked of the APIC's registers. */
    arrive(0x31, false);
    end_interrupt();
    arrive(0x31, false);
    assert_true(offered());
    assert_int_equal(lapic_eois_saved(l), 2);
}

static void test_not_used(void **state)
{
    (void)state;
    arrive(0x31, false);
    set(EOI, 0); /* a guest that does not look */
    assert_false(offered());
    assert_false(in_service(0x31));
    assert_int_equal(lapic_eois_saved(l), 0);
    /* The byte is not in use: a guest that writes there changes nothing. */
    vm->ram[WORD] = 1;
    arrive(0x31, true);
    vm->ram[WORD] = 0;
    lapic_before_look(l);
    assert_true(in_service(0x31));
}

static void test_level(void **state)
{
    (void)state;
    arrive(0x41, true);
    assert_false(offered());
    end_interrupt();
    assert_int_equal(level_eois, 1);
    assert_int_equal(last_level_eoi, 0x41);
}

static void test_another_waits(void **state)
{
    (void)state;
    lapic_post(l, 0x45, false);
    arrive(0x51, false);
    assert_false(offered());
    end_interrupt();
    assert_int_equal(pending(0), 0x45);
}

/* One that comes while the offer stands: the guest is looked at, and has, or has not, used it. */
static void test_another_comes(void **state)
{
    (void)state;
    arrive(0x45, false);
    lapic_post(l, 0x41, false);
    lapic_before_look(l);
    assert_false(offered());
    assert_int_equal(pending(0), -1);
    end_interrupt();
    take(0x41);
    assert_true(offered());
    end_interrupt();
    lapic_post(l, 0x35, false);
    lapic_before_look(l);
    assert_int_equal(pending(0), 0x35);
    assert_int_equal(lapic_eois_saved(l), 1);
}

static void test_nested_interrupts(void **state)
{
    (void)state;
    arrive(0x31, false);
    arrive(0x51, false);
    assert_true(offered());
    end_interrupt(); /* of 0x51 */
    assert_true(in_service(0x31));
    assert_false(in_service(0x51));
    end_interrupt(); /* of 0x31: nothing is offered */
    assert_int_equal(get(PPR), 0);
    assert_int_equal(lapic_eois_saved(l), 1);
    /* Both ends before anybody looks: the first was left out, the second is a write. */
    arrive(0x31, false);
    arrive(0x51, false);
    end_interrupt();
    end_interrupt();
    assert_int_equal(get(PPR), 0);
}

/* It arrives behind the look, and is taken at once: what was offered before must not be taken for its end. */
static void test_level_comes_upon_an_offer(void **state)
{
    (void)state;
    arrive(0x31, false);
    lapic_post(l, 0x51, true);
    assert_int_equal(pending(0), 0x51);
    lapic_ack(l, 0x51);
    assert_false(offered());
    end_interrupt();
    assert_int_equal(level_eois, 1);
    end_interrupt();
    assert_int_equal(get(PPR), 0);
}

static void test_eoi_by_nidus(void **state)
{
    (void)state;
    arrive(0x31, false);
    lapic_eoi(l); /* a notification that the guest does not see */
    assert_false(offered());
    assert_int_equal(get(PPR), 0);
}

static void test_off(void **state)
{
    (void)state;
    arrive(0x31, false);
    assert_int_equal(lapic_set_pv_eoi(l, 0), OK);
    assert_false(offered());
    end_interrupt();
    assert_int_equal(get(PPR), 0);
    arrive(0x31, false);
    assert_false(offered());
    end_interrupt();
    assert_int_equal(lapic_set_pv_eoi(l, (1 << 20) | 1), ERR_INVAL);
    arrive(0x31, false);
    assert_false(offered());
    end_interrupt();
    /* Off after the guest has used the offer. */
    assert_int_equal(lapic_set_pv_eoi(l, WORD | 1), OK);
    arrive(0x31, false);
    end_interrupt();
    assert_int_equal(lapic_set_pv_eoi(l, WORD), OK);
    assert_int_equal(get(PPR), 0);
}

static void test_reset(void **state)
{
    (void)state;
    arrive(0x31, false);
    lapic_reset(l);
    assert_false(offered());
    set(SVR, 0x1ff);
    arrive(0x31, false);
    assert_true(offered());
    assert_int_equal(lapic_base_write(l, 0xfee00100), OK); /* switched off */
    assert_false(offered());
}

static void test_memory_that_is_gone(void **state)
{
    (void)state;
    arrive(0x31, false);
    assert_true(offered());
    vm->ram_size = 0;
    lapic_before_look(l);
    assert_true(in_service(0x31));
    set(EOI, 0);
    assert_int_equal(get(PPR), 0);
    arrive(0x31, false);
    end_interrupt();
    set(EOI, 0);
    assert_int_equal(get(PPR), 0);
    vm->ram_size = PAGE_SIZE;
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, lapic_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_left_out),
        TEST(test_not_used),
        TEST(test_level),
        TEST(test_another_waits),
        TEST(test_another_comes),
        TEST(test_nested_interrupts),
        TEST(test_level_comes_upon_an_offer),
        TEST(test_eoi_by_nidus),
        TEST(test_off),
        TEST(test_reset),
        TEST(test_memory_that_is_gone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
