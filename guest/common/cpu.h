/* SPDX-License-Identifier: MIT */
/* One function for each privileged instruction that the guests use. */
#ifndef GUEST_CPU_H
#define GUEST_CPU_H

#include "lib/types.h"

#define MSR_APIC_BASE  0x1b
#define MSR_TSC_ADJUST 0x3b
#define MSR_EFER       0xc0000080u
#define MSR_FS_BASE    0xc0000100u
#define MSR_GS_BASE    0xc0000101u
#define EFER_SCE       BIT(0)
#define EFER_LME       BIT(8)
#define EFER_LMA       BIT(10)
#define EFER_NXE       BIT(11)
#define CR0_PE         BIT(0)
#define CR0_MP         BIT(1)
#define CR0_EM         BIT(2)
#define CR0_TS         BIT(3)
#define CR0_WP         BIT(16)
#define CR0_CD         BIT(30)
#define CR0_NW         BIT(29)
#define CR0_PG         BIT(31)
#define CR4_TSD        BIT(2)
#define CR4_DE         BIT(3)
#define CR4_PSE        BIT(4)
#define CR4_PAE        BIT(5)
#define CR4_PGE        BIT(7)
#define CR4_VMXE       BIT(13)
#define CR4_PCIDE      BIT(17)
#define CR4_OSXSAVE    BIT(18)
#define RFLAGS_TF      BIT(8)
#define RFLAGS_IF      BIT(9)

struct cpuid_regs {
    u32 eax, ebx, ecx, edx;
};

static inline struct cpuid_regs cpuid(u32 leaf, u32 subleaf)
{
    struct cpuid_regs r;

    asm volatile("cpuid" : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx) : "a"(leaf), "c"(subleaf));
    return r;
}

static inline u64 rdmsr(u32 msr)
{
    u32 lo, hi;

    asm volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr));
    return (u64)hi << 32 | lo;
}

static inline void wrmsr(u32 msr, u64 value)
{
    asm volatile("wrmsr" ::"a"((u32)value), "d"((u32)(value >> 32)), "c"(msr) : "memory");
}

static inline u64 rdtsc(void)
{
    u32 lo, hi;

    asm volatile("rdtsc" : "=a"(lo), "=d"(hi)::"memory");
    return (u64)hi << 32 | lo;
}

static inline u64 xgetbv(u32 index)
{
    u32 lo, hi;

    asm volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(index));
    return (u64)hi << 32 | lo;
}

static inline void xsetbv(u32 index, u64 value)
{
    asm volatile("xsetbv" ::"a"((u32)value), "d"((u32)(value >> 32)), "c"(index) : "memory");
}

#define DEFINE_PORT_IO(suffix, type)                                            \
    static inline type in##suffix(u16 port)                                     \
    {                                                                           \
        type v;                                                                 \
                                                                                \
        asm volatile("in" #suffix " %1, %0" : "=a"(v) : "Nd"(port) : "memory"); \
        return v;                                                               \
    }                                                                           \
    static inline void out##suffix(u16 port, type v)                            \
    {                                                                           \
        asm volatile("out" #suffix " %0, %1" ::"a"(v), "Nd"(port) : "memory");  \
    }

DEFINE_PORT_IO(b, u8)
DEFINE_PORT_IO(w, u16)
DEFINE_PORT_IO(l, u32)

#define DEFINE_CONTROL_REGISTER(name)                            \
    static inline u64 read_##name(void)                          \
    {                                                            \
        u64 v;                                                   \
                                                                 \
        asm volatile("mov %%" #name ", %0" : "=r"(v)::"memory"); \
        return v;                                                \
    }                                                            \
    static inline void write_##name(u64 v)                       \
    {                                                            \
        asm volatile("mov %0, %%" #name ::"r"(v) : "memory");    \
    }

DEFINE_CONTROL_REGISTER(cr0)
DEFINE_CONTROL_REGISTER(cr2)
DEFINE_CONTROL_REGISTER(cr3)
DEFINE_CONTROL_REGISTER(cr4)
DEFINE_CONTROL_REGISTER(cr8)
DEFINE_CONTROL_REGISTER(dr0)
DEFINE_CONTROL_REGISTER(dr6)
DEFINE_CONTROL_REGISTER(dr7)

static inline void irq_enable(void)
{
    asm volatile("sti" ::: "memory");
}

static inline void irq_disable(void)
{
    asm volatile("cli" ::: "memory");
}

static inline void cpu_halt(void)
{
    asm volatile("hlt" ::: "memory");
}

/* STI holds interrupts back for one instruction, so none is lost before HLT. */
static inline void cpu_wait(void)
{
    asm volatile("sti; hlt; cli" ::: "memory");
}

static inline void cpu_pause(void)
{
    asm volatile("pause" ::: "memory");
}

#define MMIO(type, address) (*(volatile type *)(uintptr_t)(address))

#endif
