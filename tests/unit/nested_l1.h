/* SPDX-License-Identifier: MIT */
/*
 * L1 for tests of its VMX instructions: a vCPU in VMX root operation with some memory, a VMCS of its own, and
 * an operand in memory that is what the test says. Included before the sources in question.
 */
#ifndef TESTS_UNIT_NESTED_L1_H
#define TESTS_UNIT_NESTED_L1_H

#include "tests/unit/fake_vmx.h"
#include "tests/unit/good_caps.h"
#include "vmm/mmio_host.h"
#include "vmm/nested/instructions.h"
#include "vmm/nested/operand.h"
#include "vmm/vm.h"

#define RAM          0x8000ull
#define VMXON_REGION 0x1000ull
#define VMCS_A       0x2000ull /* the current one */
#define VMCS_B       0x3000ull
#define PLAIN        0x4000ull /* no revision */
#define NOWHERE      0x7ffff000ull
#define STATUS       (RFLAGS_CF | RFLAGS_PF | RFLAGS_AF | RFLAGS_ZF | RFLAGS_SF | RFLAGS_OF)
#define OTHER_FLAGS  (RFLAGS_FIXED | RFLAGS_IF | RFLAGS_DF)
#define RIP          0x1000u
#define LENGTH       5

/* How an instruction ends. Others: the number of a VMfail. */
enum { SUCCESS = 100, INVALID, UNDEFINED, PROTECTION, STOPPED, CRASHED, ENTERED };

static struct vm vm;
static struct vcpu vcpu;
static struct nested nested;
static u8 ram[RAM];
static struct {
    u64 field[0x7000];
    u64 rsp, feature_control;
    bool has_feature_control;
    u64 operand[2];
    int operand_result; /* of the access to the memory operand */
    u32 operand_size;   /* 0: there was no access */
    bool written;       /* to it */
    s32 vector;
    u32 crashes, entered, invalidated, invalidated_all;
    u32 syncs, newest_written;
    u32 changes; /* of VMX operation, to or fro */
    u64 eptp;
} low;

static u64 vmread(u32 field)
{
    assert_true(field < ARRAY_SIZE(low.field));
    return low.field[field];
}

static inline void vmwrite(u32 field, u64 value)
{
    assert_true(field < ARRAY_SIZE(low.field));
    low.field[field] = value;
}

u64 vcpu_get_reg(struct vcpu *v, u32 n)
{
    return n == REG_RSP ? low.rsp : v->gpr[n];
}

void vcpu_set_reg(struct vcpu *v, u32 n, u64 value)
{
    *(n == REG_RSP ? &low.rsp : &v->gpr[n]) = value;
}

int guest_read(struct vm *of, gpa_t gpa, void *to, u64 n)
{
    assert_ptr_equal(of, &vm);
    if (gpa >= RAM || n > RAM - gpa) {
        memset(to, 0x99, n);
        return ERR_RANGE;
    }
    memcpy(to, ram + gpa, n);
    return OK;
}

int guest_write(struct vm *of, gpa_t gpa, const void *from, u64 n)
{
    assert_ptr_equal(of, &vm);
    if (gpa >= RAM || n > RAM - gpa)
        return ERR_RANGE;
    memcpy(ram + gpa, from, n);
    return OK;
}

static inline void note_operand(u32 size)
{
    assert_int_equal(low.operand_size, 0);
    low.operand_size = size;
    if (low.operand_result == ERR_FAULT)
        vcpu_inject_page_fault(&vcpu, 0, 0);
}

int nested_operand_read(struct vcpu *v, void *to, u32 size)
{
    assert_ptr_equal(v, &vcpu);
    note_operand(size);
    memcpy(to, low.operand, size);
    return low.operand_result;
}

int nested_operand_write(struct vcpu *v, const void *from, u32 size)
{
    assert_ptr_equal(v, &vcpu);
    note_operand(size);
    if (low.operand_result)
        return low.operand_result;
    memcpy(low.operand, from, size);
    low.written = true;
    return OK;
}

void vcpu_inject_exception_error(struct vcpu *v, u8 vector, u32 error_code)
{
    assert_ptr_equal(v, &vcpu);
    assert_int_equal(low.vector, -1);
    assert_int_equal(error_code, 0);
    low.vector = vector;
    v->events.exception_stage = 1;
}

void vcpu_inject_exception(struct vcpu *v, u8 vector)
{
    vcpu_inject_exception_error(v, vector, 0);
}

void vcpu_inject_page_fault(struct vcpu *v, u32 error_code, gva_t address)
{
    (void)address;
    vcpu_inject_exception_error(v, VEC_PF, error_code);
}

void nested_sync(struct vcpu *v)
{
    assert_ptr_equal(v, &vcpu);
    v->nested->synced = true;
    low.syncs++;
}

void nested_shadow(struct vcpu *v, bool on)
{
    assert_ptr_equal(v, &vcpu);
    assert_false(on);
    v->nested->shadowing = false;
}

void nested_written(struct vcpu *v, u32 index)
{
    assert_ptr_equal(v, &vcpu);
    low.newest_written = index;
}

void vcpu_vmx_operation_changed(struct vcpu *v)
{
    assert_ptr_equal(v, &vcpu);
    low.changes++;
}

void vcpu_skip_instruction(struct vcpu *v)
{
    assert_ptr_equal(v, &vcpu);
    low.field[GUEST_RIP] += low.field[EXIT_INSTRUCTION_LENGTH];
}

int vcpu_msr_read(struct vcpu *v, u32 msr, u64 *value)
{
    assert_ptr_equal(v, &vcpu);
    assert_int_equal(msr, MSR_IA32_FEATURE_CONTROL);
    *value = low.feature_control;
    return low.has_feature_control ? OK : ERR_INVAL;
}

void(vm_crash)(struct vcpu *v, const char *fmt, ...)
{
    assert_ptr_equal(v, &vcpu);
    assert_non_null(fmt);
    low.crashes++;
    v->requests |= REQ_KICK;
}

bool nested_enter(struct vcpu *v)
{
    assert_ptr_equal(v, &vcpu);
    low.entered++;
    return true;
}

void shadow_ept_invalidate(struct vcpu *v, u64 eptp12)
{
    assert_ptr_equal(v, &vcpu);
    low.invalidated++;
    low.eptp = eptp12;
}

void shadow_ept_invalidate_all(struct vcpu *v)
{
    assert_ptr_equal(v, &vcpu);
    low.invalidated_all++;
}

#ifndef WITH_SLOTS /* else the test has slots.c */
bool nested_recall(struct vcpu *v, gpa_t address)
{
    (void)v, (void)address;
    return false;
}

bool nested_clear_aside(struct vcpu *v, gpa_t address)
{
    return nested_recall(v, address);
}

void nested_put_aside(struct vcpu *v)
{
    nested_vmcs12_release(v);
}

void nested_release_all(struct vcpu *v)
{
    nested_vmcs12_release(v);
}

void nested_flush_all(struct nested *n)
{
    n->flush_vpid = true;
}
#endif

static inline struct vmcs12 *region(gpa_t gpa)
{
    return (struct vmcs12 *)(ram + gpa);
}

/* L1 in 64-bit mode, CPL 0, in VMX root operation, with a current VMCS, about to execute the instruction that
 * exits with this reason. */
static inline void start(u32 reason)
{
    memset(&vm, 0, sizeof(vm));
    memset(&vcpu, 0, sizeof(vcpu));
    memset(&nested, 0, sizeof(nested));
    memset(&low, 0, sizeof(low));
    memset(ram, 0, sizeof(ram));
    good_caps(&vm.nested_caps);
    vm.cpuid.maxphyaddr = 39;
    vm.cpuid.linear_bits = 48;
    vcpu.vm = &vm;
    vcpu.cpuid = &vm.cpuid;
    vcpu.nested = &nested;
    vcpu.until = ~0ull;
    low.vector = -1;
    low.feature_control = FEATURE_CONTROL_LOCKED | FEATURE_CONTROL_VMX_OUTSIDE_SMX;
    low.has_feature_control = true;
    low.field[EXIT_REASON] = reason;
    low.field[EXIT_INSTRUCTION_LENGTH] = LENGTH;
    low.field[GUEST_RIP] = RIP;
    low.field[GUEST_RFLAGS] = OTHER_FLAGS | STATUS;
    /* What L1 sees of CR0 and CR4 is partly in the shadows. */
    low.field[GUEST_CR0] = CR0_PE | (u64)CR0_PG;
    low.field[CR0_GUEST_HOST_MASK] = CR0_NE | CR0_CD;
    low.field[CR0_READ_SHADOW] = CR0_NE;
    low.field[GUEST_CR4] = CR4_PAE | CR4_VMXE;
    low.field[CR4_GUEST_HOST_MASK] = CR4_VMXE;
    low.field[CR4_READ_SHADOW] = CR4_VMXE;
    low.field[GUEST_IA32_EFER] = EFER_LMA | EFER_LME;
    low.field[GUEST_CS_ACCESS_RIGHTS] = SEG_AR_L | 0x9b;
    low.field[GUEST_SS_ACCESS_RIGHTS] = 0x93;
    region(VMXON_REGION)->revision = VMCS12_REVISION;
    region(VMCS_A)->revision = region(VMCS_B)->revision = VMCS12_REVISION;
    nested_fields_build(&nested, &vm.nested_caps);
    nested.vmx_on = true;
    nested.vmxon_pointer = VMXON_REGION;
    nested.current = VMCS_A;
    nested.vmcs12.revision = VMCS12_REVISION;
}

/* 32-bit protected mode without paging. */
static inline void mode32(void)
{
    low.field[GUEST_IA32_EFER] = 0;
    low.field[GUEST_CS_ACCESS_RIGHTS] = SEG_AR_DB | 0x9b;
}

static inline u32 status(void)
{
    assert_int_equal(low.field[GUEST_RFLAGS] & ~(u64)STATUS, OTHER_FLAGS);
    return low.field[GUEST_RFLAGS] & STATUS;
}

/* How it ended, from all that is left of it. */
static inline u32 outcome(bool resume)
{
    u64 error = VMCS(&nested.vmcs12.image, VM_INSTRUCTION_ERROR);

    if (low.entered || low.field[GUEST_RIP] == RIP) {
        assert_int_equal(low.field[GUEST_RIP], RIP);
        assert_int_equal(low.field[GUEST_RFLAGS] & STATUS, STATUS);
        assert_int_equal(error, 0);
        assert_int_equal(resume, low.entered);
        if (low.entered)
            return ENTERED;
        if (low.vector < 0)
            return low.crashes ? CRASHED : 0;
        return low.vector == VEC_UD ? UNDEFINED : low.vector == VEC_GP ? PROTECTION : STOPPED;
    }
    /* What was blocked in VMX operation may be due. */
    assert_int_equal(resume, low.field[EXIT_REASON] != EXIT_REASON_VMXOFF);
    assert_int_equal(low.vector, -1);
    assert_int_equal(low.field[GUEST_RIP], RIP + LENGTH);
    if (status() == RFLAGS_ZF)
        return (u32)error;
    assert_int_equal(error, 0);
    if (status() == RFLAGS_CF)
        return INVALID;
    assert_int_equal(status(), 0);
    return SUCCESS;
}

static inline u32 run(void)
{
    return outcome(nested_instruction(&vcpu));
}

/* One more of the same kind. */
static inline void again(u32 reason)
{
    low.field[EXIT_REASON] = reason;
    low.field[GUEST_RIP] = RIP;
    low.field[GUEST_RFLAGS] = OTHER_FLAGS | STATUS;
    low.operand_size = 0;
    VMCS(&nested.vmcs12.image, VM_INSTRUCTION_ERROR) = 0;
}

/* The instruction information: a register as r/m and one besides, or memory and one besides. */
#define FORM(reg1, reg2) ((u32)OPERAND_REGISTER | (reg1) << 3 | (u32)(reg2) << 28)
#define IN_MEMORY(reg2)  ((u32)(reg2) << 28)

/* A check of an instruction: what makes it fail, and what comes of that. */
struct check {
    void (*spoil)(void);
    u32 outcome;
};

/* With all checks from one on made to fail it is that one that tells; and each fails alone. prepare may be
 * null. */
static inline void expect_order(u32 reason, void (*prepare)(void), const struct check *checks, u32 nr,
                                u32 good)
{
    for (u32 first = 0; first <= nr; first++) {
        start(reason);
        if (prepare)
            prepare();
        for (u32 i = nr; i-- > first;)
            checks[i].spoil();
        assert_int_equal(run(), first < nr ? checks[first].outcome : good);
    }
    for (u32 i = 0; i < nr; i++) {
        start(reason);
        if (prepare)
            prepare();
        checks[i].spoil();
        assert_int_equal(run(), checks[i].outcome);
    }
}

#define EXPECT_ORDER(reason, prepare, checks, good) \
    expect_order(reason, prepare, checks, ARRAY_SIZE(checks), good)

/* Takes a VMX control of the second word from L1. */
static inline void without(u64 control)
{
    vm.nested_caps.proc2 &= ~(control << 32);
    nested_fields_build(&nested, &vm.nested_caps);
}

/* --- what makes checks fail --- */

static inline void not_in_vmx(void)
{
    nested.vmx_on = false;
}

static inline void real_mode(void)
{
    mode32();
    low.field[GUEST_CR0] &= ~(u64)CR0_PE;
}

static inline void virtual_8086(void)
{
    mode32();
    low.field[GUEST_RFLAGS] |= RFLAGS_VM;
}

static inline void compatibility_mode(void)
{
    low.field[GUEST_CS_ACCESS_RIGHTS] = SEG_AR_DB | 0x9b;
}

static inline void cpl3(void)
{
    low.field[GUEST_SS_ACCESS_RIGHTS] = 0xf3;
}

static inline void no_current(void)
{
    nested.current = NO_VMCS;
}

static inline void operand_faults(void)
{
    low.operand_result = ERR_FAULT;
}

/* Of a shadow VMCS: it cannot be entered. */
static inline void is_shadow(void)
{
    nested.vmcs12.revision |= BIT(31);
}

/* Each mode in which an instruction is not defined, alone. */
static inline void expect_undefined(u32 reason, void (*prepare)(void))
{
    void (*const modes[])(void) = {real_mode, virtual_8086, compatibility_mode, NULL};

    for (u32 i = 0; i < ARRAY_SIZE(modes); i++) {
        start(reason);
        if (prepare)
            prepare();
        if (modes[i])
            modes[i]();
        else
            vcpu.nested = NULL;
        cpl3();
        assert_false(nested_instruction(&vcpu));
        assert_int_equal(low.vector, VEC_UD);
        assert_int_equal(low.operand_size, 0);
    }
}

#endif
