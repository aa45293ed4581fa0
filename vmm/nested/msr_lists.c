/* SPDX-License-Identifier: MIT */
/*
 * L1's MSR areas: SDM 326019, 'Loading MSRs' (VM entry and VM exit) and 'Saving MSRs'. What RDMSR and WRMSR
 * do is the VM's own (vmm/msr.c): MSRs that live in the VMCS are those of the one that is current.
 */
#include "arch/x86/regs.h"
#include "vmm/vm.h"

enum direction { LOAD, STORE };

/* Not for these areas, although RDMSR and WRMSR may take them. */
static const struct {
    u32 first, last;
    bool refused[2]; /* by enum direction */
} refusals[] = {
    {MSR_IA32_FS_BASE, MSR_IA32_GS_BASE, {[LOAD] = true}},
    {MSR_IA32_X2APIC_FIRST, MSR_IA32_X2APIC_LAST, {[LOAD] = true, [STORE] = true}},
    /* In system-management mode only, which no VM has. */
    {MSR_IA32_SMM_MONITOR_CTL, MSR_IA32_SMM_MONITOR_CTL, {[LOAD] = true}},
    {MSR_IA32_SMBASE, MSR_IA32_SMBASE, {[STORE] = true}},
};

static bool refused(const struct vmx_msr_entry *e, enum direction direction)
{
    for (u32 i = 0; i < ARRAY_SIZE(refusals); i++)
        if (e->index >= refusals[i].first && e->index <= refusals[i].last && refusals[i].refused[direction])
            return true;
    return e->reserved != 0;
}

static bool load(struct vcpu *v, gpa_t at)
{
    struct vmx_msr_entry e;

    return !guest_read(v->vm, at, &e, sizeof(e)) && !refused(&e, LOAD) &&
           vcpu_msr_write(v, e.index, e.value) == OK;
}

/* Time stands still during an exit. */
static int read_msr(struct vcpu *v, u32 msr, u64 *value)
{
    if (msr != MSR_IA32_TSC)
        return vcpu_msr_read(v, msr, value);
    *value = v->nested->exit_tsc + v->tsc_offset;
    return OK;
}

static bool store(struct vcpu *v, gpa_t at)
{
    struct vmx_msr_entry e;

    return !guest_read(v->vm, at, &e, sizeof(e)) && !refused(&e, STORE) &&
           read_msr(v, e.index, &e.value) == OK &&
           !guest_write(v->vm, at + offsetof(struct vmx_msr_entry, value), &e.value, sizeof(e.value));
}

/* 0, or the number of the entry, from 1, that fails: the first beyond what IA32_VMX_MISC recommends does. */
static u32 each(struct vcpu *v, gpa_t at, u64 count, bool (*entry)(struct vcpu *v, gpa_t at))
{
    u32 most = VMX_MISC_MSR_LIST_MAX(v->vm->nested_caps.misc);

    for (u32 number = 1; number <= count; number++, at += sizeof(struct vmx_msr_entry))
        if (number > most || !entry(v, at))
            return number;
    return 0;
}

u32 nested_load_entry_msrs(struct vcpu *v)
{
    const struct vmcs_image *vmcs12 = &v->nested->vmcs12.image;

    return each(v, VMCS(vmcs12, ENTRY_MSR_LOAD_ADDR), VMCS(vmcs12, ENTRY_MSR_LOAD_COUNT), load);
}

bool nested_store_exit_msrs(struct vcpu *v)
{
    const struct vmcs_image *vmcs12 = &v->nested->vmcs12.image;

    return !each(v, VMCS(vmcs12, EXIT_MSR_STORE_ADDR), VMCS(vmcs12, EXIT_MSR_STORE_COUNT), store);
}

bool nested_load_exit_msrs(struct vcpu *v)
{
    const struct vmcs_image *vmcs12 = &v->nested->vmcs12.image;

    return !each(v, VMCS(vmcs12, EXIT_MSR_LOAD_ADDR), VMCS(vmcs12, EXIT_MSR_LOAD_COUNT), load);
}
