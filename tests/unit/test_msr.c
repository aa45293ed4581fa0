/* SPDX-License-Identifier: MIT */
/* links: vmm/msr.c vmm/msr_table.c vmm/msr_handlers.c vmm/msr_memtype.c lib/format.c */
/* links: arch/x86/vmx_caps.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86/regs.h"
#include "arch/x86/vmx_caps.h"
#include "lib/format.h"
#include "lib/log.h"
#include "vmm/dev/lapic.h"
#include "vmm/msr_table.h"
#include "vmm/vm.h"

#define ALL_GRANTED (BIT(VMX_NR_FEATURES) - 1)
#define CANONICAL   0xffff800000001000ull
#define NO_ADDRESS  0x0000800000000000ull
#define GUARD       0xdeadull

/* --- what lies below --- */

static struct {
    u64 field[0x7000]; /* VMCS, by encoding */
    u64 now, hz;
    u64 apic_base, deadline, lapic_offset;
    u32 x2apic_msr;
    u64 x2apic_value;
    struct vcpu_msrs cpu; /* the live ones */
    u32 command_msr;
    u64 command_value;
    u64 arch_capabilities;
    u32 lines;
    char line[160];
} low;

static struct vm vm;
static struct vcpu vcpu;
static struct config_vm config;
static struct guest_cpuid *const c = &vm.cpuid;

static bool locked(void)
{
    return vm.dev_lock.next != vm.dev_lock.owner;
}

u64 vcpu_vmread(struct vcpu *v, u32 field)
{
    assert_ptr_equal(v, &vcpu);
    assert_true(field < ARRAY_SIZE(low.field));
    return low.field[field];
}

void vcpu_vmwrite(struct vcpu *v, u32 field, u64 value)
{
    assert_ptr_equal(v, &vcpu);
    assert_true(field < ARRAY_SIZE(low.field));
    low.field[field] = value;
}

static void copy_live(struct vcpu_msrs *to, const struct vcpu_msrs *from)
{
    to->spec_ctrl = from->spec_ctrl;
    to->umwait_control = from->umwait_control;
    to->star = from->star;
    to->lstar = from->lstar;
    to->cstar = from->cstar;
    to->fmask = from->fmask;
    to->kernel_gs_base = from->kernel_gs_base;
    to->tsc_aux = from->tsc_aux;
}

void vcpu_msrs_load(struct vcpu *v)
{
    copy_live(&low.cpu, &v->msrs);
}

void vcpu_msrs_save(struct vcpu *v)
{
    copy_live(&v->msrs, &low.cpu);
}

u64 msr_host_arch_capabilities(void)
{
    return low.arch_capabilities;
}

void msr_host_command(u32 msr, u64 value)
{
    low.command_msr = msr;
    low.command_value = value;
}

/* What stands behind them: test_pv_area.c. */
static u64 pv_page, pv_area;
static u32 published;

void pv_clocks_publish(struct vm *v)
{
    assert_ptr_equal(v, &vm);
    published++;
}

int msr_pv_page_read(struct vcpu *v, const struct msr_row *row, u32 msr, u64 *value)
{
    (void)v, (void)row, (void)msr;
    *value = pv_page;
    return OK;
}

int msr_pv_page_write(struct vcpu *v, const struct msr_row *row, u32 msr, u64 value)
{
    (void)v, (void)row, (void)msr;
    pv_page = value;
    return OK;
}

int msr_pv_area_read(struct vcpu *v, const struct msr_row *row, u32 msr, u64 *value)
{
    (void)v, (void)row, (void)msr;
    *value = pv_area;
    return OK;
}

int msr_pv_area_write(struct vcpu *v, const struct msr_row *row, u32 msr, u64 value)
{
    (void)v, (void)row, (void)msr;
    pv_area = value;
    return OK;
}

/* Likewise: test_pv_kvm.c. */
static u64 kvm_written[4];

int msr_kvm_wall_clock_write(struct vcpu *v, const struct msr_row *row, u32 msr, u64 value)
{
    (void)v, (void)row, (void)msr;
    kvm_written[0] = value;
    return OK;
}

int msr_kvm_clock_write(struct vcpu *v, const struct msr_row *row, u32 msr, u64 value)
{
    (void)v, (void)row, (void)msr;
    kvm_written[1] = value;
    return OK;
}

int msr_kvm_steal_write(struct vcpu *v, const struct msr_row *row, u32 msr, u64 value)
{
    (void)v, (void)row, (void)msr;
    kvm_written[2] = value;
    return OK;
}

int msr_kvm_eoi_write(struct vcpu *v, const struct msr_row *row, u32 msr, u64 value)
{
    (void)v, (void)row, (void)msr;
    kvm_written[3] = value;
    return OK;
}

u64 vm_now(struct vm *v)
{
    assert_ptr_equal(v, &vm);
    assert_true(locked());
    return low.now;
}

u64 vm_hz(struct vm *v)
{
    assert_ptr_equal(v, &vm);
    assert_true(locked());
    return low.hz;
}

u64 lapic_base_read(const struct lapic *l)
{
    assert_ptr_equal(l, vcpu.lapic);
    return low.apic_base;
}

int lapic_base_write(struct lapic *l, u64 value)
{
    assert_ptr_equal(l, vcpu.lapic);
    assert_true(locked());
    if (value & 1)
        return ERR_INVAL;
    low.apic_base = value;
    return OK;
}

int lapic_msr_read(struct vcpu *v, u32 msr, u64 *value)
{
    assert_ptr_equal(v, &vcpu);
    assert_false(locked());
    *value = low.x2apic_value;
    return msr == low.x2apic_msr ? OK : ERR_INVAL;
}

int lapic_msr_write(struct vcpu *v, u32 msr, u64 value)
{
    assert_ptr_equal(v, &vcpu);
    assert_false(locked());
    if (msr != low.x2apic_msr)
        return ERR_INVAL;
    low.x2apic_value = value;
    return OK;
}

u64 lapic_deadline_read(const struct lapic *l)
{
    assert_ptr_equal(l, vcpu.lapic);
    assert_true(locked());
    return low.deadline;
}

void lapic_deadline_write(struct lapic *l, u64 value)
{
    assert_ptr_equal(l, vcpu.lapic);
    assert_true(locked());
    low.deadline = value;
}

void lapic_set_tsc_offset(struct lapic *l, u64 offset)
{
    assert_ptr_equal(l, vcpu.lapic);
    assert_true(locked());
    low.lapic_offset = offset;
}

void log_msg(enum log_level level, const char *fmt, ...)
{
    va_list args;

    assert_int_equal(level, LOG_DEBUG);
    va_start(args, fmt);
    format_va(low.line, sizeof(low.line), fmt, args);
    va_end(args);
    low.lines++;
}

static int start(void **state)
{
    (void)state;
    memset(&low, 0, sizeof(low));
    memset(&vm, 0, sizeof(vm));
    memset(&vcpu, 0, sizeof(vcpu));
    strcpy(config.name, "one");
    low.hz = 2900000000;
    *c = (struct guest_cpuid){
        .efer_allowed = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE,
        .spec_ctrl_allowed = BITS(2, 0),
        .vmx_granted = ALL_GRANTED,
        .maxphyaddr = 39,
        .linear_bits = 48,
        .has_x2apic = true,
        .has_tsc_deadline = true,
        .has_tsc_adjust = true,
        .has_rdtscp = true,
        .has_mtrr = true,
        .has_pat = true,
        .has_mca = true,
        .has_xsaves = true,
        .has_spec_ctrl = true,
        .has_pred_cmd = true,
        .has_flush_cmd = true,
        .has_arch_capabilities = true,
        .has_umwait = true,
    };
    vm.config = &config;
    vm.start_tsc = 1000000;
    vcpu.vm = &vm;
    vcpu.cpuid = c;
    vcpu.lapic = (struct lapic *)&vcpu; /* only passed on */
    vcpu.tsc_offset = -vm.start_tsc;
    vcpu_msrs_reset(&vcpu.msrs, c);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    return locked();
}

/* Value, or GUARD when there was #GP. */
static u64 rd(u32 msr)
{
    u64 value = 0;

    return vcpu_msr_read(&vcpu, msr, &value) == OK ? value : GUARD;
}

static bool wr(u32 msr, u64 value)
{
    int r = vcpu_msr_write(&vcpu, msr, value);

    assert_true(r == OK || r == ERR_INVAL);
    return r == OK;
}

static void holds(u32 msr, u64 value)
{
    assert_true(wr(msr, value));
    assert_int_equal(rd(msr), value);
}

static void refuses(u32 msr, u64 value)
{
    u64 before = rd(msr);

    assert_false(wr(msr, value));
    assert_int_equal(rd(msr), before);
}

/* --- the table --- */

static void test_rows_sorted(void **state)
{
    (void)state;
    for (u32 i = 0; i < msr_nr_rows; i++) {
        assert_true(msr_rows[i].first <= msr_rows[i].last);
        assert_true(msr_rows[i].read || msr_rows[i].write);
        assert_true(i == 0 || msr_rows[i - 1].last < msr_rows[i].first);
    }
}

static bool exits(const u8 *bitmap, u32 msr, bool write)
{
    u32 bit = (msr & 0x1fff) + (msr >= 0xc0000000 ? 1024 * 8 : 0) + (write ? 2048 * 8 : 0);

    return bitmap[bit / 8] >> bit % 8 & 1;
}

/* What the bitmap lets through, and nothing else. */
static const struct {
    u32 msr;
    bool read, write;
} through[] = {
    {0x10, true, false},      {0x48, true, true},       {0x49, false, true},      {0x10b, false, true},
    {0x174, true, true},      {0x175, true, true},      {0x176, true, true},      {0x277, true, true},
    {0xc0000081, true, true}, {0xc0000082, true, true}, {0xc0000083, true, true}, {0xc0000084, true, true},
    {0xc0000100, true, true}, {0xc0000101, true, true}, {0xc0000102, true, true}, {0xc0000103, true, true},
};

static void check_bitmap(const u8 *bitmap, const u32 *closed, u32 nr_closed)
{
    for (u32 i = 0; i < 0x4000; i++) {
        u32 msr = i < 0x2000 ? i : 0xc0000000 + i - 0x2000;
        bool read = true, write = true;

        for (size_t t = 0; t < ARRAY_SIZE(through); t++)
            if (through[t].msr == msr) {
                read = !through[t].read;
                write = !through[t].write;
            }
        for (u32 n = 0; n < nr_closed; n++)
            if (closed[n] == msr)
                read = write = true;
        assert_int_equal(exits(bitmap, msr, false), read);
        assert_int_equal(exits(bitmap, msr, true), write);
    }
}

static void test_bitmap(void **state)
{
    static const u32 closed[] = {0x48, 0x49, 0x10b, 0x277, 0xc0000103};
    u8 *bitmap = malloc(4096);

    (void)state;
    msr_bitmap_fill(bitmap, c);
    check_bitmap(bitmap, NULL, 0);
    c->has_spec_ctrl = c->has_pred_cmd = c->has_flush_cmd = c->has_rdtscp = false;
    c->vmx_granted &= ~BIT(VF_PAT);
    msr_bitmap_fill(bitmap, c);
    check_bitmap(bitmap, closed, ARRAY_SIZE(closed));
    free(bitmap);
}

static void test_features_bring_msrs(void **state)
{
    static const struct {
        size_t feature;
        u32 msr;
    } rows[] = {
        {offsetof(struct guest_cpuid, has_x2apic), 0x803},
        {offsetof(struct guest_cpuid, has_tsc_deadline), 0x6e0},
        {offsetof(struct guest_cpuid, has_tsc_adjust), 0x3b},
        {offsetof(struct guest_cpuid, has_rdtscp), 0xc0000103},
        {offsetof(struct guest_cpuid, has_mtrr), 0xfe},
        {offsetof(struct guest_cpuid, has_mtrr), 0x200},
        {offsetof(struct guest_cpuid, has_mtrr), 0x26f},
        {offsetof(struct guest_cpuid, has_mtrr), 0x2ff},
        {offsetof(struct guest_cpuid, has_pat), 0x277},
        {offsetof(struct guest_cpuid, has_mca), 0x179},
        {offsetof(struct guest_cpuid, has_mca), 0x17a},
        {offsetof(struct guest_cpuid, has_xsaves), 0xda0},
        {offsetof(struct guest_cpuid, has_spec_ctrl), 0x48},
        {offsetof(struct guest_cpuid, has_arch_capabilities), 0x10a},
        {offsetof(struct guest_cpuid, has_umwait), 0xe1},
        {offsetof(struct guest_cpuid, has_vmx), 0x480},
        {offsetof(struct guest_cpuid, has_vmx), 0x48a},
        {offsetof(struct guest_cpuid, has_kvm_clock_old), 0x11},
        {offsetof(struct guest_cpuid, has_kvm_clock_old), 0x12},
        {offsetof(struct guest_cpuid, has_kvm_clock), 0x4b564d00},
        {offsetof(struct guest_cpuid, has_kvm_clock), 0x4b564d01},
        {offsetof(struct guest_cpuid, has_steal_time), 0x4b564d03},
        {offsetof(struct guest_cpuid, has_pv_eoi), 0x4b564d04},
    };

    (void)state;
    low.x2apic_msr = 0x803;
    c->has_vmx = true;
    c->has_kvm_clock_old = c->has_kvm_clock = c->has_steal_time = c->has_pv_eoi = true;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        bool *has = (bool *)((u8 *)c + rows[i].feature);

        assert_int_not_equal(rd(rows[i].msr), GUARD);
        *has = false;
        assert_int_equal(rd(rows[i].msr), GUARD);
        assert_false(wr(rows[i].msr, 0));
        *has = true;
    }
    c->has_pred_cmd = c->has_flush_cmd = false;
    assert_false(wr(0x49, 1) || wr(0x10b, 1));
}

static void test_unknown_is_said_once(void **state)
{
    (void)state;
    assert_int_equal(rd(0x1234), GUARD);
    assert_int_equal(low.lines, 1);
    assert_string_equal(low.line, "one: RDMSR of unknown 0x1234: #GP");
    assert_int_equal(rd(0x1234), GUARD);
    assert_false(wr(0x1234, 0));
    assert_int_equal(low.lines, 1);
    assert_false(wr(0xc0010015, 0));
    assert_string_equal(low.line, "one: WRMSR of unknown 0xc0010015: #GP");
    assert_false(wr(MSR_IA32_MTRRCAP, 0));
    assert_string_equal(low.line, "one: WRMSR of IA32_MTRRCAP 0xfe: #GP");
    assert_int_equal(low.lines, 3);
    for (u32 msr = 0x4000; msr < 0x4100; msr++)
        assert_int_equal(rd(msr), GUARD);
    assert_int_equal(low.lines, MSR_MAX_REFUSED);
}

/* Not a byte of the VM changes by MSRs that do not exist, nor does anything fail. */
static void test_neighbours_are_unknown(void **state)
{
    static const u32 unknown[] = {0x2,   0xf,        0x11,       0x35,       0x9b,       0xc1,      0xe7,
                                  0x140, 0x186,      0x1c9,      0x1fc,      0x210,      0x251,     0x25a,
                                  0x267, 0x270,      0x276,      0x278,      0x345,      0x38f,     0x400,
                                  0x480, 0x491,      0x570,      0x606,      0x6e1,      0x7ff,     0x900,
                                  0xd90, 0xc0000085, 0xc0000104, 0x40000000, 0xffffffff, 0x4b564d00};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(unknown); i++) {
        assert_int_equal(rd(unknown[i]), GUARD);
        assert_false(wr(unknown[i], 0));
    }
}

/* --- values --- */

static void test_fixed(void **state)
{
    static const struct {
        u32 msr;
        u64 value;
        bool quiet;
    } rows[] = {{0x0, 0, true},        {0x1, 0, true},
                {0x17, 0, false},      {0x2a, 0, false},
                {0x34, 0, false},      {0x3a, 1, false},
                {0x8b, BIT(32), true}, {0xfe, 0x508, false},
                {0x179, 0, false},     {0xce, 29ull << 40 | 29 << 8, false}};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        assert_int_equal(rd(rows[i].msr), rows[i].value);
        assert_int_equal(wr(rows[i].msr, 0), rows[i].quiet);
        assert_int_equal(wr(rows[i].msr, rows[i].value), rows[i].quiet);
        assert_int_equal(rd(rows[i].msr), rows[i].value);
    }
    assert_true(wr(0x79, 0x123456));
    assert_int_equal(rd(0x79), GUARD);
}

/* What L1 is offered can be read, and not be written. */
static void test_vmx(void **state)
{
    const u64 secondary = (u64)PROC_ACTIVATE_SECONDARY << 32, ept = (u64)PROC2_ENABLE_EPT << 32;

    (void)state;
    c->has_vmx = true;
    vm.nested_caps = (struct vmx_caps){.feature_control = 5, .basic = 0x80, .vmcs_enum = 0x8a};
    assert_int_equal(rd(0x3a), 5);
    assert_int_equal(rd(0x480), 0x80);
    assert_int_equal(rd(0x48a), 0x8a);
    for (u32 msr = 0x48b; msr <= 0x494; msr++)
        assert_int_equal(rd(msr), GUARD);
    vm.nested_caps.proc = secondary;
    vm.nested_caps.proc2 = ept;
    vm.nested_caps.ept_vpid = 0x8c;
    vm.nested_caps.basic |= VMX_BASIC_TRUE_CONTROLS;
    vm.nested_caps.true_entry = 0x90;
    assert_int_equal(rd(0x48b), ept);
    assert_int_equal(rd(0x48c), 0x8c);
    assert_int_equal(rd(0x48d), 0);
    assert_int_equal(rd(0x490), 0x90);
    for (u32 msr = 0x491; msr <= 0x494; msr++)
        assert_int_equal(rd(msr), GUARD);
    for (u32 msr = 0x480; msr <= 0x494; msr++)
        assert_false(wr(msr, 0));
    assert_false(wr(0x3a, 5));
}

/* Each bit of 64 alone: taken or refused. */
static void check_bits(u32 msr, u64 valid)
{
    for (u32 bit = 0; bit < 64; bit++) {
        if (valid >> bit & 1)
            holds(msr, BIT(bit));
        else
            refuses(msr, BIT(bit));
    }
    holds(msr, 0);
}

static void test_valid_bits(void **state)
{
    (void)state;
    check_bits(0x17a, 7);
    check_bits(0x48, 7);
    check_bits(0xe1, 0xfffffffd);
    check_bits(0xda0, 0);
    check_bits(0x174, 0xffffffff);
    check_bits(0x1d9, 3);
    check_bits(0xc0000081, ~0ull);
    check_bits(0xc0000084, 0xffffffff);
    check_bits(0xc0000103, 0xffffffff);
    assert_int_equal(low.cpu.tsc_aux, 0);
    c->spec_ctrl_allowed = BIT(10);
    check_bits(0x48, BIT(10));
    c->vmx_granted &= ~BIT(VF_DEBUG_CONTROLS);
    check_bits(0x1d9, 0);
}

/* Old and new numbers are one; reserved bits. */
static void test_kvm(void **state)
{
    (void)state;
    c->has_kvm_clock_old = c->has_kvm_clock = c->has_steal_time = c->has_pv_eoi = true;
    assert_true(wr(0x11, 0x1000) && wr(0x12, 0x2001));
    assert_int_equal(kvm_written[0], 0x1000);
    assert_int_equal(kvm_written[1], 0x2001);
    assert_true(wr(0x4b564d00, 0x1004) && wr(0x4b564d01, 0x2005));
    assert_int_equal(kvm_written[0], 0x1004);
    assert_int_equal(kvm_written[1], 0x2005);
    assert_true(wr(0x4b564d03, 0x3041) && wr(0x4b564d04, 0x4005));
    assert_false(wr(0x4b564d03, 0x3061) || wr(0x4b564d03, 0x3003) || wr(0x4b564d04, 0x4003));
    assert_int_equal(kvm_written[2], 0x3041);
    assert_int_equal(kvm_written[3], 0x4005);
    vcpu.msrs.kvm_wall_clock = 1;
    vcpu.msrs.kvm_clock = 2;
    vcpu.msrs.kvm_steal = 3;
    vcpu.msrs.kvm_eoi = 4;
    assert_true(rd(0x11) == 1 && rd(0x4b564d00) == 1 && rd(0x12) == 2 && rd(0x4b564d01) == 2);
    assert_true(rd(0x4b564d03) == 3 && rd(0x4b564d04) == 4);
    assert_int_equal(rd(0x4b564d02), GUARD); /* asynchronous page faults: not offered */
}

static void test_live_and_vmcs(void **state)
{
    static const u32 live[] = {0xc0000082, 0xc0000083, 0xc0000102},
                     fields[] = {0x175, 0x176, 0xc0000100, 0xc0000101};
    const u32 encodings[] = {GUEST_IA32_SYSENTER_ESP, GUEST_IA32_SYSENTER_EIP, GUEST_FS_BASE, GUEST_GS_BASE};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(live); i++) {
        holds(live[i], CANONICAL + i);
        refuses(live[i], NO_ADDRESS);
    }
    for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
        holds(fields[i], CANONICAL + i);
        refuses(fields[i], NO_ADDRESS);
        assert_int_equal(low.field[encodings[i]], CANONICAL + i);
    }
    assert_int_equal(low.cpu.lstar, CANONICAL);
    assert_int_equal(low.cpu.cstar, CANONICAL + 1);
    assert_int_equal(low.cpu.kernel_gs_base, CANONICAL + 2);
    /* What the guest itself has written since is neither lost nor hidden. */
    low.cpu.star = 5;
    low.cpu.lstar = 6;
    assert_int_equal(rd(0xc0000082), 6);
    assert_true(wr(0xc0000082, 7));
    assert_int_equal(low.cpu.star, 5);
    assert_int_equal(low.cpu.lstar, 7);
}

static void test_commands(void **state)
{
    (void)state;
    assert_true(wr(0x49, 1));
    assert_int_equal(low.command_msr, 0x49);
    assert_int_equal(low.command_value, 1);
    assert_true(wr(0x10b, 1));
    assert_int_equal(low.command_msr, 0x10b);
    assert_true(wr(0x49, 0));
    for (u32 bit = 1; bit < 64; bit++)
        assert_false(wr(0x49, BIT(bit)) || wr(0x10b, BIT(bit)));
    assert_int_equal(rd(0x49), GUARD);
    assert_int_equal(rd(0x10b), GUARD);
}

static void test_misc_enable(void **state)
{
    const u64 known = BIT(0) | BIT(3) | BIT(7) | BIT(11) | BIT(12) | BIT(16) | BIT(18) | BIT(22) | BIT(23) |
                      BIT(34) | BIT(38);

    (void)state;
    assert_int_equal(rd(0x1a0), 0x1801);
    for (u32 bit = 0; bit < 64; bit++) {
        assert_int_equal(wr(0x1a0, BIT(bit)), known >> bit & 1);
        assert_int_equal(rd(0x1a0) & ~BIT(0), 0x1800);
    }
    assert_true(wr(0x1a0, 0));
    assert_int_equal(rd(0x1a0), 0x1800);
    assert_true(wr(0x1a0, known));
    assert_int_equal(rd(0x1a0), 0x1801);
}

static void test_arch_capabilities(void **state)
{
    (void)state;
    low.arch_capabilities = ~0ull;
    assert_int_equal(rd(0x10a), 0x400000001d1ae17full);
    low.arch_capabilities = BIT(0) | BIT(7);
    assert_int_equal(rd(0x10a), BIT(0));
    assert_false(wr(0x10a, 0));
}

static void test_efer(void **state)
{
    (void)state;
    for (u32 bit = 0; bit < 64; bit++) {
        bool allowed = c->efer_allowed >> bit & 1;

        assert_int_equal(wr(0xc0000080, BIT(bit)), allowed);
    }
    assert_true(wr(0xc0000080, EFER_SCE));
    assert_true(wr(0xc0000080, EFER_LME | EFER_LMA));
    assert_int_equal(rd(0xc0000080), EFER_LME);
    /* Paging is on, in IA-32e mode: LME stays, LMA stays whatever is written. */
    low.field[GUEST_CR0] = CR0_PE | CR0_PG;
    low.field[GUEST_IA32_EFER] = EFER_LME | EFER_LMA;
    assert_false(wr(0xc0000080, EFER_NXE));
    assert_true(wr(0xc0000080, EFER_LME | EFER_NXE | EFER_SCE));
    assert_int_equal(rd(0xc0000080), EFER_LME | EFER_LMA | EFER_NXE | EFER_SCE);
    /* Paging is on, in legacy mode. */
    low.field[GUEST_IA32_EFER] = 0;
    assert_false(wr(0xc0000080, EFER_LME));
    assert_true(wr(0xc0000080, EFER_NXE));
    assert_int_equal(rd(0xc0000080), EFER_NXE);
    c->efer_allowed = 0;
    assert_false(wr(0xc0000080, EFER_NXE));
    assert_true(wr(0xc0000080, 0));
}

static void check_tsc(u64 tsc, u64 adjust)
{
    assert_int_equal(rd(0x10), tsc);
    assert_int_equal(rd(0x3b), adjust);
    /* The hardware adds the offset to the host's TSC, the local APIC to VM time. */
    assert_int_equal(low.field[TSC_OFFSET], vcpu.tsc_offset);
    assert_int_equal(low.now + vm.start_tsc + vcpu.tsc_offset, tsc);
    assert_int_equal(low.now + low.lapic_offset, tsc);
}

static void test_tsc(void **state)
{
    (void)state;
    low.now = 500;
    assert_int_equal(rd(0x10), 500);
    assert_int_equal(rd(0x3b), 0);
    assert_true(wr(0x10, 100));
    check_tsc(100, -400ull);
    low.now = 600;
    check_tsc(200, -400ull);
    assert_true(wr(0x3b, 0));
    check_tsc(600, 0);
    assert_true(wr(0x3b, 1000));
    check_tsc(1600, 1000);
    assert_true(wr(0x10, ~0ull));
    check_tsc(~0ull, ~0ull - 600);
}

static void test_lapic(void **state)
{
    (void)state;
    low.apic_base = 0xfee00900;
    assert_int_equal(rd(0x1b), 0xfee00900);
    holds(0x1b, 0xfee00d00);
    refuses(0x1b, 1);
    refuses(0x1b, BIT(39) | 0x800); /* beyond MAXPHYADDR */
    holds(0x1b, BIT(38) | 0x800);
    c->has_x2apic = false;
    refuses(0x1b, 0xfee00c00);
    holds(0x1b, 0xfee00800);
    c->has_x2apic = true;
    holds(0x6e0, 12345);
    assert_int_equal(low.deadline, 12345);
    low.x2apic_msr = 0x808;
    holds(0x808, 0x20);
    refuses(0x809, 0x20);
    assert_int_equal(rd(0x809), GUARD);
    low.x2apic_msr = 0x8ff;
    holds(0x8ff, 0x30);
}

/* --- memory types --- */

static void test_pat(void **state)
{
    (void)state;
    for (u32 type = 0; type < 256; type++) {
        bool valid = type <= 7 && type != 2 && type != 3;

        for (u32 i = 0; i < 64; i += 8) {
            u64 value = (0x0606060606060606 & ~(0xffull << i)) | (u64)type << i;

            if (valid)
                holds(0x277, value);
            else
                refuses(0x277, value);
        }
    }
    holds(0x277, 0x0007040600070406);
    assert_int_equal(low.field[GUEST_IA32_PAT], 0x0007040600070406);
    assert_int_equal(vcpu.msrs.pat, 0x0007040600070406);
    c->vmx_granted &= ~BIT(VF_PAT);
    holds(0x277, 0x0606060606060606);
    refuses(0x277, 2);
    assert_int_equal(low.field[GUEST_IA32_PAT], 0x0007040600070406);
}

static bool is_mtrr_type(u32 type)
{
    return type == 0 || type == 1 || (type >= 4 && type <= 6);
}

static void test_mtrr_fixed(void **state)
{
    static const u32 msrs[] = {0x250, 0x258, 0x259, 0x268, 0x269, 0x26a, 0x26b, 0x26c, 0x26d, 0x26e, 0x26f};

    (void)state;
    for (size_t n = 0; n < ARRAY_SIZE(msrs); n++) {
        assert_int_equal(rd(msrs[n]), msrs[n] == 0x259 ? 0 : 0x0606060606060606);
        for (u32 type = 0; type < 256; type++)
            for (u32 i = 0; i < 64; i += 8) {
                if (is_mtrr_type(type))
                    holds(msrs[n], (u64)type << i);
                else
                    refuses(msrs[n], (u64)type << i);
            }
    }
    for (size_t n = 0; n < ARRAY_SIZE(msrs); n++)
        holds(msrs[n], n % 2 ? 0x0101010101010101 : 0x0404040404040404);
    for (size_t n = 0; n < ARRAY_SIZE(msrs); n++)
        assert_int_equal(rd(msrs[n]), n % 2 ? 0x0101010101010101 : 0x0404040404040404);
}

static void test_mtrr_variable(void **state)
{
    (void)state;
    assert_int_equal(rd(0x200), 0xc0000000);
    assert_int_equal(rd(0x201), 0x7fc0000800);
    for (u32 n = 0; n < MSR_NR_MTRR_VAR; n++) {
        u32 base = 0x200 + 2 * n, mask = base + 1;

        for (u32 type = 0; type < 256; type++) {
            if (is_mtrr_type(type))
                holds(base, 0x12345000 | type);
            else
                refuses(base, 0x12345000 | type);
        }
        for (u32 bit = 8; bit < 64; bit++) {
            if (bit >= 12 && bit < 39)
                holds(base, BIT(bit));
            else
                refuses(base, BIT(bit));
        }
        check_bits(mask, BITS(38, 11));
        holds(base, 0x1000 * n);
        holds(mask, 0x7fffff0800);
    }
    for (u32 n = 0; n < MSR_NR_MTRR_VAR; n++)
        assert_int_equal(rd(0x200 + 2 * n), 0x1000 * n);
}

static void test_mtrr_def_type(void **state)
{
    (void)state;
    assert_int_equal(rd(0x2ff), 0xc06);
    for (u32 type = 0; type < 256; type++) {
        if (is_mtrr_type(type))
            holds(0x2ff, 0x800 | type);
        else
            refuses(0x2ff, 0x800 | type);
    }
    for (u32 bit = 8; bit < 64; bit++) {
        if (bit == 10 || bit == 11)
            holds(0x2ff, BIT(bit));
        else
            refuses(0x2ff, BIT(bit));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_rows_sorted, start, stop),
        cmocka_unit_test_setup_teardown(test_bitmap, start, stop),
        cmocka_unit_test_setup_teardown(test_features_bring_msrs, start, stop),
        cmocka_unit_test_setup_teardown(test_unknown_is_said_once, start, stop),
        cmocka_unit_test_setup_teardown(test_neighbours_are_unknown, start, stop),
        cmocka_unit_test_setup_teardown(test_fixed, start, stop),
        cmocka_unit_test_setup_teardown(test_vmx, start, stop),
        cmocka_unit_test_setup_teardown(test_valid_bits, start, stop),
        cmocka_unit_test_setup_teardown(test_kvm, start, stop),
        cmocka_unit_test_setup_teardown(test_live_and_vmcs, start, stop),
        cmocka_unit_test_setup_teardown(test_commands, start, stop),
        cmocka_unit_test_setup_teardown(test_misc_enable, start, stop),
        cmocka_unit_test_setup_teardown(test_arch_capabilities, start, stop),
        cmocka_unit_test_setup_teardown(test_efer, start, stop),
        cmocka_unit_test_setup_teardown(test_tsc, start, stop),
        cmocka_unit_test_setup_teardown(test_lapic, start, stop),
        cmocka_unit_test_setup_teardown(test_pat, start, stop),
        cmocka_unit_test_setup_teardown(test_mtrr_fixed, start, stop),
        cmocka_unit_test_setup_teardown(test_mtrr_variable, start, stop),
        cmocka_unit_test_setup_teardown(test_mtrr_def_type, start, stop),
    };

    return cmocka_run_group_tests_name("msr", tests, NULL, NULL);
}
