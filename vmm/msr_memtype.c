/* SPDX-License-Identifier: MIT */
/*
 * MTRRs and PAT: SDM 325384, 'Memory Type Range Registers (MTRRs)' and 'Page Attribute Table (PAT)'. The
 * guest's MTRRs are kept and have no effect: EPT gives the type of its memory.
 */
#include "vmm/msr_table.h"
#include "arch/x86/regs.h"
#include "arch/x86/vmx_caps.h"

#define TYPE_UC      0ull
#define MTRR_TYPES   0x73u /* UC, WC, WT, WP, WB: bit n for type n */
#define PAT_TYPES    0xf3u /* and UC- */
#define DEF_FE       BIT(10)
#define DEF_E        BIT(11)
#define MASK_VALID   BIT(11)
#define ALL_WB       0x0606060606060606ull
#define FIX16K_A0000 2 /* index of the VGA window in mtrr_fixed */
#define NR_FIXED     11

/* The MSRs of mtrr_fixed[]. */
static const u16 fixed_msrs[NR_FIXED] = {0x250, 0x258, 0x259, 0x268, 0x269, 0x26a,
                                         0x26b, 0x26c, 0x26d, 0x26e, 0x26f};

static bool types_valid(u64 types, u32 allowed)
{
    for (u32 i = 0; i < 64; i += 8) {
        u8 type = types >> i;

        if (type > 7 || !(allowed >> type & 1))
            return false;
    }
    return true;
}

static bool type_valid(u8 type)
{
    return type <= 7 && MTRR_TYPES >> type & 1;
}

static u64 *place(struct vcpu_msrs *m, u32 msr)
{
    if (msr == MSR_IA32_MTRR_DEF_TYPE)
        return &m->mtrr_def_type;
    for (u32 i = 0; i < NR_FIXED; i++)
        if (fixed_msrs[i] == msr)
            return &m->mtrr_fixed[i];
    return &m->mtrr_var[msr - MSR_IA32_MTRR_PHYSBASE0];
}

static bool mtrr_valid(const struct guest_cpuid *c, u32 msr, u64 value)
{
    u64 address = BITS(c->maxphyaddr - 1, 12);

    if (msr == MSR_IA32_MTRR_DEF_TYPE)
        return !(value & ~MTRR_DEF_VALID) && type_valid(value & 0xff);
    if (msr >= MSR_IA32_MTRR_FIX64K)
        return types_valid(value, MTRR_TYPES);
    if (msr & 1)
        return !(value & ~(address | MASK_VALID));
    return !(value & ~(address | 0xff)) && type_valid(value & 0xff);
}

int msr_mtrr_read(struct vcpu *v, const struct msr_row *row, u32 msr, u64 *value)
{
    (void)row;
    *value = *place(&v->msrs, msr);
    return OK;
}

int msr_mtrr_write(struct vcpu *v, const struct msr_row *row, u32 msr, u64 value)
{
    (void)row;
    if (!mtrr_valid(v->cpuid, msr, value))
        return ERR_INVAL;
    *place(&v->msrs, msr) = value;
    return OK;
}

void msr_mtrr_reset(struct vcpu_msrs *m, const struct guest_cpuid *c)
{
    for (u32 i = 0; i < NR_FIXED; i++)
        m->mtrr_fixed[i] = ALL_WB;
    m->mtrr_fixed[FIX16K_A0000] = 0;
    m->mtrr_var[0] = GUEST_PCI_HOLE | TYPE_UC;
    m->mtrr_var[1] = BITS(c->maxphyaddr - 1, 30) | MASK_VALID;
    m->mtrr_def_type = DEF_E | DEF_FE | 6;
}

int msr_pat_read(struct vcpu *v, const struct msr_row *row, u32 msr, u64 *value)
{
    (void)row, (void)msr;
    *value = v->cpuid->vmx_granted & BIT(VF_PAT) ? vcpu_vmread(v, GUEST_IA32_PAT) : v->msrs.pat;
    return OK;
}

int msr_pat_write(struct vcpu *v, const struct msr_row *row, u32 msr, u64 value)
{
    (void)row, (void)msr;
    if (!types_valid(value, PAT_TYPES))
        return ERR_INVAL;
    if (v->cpuid->vmx_granted & BIT(VF_PAT))
        vcpu_vmwrite(v, GUEST_IA32_PAT, value);
    else
        v->msrs.pat = value;
    return OK;
}
