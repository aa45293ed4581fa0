/* SPDX-License-Identifier: MIT */
/* links: vmm/walk.c */
/* links: arch/x86/vmx_caps.c arch/x86/vmx_names.c vmm/events.c */
/* Exits from L2 to L1: 'Loading Host State', section by section. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/nested_exit.h"

static void expect_segment(u32 seg, u64 selector, u64 base)
{
    assert_int_equal(vmcs01[GUEST_ES_SELECTOR + 2 * seg], selector);
    assert_int_equal(vmcs01[GUEST_ES_BASE + 2 * seg], base);
    assert_int_equal(vmcs01[GUEST_ES_ACCESS_RIGHTS + 2 * seg], 0xc093 | (selector ? 0 : SEG_AR_UNUSABLE));
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
            reflect_now();
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

/* A plain exit leaves the same behind as one that is made with every question asked. */
static void plain_exits(void **state)
{
    static u64 wanted01[FIELDS], wanted02[FIELDS];
    static struct nested wanted;

    (void)state;
    for (u32 round = 0; round < 2000; round++) {
        u64 first = seed;

        for (u32 plain = 0; plain < 2; plain++) {
            seed = first;
            start();
            can_shadow(true);
            for (u32 i = 0; i < VMCS_NR_FIELDS; i++)
                if (vmcs_field_encoding(i) < FIELDS && VMCS_ENC_TYPE(vmcs_field_encoding(i)) == 3)
                    nested.vmcs12.image.f[i] = random_bits() & random_bits();
            for (u32 i = 0; i < FIELDS; i++)
                vmcs02[i] = random_bits();
            set(&L1_SAYS(PRIMARY_EXIT_CONTROLS), EXITCTL_LOAD_EFER, random_bits() & 1);
            set(&L1_SAYS(PRIMARY_EXIT_CONTROLS), EXITCTL_LOAD_PAT, random_bits() & 1);
            set(&L1_SAYS(PIN_BASED_CONTROLS), PIN_VIRTUAL_NMIS, random_bits() & 1);
            L1_SAYS(CR0_GUEST_HOST_MASK) = random_bits();
            L1_SAYS(GUEST_CR0) = random_bits();
            nested.vpid12 = random_bits() & 1;
            nested.timer_end = random_bits() & 1 ? ~0ull : now + 12345;
            nested_prepare_exit(&vcpu);
            assert_true(nested.plain_exit);
            nested.plain_exit = plain;
            assert_true(nested_reflect(&vcpu));
            assert_int_equal(flushed, nested.vpid12 ? 0 : vcpu_vpid(&vcpu, false));
            nested.plain_exit = true;
            L1_SAYS(GUEST_RIP) = 0; /* with a shadow VMCS nobody asks for it here */
            if (plain) {
                assert_memory_equal(wanted01, vmcs01, sizeof(vmcs01));
                assert_memory_equal(wanted02, vmcs02, sizeof(vmcs02));
                assert_memory_equal(&wanted, &nested, sizeof(nested));
            }
            memcpy(wanted01, vmcs01, sizeof(vmcs01));
            memcpy(wanted02, vmcs02, sizeof(vmcs02));
            wanted = nested;
        }
    }
}

/* An entry that fails late: L1 goes on with what was there, where the exit loads nothing. */
static void late_failure(void **state)
{
    (void)state;
    for (u32 load = 0; load < 2; load++) {
        start();
        in_l2(false);
        vmcs01[CR0_READ_SHADOW] = CR0_CD | CR0_TS | CR0_ET;
        vmcs01[GUEST_INTERRUPTIBILITY_STATE] = INTERRUPTIBILITY_NMI | INTERRUPTIBILITY_STI;
        set(&L1_SAYS(PRIMARY_EXIT_CONTROLS), EXITCTL_LOAD_EFER | EXITCTL_LOAD_PAT, load);
        L1_SAYS(HOST_IA32_EFER) = EFER_SCE | EFER_LMA | EFER_LME;
        L1_SAYS(HOST_IA32_PAT) = 0x808;
        nested_load_host(&vcpu, EFER_NXE, 0x707);
        assert_int_equal(vmcs01[CR0_READ_SHADOW], L1_SAYS(HOST_CR0) | CR0_CD);
        assert_int_equal(vmcs01[GUEST_IA32_EFER], (load ? EFER_SCE : EFER_NXE) | EFER_LMA | EFER_LME);
        assert_int_equal(vmcs01[GUEST_IA32_PAT], load ? 0x808 : 0x707);
        assert_int_equal(vmcs01[GUEST_INTERRUPTIBILITY_STATE], INTERRUPTIBILITY_NMI);
    }
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
        cmocka_unit_test(plain_exits),
        cmocka_unit_test(late_failure),
    };

    return cmocka_run_group_tests_name("nested_host", tests, NULL, NULL);
}
