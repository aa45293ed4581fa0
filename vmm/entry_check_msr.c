/* SPDX-License-Identifier: MIT */
/* VM entry's 'Loading MSRs': the VM-entry MSR-load area. */
#include "vmm/entry_rules.h"
#include "arch/x86/regs.h"

enum msr_row { MSR_COUNT, MSR_RESERVED, MSR_SEGMENT_BASE, MSR_X2APIC, MSR_SMM, MSR_REFUSED };

const char *const entry_msr_rows[] = {
    [MSR_COUNT] = PACK "VM-entry MSR-load count: at most what IA32_VMX_MISC[27:25] recommends",
    [MSR_RESERVED] = PACK "VM-entry MSR-load area: bits 63:32 of an entry are 0",
    [MSR_SEGMENT_BASE] = PACK "VM-entry MSR-load area: not IA32_FS_BASE or IA32_GS_BASE",
    [MSR_X2APIC] = PACK "VM-entry MSR-load area: no x2APIC register (0x800 to 0x8ff)",
    [MSR_SMM] = PACK "VM-entry MSR-load area: not IA32_SMM_MONITOR_CTL",
    [MSR_REFUSED] = PACK "VM-entry MSR-load area: MSR and value that WRMSR accepts",
};

const u32 entry_nr_msr_rows = ARRAY_SIZE(entry_msr_rows);

/* The row that an entry breaks; -1: none. */
static int broken_row(const struct entry_env *env, const struct vmx_msr_entry *e)
{
    if (e->reserved)
        return MSR_RESERVED;
    if (e->index == MSR_IA32_FS_BASE || e->index == MSR_IA32_GS_BASE)
        return MSR_SEGMENT_BASE;
    if (e->index >> 8 == MSR_IA32_X2APIC_FIRST >> 8)
        return MSR_X2APIC;
    if (e->index == MSR_IA32_SMM_MONITOR_CTL)
        return MSR_SMM;
    if (env->msr_refused && env->msr_refused(env->ctx, e->index, e->value))
        return MSR_REFUSED;
    return -1;
}

static bool fail(struct entry_verdict *out, enum msr_row row, u32 number)
{
    out->stage = ENTRY_MSR_LOADING;
    out->qualification = number;
    out->row = entry_msr_rows[row];
    out->field = row == MSR_COUNT ? VI_ENTRY_MSR_LOAD_COUNT : VI_ENTRY_MSR_LOAD_ADDR;
    return false;
}

bool entry_check_msrs(const struct entry_case *c, struct entry_verdict *out)
{
    const struct entry_env *env = c->env;
    u64 count = VMCS(c->v, ENTRY_MSR_LOAD_COUNT);
    u32 most = VMX_MISC_MSR_LIST_MAX(env->caps->misc);
    paddr_t at = VMCS(c->v, ENTRY_MSR_LOAD_ADDR);

    for (u32 number = 1; number <= count; number++, at += sizeof(struct vmx_msr_entry)) {
        struct vmx_msr_entry e;
        int row;

        if (number > most)
            return fail(out, MSR_COUNT, number);
        if (!env->read || !env->read(env->ctx, at, &e, sizeof(e)))
            continue;
        row = broken_row(env, &e);
        if (row >= 0)
            return fail(out, row, number);
    }
    return true;
}
