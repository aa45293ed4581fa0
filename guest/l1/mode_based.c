/* SPDX-License-Identifier: MIT */
/* Mode-based execute control for EPT. */
#include "guest/common/cpu.h"
#include "guest/common/paging.h"
#include "guest/l1/l1.h"
#include "lib/string.h"

#define EPT_XU BIT(10)
#define FETCH  (EPT_QUAL_FETCH | EPT_QUAL_LINEAR_VALID | EPT_QUAL_TRANSLATION)

/* The tests' page holds a VMCALL. Its linear addresses: the one of supervisor mode, the one of user mode. */
static u64 supervisor, user;

static bool mode_based_l2(void)
{
    static const u8 vmcall[] = {0x0f, 0x01, 0xc1};

    l2_new(NULL);
    if (!l2_has_ept()) {
        test_skip("no EPT");
        return false;
    }
    if (!need(VMX_WORD_PROC2, PROC2_MODE_BASED_EXECUTE))
        return false;
    memcpy(page, vmcall, sizeof(vmcall));
    supervisor = (u64)page;
    user = (u64)window_map(0, (u64)page, PTE_P | PTE_W | PTE_U);
    for (u32 level = 2; level <= 4; level++)
        *ept_entry(level) |= EPT_XU;
    return true;
}

static void set_rights(u64 rights)
{
    *ept_entry(1) = (u64)page | EPT_WB | rights;
    ept_flush();
}

static void expect_fetch(u64 at, const char *what)
{
    vmwrite(GUEST_RIP, at);
    l2_expect(EXIT_REASON_VMCALL, what);
}

/* rights: what all entries give. */
static void expect_violation(u64 at, u64 rights, const char *what)
{
    u64 qualification =
        FETCH | (rights & EPT_RWX) << EPT_QUAL_RIGHTS_SHIFT | (rights & EPT_XU ? EPT_QUAL_EXEC_USER : 0);

    if (caps.ept_vpid & EPT_CAP_ADVANCED_EXIT_INFO)
        qualification |= BIT(10) | (at == user ? EPT_QUAL_USER : 0); /* it is writable */
    vmwrite(GUEST_RIP, at);
    l2_expect(EXIT_REASON_EPT_VIOLATION, what);
    expect_equal(vmread(EXIT_QUALIFICATION), qualification, what);
    expect_equal(vmread(GUEST_PHYSICAL_ADDRESS), (u64)page, "guest-physical address");
}

static void test_rights(void)
{
    static const u64 rights[] = {EPT_R,
                                 EPT_R | EPT_X,
                                 EPT_R | EPT_XU,
                                 EPT_RWX,
                                 EPT_R | EPT_W | EPT_XU,
                                 EPT_R | EPT_X | EPT_XU,
                                 EPT_RWX | EPT_XU,
                                 EPT_X,
                                 EPT_XU,
                                 EPT_X | EPT_XU};

    if (!mode_based_l2())
        return;
    for (u32 i = 0; i < ARRAY_SIZE(rights); i++) {
        if (!(rights[i] & EPT_R) && !(caps.ept_vpid & EPT_CAP_EXECUTE_ONLY))
            continue;
        set_rights(rights[i]);
        if (rights[i] & EPT_X)
            expect_fetch(supervisor, "supervisor mode");
        else
            expect_violation(supervisor, rights[i], "supervisor mode");
        if (rights[i] & EPT_XU)
            expect_fetch(user, "user mode");
        else
            expect_violation(user, rights[i], "user mode");
    }
}

static void test_rights_above(void)
{
    if (!mode_based_l2())
        return;
    set_rights(EPT_RWX | EPT_XU);
    for (u32 level = 2; level <= 4; level++) {
        *ept_entry(level) &= ~EPT_XU;
        ept_flush();
        expect_violation(user, EPT_RWX, "user mode");
        expect_fetch(supervisor, "supervisor mode");
        *ept_entry(level) |= EPT_XU;
        ept_flush();
        expect_fetch(user, "user mode");
    }
}

static void test_misconfiguration(void)
{
    if (!mode_based_l2())
        return;
    set_rights(EPT_W | EPT_XU);
    vmwrite(GUEST_RIP, user);
    l2_expect(EXIT_REASON_EPT_MISCONFIGURATION, "writable, not readable");
    set_rights(0);
    expect_violation(user, 0, "no rights");
}

/* Bit 10 is nothing then, and bit 2 is for both. */
static void test_without_control(void)
{
    if (!mode_based_l2())
        return;
    set_rights(EPT_R | EPT_XU);
    expect_fetch(user, "with the control");
    vmunset(SECONDARY_CONTROLS, PROC2_MODE_BASED_EXECUTE);
    ept_flush();
    vmwrite(GUEST_RIP, user);
    l2_expect(EXIT_REASON_EPT_VIOLATION, "without the control");
    set_rights(EPT_R | EPT_X);
    expect_fetch(user, "without the control");
    expect_fetch(supervisor, "without the control");
    vmset(SECONDARY_CONTROLS, PROC2_MODE_BASED_EXECUTE);
    ept_flush();
    expect_violation(user, EPT_R | EPT_X, "with the control again");
}

static void test_entry(void)
{
    if (!mode_based_l2())
        return;
    vmunset(SECONDARY_CONTROLS, PROC2_ENABLE_EPT);
    expect_equal(l2_run(), NO_ENTRY | VMX_ERROR_ENTRY_CONTROLS, "without EPT");
}

const struct test mode_based_tests[] = {
    {"mode-based-rights", test_rights},
    {"mode-based-rights-above", test_rights_above},
    {"mode-based-misconfiguration", test_misconfiguration},
    {"mode-based-without-control", test_without_control},
    {"mode-based-entry", test_entry},
    {NULL, NULL},
};
