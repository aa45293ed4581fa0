/* SPDX-License-Identifier: MIT */
/* One physical CPU: its descriptor tables, stacks and place in the machine. */
#ifndef ARCH_X86_CPU_H
#define ARCH_X86_CPU_H

#include "arch/x86/regs.h"
#include "lib/types.h"

#define MAX_CPUS 512

/* SDM, 'Task Management in 64-bit Mode'. */
struct tss {
    u32 reserved0;
    u64 rsp[3];
    u64 reserved1;
    u64 ist[7];
    u64 reserved2;
    u16 reserved3, io_map_base;
} __packed;

enum { IST_NONE, IST_NMI, IST_DF, IST_MC };

struct cpu {
    struct cpu *self; /* at GS:0 */
    u32 id;           /* 0 is the boot CPU, then in the order of their start */
    u32 apic_id;
    u32 online;
    u32 nmi_count, nr_spurious, nr_apic_errors;
    u64 stack_top; /* of the main stack */
    void *vmm;     /* the VMM's own per-CPU state */
    u64 gdt[5];
    struct tss tss;
};

extern struct cpu *cpus[MAX_CPUS];
extern u32 nr_cpus; /* CPUs that are running */

static inline struct cpu *this_cpu(void)
{
    struct cpu *c;
    asm("mov %%gs:0, %0" : "=r"(c));
    return c;
}

/* The boot CPU's struct works before there is memory; others get theirs from the pool. */
void cpu_init_boot(void);
/* Stacks for the CPU and its windows; ERR_NOMEM. */
int cpu_prepare(struct cpu *c, u32 id, u32 apic_id);
/* Loads this CPU's GDT, TSS, IDT and GS base. */
void cpu_load(struct cpu *c);
/* Gives the CPU to fn for ever, on its guarded main stack. */
void __noreturn cpu_switch_stack(u64 stack_top, void (*fn)(void));

#endif
