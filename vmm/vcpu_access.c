/* SPDX-License-Identifier: MIT */
/* Registers, memory and buses of a vCPU for the emulator (vmm/mmio_host.h), from its VMCS. */
#include "arch/x86/asm.h"
#include "arch/x86/layout.h"
#include "arch/x86/trap.h"
#include "arch/x86/vmx.h"
#include "vmm/dev/lapic.h"
#include "vmm/mmio_host.h"
#include "vmm/skip.h"
#include "vmm/vm.h"

u64 vcpu_get_reg(struct vcpu *v, u32 n)
{
    return n == REG_RSP ? vmread(GUEST_RSP) : v->gpr[n];
}

void vcpu_set_reg(struct vcpu *v, u32 n, u64 value)
{
    if (n == REG_RSP)
        vmwrite(GUEST_RSP, value);
    else
        v->gpr[n] = value;
}

u64 vcpu_get_rflags(struct vcpu *v)
{
    (void)v;
    return vmread(GUEST_RFLAGS);
}

void vcpu_set_rflags(struct vcpu *v, u64 value)
{
    (void)v;
    vmwrite(GUEST_RFLAGS, value);
}

bool vcpu_has_breakpoints(struct vcpu *v)
{
    (void)v;
    return has_breakpoints();
}

u64 vcpu_get_rip(struct vcpu *v)
{
    (void)v;
    return vmread(GUEST_RIP);
}

/* The fields of the segment registers are 2 apart, in the order of the registers' numbers. */
void vcpu_segment(struct vcpu *v, u32 seg, struct segment *out)
{
    (void)v;
    out->base = vmread(GUEST_ES_BASE + 2 * seg);
    out->limit = (u32)vmread(GUEST_ES_LIMIT + 2 * seg);
    out->access = (u32)vmread(GUEST_ES_ACCESS_RIGHTS + 2 * seg);
}

static u32 read_pkru(void)
{
    u32 eax, edx;

    asm volatile("rdpkru" : "=a"(eax), "=d"(edx) : "c"(0));
    return eax;
}

/* RDPKRU needs CR4.PKE, which is off while Nidus runs. */
static u32 guest_pkru(u64 guest_cr4)
{
    u64 cr4;
    u32 pkru;

    if (!(guest_cr4 & CR4_PKE))
        return 0;
    cr4 = read_cr4();
    write_cr4(cr4 | CR4_PKE);
    pkru = read_pkru();
    write_cr4(cr4);
    return pkru;
}

void vcpu_paging(struct vcpu *v, struct walk_ctx *w)
{
    w->cr0 = vmread(GUEST_CR0);
    w->cr3 = vmread(GUEST_CR3);
    w->cr4 = vmread(GUEST_CR4);
    w->efer = vmread(GUEST_IA32_EFER);
    w->pkrs = 0;
    w->ac = vmread(GUEST_RFLAGS) & RFLAGS_AC;
    w->cpl = SEG_AR_DPL(vmread(GUEST_SS_ACCESS_RIGHTS));
    w->maxphyaddr = v->cpuid->maxphyaddr;
    w->page1g = v->cpuid->extended[1].edx & BIT(26);
    w->pkru = guest_pkru(w->cr4);
    w->pdpte = NULL;
    if ((w->cr4 & CR4_PAE) && !(w->efer & EFER_LMA) && (w->cr0 & CR0_PG)) {
        for (u32 i = 0; i < 4; i++)
            v->pdpte[i] = vmread(GUEST_PDPTE0 + 2 * i);
        w->pdpte = v->pdpte;
    }
}

bool vcpu_fault_linear(struct vcpu *v, gva_t *gva, bool *write)
{
    u64 q = vmread(EXIT_QUALIFICATION);

    (void)v;
    if (EXIT_REASON_BASIC(vmread(EXIT_REASON)) != EXIT_REASON_EPT_VIOLATION)
        return false;
    *gva = vmread(GUEST_LINEAR_ADDRESS);
    *write = q & EPT_QUAL_WRITE;
    return (q & EPT_QUAL_LINEAR_VALID) && (q & EPT_QUAL_TRANSLATION);
}

void vcpu_advance(struct vcpu *v, u64 rip)
{
    (void)v;
    vmwrite(GUEST_RIP, rip);
    instruction_done();
}

int vcpu_physical(struct vcpu *v, gpa_t *gpa, u32 access)
{
    return likely(!v->nested || !v->nested->in_l2) ? OK : nested_physical(v, gpa, access);
}

int guest_update(struct vm *vm, gpa_t gpa, u32 size, u64 old, u64 new)
{
    u64 now = 0;
    int r = guest_read(vm, gpa, &now, size); /* makes sure that it is RAM and mapped */

    if (r)
        return r;
    return user_cmpxchg((void *)(VM_BASE + gpa), size, old, new);
}

#define MAX_REPORTS 16 /* a guest could make as many as it likes */

const char *vcpu_may_report(struct vcpu *v)
{
    u32 *reports = &v->vm->reports;

    if (__atomic_load_n(reports, __ATOMIC_RELAXED) >= MAX_REPORTS ||
        __atomic_fetch_add(reports, 1, __ATOMIC_RELAXED) >= MAX_REPORTS)
        return NULL;
    return v->vm->config->name;
}

u64 vcpu_mmio_read(struct vcpu *v, gpa_t gpa, u32 size)
{
    return bus_read(&v->mmio, gpa, size);
}

void vcpu_mmio_write(struct vcpu *v, gpa_t gpa, u32 size, u64 value)
{
    bus_write(&v->mmio, gpa, size, value);
}

u32 vcpu_port_read(struct vcpu *v, u16 port, u32 size)
{
    return (u32)bus_read(&v->pio, port, size);
}

void vcpu_port_write(struct vcpu *v, u16 port, u32 size, u32 value)
{
    bus_write(&v->pio, port, size, value);
}
