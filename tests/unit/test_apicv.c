/* SPDX-License-Identifier: MIT */
/* What the CPU is told of a vCPU's local APIC, and when. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/fake_vmx.h"
#include "arch/x86/vmx_caps.h"

static struct vmx_features vmx_features;
static struct vmx_caps vmx_caps;

#include "lib/spinlock.h"
#define sched_yield vmm_sched_yield /* the host has one too */
#include "vmm/apicv.c"

u64 vmm_flush_wanted;
static u64 field[0x7000];
static struct config_vm config;
static struct vm vm = {.config = &config};
static struct vcpu vcpu = {.vm = &vm};
static struct lapic lapic;
static u8 bitmap[PAGE_SIZE], bitmap_x2[PAGE_SIZE], page[PAGE_SIZE];

static struct {
    u32 writes, taken, flushes;
    bool no_memory, ept_full;
    gpa_t mapped; /* 0: nothing */
    u16 status;
    u64 level[PIR_WORDS];
    int ended;
    u32 written, kicks;
} low;

static u64 vmread(u32 encoding)
{
    return field[encoding];
}

static void vmwrite(u32 encoding, u64 value)
{
    field[encoding] = value;
    low.writes++;
}

void lapic_take_posted(struct lapic *l)
{
    assert_ptr_equal(l, &lapic);
    low.taken++;
    lapic.pid.flags = 0;
    l->changed = true;
}

/* An EOI that the guest may leave out: from then on nobody would look. */
void lapic_settle_eoi(struct lapic *l, bool end)
{
    assert_true(l->eoi_offered && end);
    l->eoi_offered = false;
}

/* Nobody delivers what IRR holds but Nidus, from now on. */
void vcpu_kick(struct vcpu *v)
{
    assert_true(v->lapic->by_cpu);
    low.kicks++;
}

u16 lapic_status(const struct lapic *l)
{
    assert_ptr_equal(l, &lapic);
    return low.status;
}

u64 lapic_level_triggered(const struct lapic *l, u32 n)
{
    assert_ptr_equal(l, &lapic);
    return low.level[n];
}

void lapic_ended_by_cpu(struct lapic *l, u8 vector)
{
    assert_ptr_equal(l, &lapic);
    low.ended = vector;
}

void lapic_written(struct lapic *l, u32 offset)
{
    assert_ptr_equal(l, &lapic);
    low.written = offset;
}

bool lapic_is_virtual(u32 msr, bool write)
{
    return msr == 0x808 || (msr == 0x802 && !write) || (msr == 0x83f && write);
}

void msr_bitmap_let_through(u8 *of, u32 msr, bool write)
{
    assert_ptr_equal(of, bitmap_x2);
    of[msr - LAPIC_MSR_FIRST] |= write ? 2 : 1;
}

int ept_map(struct ept *ept, gpa_t gpa, paddr_t pa, u64 size, u64 rights, u32 type)
{
    assert_ptr_equal(ept, &vm.ept);
    assert_true(pa == pool_pa(page) && size == PAGE_SIZE && rights == EPT_RW && type == EPT_WB);
    if (low.ept_full)
        return ERR_NOMEM;
    low.mapped = gpa;
    return OK;
}

int ept_unmap(struct ept *ept, gpa_t gpa, u64 size)
{
    assert_ptr_equal(ept, &vm.ept);
    assert_true(gpa == low.mapped && size == PAGE_SIZE);
    low.mapped = 0;
    return OK;
}

void *pool_alloc(struct frame_owner *owner, u32 pages)
{
    assert_true(owner == &vm.owner && pages == 1);
    return low.no_memory ? NULL : page;
}

void vmm_flush_if_wanted(void)
{
    low.flushes++;
}

void log_msg(enum log_level level, const char *fmt, ...)
{
    (void)level, (void)fmt;
}

/* vmm/exit.c's part of exits: */

static gpa_t emulated;
static int injected;
static bool cannot_emulate, failed;

int mmio_emulate(struct vcpu *v, gpa_t gpa)
{
    assert_ptr_equal(v, &vcpu);
    emulated = gpa;
    return cannot_emulate ? ERR_UNSUPP : OK;
}

void vcpu_inject_exception(struct vcpu *v, u8 vector)
{
    assert_ptr_equal(v, &vcpu);
    injected = vector;
}

void vcpu_requeue_event(struct vcpu *v, bool unblocked_nmi)
{
    assert_true(v == &vcpu && !unblocked_nmi && !emulated);
}

void(fail_guest)(struct vcpu *v, const char *fmt, ...)
{
    (void)v, (void)fmt;
    failed = true;
}

/* --- */

#define X2  (LAPIC_BASE | LAPIC_BASE_ENABLE | LAPIC_BASE_EXTD)
#define ON_ (LAPIC_BASE | LAPIC_BASE_ENABLE)

/* Other bits that stay as they are. */
#define OTHER_PRIMARY   (PROC_HLT_EXITING | (u64)PROC_ACTIVATE_SECONDARY)
#define OTHER_SECONDARY (PROC2_ENABLE_EPT | (u64)PROC2_ENABLE_VPID)
#define OTHER_PIN       (PIN_EXTERNAL_INTERRUPT_EXITING | (u64)PIN_NMI_EXITING)

#define ALL_APICV                                                                            \
    (BIT(VF_TPR_SHADOW) | BIT(VF_VIRTUALIZE_X2APIC) | BIT(VF_APIC_REGISTER_VIRTUALIZATION) | \
     BIT(VF_VIRTUAL_INTERRUPT_DELIVERY))

static int start(void **s)
{
    (void)s;
    memset(field, 0, sizeof(field));
    memset(&low, 0, sizeof(low));
    memset(&lapic, 0, sizeof(lapic));
    vcpu = (struct vcpu){.vm = &vm, .pid = &lapic.pid, .lapic = &lapic, .posted = true, .until = ~0ull};
    vm.msr_bitmap = bitmap;
    vm.msr_bitmap_x2 = bitmap_x2;
    vm.access_page_used = false;
    vm.access_page = NULL;
    vm.apic = APIC_POSTED;
    vmm_flush_wanted = 0;
    lapic.base = ON_;
    lapic.takes_fixed = true;
    low.ended = -1;
    vmx_features = (struct vmx_features){.granted = ~0ull};
    vmx_caps = (struct vmx_caps){.misc = 5};
    field[PRIMARY_CONTROLS] = OTHER_PRIMARY | CR8_EXITING;
    field[SECONDARY_CONTROLS] = OTHER_SECONDARY;
    field[PIN_BASED_CONTROLS] = OTHER_PIN;
    emulated = 0;
    injected = -1;
    cannot_emulate = failed = false;
    return 0;
}

static enum config_apic level(enum config_apic most, u64 granted, u64 misc)
{
    config.apic = most;
    vmx_features.granted = granted;
    vmx_caps.misc = misc;
    return apicv_level(&config);
}

/* All that a level needs, or the one below. */
static void test_level(void **s)
{
    const u64 timer = BIT(VF_PREEMPTION_TIMER), posted = ALL_APICV | BIT(VF_POSTED_INTERRUPTS) | timer;

    (void)s;
    assert_int_equal(level(APIC_EMULATED, posted, 5), APIC_EMULATED);
    assert_int_equal(level(APIC_APICV, posted, 5), APIC_APICV);
    assert_int_equal(level(APIC_POSTED, posted, 5), APIC_POSTED);
    assert_int_equal(level(APIC_BEST, posted, 5), APIC_POSTED);
    assert_int_equal(level(APIC_BEST, posted & ~BIT(VF_POSTED_INTERRUPTS), 5), APIC_APICV);
    assert_int_equal(level(APIC_POSTED, posted & ~BIT(VF_POSTED_INTERRUPTS), 5), APIC_APICV);
    for (u32 i = 0; i < 64; i++) {
        if (ALL_APICV >> i & 1) {
            assert_int_equal(level(APIC_APICV, posted & ~BIT(i), 5), APIC_EMULATED);
            assert_int_equal(level(APIC_POSTED, posted & ~BIT(i), 5), APIC_EMULATED);
            assert_int_equal(level(APIC_BEST, posted & ~BIT(i), 5), APIC_EMULATED);
        }
    }
    assert_int_equal(level(APIC_BEST, 0, 5), APIC_EMULATED);
}

/* Bochs, by its preemption timer's rate: only what is asked for. */
static void test_level_on_bochs(void **s)
{
    (void)s;
    assert_int_equal(level(APIC_BEST, ~0ull, 0), APIC_EMULATED);
    assert_int_equal(level(APIC_APICV, ~0ull, 0), APIC_APICV);
    assert_int_equal(level(APIC_POSTED, ~0ull, 0), APIC_POSTED);
    assert_int_equal(level(APIC_BEST, ~BIT(VF_PREEMPTION_TIMER), 0), APIC_POSTED);
    assert_int_equal(level(APIC_BEST, ~0ull, 1), APIC_POSTED);
}

static void assert_controls(u64 primary, u64 secondary, bool posted, const u8 *msrs)
{
    assert_int_equal(field[PRIMARY_CONTROLS], OTHER_PRIMARY | primary);
    assert_int_equal(field[SECONDARY_CONTROLS], OTHER_SECONDARY | secondary);
    assert_int_equal(field[PIN_BASED_CONTROLS], OTHER_PIN | (posted ? PIN_POSTED_INTERRUPTS : 0));
    assert_int_equal(field[MSR_BITMAPS], pool_pa(msrs));
    assert_int_equal(lapic.by_cpu, !!(secondary & PROC2_VIRTUAL_INTERRUPT_DELIVERY));
}

static void go(u64 base, bool enabled)
{
    lapic.base = base;
    lapic.takes_fixed = enabled;
    apicv_before_entry(&vcpu);
}

#define REGISTERS PROC2_APIC_REGISTER_VIRTUALIZATION
#define DELIVERY  PROC2_VIRTUAL_INTERRUPT_DELIVERY
#define ACCESSES  PROC2_VIRTUALIZE_APIC_ACCESSES
#define X2APIC    PROC2_VIRTUALIZE_X2APIC

static void test_modes(void **s)
{
    (void)s;
    for (u32 again = 0; again < 3; again++) {
        lapic.eoi_offered = true;
        go(ON_, true);
        assert_false(lapic.eoi_offered);
        assert_controls(PROC_USE_TPR_SHADOW, DELIVERY, true, bitmap);
        go(X2, true);
        assert_controls(PROC_USE_TPR_SHADOW, DELIVERY | REGISTERS | X2APIC, true, bitmap_x2);
        go(X2, false); /* by software: it takes nothing, not even its own IPIs */
        assert_controls(CR8_EXITING, 0, false, bitmap);
        assert_false(lapic.changed); /* there is nobody to tell */
        assert_int_equal(low.kicks, 2 * again + 1);
        go(X2, true);
        assert_controls(PROC_USE_TPR_SHADOW, DELIVERY | REGISTERS | X2APIC, true, bitmap_x2);
        go(LAPIC_BASE, false);
        assert_controls(CR8_EXITING, 0, false, bitmap);
        go(ON_, false);
        assert_controls(CR8_EXITING, 0, false, bitmap);
    }
}

static void test_modes_without_posted_interrupts(void **s)
{
    (void)s;
    vcpu.posted = false;
    go(ON_, true);
    assert_controls(PROC_USE_TPR_SHADOW, DELIVERY, false, bitmap);
    go(X2, true);
    assert_controls(PROC_USE_TPR_SHADOW, DELIVERY | REGISTERS | X2APIC, false, bitmap_x2);
}

/* All accesses to a page that is memory to the CPU are virtualized; the first APIC that leaves it ends it. */
static void test_modes_with_page(void **s)
{
    static const struct {
        u64 base;
        bool enabled;
    } leaves[] = {
        {X2, true}, {X2, false}, {LAPIC_BASE, false}, {ON_ + PAGE_SIZE, true}, {ON_ - PAGE_SIZE, false}};

    for (u32 i = 0; i < ARRAY_SIZE(leaves); i++) {
        start(s);
        assert_int_equal(apicv_start_access_page(&vm), OK);
        assert_int_equal(low.mapped, LAPIC_BASE);
        go(ON_ | LAPIC_BASE_BSP, true);
        assert_controls(PROC_USE_TPR_SHADOW, DELIVERY | REGISTERS | ACCESSES, true, bitmap);
        go(ON_, false);
        assert_controls(CR8_EXITING, ACCESSES, false, bitmap);
        go(ON_, true);
        assert_controls(PROC_USE_TPR_SHADOW, DELIVERY | REGISTERS | ACCESSES, true, bitmap);
        assert_true(vm.access_page_used && low.mapped && !vmm_flush_wanted);
        go(leaves[i].base, leaves[i].enabled);
        assert_false(vm.access_page_used || low.mapped);
        assert_int_equal(vmm_flush_wanted, 1);
        assert_true(low.flushes > 0);
        assert_false(field[SECONDARY_CONTROLS] & ACCESSES);
        go(ON_, true);
        assert_controls(PROC_USE_TPR_SHADOW, DELIVERY, true, bitmap);
        assert_int_equal(vmm_flush_wanted, 1);
    }
}

static void test_page_is_not_there(void **s)
{
    (void)s;
    vmx_features.granted = ~BIT(VF_VIRTUALIZE_APIC_ACCESSES);
    assert_int_equal(apicv_start_access_page(&vm), OK);
    assert_false(vm.access_page_used);
    vmx_features.granted = ~0ull;
    vm.apic = APIC_EMULATED;
    assert_int_equal(apicv_start_access_page(&vm), OK);
    assert_false(vm.access_page_used);
    vm.apic = APIC_APICV;
    low.no_memory = true;
    assert_int_equal(apicv_start_access_page(&vm), ERR_NOMEM);
    assert_false(vm.access_page_used);
    low.no_memory = false;
    low.ept_full = true;
    assert_int_equal(apicv_start_access_page(&vm), ERR_NOMEM);
    assert_false(vm.access_page_used);
}

/* Nothing is written that the VMCS has. */
static void test_told_once(void **s)
{
    (void)s;
    low.status = 0x3141;
    go(ON_, true);
    assert_int_equal(field[GUEST_INTERRUPT_STATUS], 0x3141);
    low.writes = 0;
    low.status = 0x51;
    apicv_before_entry(&vcpu);
    assert_int_equal(low.writes, 0); /* what the CPU has done since is newer */
    lapic.changed = true;
    apicv_before_entry(&vcpu);
    assert_int_equal(field[GUEST_INTERRUPT_STATUS], 0x51);
    assert_int_equal(low.writes, 1);
    assert_false(lapic.changed);
    apicv_before_entry(&vcpu);
    assert_int_equal(low.writes, 1);
    assert_int_equal(low.taken, 0);
}

static void test_eoi_exits(void **s)
{
    static const u32 of[PIR_WORDS] = {EOI_EXIT_BITMAP_0, EOI_EXIT_BITMAP_1, EOI_EXIT_BITMAP_2,
                                      EOI_EXIT_BITMAP_3};

    (void)s;
    go(ON_, true);
    for (u32 i = 0; i < PIR_WORDS; i++) {
        low.level[i] = BIT(5 + i);
        low.writes = 0;
        apicv_before_entry(&vcpu);
        assert_int_equal(low.writes, 0);
        lapic.changed = true;
        apicv_before_entry(&vcpu);
        assert_int_equal(low.writes, 2); /* with the status */
        assert_int_equal(field[of[i]], BIT(5 + i));
    }
    low.level[2] = 0;
    lapic.changed = true;
    apicv_before_entry(&vcpu);
    assert_int_equal(low.writes, 4);
    assert_int_equal(field[EOI_EXIT_BITMAP_2], 0);
    assert_int_equal(field[EOI_EXIT_BITMAP_3], BIT(8));
}

static void test_posted_meanwhile(void **s)
{
    (void)s;
    go(ON_, true);
    pi_post(&lapic.pid, 0x41);
    low.status = 0x41;
    apicv_before_entry(&vcpu);
    assert_int_equal(low.taken, 1);
    assert_int_equal(field[GUEST_INTERRUPT_STATUS], 0x41);
    pi_post(&lapic.pid, 0x51);
    low.status = 0x51;
    go(LAPIC_BASE, false); /* software looks itself */
    assert_int_equal(low.taken, 1);
    assert_int_equal(field[GUEST_INTERRUPT_STATUS], 0x41);
    go(ON_, true);
    assert_int_equal(low.taken, 2);
    assert_int_equal(field[GUEST_INTERRUPT_STATUS], 0x51);
}

static void test_virtualized_eoi(void **s)
{
    (void)s;
    field[EXIT_QUALIFICATION] = 0xe1;
    assert_true(exit_virtualized_eoi(&vcpu));
    assert_int_equal(low.ended, 0xe1);
    vcpu.requests = REQ_KICK;
    assert_false(exit_virtualized_eoi(&vcpu));
}

static void test_apic_write(void **s)
{
    (void)s;
    field[EXIT_QUALIFICATION] = 0x310;
    assert_true(exit_apic_write(&vcpu));
    assert_int_equal(low.written, 0x310);
    vcpu.requests = REQ_KICK;
    assert_false(exit_apic_write(&vcpu));
}

static void test_apic_access(void **s)
{
    (void)s;
    field[EXIT_QUALIFICATION] = 0x1390; /* a write, linear */
    assert_true(exit_apic_access(&vcpu));
    assert_int_equal(emulated, LAPIC_BASE + 0x390);
    assert_int_equal(injected, -1);
    start(NULL);
    cannot_emulate = true;
    exit_apic_access(&vcpu);
    assert_int_equal(injected, VEC_UD);
    start(NULL);
    vcpu.events.due = true; /* its IDT or stack is there */
    assert_false(exit_apic_access(&vcpu));
    assert_true(failed);
    assert_int_equal(emulated, 0);
}

static void test_msr_bitmap(void **s)
{
    (void)s;
    memset(bitmap, 0x5a, sizeof(bitmap));
    memset(bitmap, 0, 0x100);
    apicv_fill_msr_bitmap(bitmap_x2, bitmap);
    for (u32 i = 0; i < 0x100; i++)
        assert_int_equal(bitmap_x2[i], i == 0x08 ? 3 : i == 0x02 ? 1 : i == 0x3f ? 2 : 0);
    assert_memory_equal(bitmap_x2 + 0x100, bitmap + 0x100, PAGE_SIZE - 0x100);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup(name, start)
    const struct CMUnitTest tests[] = {
        T(test_level),
        T(test_level_on_bochs),
        T(test_modes),
        T(test_modes_without_posted_interrupts),
        T(test_modes_with_page),
        T(test_page_is_not_there),
        T(test_told_once),
        T(test_eoi_exits),
        T(test_posted_meanwhile),
        T(test_virtualized_eoi),
        T(test_apic_write),
        T(test_apic_access),
        T(test_msr_bitmap),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
