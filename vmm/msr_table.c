/* SPDX-License-Identifier: MIT */
/*
 * What each MSR is to a guest: SDM volume 4 (335592), 'Architectural MSRs'; among the model-specific ones
 * those that system software reads without asking CPUID. Left out on purpose, so that they give #GP:
 * performance monitoring, last-branch records, thermal and power management, machine-check banks
 * (IA32_MCG_CAP says there are none).
 */
#include "vmm/msr_table.h"
#include "arch/x86/regs.h"
#include "arch/x86/vmx_caps.h"

#define ANY ~0ull

#define ONE(msr, text)        .first = msr, .last = msr, .name = text
#define RANGE(from, to, text) .first = from, .last = to, .name = text
#define NEEDS(member)         .needs = offsetof(struct guest_cpuid, member)
#define CALL(reader, writer)  .valid = ANY, .read = reader, .write = writer
#define FIXED(value)          .valid = ANY, .read = msr_fixed_read, .arg = value
#define FIXED_QUIET(value)    FIXED(value), .write = msr_ignore_write
#define STORED(member, bits)                                           \
    .valid = bits, .read = msr_stored_read, .write = msr_stored_write, \
    .arg = offsetof(struct vcpu_msrs, member)
#define LIVE(member, bits) \
    .valid = bits, .read = msr_live_read, .write = msr_live_write, .arg = offsetof(struct vcpu_msrs, member)
#define FIELD(field, bits) .valid = bits, .read = msr_vmcs_read, .write = msr_vmcs_write, .arg = field
#define KVM(member, bits, writer) \
    .valid = bits, .read = msr_stored_read, .write = writer, .arg = offsetof(struct vcpu_msrs, member)
#define ADDRESS .canonical = true

const struct msr_row msr_rows[] = {
    {RANGE(0x0, 0x1, "IA32_P5_MC_ADDR, IA32_P5_MC_TYPE"), FIXED_QUIET(0)},
    {ONE(MSR_IA32_TSC, "IA32_TSC"), CALL(msr_tsc_read, msr_tsc_write), .direct = DIRECT_READ},
    {ONE(MSR_KVM_WALL_CLOCK, "KVM's wall clock"), NEEDS(has_kvm_clock_old),
     KVM(kvm_wall_clock, ANY, msr_kvm_wall_clock_write)},
    {ONE(MSR_KVM_SYSTEM_TIME, "KVM's clock"), NEEDS(has_kvm_clock_old),
     KVM(kvm_clock, ANY, msr_kvm_clock_write)},
    {ONE(0x17, "IA32_PLATFORM_ID"), FIXED(0)},
    {ONE(MSR_IA32_APIC_BASE, "IA32_APIC_BASE"), CALL(msr_apic_base_read, msr_apic_base_write)},
    {ONE(0x2a, "MSR_EBL_CR_POWERON"), FIXED(0)},
    {ONE(0x34, "MSR_SMI_COUNT"), FIXED(0)},
    {ONE(MSR_IA32_FEATURE_CONTROL, "IA32_FEATURE_CONTROL"), CALL(msr_feature_control_read, NULL)},
    {ONE(MSR_IA32_TSC_ADJUST, "IA32_TSC_ADJUST"), NEEDS(has_tsc_adjust), .valid = ANY,
     .read = msr_stored_read, .write = msr_tsc_adjust_write, .arg = offsetof(struct vcpu_msrs, tsc_adjust)},
    {ONE(MSR_IA32_SPEC_CTRL, "IA32_SPEC_CTRL"), NEEDS(has_spec_ctrl), .direct = DIRECT, .valid = ANY,
     .read = msr_live_read, .write = msr_spec_ctrl_write, .arg = offsetof(struct vcpu_msrs, spec_ctrl)},
    {ONE(MSR_IA32_PRED_CMD, "IA32_PRED_CMD"), NEEDS(has_pred_cmd), .direct = DIRECT_WRITE, .valid = BIT(0),
     .write = msr_command_write},
    {ONE(0x79, "IA32_BIOS_UPDT_TRIG"), .valid = ANY, .write = msr_ignore_write},
    {ONE(MSR_IA32_BIOS_SIGN_ID, "IA32_BIOS_SIGN_ID"), FIXED_QUIET(BIT(32))}, /* update revision 1 */
    {ONE(0xce, "MSR_PLATFORM_INFO"), CALL(msr_platform_info_read, NULL)},
    {ONE(MSR_IA32_UMWAIT_CONTROL, "IA32_UMWAIT_CONTROL"), NEEDS(has_umwait),
     LIVE(umwait_control, 0xfffffffd)},
    {ONE(MSR_IA32_MTRRCAP, "IA32_MTRRCAP"), NEEDS(has_mtrr), FIXED(MTRR_CAP)},
    {ONE(MSR_IA32_ARCH_CAPABILITIES, "IA32_ARCH_CAPABILITIES"), NEEDS(has_arch_capabilities),
     CALL(msr_arch_capabilities_read, NULL)},
    {ONE(MSR_IA32_FLUSH_CMD, "IA32_FLUSH_CMD"), NEEDS(has_flush_cmd), .direct = DIRECT_WRITE, .valid = BIT(0),
     .write = msr_command_write},
    {ONE(MSR_IA32_SYSENTER_CS, "IA32_SYSENTER_CS"), FIELD(GUEST_IA32_SYSENTER_CS, 0xffffffff),
     .direct = DIRECT},
    {ONE(MSR_IA32_SYSENTER_ESP, "IA32_SYSENTER_ESP"), FIELD(GUEST_IA32_SYSENTER_ESP, ANY), ADDRESS,
     .direct = DIRECT},
    {ONE(MSR_IA32_SYSENTER_EIP, "IA32_SYSENTER_EIP"), FIELD(GUEST_IA32_SYSENTER_EIP, ANY), ADDRESS,
     .direct = DIRECT},
    {ONE(MSR_IA32_MCG_CAP, "IA32_MCG_CAP"), NEEDS(has_mca), FIXED(0)},
    {ONE(MSR_IA32_MCG_STATUS, "IA32_MCG_STATUS"), NEEDS(has_mca), STORED(mcg_status, BITS(2, 0))},
    {ONE(MSR_IA32_MISC_ENABLE, "IA32_MISC_ENABLE"),
     .valid = BIT(0) | BIT(3) | BIT(7) | BIT(11) | BIT(12) | BIT(16) | BIT(18) | BIT(22) | BIT(23) | BIT(34) |
              BIT(38),
     .read = msr_stored_read, .write = msr_misc_enable_write, .arg = offsetof(struct vcpu_msrs, misc_enable)},
    {ONE(MSR_IA32_DEBUGCTL, "IA32_DEBUGCTL"), .valid = BIT(0) | BIT(1), /* LBR, BTF */
     .read = msr_vmcs_read, .write = msr_debugctl_write, .arg = GUEST_IA32_DEBUGCTL},
    {RANGE(0x200, 0x20f, "IA32_MTRR_PHYSBASE, IA32_MTRR_PHYSMASK"), NEEDS(has_mtrr),
     CALL(msr_mtrr_read, msr_mtrr_write)},
    {ONE(0x250, "IA32_MTRR_FIX64K"), NEEDS(has_mtrr), CALL(msr_mtrr_read, msr_mtrr_write)},
    {RANGE(0x258, 0x259, "IA32_MTRR_FIX16K"), NEEDS(has_mtrr), CALL(msr_mtrr_read, msr_mtrr_write)},
    {RANGE(0x268, 0x26f, "IA32_MTRR_FIX4K"), NEEDS(has_mtrr), CALL(msr_mtrr_read, msr_mtrr_write)},
    {ONE(MSR_IA32_PAT, "IA32_PAT"), NEEDS(has_pat), CALL(msr_pat_read, msr_pat_write), .direct = DIRECT,
     .direct_granted = BIT(VF_PAT)},
    {ONE(MSR_IA32_MTRR_DEF_TYPE, "IA32_MTRR_DEF_TYPE"), NEEDS(has_mtrr), CALL(msr_mtrr_read, msr_mtrr_write)},
    {RANGE(MSR_IA32_VMX_BASIC, MSR_IA32_VMX_EXIT_CTLS2, "VMX capability"), NEEDS(has_vmx),
     CALL(msr_vmx_read, NULL)},
    {ONE(MSR_IA32_TSC_DEADLINE, "IA32_TSC_DEADLINE"), NEEDS(has_tsc_deadline),
     CALL(msr_tsc_deadline_read, msr_tsc_deadline_write)},
    {RANGE(MSR_IA32_X2APIC_FIRST, MSR_IA32_X2APIC_LAST, "x2APIC"), NEEDS(has_x2apic),
     CALL(msr_x2apic_read, msr_x2apic_write)},
    {ONE(MSR_IA32_XSS, "IA32_XSS"), NEEDS(has_xsaves), STORED(xss, 0)}, /* no supervisor state is offered */
    {ONE(NIDUS_MSR_HYPERCALL_PAGE, "Nidus's hypercall page"), NEEDS(has_pv_calls),
     CALL(msr_pv_page_read, msr_pv_page_write)},
    {ONE(NIDUS_MSR_AREA, "Nidus's vCPU area"), NEEDS(has_pv_queue),
     CALL(msr_pv_area_read, msr_pv_area_write)},
    {ONE(MSR_KVM_WALL_CLOCK_NEW, "KVM's wall clock"), NEEDS(has_kvm_clock),
     KVM(kvm_wall_clock, ANY, msr_kvm_wall_clock_write)},
    {ONE(MSR_KVM_SYSTEM_TIME_NEW, "KVM's clock"), NEEDS(has_kvm_clock),
     KVM(kvm_clock, ANY, msr_kvm_clock_write)},
    {ONE(MSR_KVM_STEAL_TIME, "KVM's steal time"), NEEDS(has_steal_time),
     KVM(kvm_steal, ~BITS(5, 1), msr_kvm_steal_write)},
    {ONE(MSR_KVM_PV_EOI_EN, "KVM's paravirtual EOI"), NEEDS(has_pv_eoi),
     KVM(kvm_eoi, ~BIT(1), msr_kvm_eoi_write)},
    {ONE(MSR_IA32_EFER, "IA32_EFER"), .valid = ANY, .read = msr_vmcs_read, .write = msr_efer_write,
     .arg = GUEST_IA32_EFER},
    {ONE(MSR_IA32_STAR, "IA32_STAR"), LIVE(star, ANY), .direct = DIRECT},
    {ONE(MSR_IA32_LSTAR, "IA32_LSTAR"), LIVE(lstar, ANY), ADDRESS, .direct = DIRECT},
    {ONE(MSR_IA32_CSTAR, "IA32_CSTAR"), LIVE(cstar, ANY), ADDRESS, .direct = DIRECT},
    {ONE(MSR_IA32_FMASK, "IA32_FMASK"), LIVE(fmask, 0xffffffff), .direct = DIRECT},
    {ONE(MSR_IA32_FS_BASE, "IA32_FS_BASE"), FIELD(GUEST_FS_BASE, ANY), ADDRESS, .direct = DIRECT},
    {ONE(MSR_IA32_GS_BASE, "IA32_GS_BASE"), FIELD(GUEST_GS_BASE, ANY), ADDRESS, .direct = DIRECT},
    {ONE(MSR_IA32_KERNEL_GS_BASE, "IA32_KERNEL_GS_BASE"), LIVE(kernel_gs_base, ANY), ADDRESS,
     .direct = DIRECT},
    {ONE(MSR_IA32_TSC_AUX, "IA32_TSC_AUX"), NEEDS(has_rdtscp), LIVE(tsc_aux, 0xffffffff), .direct = DIRECT},
};
const u32 msr_nr_rows = ARRAY_SIZE(msr_rows);

bool msr_row_exists(const struct msr_row *row, const struct guest_cpuid *c)
{
    return !row->needs || *(const bool *)((const u8 *)c + row->needs);
}
