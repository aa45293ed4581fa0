/* SPDX-License-Identifier: MIT */
/* Task switches: vmm/task_switch.c on the VMCS. */
#include "arch/x86/asm.h"
#include "arch/x86/vmx.h"
#include "vmm/exit.h"
#include "vmm/mmio_host.h"
#include "vmm/task_switch.h"

/* Exit qualification (SDM, 'Exit Qualification for Task Switches'). */
#define QUAL_SELECTOR(q) ((u16)(q))
#define QUAL_SOURCE(q)   ((u32)((q) >> 30) & 3)

#define DR6_BT BIT(15)

static bool is_software(u32 type)
{
    return type == INTR_TYPE_SOFTWARE_INTERRUPT || type == INTR_TYPE_SOFTWARE_EXCEPTION;
}

/* Returns the IDT-vectoring information; 0: it is an instruction's switch. */
static u32 describe(struct task_switch *s)
{
    u64 q = vmread(EXIT_QUALIFICATION);
    u32 info = (u32)vmread(IDT_VECTORING_INFO);

    *s = (struct task_switch){.source = QUAL_SOURCE(q), .selector = QUAL_SELECTOR(q)};
    if (s->source != TASK_GATE || !(info & INTR_INFO_VALID))
        return 0;
    s->external = !is_software(INTR_INFO_TYPE(info));
    s->has_error = info & INTR_INFO_DELIVER_ERROR;
    if (s->has_error)
        s->error_code = (u32)vmread(IDT_VECTORING_ERROR_CODE);
    return info;
}

/* Where the old task goes on: behind an instruction, but at what an interrupt or a fault has met. */
static u32 old_eip(u32 event)
{
    u32 eip = (u32)vmread(GUEST_RIP), type = INTR_INFO_TYPE(event);

    if (!event || is_software(type) || type == INTR_TYPE_PRIVILEGED_SOFTWARE_EXCEPTION)
        eip += (u32)vmread(EXIT_INSTRUCTION_LENGTH);
    return eip;
}

static void load(struct vcpu *v, struct task_cpu *cpu, u32 event)
{
    for (u32 i = 0; i < TASK_GPRS; i++)
        cpu->gpr[i] = (u32)vcpu_get_reg(v, i);
    cpu->eip = old_eip(event);
    cpu->eflags = (u32)vmread(GUEST_RFLAGS);
    cpu->cr0 = vmread(GUEST_CR0);
    cpu->cr3 = vmread(GUEST_CR3);
    cpu->dr7 = vmread(GUEST_DR7);
    for (u32 i = 0; i < NR_ALL_SEGS; i++) {
        cpu->selector[i] = (u16)vmread(GUEST_ES_SELECTOR + 2 * i);
        vcpu_segment(v, i, &cpu->seg[i]);
    }
    cpu->gdt_base = (u32)vmread(GUEST_GDTR_BASE);
    cpu->gdt_limit = (u32)vmread(GUEST_GDTR_LIMIT);
}

static void store_cr3(struct vcpu *v, const struct task_cpu *cpu)
{
    vmwrite(GUEST_CR3, cpu->cr3);
    if (vmread(GUEST_CR4) & CR4_PAE)
        for (u32 i = 0; i < 4; i++)
            vmwrite(GUEST_PDPTE0 + 2 * i, cpu->pdpte[i]);
    vcpu_flush_tlb(v);
}

static void store(struct vcpu *v, const struct task_cpu *cpu)
{
    for (u32 i = 0; i < TASK_GPRS; i++)
        vcpu_set_reg(v, i, cpu->gpr[i]);
    vmwrite(GUEST_RIP, cpu->eip);
    vmwrite(GUEST_RFLAGS, cpu->eflags);
    vmwrite(GUEST_CR0, cpu->cr0);
    vmwrite(CR0_READ_SHADOW, vmread(CR0_READ_SHADOW) | CR0_TS);
    vmwrite(GUEST_DR7, cpu->dr7);
    if (cpu->cr3 != vmread(GUEST_CR3))
        store_cr3(v, cpu);
    for (u32 i = 0; i < NR_ALL_SEGS; i++) {
        vmwrite(GUEST_ES_SELECTOR + 2 * i, cpu->selector[i]);
        vmwrite(GUEST_ES_BASE + 2 * i, cpu->seg[i].base);
        vmwrite(GUEST_ES_LIMIT + 2 * i, cpu->seg[i].limit);
        vmwrite(GUEST_ES_ACCESS_RIGHTS + 2 * i, cpu->seg[i].access);
    }
}

/* The switch is an instruction's end, and the event, if it is one's delivery, has been delivered. */
static void switched(const struct task_switch *s, u32 event)
{
    u32 blocking =
        (u32)vmread(GUEST_INTERRUPTIBILITY_STATE) & ~(u32)(INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS);

    if (event && INTR_INFO_TYPE(event) == INTR_TYPE_NMI)
        blocking |= INTERRUPTIBILITY_NMI;
    else if (s->source == TASK_IRET)
        blocking &= ~(u32)INTERRUPTIBILITY_NMI;
    vmwrite(GUEST_INTERRUPTIBILITY_STATE, blocking);
    vmwrite(GUEST_PENDING_DEBUG_EXCEPTIONS, 0);
}

/* An exception whose delivery the fault is part of may make a double fault with it, in the new task too. */
static void raise(struct vcpu *v, const struct emu_fault *f, u32 event, bool committed)
{
    if (!committed || (event && INTR_INFO_TYPE(event) == INTR_TYPE_HARDWARE_EXCEPTION))
        vcpu_requeue_event(v, false);
    guest_raise(v, f);
}

bool exit_task_switch(struct vcpu *v)
{
    struct guest_access g;
    struct task_switch s;
    struct task_cpu cpu;
    u32 event = describe(&s);
    enum task_result r;

    guest_access_init(&g, v);
    load(v, &cpu, event);
    r = task_switch(&g, &cpu, &s);
    if (r == TASK_UNSUPP) {
        vm_crash(v, "task switch to selector 0x%x with tables outside of RAM", s.selector);
        return false;
    }
    if (r != TASK_FAULT_OLD) {
        store(v, &cpu);
        switched(&s, event);
    }
    if (r != TASK_DONE)
        raise(v, &g.emu.fault, event, r == TASK_FAULT_NEW);
    else if (cpu.debug_trap)
        events_raise_debug(&v->events, DR6_BT);
    return vcpu_can_resume(v);
}
