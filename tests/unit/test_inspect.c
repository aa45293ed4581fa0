/* SPDX-License-Identifier: MIT */
/* links: vmm/walk.c vmm/nested/ept12.c arch/x86/vmx_names.c arch/x86/vmx_caps.c lib/format.c */
/* What is seen of a vCPU from outside, at both levels, and that nothing of it moves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/nested_l2.h"

#define RAM_PAGES 16

static u8 ram[RAM_PAGES * PAGE_SIZE];
static u64 tables[3][512] __attribute__((aligned(4096))); /* Nidus's own */
static u64 cr2;
static u32 syncs;

static inline u64 read_cr2(void)
{
    return cr2;
}

static inline void write_cr2(u64 value)
{
    cr2 = value;
}

#define READ_DR(n)                     \
    static inline u64 read_dr##n(void) \
    {                                  \
        return 0xd0 + n;               \
    }
READ_DR(0)
READ_DR(1)
READ_DR(2)
READ_DR(3)
READ_DR(6)

static int access(gpa_t gpa, u64 n)
{
    return gpa + n > sizeof(ram) || gpa + n < gpa ? ERR_RANGE : OK;
}

int guest_read(struct vm *of, gpa_t gpa, void *to, u64 n)
{
    assert_ptr_equal(of, &vm);
    if (!access(gpa, n))
        memcpy(to, ram + gpa, n);
    return access(gpa, n);
}

int guest_write(struct vm *of, gpa_t gpa, const void *from, u64 n)
{
    assert_ptr_equal(of, &vm);
    if (!access(gpa, n))
        memcpy(ram + gpa, from, n);
    return access(gpa, n);
}

u8 lapic_tpr(const struct lapic *l)
{
    assert_null(l);
    return 0x50;
}

void nested_sync(struct vcpu *v)
{
    assert_ptr_equal(v, &vcpu);
    syncs++;
}

#include "vmm/inspect.c"

static void entry(gpa_t gpa, u64 value)
{
    memcpy(ram + gpa, &value, sizeof(value));
}

/* Paging of four levels at 0x1000 maps 0x400000000000 and the page behind it to 0x6000 and 0x7000. */
static void page_tables(void)
{
    entry(0x1000 + 8 * 128, 0x2067);
    entry(0x2000, 0x3067);
    entry(0x3000, 0x4067);
    entry(0x4000, 0x6001);
    entry(0x4008, 0x8000000000007003);
}
#define LINEAR 0x400000000000ull

static void paging(u64 *fields)
{
    fields[GUEST_CR0] = CR0_PE | CR0_PG;
    fields[GUEST_CR3] = 0x1000;
    fields[GUEST_CR4] = CR4_PAE;
    fields[GUEST_IA32_EFER] = EFER_LME | EFER_LMA | EFER_NXE;
}

/* L1's EPT, at 0x8000: its first 64 KiB one to one but for pages 6 and 7, which are page 12 and nothing. */
static void ept12(void)
{
    entry(0x8000, 0x9007);
    entry(0x9000, 0xa007);
    entry(0xa000, 0xb007);
    for (u64 i = 0; i < RAM_PAGES; i++)
        entry(0xb000 + 8 * i, i << 12 | 0x37);
    entry(0xb000 + 8 * 6, 0xc000 | 0x34); /* execute-only */
    entry(0xb000 + 8 * 7, 0);
    L1_SAYS(PRIMARY_CONTROLS) = PROC_ACTIVATE_SECONDARY;
    L1_SAYS(SECONDARY_CONTROLS) = PROC2_ENABLE_EPT;
    L1_SAYS(EPT_POINTER) = 0x8000 | EPTP_WB | EPTP_WALK_4 | EPTP_ACCESSED_DIRTY;
}

static int start(void **state)
{
    (void)state;
    start_l2();
    memset(ram, 0, sizeof(ram));
    for (u64 i = 0; i < 16; i++)
        vcpu.gpr[i] = 0x100 + i;
    cr2 = 0x2222;
    syncs = 0;
    vcpu.xcr0 = 7;
    nested.current = 0x5000;
    nested.vmcs02_made = true;
    paging(vmcs01);
    paging(vmcs02);
    vmcs01[GUEST_RIP] = 0x1111;
    vmcs02[GUEST_RIP] = 0x2222;
    L1_SAYS(GUEST_RIP) = 0x1212;
    page_tables();
    in_l2(false);
    return 0;
}

/* --- registers --- */

static void test_registers(void **state)
{
    static const struct {
        bool l2;
        u32 asked, level, rip;
        bool live;
    } cases[] = {
        {false, 0, 1, 0x1111, true}, {false, 1, 1, 0x1111, true}, {false, 2, 2, 0x1212, false},
        {true, 0, 2, 0x2222, true},  {true, 1, 1, 0x1111, false}, {true, 2, 2, 0x2222, true},
    };
    struct inspect_regs r;

    (void)state;
    for (u32 i = 0; i < ARRAY_SIZE(cases); i++) {
        in_l2(cases[i].l2);
        assert_int_equal(inspect_regs(&vcpu, cases[i].asked, &r), OK);
        assert_int_equal(r.level, cases[i].level);
        assert_int_equal(r.live, cases[i].live);
        assert_int_equal(r.r[IR_RIP], cases[i].rip);
        assert_int_equal(r.r[IR_GPR + REG_RAX], cases[i].live ? 0x100 : 0);
        assert_int_equal(r.r[IR_CR2], cases[i].live ? 0x2222 : 0);
        assert_ptr_equal(loaded, cases[i].l2 ? vmcs02 : vmcs01); /* as it was */
    }
}

static void test_each_register(void **state)
{
    struct inspect_regs r;

    (void)state;
    for (u32 i = 0; i < 8; i++) {
        vmcs01[GUEST_ES_SELECTOR + 2 * i] = 0x10 + i;
        vmcs01[GUEST_ES_BASE + 2 * i] = 0x20 + i;
        vmcs01[GUEST_ES_LIMIT + 2 * i] = 0x30 + i;
        vmcs01[GUEST_ES_ACCESS_RIGHTS + 2 * i] = 0x40 + i;
    }
    vmcs01[GUEST_RSP] = 0x51;
    vmcs01[GUEST_RFLAGS] = 0x52;
    vmcs01[GUEST_DR7] = 0x53;
    vmcs01[GUEST_GDTR_BASE] = 0x54;
    vmcs01[GUEST_IDTR_LIMIT] = 0x55;
    vmcs01[CR0_GUEST_HOST_MASK] = CR0_PE | CR0_TS;
    vmcs01[CR0_READ_SHADOW] = CR0_TS;
    vmcs01[CR4_GUEST_HOST_MASK] = CR4_VMXE;
    vmcs01[GUEST_CR4] |= CR4_VMXE;
    assert_int_equal(inspect_regs(&vcpu, 1, &r), OK);
    for (u32 i = 0; i < 8; i++) {
        assert_int_equal(r.r[IR_SELECTOR + i], 0x10 + i);
        assert_int_equal(r.r[IR_BASE + i], 0x20 + i);
        assert_int_equal(r.r[IR_LIMIT + i], 0x30 + i);
        assert_int_equal(r.r[IR_RIGHTS + i], 0x40 + i);
    }
    for (u32 i = 0; i < 16; i++)
        assert_int_equal(r.r[IR_GPR + i], i == REG_RSP ? 0x51 : 0x100 + i);
    assert_int_equal(r.r[IR_RFLAGS], 0x52);
    assert_int_equal(r.r[IR_DR7], 0x53);
    assert_int_equal(r.r[IR_GDTR_BASE], 0x54);
    assert_int_equal(r.r[IR_IDTR_LIMIT], 0x55);
    assert_int_equal(r.r[IR_CR0], CR0_PG | CR0_TS); /* as the guest reads it */
    assert_int_equal(r.r[IR_CR4], CR4_PAE);
    assert_int_equal(r.r[IR_CR8], 5);
    assert_int_equal(r.r[IR_XCR0], 0);
    vm.cpuid.xcr0_allowed = 7;
    assert_int_equal(inspect_regs(&vcpu, 1, &r), OK);
    assert_int_equal(r.r[IR_XCR0], 7);
    assert_int_equal(r.r[IR_DR0 + 3], 0xd3);
    assert_int_equal(r.r[IR_DR6], 0xd6);
}

/* vmcs12 has EFER if L1 has it saved there; else the mode is known by the entry control. */
static void test_efer_of_l2(void **state)
{
    struct inspect_regs r;

    (void)state;
    L1_SAYS(GUEST_IA32_EFER) = 0x123;
    L1_SAYS(PRIMARY_EXIT_CONTROLS) = EXITCTL_SAVE_EFER;
    assert_int_equal(inspect_regs(&vcpu, 2, &r), OK);
    assert_int_equal(r.r[IR_EFER], 0x123);
    L1_SAYS(PRIMARY_EXIT_CONTROLS) = 0;
    L1_SAYS(ENTRY_CONTROLS) = ENTRYCTL_IA32E_MODE_GUEST;
    assert_int_equal(inspect_regs(&vcpu, 2, &r), OK);
    assert_int_equal(r.r[IR_EFER], EFER_LME | EFER_LMA | EFER_NXE);
    assert_int_equal(syncs, 2);
}

static void test_there_is_no_l2(void **state)
{
    struct inspect_regs r;
    struct inspect_walk w;
    static struct vmcs_image image;
    u8 byte;
    int why;

    for (u32 i = 0; i < 3; i++) {
        start(state);
        if (i == 0)
            nested.current = NO_VMCS;
        else if (i == 1)
            nested.vmx_on = false;
        else
            vcpu.nested = NULL;
        assert_int_equal(inspect_regs(&vcpu, 2, &r), ERR_NOENT);
        assert_int_equal(inspect_vmcs(&vcpu, INSPECT_VMCS12, &image), ERR_NOENT);
        assert_int_equal(inspect_vmcs(&vcpu, INSPECT_VMCS02, &image), ERR_NOENT);
        assert_int_equal(inspect_page_walk(&vcpu, 2, 0, &w), ERR_NOENT);
        assert_int_equal(inspect_ept_walk(&vcpu, INSPECT_VMCS12, 0, &w), ERR_NOENT);
        assert_int_equal(inspect_ept_walk(&vcpu, INSPECT_VMCS02, 0, &w), ERR_NOENT);
        assert_int_equal(inspect_memory(&vcpu, 2, false, 0, &byte, 1, false, &why), 0);
        assert_int_equal(why, ERR_NOENT);
        assert_int_equal(inspect_regs(&vcpu, 1, &r), OK);
        assert_int_equal(inspect_vmcs(&vcpu, INSPECT_VMCS01, &image), OK);
    }
    start(state);
    nested.vmcs02_made = false;
    assert_int_equal(inspect_vmcs(&vcpu, INSPECT_VMCS02, &image), ERR_NOENT);
    assert_int_equal(inspect_ept_walk(&vcpu, INSPECT_VMCS02, 0, &w), ERR_NOENT);
}

static void test_vmcs(void **state)
{
    static struct vmcs_image image;

    (void)state;
    vmcs01[VPID] = 0x77;
    vmx_caps.proc2 &= ~((u64)PROC2_ENABLE_VPID << 32);
    assert_int_equal(inspect_vmcs(&vcpu, INSPECT_VMCS01, &image), OK);
    assert_int_equal(VMCS(&image, GUEST_RIP), 0x1111);
    assert_int_equal(VMCS(&image, VPID), 0); /* this CPU has no such field */
    assert_int_equal(inspect_vmcs(&vcpu, INSPECT_VMCS02, &image), OK);
    assert_int_equal(VMCS(&image, GUEST_RIP), 0x2222);
    assert_ptr_equal(loaded, vmcs01);
    assert_int_equal(inspect_vmcs(&vcpu, INSPECT_VMCS12, &image), OK);
    assert_int_equal(VMCS(&image, GUEST_RIP), 0x1212);
    in_l2(true);
    assert_int_equal(inspect_vmcs(&vcpu, INSPECT_VMCS01, &image), OK);
    assert_int_equal(VMCS(&image, GUEST_RIP), 0x1111);
    assert_ptr_equal(loaded, vmcs02);
}

static void test_set_reg(void **state)
{
    (void)state;
    assert_int_equal(inspect_set_reg(&vcpu, IR_GPR + REG_RBX, 5), OK);
    assert_int_equal(vcpu.gpr[REG_RBX], 5);
    assert_int_equal(inspect_set_reg(&vcpu, IR_GPR + REG_RSP, 6), OK);
    assert_int_equal(vmcs01[GUEST_RSP], 6);
    assert_int_equal(inspect_set_reg(&vcpu, IR_RIP, 0xffff800000000000), OK);
    assert_int_equal(vmcs01[GUEST_RIP], 0xffff800000000000);
    assert_int_equal(inspect_set_reg(&vcpu, IR_RIP, 0x800000000000), ERR_INVAL);
    vmcs01[GUEST_RFLAGS] = RFLAGS_FIXED | RFLAGS_TF;
    assert_int_equal(inspect_set_reg(&vcpu, IR_RFLAGS, RFLAGS_ZF | RFLAGS_IF | RFLAGS_VM), OK);
    assert_int_equal(vmcs01[GUEST_RFLAGS], RFLAGS_FIXED | RFLAGS_TF | RFLAGS_ZF);
    assert_int_equal(inspect_set_reg(&vcpu, IR_CR2, 7), OK);
    assert_int_equal(cr2, 7);
    assert_int_equal(inspect_set_reg(&vcpu, IR_CR3, 7), ERR_UNSUPP);
}

/* --- memory --- */

static u32 read(u32 level, bool physical, u64 address, char *to, u32 n, int *why)
{
    return inspect_memory(&vcpu, level, physical, address, to, n, false, why);
}

static void test_memory_of_l1(void **state)
{
    char text[64] = "";
    int why;

    (void)state;
    memcpy(ram + 0x6ffc, "abcdefgh", 8);
    assert_int_equal(read(1, true, 0x6ffc, text, 8, &why), 8);
    assert_int_equal(why, OK);
    assert_memory_equal(text, "abcdefgh", 8);
    memset(text, 0, sizeof(text));
    assert_int_equal(read(0, false, LINEAR + 0xffc, text, 8, &why), 8); /* across two pages */
    assert_memory_equal(text, "abcdefgh", 8);
    assert_int_equal(read(0, false, LINEAR + 0x1ffc, text, 8, &why), 4);
    assert_int_equal(why, ERR_FAULT);
    assert_int_equal(read(0, false, 0x800000000000, text, 8, &why), 0);
    assert_int_equal(why, ERR_FAULT);
    assert_int_equal(read(0, true, sizeof(ram) - 4, text, 8, &why), 4);
    assert_int_equal(why, ERR_RANGE);
    assert_int_equal(read(0, true, ~0ull - 3, text, 8, &why), 0);
    /* A page that the guest itself could only read. */
    vmcs01[GUEST_CR0] |= CR0_WP;
    assert_int_equal(inspect_memory(&vcpu, 1, false, LINEAR + 2, "XY", 2, true, &why), 2);
    assert_memory_equal(ram + 0x6002, "XY", 2);
    assert_int_equal(ram[0x4000], 0x01); /* no flag is set */
}

static void test_memory_of_l2(void **state)
{
    char text[64] = "";
    int why;

    (void)state;
    ept12();
    for (u32 i = 0; i < 2; i++) {
        in_l2(i);
        if (!i) {
            L1_SAYS(GUEST_CR0) = CR0_PE | CR0_PG;
            L1_SAYS(GUEST_CR3) = 0x1000;
            L1_SAYS(GUEST_CR4) = CR4_PAE;
            L1_SAYS(ENTRY_CONTROLS) = ENTRYCTL_IA32E_MODE_GUEST;
        }
        memcpy(ram + 0xc000, "of L2", 5);
        memcpy(ram + 0x6000, "of L1", 5);
        assert_int_equal(read(2, true, 0x6000, text, 5, &why), 5);
        assert_memory_equal(text, "of L2", 5);
        assert_int_equal(read(2, false, LINEAR, text, 5, &why), 5);
        assert_memory_equal(text, "of L2", 5);
        assert_int_equal(read(1, true, 0x6000, text, 5, &why), 5);
        assert_memory_equal(text, "of L1", 5);
        assert_int_equal(read(2, true, 0x6ffe, text, 5, &why), 2);
        assert_int_equal(why, ERR_FAULT);
        entry(0xb000 + 8 * 7, 0x7002); /* write-only */
        assert_int_equal(read(2, true, 0x7000, text, 5, &why), 0);
        assert_int_equal(why, ERR_INVAL);
        entry(0xb000 + 8 * 7, 0);
    }
    assert_int_equal(ram[0xb031], 0xc0); /* neither accessed nor dirty */
}

/* --- translations --- */

static void test_page_walk(void **state)
{
    struct inspect_walk w;

    (void)state;
    assert_int_equal(inspect_page_walk(&vcpu, 0, LINEAR + 0x1123, &w), OK);
    assert_int_equal(w.r, OK);
    assert_int_equal(w.levels, 4);
    assert_int_equal(w.nr, 4);
    assert_int_equal(w.cr3, 0x1000);
    assert_int_equal(w.step[0].at, 0x1400);
    assert_int_equal(w.step[0].at1, 0x1400);
    assert_int_equal(w.step[0].entry, 0x2067);
    assert_int_equal(w.step[3].entry, 0x8000000000007003);
    assert_int_equal(w.to, 0x7123);
    assert_int_equal(w.to1, 0x7123);
    assert_int_equal(w.size, PAGE_SIZE);
    assert_int_equal(w.page, WALK_PAGE_NX | WALK_PAGE_WRITE);
    assert_int_equal(inspect_page_walk(&vcpu, 0, LINEAR + 0x2000, &w), OK);
    assert_int_equal(w.r, ERR_FAULT);
    assert_int_equal(w.nr, 4);
    assert_int_equal(w.error_code, 0);
    entry(0x3000, 0x100067);
    assert_int_equal(inspect_page_walk(&vcpu, 0, LINEAR, &w), OK);
    assert_int_equal(w.r, ERR_RANGE);
    assert_int_equal(w.nr, 3);
    vmcs01[GUEST_CR0] = CR0_PE;
    assert_int_equal(inspect_page_walk(&vcpu, 0, 0x123, &w), OK);
    assert_int_equal(w.levels, 0);
    assert_int_equal(w.to, 0x123);
}

static void test_pae_walk(void **state)
{
    struct inspect_walk w;

    (void)state;
    vmcs01[GUEST_IA32_EFER] = 0;
    vmcs01[GUEST_PDPTE1] = 0x2001;
    entry(0x2000, 0xe3);
    assert_int_equal(inspect_page_walk(&vcpu, 0, 0x40000123, &w), OK);
    assert_int_equal(w.levels, 3);
    assert_true(w.pdptes);
    assert_int_equal(w.nr, 2);
    assert_int_equal(w.step[0].entry, 0x2001);
    assert_int_equal(w.step[1].at, 0x2000);
    assert_int_equal(w.to, 0x123);
    assert_int_equal(w.size, MiB(2));
}

static void test_page_walk_of_l2(void **state)
{
    struct inspect_walk w;

    (void)state;
    in_l2(true);
    ept12();
    assert_int_equal(inspect_page_walk(&vcpu, 2, LINEAR + 0x10, &w), OK);
    assert_int_equal(w.r, OK);
    assert_int_equal(w.to, 0x6010);
    assert_int_equal(w.r1, OK);
    assert_int_equal(w.to1, 0xc010);
    assert_int_equal(inspect_page_walk(&vcpu, 2, LINEAR + 0x1000, &w), OK);
    assert_int_equal(w.r, OK);
    assert_int_equal(w.r1, ERR_FAULT);
    entry(0xb000 + 8 * 4, 0xd037); /* its page table lies elsewhere in L1 */
    entry(0xd000, 0x6003);
    assert_int_equal(inspect_page_walk(&vcpu, 2, LINEAR + 0x10, &w), OK);
    assert_int_equal(w.step[3].at, 0x4000);
    assert_int_equal(w.step[3].at1, 0xd000);
}

static void test_ept12(void **state)
{
    struct inspect_walk w;

    (void)state;
    assert_int_equal(inspect_ept_walk(&vcpu, INSPECT_VMCS12, 0x6010, &w), ERR_UNSUPP);
    ept12();
    assert_int_equal(inspect_ept_walk(&vcpu, INSPECT_VMCS12, 0x6010, &w), OK);
    assert_int_equal(w.r, OK);
    assert_int_equal(w.nr, 4);
    assert_int_equal(w.step[3].at, 0xb030);
    assert_int_equal(w.to, 0xc010);
    assert_int_equal(w.page, EPT_EXEC);
    assert_int_equal(w.type, EPT_WB);
    assert_int_equal(inspect_ept_walk(&vcpu, INSPECT_VMCS12, 0x7000, &w), OK);
    assert_int_equal(w.r, ERR_FAULT);
    assert_int_equal(inspect_ept_walk(&vcpu, INSPECT_VMCS12, BIT(48), &w), OK);
    assert_int_equal(w.r, ERR_FAULT);
    assert_int_equal(w.nr, 0);
    entry(0x8000, 0xffff000 | 7); /* where L1 has no RAM */
    assert_int_equal(inspect_ept_walk(&vcpu, INSPECT_VMCS12, 0x6010, &w), OK);
    assert_int_equal(w.r, ERR_INVAL);
}

static u64 table_pa(u32 n)
{
    return pool_pa(tables[n]) & EPT_ADDR;
}

/* Nidus's own tables lie in its pool. */
static void test_own_epts(void **state)
{
    struct inspect_walk w;

    (void)state;
    if (pool_pa(tables[0]) & ~EPT_ADDR)
        skip(); /* this host's addresses are no physical ones */
    vm.ept.caps = EPT_CAP_2M | EPT_CAP_1G;
    vm.ept.maxphyaddr = 52;
    vm.eptp = table_pa(0) | EPTP_WB | EPTP_WALK_4 | EPTP_ACCESSED_DIRTY;
    tables[0][0] = table_pa(1) | 7;
    tables[1][0] = table_pa(2) | 7;
    tables[2][3] = 0x40000000 | 0xb7;
    assert_int_equal(inspect_ept_walk(&vcpu, INSPECT_VMCS01, 0x600123, &w), OK);
    assert_int_equal(w.r, OK);
    assert_int_equal(w.nr, 3);
    assert_int_equal(w.to, 0x40000123);
    assert_int_equal(w.size, MiB(2));
    assert_int_equal(vm.mem_lock.next, vm.mem_lock.owner);
    nested.eptp02 = table_pa(1) | EPTP_WB | EPTP_WALK_4;
    assert_int_equal(inspect_ept_walk(&vcpu, INSPECT_VMCS02, 0, &w), OK);
    assert_int_equal(w.step[0].at, table_pa(1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_registers, start),
        cmocka_unit_test_setup(test_each_register, start),
        cmocka_unit_test_setup(test_efer_of_l2, start),
        cmocka_unit_test_setup(test_there_is_no_l2, start),
        cmocka_unit_test_setup(test_vmcs, start),
        cmocka_unit_test_setup(test_set_reg, start),
        cmocka_unit_test_setup(test_memory_of_l1, start),
        cmocka_unit_test_setup(test_memory_of_l2, start),
        cmocka_unit_test_setup(test_page_walk, start),
        cmocka_unit_test_setup(test_pae_walk, start),
        cmocka_unit_test_setup(test_page_walk_of_l2, start),
        cmocka_unit_test_setup(test_ept12, start),
        cmocka_unit_test_setup(test_own_epts, start),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
