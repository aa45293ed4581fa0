/* SPDX-License-Identifier: MIT */
/* links: arch/x86/vmx_caps.c arch/x86/vmx_names.c */
/* vmcs02 from vmcs12 and back: what L2 runs with, and what L1 finds afterwards. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/nested_l2.h"

static u32 flushed[4], nr_flushed; /* VPIDs */

static inline void invvpid_single(u16 vpid)
{
    assert_true(nr_flushed < ARRAY_SIZE(flushed));
    flushed[nr_flushed++] = vpid;
}

#include "vmm/nested/vmcs02.c"
#undef V12
#include "vmm/nested/cr.c"

/* --- what lies below --- */

#define OWN_SECONDARY                                                                        \
    (PROC2_ENABLE_EPT | PROC2_UNRESTRICTED_GUEST | PROC2_ENABLE_VPID | PROC2_ENABLE_RDTSCP | \
     PROC2_ENABLE_INVPCID | PROC2_ENABLE_XSAVES | PROC2_WBINVD_EXITING | PROC2_USER_WAIT_AND_PAUSE)
#define OWN_PRIMARY                                                                            \
    (PROC_HLT_EXITING | PROC_CR8_LOAD_EXITING | PROC_CR8_STORE_EXITING | PROC_USE_IO_BITMAPS | \
     PROC_USE_MSR_BITMAPS | PROC_USE_TSC_OFFSETTING | (u64)PROC_ACTIVATE_SECONDARY)
#define OWN_CR0 (~(u64)(CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_WP | CR0_AM | CR0_PG))
#define ALLOWED_CR4 \
    (CR4_TSD | CR4_DE | CR4_PSE | CR4_PAE | CR4_MCE | CR4_PGE | CR4_OSFXSR | CR4_PCIDE | CR4_SMEP)
#define CR4_FIXED1 (ALLOWED_CR4 | CR4_VMXE)

#define SHADOW_EPTP 0x77000ull
#define VM_EPTP     0x88000ull

static u64 pdptes[4], used_eptp;
static u32 merged, vector, skipped, paging_changes;
static bool root; /* L1 runs, in VMX root operation: what Nidus owns of its CR0 is more */

u64 vmcs_cr0_mask(struct vcpu *v)
{
    (void)v;
    return OWN_CR0 | (root ? CR0_PE | (u64)CR0_PG : 0);
}

u64 vmcs_cr4_mask(struct vcpu *v)
{
    (void)v;
    return ~(u64)ALLOWED_CR4 | CR4_VMXE;
}

u64 vmcs_secondary_controls(struct vcpu *v)
{
    (void)v;
    return OWN_SECONDARY;
}

void apicv_stop_access_page(struct vm *of)
{
    assert_ptr_equal(of, &vm);
    of->access_page_used = false;
}

u64 shadow_ept_use(struct vcpu *v, u64 eptp12)
{
    (void)v;
    used_eptp = eptp12;
    return SHADOW_EPTP;
}

#define NO_RAM 0xfee00000ull

static u8 none[8]; /* only its address counts */
static u64 emptied_eptp;
static u32 nr_emptied;

void shadow_ept_invalidate(struct vcpu *v, u64 eptp12)
{
    (void)v;
    emptied_eptp = eptp12;
    nr_emptied++;
}

void shadow_ept_invalidate_all(struct vcpu *v)
{
    shadow_ept_invalidate(v, ~0ull);
}

bool nested_page(struct vcpu *v, gpa_t gpa1, paddr_t *pa)
{
    (void)v;
    *pa = gpa1 + 0x10000000;
    return true;
}

bool nested_page_or_none(struct vcpu *v, gpa_t gpa1, paddr_t *pa)
{
    if (gpa1 != NO_RAM)
        return nested_page(v, gpa1, pa);
    nested.none = none;
    *pa = pool_pa(none);
    return true;
}

void nested_merge_msr_bitmap(struct vcpu *v)
{
    (void)v;
    merged++;
}

void nested_merge_again(struct vcpu *v)
{
    nested_merge_msr_bitmap(v);
}

int guest_read(struct vm *of, gpa_t gpa, void *to, u64 n)
{
    assert_ptr_equal(of, &vm);
    assert_int_equal(gpa, 0x5020);
    memcpy(to, pdptes, n);
    return OK;
}

u64 vcpu_get_reg(struct vcpu *v, u32 n)
{
    return v->gpr[n];
}

void vcpu_skip_instruction(struct vcpu *v)
{
    (void)v;
    skipped++;
}

void vcpu_inject_exception_error(struct vcpu *v, u8 vec, u32 error_code)
{
    (void)v;
    assert_int_equal(error_code, 0);
    vector = vec;
}

bool exit_change_paging(struct vcpu *v, bool on)
{
    (void)v, (void)on;
    paging_changes++;
    return true;
}

void vcpu_flush_tlb(struct vcpu *v)
{
    invvpid_single(vcpu_vpid(v, true));
}

bool vmx_exit_handle(struct vcpu *v, u32 reason)
{
    (void)v;
    fail_msg("exit %u", reason);
    return false;
}

static void start(void)
{
    start_l2();
    vmx_features.word[VMX_WORD_PROC] = OWN_PRIMARY;
    vmx_features.word[VMX_WORD_ENTRY] = ENTRYCTL_DEFAULT1 | ENTRYCTL_LOAD_EFER | ENTRYCTL_LOAD_PAT;
    vmx_features.granted = BIT(VF_VPID) | BIT(VF_PAT);
    vm.nested_caps.cr4_fixed1 = CR4_FIXED1;
    vm.eptp = VM_EPTP;
    vm.vpid_base = 0x40;
    vcpu.tsc_offset = (u64)-1000;
    nr_flushed = merged = skipped = paging_changes = 0;
    vector = 0;
    L1_SAYS(PRIMARY_CONTROLS) = PROC_DEFAULT1;
    L1_SAYS(ENTRY_CONTROLS) = ENTRYCTL_DEFAULT1;
    L1_SAYS(GUEST_CR0) = CR0_PE | CR0_ET | CR0_NE | (u64)CR0_PG;
    L1_SAYS(GUEST_CR4) = CR4_VMXE;
}

static void secondary_on(u64 controls)
{
    L1_SAYS(PRIMARY_CONTROLS) |= PROC_ACTIVATE_SECONDARY;
    L1_SAYS(SECONDARY_CONTROLS) |= controls;
}

static const struct vmcs01_state l1_state = {
    .efer = EFER_SCE | EFER_LME | EFER_LMA, .pat = 0x11, .dr7 = 0x22, .debugctl = 2};

static void fill(void)
{
    vmcs02_fill(&vcpu, &l1_state);
}

/* --- controls --- */

static void primary_controls(void **state)
{
    /* Nidus's own, or done by it in another way. */
    const u64 never = PROC_USE_IO_BITMAPS | PROC_UNCONDITIONAL_IO_EXITING | PROC_USE_MSR_BITMAPS |
                      PROC_USE_TSC_OFFSETTING | PROC_ACTIVATE_SECONDARY | PROC_ACTIVATE_TERTIARY;
    const u64 cr8 = PROC_CR8_LOAD_EXITING | PROC_CR8_STORE_EXITING;

    (void)state;
    for (u32 bit = 0; bit < 32; bit++) {
        u64 wanted = OWN_PRIMARY | PROC_DEFAULT1 | (BIT(bit) & ~never);

        start();
        L1_SAYS(PRIMARY_CONTROLS) |= BIT(bit);
        if (BIT(bit) == PROC_USE_TPR_SHADOW)
            wanted &= ~cr8;
        fill();
        assert_int_equal(vmcs02[PRIMARY_CONTROLS], wanted);
        assert_int_equal(vcpu.irq_window, BIT(bit) == PROC_INTERRUPT_WINDOW_EXITING);
        assert_int_equal(vcpu.nmi_window, BIT(bit) == PROC_NMI_WINDOW_EXITING);
    }
    start();
    L1_SAYS(PRIMARY_CONTROLS) |= PROC_USE_TPR_SHADOW | PROC_CR8_STORE_EXITING;
    L1_SAYS(VIRTUAL_APIC_ADDRESS) = 0x3000;
    fill();
    assert_int_equal(vmcs02[PRIMARY_CONTROLS] & cr8, PROC_CR8_STORE_EXITING);
    assert_int_equal(vmcs02[VIRTUAL_APIC_ADDRESS], 0x10003000);
    assert_int_equal(vmcs02[APIC_ACCESS_ADDRESS], 0);
}

static void secondary_controls(void **state)
{
    const u64 both =
        PROC2_ENABLE_RDTSCP | PROC2_ENABLE_INVPCID | PROC2_ENABLE_XSAVES | PROC2_USER_WAIT_AND_PAUSE;
    const u64 passed = PROC2_VIRTUALIZE_APIC_ACCESSES | PROC2_DESCRIPTOR_TABLE_EXITING |
                       PROC2_VIRTUALIZE_X2APIC | PROC2_WBINVD_EXITING | PROC2_PAUSE_LOOP_EXITING |
                       PROC2_RDRAND_EXITING | PROC2_RDSEED_EXITING | PROC2_ENABLE_VM_FUNCTIONS |
                       PROC2_MODE_BASED_EXECUTE | PROC2_APIC_REGISTER_VIRTUALIZATION |
                       PROC2_VIRTUAL_INTERRUPT_DELIVERY;

    (void)state;
    for (u32 active = 0; active < 2; active++)
        for (u32 bit = 0; bit < 32; bit++) {
            u64 l1 = active ? BIT(bit) : 0;

            start();
            L1_SAYS(SECONDARY_CONTROLS) = BIT(bit);
            set(&L1_SAYS(PRIMARY_CONTROLS), PROC_ACTIVATE_SECONDARY, active);
            fill();
            assert_int_equal(vmcs02[SECONDARY_CONTROLS],
                             (OWN_SECONDARY & ~both) | (l1 & both) | (l1 & passed));
        }
    start();
    secondary_on(PROC2_VIRTUALIZE_APIC_ACCESSES);
    L1_SAYS(APIC_ACCESS_ADDRESS) = 0x4000;
    fill();
    assert_int_equal(vmcs02[APIC_ACCESS_ADDRESS], 0x10004000);
    start();
    secondary_on(PROC2_ENABLE_VM_FUNCTIONS);
    L1_SAYS(VM_FUNCTION_CONTROLS) = VMFUNC_EPTP_SWITCHING;
    fill();
    assert_int_equal(vmcs02[VM_FUNCTION_CONTROLS], 0);
}

/* An APIC-access page without RAM: what stands in for it is mapped by the shadow EPT, as long as it is
 * vmcs12's. */
static void access_page_without_ram(void **state)
{
    (void)state;
    start();
    secondary_on(PROC2_ENABLE_EPT | PROC2_ENABLE_VPID | PROC2_VIRTUALIZE_APIC_ACCESSES);
    L1_SAYS(APIC_ACCESS_ADDRESS) = NO_RAM;
    nr_emptied = 0;
    fill();
    assert_int_equal(vmcs02[APIC_ACCESS_ADDRESS], pool_pa(none));
    assert_int_equal(nested.stand_in, NO_RAM | NESTED_STANDS_IN);
    assert_int_equal(nr_emptied, 1);
    fill();
    vmcs02_refresh(&vcpu);
    assert_int_equal(nr_emptied, 1);
    /* Another vmcs12 is current. */
    L1_SAYS(APIC_ACCESS_ADDRESS) = 0x4000;
    nested.stale_ept = true;
    vmcs02_refresh(&vcpu);
    assert_int_equal(nr_emptied, 2);
    assert_int_equal(nested.stand_in, 0);
}

static void other_controls(void **state)
{
    static const u32 same[] = {
        PAGE_FAULT_ERROR_MASK, PAGE_FAULT_ERROR_MATCH, CR3_TARGET_COUNT, CR3_TARGET_0, CR3_TARGET_1,
        CR3_TARGET_2,          CR3_TARGET_3,           TPR_THRESHOLD,    PLE_GAP,      PLE_WINDOW,
        TSC_MULTIPLIER};
    static const u16 index[] = {VI_PAGE_FAULT_ERROR_MASK,
                                VI_PAGE_FAULT_ERROR_MATCH,
                                VI_CR3_TARGET_COUNT,
                                VI_CR3_TARGET_0,
                                VI_CR3_TARGET_1,
                                VI_CR3_TARGET_2,
                                VI_CR3_TARGET_3,
                                VI_TPR_THRESHOLD,
                                VI_PLE_GAP,
                                VI_PLE_WINDOW,
                                VI_TSC_MULTIPLIER};

    (void)state;
    start();
    for (u32 i = 0; i < ARRAY_SIZE(same); i++)
        nested.vmcs12.image.f[index[i]] = 0x100 + i;
    L1_SAYS(EXCEPTION_BITMAP) = BIT(VEC_PF);
    L1_SAYS(PRIMARY_CONTROLS) |= PROC_ACTIVATE_SECONDARY;
    L1_SAYS(SECONDARY_CONTROLS) |= PROC2_PAUSE_LOOP_EXITING;
    fill();
    for (u32 i = 0; i < ARRAY_SIZE(same); i++)
        assert_int_equal(vmcs02[same[i]], 0x100 + i);
    assert_int_equal(vmcs02[EXCEPTION_BITMAP], BIT(VEC_PF) | BIT(VEC_DB) | BIT(VEC_AC) | BIT(VEC_MC));
    assert_int_equal(vmcs02[GUEST_ACTIVITY_STATE], ACTIVITY_ACTIVE);
    assert_int_equal(merged, 1);
}

static void event_injection_fields(void **state)
{
    (void)state;
    start();
    vmcs02[ENTRY_INTERRUPTION_INFO] = INTR_INFO_VALID;
    L1_SAYS(ENTRY_EXCEPTION_ERROR_CODE) = 5;
    L1_SAYS(ENTRY_INSTRUCTION_LENGTH) = 6;
    fill();
    assert_int_equal(vmcs02[ENTRY_INTERRUPTION_INFO], 0);
    assert_int_equal(vmcs02[ENTRY_EXCEPTION_ERROR_CODE], 5);
    assert_int_equal(vmcs02[ENTRY_INSTRUCTION_LENGTH], 6);
}

static void translation(void **state)
{
    (void)state;
    start();
    L1_SAYS(EPT_POINTER) = 0x501e;
    fill();
    assert_int_equal(vmcs02[EPT_POINTER], VM_EPTP);
    assert_int_equal(flushed[0], 0x41); /* without a VPID, each time */
    fill();
    assert_int_equal(nr_flushed, 2);
    secondary_on(PROC2_ENABLE_EPT | PROC2_ENABLE_VPID);
    L1_SAYS(VPID) = 9;
    fill();
    assert_int_equal(vmcs02[EPT_POINTER], SHADOW_EPTP);
    assert_int_equal(used_eptp, 0x501e);
    assert_int_equal(nr_flushed, 3); /* another VPID */
    vmcs02_refresh(&vcpu);
    assert_int_equal(nr_flushed, 3);
    nested.flush_vpid = true; /* INVVPID */
    vmcs02_refresh(&vcpu);
    vmcs02_refresh(&vcpu);
    assert_int_equal(nr_flushed, 4);
    L1_SAYS(EPT_POINTER) = 0x601e;
    vmcs02[EPT_POINTER] = 0;
    nested.eptp02 = VM_EPTP;
    vmcs02_use_ept(&vcpu); /* translations go by EPTP: nothing to forget */
    assert_int_equal(vmcs02[EPT_POINTER], SHADOW_EPTP);
    assert_int_equal(nested.eptp02, SHADOW_EPTP);
    assert_int_equal(used_eptp, 0x601e);
    assert_int_equal(nr_flushed, 4);
    secondary_on(PROC2_ENABLE_EPT | PROC2_MODE_BASED_EXECUTE);
    fill();
    assert_int_equal(used_eptp, 0x601e | SHADOW_MODE_BASED);
    nr_flushed = 0;
    vm.access_page_used = true;
    fill();
    assert_true(vm.access_page_used);
    L1_SAYS(SECONDARY_CONTROLS) = 0; /* L2 runs on the VM's own EPT */
    fill();
    assert_false(vm.access_page_used);
}

/* Dirty flags that L1 has cleared count at once, unless it has a VPID. */
static void logged_writes(void **state)
{
    (void)state;
    for (u32 i = 0; i < 8; i++) {
        start();
        nr_emptied = 0;
        secondary_on(PROC2_ENABLE_EPT | (i & 1 ? PROC2_ENABLE_PML : 0) | (i & 2 ? PROC2_ENABLE_VPID : 0));
        if (i & 4)
            vmx_features.granted &= ~BIT(VF_VPID);
        L1_SAYS(VPID) = 9;
        L1_SAYS(EPT_POINTER) = 0x605e;
        L1_SAYS(GUEST_PML_INDEX) = 77;
        fill();
        assert_int_equal(nr_emptied, (i & 3) == 1);
        if (nr_emptied)
            assert_int_equal(emptied_eptp, 0x605e);
        assert_int_equal(vmcs02[GUEST_PML_INDEX], 77);
        assert_int_equal(vmcs02[SECONDARY_CONTROLS] & PROC2_ENABLE_PML, 0);
    }
}

/* --- TSC: what L2 reads, by the SDM, against what the CPU makes of vmcs02 --- */

static u64 scaled(u64 tsc, u64 multiplier)
{
    return (u64)(((unsigned __int128)tsc * multiplier) >> 48);
}

static void tsc(void **state)
{
    (void)state;
    for (u32 round = 0; round < 4000; round++) {
        bool offsetting = round & 1, scaling = round & 2;
        u64 host = random_bits() >> 20, l1, l2, cpu;

        start();
        vcpu.tsc_offset = -(random_bits() % (host + 1)); /* the VM's TSC began at 0 */
        L1_SAYS(TSC_OFFSET) = random_bits();
        L1_SAYS(TSC_MULTIPLIER) = (random_bits() >> 14) | 1;
        set(&L1_SAYS(PRIMARY_CONTROLS), PROC_USE_TSC_OFFSETTING, offsetting);
        if (scaling)
            secondary_on(PROC2_USE_TSC_SCALING);
        fill();
        l1 = host + vcpu.tsc_offset;
        l2 = offsetting ? (scaling ? scaled(l1, L1_SAYS(TSC_MULTIPLIER)) : l1) + L1_SAYS(TSC_OFFSET) : l1;
        cpu =
            vmcs02[SECONDARY_CONTROLS] & PROC2_USE_TSC_SCALING ? scaled(host, vmcs02[TSC_MULTIPLIER]) : host;
        cpu += vmcs02[TSC_OFFSET];
        assert_in_range(l2 - cpu + 2, 0, 4); /* two roundings */
        if (!offsetting || !scaling)
            assert_int_equal(l2, cpu);
    }
}

static void tsc_moves(void **state)
{
    (void)state;
    start();
    L1_SAYS(PRIMARY_CONTROLS) |= PROC_USE_TSC_OFFSETTING;
    L1_SAYS(TSC_OFFSET) = 50;
    fill();
    assert_int_equal(vmcs02[TSC_OFFSET], (u64)-950);
    /* By L1: the next entry, quick or not, has it. */
    vcpu.tsc_offset = 7;
    vmcs02_refresh(&vcpu);
    assert_int_equal(vmcs02[TSC_OFFSET], 57);
    assert_false(nested.tsc_moved);
    /* By L2: the handler knows of one offset only, and writes it even when nothing changes. */
    vcpu.tsc_offset = vmcs02[TSC_OFFSET] = 8;
    vmcs02_follow_tsc(&vcpu);
    assert_int_equal(vmcs02[TSC_OFFSET], 58);
    assert_true(nested.tsc_moved);
}

/* --- CR0 and CR4: an L2 on a CPU that has vmcs12, and the same on one that has vmcs02 --- */

struct model {
    u64 real, mask, shadow;
};

enum outcome { DONE, EXIT, FAULT };

static u64 seen(const struct model *m)
{
    return (m->shadow & m->mask) | (m->real & ~m->mask);
}

static bool valid_cr0(u64 cr0)
{
    u64 required = CR0_NE | (unrestricted(&vcpu) ? 0 : CR0_PE | (u64)CR0_PG);

    return !(cr0 >> 32) && !(cr0 & CR0_PG && !(cr0 & CR0_PE)) && !(cr0 & CR0_NW && !(cr0 & CR0_CD)) &&
           !(required & ~cr0);
}

static bool valid_cr4(u64 cr4)
{
    return !(cr4 & ~(u64)CR4_FIXED1) && cr4 & CR4_VMXE;
}

static const u64 ignored = BITS(28, 19) | BIT(17) | BITS(15, 6);

static enum outcome model_mov(struct model *m, u32 cr, u64 value)
{
    u64 new;

    if ((value ^ m->shadow) & m->mask)
        return EXIT;
    if (cr == 0)
        value = (value & ~ignored) | CR0_ET;
    new = (value & ~m->mask) | (m->real & m->mask);
    if (cr == 0 ? !valid_cr0(new) : !valid_cr4(new))
        return FAULT;
    m->real = new;
    return DONE;
}

static struct model cpu_of_vmcs02(u32 cr)
{
    if (cr == 0)
        return (struct model){vmcs02[GUEST_CR0], vmcs02[CR0_GUEST_HOST_MASK], vmcs02[CR0_READ_SHADOW]};
    return (struct model){vmcs02[GUEST_CR4], vmcs02[CR4_GUEST_HOST_MASK], vmcs02[CR4_READ_SHADOW]};
}

/* The instruction, and Nidus where it makes an exit. */
static enum outcome real_mov(u32 cr, u64 value)
{
    struct model m = cpu_of_vmcs02(cr);

    if (!((value ^ m.shadow) & m.mask)) {
        enum outcome r = model_mov(&m, cr, value);

        vmcs02[cr ? GUEST_CR4 : GUEST_CR0] = m.real;
        return r;
    }
    vcpu.gpr[REG_RBX] = value;
    vmcs02[EXIT_QUALIFICATION] = cr | REG_RBX << 8;
    if (nested_wants_cr(&vcpu))
        return EXIT;
    vector = skipped = 0;
    nested_own_cr(&vcpu);
    assert_int_equal(skipped, vector != VEC_GP);
    return skipped ? DONE : FAULT;
}

/* Some bits of the whole; mostly those that mean something. */
static u64 some(u64 of)
{
    return random_bits() & of;
}

static void expect_mov(struct model *m, u32 cr, u64 value)
{
    enum outcome wanted = model_mov(m, cr, value), is = real_mov(cr, value);
    struct model now02 = cpu_of_vmcs02(cr);

    if (is != wanted || seen(&now02) != seen(m))
        fail_msg("CR%u value %lx mask %lx shadow %lx: %u for %u, L2 reads %lx for %lx", cr,
                 (unsigned long)value, (unsigned long)m->mask, (unsigned long)m->shadow, is, wanted,
                 (unsigned long)seen(&now02), (unsigned long)seen(m));
}

static void expect_saved(const struct model *m, u32 cr)
{
    root = true;
    vmcs02_save(&vcpu);
    root = false;
    assert_int_equal(cr ? L1_SAYS(GUEST_CR4) : L1_SAYS(GUEST_CR0), m->real);
}

static void start_64(void)
{
    start();
    L1_SAYS(ENTRY_CONTROLS) |= ENTRYCTL_IA32E_MODE_GUEST | ENTRYCTL_LOAD_EFER;
    L1_SAYS(GUEST_IA32_EFER) = EFER_LMA | EFER_LME;
    L1_SAYS(GUEST_CS_ACCESS_RIGHTS) = SEG_AR_L;
}

static void cr0(void **state)
{
    const u64 defined = 0xe005003f;

    (void)state;
    for (u32 round = 0; round < 60000; round++) {
        struct model m;

        start_64();
        if (round & 1)
            secondary_on(PROC2_ENABLE_EPT | PROC2_UNRESTRICTED_GUEST);
        m.mask = round & 2 ? some(~0ull) : some(defined);
        m.shadow = some(round & 4 ? 0xffffffff : defined);
        do
            m.real = some(defined) | CR0_NE | CR0_ET | (round & 1 ? 0 : CR0_PE | (u64)CR0_PG);
        while (!valid_cr0(m.real));
        L1_SAYS(CR0_GUEST_HOST_MASK) = m.mask;
        L1_SAYS(CR0_READ_SHADOW) = m.shadow;
        L1_SAYS(GUEST_CR0) = m.real;
        fill();
        assert_int_equal(vmcs02[GUEST_CR0] & (CR0_NE | CR0_CD | CR0_NW), CR0_NE);
        for (u32 i = 0; i < 8; i++) {
            /* Near what it reads, so that not each makes an exit. */
            u64 value = seen(&m) ^ (some(defined) & random_bits() & random_bits());

            if (i == 7)
                value ^= BIT(random_bits() % 40);
            expect_mov(&m, 0, value);
            nr_flushed = 0;
        }
        expect_saved(&m, 0);
    }
}

static void cr4(void **state)
{
    (void)state;
    for (u32 round = 0; round < 60000; round++) {
        struct model m;

        start_64();
        m.mask = round & 2 ? some(~0ull) : some(CR4_FIXED1);
        m.shadow = some(round & 4 ? 0xffffffff : CR4_FIXED1);
        m.real = some(CR4_FIXED1) | CR4_VMXE;
        L1_SAYS(CR4_GUEST_HOST_MASK) = m.mask;
        L1_SAYS(CR4_READ_SHADOW) = m.shadow;
        L1_SAYS(GUEST_CR4) = m.real;
        fill();
        assert_true(vmcs02[GUEST_CR4] & CR4_VMXE);
        for (u32 i = 0; i < 8; i++) {
            u64 value = seen(&m) ^ (some(CR4_FIXED1) & random_bits() & random_bits());

            if (i == 7)
                value ^= BIT(random_bits() % 64);
            expect_mov(&m, 4, value);
        }
        expect_saved(&m, 4);
    }
}

static void cr_operands(void **state)
{
    (void)state;
    start();
    fill();
    /* What a 64-bit program has left above. */
    assert_int_equal(real_mov(0, BIT(40) | CR0_PE | CR0_ET | CR0_NE | (u64)CR0_PG | CR0_CD), DONE);
    assert_int_equal(vmcs02[CR0_READ_SHADOW], CR0_PE | CR0_ET | CR0_NE | (u64)CR0_PG | CR0_CD);
    assert_int_equal(paging_changes, 0);
    /* With bits that Nidus keeps, an unrestricted L2 may turn off paging. */
    start();
    secondary_on(PROC2_ENABLE_EPT | PROC2_UNRESTRICTED_GUEST);
    fill();
    nr_flushed = 0;
    assert_int_equal(real_mov(0, CR0_PE | CR0_ET | CR0_NE | CR0_CD), DONE);
    assert_int_equal(paging_changes, 1);
    assert_int_equal(nr_flushed, 1);
}

/* --- registers with controls of their own --- */

static void loaded_registers(void **state)
{
    (void)state;
    for (u32 i = 0; i < 8; i++) {
        bool e = i & 1, p = i & 2, d = i & 4;

        start();
        set(&L1_SAYS(ENTRY_CONTROLS), ENTRYCTL_LOAD_EFER, e);
        set(&L1_SAYS(ENTRY_CONTROLS), ENTRYCTL_LOAD_PAT, p);
        set(&L1_SAYS(ENTRY_CONTROLS), ENTRYCTL_LOAD_DEBUG_CONTROLS, d);
        L1_SAYS(GUEST_IA32_EFER) = EFER_NXE;
        L1_SAYS(GUEST_IA32_PAT) = 0x33;
        L1_SAYS(GUEST_DR7) = 0x44;
        L1_SAYS(GUEST_IA32_DEBUGCTL) = 1;
        fill();
        assert_int_equal(vmcs02[GUEST_IA32_EFER], e ? EFER_NXE : EFER_SCE);
        assert_int_equal(vmcs02[GUEST_IA32_PAT], p ? 0x33 : 0x11);
        assert_int_equal(vmcs02[GUEST_DR7], d ? 0x44 : 0x22);
        assert_int_equal(vmcs02[GUEST_IA32_DEBUGCTL], d ? 1 : 2);
        assert_int_equal(vmcs02[ENTRY_CONTROLS], vmx_features.word[VMX_WORD_ENTRY]);
    }
}

/* 'Loading Guest Control Registers, Debug Registers, and MSRs', without 'load IA32_EFER'. */
static void efer_without_load(void **state)
{
    static const struct {
        u64 l1;
        bool ia32e, paging;
        u64 efer;
    } rows[] = {
        {EFER_LMA | EFER_LME | EFER_SCE, true, true, EFER_LMA | EFER_LME | EFER_SCE},
        {EFER_LMA | EFER_LME | EFER_SCE, false, true, EFER_SCE},
        {EFER_LMA | EFER_LME | EFER_SCE, false, false, EFER_LME | EFER_SCE},
        {EFER_NXE, false, false, EFER_NXE},
        {EFER_NXE, false, true, EFER_NXE},
    };

    (void)state;
    for (u32 i = 0; i < ARRAY_SIZE(rows); i++) {
        struct vmcs01_state l1 = {.efer = rows[i].l1};

        start();
        set(&L1_SAYS(ENTRY_CONTROLS), ENTRYCTL_IA32E_MODE_GUEST, rows[i].ia32e);
        set(&L1_SAYS(GUEST_CR0), CR0_PG, rows[i].paging);
        vmcs02_fill(&vcpu, &l1);
        assert_int_equal(vmcs02[GUEST_IA32_EFER], rows[i].efer);
        assert_int_equal(!!(vmcs02[ENTRY_CONTROLS] & ENTRYCTL_IA32E_MODE_GUEST), rows[i].ia32e);
        /* L2 itself has come to that mode. */
        set(&L1_SAYS(ENTRY_CONTROLS), ENTRYCTL_IA32E_MODE_GUEST, !rows[i].ia32e);
        set(&L1_SAYS(GUEST_CR0), CR0_PG, !rows[i].paging);
        vmcs02_inherit(&vcpu, &l1);
        assert_int_equal(vmcs02[GUEST_IA32_EFER], rows[i].efer);
    }
}

/* What a quick entry finds in vmcs02 is L2's unless the exit saves it: loaded by L1's control, or inherited.
 */
static void registers_of_a_quick_entry(void **state)
{
    static const struct {
        u64 load, save;
        u32 field;
        enum vmcs_index index;
        u64 inherited;
    } rows[] = {
        {ENTRYCTL_LOAD_EFER, EXITCTL_SAVE_EFER, GUEST_IA32_EFER, VI_GUEST_IA32_EFER, EFER_SCE},
        {ENTRYCTL_LOAD_PAT, EXITCTL_SAVE_PAT, GUEST_IA32_PAT, VI_GUEST_IA32_PAT, 0x11},
        {ENTRYCTL_LOAD_DEBUG_CONTROLS, EXITCTL_SAVE_DEBUG_CONTROLS, GUEST_DR7, VI_GUEST_DR7, 0x22},
        {ENTRYCTL_LOAD_DEBUG_CONTROLS, EXITCTL_SAVE_DEBUG_CONTROLS, GUEST_IA32_DEBUGCTL,
         VI_GUEST_IA32_DEBUGCTL, 2},
    };

    (void)state;
    for (u32 n = 0; n < 4 * ARRAY_SIZE(rows); n++) {
        bool load = n & 1, save = n & 2;
        u32 i = n / 4;

        start();
        set(&L1_SAYS(ENTRY_CONTROLS), rows[i].load, load);
        set(&L1_SAYS(PRIMARY_EXIT_CONTROLS), rows[i].save, save);
        nested.vmcs12.image.f[rows[i].index] = 0x700;
        vmcs02[GUEST_CR0] = CR0_PE | (u64)CR0_PG;
        vmcs02[rows[i].field] = 0x500; /* by L2 */
        vmcs02_inherit(&vcpu, &l1_state);
        assert_int_equal(vmcs02[rows[i].field], !load ? rows[i].inherited : save ? 0x500 : 0x700);
    }
}

static void saved_registers(void **state)
{
    (void)state;
    for (u32 i = 0; i < 8; i++) {
        bool e = i & 1, p = i & 2, d = i & 4;

        start();
        fill();
        set(&L1_SAYS(PRIMARY_EXIT_CONTROLS), EXITCTL_SAVE_EFER, e);
        set(&L1_SAYS(PRIMARY_EXIT_CONTROLS), EXITCTL_SAVE_PAT, p);
        set(&L1_SAYS(PRIMARY_EXIT_CONTROLS), EXITCTL_SAVE_DEBUG_CONTROLS, d);
        vmcs02[GUEST_IA32_EFER] = EFER_NXE;
        vmcs02[GUEST_IA32_PAT] = 0x55;
        vmcs02[GUEST_DR7] = 0x66;
        vmcs02[GUEST_IA32_DEBUGCTL] = 3;
        vmcs02_save(&vcpu);
        assert_int_equal(L1_SAYS(GUEST_IA32_EFER), e ? EFER_NXE : 0);
        assert_int_equal(L1_SAYS(GUEST_IA32_PAT), p ? 0x55 : 0);
        assert_int_equal(L1_SAYS(GUEST_DR7), d ? 0x66 : 0);
        assert_int_equal(L1_SAYS(GUEST_IA32_DEBUGCTL), d ? 3 : 0);
    }
}

/* An unrestricted L2 goes to and fro by itself. */
static void saved_mode(void **state)
{
    (void)state;
    start();
    secondary_on(PROC2_ENABLE_EPT | PROC2_UNRESTRICTED_GUEST);
    fill();
    vmcs02[ENTRY_CONTROLS] |= ENTRYCTL_IA32E_MODE_GUEST;
    vmcs02_save(&vcpu);
    assert_int_equal(L1_SAYS(ENTRY_CONTROLS), ENTRYCTL_DEFAULT1 | ENTRYCTL_IA32E_MODE_GUEST);
    vmcs02[ENTRY_CONTROLS] &= ~(u64)ENTRYCTL_IA32E_MODE_GUEST;
    vmcs02_save(&vcpu);
    assert_int_equal(L1_SAYS(ENTRY_CONTROLS), ENTRYCTL_DEFAULT1);
}

/* Where the CPU has virtual-interrupt delivery the field goes to and fro. */
static void interrupt_status(void **state)
{
    (void)state;
    for (u32 has = 0; has < 2; has++) {
        start();
        vmx_features.granted |= has ? BIT(VF_VIRTUAL_INTERRUPT_DELIVERY) : 0;
        set(&vmx_caps.proc2, (u64)PROC2_VIRTUAL_INTERRUPT_DELIVERY << 32, has);
        L1_SAYS(GUEST_INTERRUPT_STATUS) = 0x4131;
        for (u32 i = 0; i < 4; i++)
            nested.vmcs12.image.f[VI_EOI_EXIT_BITMAP_0 + i] = 0x1000 + i;
        fill();
        assert_int_equal(vmcs02[GUEST_INTERRUPT_STATUS], has ? 0x4131 : 0);
        for (u32 i = 0; i < 4; i++)
            assert_int_equal(vmcs02[EOI_EXIT_BITMAP_0 + 2 * i], has ? 0x1000 + i : 0);
        vmcs02[GUEST_INTERRUPT_STATUS] = 0x3100;
        vmcs02_save(&vcpu);
        assert_int_equal(L1_SAYS(GUEST_INTERRUPT_STATUS), has ? 0x3100 : 0x4131);
    }
}

static void pdpte_registers(void **state)
{
    (void)state;
    for (u32 i = 0; i < 16; i++) {
        bool ept = i & 1, pae = i & 2, paging = i & 4, ia32e = i & 8, used = pae && paging && !ia32e;
        u64 first = used ? (ept ? 0x1001 : 0x2001) : 0;

        start();
        if (ept)
            secondary_on(PROC2_ENABLE_EPT);
        set(&L1_SAYS(GUEST_CR4), CR4_PAE, pae);
        set(&L1_SAYS(GUEST_CR0), CR0_PG, paging);
        set(&L1_SAYS(ENTRY_CONTROLS), ENTRYCTL_IA32E_MODE_GUEST, ia32e);
        L1_SAYS(GUEST_CR3) = 0x503f;
        for (u32 n = 0; n < 4; n++) {
            nested.vmcs12.image.f[VI_GUEST_PDPTE0 + n] = 0x1001 + 0x100000 * n;
            pdptes[n] = 0x2001 + 0x100000 * n;
        }
        fill();
        for (u32 n = 0; n < 4; n++) {
            assert_int_equal(vmcs02[GUEST_PDPTE0 + 2 * n], first ? first + 0x100000 * n : 0);
            vmcs02[GUEST_PDPTE0 + 2 * n] = 0x3001 + n;
        }
        vmcs02_save(&vcpu);
        for (u32 n = 0; n < 4; n++)
            assert_int_equal(nested.vmcs12.image.f[VI_GUEST_PDPTE0 + n],
                             used && ept ? 0x3001 + n : 0x1001 + 0x100000 * n);
    }
}

/* All other state goes there and back as it is, and no field is another's. */
static void plain_state(void **state)
{
    (void)state;
    start();
    for (u32 i = 0; i < vmcs02_nr_same; i++)
        nested.vmcs12.image.f[vmcs02_same[i]] = 0x1000 + i;
    fill();
    for (u32 i = 0; i < vmcs02_nr_same; i++) {
        u32 encoding = vmcs_field_encoding(vmcs02_same[i]);

        assert_int_equal(VMCS_ENC_TYPE(encoding), 2);
        assert_int_equal(vmcs02[encoding], 0x1000 + i);
        vmcs02[encoding] = 0x2000 + i;
    }
    vmcs02_save(&vcpu);
    for (u32 i = 0; i < vmcs02_nr_same; i++)
        assert_int_equal(nested.vmcs12.image.f[vmcs02_same[i]], 0x2000 + i);
    assert_int_equal(L1_SAYS(GUEST_ACTIVITY_STATE), ACTIVITY_ACTIVE);
    vcpu.activity = VCPU_HALTED;
    vmcs02_save(&vcpu);
    assert_int_equal(L1_SAYS(GUEST_ACTIVITY_STATE), ACTIVITY_HLT);
    vcpu.activity = VCPU_WAIT_SIPI;
    vmcs02_save(&vcpu);
    assert_int_equal(L1_SAYS(GUEST_ACTIVITY_STATE), ACTIVITY_WAIT_FOR_SIPI);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(primary_controls),
        cmocka_unit_test(secondary_controls),
        cmocka_unit_test(access_page_without_ram),
        cmocka_unit_test(other_controls),
        cmocka_unit_test(event_injection_fields),
        cmocka_unit_test(translation),
        cmocka_unit_test(logged_writes),
        cmocka_unit_test(tsc),
        cmocka_unit_test(tsc_moves),
        cmocka_unit_test(cr0),
        cmocka_unit_test(cr4),
        cmocka_unit_test(cr_operands),
        cmocka_unit_test(loaded_registers),
        cmocka_unit_test(efer_without_load),
        cmocka_unit_test(registers_of_a_quick_entry),
        cmocka_unit_test(saved_registers),
        cmocka_unit_test(saved_mode),
        cmocka_unit_test(interrupt_status),
        cmocka_unit_test(pdpte_registers),
        cmocka_unit_test(plain_state),
    };

    return cmocka_run_group_tests_name("nested_vmcs02", tests, NULL, NULL);
}
