/* SPDX-License-Identifier: MIT */
#include "arch/x86/cpu.h"
#include "arch/x86/asm.h"
#include "arch/x86/paging.h"
#include "arch/x86/trap.h"
#include "lib/string.h"

#define MAIN_STACK KiB(16)
#define IST_STACK  KiB(8)

struct cpu *cpus[MAX_CPUS];
u32 nr_cpus;
static struct cpu boot_cpu;

struct descriptor_pointer {
    u16 limit;
    u64 base;
} __packed;

void cpu_load(struct cpu *c)
{
    const u64 tss = (u64)&c->tss;
    struct descriptor_pointer gdtr = {sizeof(c->gdt) - 1, (u64)c->gdt};

    c->self = c;
    c->tss.io_map_base = sizeof(c->tss);
    c->gdt[SEL_CODE / 8] = 0x00af9b000000ffff;
    c->gdt[SEL_DATA / 8] = 0x00cf93000000ffff;
    c->gdt[SEL_TSS / 8] =
        (sizeof(c->tss) - 1) | (tss & 0xffffff) << 16 | 0x89ull << 40 | (tss >> 24 & 0xff) << 56;
    c->gdt[SEL_TSS / 8 + 1] = tss >> 32;
    asm volatile("lgdt %0\n\t"
                 "pushq %1\n\t"
                 "lea 1f(%%rip), %%rax\n\t"
                 "pushq %%rax\n\t"
                 "lretq\n"
                 "1:\tmov %2, %%eax\n\t"
                 "mov %%eax, %%ds\n\t"
                 "mov %%eax, %%es\n\t"
                 "mov %%eax, %%ss\n\t"
                 "xor %%eax, %%eax\n\t"
                 "mov %%eax, %%fs\n\t"
                 "mov %%eax, %%gs\n\t"
                 "lldt %%ax\n\t"
                 "ltr %3"
                 :
                 : "m"(gdtr), "i"(SEL_CODE), "i"(SEL_DATA), "r"((u16)SEL_TSS)
                 : "rax", "memory");
    wrmsr(MSR_IA32_GS_BASE, (u64)c);
    idt_load();
}

void cpu_init_boot(void)
{
    idt_init();
    cpu_load(&boot_cpu);
    cpus[0] = &boot_cpu;
    nr_cpus = 1;
}

int cpu_prepare(struct cpu *c, u32 id, u32 apic_id)
{
    c->id = id;
    c->apic_id = apic_id;
    c->stack_top = stack_alloc(MAIN_STACK);
    c->tss.ist[IST_NMI - 1] = stack_alloc(IST_STACK);
    c->tss.ist[IST_DF - 1] = stack_alloc(IST_STACK);
    c->tss.ist[IST_MC - 1] = stack_alloc(IST_STACK);
    c->tss.rsp[0] = c->stack_top;
    if (!c->stack_top || !c->tss.ist[0] || !c->tss.ist[1] || !c->tss.ist[2])
        return ERR_NOMEM;
    return window_init_cpu(id);
}

void __noreturn cpu_switch_stack(u64 stack_top, void (*fn)(void))
{
    asm volatile("mov %0, %%rsp\n\t"
                 "xor %%ebp, %%ebp\n\t"
                 "call *%1\n\t"
                 "ud2"
                 :
                 : "r"(stack_top), "r"(fn)
                 : "memory");
    __builtin_unreachable();
}
