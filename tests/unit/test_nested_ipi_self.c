/* SPDX-License-Identifier: MIT */
/* IPIs of L2 to itself: without a notification if L1's APIC would take it at once, and only then. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/ipiv_case.h"

#define OWN           2
#define OWN_PID       ((PIDS + 64 * OWN) / 8)
#define OWN_ID        0x1203 /* in xAPIC mode 0x12 */
#define OWN_NV        0x55
#define STATUS        0x4130
#define APIC_REG(reg) apic_page[(reg) / 4]

/* L2 has the descriptor of that index, and nobody else wants anything. */
static void start_own(void **state, bool x2)
{
    start(state);
    apic.base = LAPIC_BASE_ENABLE | (x2 ? LAPIC_BASE_EXTD : 0);
    apic.takes_fixed = true;
    apic.unique_id = x2 ? OWN_ID : (u8)(OWN_ID >> 8);
    ram[OWN_PID + 4] = (u64)OWN_ID << 32 | OWN_NV << 16;
    L1_SAYS(PIN_BASED_CONTROLS) = PIN_POSTED_INTERRUPTS;
    L1_SAYS(POSTED_INT_VECTOR) = OWN_NV;
    L1_SAYS(POSTED_INT_DESC_ADDRESS) = PIDS + 64 * OWN;
    vmcs02[GUEST_INTERRUPT_STATUS] = STATUS;
}

/* What becomes of the notification, since L1's APIC takes it. */
static u32 model_processes(u32 status)
{
    u64 *pid = &model[OWN_PID];

    if (!model_sent)
        return status;
    model_sent = 0;
    pid[4] &= ~1ull;
    for (u32 vector = 0; vector < 256; vector++) {
        if (!(pid[vector / 64] >> vector % 64 & 1))
            continue;
        pid[vector / 64] &= ~BIT(vector % 64);
        model[(APIC + 0x200 + vector / 32 * 16) / 8] |= BIT(vector % 32);
        if (vector > (status & 0xff))
            status = (status & 0xff00) | vector;
    }
    return status;
}

static void check_own(u32 vector, bool by_page, bool at_once)
{
    u32 status = STATUS;

    remember();
    model[VICR_AT / 8] = by_page ? vector : (u64)OWN << 32 | vector;
    if (by_page)
        model[(VICR_AT + 0x10) / 8] = (u64)OWN << 24;
    assert_true(model_ipi(vector, OWN));
    if (at_once)
        status = model_processes(status);
    check(by_page ? page(vector, OWN) : msr(vector, OWN), true);
    assert_int_equal(vmcs02[GUEST_INTERRUPT_STATUS], status);
    assert_int_equal(skips, !by_page);
    assert_true(!nested.is_due && !faults);
}

static void to_itself(void **state)
{
    for (u32 vector = 16; vector < 256; vector++)
        for (u32 i = 0; i < 32; i++) {
            start_own(state, i & 1);
            for (u32 n = 0; n < 4; n++) /* left by who has found SN set */
                ram[OWN_PID + n] = i & 4 && random_bits() & 1 ? few_bits() : 0;
            ram[OWN_PID + 4] |= i & 8 ? random_bits() & 0xff00fffc : 0;
            for (u32 n = 0; n < 8; n++)
                ram[(APIC + 0x200) / 8 + 2 * n] = i & 16 ? random_bits() : 0;
            check_own(vector, i & 2, true);
        }
}

/* L1's APIC, or the order of events, must see the notification; or there is none. */
static void not_at_once(void **state)
{
    for (u32 i = 0; i < 4 * 25; i++) {
        u32 how = i / 4, id = i & 1 ? OWN_ID : OWN_ID >> 8;

        start_own(state, i & 1);
        switch (how) {
        case 0:
            APIC_REG(0x80) = OWN_NV & 0xf0; /* TPR */
            break;
        case 1:
            APIC_REG(0x100) = 1u << 16; /* in service */
            break;
        case 2:
            APIC_REG(0x170) = 1u << 31;
            break;
        case 3:
            APIC_REG(0x200) = 1u << 16; /* requested */
            break;
        case 4:
            APIC_REG(0x270) = 1u << 31;
            break;
        case 5:
            apic.takes_fixed = false;
            break;
        case 6:
            apic.unique_id = ~0ull;
            break;
        case 7:
            apic.unique_id = id + 1;
            break;
        case 8:
            *lapic_reg(&apic, REG_TMR + OWN_NV / 32) = 1u << OWN_NV % 32;
            break;
        case 9:
            apic.pid.control = PID_ON;
            break;
        case 10:
            vcpu.requests = REQ_NMI;
            break;
        case 11:
            vcpu.events.interrupt_stage = EVENT_PENDING;
            break;
        case 12:
            vcpu.events.exception_stage = EVENT_PENDING;
            break;
        case 13:
            vcpu.events.nmi_pending = 1;
            break;
        case 14: /* L1's, or Nidus holds something back */
            vmcs02[PRIMARY_CONTROLS] = PROC_MONITOR_TRAP_FLAG;
            break;
        case 15:
            vmcs02[GUEST_RFLAGS] = RFLAGS_TF;
            break;
        case 16:
            vmcs02[GUEST_PENDING_DEBUG_EXCEPTIONS] = BIT(14);
            break;
        case 17:
            L1_SAYS(PIN_BASED_CONTROLS) = 0;
            break;
        case 18:
            L1_SAYS(POSTED_INT_VECTOR) = OWN_NV + 1;
            break;
        case 19:
            L1_SAYS(POSTED_INT_DESC_ADDRESS) += 64; /* another one, that says the same */
            ram[OWN_PID + 12] = ram[OWN_PID + 4];
            break;
        case 20:
            ram[OWN_PID + 4] |= PID_ON;
            break;
        case 21:
            ram[OWN_PID + 4] |= PID_SN;
            break;
        case 22: /* broadcast */
            apic.unique_id = 0xff;
            ram[OWN_PID + 4] = 0xffull << (i & 1 ? 32 : 40) | OWN_NV << 16;
            break;
        case 23:
            L1_SAYS(POSTED_INT_VECTOR) = 0xf;
            ram[OWN_PID + 4] = (u64)OWN_ID << 32 | 0xf << 16;
            break;
        case 24:
            apic.base ^= LAPIC_BASE_EXTD;
            break;
        }
        check_own(0x71, i & 2, false);
    }
}

static void to_itself_while_others_post(void **state)
{
    for (u32 i = 0; i < 32; i++) {
        start_own(state, i & 1);
        ram[OWN_PID] = BIT(40);
        races = i / 2;
        assert_true(msr(0x71, OWN));
        assert_int_equal(sent.count, 0);
        assert_int_equal(ram[OWN_PID + 1] & BIT(0x71 % 64), 0);
        assert_int_equal(ram[(APIC + 0x230) / 8] & BIT(0x71 % 32), BIT(0x71 % 32));
        assert_int_equal(ram[(APIC + 0x210) / 8] & BIT(40 % 32), BIT(40 % 32));
        assert_int_equal(vmcs02[GUEST_INTERRUPT_STATUS], (STATUS & 0xff00) | 0x71);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(to_itself),
        T(not_at_once),
        T(to_itself_while_others_post),
    };

    return cmocka_run_group_tests_name("nested_ipi_self", tests, NULL, NULL);
}
