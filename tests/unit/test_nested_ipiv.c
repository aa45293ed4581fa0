/* SPDX-License-Identifier: MIT */
/* IPIs of L2, against the SDM's 'IPI Virtualization' written down once more. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/nested_l2.h"

#define TABLE     0x1000
#define LAST      5
#define PIDS      0x3000 /* one for each index, 64 bytes */
#define APIC      0x7000
#define VICR_AT   (APIC + 0x300)
#define WIDTH     39
#define RAM_WORDS (0x8000 / 8)

static u64 ram[RAM_WORDS], base;
static u32 skips, faults, races;
static bool ever_changing;
static struct {
    u32 count, icr, to;
} sent;

int guest_read(struct vm *of, gpa_t gpa, void *to, u64 n)
{
    assert_ptr_equal(of, &vm);
    assert_int_equal(gpa % n, 0);
    if (gpa > sizeof(ram) - n)
        return ERR_RANGE;
    memcpy(to, (u8 *)ram + gpa, n);
    return OK;
}

int guest_write(struct vm *of, gpa_t gpa, const void *from, u64 n)
{
    assert_ptr_equal(of, &vm);
    if (gpa > sizeof(ram) - n)
        return ERR_RANGE;
    memcpy((u8 *)ram + gpa, from, n);
    return OK;
}

/* Before the first races of them, another CPU sets a bit of L1's in the word. */
int guest_update(struct vm *of, gpa_t gpa, u32 size, u64 old, u64 new)
{
    assert_ptr_equal(of, &vm);
    assert_int_equal(size, 8);
    assert_int_equal(gpa % 8, 0);
    if (ever_changing)
        return ERR_BUSY;
    if (races) {
        races--;
        ram[gpa / 8] ^= BIT(15 - races);
    }
    if (ram[gpa / 8] != old)
        return ERR_BUSY;
    ram[gpa / 8] = new;
    return OK;
}

u64 lapic_base_read(const struct lapic *l)
{
    assert_ptr_equal(l, vcpu.lapic);
    return base;
}

void lapic_eoi(struct lapic *l)
{
    (void)l;
    fail();
}

void lapic_send(struct lapic *l, u32 icr, u32 destination)
{
    assert_ptr_equal(l, vcpu.lapic);
    sent.count++;
    sent.icr = icr;
    sent.to = destination;
}

void vcpu_skip_instruction(struct vcpu *v)
{
    assert_ptr_equal(v, &vcpu);
    skips++;
}

void vcpu_inject_exception_error(struct vcpu *v, u8 vector, u32 error_code)
{
    assert_ptr_equal(v, &vcpu);
    assert_int_equal(vector, VEC_GP);
    assert_int_equal(error_code, 0);
    faults++;
}

#include "vmm/nested/posted.c"
#undef V12
#include "vmm/nested/ipi.c"

static u64 notification(u32 i)
{
    return (u64)(0x40 + i) << 16 | (0x10003ull * (i + 1) << 8 | i) << 32;
}

static int start(void **state)
{
    (void)state;
    start_l2();
    memset(ram, 0, sizeof(ram));
    memset(&sent, 0, sizeof(sent));
    skips = faults = races = 0;
    base = LAPIC_BASE_EXTD;
    ever_changing = false;
    vcpu.lapic = (struct lapic *)ram;
    vm.cpuid.maxphyaddr = WIDTH;
    L1_SAYS(PRIMARY_CONTROLS) = PROC_ACTIVATE_TERTIARY | (u64)PROC_ACTIVATE_SECONDARY;
    L1_SAYS(SECONDARY_CONTROLS) = PROC2_VIRTUALIZE_X2APIC;
    L1_SAYS(TERTIARY_CONTROLS) = PROC3_IPI_VIRTUALIZATION;
    L1_SAYS(PID_POINTER_TABLE) = TABLE;
    L1_SAYS(LAST_PID_POINTER_INDEX) = LAST;
    L1_SAYS(VIRTUAL_APIC_ADDRESS) = APIC;
    vmcs02[EXIT_QUALIFICATION] = 0x300;
    for (u32 i = 0; i <= LAST + 1; i++) { /* one more than L1 says */
        ram[TABLE / 8 + i] = (PIDS + 64 * i) | 1;
        ram[PIDS / 8 + 8 * i + 4] = notification(i);
    }
    return 0;
}

static bool msr(u32 low, u32 to)
{
    vcpu.gpr[REG_RAX] = low | 0xabcull << 32;
    vcpu.gpr[REG_RDX] = to | 0xdefull << 32;
    return nested_ipi_msr(&vcpu);
}

static bool page(u32 low, u8 to)
{
    ram[VICR_AT / 8] = low;
    ram[(VICR_AT + 0x10) / 8] = (u64)to << 24;
    return nested_ipi_written(&vcpu);
}

/* --- the model: what becomes of ram and of the notification --- */

static u64 model[RAM_WORDS];
static u32 model_sent, model_vector, model_to;

/* false: an APIC-write VM exit. */
static bool model_ipi(u32 vector, u32 apic_id)
{
    u64 entry, *pid;

    if (apic_id > LAST)
        return false;
    entry = model[TABLE / 8 + apic_id];
    if (entry >> WIDTH || (entry & 0x3f) != 1)
        return false;
    if (entry - 1 >= sizeof(model))
        return true; /* goes nowhere */
    pid = &model[(entry - 1) / 8];
    pid[vector / 64] |= BIT(vector % 64);
    if (pid[4] & 3)
        return true;
    pid[4] |= 1;
    model_sent++;
    model_vector = pid[4] >> 16 & 0xff;
    model_to = base & LAPIC_BASE_EXTD ? (u32)(pid[4] >> 32) : (u32)(pid[4] >> 40 & 0xff);
    return true;
}

static bool is_plain(u32 low)
{
    bool reserved = low >> 20 || low >> 16 & 3 || low >> 13 & 1, busy = low >> 12 & 1;
    u32 shorthand = low >> 18 & 3, trigger = low >> 15 & 1, logical = low >> 11 & 1, mode = low >> 8 & 7;

    return !reserved && !busy && !shorthand && !trigger && !logical && !mode && (low & 0xff) >= 16;
}

static void check(bool virtualized, bool wanted)
{
    assert_int_equal(virtualized, wanted);
    assert_memory_equal(ram, model, sizeof(ram));
    assert_int_equal(sent.count, model_sent);
    if (model_sent) {
        assert_int_equal(sent.icr, model_vector);
        assert_int_equal(sent.to, model_to);
    }
}

static void remember(void)
{
    memcpy(model, ram, sizeof(model));
    model_sent = 0;
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
            base = i & 256 ? LAPIC_BASE_EXTD : 0;
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
        base = bit & 64 ? LAPIC_BASE_EXTD : 0;
        ram[PIDS / 8 + 4] ^= BIT(bit % 64);
        check_msr(0xff, 0);
    }
}

/* Most of them 0. */
static u64 few_bits(void)
{
    u64 bits = random_bits();

    bits &= random_bits();
    return bits & random_bits();
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
        assert_int_equal(msr(0x31, 1), i == 0 || i == 5);
        sent.count = 0;
        ram[PIDS / 8 + 12] = notification(1);
        assert_int_equal(page(0x31, 1), i == 0 || i == 3 || i == 4);
        assert_int_equal(sent.count, i == 0 || i == 3 || i == 4);
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
        cmocka_unit_test_setup(each_vector, start),
        cmocka_unit_test_setup(each_bit_of_the_icr, start),
        cmocka_unit_test_setup(each_bit_of_an_entry, start),
        cmocka_unit_test_setup(each_bit_of_the_notification, start),
        cmocka_unit_test_setup(at_random, start),
        cmocka_unit_test_setup(other_writes, start),
        cmocka_unit_test_setup(others_write_meanwhile, start),
        cmocka_unit_test_setup(hostile, start),
    };

    return cmocka_run_group_tests_name("nested_ipiv", tests, NULL, NULL);
}
