/* SPDX-License-Identifier: MIT */
#include "guest/common/paging.h"
#include "guest/common/segments.h"
#include "guest/l1/l1.h"
#include "lib/string.h"

#define CPUID_VMX      BIT(5) /* of leaf 1, ECX */
#define AR_CODE64      0xa09b
#define AR_DATA        0xc093
#define AR_TSS_BUSY    0x8b
#define GDT_LIMIT      0xffff
#define TSS_LIMIT      (sizeof(struct tss64) - 1)
#define DR7_INIT       0x400
#define CONTROL_OFFSET 32 /* of the allowed-1 settings */

struct l1_caps caps;
struct l2 l2;
u8 vmxon_region[4096] __aligned(4096), vmcs_region[2][4096] __aligned(4096);

extern u8 l2_vectors[256][16];
extern u64 gdt[];
static u8 bitmaps[3][4096] __aligned(4096);
static u8 stack[4096] __aligned(16);
static bool on;

struct idt_gate {
    u16 offset0, selector, type, offset1;
    u32 offset2, reserved;
};
static struct idt_gate l2_idt[256] __aligned(16);

static void read_caps(void)
{
    static const u32 msrs[VMX_NR_WORDS] = {
        [VMX_WORD_PIN] = MSR_IA32_VMX_PINBASED_CTLS,
        [VMX_WORD_PROC] = MSR_IA32_VMX_PROCBASED_CTLS,
        [VMX_WORD_EXIT] = MSR_IA32_VMX_EXIT_CTLS,
        [VMX_WORD_ENTRY] = MSR_IA32_VMX_ENTRY_CTLS,
    };
    u32 width = cpuid(0x80000008, 0).eax & 0xff;

    caps.basic = rdmsr(MSR_IA32_VMX_BASIC);
    caps.misc = rdmsr(MSR_IA32_VMX_MISC);
    caps.physical = BIT(width);
    for (u32 w = 0; w < VMX_NR_WORDS; w++) {
        bool precise = caps.basic & VMX_BASIC_TRUE_CONTROLS;
        u64 value;

        if (!msrs[w])
            continue;
        /* The TRUE MSRs lie in the same order, 0CH above. */
        value =
            rdmsr(precise ? msrs[w] + MSR_IA32_VMX_TRUE_PINBASED_CTLS - MSR_IA32_VMX_PINBASED_CTLS : msrs[w]);
        caps.must[w] = (u32)value;
        caps.may[w] = (u32)(value >> CONTROL_OFFSET);
    }
    if (caps.may[VMX_WORD_PROC] & PROC_ACTIVATE_SECONDARY)
        caps.may[VMX_WORD_PROC2] = (u32)(rdmsr(MSR_IA32_VMX_PROCBASED_CTLS2) >> CONTROL_OFFSET);
    if (caps.may[VMX_WORD_PROC] & PROC_ACTIVATE_TERTIARY)
        caps.may[VMX_WORD_PROC3] = (u32)rdmsr(MSR_IA32_VMX_PROCBASED_CTLS3);
    if (caps.may[VMX_WORD_PROC2] & (PROC2_ENABLE_EPT | PROC2_ENABLE_VPID))
        caps.ept_vpid = rdmsr(MSR_IA32_VMX_EPT_VPID_CAP);
}

void l2_set_entry(u32 vector, const void *code)
{
    u64 entry = (u64)code;

    l2_idt[vector] =
        (struct idt_gate){(u16)entry, SEL_CODE64, 0x8e00, (u16)(entry >> 16), (u32)(entry >> 32), 0};
}

bool vmx_available(const char **why)
{
    u64 control;

    *why = "CPUID shows no VMX";
    if (!(cpuid(1, 0).ecx & CPUID_VMX))
        return false;
    control = rdmsr(MSR_IA32_FEATURE_CONTROL);
    if (!(control & FEATURE_CONTROL_LOCKED))
        wrmsr(MSR_IA32_FEATURE_CONTROL, control | FEATURE_CONTROL_LOCKED | FEATURE_CONTROL_VMX_OUTSIDE_SMX);
    *why = "IA32_FEATURE_CONTROL forbids VMX";
    if (!(rdmsr(MSR_IA32_FEATURE_CONTROL) & FEATURE_CONTROL_VMX_OUTSIDE_SMX))
        return false;
    read_caps();
    for (u32 v = 0; v < 256; v++)
        l2_set_entry(v, l2_vectors[v]);
    return true;
}

static void set_revision(u8 *region)
{
    u32 revision = VMX_BASIC_REVISION(caps.basic);

    memcpy(region, &revision, sizeof(revision));
}

void vmx_start(void)
{
    if (on)
        return;
    write_cr4(read_cr4() | CR4_VMXE);
    set_revision(vmxon_region);
    expect(vmx_on((u64)vmxon_region) == VM_SUCCEED, "VMXON fails");
    on = true;
}

void vmx_stop(void)
{
    if (on)
        vmx_off();
    on = false;
}

bool vmx_can(enum vmx_word word, u64 controls)
{
    return (caps.may[word] & controls) == controls;
}

static u64 field_of(enum vmx_word word)
{
    static const u64 fields[VMX_NR_WORDS] = {
        [VMX_WORD_PIN] = PIN_BASED_CONTROLS,     [VMX_WORD_PROC] = PRIMARY_CONTROLS,
        [VMX_WORD_PROC2] = SECONDARY_CONTROLS,   [VMX_WORD_PROC3] = TERTIARY_CONTROLS,
        [VMX_WORD_EXIT] = PRIMARY_EXIT_CONTROLS, [VMX_WORD_ENTRY] = ENTRY_CONTROLS,
    };

    return fields[word];
}

bool need(enum vmx_word word, u64 controls)
{
    if (!vmx_can(word, controls)) {
        test_skip("the CPU has not got the controls");
        return false;
    }
    vmset(field_of(word), controls);
    return true;
}

/* As they are if the CPU has them: in a first VMCS only what L2 cannot do without. */
static void set_controls(void)
{
    u32 secondary = vmx_can(VMX_WORD_PROC, PROC_ACTIVATE_SECONDARY) ? PROC_ACTIVATE_SECONDARY : 0;

    vmwrite(PIN_BASED_CONTROLS, caps.must[VMX_WORD_PIN]);
    vmwrite(PRIMARY_CONTROLS,
            caps.must[VMX_WORD_PROC] | secondary | PROC_USE_MSR_BITMAPS | PROC_USE_IO_BITMAPS);
    vmwrite(PRIMARY_EXIT_CONTROLS, caps.must[VMX_WORD_EXIT] | EXITCTL_HOST_ADDRESS_SPACE_SIZE);
    vmwrite(ENTRY_CONTROLS, caps.must[VMX_WORD_ENTRY] | ENTRYCTL_IA32E_MODE_GUEST);
    vmwrite(IO_BITMAP_A, (u64)bitmaps[0]);
    vmwrite(IO_BITMAP_B, (u64)bitmaps[1]);
    vmwrite(MSR_BITMAPS, (u64)bitmaps[2]);
    memset(bitmaps, 0, sizeof(bitmaps));
    if (l2_has_ept()) {
        vmwrite(SECONDARY_CONTROLS, PROC2_ENABLE_EPT);
        vmwrite(EPT_POINTER, ept_build());
    }
}

/* What both worlds begin with: fields of the host, and of the guest beside them. */
static void set_common(void)
{
    const struct {
        u64 host, guest, value;
    } same[] = {
        {HOST_CR0, GUEST_CR0, read_cr0()},
        {HOST_CR3, GUEST_CR3, read_cr3()},
        {HOST_CR4, GUEST_CR4, read_cr4()},
        {HOST_CS_SELECTOR, GUEST_CS_SELECTOR, SEL_CODE64},
        {HOST_SS_SELECTOR, GUEST_SS_SELECTOR, SEL_DATA},
        {HOST_DS_SELECTOR, GUEST_DS_SELECTOR, SEL_DATA},
        {HOST_ES_SELECTOR, GUEST_ES_SELECTOR, SEL_DATA},
        {HOST_TR_SELECTOR, GUEST_TR_SELECTOR, SEL_TSS},
        {HOST_TR_BASE, GUEST_TR_BASE, (u64)trap_tss(0)},
        {HOST_GDTR_BASE, GUEST_GDTR_BASE, (u64)gdt},
    };

    for (u32 i = 0; i < ARRAY_SIZE(same); i++) {
        vmwrite(same[i].host, same[i].value);
        vmwrite(same[i].guest, same[i].value);
    }
}

static void set_rest(void)
{
    struct __packed {
        u16 limit;
        u64 base;
    } idtr;
    static const struct {
        u64 field, value;
    } fixed[] = {
        {VMCS_LINK_POINTER, ~0ull},
        {GUEST_CS_LIMIT, ~0u},
        {GUEST_SS_LIMIT, ~0u},
        {GUEST_DS_LIMIT, ~0u},
        {GUEST_ES_LIMIT, ~0u},
        {GUEST_CS_ACCESS_RIGHTS, AR_CODE64},
        {GUEST_SS_ACCESS_RIGHTS, AR_DATA},
        {GUEST_DS_ACCESS_RIGHTS, AR_DATA},
        {GUEST_ES_ACCESS_RIGHTS, AR_DATA},
        {GUEST_FS_ACCESS_RIGHTS, SEG_AR_UNUSABLE},
        {GUEST_GS_ACCESS_RIGHTS, SEG_AR_UNUSABLE},
        {GUEST_LDTR_ACCESS_RIGHTS, SEG_AR_UNUSABLE},
        {GUEST_TR_ACCESS_RIGHTS, AR_TSS_BUSY},
        {GUEST_TR_LIMIT, TSS_LIMIT},
        {GUEST_GDTR_LIMIT, GDT_LIMIT},
        {GUEST_IDTR_BASE, (u64)l2_idt},
        {GUEST_IDTR_LIMIT, sizeof(l2_idt) - 1},
        {GUEST_DR7, DR7_INIT},
        {GUEST_RFLAGS, 2},
        {GUEST_RSP, (u64)stack + sizeof(stack)},
        {HOST_RIP, (u64)vmx_exit_entry},
    };

    asm volatile("sidt %0" : "=m"(idtr));
    vmwrite(HOST_IDTR_BASE, idtr.base);
    for (u32 i = 0; i < ARRAY_SIZE(fixed); i++)
        vmwrite(fixed[i].field, fixed[i].value);
}

/* Every field that exists is 0 at first: a region that was cleared may hold anything. */
static void clear_fields(void)
{
    static const u32 fields[] = {
#define VMCS_FIELD(name, encoding, exists) encoding,
#include "arch/x86/vmcs_fields.def"
#undef VMCS_FIELD
    };
    static bool asked, missing[ARRAY_SIZE(fields)];

    for (u32 i = 0; i < ARRAY_SIZE(fields); i++) {
        if (!asked)
            missing[i] = vmx_read(fields[i], &(u64){0}) != VM_SUCCEED;
        if (VMCS_ENC_TYPE(fields[i]) != 1 && !missing[i])
            vmwrite(fields[i], 0);
    }
    asked = true;
}

void l2_new(const void *code)
{
    vmx_start();
    set_revision(vmcs_region[0]);
    vmx_clear((u64)vmcs_region[0]);
    expect(vmx_load((u64)vmcs_region[0]) == VM_SUCCEED, "VMPTRLD fails");
    memset(&l2, 0, sizeof(l2));
    clear_fields();
    set_controls();
    set_common();
    set_rest();
    vmwrite(GUEST_RIP, (u64)code);
}

u32 l2_run(void)
{
    enum vm_end end = vmx_enter(l2.gpr, l2.launched);
    u32 reason;

    if (end == VM_FAIL_INVALID)
        return NO_ENTRY_EMPTY;
    if (end == VM_FAIL_VALID)
        return NO_ENTRY | (u32)vmread(VM_INSTRUCTION_ERROR);
    reason = (u32)vmread(EXIT_REASON);
    if (!(reason & ENTRY_FAILURE))
        l2.launched = true;
    return reason;
}

void l2_skip(void)
{
    vmwrite(GUEST_RIP, vmread(GUEST_RIP) + vmread(EXIT_INSTRUCTION_LENGTH));
    vmunset(GUEST_INTERRUPTIBILITY_STATE, INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS);
}

void l2_expect(u32 reason, const char *what)
{
    u32 got = l2_run();

    expect(got == reason, "%s: exit 0x%x, not 0x%x, qualification 0x%llx, vector %d, RIP 0x%llx", what, got,
           reason, (ull)vmread(EXIT_QUALIFICATION), l2_vector(), (ull)vmread(GUEST_RIP));
}

void l2_expect_and_skip(u32 reason, const char *what)
{
    l2_expect(reason, what);
    l2_skip();
}

bool l2_has_ept(void)
{
    return vmx_can(VMX_WORD_PROC, PROC_ACTIVATE_SECONDARY) && vmx_can(VMX_WORD_PROC2, PROC2_ENABLE_EPT) &&
           !option_is("ept", "off");
}

int l2_vector(void)
{
    u64 at = vmread(GUEST_RIP) - (u64)l2_vectors;

    return at < sizeof(l2_vectors[0]) * 256 ? (int)(at / sizeof(l2_vectors[0])) : -1;
}

void l2_expect_vector(int vector, const char *what)
{
    l2_expect(EXIT_REASON_VMCALL, what);
    expect(l2_vector() == vector, "%s: L2's vector %d, not %d (-1: none)", what, l2_vector(), vector);
}
