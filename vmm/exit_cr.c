/* SPDX-License-Identifier: MIT */
/* Control registers that the guest may not write by itself. */
#include "arch/x86/asm.h"
#include "arch/x86/vmx.h"
#include "vmm/dev/lapic.h"
#include "vmm/exit.h"
#include "vmm/mmio_host.h"

/* Exit qualification (SDM, 'Exit Qualification for Control-Register Accesses'). */
#define QUAL_CR(q)  ((q)&0xf)
#define QUAL_OP(q)  ((q) >> 4 & 3)
#define QUAL_REG(q) ((q) >> 8 & 0xf)
enum { OP_MOV_TO, OP_MOV_FROM, OP_CLTS, OP_LMSW };

#define CR0_DEFINED \
    (CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | CR0_PG)

/* False: #GP. */
static bool load_pdptes(struct vcpu *v, u64 cr3)
{
    u64 pdpte[4];
    gpa_t at = cr3 & 0xffffffe0;

    if (vcpu_physical(v, &at, WALK_READ) || guest_read(v->vm, at, pdpte, sizeof(pdpte)) ||
        !walk_pdptes_good(pdpte, v->cpuid->maxphyaddr))
        return false;
    for (u32 i = 0; i < 4; i++)
        vmwrite(GUEST_PDPTE0 + 2 * i, pdpte[i]);
    return true;
}

bool exit_change_paging(struct vcpu *v, bool on)
{
    u64 efer = vmread(GUEST_IA32_EFER), cr4 = vmread(GUEST_CR4);
    bool code64 = vmread(GUEST_CS_ACCESS_RIGHTS) & SEG_AR_L;

    if (on) {
        if (efer & EFER_LME) {
            if (!(cr4 & CR4_PAE) || code64)
                return false;
            vmwrite(GUEST_IA32_EFER, efer | EFER_LMA);
            vmwrite(ENTRY_CONTROLS, vmread(ENTRY_CONTROLS) | ENTRYCTL_IA32E_MODE_GUEST);
        } else if (cr4 & CR4_PAE) {
            return load_pdptes(v, vmread(GUEST_CR3));
        }
        return true;
    }
    if ((efer & EFER_LMA) && (code64 || (cr4 & CR4_PCIDE)))
        return false;
    vmwrite(GUEST_IA32_EFER, efer & ~(u64)EFER_LMA);
    vmwrite(ENTRY_CONTROLS, vmread(ENTRY_CONTROLS) & ~ENTRYCTL_IA32E_MODE_GUEST);
    return true;
}

/* Cache control, and what Nidus or the CPU keep as it is. In VMX root operation also what must stay 1: SDM,
 * 'Restrictions on VMX Operation'. */
u64 vcpu_cr0_mask(const struct vcpu *v)
{
    u64 own = CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_WP | CR0_AM | (u64)CR0_PG;

    if (vcpu_in_vmx_root(v))
        own &= ~vmx_cr0_required(&v->vm->nested_caps);
    return ~own;
}

void vcpu_vmx_operation_changed(struct vcpu *v)
{
    u64 mask = vmread(CR0_GUEST_HOST_MASK);

    vmwrite(CR0_READ_SHADOW, (vmread(CR0_READ_SHADOW) & mask) | (vmread(GUEST_CR0) & ~mask));
    vmwrite(CR0_GUEST_HOST_MASK, vcpu_cr0_mask(v));
}

/* SDM, 'Control Registers', and MOV to CR in volume 2. False: #GP. */
static bool write_guest_cr0(struct vcpu *v, u64 value)
{
    u64 old = vmread(GUEST_CR0);

    if (vcpu_in_vmx_root(v) && ~value & vmx_cr0_required(&v->vm->nested_caps))
        return false;
    if (value >> 32 || ((value & CR0_PG) && !(value & CR0_PE)) || ((value & CR0_NW) && !(value & CR0_CD)))
        return false;
    value = (value & CR0_DEFINED) | CR0_ET;
    if ((value ^ old) & CR0_PG) {
        if (!exit_change_paging(v, value & CR0_PG))
            return false;
        vcpu_flush_tlb(v);
    }
    vmwrite(CR0_READ_SHADOW, value);
    vmwrite(GUEST_CR0, (value & ~(u64)(CR0_CD | CR0_NW)) | CR0_NE);
    return true;
}

/* The value may be loaded: SDM volume 2, MOV to control registers, and 'Restrictions on VMX Operation'. */
static bool cr4_valid(const struct vcpu *v, u64 value, u64 old)
{
    bool long_mode = vmread(GUEST_IA32_EFER) & EFER_LMA;

    if ((value & ~v->cpuid->cr4_allowed) || (vcpu_in_vmx(v) && ~value & CR4_VMXE) ||
        (long_mode && !(value & CR4_PAE)))
        return false;
    return !(value & ~old & CR4_PCIDE) || (long_mode && !(vmread(GUEST_CR3) & 0xfff));
}

/* Exits are for VMXE and for what CPUID does not show; the other bits may change with it. False: #GP. */
static bool write_guest_cr4(struct vcpu *v, u64 value)
{
    const u64 reload = CR4_PSE | CR4_PAE | CR4_PGE | CR4_SMEP;
    u64 old = (vmread(GUEST_CR4) & ~(u64)CR4_VMXE) | (vmread(CR4_READ_SHADOW) & CR4_VMXE);
    bool pae_paging = vmread(GUEST_CR0) & CR0_PG && value & CR4_PAE && !(vmread(GUEST_IA32_EFER) & EFER_LMA);

    if (!cr4_valid(v, value, old))
        return false;
    if (pae_paging && (value ^ old) & reload && !load_pdptes(v, vmread(GUEST_CR3)))
        return false;
    vmwrite(CR4_READ_SHADOW, value);
    vmwrite(GUEST_CR4, value | CR4_VMXE);
    if ((value ^ old) & ~(u64)CR4_VMXE)
        vcpu_flush_tlb(v);
    return true;
}

static bool write_guest_cr8(struct vcpu *v, u64 value)
{
    if (value >> 4)
        return false;
    spin_lock(&v->vm->dev_lock);
    lapic_set_tpr(v->lapic, (u8)(value << 4));
    spin_unlock(&v->vm->dev_lock);
    return true;
}

/* Outside of 64-bit mode it has 32 bits, and what the CPU keeps above them is not the guest's. */
static u64 operand(struct vcpu *v, u32 reg)
{
    u64 value = vcpu_get_reg(v, reg);
    bool wide = vmread(GUEST_IA32_EFER) & EFER_LMA && vmread(GUEST_CS_ACCESS_RIGHTS) & SEG_AR_L;

    return wide ? value : (u32)value;
}

static bool mov_to(struct vcpu *v, u32 cr, u64 value)
{
    return cr == 8 ? write_guest_cr8(v, value) : cr != 3 && exit_write_cr(v, cr, value);
}

/* SDM volume 2, MOV to CR3: bit 63 keeps translations. False: #GP. */
static bool write_guest_cr3(struct vcpu *v, u64 value)
{
    u64 cr4 = vmread(GUEST_CR4);
    bool long_mode = vmread(GUEST_IA32_EFER) & EFER_LMA;
    u64 keep = long_mode && cr4 & CR4_PCIDE ? value & CR3_NO_FLUSH : 0;

    value &= ~keep;
    if (value >> (long_mode ? v->cpuid->maxphyaddr : 32))
        return false;
    if (vmread(GUEST_CR0) & CR0_PG && cr4 & CR4_PAE && !long_mode && !load_pdptes(v, value))
        return false;
    vmwrite(GUEST_CR3, value);
    if (!keep)
        vcpu_flush_tlb(v);
    return true;
}

bool exit_write_cr(struct vcpu *v, u64 cr, u64 value)
{
    switch (cr) {
    case 0:
        return write_guest_cr0(v, value);
    case 3:
        return write_guest_cr3(v, value);
    case 4:
        return write_guest_cr4(v, value);
    default:
        return false;
    }
}

bool exit_cr_access(struct vcpu *v)
{
    u64 q = vmread(EXIT_QUALIFICATION);

    if (QUAL_OP(q) == OP_MOV_TO) {
        if (!mov_to(v, QUAL_CR(q), operand(v, QUAL_REG(q)))) {
            vcpu_inject_exception_error(v, VEC_GP, 0);
            return false;
        }
    } else if (QUAL_OP(q) == OP_MOV_FROM && QUAL_CR(q) == 8) {
        vcpu_set_reg(v, QUAL_REG(q), lapic_tpr(v->lapic) >> 4);
    } else {
        vm_crash(v, "CR access that Nidus does not expect, qualification 0x%lx", q);
        return false;
    }
    if (unlikely(v->pv.area) && !vcpu_in_l2(v))
        pv_area_store_crs(v);
    vcpu_skip_instruction(v);
    return vcpu_can_resume(v);
}

/* SDM volume 2, XSETBV. The checks of CR4.OSXSAVE and of CPL come before the exit, but an emulated CPU may
 * leave that of CPL out. */
bool exit_xsetbv(struct vcpu *v)
{
    u64 value = (v->gpr[REG_RDX] << 32) | (u32)v->gpr[REG_RAX], allowed = v->cpuid->xcr0_allowed;
    const u64 sse = BIT(1), avx = BIT(2), avx512 = BITS(7, 5);
    bool bad = SEG_AR_DPL(vmread(GUEST_SS_ACCESS_RIGHTS)) || (u32)v->gpr[REG_RCX] != 0 || !(value & 1) ||
               (value & ~allowed) || ((value & avx) && !(value & sse)) ||
               ((value & avx512) && ((value & avx512) != avx512 || !(value & avx)));

    if (bad) {
        vcpu_inject_exception_error(v, VEC_GP, 0);
        return false;
    }
    xsetbv(0, value);
    vcpu_skip_instruction(v);
    return vcpu_in_time(v);
}
