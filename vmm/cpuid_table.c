/* SPDX-License-Identifier: MIT */
/* SDM 325383 (volume 2), 'CPUID-CPU Identification'; SDM 325384 (volume 3), 'Control Registers'. */
#include "vmm/cpuid_table.h"
#include "arch/x86/regs.h"
#include "arch/x86/vmx_caps.h"
#include "lib/packed.h"

_Static_assert(CPUID_NR_FEATURES <= 256, "struct cpuid_need holds a feature in 8 bits");

const struct cpuid_feature_row cpuid_features[CPUID_NR_FEATURES] = {
#define CPUID_FEATURE(name, leaf, subleaf, reg, bit, policy) \
    {leaf, subleaf, CPUID_##reg, bit, CPUID_##policy},
#include "vmm/cpuid_features.def"
#undef CPUID_FEATURE
};

const struct cpuid_value_row cpuid_values[] = {
    {0, CPUID_EBX, ~0u}, /* vendor */
    {0, CPUID_ECX, ~0u},
    {0, CPUID_EDX, ~0u},
    {1, CPUID_EAX, 0x0fff3fff}, /* family, model, stepping */
    {1, CPUID_EBX, 0x0000ffff}, /* brand index, CLFLUSH line size */
    {2, CPUID_EAX, ~0u},        /* cache and TLB descriptors */
    {2, CPUID_EBX, ~0u},
    {2, CPUID_ECX, ~0u},
    {2, CPUID_EDX, ~0u},
    {0x80000002, CPUID_EAX, ~0u}, /* brand string */
    {0x80000002, CPUID_EBX, ~0u},
    {0x80000002, CPUID_ECX, ~0u},
    {0x80000002, CPUID_EDX, ~0u},
    {0x80000003, CPUID_EAX, ~0u},
    {0x80000003, CPUID_EBX, ~0u},
    {0x80000003, CPUID_ECX, ~0u},
    {0x80000003, CPUID_EDX, ~0u},
    {0x80000004, CPUID_EAX, ~0u},
    {0x80000004, CPUID_EBX, ~0u},
    {0x80000004, CPUID_ECX, ~0u},
    {0x80000004, CPUID_EDX, ~0u},
    {0x80000006, CPUID_ECX, 0xfffff0ff}, /* L2 cache */
    {0x80000008, CPUID_EAX, 0x0000ffff}, /* address widths */
};
const u32 cpuid_nr_values = ARRAY_SIZE(cpuid_values);

const struct cpuid_need cpuid_needs[] = {
    {CF_MMX, CF_FPU},
    {CF_FXSR, CF_FPU},
    {CF_SSE, CF_FXSR},
    {CF_SSE2, CF_SSE},
    {CF_SSE3, CF_SSE2},
    {CF_SSSE3, CF_SSE3},
    {CF_SSE4_1, CF_SSSE3},
    {CF_SSE4_2, CF_SSE4_1},
    {CF_AESNI, CF_SSE2},
    {CF_PCLMULQDQ, CF_SSE2},
    {CF_SHA, CF_SSE2},
    {CF_GFNI, CF_SSE2},
    {CF_XSAVE, CF_FXSR},
    {CF_OSXSAVE, CF_XSAVE},
    {CF_XSAVEOPT, CF_XSAVE},
    {CF_XSAVEC, CF_XSAVE},
    {CF_XGETBV_ECX1, CF_XSAVE},
    {CF_XSAVES, CF_XSAVEC},
    {CF_PKU, CF_XSAVE},
    {CF_OSPKE, CF_PKU},
    {CF_AVX, CF_XSAVE},
    {CF_AVX, CF_SSE2},
    {CF_F16C, CF_AVX},
    {CF_FMA, CF_AVX},
    {CF_AVX2, CF_AVX},
    {CF_VAES, CF_AVX},
    {CF_VAES, CF_AESNI},
    {CF_VPCLMULQDQ, CF_AVX},
    {CF_VPCLMULQDQ, CF_PCLMULQDQ},
    {CF_SM3, CF_AVX},
    {CF_SM4, CF_AVX},
    {CF_SHA512, CF_AVX2},
    {CF_AVX_VNNI, CF_AVX2},
    {CF_AVX_IFMA, CF_AVX2},
    {CF_AVX_VNNI_INT8, CF_AVX2},
    {CF_AVX_VNNI_INT16, CF_AVX2},
    {CF_AVX_NE_CONVERT, CF_AVX2},
    {CF_AVX512F, CF_AVX2},
    {CF_AVX512DQ, CF_AVX512F},
    {CF_AVX512_IFMA, CF_AVX512F},
    {CF_AVX512PF, CF_AVX512F},
    {CF_AVX512ER, CF_AVX512F},
    {CF_AVX512CD, CF_AVX512F},
    {CF_AVX512BW, CF_AVX512F},
    {CF_AVX512VL, CF_AVX512F},
    {CF_AVX512_VBMI, CF_AVX512BW},
    {CF_AVX512_VBMI2, CF_AVX512BW},
    {CF_AVX512_BITALG, CF_AVX512BW},
    {CF_AVX512_BF16, CF_AVX512BW},
    {CF_AVX512_FP16, CF_AVX512BW},
    {CF_AVX512_VNNI, CF_AVX512F},
    {CF_AVX512_VPOPCNTDQ, CF_AVX512F},
    {CF_AVX512_4VNNIW, CF_AVX512F},
    {CF_AVX512_4FMAPS, CF_AVX512F},
    {CF_AVX512_VP2INTERSECT, CF_AVX512F},
    {CF_CMPXCHG16B, CF_CX8},
    {CF_CLFLUSHOPT, CF_CLFSH},
    {CF_PSFD, CF_SSBD},
    {CF_IPRED_CTRL, CF_IBRS_IBPB},
    {CF_RRSBA_CTRL, CF_IBRS_IBPB},
    {CF_BHI_CTRL, CF_IBRS_IBPB},
    {CF_DDPD_U, CF_IBRS_IBPB},
    {CF_PSE36, CF_PSE},
    {CF_NX, CF_PAE},
    {CF_LM, CF_PAE},
    {CF_PDPE1GB, CF_LM},
    {CF_PCID, CF_LM},
    {CF_FSGSBASE, CF_LM},
    {CF_INVPCID, CF_PCID},
    {CF_MCA, CF_MCE},
    {CF_X2APIC, CF_APIC},
    {CF_ARAT, CF_APIC},
    {CF_TSC_DEADLINE, CF_APIC},
    {CF_TSC_DEADLINE, CF_TSC},
    {CF_TSC_ADJUST, CF_TSC},
    {CF_RDTSCP, CF_TSC},
    {CF_INVARIANT_TSC, CF_TSC},
    {CF_WAITPKG, CF_TSC},
    {CF_KVM, CF_HYPERVISOR},
    {CF_KVM_CLOCK_OLD, CF_KVM_CLOCK},
    {CF_KVM_NOP_IO_DELAY, CF_KVM},
    {CF_KVM_CLOCK, CF_KVM},
    {CF_KVM_STEAL_TIME, CF_KVM},
    {CF_KVM_PV_EOI, CF_KVM},
    {CF_KVM_PV_UNHALT, CF_KVM},
    {CF_KVM_PV_TLB_FLUSH, CF_KVM_STEAL_TIME},
    {CF_KVM_PV_SEND_IPI, CF_KVM},
    {CF_KVM_PV_SCHED_YIELD, CF_KVM},
    {CF_KVM_MSI_EXT_DEST_ID, CF_KVM},
    {CF_KVM_CLOCK_STABLE, CF_KVM_CLOCK},
    {CF_PV_CALLS, CF_HYPERVISOR},
    {CF_PV_QUEUE, CF_PV_CALLS},
    {CF_PV_CLOCK, CF_PV_QUEUE},
    {CF_PV_MEMORY, CF_PV_CALLS},
    {CF_PV_CHANNEL, CF_PV_CALLS},
    {CF_PV_POLL, CF_PV_QUEUE},
    {CF_PV_NESTED, CF_PV_CALLS},
    {CF_PV_NESTED, CF_VMX},
};
const u32 cpuid_nr_needs = ARRAY_SIZE(cpuid_needs);

/* SDM 326019, 'Changes to Instruction Behavior in VMX Non-Root Operation': #UD without their controls. */
const struct cpuid_need cpuid_vmx_needs[] = {
    {CF_RDTSCP, VF_RDTSCP}, {CF_RDPID, VF_RDTSCP},      {CF_INVPCID, VF_INVPCID},
    {CF_XSAVES, VF_XSAVES}, {CF_WAITPKG, VF_USER_WAIT},
};
const u32 cpuid_nr_vmx_needs = ARRAY_SIZE(cpuid_vmx_needs);

#define XCR0_X87    BIT(0)
#define XCR0_SSE    BIT(1)
#define XCR0_AVX    BIT(2)
#define XCR0_AVX512 BITS(7, 5)
#define XCR0_PKRU   BIT(9)

const struct cpuid_effect cpuid_effects[] = {
    {CF_VME, .cr4 = CR4_VME | CR4_PVI},
    {CF_TSC, .cr4 = CR4_TSD},
    {CF_DE, .cr4 = CR4_DE},
    {CF_PSE, .cr4 = CR4_PSE},
    {CF_PAE, .cr4 = CR4_PAE},
    {CF_MCE, .cr4 = CR4_MCE},
    {CF_PGE, .cr4 = CR4_PGE},
    {CF_FXSR, .cr4 = CR4_OSFXSR},
    {CF_SSE, .cr4 = CR4_OSXMMEXCPT},
    {CF_UMIP, .cr4 = CR4_UMIP},
    {CF_LA57, .cr4 = CR4_LA57},
    {CF_VMX, .cr4 = CR4_VMXE},
    {CF_SMX, .cr4 = CR4_SMXE},
    {CF_FSGSBASE, .cr4 = CR4_FSGSBASE},
    {CF_PCID, .cr4 = CR4_PCIDE},
    {CF_SMEP, .cr4 = CR4_SMEP},
    {CF_SMAP, .cr4 = CR4_SMAP},
    {CF_CET_SS, .cr4 = CR4_CET},
    {CF_CET_IBT, .cr4 = CR4_CET},
    {CF_PKS, .cr4 = CR4_PKS},
    {CF_XSAVE, .cr4 = CR4_OSXSAVE, .xcr0 = XCR0_X87 | XCR0_SSE},
    {CF_AVX, .xcr0 = XCR0_AVX},
    {CF_AVX512F, .xcr0 = XCR0_AVX512},
    {CF_PKU, .cr4 = CR4_PKE, .xcr0 = XCR0_PKRU},
    {CF_SYSCALL, .efer = EFER_SCE},
    {CF_LM, .efer = EFER_LME | EFER_LMA},
    {CF_NX, .efer = EFER_NXE},
    {CF_IBRS_IBPB, .spec_ctrl = BIT(0)},
    {CF_STIBP, .spec_ctrl = BIT(1)},
    {CF_SSBD, .spec_ctrl = BIT(2)},
    {CF_IPRED_CTRL, .spec_ctrl = BITS(4, 3)},
    {CF_RRSBA_CTRL, .spec_ctrl = BITS(6, 5)},
    {CF_PSFD, .spec_ctrl = BIT(7)},
    {CF_DDPD_U, .spec_ctrl = BIT(8)},
    {CF_BHI_CTRL, .spec_ctrl = BIT(10)},
};
const u32 cpuid_nr_effects = ARRAY_SIZE(cpuid_effects);

#define CPUID_FEATURE(name, leaf, subleaf, reg, bit, policy) #name "\0"
const char cpuid_feature_names[] = PACK
#include "vmm/cpuid_features.def"
    ;
#undef CPUID_FEATURE

#define VMX_NAME(name) #name "\0"
const char cpuid_vmx_names[] = PACK
#include "vmm/vmx_names.def"
    ;
#undef VMX_NAME
