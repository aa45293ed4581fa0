/* SPDX-License-Identifier: MIT */
/* links: vmm/dev/lapic.c vmm/dev/lapic_ipi.c vmm/dev/lapic_regs.c vmm/dev/lapic_timer.c vmm/bus.c */
/* links: tests/unit/fake_host.c tests/unit/lapic_test.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/lapic_test.h"
#include "vmm/dev/lapic_quick.h"

/* As exit_wrmsr() does it. */
static int icr_set(u64 value)
{
    struct vcpu *notify;

    if (!lapic_icr_quickly(l, (u32)value, value >> 32, &notify))
        return msr_set(ICR, value);
    if (notify)
        vcpu_notify(notify);
    return OK;
}

static void send(u32 destination, u32 icr)
{
    set(ICR_HIGH, destination << 24);
    set(ICR, icr);
}

static void test_physical_destination(void **state)
{
    (void)state;
    send(3, 0x4051);
    assert_int_equal(pending(3), 0x51);
    assert_int_equal(vm->vcpu[3].notified, 1);
    assert_int_equal(vm->vcpu[2].notified, 0);
    assert_int_equal(get(ICR), 0x4051);
    assert_int_equal(get(ICR_HIGH), 3 << 24);
    send(77, 0x4051); /* nobody */
    send(0xff, 0x4061);
    for (u32 i = 0; i < NR; i++)
        assert_int_equal(pending(i), 0x61);
}

static void test_shorthands(void **state)
{
    (void)state;
    send(5, 0x44041); /* self */
    assert_int_equal(pending(0), 0x41);
    assert_int_equal(pending(5), -1);
    send(5, 0x84051); /* all */
    assert_int_equal(pending(0), 0x51);
    assert_int_equal(pending(5), 0x51);
    assert_int_equal(pending(NR - 1), 0x51);
    send(0, 0xc4061); /* all others */
    assert_int_equal(pending(0), 0x51);
    assert_int_equal(pending(1), 0x61);
}

/* Each for every target, however it is sent; not the devices' messages, nor what is no fixed interrupt. */
static void test_ipis_are_counted(void **state)
{
    (void)state;
    assert_int_equal(lapic_ipis(l), 0);
    send(3, 0x4051); /* the quick way */
    send(3, 0x4051); /* though it waits already */
    assert_int_equal(lapic_ipis(l), 2);
    send(0, 0xc4061); /* all others */
    assert_int_equal(lapic_ipis(l), 2 + NR - 1);
    send(0, 0x44041); /* self */
    assert_int_equal(lapic_ipis(l), 2 + NR);
    set_of(0, LDR, 1u << 24);
    send(1, 0x4961); /* lowest priority */
    assert_int_equal(lapic_ipis(l), 3 + NR);
    send(2, 0x4400); /* NMI */
    send(77, 0x4051);
    send(3, 0x4001); /* an illegal vector */
    lapic_message(vm, 0x51, 3);
    assert_int_equal(lapic_ipis(l), 3 + NR);
    assert_int_equal(lapic_ipis(vm->vcpu[3].lapic), 0);
}

static void test_logical_flat(void **state)
{
    (void)state;
    for (u32 i = 0; i < 8; i++)
        set_of(i, LDR, 1u << (24 + i));
    send(0x0a, 0x4851);
    for (u32 i = 0; i < NR; i++)
        assert_int_equal(pending(i), i == 1 || i == 3 ? 0x51 : -1);
    send(0xff, 0x4861);
    assert_int_equal(pending(7), 0x61);
    assert_int_equal(pending(NR - 1), 0x61); /* a broadcast needs no LDR */
}

static void test_logical_cluster(void **state)
{
    (void)state;
    for (u32 i = 0; i < NR; i++) {
        set_of(i, DFR, 0);
        set_of(i, LDR, (i / 4) << 28 | 1u << (24 + i % 4));
    }
    send(0x2a, 0x4851); /* cluster 2, members 1 and 3 */
    for (u32 i = 0; i < NR; i++)
        assert_int_equal(pending(i), i == 9 || i == 11 ? 0x51 : -1);
    set_of(9, DFR, 0x50000000); /* no such model */
    send(0x22, 0x4861);
    assert_int_equal(pending(9), 0x51);
}

static void test_lowest_priority(void **state)
{
    (void)state;
    for (u32 i = 0; i < 8; i++)
        set_of(i, LDR, 1u << (24 + i));
    set_of(0, TPR, 0x50);
    set_of(1, TPR, 0x30);
    set_of(2, TPR, 0x20);
    set_of(3, SVR, 0xff); /* cannot take it */
    send(0x0f, 0x4961);
    for (u32 i = 0; i < NR; i++)
        assert_int_equal(pending(i), i == 2 ? 0x61 : -1);
    lapic_ack(vm->vcpu[2].lapic, 0x61); /* busy now */
    send(0x0f, 0x4971);
    assert_int_equal(pending(1), 0x71);
    send(0x08, 0x4971);
    assert_int_equal(pending(3), -1);
}

static void test_nmi_init_startup(void **state)
{
    (void)state;
    send(2, 0x4400);
    assert_int_equal(vm->vcpu[2].nmis, 1);
    send(2, 0xc500); /* INIT, level assert */
    assert_int_equal(vm->vcpu[2].inits, 1);
    send(2, 0x8500); /* de-assert: nothing */
    assert_int_equal(vm->vcpu[2].inits, 1);
    send(2, 0x4500);
    assert_int_equal(vm->vcpu[2].inits, 2);
    send(2, 0x4608);
    assert_int_equal(vm->vcpu[2].sipis, 1);
    assert_int_equal(vm->vcpu[2].sipi_vector, 8);
    send(2, 0x4200); /* SMI: there is no SMM */
    set_of(4, SVR, 0xff);
    send(4, 0x4400); /* reaches a software-disabled APIC, too */
    assert_int_equal(vm->vcpu[4].nmis, 1);
    set(ICR, 0xc4500);
    assert_int_equal(vm->vcpu[0].inits, 0);
    assert_int_equal(vm->vcpu[19].inits, 1);
    assert_int_equal(lapic_base_write(vm->vcpu[4].lapic, LAPIC_BASE), 0);
    send(4, 0x4400); /* but no disabled one */
    assert_int_equal(vm->vcpu[4].nmis, 1);
}

static void test_illegal_sent_vector(void **state)
{
    (void)state;
    send(1, 0x400f);
    send(1, 0x4105);
    set(ESR, 0);
    assert_int_equal(get(ESR), BIT(5));
    assert_int_equal(pending(1), -1);
    set_of(1, ESR, 0);
    assert_int_equal(get_of(1, ESR), 0);
    send(1, 0x4400); /* not for an NMI */
    set(ESR, 0);
    assert_int_equal(get(ESR), 0);
}

static void test_x2_ipis(void **state)
{
    (void)state;
    for (u32 i = 0; i < NR; i++)
        to_x2(i);
    assert_int_equal(icr_set(18ull << 32 | 0x51), 0);
    assert_int_equal(pending(18), 0x51);
    assert_int_equal(msr(ICR), 18ull << 32 | 0x51);
    assert_int_equal(icr_set(0x10008ull << 32 | 0x852), 0); /* cluster 1, member 3 */
    assert_int_equal(pending(19), 0x52);
    assert_int_equal(pending(3), -1);
    assert_int_equal(icr_set(0xffffffffull << 32 | 0x61), 0);
    for (u32 i = 0; i < NR; i++)
        assert_int_equal(pending(i), 0x61);
    assert_int_equal(icr_set(0xffull << 32 | 0x71), 0); /* no broadcast here */
    assert_int_equal(pending(1), 0x61);
    assert_int_equal(msr_set(0x3f0, 0x81), 0);
    assert_int_equal(pending(0), 0x81);
    assert_int_equal(pending(1), 0x61);
    assert_int_equal(msr_set(0x3f0, 0x05), 0);
    assert_int_equal(msr_set(ESR, 0), 0);
    assert_int_equal(msr(ESR), BIT(5));
}

/* Ids with gaps, of 32 bits in x2APIC mode; those in xAPIC mode have their low byte. */
static void test_ids(void **state)
{
    struct vcpu *wide = &vm->vcpu[2];

    (void)state;
    create_anew(1, 0x35);
    create_anew(2, 0x135);
    set_of(1, SVR, 0x1ff);
    assert_int_equal(lapic_msr_write(wide, X2(SVR), 0x1ff), 0);
    send(0x35, 0x4051); /* an 8-bit destination */
    assert_int_equal(pending(1), 0x51);
    assert_int_equal(pending(2), -1);
    to_x2(0);
    assert_int_equal(icr_set(0x135ull << 32 | 0x61), 0);
    assert_int_equal(pending(1), 0x51);
    assert_int_equal(pending(2), 0x61);
    assert_int_equal(icr_set(0x130020ull << 32 | 0x871), 0); /* logical: cluster 0x13, member 5 */
    assert_int_equal(pending(1), 0x51);
    assert_int_equal(pending(2), 0x71);
    lapic_message(vm, 0x81, 0x135);
    assert_int_equal(pending(1), 0x51);
    assert_int_equal(pending(2), 0x81);
    assert_int_equal(lapic_base_write(wide->lapic, LAPIC_BASE), 0);
    assert_int_equal(lapic_base_write(wide->lapic, LAPIC_BASE | LAPIC_BASE_ENABLE), 0);
    set_of(2, SVR, 0x1ff);
    lapic_message(vm, 0x91, 0x135);
    assert_int_equal(pending(2), -1);
    lapic_message(vm, 0x91, 0x35);
    assert_int_equal(pending(2), 0x91);
}

/* vCPU i has the id of ids[i], in x2APIC mode like the sender. */
static void give_ids(const u32 *ids, u32 n)
{
    for (u32 i = 0; i < n; i++) {
        bus_remove(&vm->vcpu[i].own_mmio, LAPIC_BASE);
        vm->vcpu[i].lapic = NULL;
    }
    for (u32 i = 0; i < n; i++) {
        vm->vcpu[i].lapic = lapic_create(&vm->vcpu[i], ids[i]);
        if (ids[i] <= LAPIC_XAPIC_ID_MAX)
            to_x2(i);
        assert_int_equal(lapic_msr_write(&vm->vcpu[i], X2(SVR), 0x1ff), 0);
    }
    l = vm->vcpu[0].lapic;
}

/* Any ids, among them some that share a list. */
static void test_sparse_ids(void **state)
{
    u32 ids[NR];

    (void)state;
    for (u32 n = 1; n < 200; n++) {
        for (u32 i = 0; i < NR; i++)
            ids[i] = i * n * 8 % 32768 + (i * n * 8 >> 15);
        lapic_teardown(NULL);
        lapic_setup(NULL);
        give_ids(ids, NR);
        for (u32 i = 0; i < NR; i++) {
            assert_int_equal(icr_set((u64)ids[i] << 32 | 0x51), 0);
            for (u32 k = 0; k < NR; k++)
                assert_int_equal(pending(k), k <= i ? 0x51 : -1);
        }
        assert_int_equal(icr_set(7ull << 32 | 0x61), 0); /* nobody */
        assert_int_equal(msr(ICR), 7ull << 32 | 0x61);
        assert_int_equal(pending(0), 0x51);
    }
}

/* 255 is an id like others in x2APIC mode only. */
static void test_id_255(void **state)
{
    const u32 ids[] = {0, 255};

    (void)state;
    give_ids(ids, 2);
    assert_int_equal(icr_set(255ull << 32 | 0x51), 0);
    assert_int_equal(pending(1), 0x51);
    assert_int_equal(pending(2), -1);
    set_of(2, ICR_HIGH, 255u << 24);
    set_of(2, ICR, 0x4061);
    for (u32 i = 0; i < NR; i++)
        assert_int_equal(pending(i), 0x61);
}

/* An id above 255 in xAPIC mode: two have the same low byte, and both get it. */
static void test_same_low_byte(void **state)
{
    const u32 ids[] = {0, 5, 0x105};

    (void)state;
    give_ids(ids, 3);
    assert_int_equal(icr_set(5ull << 32 | 0x51), 0);
    assert_int_equal(pending(2), -1);
    assert_int_equal(lapic_base_write(vm->vcpu[2].lapic, LAPIC_BASE), 0);
    assert_int_equal(lapic_base_write(vm->vcpu[2].lapic, LAPIC_BASE | LAPIC_BASE_ENABLE), 0);
    set_of(2, SVR, 0x1ff);
    assert_int_equal(icr_set(5ull << 32 | 0x61), 0);
    assert_int_equal(pending(1), 0x61);
    assert_int_equal(pending(2), 0x61);
    assert_int_equal(icr_set(0x105ull << 32 | 0x71), 0);
    assert_int_equal(pending(2), 0x61);
}

/* What the APIC refuses or loses, by the short way as by the long one. */
static void test_not_delivered(void **state)
{
    (void)state;
    for (u32 i = 0; i < NR; i++)
        to_x2(i);
    assert_int_equal(icr_set(3ull << 32 | 0x51), 0);
    assert_int_not_equal(icr_set(4ull << 32 | 0x1051), 0); /* a reserved bit */
    assert_int_equal(msr(ICR), 3ull << 32 | 0x51);
    assert_int_equal(pending(4), -1);
    assert_int_equal(icr_set(4ull << 32 | 0xf), 0);
    assert_int_equal(pending(4), -1);
    assert_int_equal(msr_set(ESR, 0), 0);
    assert_int_equal(msr(ESR), BIT(5));
    assert_int_equal(lapic_msr_write(&vm->vcpu[4], X2(SVR), 0xff), 0);
    vm->vcpu[4].kicks = 0;
    assert_int_equal(icr_set(4ull << 32 | 0x51), 0);
    assert_int_equal(msr(ICR), 4ull << 32 | 0x51);
    assert_int_equal(pending(4), -1);
    assert_int_equal(vm->vcpu[4].kicks, 0);
    assert_int_equal(lapic_msr_write(&vm->vcpu[4], X2(SVR), 0x1ff), 0);
    assert_int_equal(icr_set(4ull << 32 | 0x51), 0);
    assert_int_equal(pending(4), 0x51);
    assert_int_equal(lapic_base_write(vm->vcpu[5].lapic, LAPIC_BASE), 0);
    assert_int_equal(icr_set(5ull << 32 | 0x51), 0);
    assert_int_equal(pending(5), -1);
}

/* TMR is that of the last message. */
static void test_edge_after_level(void **state)
{
    (void)state;
    lapic_message(vm, 0x8051, 2);
    assert_int_equal(get_of(2, TMR + 0x20), 1u << 17);
    send(2, 0x4051);
    assert_int_equal(get_of(2, TMR + 0x20), 0);
    assert_int_equal(get_of(2, IRR + 0x20), 1u << 17);
}

/* At random, all of vCPU 0's APIC that can make it answer no. */
static void any_state(u32 i)
{
    const u32 rare = rand() % 8;

    lapic_teardown(NULL);
    lapic_setup(NULL);
    if (i & 1)
        for (u32 k = 0; k < NR; k++)
            to_x2(k);
    if (rare == 0)
        assert_int_equal(lapic_base_write(l, lapic_base_read(l) & ~(LAPIC_BASE_ENABLE | LAPIC_BASE_EXTD)), 0);
    if (rare == 1)
        LAPIC_REG(l, SVR) = 0xff;
    lapic_set_takes(l);
    if (rare == 2)
        *lapic_reg(l, REG_ISR + rand() % 8) = 1u << rand() % 32;
    if (rare == 3)
        *lapic_reg(l, REG_IRR + rand() % 8) = 1u << rand() % 32;
    if (rare == 4)
        *lapic_reg(l, REG_TMR + rand() % 8) = ~0u;
    if (rare == 5)
        lapic_post(l, 0x31, false);
    LAPIC_REG(l, TPR) = rand() % 256;
    vm->vcpu[0].notified = vm->vcpu[0].kicks = 0;
}

/* If it says so, what would be sent is taken, ends, and leaves nothing. It says so when nothing stands
 * against it. */
static void test_takes_at_once(void **state)
{
    u32 taken = 0;

    (void)state;
    for (u32 i = 0; i < 3000; i++) {
        u8 vector = (u8)rand();
        u32 to = rand() % 16 ? 0 : i & 1 ? ~0u : 0xff, before[1024];

        any_state(i);
        if (!lapic_takes_at_once(l, vector, to))
            continue;
        taken++;
        memcpy(before, l->regs, sizeof(before));
        lapic_send(l, vector, to);
        for (u32 k = 0; k < NR; k++)
            assert_int_equal(vm->vcpu[k].notified, k == 0);
        assert_int_equal(pending(0), vector);
        lapic_ack(l, vector);
        lapic_eoi(l);
        assert_memory_equal(before, l->regs, sizeof(before));
        assert_int_equal(level_eois, 0);
        assert_int_equal(vm->vcpu[0].kicks, 0);
    }
    assert_true(taken > 200);
    any_state(0);
    assert_false(lapic_takes_at_once(l, 0xf0, 1));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, lapic_setup, lapic_teardown)
    const struct CMUnitTest tests[] = {
        T(test_physical_destination), T(test_shorthands),       T(test_logical_flat),
        T(test_logical_cluster),      T(test_lowest_priority),  T(test_nmi_init_startup),
        T(test_illegal_sent_vector),  T(test_x2_ipis),          T(test_ids),
        T(test_sparse_ids),           T(test_id_255),           T(test_same_low_byte),
        T(test_not_delivered),        T(test_edge_after_level), T(test_ipis_are_counted),
        T(test_takes_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
