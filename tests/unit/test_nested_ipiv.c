/* SPDX-License-Identifier: MIT */
/* IPIs of L2, whether each of them is virtualized and what becomes of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/ipiv_case.h"

static bool is_plain(u32 low)
{
    bool reserved = low >> 20 || low >> 16 & 3 || low >> 13 & 1, busy = low >> 12 & 1;
    u32 shorthand = low >> 18 & 3, trigger = low >> 15 & 1, logical = low >> 11 & 1, mode = low >> 8 & 7;

    return !reserved && !busy && !shorthand && !trigger && !logical && !mode && (low & 0xff) >= 16;
}

static void check_msr(u32 low, u32 to)
{
    bool reserved = low & 0xfff32000, done;

    remember();
    assert_true(msr(low, to));
    if (reserved) {
        check(true, true);
        assert_true(faults == 1 && !skips && !nested.is_due);
        return;
    }
    model[VICR_AT / 8] = (u64)to << 32 | low;
    done = is_plain(low) && model_ipi(low & 0xff, to);
    check(!nested.is_due, done);
    assert_true(!faults && skips == 1);
    if (!done) {
        assert_int_equal(nested.due.reason, EXIT_REASON_APIC_WRITE);
        assert_int_equal(nested.due.qualification, 0x300);
        assert_true(vcpu.requests & REQ_KICK);
    }
}

static void check_page(u32 low, u8 to)
{
    bool virtualized;

    remember();
    model[VICR_AT / 8] = low;
    model[(VICR_AT + 0x10) / 8] = (u64)to << 24;
    virtualized = page(low, to);
    check(virtualized, is_plain(low) && model_ipi(low & 0xff, to));
    assert_true(!faults && !skips && !nested.is_due);
}

static void each_vector(void **state)
{
    for (u32 i = 0; i < 1024; i++)
        for (u32 to = 0; to <= LAST + 2; to++) {
            start(state);
            apic.base = i & 256 ? LAPIC_BASE_EXTD : 0;
            if (i & 512)
                check_page(i & 0xff, (u8)to);
            else
                check_msr(i & 0xff, to);
        }
}

static void each_bit_of_the_icr(void **state)
{
    for (u32 i = 0; i < 64; i++)
        for (u32 vector = 0x0f; vector < 0x11; vector++) {
            start(state);
            check_msr(vector | (i < 32 ? 1u << i : 0), 1 | (i < 32 ? 0 : 1u << (i - 32)));
            if (i >= 32)
                continue;
            start(state);
            check_page(vector | 1u << i, 1);
        }
}

static void each_bit_of_an_entry(void **state)
{
    for (u32 bit = 0; bit < 128; bit++) {
        start(state);
        ram[TABLE / 8 + 2] ^= BIT(bit % 64);
        if (bit & 64)
            check_page(0x31, 2);
        else
            check_msr(0x31, 2);
    }
}

static void each_bit_of_the_notification(void **state)
{
    for (u32 bit = 0; bit < 128; bit++) {
        start(state);
        apic.base = bit & 64 ? LAPIC_BASE_EXTD : 0;
        ram[PIDS / 8 + 4] ^= BIT(bit % 64);
        check_msr(0xff, 0);
    }
}

static void at_random(void **state)
{
    for (u32 i = 0; i < 20000; i++) {
        start(state);
        for (u32 n = 0; n <= LAST; n++) {
            ram[PIDS / 8 + 8 * n + random_bits() % 4] = random_bits();
            ram[PIDS / 8 + 8 * n + 4] ^= few_bits();
        }
        check_msr((u32)few_bits() & (i & 1 ? ~0u : 0xcfff), random_bits() % (LAST + 3));
    }
}

/* Anything that is not L2's ICR is for others. */
static void other_writes(void **state)
{
    for (u32 i = 0; i < 6; i++) {
        start(state);
        set(&L1_SAYS(PRIMARY_CONTROLS), PROC_ACTIVATE_TERTIARY, i != 1);
        set(&L1_SAYS(TERTIARY_CONTROLS), PROC3_IPI_VIRTUALIZATION, i != 2);
        set(&L1_SAYS(PRIMARY_CONTROLS), PROC_ACTIVATE_SECONDARY, i != 3);
        set(&L1_SAYS(SECONDARY_CONTROLS), PROC2_VIRTUALIZE_X2APIC, i != 4);
        vmcs02[EXIT_QUALIFICATION] = i == 5 ? 0x310 : 0x300;
        assert_int_equal(nested_virtualizes_ipis(&vcpu), i != 1 && i != 2);
        assert_int_equal(nested_has_own_icr(&vcpu), i == 0 || i == 5);
        assert_int_equal(page(0x31, 1), i == 0 || i == 3 || i == 4);
        assert_int_equal(sent.count, i == 0 || i == 3 || i == 4);
    }
}

/* Unless that has been looked at, L1's bitmap comes first: its bit for WRMSR of that MSR, no other. */
static void each_bit_of_the_bitmap(void **state)
{
    for (u32 bit = 0; bit < 8 * PAGE_SIZE; bit++) {
        bool is_icr = bit == 8 * 2048 + 0x830;

        start(state);
        ram[BITMAP / 8 + bit / 64] = BIT(bit % 64);
        remember();
        assert_int_equal(msr_if(0x31, 1, false), !is_icr);
        assert_int_equal(sent.count, !is_icr);
        assert_int_equal(skips, !is_icr);
        if (!is_icr)
            continue;
        check(false, false);
        assert_true(msr_if(0x31, 1, true));
        assert_int_equal(sent.count, 1);
    }
}

static void others_write_meanwhile(void **state)
{
    (void)state;
    races = 9; /* one of them in PIR, or more */
    assert_true(msr(0x31, 1) && !nested.is_due);
    assert_int_equal(ram[PIDS / 8 + 8] & BIT(0x31), BIT(0x31));
    assert_int_equal(ram[PIDS / 8 + 12] & 1, 1);
    assert_int_equal(sent.count, 1);
}

/* L1 keeps nobody for ever, and needs no memory behind its addresses. */
static void hostile(void **state)
{
    static const u64 nowhere[] = {sizeof(ram), sizeof(ram) - 16, BITS(38, 6)};

    ever_changing = true;
    assert_true(msr(0x31, 1));
    assert_int_equal(sent.count, 0);
    assert_true(changes < 100);
    for (u32 i = 0; i < ARRAY_SIZE(nowhere); i++) {
        start(state);
        L1_SAYS(PID_POINTER_TABLE) = nowhere[i];
        assert_true(msr(0x31, 3) && nested.is_due);
        assert_false(page(0x31, 3));
        start(state);
        L1_SAYS(VIRTUAL_APIC_ADDRESS) = nowhere[i] & ~0xfffull;
        assert_true(msr(0x31, 3));
        assert_int_equal(sent.count, 1);
        if (i != 1)
            assert_false(nested_ipi_written(&vcpu));
        start(state);
        ram[TABLE / 8 + 3] = (nowhere[i] & ~0x3full) | 1;
        assert_true(msr(0xf1, 3) && !nested.is_due);
        assert_int_equal(sent.count, i == 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(each_vector), T(each_bit_of_the_icr), T(each_bit_of_an_entry),   T(each_bit_of_the_notification),
        T(at_random),   T(other_writes),        T(each_bit_of_the_bitmap), T(others_write_meanwhile),
        T(hostile),
    };

    return cmocka_run_group_tests_name("nested_ipiv", tests, NULL, NULL);
}
