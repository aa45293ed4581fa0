/* SPDX-License-Identifier: MIT */
/* links: vmm/walk.c */
/* links: arch/x86/vmx_caps.c arch/x86/vmx_names.c vmm/events.c */
/* Exits from L2 to L1: the host state, what L1 finds in vmcs12, and when. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/nested_l2.h"

static u8 region01[8], region02[8]; /* only their addresses count */
static u32 flushed;

static inline void invvpid_single(u16 vpid)
{
    flushed = vpid;
}

static inline bool vmptrld(paddr_t region)
{
    loaded = region == pool_pa(region02) ? vmcs02 : vmcs01;
    assert_true(loaded == vmcs02 || region == pool_pa(region01));
    return true;
}

#include "vmm/nested/exit12.c"
#include "vmm/nested/sync.c"
#include "vmm/nested/vmcs02.c"

/* --- what lies below --- */

#define CURRENT 0x3000ull
#define PDPT    0x5020ull

struct frame_owner pool_owner;
static u8 bitmaps[2][PAGE_SIZE];
static u32 nr_bitmaps, abort_indicator, crashes, quick_written, continued;
static bool store_fails, load_fails, pdpt_missing;
static u64 pdptes[4];

void *pool_alloc(struct frame_owner *owner, u32 pages)
{
    assert_ptr_equal(owner, &pool_owner);
    assert_int_equal(pages, 1);
    return bitmaps[nr_bitmaps++];
}

void nested_switch(struct vcpu *v, bool l2)
{
    bool window = v->irq_window;

    assert_int_equal(l2, !v->nested->in_l2);
    v->irq_window = v->nested->other.irq_window;
    v->nested->other.irq_window = window;
    v->vmcs = l2 ? region02 : region01;
    v->nested->other.region = l2 ? region01 : region02;
    in_l2(l2);
}

bool nested_store_exit_msrs(struct vcpu *v)
{
    assert_true(v->nested->in_l2);
    return !store_fails;
}

bool nested_load_exit_msrs(struct vcpu *v)
{
    assert_false(v->nested->in_l2);
    return !load_fails;
}

int guest_write(struct vm *of, gpa_t gpa, const void *from, u64 n)
{
    assert_ptr_equal(of, &vm);
    assert_int_equal(gpa, CURRENT + 4);
    assert_int_equal(n, 4);
    memcpy(&abort_indicator, from, 4);
    return OK;
}

int guest_read(struct vm *of, gpa_t gpa, void *to, u64 n)
{
    assert_ptr_equal(of, &vm);
    assert_int_equal(gpa, PDPT);
    memcpy(to, pdptes, n);
    return pdpt_missing ? ERR_RANGE : OK;
}

void vm_crash(struct vcpu *v, const char *fmt, ...)
{
    (void)v;
    assert_non_null(fmt);
    crashes++;
}

bool vcpu_continue(struct vcpu *v)
{
    assert_false(v->nested->in_l2);
    continued++;
    return true;
}

void nested_quick_written(struct nested *n, u32 index)
{
    (void)n;
    quick_written = index;
}

u64 vmcs_cr0_mask(struct vcpu *v)
{
    (void)v;
    return ~(u64)(CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_WP | CR0_AM | CR0_PG);
}

u64 vmcs_cr4_mask(struct vcpu *v)
{
    (void)v;
    return CR4_VMXE;
}

u64 vmcs_secondary_controls(struct vcpu *v)
{
    (void)v;
    return 0;
}

u64 shadow_ept_use(struct vcpu *v, u64 eptp12)
{
    (void)v;
    return eptp12;
}

bool nested_page(struct vcpu *v, gpa_t gpa1, paddr_t *pa)
{
    (void)v;
    *pa = gpa1;
    return true;
}

void nested_merge_msr_bitmap(struct vcpu *v)
{
    (void)v;
}

static void can_shadow(bool on)
{
    read_bitmap = write_bitmap = NULL;
    nested_shadows = false;
    nr_bitmaps = 0;
    vmx_features.granted = BIT(VF_VPID) | BIT(VF_PAT) | (on ? BIT(VF_VMCS_SHADOWING) : 0);
    vmx_caps.misc |= VMX_MISC_VMWRITE_ANY;
    assert_int_equal(nested_shadow_init(), OK);
    assert_int_equal(nested_can_shadow(), on);
}

/* A 64-bit L2 that was entered from a 64-bit L1 just now. */
static void start(void)
{
    start_l2();
    can_shadow(false);
    vmx_features.word[VMX_WORD_ENTRY] = ENTRYCTL_DEFAULT1;
    vcpu.vmcs = region02;
    nested.other.region = region01;
    nested.current = CURRENT;
    nested.synced = nested.checked = true;
    nested.vpid12 = 1;
    vm.vpid_base = 0x40;
    abort_indicator = crashes = flushed = continued = 0;
    quick_written = ~0u;
    store_fails = load_fails = pdpt_missing = false;
    memset(pdptes, 0, sizeof(pdptes));
    L1_SAYS(PRIMARY_EXIT_CONTROLS) = EXITCTL_DEFAULT1 | EXITCTL_HOST_ADDRESS_SPACE_SIZE;
    L1_SAYS(GUEST_CR0) = vmcs02[GUEST_CR0] = vmcs02[CR0_READ_SHADOW] = CR0_PE | CR0_ET | CR0_NE | (u64)CR0_PG;
    L1_SAYS(GUEST_CR4) = vmcs02[GUEST_CR4] = vmcs02[CR4_READ_SHADOW] = CR4_PAE | CR4_VMXE;
    L1_SAYS(ENTRY_CONTROLS) = vmcs02[ENTRY_CONTROLS] = ENTRYCTL_DEFAULT1 | ENTRYCTL_IA32E_MODE_GUEST;
    vmcs02[GUEST_IA32_EFER] = L1_SAYS(GUEST_IA32_EFER) = EFER_LMA | EFER_LME | EFER_SCE;
    vmcs02[GUEST_IA32_PAT] = L1_SAYS(GUEST_IA32_PAT) = 0x606;
    L1_SAYS(HOST_CR0) = CR0_PE | CR0_ET | CR0_NE | CR0_WP | (u64)CR0_PG;
    L1_SAYS(HOST_CR4) = CR4_PAE | CR4_VMXE | CR4_PCIDE;
    L1_SAYS(HOST_CR3) = PDPT | 0x1f;
    L1_SAYS(HOST_CS_SELECTOR) = 0x10;
    L1_SAYS(HOST_TR_SELECTOR) = 0x40;
}

/* From a 32-bit L2 to a 32-bit L1. */
static void start_32(void)
{
    start();
    L1_SAYS(PRIMARY_EXIT_CONTROLS) &= ~(u64)EXITCTL_HOST_ADDRESS_SPACE_SIZE;
    vmcs02[ENTRY_CONTROLS] = L1_SAYS(ENTRY_CONTROLS) = ENTRYCTL_DEFAULT1;
    vmcs02[GUEST_IA32_EFER] = L1_SAYS(GUEST_IA32_EFER) = EFER_SCE;
    L1_SAYS(HOST_CR4) = CR4_VMXE;
}

static const struct nested_exit_info cpuid_exit = {.reason = EXIT_REASON_CPUID, .instruction_length = 2};

static void leave(void)
{
    nested_exit_with(&vcpu, &cpuid_exit);
    assert_false(nested.in_l2);
}

/* --- 'Loading Host State' --- */

static void expect_segment(u32 seg, u64 selector, u64 base)
{
    assert_int_equal(vmcs01[GUEST_ES_SELECTOR + 2 * seg], selector);
    assert_int_equal(vmcs01[GUEST_ES_BASE + 2 * seg], base);
    assert_int_equal(vmcs01[GUEST_ES_ACCESS_RIGHTS + 2 * seg], selector ? 0xc093 : SEG_AR_UNUSABLE);
    if (selector)
        assert_int_equal(vmcs01[GUEST_ES_LIMIT + 2 * seg], 0xffffffff);
}

static void host_segments(void **state)
{
    static const u16 index[] = {VI_HOST_ES_SELECTOR, VI_HOST_SS_SELECTOR, VI_HOST_DS_SELECTOR,
                                VI_HOST_FS_SELECTOR, VI_HOST_GS_SELECTOR};
    static const u32 seg[] = {SEG_ES, SEG_SS, SEG_DS, SEG_FS, SEG_GS};

    (void)state;
    for (u32 present = 0; present < 32; present++) {
        start();
        L1_SAYS(HOST_FS_BASE) = 0xffff800000001000;
        L1_SAYS(HOST_GS_BASE) = 0xffff800000002000;
        for (u32 i = 0; i < 5; i++)
            nested.vmcs12.image.f[index[i]] = present >> i & 1 ? 0x18 + 8 * i : 0;
        leave();
        for (u32 i = 0; i < 5; i++)
            expect_segment(seg[i], present >> i & 1 ? 0x18 + 8 * i : 0,
                           seg[i] == SEG_FS   ? 0xffff800000001000
                           : seg[i] == SEG_GS ? 0xffff800000002000
                                              : 0);
    }
}

static void host_tables(void **state)
{
    (void)state;
    for (u32 wide = 0; wide < 2; wide++) {
        wide ? start() : start_32();
        L1_SAYS(HOST_TR_BASE) = 0x111000;
        L1_SAYS(HOST_GDTR_BASE) = 0x222000;
        L1_SAYS(HOST_IDTR_BASE) = 0x333000;
        L1_SAYS(HOST_RIP) = 0x444000;
        L1_SAYS(HOST_RSP) = 0x555000;
        L1_SAYS(HOST_IA32_SYSENTER_CS) = 0x66;
        L1_SAYS(HOST_IA32_SYSENTER_ESP) = 0x777000;
        L1_SAYS(HOST_IA32_SYSENTER_EIP) = 0x888000;
        vmcs01[GUEST_DR7] = vmcs01[GUEST_IA32_DEBUGCTL] = vmcs01[GUEST_PENDING_DEBUG_EXCEPTIONS] = ~0ull;
        vmcs01[GUEST_LDTR_SELECTOR] = 0x99;
        vmcs01[GUEST_RFLAGS] = ~0ull;
        vcpu.activity = VCPU_HALTED;
        leave();
        assert_int_equal(vmcs01[GUEST_CS_SELECTOR], 0x10);
        assert_int_equal(vmcs01[GUEST_CS_BASE], 0);
        assert_int_equal(vmcs01[GUEST_CS_LIMIT], 0xffffffff);
        assert_int_equal(vmcs01[GUEST_CS_ACCESS_RIGHTS], wide ? 0xa09b : 0xc09b);
        assert_int_equal(vmcs01[GUEST_TR_SELECTOR], 0x40);
        assert_int_equal(vmcs01[GUEST_TR_BASE], 0x111000);
        assert_int_equal(vmcs01[GUEST_TR_LIMIT], 0x67);
        assert_int_equal(vmcs01[GUEST_TR_ACCESS_RIGHTS], 0x8b);
        assert_int_equal(vmcs01[GUEST_LDTR_SELECTOR], 0);
        assert_int_equal(vmcs01[GUEST_LDTR_ACCESS_RIGHTS], SEG_AR_UNUSABLE);
        assert_int_equal(vmcs01[GUEST_GDTR_BASE], 0x222000);
        assert_int_equal(vmcs01[GUEST_GDTR_LIMIT], 0xffff);
        assert_int_equal(vmcs01[GUEST_IDTR_BASE], 0x333000);
        assert_int_equal(vmcs01[GUEST_IDTR_LIMIT], 0xffff);
        assert_int_equal(vmcs01[GUEST_RIP], 0x444000);
        assert_int_equal(vmcs01[GUEST_RSP], 0x555000);
        assert_int_equal(vmcs01[GUEST_RFLAGS], RFLAGS_FIXED);
        assert_int_equal(vmcs01[GUEST_IA32_SYSENTER_CS], 0x66);
        assert_int_equal(vmcs01[GUEST_IA32_SYSENTER_ESP], 0x777000);
        assert_int_equal(vmcs01[GUEST_IA32_SYSENTER_EIP], 0x888000);
        assert_int_equal(vmcs01[GUEST_DR7], 0x400);
        assert_int_equal(vmcs01[GUEST_IA32_DEBUGCTL], 0);
        assert_int_equal(vmcs01[GUEST_PENDING_DEBUG_EXCEPTIONS], 0);
        assert_int_equal(vmcs01[GUEST_CR3], PDPT | 0x1f);
        assert_int_equal(vcpu.activity, VCPU_ACTIVE);
        assert_int_equal(L1_SAYS(GUEST_ACTIVITY_STATE), ACTIVITY_HLT);
        assert_int_equal(crashes, 0);
    }
}

/* What L1 sees of CR0, where the exit is from an L2 with that one. */
static u64 host_cr0_after(u64 l2)
{
    start();
    L1_SAYS(GUEST_CR0) = l2;
    vmcs02_set_cr0(&vcpu, l2);
    leave();
    assert_int_equal(vmcs01[GUEST_CR0] & (CR0_NE | CR0_CD | CR0_NW), CR0_NE);
    assert_int_equal((vmcs01[GUEST_CR0] ^ vmcs01[CR0_READ_SHADOW]) & ~(u64)(CR0_NE | CR0_CD | CR0_NW), 0);
    return vmcs01[CR0_READ_SHADOW];
}

static void host_cr0(void **state)
{
    const u64 base = CR0_PE | CR0_ET | CR0_NE | (u64)CR0_PG;

    (void)state;
    assert_int_equal(host_cr0_after(base), base | CR0_WP);
    assert_int_equal(host_cr0_after(base | CR0_CD), base | CR0_WP | CR0_CD);
    assert_int_equal(host_cr0_after(base | CR0_CD | CR0_NW), base | CR0_WP | CR0_CD | CR0_NW);
    assert_int_equal(host_cr0_after(base | CR0_TS | CR0_MP | CR0_AM), base | CR0_WP);
}

static void host_cr4(void **state)
{
    (void)state;
    start();
    L1_SAYS(HOST_CR4) = CR4_VMXE | CR4_PCIDE;
    leave();
    assert_int_equal(vmcs01[GUEST_CR4], CR4_VMXE | CR4_PCIDE | CR4_PAE);
    assert_int_equal(vmcs01[CR4_READ_SHADOW], CR4_VMXE | CR4_PCIDE | CR4_PAE);
    start_32();
    L1_SAYS(HOST_CR4) = CR4_VMXE | CR4_PCIDE | CR4_PSE;
    leave();
    assert_int_equal(vmcs01[GUEST_CR4], CR4_VMXE | CR4_PSE);
}

static void host_msrs(void **state)
{
    (void)state;
    for (u32 i = 0; i < 8; i++) {
        bool wide = i & 1, efer = i & 2, pat = i & 4;
        u64 mode = wide ? EFER_LMA | EFER_LME : 0;

        wide ? start() : start_32();
        set(&L1_SAYS(PRIMARY_EXIT_CONTROLS), EXITCTL_LOAD_EFER, efer);
        set(&L1_SAYS(PRIMARY_EXIT_CONTROLS), EXITCTL_LOAD_PAT, pat);
        L1_SAYS(HOST_IA32_EFER) = EFER_NXE | mode;
        L1_SAYS(HOST_IA32_PAT) = 0x405;
        leave();
        assert_int_equal(vmcs01[GUEST_IA32_EFER], (efer ? EFER_NXE : EFER_SCE) | mode);
        assert_int_equal(vmcs01[GUEST_IA32_PAT], pat ? 0x405 : 0x606);
        assert_int_equal(vmcs01[ENTRY_CONTROLS], ENTRYCTL_DEFAULT1 | (wide ? ENTRYCTL_IA32E_MODE_GUEST : 0));
    }
}

static void host_pdptes(void **state)
{
    static const struct {
        u64 pdpte;
        bool good;
    } rows[] = {
        {0x1001, true},       {0x1019, true},       {0xffffe18 | 1, true}, {0x1003, false},
        {0x1005, false},      {0x1021, false},      {0x1101, false},       {BIT(38) | 1, true},
        {BIT(39) | 1, false}, {BIT(63) | 1, false}, {BIT(39) | 2, true},
    };

    (void)state;
    for (u32 i = 0; i < ARRAY_SIZE(rows); i++)
        for (u32 n = 0; n < 4; n++) {
            start_32();
            L1_SAYS(HOST_CR4) |= CR4_PAE;
            pdptes[n] = rows[i].pdpte;
            leave();
            assert_int_equal(abort_indicator, rows[i].good ? 0 : 2);
            assert_int_equal(crashes, !rows[i].good);
            if (rows[i].good)
                assert_int_equal(vmcs01[GUEST_PDPTE0 + 2 * n], rows[i].pdpte);
        }
    start_32();
    L1_SAYS(HOST_CR4) |= CR4_PAE;
    pdpt_missing = true;
    leave();
    assert_int_equal(abort_indicator, 2);
    start_32(); /* without PAE nobody reads them */
    pdptes[0] = 3;
    pdpt_missing = true;
    leave();
    assert_int_equal(crashes, 0);
}

static void aborts(void **state)
{
    (void)state;
    start();
    store_fails = true;
    leave();
    assert_int_equal(abort_indicator, 1);
    assert_int_equal(crashes, 1);
    start();
    L1_SAYS(EXIT_MSR_LOAD_COUNT) = 1;
    load_fails = true;
    leave();
    assert_int_equal(abort_indicator, 4);
    assert_int_equal(crashes, 1);
    start_32();
    load_fails = store_fails = true;
    leave();
    assert_int_equal(abort_indicator, 1);
    assert_int_equal(crashes, 1);
    /* An unrestricted L2 has gone to IA-32e mode, and L1 is 32-bit. */
    start_32();
    vmcs02[GUEST_IA32_EFER] = EFER_LMA | EFER_LME;
    leave();
    assert_int_equal(abort_indicator, 6);
    assert_int_equal(crashes, 1);
}

static void tlb(void **state)
{
    (void)state;
    start();
    leave();
    assert_int_equal(flushed, 0);
    start();
    nested.vpid12 = 0;
    leave();
    assert_int_equal(flushed, 0x40);
}

/* 'Updating Non-Register State' */
static void nmi_blocking_after_exits(void **state)
{
    (void)state;
    for (u32 i = 0; i < 16; i++) {
        bool virtual = i & 1, blocked = i & 2, nmi = i & 4, reflect = i & 8;
        u64 wanted = nmi || (blocked && !virtual) ? INTERRUPTIBILITY_NMI : 0;

        start();
        set(&L1_SAYS(PIN_BASED_CONTROLS), PIN_VIRTUAL_NMIS, virtual);
        vmcs02[GUEST_INTERRUPTIBILITY_STATE] = INTERRUPTIBILITY_STI | (blocked ? INTERRUPTIBILITY_NMI : 0);
        if (reflect && nmi)
            continue;
        if (reflect)
            nested_reflect(&vcpu);
        else
            nested_exit_with(&vcpu,
                             &(struct nested_exit_info){
                                 .reason = EXIT_REASON_EXCEPTION_OR_NMI,
                                 .interruption_info = nmi ? INTR_INFO(INTR_TYPE_NMI, VEC_NMI)
                                                          : INTR_INFO(INTR_TYPE_HARDWARE_EXCEPTION, 13)});
        assert_int_equal(vmcs01[GUEST_INTERRUPTIBILITY_STATE], wanted);
        assert_int_equal(L1_SAYS(GUEST_INTERRUPTIBILITY_STATE), vmcs02[GUEST_INTERRUPTIBILITY_STATE]);
    }
}

/* An entry that fails late: L1 goes on with what it had, where the exit loads nothing. */
static void late_failure_keeps_l1s(void **state)
{
    (void)state;
    start();
    in_l2(false);
    vmcs01[CR0_READ_SHADOW] = CR0_CD | CR0_TS | CR0_ET;
    vmcs01[GUEST_IA32_EFER] = EFER_NXE | EFER_LMA | EFER_LME;
    vmcs01[GUEST_IA32_PAT] = 0x707;
    vmcs01[GUEST_INTERRUPTIBILITY_STATE] = INTERRUPTIBILITY_NMI | INTERRUPTIBILITY_STI;
    nested_load_host(&vcpu);
    assert_int_equal(vmcs01[CR0_READ_SHADOW], L1_SAYS(HOST_CR0) | CR0_CD);
    assert_int_equal(vmcs01[GUEST_IA32_EFER], EFER_NXE | EFER_LMA | EFER_LME);
    assert_int_equal(vmcs01[GUEST_IA32_PAT], 0x707);
    assert_int_equal(vmcs01[GUEST_INTERRUPTIBILITY_STATE], INTERRUPTIBILITY_NMI);
}

/* --- exit information --- */

static const u32 info_fields[] = {
    EXIT_REASON,          EXIT_QUALIFICATION,       EXIT_INTERRUPTION_INFO,  EXIT_INTERRUPTION_ERROR_CODE,
    IDT_VECTORING_INFO,   IDT_VECTORING_ERROR_CODE, EXIT_INSTRUCTION_LENGTH, EXIT_INSTRUCTION_INFO,
    GUEST_LINEAR_ADDRESS, GUEST_PHYSICAL_ADDRESS,
};

/* As L1 reads it: through the shadow VMCS, or by an exit. */
static u64 l1_reads(u32 encoding, u32 index)
{
    if (nested.shadowing && !(read_bitmap[encoding / 8] >> encoding % 8 & 1))
        return vmcs02[encoding];
    nested_sync(&vcpu);
    return nested.vmcs12.image.f[index];
}

#define L1_READS(field) l1_reads(field, VI_##field)

static void write_information(void)
{
    for (u32 i = 0; i < ARRAY_SIZE(info_fields); i++)
        vmcs02[info_fields[i]] = 0x100 + i;
}

static void expect_information(void)
{
    u32 i = 0;

    assert_int_equal(L1_READS(EXIT_REASON), 0x100 + i++);
    assert_int_equal(L1_READS(EXIT_QUALIFICATION), 0x100 + i++);
    assert_int_equal(L1_READS(EXIT_INTERRUPTION_INFO), 0x100 + i++);
    assert_int_equal(L1_READS(EXIT_INTERRUPTION_ERROR_CODE), 0x100 + i++);
    assert_int_equal(L1_READS(IDT_VECTORING_INFO), 0x100 + i++);
    assert_int_equal(L1_READS(IDT_VECTORING_ERROR_CODE), 0x100 + i++);
    assert_int_equal(L1_READS(EXIT_INSTRUCTION_LENGTH), 0x100 + i++);
    assert_int_equal(L1_READS(EXIT_INSTRUCTION_INFO), 0x100 + i++);
    assert_int_equal(L1_READS(GUEST_LINEAR_ADDRESS), 0x100 + i++);
    assert_int_equal(L1_READS(GUEST_PHYSICAL_ADDRESS), 0x100 + i++);
}

/* The quick way and the whole one, with a shadow VMCS and without. */
static void information_of_the_cpu(void **state)
{
    (void)state;
    for (u32 i = 0; i < 8; i++) {
        bool shadow = i & 1, whole = i & 2, again = i & 4;

        start();
        can_shadow(shadow);
        write_information();
        L1_SAYS(ENTRY_INTERRUPTION_INFO) = INTR_INFO(INTR_TYPE_EXTERNAL, 0x30);
        L1_SAYS(EXIT_MSR_STORE_COUNT) = whole;
        if (again)
            assert_int_equal(nested_reflect_as(&vcpu, 0x101), false);
        else
            assert_int_equal(nested_reflect(&vcpu), !whole);
        assert_int_equal(nested.shadowing, shadow);
        expect_information();
        assert_int_equal(L1_READS(ENTRY_INTERRUPTION_INFO) & INTR_INFO_VALID, 0);
    }
}

static void information_of_nidus(void **state)
{
    const struct nested_exit_info x = {.reason = 0x100,
                                       .qualification = 0x101,
                                       .interruption_info = 0x102,
                                       .interruption_error = 0x103,
                                       .idt_info = 0x104,
                                       .idt_error = 0x105,
                                       .instruction_length = 0x106,
                                       .instruction_info = 0x107,
                                       .guest_linear = 0x108,
                                       .guest_physical = 0x109};

    (void)state;
    for (u32 shadow = 0; shadow < 2; shadow++) {
        start();
        can_shadow(shadow);
        /* The entry that was to inject this has not been made. */
        vmcs02[ENTRY_INTERRUPTION_INFO] = L1_SAYS(ENTRY_INTERRUPTION_INFO) =
            INTR_INFO(INTR_TYPE_OTHER_EVENT, 0);
        nested.mtf = nested.injects = nested.exit_soon = true;
        nested_exit_with(&vcpu, &x);
        expect_information();
        assert_int_equal(L1_READS(ENTRY_INTERRUPTION_INFO), INTR_TYPE_OTHER_EVENT << 8);
        assert_false(nested.mtf || nested.injects || nested.exit_soon);
    }
}

/* Events whose delivery an exit of Nidus's own interrupted, and which go to L1 instead of the CPU. */
static void idt_vectoring(void **state)
{
    static const struct {
        u32 info, error, length;
    } rows[] = {
        {INTR_INFO(INTR_TYPE_EXTERNAL, 0x31), 0, 0},
        {INTR_INFO(INTR_TYPE_NMI, 2), 0, 0},
        {INTR_INFO(INTR_TYPE_HARDWARE_EXCEPTION, VEC_UD), 0, 0},
        {INTR_INFO(INTR_TYPE_HARDWARE_EXCEPTION, VEC_PF) | (u32)INTR_INFO_DELIVER_ERROR, 7, 0},
        {INTR_INFO(INTR_TYPE_SOFTWARE_INTERRUPT, 0x80), 0, 2},
        {INTR_INFO(INTR_TYPE_SOFTWARE_EXCEPTION, VEC_BP), 0, 1},
        {INTR_INFO(INTR_TYPE_PRIVILEGED_SOFTWARE_EXCEPTION, VEC_DB), 0, 1},
    };

    (void)state;
    for (u32 i = 0; i < ARRAY_SIZE(rows); i++)
        for (u32 reflect = 0; reflect < 2; reflect++) {
            start();
            events_after_exit(&vcpu.events, &(struct events_exit){.idt_info = rows[i].info,
                                                                  .idt_error_code = rows[i].error,
                                                                  .instruction_length = rows[i].length});
            if (reflect)
                assert_false(nested_reflect(&vcpu));
            else
                leave();
            assert_int_equal(L1_SAYS(IDT_VECTORING_INFO), rows[i].info);
            assert_int_equal(L1_SAYS(IDT_VECTORING_ERROR_CODE), rows[i].error);
            if (rows[i].length)
                assert_int_equal(L1_SAYS(EXIT_INSTRUCTION_LENGTH), rows[i].length);
            assert_int_equal(vcpu.events.due, 0);
        }
    /* An exception that was only pending is met again; an acknowledged interrupt stays. */
    start();
    events_raise_hardware(&vcpu.events, VEC_UD, 0);
    leave();
    assert_int_equal(L1_SAYS(IDT_VECTORING_INFO), 0);
    assert_int_equal(vcpu.events.due, 0);
    start();
    events_acknowledge(&vcpu.events, 0x33);
    leave();
    assert_int_equal(L1_SAYS(IDT_VECTORING_INFO), 0);
    assert_int_equal(vcpu.events.interrupt_stage, EVENT_PENDING);
}

static void preemption_timer(void **state)
{
    (void)state;
    for (u32 i = 0; i < 8; i++) {
        bool saved = i & 1, ended = i & 2, reflect = i & 4;

        start();
        vmx_caps.misc |= 5;
        set(&L1_SAYS(PRIMARY_EXIT_CONTROLS), EXITCTL_SAVE_PREEMPTION_TIMER, saved);
        L1_SAYS(PREEMPTION_TIMER_VALUE) = 1000;
        nested.timer_end = ended ? now - 1 : now + 32 * 70;
        if (reflect)
            nested_reflect(&vcpu);
        else
            leave();
        assert_int_equal(L1_SAYS(PREEMPTION_TIMER_VALUE), !saved ? 1000 : ended ? 0 : 70);
        assert_int_equal(nested.timer_end, ~0ull);
    }
}

/* L1 is to look at what L2 was allowed to take and could not. */
static void windows(void **state)
{
    (void)state;
    for (u32 i = 0; i < 8; i++) {
        bool window = i & 1, exiting = i & 2, nmi = i & 4;

        start();
        vcpu.irq_window = window;
        vcpu.events.nmi_pending = nmi;
        set(&L1_SAYS(PIN_BASED_CONTROLS), PIN_EXTERNAL_INTERRUPT_EXITING, exiting);
        assert_int_equal(nested_reflect(&vcpu), !nmi && !(window && !exiting));
    }
}

/* --- sync.c --- */

static void state_by_and_by(void **state)
{
    (void)state;
    for (u32 shadow = 0; shadow < 2; shadow++) {
        start();
        can_shadow(shadow);
        for (u32 i = 0; i < vmcs02_nr_same; i++)
            vmcs02[vmcs_field_encoding(vmcs02_same[i])] = 0x1000 + i;
        nested_reflect(&vcpu);
        assert_false(nested.synced);
        assert_int_equal(nested.vmcs12.image.f[VI_GUEST_CR3], 0);
        assert_int_equal(L1_SAYS(GUEST_RIP), vmcs02[GUEST_RIP]); /* the next entry compares it */
        nested_sync(&vcpu);
        assert_true(nested.synced);
        for (u32 i = 0; i < vmcs02_nr_same; i++)
            assert_int_equal(nested.vmcs12.image.f[vmcs02_same[i]], 0x1000 + i);
        assert_ptr_equal(loaded, vmcs01);
    }
}

/* L1 writes without an exit. */
static void quick_fields_of_the_shadow_win(void **state)
{
    (void)state;
    for (u32 whole = 0; whole < 2; whole++) {
        start();
        can_shadow(true);
        if (whole)
            leave();
        else
            nested_reflect(&vcpu);
        for (u32 i = 0; i < NESTED_NR_QUICK; i++) {
            u32 e = vmcs_field_encoding(nested_quick[i]);

            assert_false(read_bitmap[e / 8] >> e % 8 & 1);
            assert_false(write_bitmap[e / 8] >> e % 8 & 1);
            vmcs02[e] = 0x700 + i;
            nested.vmcs12.image.f[nested_quick[i]] = 0x999;
        }
        nested_sync(&vcpu);
        for (u32 i = 0; i < NESTED_NR_QUICK; i++)
            assert_int_equal(nested.vmcs12.image.f[nested_quick[i]], 0x700 + i);
        vmcs02[GUEST_RIP] = 0x777; /* and again */
        nested_sync(&vcpu);
        assert_int_equal(L1_SAYS(GUEST_RIP), 0x777);
    }
}

/* Without a shadow VMCS L1's are in vmcs12, whatever Nidus has injected. */
static void injection_without_a_shadow(void **state)
{
    (void)state;
    start();
    vmcs02[ENTRY_EXCEPTION_ERROR_CODE] = vmcs02[ENTRY_INSTRUCTION_LENGTH] = 9;
    nested_reflect(&vcpu);
    L1_SAYS(ENTRY_EXCEPTION_ERROR_CODE) = 1;
    L1_SAYS(ENTRY_INSTRUCTION_LENGTH) = 2;
    L1_SAYS(ENTRY_INTERRUPTION_INFO) = INTR_INFO(INTR_TYPE_SOFTWARE_INTERRUPT, 0x80);
    nested_sync(&vcpu);
    assert_int_equal(L1_SAYS(ENTRY_EXCEPTION_ERROR_CODE), 1);
    assert_int_equal(L1_SAYS(ENTRY_INSTRUCTION_LENGTH), 2);
    assert_int_equal(L1_SAYS(ENTRY_INTERRUPTION_INFO), INTR_INFO(INTR_TYPE_SOFTWARE_INTERRUPT, 0x80));
}

static void written_by_an_exit(void **state)
{
    (void)state;
    for (u32 shadow = 0; shadow < 2; shadow++) {
        start();
        can_shadow(shadow);
        leave();
        nested_written(&vcpu, VI_GUEST_RSP);
        assert_int_equal(quick_written, VI_GUEST_RSP);
        nested_written(&vcpu, VI_PREEMPTION_TIMER_VALUE);
        assert_true(nested.checked);
        L1_SAYS(GUEST_CR3) = 0x123000;
        nested_written(&vcpu, VI_GUEST_CR3);
        assert_false(nested.checked);
        assert_int_equal(vmcs02[GUEST_CR3], shadow ? 0x123000 : 0);
        L1_SAYS(EXCEPTION_BITMAP) = 5;
        nested_written(&vcpu, VI_EXCEPTION_BITMAP); /* not to be read there */
        assert_int_equal(vmcs02[EXCEPTION_BITMAP], 0);
        assert_ptr_equal(loaded, vmcs01);
    }
}

/* L1 reads through the shadow VMCS just what vmcs02 has as vmcs12 has it. */
static void shadow_bitmaps(void **state)
{
    u32 readable = 0, writable = 0;

    (void)state;
    start();
    can_shadow(true);
    for (u32 i = 0; i < 8 * PAGE_SIZE; i++) {
        readable += !(read_bitmap[i / 8] >> i % 8 & 1);
        writable += !(write_bitmap[i / 8] >> i % 8 & 1);
    }
    assert_int_equal(readable, ARRAY_SIZE(info_fields) + vmcs02_nr_same + 3); /* of event injection */
    assert_int_equal(writable, NESTED_NR_QUICK);
    leave();
    assert_true(vmcs01[SECONDARY_CONTROLS] & PROC2_VMCS_SHADOWING);
    assert_int_equal(vmcs01[VMCS_LINK_POINTER], pool_pa(region02));
    nested_shadow(&vcpu, false);
    assert_false(vmcs01[SECONDARY_CONTROLS] & PROC2_VMCS_SHADOWING);
    assert_int_equal(vmcs01[VMCS_LINK_POINTER], ~0ull);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(host_segments),
        cmocka_unit_test(host_tables),
        cmocka_unit_test(host_cr0),
        cmocka_unit_test(host_cr4),
        cmocka_unit_test(host_msrs),
        cmocka_unit_test(host_pdptes),
        cmocka_unit_test(aborts),
        cmocka_unit_test(tlb),
        cmocka_unit_test(nmi_blocking_after_exits),
        cmocka_unit_test(late_failure_keeps_l1s),
        cmocka_unit_test(information_of_the_cpu),
        cmocka_unit_test(information_of_nidus),
        cmocka_unit_test(idt_vectoring),
        cmocka_unit_test(preemption_timer),
        cmocka_unit_test(windows),
        cmocka_unit_test(state_by_and_by),
        cmocka_unit_test(quick_fields_of_the_shadow_win),
        cmocka_unit_test(injection_without_a_shadow),
        cmocka_unit_test(written_by_an_exit),
        cmocka_unit_test(shadow_bitmaps),
    };

    return cmocka_run_group_tests_name("nested_exit12", tests, NULL, NULL);
}
