/* SPDX-License-Identifier: MIT */
/* The VMX instructions in VMX root operation: how each ends, with the VM-instruction error, in the manual's
 * order. */
#include "guest/l1/l1.h"
#include "lib/string.h"

#define MISALIGNED     1
#define NON_CANONICAL  0x800000000000ull
#define BAD_FIELD      0x6fffull /* no field of any CPU */
#define SHADOW_VMCS    BIT(31)   /* of a region's revision */
#define UNMAPPED       GiB(511)
#define NO_VMCS        (~0ull)
#define INVEPT_SINGLE  1
#define INVEPT_ALL     2
#define INVVPID_RETAIN 3

DEFINE_ATTEMPT(try_vmxon, vmx_on((u64)vmxon_region))
DEFINE_ATTEMPT(try_vmxoff, vmx_off())
DEFINE_ATTEMPT(try_vmclear, vmx_clear((u64)vmcs_region[0]))
DEFINE_ATTEMPT(try_vmptrld, vmx_load((u64)vmcs_region[0]))
DEFINE_ATTEMPT(try_vmptrst, vmx_current())
DEFINE_ATTEMPT(try_vmread, vmread(GUEST_RIP))
DEFINE_ATTEMPT(try_vmwrite, vmwrite(GUEST_RIP, 0))
DEFINE_ATTEMPT(try_vmlaunch, asm volatile("vmlaunch" ::: "memory", "cc"))
DEFINE_ATTEMPT(try_vmresume, asm volatile("vmresume" ::: "memory", "cc"))
DEFINE_ATTEMPT(try_invept, vmx_invept(INVEPT_ALL, (struct invalidate){0, 0}))
DEFINE_ATTEMPT(try_invvpid, vmx_invvpid(INVEPT_ALL, (struct invalidate){0, 0}))
DEFINE_ATTEMPT(set_cr4, write_cr4(*(u64 *)arg))
DEFINE_ATTEMPT(set_cr0, write_cr0(*(u64 *)arg))
DEFINE_ATTEMPT(load_at, asm volatile("vmptrld (%0)" ::"r"(arg) : "memory", "cc"))
DEFINE_ATTEMPT(store_at, asm volatile("vmptrst (%0)" ::"r"(arg) : "memory", "cc"))
DEFINE_ATTEMPT(clear_at, asm volatile("vmclear (%0)" ::"r"(arg) : "memory", "cc"))
DEFINE_ATTEMPT(on_at, asm volatile("vmxon (%0)" ::"r"(arg) : "memory", "cc"))
DEFINE_ATTEMPT(read_to, asm volatile("vmread %0, (%1)" ::"r"((u64)GUEST_RIP), "r"(arg) : "memory", "cc"))
DEFINE_ATTEMPT(write_from, asm volatile("vmwrite (%1), %0" ::"r"((u64)GUEST_RIP), "r"(arg) : "memory", "cc"))

static const char *const ends[] = {"VMsucceed", "VMfailInvalid", "VMfailValid"};

static void expect_end(enum vm_end got, enum vm_end wanted, const char *what)
{
    expect(got == wanted, "%s: %s, not %s", what, ends[got], ends[wanted]);
}

static void expect_error(enum vm_end got, u32 error, const char *what)
{
    expect_end(got, VM_FAIL_VALID, what);
    if (got == VM_FAIL_VALID)
        expect_equal(vmread(VM_INSTRUCTION_ERROR), error, what);
}

static void set_revision(u8 *region, u32 revision)
{
    memcpy(region, &revision, sizeof(revision));
}

/* Outside of VMX operation. */
static void test_off(void)
{
    static void (*const attempts[])(void *) = {try_vmxoff,   try_vmclear, try_vmptrld, try_vmptrst,
                                               try_vmread,   try_vmwrite, try_invept,  try_vmlaunch,
                                               try_vmresume, try_invvpid};

    vmx_stop();
    for (u32 i = 0; i < ARRAY_SIZE(attempts); i++) {
        int vector = try_call(attempts[i], NULL);

        expect(vector == X_UD, "instruction %u: vector %d, not #UD", i, vector);
    }
    write_cr4(read_cr4() & ~CR4_VMXE);
    expect_vector(X_UD, try_vmxon, NULL, "VMXON without CR4.VMXE");
    write_cr4(read_cr4() | CR4_VMXE);
}

static void test_vmxon(void)
{
    u64 cr0 = read_cr0(), cr4, value;
    u32 revision = VMX_BASIC_REVISION(caps.basic);

    vmx_stop();
    write_cr4(read_cr4() | CR4_VMXE);
    write_cr0(cr0 & ~CR0_NE);
    expect_vector(X_GP, try_vmxon, NULL, "VMXON without CR0.NE");
    write_cr0(cr0);
    expect_vector(X_PF, on_at, (void *)UNMAPPED, "VMXON");
    expect_vector(X_GP, on_at, (void *)NON_CANONICAL, "VMXON");
    expect_end(vmx_on((u64)vmxon_region + MISALIGNED), VM_FAIL_INVALID, "misaligned");
    expect_end(vmx_on(caps.physical), VM_FAIL_INVALID, "beyond the address width");
    set_revision(vmxon_region, revision ^ 1);
    expect_end(vmx_on((u64)vmxon_region), VM_FAIL_INVALID, "wrong revision");
    set_revision(vmxon_region, revision | SHADOW_VMCS);
    expect_end(vmx_on((u64)vmxon_region), VM_FAIL_INVALID, "bit 31 of the revision");
    expect_vector(X_UD, try_vmptrst, NULL, "after those");
    vmx_start();
    expect_equal(vmx_current(), NO_VMCS, "current VMCS after VMXON");
    expect_end(vmx_on((u64)vmxon_region), VM_FAIL_INVALID, "VMXON again, no current VMCS");
    l2_new(NULL);
    expect_error(vmx_on((u64)vmxon_region), VMX_ERROR_VMXON_IN_ROOT, "VMXON again");
    cr4 = value = read_cr4();
    value &= ~CR4_VMXE;
    expect_vector(X_GP, set_cr4, &value, "CR4.VMXE cleared");
    value = cr0 & ~CR0_NE;
    expect_vector(X_GP, set_cr0, &value, "CR0.NE cleared");
    expect_equal(read_cr4(), cr4, "CR4");
    vmx_stop();
    expect_vector(X_UD, try_vmptrst, NULL, "after VMXOFF");
}

static void test_vmclear(void)
{
    l2_new(NULL);
    expect_error(vmx_clear((u64)vmcs_region[0] + MISALIGNED), VMX_ERROR_VMCLEAR_ADDRESS, "misaligned");
    expect_error(vmx_clear(caps.physical), VMX_ERROR_VMCLEAR_ADDRESS, "beyond the address width");
    expect_error(vmx_clear((u64)vmxon_region), VMX_ERROR_VMCLEAR_VMXON_POINTER, "VMXON region");
    expect_equal(vmx_current(), (u64)vmcs_region[0], "current VMCS");
    set_revision(vmcs_region[1], VMX_BASIC_REVISION(caps.basic));
    expect_end(vmx_clear((u64)vmcs_region[1]), VM_SUCCEED, "another");
    expect_equal(vmx_current(), (u64)vmcs_region[0], "current VMCS after VMCLEAR of another");
    expect_end(vmx_clear((u64)vmcs_region[0]), VM_SUCCEED, "the current");
    expect_equal(vmx_current(), NO_VMCS, "current VMCS after its VMCLEAR");
    expect_end(vmx_clear((u64)vmcs_region[0] + MISALIGNED), VM_FAIL_INVALID, "misaligned, no current VMCS");
}

static void test_vmptrld(void)
{
    u32 revision = VMX_BASIC_REVISION(caps.basic);

    l2_new(NULL);
    expect_error(vmx_load((u64)vmcs_region[1] + MISALIGNED), VMX_ERROR_VMPTRLD_ADDRESS, "misaligned");
    expect_error(vmx_load(caps.physical), VMX_ERROR_VMPTRLD_ADDRESS, "beyond the address width");
    expect_error(vmx_load((u64)vmxon_region), VMX_ERROR_VMPTRLD_VMXON_POINTER, "VMXON region");
    set_revision(vmcs_region[1], revision ^ 1);
    expect_error(vmx_load((u64)vmcs_region[1]), VMX_ERROR_VMPTRLD_REVISION, "wrong revision");
    if (!vmx_can(VMX_WORD_PROC2, PROC2_VMCS_SHADOWING)) {
        set_revision(vmcs_region[1], revision | SHADOW_VMCS);
        expect_error(vmx_load((u64)vmcs_region[1]), VMX_ERROR_VMPTRLD_REVISION, "shadow-VMCS indicator");
    }
    expect_equal(vmx_current(), (u64)vmcs_region[0], "current VMCS");
    vmx_clear((u64)vmcs_region[0]);
    set_revision(vmcs_region[1], revision ^ 1);
    expect_end(vmx_load((u64)vmcs_region[1]), VM_FAIL_INVALID, "wrong revision, no current VMCS");
    set_revision(vmcs_region[1], revision);
}

/* Two VMCSs in turn keep what they hold, across VMCLEAR. */
static void test_vmptrld_switch(void)
{
    l2_new(NULL);
    vmwrite(GUEST_RIP, 0x1111);
    set_revision(vmcs_region[1], VMX_BASIC_REVISION(caps.basic));
    vmx_clear((u64)vmcs_region[1]);
    vmx_load((u64)vmcs_region[1]);
    vmwrite(GUEST_RIP, 0x2222);
    expect_equal(vmx_current(), (u64)vmcs_region[1], "current VMCS");
    vmx_load((u64)vmcs_region[0]);
    expect_equal(vmread(GUEST_RIP), 0x1111, "the first, without VMCLEAR");
    vmx_clear((u64)vmcs_region[0]);
    vmx_load((u64)vmcs_region[1]);
    expect_equal(vmread(GUEST_RIP), 0x2222, "the second");
    vmx_clear((u64)vmcs_region[1]);
    vmx_load((u64)vmcs_region[0]);
    expect_equal(vmread(GUEST_RIP), 0x1111, "the first, after VMCLEAR");
    vmx_load((u64)vmcs_region[1]);
    expect_equal(vmread(GUEST_RIP), 0x2222, "the second, after VMCLEAR");
    vmx_clear((u64)vmcs_region[1]);
    vmx_clear((u64)vmcs_region[0]);
}

static void test_vmread(void)
{
    u64 value = 0x1234;

    l2_new(NULL);
    expect_error(vmx_read(BAD_FIELD, &value), VMX_ERROR_UNSUPPORTED_COMPONENT, "VMREAD");
    expect_error(vmx_write(BAD_FIELD, value), VMX_ERROR_UNSUPPORTED_COMPONENT, "VMWRITE");
    expect_equal(value, 0x1234, "destination of a failed VMREAD");
    expect_error(vmx_read(BIT(32) | GUEST_RIP, &value), VMX_ERROR_UNSUPPORTED_COMPONENT,
                 "bit 32 of the encoding");
    if (caps.misc & VMX_MISC_VMWRITE_ANY)
        expect_end(vmx_write(EXIT_REASON, 0), VM_SUCCEED, "VMWRITE of a read-only field");
    else
        expect_error(vmx_write(EXIT_REASON, 0), VMX_ERROR_VMWRITE_READ_ONLY, "VMWRITE of a read-only field");
    vmx_clear((u64)vmcs_region[0]);
    expect_end(vmx_read(GUEST_RIP, &value), VM_FAIL_INVALID, "VMREAD without a VMCS");
    expect_end(vmx_write(GUEST_RIP, value), VM_FAIL_INVALID, "VMWRITE without a VMCS");
    expect_end(vmx_read(BAD_FIELD, &value), VM_FAIL_INVALID, "VMREAD of a bad field without a VMCS");
}

/* Widths: what does not fit is lost, and reads as 0; the high half of a 64-bit field. */
static void test_vmwrite_widths(void)
{
    static const struct {
        u64 field, kept;
    } widths[] = {
        {GUEST_ES_SELECTOR, 0xffff}, {GUEST_ES_LIMIT, 0xffffffff},   {GUEST_RSP, ~0ull},
        {TSC_OFFSET, ~0ull},         {EXCEPTION_BITMAP, 0xffffffff},
    };
    u64 in_memory = 0x5555;

    l2_new(NULL);
    for (u32 i = 0; i < ARRAY_SIZE(widths); i++) {
        vmwrite(widths[i].field, 0xfedcba9876543210);
        expect(vmread(widths[i].field) == (0xfedcba9876543210 & widths[i].kept), "field 0x%llx: 0x%llx",
               (ull)widths[i].field, (ull)vmread(widths[i].field));
    }
    expect_equal(vmread(TSC_OFFSET | VMCS_ENC_HIGH), 0xfedcba98, "high half");
    vmwrite(TSC_OFFSET | VMCS_ENC_HIGH, 0x12345678);
    expect_equal(vmread(TSC_OFFSET), 0x1234567876543210, "after a write of the high half");
    asm volatile("vmwrite %1, %0" ::"r"((u64)GUEST_RSP), "m"(in_memory) : "cc");
    in_memory = 0;
    asm volatile("vmread %1, %0" : "=m"(in_memory) : "r"((u64)GUEST_RSP) : "cc");
    expect_equal(in_memory, 0x5555, "memory operand");
}

/* What is written to each field that can be written is read again. */
static void test_vmwrite_all(void)
{
    static const u32 fields[] = {
#define VMCS_FIELD(name, encoding, exists) encoding,
#include "arch/x86/vmcs_fields.def"
#undef VMCS_FIELD
    };
    static const u64 kept[] = {0xffff, ~0ull, 0xffffffff, ~0ull}; /* by width */
    /* These keep only what means something. */
    u64 loose[] = {GUEST_ES_ACCESS_RIGHTS,   GUEST_CS_ACCESS_RIGHTS, GUEST_SS_ACCESS_RIGHTS,
                   GUEST_DS_ACCESS_RIGHTS,   GUEST_FS_ACCESS_RIGHTS, GUEST_GS_ACCESS_RIGHTS,
                   GUEST_LDTR_ACCESS_RIGHTS, GUEST_TR_ACCESS_RIGHTS};
    u32 written = 0;

    l2_new(NULL);
    for (u32 round = 0; round < 2; round++) {
        for (u32 i = 0; i < ARRAY_SIZE(fields); i++) {
            u64 value = 0x0123456789abcdefull * (i + 1), mask = kept[VMCS_ENC_WIDTH(fields[i])];

            if (VMCS_ENC_TYPE(fields[i]) == 1)
                continue;
            for (u32 k = 0; k < ARRAY_SIZE(loose); k++)
                if (loose[k] == fields[i])
                    mask = 0xf0ff;
            if (round == 0) {
                written += vmx_write(fields[i], value) == VM_SUCCEED;
                continue;
            }
            if (vmx_read(fields[i], &(u64){0}) == VM_SUCCEED)
                expect((vmread(fields[i]) & mask) == (value & mask), "field 0x%x: 0x%llx, not 0x%llx",
                       fields[i], (ull)vmread(fields[i]), (ull)(value & mask));
        }
    }
    expect(written >= 100, "only %u fields", written);
}

static void test_operands(void)
{
    static const struct {
        const char *name;
        void (*fn)(void *at);
    } accesses[] = {{"VMCLEAR", clear_at},
                    {"VMPTRLD", load_at},
                    {"VMPTRST", store_at},
                    {"VMREAD", read_to},
                    {"VMWRITE", write_from}};

    l2_new(NULL);
    for (u32 i = 0; i < ARRAY_SIZE(accesses); i++) {
        expect_vector(X_PF, accesses[i].fn, (void *)UNMAPPED, accesses[i].name);
        expect_equal(last_trap.cr2, UNMAPPED, "CR2");
        expect_vector(X_GP, accesses[i].fn, (void *)NON_CANONICAL, accesses[i].name);
    }
    expect_equal(vmx_current(), (u64)vmcs_region[0], "current VMCS");
}

L2_CODE(l2_nothing, "");

/* By the shadow of MOV SS the launch state does not count. */
static void enter_behind_mov_ss(void *resume)
{
    bool fail;

    if (resume)
        asm volatile("movw %%ss, %%ax; movw %%ax, %%ss; vmresume" : "=@ccz"(fail)::"rax", "memory");
    else
        asm volatile("movw %%ss, %%ax; movw %%ax, %%ss; vmlaunch" : "=@ccz"(fail)::"rax", "memory");
    expect(fail, "no VMfailValid behind MOV SS");
    expect_equal(vmread(VM_INSTRUCTION_ERROR), VMX_ERROR_EVENTS_BLOCKED_BY_MOV_SS, "behind MOV SS");
}

static void test_launch(void)
{
    l2_new(l2_nothing);
    expect(vmx_enter(l2.gpr, true) == VM_FAIL_VALID, "VMRESUME of a clear VMCS");
    expect_equal(vmread(VM_INSTRUCTION_ERROR), VMX_ERROR_VMRESUME_NOT_LAUNCHED, "VMRESUME of a clear VMCS");
    enter_behind_mov_ss(NULL);
    enter_behind_mov_ss("resume");
    l2_expect_and_skip(EXIT_REASON_VMCALL, "VMLAUNCH");
    vmwrite(GUEST_RIP, (u64)l2_nothing);
    expect(vmx_enter(l2.gpr, false) == VM_FAIL_VALID, "VMLAUNCH of a launched VMCS");
    expect_equal(vmread(VM_INSTRUCTION_ERROR), VMX_ERROR_VMLAUNCH_NOT_CLEAR, "VMLAUNCH of a launched VMCS");
    l2_expect(EXIT_REASON_VMCALL, "VMRESUME");
    vmx_clear((u64)vmcs_region[0]);
    expect(vmx_enter(l2.gpr, false) == VM_FAIL_INVALID, "VMLAUNCH without a VMCS");
    expect(vmx_enter(l2.gpr, true) == VM_FAIL_INVALID, "VMRESUME without a VMCS");
    vmx_load((u64)vmcs_region[0]);
    l2.launched = false;
    l2_expect(EXIT_REASON_VMCALL, "VMLAUNCH after VMCLEAR");
}

static void test_vmcall_in_root(void)
{
    bool carry, zero;

    if (lab_lacks("Bochs 3.0 stops at it: 'VMCALL: not implemented yet'"))
        return;
    if (cpuid(1, 0).ecx & BIT(31)) {
        test_skip("a hypercall to the hypervisor below, as on KVM");
        return;
    }
    l2_new(NULL);
    asm volatile("vmcall" : "=@ccc"(carry), "=@ccz"(zero)::"memory");
    expect_error(zero    ? VM_FAIL_VALID
                 : carry ? VM_FAIL_INVALID
                         : VM_SUCCEED,
                 VMX_ERROR_VMCALL_IN_ROOT, "VMCALL");
}

static void test_invept(void)
{
    u64 eptp;

    l2_new(NULL);
    if (!l2_has_ept() || !(caps.ept_vpid & EPT_CAP_INVEPT)) {
        test_skip("no EPT");
        return;
    }
    eptp = vmread(EPT_POINTER);
    expect_error(vmx_invept(0, (struct invalidate){eptp, 0}), VMX_ERROR_INVEPT_INVVPID_OPERAND, "type 0");
    expect_error(vmx_invept(3, (struct invalidate){eptp, 0}), VMX_ERROR_INVEPT_INVVPID_OPERAND, "type 3");
    expect_error(vmx_invept(INVEPT_SINGLE, (struct invalidate){eptp | 7, 0}),
                 VMX_ERROR_INVEPT_INVVPID_OPERAND, "memory type 7");
    expect_error(vmx_invept(INVEPT_SINGLE, (struct invalidate){eptp & ~0x38ull, 0}),
                 VMX_ERROR_INVEPT_INVVPID_OPERAND, "one level");
    expect_error(vmx_invept(INVEPT_SINGLE, (struct invalidate){eptp | caps.physical, 0}),
                 VMX_ERROR_INVEPT_INVVPID_OPERAND, "beyond the address width");
    if (caps.ept_vpid & EPT_CAP_INVEPT_SINGLE)
        expect_end(vmx_invept(INVEPT_SINGLE, (struct invalidate){eptp, 0}), VM_SUCCEED, "single context");
    if (caps.ept_vpid & EPT_CAP_INVEPT_ALL)
        expect_end(vmx_invept(INVEPT_ALL, (struct invalidate){0, 0}), VM_SUCCEED, "all contexts");
}

/* The register that holds the type counts with all of its bits. */
static void test_invept_type(void)
{
    if (lab_lacks("Bochs 3.0 takes 32 bits of the type, unless there is a REX.W"))
        return;
    l2_new(NULL);
    if (!l2_has_ept() || !(caps.ept_vpid & EPT_CAP_INVEPT))
        test_skip("no EPT");
    else
        expect_error(vmx_invept(BIT(32) | INVEPT_ALL, (struct invalidate){0, 0}),
                     VMX_ERROR_INVEPT_INVVPID_OPERAND, "type of 33 bits");
}

static void test_invvpid(void)
{
    static const struct {
        const char *what;
        u64 type;
        struct invalidate descriptor;
        u64 capability; /* 0: always an error */
    } cases[] = {
        {"type 4", 4, {1, 0}, 0},
        {"reserved bits", 1, {BIT(16) | 1, 0}, 0},
        {"address of VPID 0", 0, {0, 0}, 0},
        {"single context, VPID 0", 1, {0, 0}, 0},
        {"single context but globals, VPID 0", 3, {0, 0}, 0},
        {"address not canonical", 0, {1, NON_CANONICAL}, 0},
        {"address", 0, {1, 0x1000}, VPID_CAP_INVVPID_ADDRESS},
        {"single context", 1, {1, 0}, VPID_CAP_INVVPID_SINGLE},
        {"all contexts", 2, {0, 0}, VPID_CAP_INVVPID_ALL},
        {"single context but globals", 3, {1, 0}, VPID_CAP_INVVPID_KEEP_GLOBAL},
    };

    l2_new(NULL);
    if (!(caps.ept_vpid & VPID_CAP_INVVPID)) {
        test_skip("no INVVPID");
        return;
    }
    for (u32 i = 0; i < ARRAY_SIZE(cases); i++) {
        enum vm_end end = vmx_invvpid(cases[i].type, cases[i].descriptor);

        if (caps.ept_vpid & cases[i].capability)
            expect_end(end, VM_SUCCEED, cases[i].what);
        else
            expect_error(end, VMX_ERROR_INVEPT_INVVPID_OPERAND, cases[i].what);
    }
}

const struct test instruction_tests[] = {
    {"insn-vmx-off", test_off},
    {"insn-vmxon", test_vmxon},
    {"insn-vmclear", test_vmclear},
    {"insn-vmptrld", test_vmptrld},
    {"insn-vmptrld-switch", test_vmptrld_switch},
    {"insn-vmread", test_vmread},
    {"insn-vmwrite-widths", test_vmwrite_widths},
    {"insn-vmwrite-all", test_vmwrite_all},
    {"insn-operands", test_operands},
    {"insn-launch", test_launch},
    {"insn-vmcall-in-root", test_vmcall_in_root},
    {"insn-invept", test_invept},
    {"insn-invept-type", test_invept_type},
    {"insn-invvpid", test_invvpid},
    {NULL, NULL},
};
