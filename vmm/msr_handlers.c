/* SPDX-License-Identifier: MIT */
/* How the rows of vmm/msr_table.c are read and written. What may be 1 has been checked before. */
#include "vmm/msr_table.h"
#include "arch/x86/regs.h"
#include "arch/x86/vmx_caps.h"
#include "vmm/dev/lapic.h"

#define UNUSED(x) ((void)(x))

static u64 *stored(struct vcpu *v, const struct msr_row *row)
{
    return (u64 *)((u8 *)&v->msrs + row->arg);
}

int msr_fixed_read(struct vcpu *v, const struct msr_row *row, u32 msr, u64 *value)
{
    UNUSED(v), UNUSED(msr);
    *value = row->arg;
    return OK;
}

int msr_ignore_write(struct vcpu *v, const struct msr_row *row, u32 msr, u64 value)
{
    UNUSED(v), UNUSED(row), UNUSED(msr), UNUSED(value);
    return OK;
}

int msr_stored_read(struct vcpu *v, const struct msr_row *row, u32 msr, u64 *value)
{
    UNUSED(msr);
    *value = *stored(v, row);
    return OK;
}

int msr_stored_write(struct vcpu *v, const struct msr_row *row, u32 msr, u64 value)
{
    UNUSED(msr);
    *stored(v, row) = value;
    return OK;
}

int msr_vmcs_read(struct vcpu *v, const struct msr_row *row, u32 msr, u64 *value)
{
    UNUSED(msr);
    *value = vcpu_vmread(v, row->arg);
    return OK;
}

int msr_vmcs_write(struct vcpu *v, const struct msr_row *row, u32 msr, u64 value)
{
    UNUSED(msr);
    vcpu_vmwrite(v, row->arg, value);
    return OK;
}

int msr_live_read(struct vcpu *v, const struct msr_row *row, u32 msr, u64 *value)
{
    UNUSED(msr);
    vcpu_msrs_save(v);
    *value = *stored(v, row);
    return OK;
}

int msr_live_write(struct vcpu *v, const struct msr_row *row, u32 msr, u64 value)
{
    UNUSED(msr);
    vcpu_msrs_save(v);
    *stored(v, row) = value;
    vcpu_msrs_load(v);
    return OK;
}

int msr_spec_ctrl_write(struct vcpu *v, const struct msr_row *row, u32 msr, u64 value)
{
    return value & ~v->cpuid->spec_ctrl_allowed ? ERR_INVAL : msr_live_write(v, row, msr, value);
}

/* Flushes and barriers: nothing is kept. 0 commands nothing. */
int msr_command_write(struct vcpu *v, const struct msr_row *row, u32 msr, u64 value)
{
    UNUSED(v), UNUSED(row);
    msr_host_command(msr, value);
    return OK;
}

/* --- time: guest TSC = host TSC + tsc_offset; host TSC = VM time + start_tsc --- */

static void move_tsc(struct vcpu *v, u64 by)
{
    v->tsc_offset += by;
    v->msrs.tsc_adjust += by;
    vcpu_vmwrite(v, TSC_OFFSET, v->tsc_offset);
    lapic_set_tsc_offset(v->lapic, v->tsc_offset + v->vm->start_tsc);
    spin_lock(&v->vm->pv.lock);
    pv_clocks_publish(v->vm);
    spin_unlock(&v->vm->pv.lock);
}

static u64 tsc_now(struct vcpu *v)
{
    return vm_now(v->vm) + v->vm->start_tsc + v->tsc_offset;
}

int msr_tsc_read(struct vcpu *v, const struct msr_row *row, u32 msr, u64 *value)
{
    UNUSED(row), UNUSED(msr);
    spin_lock(&v->vm->dev_lock);
    *value = tsc_now(v);
    spin_unlock(&v->vm->dev_lock);
    return OK;
}

/* SDM 325384, 'IA32_TSC_ADJUST Register': a write to either moves both by the same amount. */
int msr_tsc_write(struct vcpu *v, const struct msr_row *row, u32 msr, u64 value)
{
    UNUSED(row), UNUSED(msr);
    spin_lock(&v->vm->dev_lock);
    move_tsc(v, value - tsc_now(v));
    spin_unlock(&v->vm->dev_lock);
    return OK;
}

int msr_tsc_adjust_write(struct vcpu *v, const struct msr_row *row, u32 msr, u64 value)
{
    UNUSED(row), UNUSED(msr);
    spin_lock(&v->vm->dev_lock);
    move_tsc(v, value - v->msrs.tsc_adjust);
    spin_unlock(&v->vm->dev_lock);
    return OK;
}

/* --- modes --- */

/* SDM 325384, 'IA-32e Mode Operation': LME is fixed while paging is on; LMA is the CPU's to write. */
int msr_efer_write(struct vcpu *v, const struct msr_row *row, u32 msr, u64 value)
{
    u64 old = vcpu_vmread(v, GUEST_IA32_EFER);

    UNUSED(row), UNUSED(msr);
    if (value & ~v->cpuid->efer_allowed)
        return ERR_INVAL;
    if ((value ^ old) & EFER_LME && vcpu_vmread(v, GUEST_CR0) & CR0_PG)
        return ERR_INVAL;
    vcpu_vmwrite(v, GUEST_IA32_EFER, (value & ~(u64)EFER_LMA) | (old & EFER_LMA));
    return OK;
}

/* Only fast strings can be switched; the other bits that the register has show what the VM lacks, and stay.
 */
int msr_misc_enable_write(struct vcpu *v, const struct msr_row *row, u32 msr, u64 value)
{
    UNUSED(row), UNUSED(msr);
    v->msrs.misc_enable = (v->msrs.misc_enable & ~BIT(0)) | (value & BIT(0));
    return OK;
}

int msr_debugctl_write(struct vcpu *v, const struct msr_row *row, u32 msr, u64 value)
{
    if (value && !(v->cpuid->vmx_granted & BIT(VF_DEBUG_CONTROLS)))
        return ERR_INVAL;
    return msr_vmcs_write(v, row, msr, value);
}

/* --- what the processor is --- */

#define RATIO_HZ 100000000u /* unit of the ratios in MSR_PLATFORM_INFO */

/* Maximum non-turbo and maximum efficiency ratio, bits 15:8 and 47:40: the TSC's frequency. */
int msr_platform_info_read(struct vcpu *v, const struct msr_row *row, u32 msr, u64 *value)
{
    u64 ratio;

    UNUSED(row), UNUSED(msr);
    spin_lock(&v->vm->dev_lock);
    ratio = (vm_hz(v->vm) + RATIO_HZ / 2) / RATIO_HZ & 0xff;
    spin_unlock(&v->vm->dev_lock);
    *value = ratio << 40 | ratio << 8;
    return OK;
}

/* The bits that say what the CPU is not affected by or does by itself; none that announces another MSR. */
#define ARCH_CAPABILITIES_SHOWN \
    (BITS(6, 0) | BIT(8) | BITS(15, 13) | BIT(17) | BIT(19) | BIT(20) | BIT(24) | BITS(28, 26) | BIT(62))

int msr_arch_capabilities_read(struct vcpu *v, const struct msr_row *row, u32 msr, u64 *value)
{
    UNUSED(v), UNUSED(row), UNUSED(msr);
    *value = msr_host_arch_capabilities() & ARCH_CAPABILITIES_SHOWN;
    return OK;
}

int msr_feature_control_read(struct vcpu *v, const struct msr_row *row, u32 msr, u64 *value)
{
    UNUSED(row), UNUSED(msr);
    *value = v->cpuid->has_vmx ? v->vm->nested_caps.feature_control : FEATURE_CONTROL_LOCKED;
    return OK;
}

int msr_vmx_read(struct vcpu *v, const struct msr_row *row, u32 msr, u64 *value)
{
    UNUSED(row);
    return vmx_caps_get(&v->vm->nested_caps, msr, value) ? OK : ERR_INVAL;
}

/* --- local APIC --- */

int msr_apic_base_read(struct vcpu *v, const struct msr_row *row, u32 msr, u64 *value)
{
    UNUSED(row), UNUSED(msr);
    *value = lapic_base_read(v->lapic);
    return OK;
}

int msr_apic_base_write(struct vcpu *v, const struct msr_row *row, u32 msr, u64 value)
{
    int r;

    UNUSED(row), UNUSED(msr);
    if ((value & LAPIC_BASE_EXTD && !v->cpuid->has_x2apic) || value >> v->cpuid->maxphyaddr)
        return ERR_INVAL;
    spin_lock(&v->vm->dev_lock);
    r = lapic_base_write(v->lapic, value);
    spin_unlock(&v->vm->dev_lock);
    return r;
}

int msr_x2apic_read(struct vcpu *v, const struct msr_row *row, u32 msr, u64 *value)
{
    UNUSED(row);
    return lapic_msr_read(v, msr, value);
}

int msr_x2apic_write(struct vcpu *v, const struct msr_row *row, u32 msr, u64 value)
{
    UNUSED(row);
    return lapic_msr_write(v, msr, value);
}

int msr_tsc_deadline_read(struct vcpu *v, const struct msr_row *row, u32 msr, u64 *value)
{
    UNUSED(row), UNUSED(msr);
    spin_lock(&v->vm->dev_lock);
    *value = lapic_deadline_read(v->lapic);
    spin_unlock(&v->vm->dev_lock);
    return OK;
}

int msr_tsc_deadline_write(struct vcpu *v, const struct msr_row *row, u32 msr, u64 value)
{
    UNUSED(row), UNUSED(msr);
    spin_lock(&v->vm->dev_lock);
    lapic_deadline_write(v->lapic, value);
    spin_unlock(&v->vm->dev_lock);
    return OK;
}
