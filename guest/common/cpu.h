/* SPDX-License-Identifier: MIT */
/* Privileged instructions and bits that the guests use, beside those of arch/x86/asm.h. */
#ifndef GUEST_CPU_H
#define GUEST_CPU_H

#include "arch/x86/asm.h"

#define MSR_APIC_BASE    0x1b
#define MSR_TSC_ADJUST   0x3b
#define MSR_TSC_DEADLINE 0x6e0
#define MSR_EFER         0xc0000080u
#define MSR_FS_BASE      0xc0000100u
#define MSR_GS_BASE      0xc0000101u
#define EFER_SCE         BIT(0)
#define EFER_LME         BIT(8)
#define EFER_LMA         BIT(10)
#define EFER_NXE         BIT(11)
#define CR0_PE           BIT(0)
#define CR0_MP           BIT(1)
#define CR0_EM           BIT(2)
#define CR0_TS           BIT(3)
#define CR0_NE           BIT(5)
#define CR0_WP           BIT(16)
#define CR0_CD           BIT(30)
#define CR0_NW           BIT(29)
#define CR0_PG           BIT(31)
#define CR4_TSD          BIT(2)
#define CR4_DE           BIT(3)
#define CR4_PSE          BIT(4)
#define CR4_PAE          BIT(5)
#define CR4_PGE          BIT(7)
#define CR4_VMXE         BIT(13)
#define CR4_PCIDE        BIT(17)
#define CR4_OSXSAVE      BIT(18)
#define RFLAGS_TF        BIT(8)
#define RFLAGS_IF        BIT(9)

static inline u64 read_cr8(void)
{
    u64 v;

    asm volatile("mov %%cr8, %0" : "=r"(v)::"memory");
    return v;
}

static inline void write_cr8(u64 v)
{
    asm volatile("mov %0, %%cr8" ::"r"(v) : "memory");
}

static inline u64 read_rflags(void)
{
    u64 v;

    asm volatile("pushfq; popq %0" : "=r"(v)::"memory");
    return v;
}

static inline void irq_enable(void)
{
    asm volatile("sti" ::: "memory");
}

#define MMIO(type, address) (*(volatile type *)(uintptr_t)(address))

#endif
