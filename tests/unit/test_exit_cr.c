/* SPDX-License-Identifier: MIT */
/* MOV to CR0 and CR4 that exit: what is refused, what the guest reads back, what the CPU gets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/fake_vmx.h"
#include "arch/x86/vmx_caps.h"

static struct vmx_features vmx_features;
static u32 flushed; /* the VPID */

struct vcpu;
void vcpu_flush_tlb(struct vcpu *v);

void vcpu_flush_tlb(struct vcpu *v)
{
    flushed = vmread(VPID);
    (void)v;
}

/* links: vmm/walk.c */
#include "vmm/exit_cr.c"

#define PDPTES 0x2000u

static u64 field[0x7000];
static struct vm vm;
static struct vcpu vcpu;
static struct nested nested;
static u64 pdptes[4];
static int injected;
static bool done;

static u64 vmread(u32 encoding)
{
    return field[encoding];
}

static void vmwrite(u32 encoding, u64 value)
{
    field[encoding] = value;
}

int guest_read(struct vm *m, gpa_t gpa, void *to, u64 n)
{
    assert_ptr_equal(m, &vm);
    if (gpa != PDPTES)
        return ERR_RANGE;
    memcpy(to, pdptes, n);
    return OK;
}

int vcpu_physical(struct vcpu *v, gpa_t *gpa, u32 access)
{
    (void)v, (void)gpa, (void)access;
    return OK;
}

u64 vcpu_get_reg(struct vcpu *v, u32 n)
{
    return v->gpr[n];
}

void vcpu_set_reg(struct vcpu *v, u32 n, u64 value)
{
    v->gpr[n] = value;
}

void vcpu_inject_exception_error(struct vcpu *v, u8 vector, u32 error_code)
{
    (void)v;
    assert_int_equal(error_code, 0);
    injected = vector;
}

void vcpu_skip_instruction(struct vcpu *v)
{
    (void)v;
    done = true;
}

void pv_area_store_crs(struct vcpu *v)
{
    (void)v;
}

void(vm_crash)(struct vcpu *v, const char *fmt, ...)
{
    (void)v;
    fail_msg("%s", fmt);
}

void lapic_set_tpr(struct lapic *l, u8 value)
{
    (void)l, (void)value;
}

u8 lapic_tpr(const struct lapic *l)
{
    (void)l;
    return 0x70;
}

#define START_CR0 (CR0_PE | CR0_ET | CR0_NE | (u64)CR0_PG)
#define START_CR4 (u64) CR4_PAE

/* 64-bit mode of a VM that has VMX, outside of VMX operation. */
static int start(void **state)
{
    (void)state;
    memset(field, 0, sizeof(field));
    memset(&nested, 0, sizeof(nested));
    memset(pdptes, 0, sizeof(pdptes));
    vm.cpuid.cr4_allowed = CR4_PAE | CR4_PGE | CR4_PCIDE | CR4_SMEP | CR4_VMXE;
    vm.cpuid.maxphyaddr = 40;
    vm.nested_caps.cr0_fixed0 = CR0_PE | CR0_NE | (u64)CR0_PG;
    vcpu = (struct vcpu){.vm = &vm, .cpuid = &vm.cpuid, .nested = &nested, .until = ~0ull};
    vmx_features.granted = BIT(VF_VPID);
    field[VPID] = 0x41;
    field[GUEST_CR0] = field[CR0_READ_SHADOW] = START_CR0;
    field[GUEST_CR4] = START_CR4 | CR4_VMXE;
    field[CR4_READ_SHADOW] = START_CR4;
    field[GUEST_CR3] = PDPTES;
    field[GUEST_IA32_EFER] = EFER_LME | EFER_LMA;
    field[GUEST_CS_ACCESS_RIGHTS] = SEG_AR_L;
    field[CR0_GUEST_HOST_MASK] = vcpu_cr0_mask(&vcpu);
    flushed = 0;
    return 0;
}

/* The guest's MOV; true: done, false: #GP and nothing changed. */
static bool mov(u32 cr, u64 value)
{
    u64 before[4] = {field[GUEST_CR0], field[CR0_READ_SHADOW], field[GUEST_CR4], field[CR4_READ_SHADOW]};

    injected = -1;
    done = false;
    vcpu.gpr[REG_RBX] = value;
    field[EXIT_QUALIFICATION] = cr | REG_RBX << 8;
    exit_cr_access(&vcpu);
    assert_int_equal(done, injected < 0);
    if (done)
        return true;
    assert_int_equal(injected, VEC_GP);
    assert_int_equal(before[0], field[GUEST_CR0]);
    assert_int_equal(before[1], field[CR0_READ_SHADOW]);
    assert_int_equal(before[2], field[GUEST_CR4]);
    assert_int_equal(before[3], field[CR4_READ_SHADOW]);
    return false;
}

static void cr4_is(u64 value)
{
    assert_int_equal(field[CR4_READ_SHADOW], value);
    assert_int_equal(field[GUEST_CR4], value | CR4_VMXE);
}

static void test_vmxe(void **state)
{
    (void)state;
    assert_true(mov(4, START_CR4 | CR4_VMXE));
    cr4_is(START_CR4 | CR4_VMXE);
    assert_int_equal(flushed, 0);
    assert_true(mov(4, START_CR4));
    cr4_is(START_CR4);
    assert_true(mov(4, START_CR4 | CR4_VMXE | CR4_PGE));
    cr4_is(START_CR4 | CR4_VMXE | CR4_PGE);
    assert_int_equal(flushed, 0x41);
}

static void test_vmxe_without_vmx(void **state)
{
    (void)state;
    vm.cpuid.cr4_allowed &= ~(u64)CR4_VMXE;
    vcpu.nested = NULL;
    assert_false(mov(4, START_CR4 | CR4_VMXE));
    assert_false(mov(4, START_CR4 | CR4_UMIP));
    assert_false(mov(4, START_CR4 | BIT(63)));
    cr4_is(START_CR4);
}

static void test_vmxe_in_vmx_operation(void **state)
{
    (void)state;
    assert_true(mov(4, START_CR4 | CR4_VMXE));
    nested.vmx_on = true;
    assert_false(mov(4, START_CR4));
    assert_true(mov(4, START_CR4 | CR4_VMXE | CR4_SMEP));
    nested.vmx_on = false;
    assert_true(mov(4, START_CR4));
}

static void test_cr4_rules(void **state)
{
    (void)state;
    assert_false(mov(4, CR4_VMXE)); /* PAE in long mode */
    assert_true(mov(4, START_CR4 | CR4_VMXE | CR4_PCIDE));
    assert_true(mov(4, START_CR4));
    field[GUEST_CR3] = PDPTES | 1;
    assert_false(mov(4, START_CR4 | CR4_VMXE | CR4_PCIDE));
    field[GUEST_CR4] |= CR4_PCIDE; /* is on already */
    assert_true(mov(4, START_CR4 | CR4_VMXE | CR4_PCIDE));
    start(NULL);
    field[GUEST_IA32_EFER] = 0;
    assert_false(mov(4, START_CR4 | CR4_VMXE | CR4_PCIDE));
    assert_true(mov(4, CR4_VMXE));
}

/* 'Loading Paging-Structure Entries for PAE Paging': by changes of some bits only. */
static void test_cr4_pdptes(void **state)
{
    (void)state;
    field[GUEST_IA32_EFER] = 0;
    pdptes[1] = 0x3001;
    assert_true(mov(4, START_CR4 | CR4_VMXE));
    assert_int_equal(field[GUEST_PDPTE1], 0);
    assert_true(mov(4, START_CR4 | CR4_VMXE | CR4_PGE));
    assert_int_equal(field[GUEST_PDPTE1], 0x3001);
    pdptes[2] = BIT(40) | 1;
    assert_false(mov(4, START_CR4 | CR4_VMXE));
    field[GUEST_CR0] &= ~(u64)CR0_PG;
    assert_true(mov(4, START_CR4 | CR4_VMXE));
}

static void test_cr0(void **state)
{
    (void)state;
    assert_true(mov(0, START_CR0 | CR0_CD));
    assert_int_equal(field[CR0_READ_SHADOW], START_CR0 | CR0_CD);
    assert_int_equal(field[GUEST_CR0], START_CR0);
    assert_true(mov(0, START_CR0 & ~(u64)CR0_NE));
    assert_int_equal(field[CR0_READ_SHADOW], START_CR0 & ~(u64)CR0_NE);
    assert_int_equal(field[GUEST_CR0], START_CR0);
    assert_int_equal(flushed, 0);
    field[GUEST_CS_ACCESS_RIGHTS] = 0;
    assert_true(mov(0, (START_CR0 & ~(u64)CR0_PG) | CR0_CD));
    assert_int_equal(field[GUEST_IA32_EFER], EFER_LME);
    assert_int_equal(flushed, 0x41);
}

/* What a 64-bit program has left above 32 bits does not count in 32-bit modes. */
static void test_operand_size(void **state)
{
    (void)state;
    assert_false(mov(0, BIT(32) | START_CR0));
    field[GUEST_CS_ACCESS_RIGHTS] = SEG_AR_DB; /* compatibility mode */
    assert_true(mov(0, BIT(32) | START_CR0));
    assert_true(mov(4, BIT(40) | START_CR4));
    field[GUEST_IA32_EFER] = 0;
    field[GUEST_CS_ACCESS_RIGHTS] = SEG_AR_L; /* ignored */
    assert_true(mov(0, BIT(32) | START_CR0));
}

static void test_cr0_in_vmx_operation(void **state)
{
    static const u64 fixed[] = {CR0_PE | (u64)CR0_PG, CR0_NE, CR0_PG};
    const u64 free = CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_WP | CR0_AM;

    (void)state;
    field[GUEST_CS_ACCESS_RIGHTS] = 0;
    assert_int_equal(field[CR0_GUEST_HOST_MASK], ~(free | CR0_PE | CR0_PG));
    field[CR0_READ_SHADOW] = CR0_NE | CR0_CD; /* the others are the guest's own, and newer in the register */
    nested.vmx_on = true;
    vcpu_vmx_operation_changed(&vcpu);
    assert_int_equal(field[CR0_GUEST_HOST_MASK], ~free);
    assert_int_equal(field[CR0_READ_SHADOW], START_CR0 | CR0_CD);
    for (u32 i = 0; i < ARRAY_SIZE(fixed); i++)
        assert_false(mov(0, START_CR0 & ~fixed[i]));
    assert_true(mov(0, START_CR0 | CR0_CD | CR0_TS));
    nested.vmx_on = false;
    vcpu_vmx_operation_changed(&vcpu);
    assert_int_equal(field[CR0_GUEST_HOST_MASK], ~(free | CR0_PE | CR0_PG));
    assert_int_equal(field[CR0_READ_SHADOW], START_CR0 | CR0_CD | CR0_TS);
    assert_true(mov(0, START_CR0 & ~(u64)CR0_NE));
}

static void test_xsetbv_in_user_mode(void **state)
{
    (void)state;
    vm.cpuid.xcr0_allowed = 7;
    vcpu.gpr[REG_RAX] = 7;
    for (u32 cpl = 1; cpl <= 3; cpl++) {
        field[GUEST_SS_ACCESS_RIGHTS] = 0x93 | cpl << 5;
        injected = -1;
        done = false;
        exit_xsetbv(&vcpu);
        assert_int_equal(injected, VEC_GP);
        assert_false(done);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_vmxe, start),
        cmocka_unit_test_setup(test_vmxe_without_vmx, start),
        cmocka_unit_test_setup(test_vmxe_in_vmx_operation, start),
        cmocka_unit_test_setup(test_cr4_rules, start),
        cmocka_unit_test_setup(test_cr4_pdptes, start),
        cmocka_unit_test_setup(test_cr0, start),
        cmocka_unit_test_setup(test_operand_size, start),
        cmocka_unit_test_setup(test_cr0_in_vmx_operation, start),
        cmocka_unit_test_setup(test_xsetbv_in_user_mode, start),
    };

    return cmocka_run_group_tests_name("exit_cr", tests, NULL, NULL);
}
