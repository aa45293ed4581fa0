/* SPDX-License-Identifier: MIT */
/*
 * L2 that sends IPIs, L1's memory and APIC, and the SDM's 'IPI Virtualization' written down once more.
 * Includes the sources.
 */
#ifndef TESTS_UNIT_IPIV_CASE_H
#define TESTS_UNIT_IPIV_CASE_H

#include "tests/unit/fake_user.h"
#include "tests/unit/nested_l2.h"
#include "vmm/dev/lapic_state.h"

#define TABLE     0x1000
#define LAST      5
#define PIDS      0x3000 /* one for each index, 64 bytes */
#define BITMAP    0x5000
#define APIC      0x7000
#define VICR_AT   (APIC + 0x300)
#define WIDTH     39
#define RAM_WORDS (0x8000 / 8)
#define CR2       0x1234560

static u64 ram[RAM_WORDS];
static bool mapped[sizeof(ram) / PAGE_SIZE];
static struct lapic apic; /* L1's */
static u32 apic_page[PAGE_SIZE / sizeof(u32)];
static u32 skips, faults, races, changes;
static bool ever_changing;
static struct {
    u32 count, icr, to;
} sent;

static u64 *fake_word(gpa_t at)
{
    return at < sizeof(ram) && mapped[at / PAGE_SIZE] ? &ram[at / 8] : NULL;
}

/* Before the first races of them, another CPU sets a bit of L1's in the word. */
static void fake_race(u64 *word)
{
    changes++;
    if (ever_changing)
        *word ^= BIT(15);
    if (!races)
        return;
    races--;
    *word ^= BIT(15 - races);
}

/* Maps it, too. */
int guest_read(struct vm *of, gpa_t gpa, void *to, u64 n)
{
    assert_ptr_equal(of, &vm);
    assert_int_equal(gpa % n, 0);
    assert_false(smap_lifted);
    if (gpa > sizeof(ram) - n)
        return ERR_RANGE;
    memcpy(to, (u8 *)ram + gpa, n);
    mapped[gpa / PAGE_SIZE] = true;
    return OK;
}

void lapic_eoi(struct lapic *l)
{
    (void)l;
    fail();
}

void lapic_send(struct lapic *l, u32 icr, u32 destination)
{
    assert_ptr_equal(l, vcpu.lapic);
    assert_false(smap_lifted);
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
    memset(mapped, seed++ & 1, sizeof(mapped));
    memset(&apic, 0, sizeof(apic));
    memset(apic_page, 0, sizeof(apic_page));
    skips = faults = races = changes = 0;
    fake_cr2 = CR2;
    apic.regs = apic_page;
    apic.base = LAPIC_BASE_ENABLE | LAPIC_BASE_EXTD;
    ever_changing = false;
    vcpu.lapic = &apic;
    vm.cpuid.maxphyaddr = WIDTH;
    L1_SAYS(PRIMARY_CONTROLS) = PROC_ACTIVATE_TERTIARY | (u64)PROC_ACTIVATE_SECONDARY;
    L1_SAYS(SECONDARY_CONTROLS) = PROC2_VIRTUALIZE_X2APIC;
    L1_SAYS(TERTIARY_CONTROLS) = PROC3_IPI_VIRTUALIZATION;
    L1_SAYS(PID_POINTER_TABLE) = TABLE;
    L1_SAYS(LAST_PID_POINTER_INDEX) = LAST;
    L1_SAYS(VIRTUAL_APIC_ADDRESS) = APIC;
    L1_SAYS(MSR_BITMAPS) = BITMAP;
    vmcs02[EXIT_QUALIFICATION] = 0x300;
    for (u32 i = 0; i <= LAST + 1; i++) { /* one more than L1 says */
        ram[TABLE / 8 + i] = (PIDS + 64 * i) | 1;
        ram[PIDS / 8 + 8 * i + 4] = notification(i);
    }
    return 0;
}

static int end(void **state)
{
    (void)state;
    return smap_lifted || fake_cr2 != CR2;
}

static bool msr_if(u32 low, u32 to, bool asked)
{
    vcpu.gpr[REG_RAX] = low | 0xabcull << 32;
    vcpu.gpr[REG_RDX] = to | 0xdefull << 32;
    return nested_ipi_msr(&vcpu, asked);
}

static bool msr(u32 low, u32 to)
{
    bool done = msr_if(low, to, false);

    assert_int_equal(done, !(low & 0xfff32000));
    return done || msr_if(low, to, true);
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
static inline bool model_ipi(u32 vector, u32 apic_id)
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
    model_to = apic.base & LAPIC_BASE_EXTD ? (u32)(pid[4] >> 32) : (u32)(pid[4] >> 40 & 0xff);
    return true;
}

static void check(bool virtualized, bool wanted)
{
    assert_int_equal(virtualized, wanted);
    assert_memory_equal(ram, model, sizeof(ram));
    assert_true(!smap_lifted && fake_cr2 == CR2);
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

/* Most of them 0. */
static u64 few_bits(void)
{
    u64 bits = random_bits();

    bits &= random_bits();
    return bits & random_bits();
}

#define T(name) cmocka_unit_test_setup_teardown(name, start, end)

#endif
