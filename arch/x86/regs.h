/* SPDX-License-Identifier: MIT */
/* Architectural registers, bits and numbers by their SDM names. Also included by assembly. */
#ifndef ARCH_X86_REGS_H
#define ARCH_X86_REGS_H

#define CR0_PE 0x1
#define CR0_MP 0x2
#define CR0_EM 0x4
#define CR0_TS 0x8
#define CR0_ET 0x10
#define CR0_NE 0x20
#define CR0_WP 0x10000
#define CR0_AM 0x40000
#define CR0_NW 0x20000000
#define CR0_CD 0x40000000
#define CR0_PG 0x80000000

#define CR4_VME        0x1
#define CR4_PVI        0x2
#define CR4_TSD        0x4
#define CR4_DE         0x8
#define CR4_PSE        0x10
#define CR4_PAE        0x20
#define CR4_MCE        0x40
#define CR4_PGE        0x80
#define CR4_PCE        0x100
#define CR4_OSFXSR     0x200
#define CR4_OSXMMEXCPT 0x400
#define CR4_UMIP       0x800
#define CR4_LA57       0x1000
#define CR4_VMXE       0x2000
#define CR4_SMXE       0x4000
#define CR4_FSGSBASE   0x10000
#define CR4_PCIDE      0x20000
#define CR4_OSXSAVE    0x40000
#define CR4_SMEP       0x100000
#define CR4_SMAP       0x200000
#define CR4_PKE        0x400000
#define CR4_CET        0x800000
#define CR4_PKS        0x1000000

#define EFER_SCE 0x1
#define EFER_LME 0x100
#define EFER_LMA 0x400
#define EFER_NXE 0x800

#define RFLAGS_CF    0x1
#define RFLAGS_FIXED 0x2
#define RFLAGS_PF    0x4
#define RFLAGS_AF    0x10
#define RFLAGS_ZF    0x40
#define RFLAGS_SF    0x80
#define RFLAGS_TF    0x100
#define RFLAGS_IF    0x200
#define RFLAGS_DF    0x400
#define RFLAGS_OF    0x800
#define RFLAGS_NT    0x4000
#define RFLAGS_RF    0x10000
#define RFLAGS_VM    0x20000
#define RFLAGS_AC    0x40000

#define DR6_INIT 0xffff0ff0
#define DR7_INIT 0x400

#define MSR_IA32_TSC               0x10
#define MSR_IA32_APIC_BASE         0x1b
#define MSR_IA32_FEATURE_CONTROL   0x3a
#define MSR_IA32_TSC_ADJUST        0x3b
#define MSR_IA32_SPEC_CTRL         0x48
#define MSR_IA32_PRED_CMD          0x49
#define MSR_IA32_BIOS_SIGN_ID      0x8b
#define MSR_IA32_SMM_MONITOR_CTL   0x9b
#define MSR_IA32_SMBASE            0x9e
#define MSR_IA32_UMWAIT_CONTROL    0xe1
#define MSR_IA32_MTRRCAP           0xfe
#define MSR_IA32_ARCH_CAPABILITIES 0x10a
#define MSR_IA32_FLUSH_CMD         0x10b
#define MSR_IA32_SYSENTER_CS       0x174
#define MSR_IA32_SYSENTER_ESP      0x175
#define MSR_IA32_SYSENTER_EIP      0x176
#define MSR_IA32_MCG_CAP           0x179
#define MSR_IA32_MCG_STATUS        0x17a
#define MSR_IA32_MISC_ENABLE       0x1a0
#define MSR_IA32_DEBUGCTL          0x1d9
#define MSR_IA32_MTRR_PHYSBASE0    0x200
#define MSR_IA32_MTRR_FIX64K       0x250
#define MSR_IA32_PAT               0x277
#define MSR_IA32_MTRR_DEF_TYPE     0x2ff
#define MSR_IA32_TSC_DEADLINE      0x6e0
#define MSR_IA32_X2APIC_FIRST      0x800
#define MSR_IA32_X2APIC_TPR        0x808
#define MSR_IA32_X2APIC_EOI        0x80b
#define MSR_IA32_X2APIC_ICR        0x830
#define MSR_IA32_X2APIC_SELF_IPI   0x83f
#define MSR_IA32_X2APIC_LAST       0x8ff
#define MSR_IA32_XSS               0xda0
#define MSR_IA32_EFER              0xc0000080
#define MSR_IA32_STAR              0xc0000081
#define MSR_IA32_LSTAR             0xc0000082
#define MSR_IA32_CSTAR             0xc0000083
#define MSR_IA32_FMASK             0xc0000084
#define MSR_IA32_FS_BASE           0xc0000100
#define MSR_IA32_GS_BASE           0xc0000101
#define MSR_IA32_KERNEL_GS_BASE    0xc0000102
#define MSR_IA32_TSC_AUX           0xc0000103

#define VEC_DE  0
#define VEC_DB  1
#define VEC_NMI 2
#define VEC_BP  3
#define VEC_UD  6
#define VEC_NM  7
#define VEC_DF  8
#define VEC_TS  10
#define VEC_NP  11
#define VEC_SS  12
#define VEC_GP  13
#define VEC_PF  14
#define VEC_MF  16
#define VEC_AC  17
#define VEC_MC  18

/* Paging-structure entries (SDM, 'Paging'). */
#define PTE_P   0x1
#define PTE_W   0x2
#define PTE_U   0x4
#define PTE_PWT 0x8
#define PTE_PCD 0x10
#define PTE_A   0x20
#define PTE_D   0x40
#define PTE_PS  0x80
#define PTE_G   0x100

/* Nidus's own segment selectors, the same on every CPU. */
#define SEL_CODE 0x08
#define SEL_DATA 0x10
#define SEL_TSS  0x18

#ifndef __ASSEMBLER__
#include "lib/types.h"
#define PTE_NX   BIT(63)
#define PTE_ADDR 0x000ffffffffff000ull

#define CR3_NO_FLUSH BIT(63)

/* linear_bits: 48 or 57. */
static inline bool is_canonical(u64 address, u32 linear_bits)
{
    u64 top = (u64)((s64)address >> (linear_bits - 1));

    return top == 0 || top == ~0ull;
}
#endif

#endif
