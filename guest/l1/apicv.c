/* SPDX-License-Identifier: MIT */
/* SDM, chapter 'APIC Virtualization and Virtual Interrupts': registers, virtual interrupts, posted ones. */
#include "guest/common/apic.h"
#include "guest/common/segments.h"
#include "guest/l1/l1.h"
#include "lib/string.h"

#define ACCESS_PAGE  TEST_PAGES
#define VIRTUAL_APIC (TEST_PAGES + PAGE_SIZE)
#define VREG(offset) MMIO(u32, VIRTUAL_APIC + (offset))
#define APIC_PPR     0xa0
#define WRITES       BIT(12) /* in the qualification of an APIC access */

#define NOTIFICATION 0xf2
#define OTHER_VECTOR 0x55
#define POSTED       0x61

#define STATUS(rvi, svi) ((u64)(svi) << 8 | (rvi))

L2_CODE(apicv_sti, "sti\nnop\nnop");
L2_CODE(apicv_hlt, "sti\nhlt\nnop");
L2_CODE(apicv_rdmsr, "rdmsr");
L2_CODE(apicv_wrmsr, "wrmsr\nnop");
L2_CODE(apicv_load, "movl (%rbx), %eax");
L2_CODE(apicv_cr8, "movq %cr8, %rax");
L2_CODE(apicv_store, "movl %eax, (%rbx)\nnop");

/* For Bochs 3.0 it has a page of its own. */
static struct {
    u32 requests[8];
    u32 notification[8];
} descriptor __aligned(4096);

/* Virtual-interrupt delivery and more secondary controls; false: the CPU has not got them, and the test is
 * skipped. */
static bool new_l2(const u8 *code, u64 more)
{
    memset((void *)TEST_PAGES, 0, 2 * PAGE_SIZE);
    memset(&descriptor, 0, sizeof(descriptor));
    l2_new(code);
    vmwrite(APIC_ACCESS_ADDRESS, ACCESS_PAGE);
    vmwrite(VIRTUAL_APIC_ADDRESS, VIRTUAL_APIC);
    return need(VMX_WORD_PROC, PROC_ACTIVATE_SECONDARY) && need(VMX_WORD_PROC, PROC_USE_TPR_SHADOW) &&
           need(VMX_WORD_PIN, PIN_EXTERNAL_INTERRUPT_EXITING) &&
           need(VMX_WORD_PROC2, PROC2_VIRTUAL_INTERRUPT_DELIVERY | more);
}

/* The pages that the delivery of that vector needs are in use before: Bochs 3.0 does not say which virtual
 * interrupt it was delivering when it meets an EPT violation. */
static void touch(u32 vector)
{
    u64 rip = vmread(GUEST_RIP), rsp = vmread(GUEST_RSP), flags = vmread(GUEST_RFLAGS);

    vmwrite(ENTRY_INTERRUPTION_INFO, INTR_INFO(INTR_TYPE_SOFTWARE_INTERRUPT, vector));
    vmwrite(ENTRY_INSTRUCTION_LENGTH, 2);
    l2_expect_vector((int)vector, "injected");
    vmwrite(GUEST_RIP, rip);
    vmwrite(GUEST_RSP, rsp);
    vmwrite(GUEST_RFLAGS, flags);
}

static void set_vector(u32 base, u32 vector)
{
    VREG(base + vector / 32 * 16) |= 1u << vector % 32;
}

static bool has_vector(u32 base, u32 vector)
{
    return VREG(base + vector / 32 * 16) >> vector % 32 & 1;
}

/* RVI and SVI, and the bits of the page that go with them. */
static void set_status(u32 rvi, u32 svi)
{
    set_vector(APIC_IRR, rvi);
    if (svi)
        set_vector(APIC_ISR, svi);
    vmwrite(GUEST_INTERRUPT_STATUS, STATUS(rvi, svi));
}

static void expect_status(u32 rvi, u32 svi, const char *what)
{
    expect_equal(vmread(GUEST_INTERRUPT_STATUS), STATUS(rvi, svi), what);
}

/* Right after an entry, by priorities. */
static void test_delivery(void)
{
    static const struct {
        u8 rvi, svi, tpr, ppr; /* ppr: afterwards */
        bool taken;
    } rows[] = {
        {0x41, 0, 0, 0x40, true},        {0x41, 0, 0x3f, 0x40, true},  {0x41, 0, 0x40, 0x40, false},
        {0x51, 0x4f, 0, 0x50, true},     {0x5f, 0x51, 0, 0x50, false}, {0xff, 0xe1, 0xe8, 0xf0, true},
        {0x31, 0x21, 0xf0, 0xf0, false},
    };

    for (u32 i = 0; i < ARRAY_SIZE(rows); i++) {
        u8 rvi = rows[i].rvi, svi = rows[i].svi;

        if (!new_l2(apicv_sti, 0))
            return;
        touch(rvi);
        set_status(rvi, svi);
        VREG(APIC_TPR) = rows[i].tpr;
        l2_expect_vector(rows[i].taken ? rvi : -1, "L2 with interrupts on");
        expect_status(rows[i].taken ? 0 : rvi, rows[i].taken ? rvi : svi, "guest interrupt status");
        expect_equal(has_vector(APIC_IRR, rvi), !rows[i].taken, "VIRR");
        expect_equal(has_vector(APIC_ISR, rvi), rows[i].taken, "VISR");
        expect_equal(VREG(APIC_PPR), rows[i].ppr, "VPPR");
    }
}

static void test_window(void)
{
    if (!new_l2(apicv_sti, 0))
        return;
    touch(0x41);
    set_status(0x41, 0);
    vmset(PRIMARY_CONTROLS, PROC_INTERRUPT_WINDOW_EXITING);
    l2_expect(EXIT_REASON_INTERRUPT_WINDOW, "interrupt window");
    expect_status(0x41, 0, "behind the window");
    vmunset(PRIMARY_CONTROLS, PROC_INTERRUPT_WINDOW_EXITING);
    l2_expect_vector(0x41, "without interrupt-window exiting");
    expect_status(0, 0x41, "delivered");
}

/* As L1's VMCS has it, with no entry in between and after many. */
static void test_status(void)
{
    if (!new_l2(apicv_load, 0))
        return;
    l2.gpr[REG_RBX] = VIRTUAL_APIC;
    for (u32 i = 0; i < 8; i++) {
        u64 status = STATUS(0x10 + i, 0xf0 + i);

        vmwrite(GUEST_INTERRUPT_STATUS, status);
        expect_equal(vmread(GUEST_INTERRUPT_STATUS), status, "written");
        vmwrite(GUEST_RIP, (u64)apicv_load);
        l2_expect(EXIT_REASON_VMCALL, "L2 with interrupts off");
        expect_equal(vmread(GUEST_INTERRUPT_STATUS), status, "after an entry");
        expect_equal(VREG(APIC_PPR), 0xf0, "VPPR");
    }
}

static void write_msr(u32 reg, u64 value)
{
    vmwrite(GUEST_RIP, (u64)apicv_wrmsr);
    l2.gpr[REG_RCX] = X2APIC_MSR(reg);
    l2.gpr[REG_RAX] = value;
    l2.gpr[REG_RDX] = 0;
}

static void test_x2apic_eoi(void)
{
    if (!new_l2(apicv_wrmsr, PROC2_VIRTUALIZE_X2APIC))
        return;
    set_vector(APIC_ISR, 0x41);
    set_status(0, 0x61);
    write_msr(APIC_EOI, 0);
    l2_expect_vector(-1, "EOI");
    expect_status(0, 0x41, "after the EOI");
    expect(!has_vector(APIC_ISR, 0x61) && has_vector(APIC_ISR, 0x41), "VISR after the EOI");
    vmwrite(EOI_EXIT_BITMAP_1, BIT(0x41 - 64));
    write_msr(APIC_EOI, 0);
    l2_expect(EXIT_REASON_VIRTUALIZED_EOI, "EOI with its bit");
    expect_equal(vmread(EXIT_QUALIFICATION), 0x41, "its vector");
    expect_equal(vmread(GUEST_RIP), (u64)apicv_wrmsr + 2, "RIP of that exit");
    expect_status(0, 0, "after both");
    write_msr(APIC_EOI, 1);
    l2_expect_vector(X_GP, "EOI of 1");
}

static void test_x2apic_self_ipi(void)
{
    if (!new_l2(apicv_wrmsr, PROC2_VIRTUALIZE_X2APIC))
        return;
    touch(0x71);
    write_msr(APIC_SELF_IPI, 0x71);
    l2_expect_vector(-1, "self-IPI with interrupts off");
    expect_status(0x71, 0, "self-IPI");
    expect(has_vector(APIC_IRR, 0x71), "self-IPI is not in VIRR");
    write_msr(APIC_SELF_IPI, 0x0f);
    l2_expect(EXIT_REASON_APIC_WRITE, "self-IPI of an illegal vector");
    expect_equal(vmread(EXIT_QUALIFICATION), APIC_SELF_IPI, "its offset");
    vmset(GUEST_RFLAGS, BIT(9));
    vmwrite(GUEST_RIP, (u64)apicv_sti);
    l2_expect_vector(0x71, "with interrupts on");
    /* L1's bitmap comes first. */
    ((u8 *)vmread(MSR_BITMAPS))[2048 + X2APIC_MSR(APIC_SELF_IPI) / 8] |=
        (u8)(1u << X2APIC_MSR(APIC_SELF_IPI) % 8);
    write_msr(APIC_SELF_IPI, 0x71);
    l2_expect(EXIT_REASON_WRMSR, "self-IPI in the MSR bitmap");
}

static void test_x2apic_registers(void)
{
    static const u32 regs[] = {APIC_ID, APIC_VERSION, APIC_ISR, APIC_LVT_TIMER, 0xff0};

    for (u32 i = 0; i < ARRAY_SIZE(regs); i++) {
        if (!new_l2(apicv_rdmsr, PROC2_VIRTUALIZE_X2APIC | PROC2_APIC_REGISTER_VIRTUALIZATION))
            return;
        VREG(regs[i]) = 0x1234567 + i;
        l2.gpr[REG_RCX] = X2APIC_MSR(regs[i]);
        l2_expect_vector(-1, "RDMSR");
        expect_equal(l2.gpr[REG_RAX], 0x1234567 + i, "the register that L2 reads");
    }
    ((u8 *)vmread(MSR_BITMAPS))[X2APIC_MSR(APIC_ID) / 8] |= (u8)(1u << X2APIC_MSR(APIC_ID) % 8);
    vmwrite(GUEST_RIP, (u64)apicv_rdmsr);
    l2.gpr[REG_RCX] = X2APIC_MSR(APIC_ID);
    l2_expect(EXIT_REASON_RDMSR, "RDMSR in the MSR bitmap");
}

/* Accesses to the APIC-access page: what is virtualized, and which exit follows. */
static void test_page(void)
{
    static const struct {
        u32 reg, value; /* value 0: it is read */
        u32 exit, qualification, rvi;
    } rows[] = {
        {APIC_ID, 0, EXIT_REASON_VMCALL, 0, 0},
        {APIC_TIMER_CURRENT, 0, EXIT_REASON_APIC_ACCESS, APIC_TIMER_CURRENT, 0},
        {APIC_LVT_TIMER, 0x1f0, EXIT_REASON_APIC_WRITE, APIC_LVT_TIMER, 0},
        {APIC_VERSION, 5, EXIT_REASON_APIC_ACCESS, WRITES | APIC_VERSION, 0},
        {APIC_ICR, ICR_SELF | 0x71, EXIT_REASON_VMCALL, 0, 0x71},
        {APIC_ICR, 0x71, EXIT_REASON_APIC_WRITE, APIC_ICR, 0},
        {APIC_ICR, ICR_SELF | 0x0f, EXIT_REASON_APIC_WRITE, APIC_ICR, 0},
    };

    for (u32 i = 0; i < ARRAY_SIZE(rows); i++) {
        bool write = rows[i].value;

        if (!new_l2(write ? apicv_store : apicv_load,
                    PROC2_VIRTUALIZE_APIC_ACCESSES | PROC2_APIC_REGISTER_VIRTUALIZATION))
            return;
        VREG(rows[i].reg) = 0x7654321;
        l2.gpr[REG_RBX] = ACCESS_PAGE + rows[i].reg;
        l2.gpr[REG_RAX] = rows[i].value;
        l2_expect(rows[i].exit, "access");
        if (rows[i].exit != EXIT_REASON_VMCALL)
            expect_equal(vmread(EXIT_QUALIFICATION), rows[i].qualification, "qualification");
        else if (!write)
            expect_equal(l2.gpr[REG_RAX], 0x7654321, "what L2 reads");
        if (rows[i].exit != EXIT_REASON_APIC_ACCESS)
            expect_equal(VREG(rows[i].reg), write ? rows[i].value : 0x7654321, "the register");
        expect_status(rows[i].rvi, 0, "guest interrupt status");
    }
}

/* A virtual-APIC page where no memory is reads as all ones. */
static void test_nowhere(void)
{
    l2_new(apicv_cr8);
    if (!need(VMX_WORD_PROC, PROC_USE_TPR_SHADOW))
        return;
    vmwrite(VIRTUAL_APIC_ADDRESS, caps.physical - PAGE_SIZE);
    l2_expect_vector(-1, "no memory for the virtual APIC");
    expect_equal(l2.gpr[REG_RAX], 0xf, "CR8");
}

#define LAB_SLEEPS "Bochs 3.0 does not end HLT for a virtual interrupt"

static void test_halt(void)
{
    if (lab_lacks(LAB_SLEEPS) || !new_l2(apicv_hlt, 0))
        return;
    touch(0x41);
    set_status(0x41, 0);
    l2_expect_vector(0x41, "HLT with RVI");
    expect_status(0, 0x41, "HLT with RVI");
    if (!new_l2(apicv_sti, 0))
        return;
    touch(0x41);
    set_status(0x41, 0);
    vmset(GUEST_RFLAGS, BIT(9));
    vmwrite(GUEST_ACTIVITY_STATE, ACTIVITY_HLT);
    l2_expect_vector(0x41, "entry into HLT with RVI");
}

/* --- posted interrupts --- */

static bool new_posted(const u8 *code)
{
    if (!new_l2(code, 0) || !need(VMX_WORD_PIN, PIN_POSTED_INTERRUPTS) ||
        !need(VMX_WORD_EXIT, EXITCTL_ACK_INTERRUPT_ON_EXIT))
        return false;
    vmwrite(POSTED_INT_VECTOR, NOTIFICATION);
    vmwrite(POSTED_INT_DESC_ADDRESS, (u64)&descriptor);
    apic_enable(false, false);
    touch(POSTED);
    return true;
}

static void post(u32 vector)
{
    descriptor.requests[vector / 32] |= 1u << vector % 32;
    descriptor.notification[0] = 3; /* bit 0, and one that is L1's */
}

/* The descriptor is empty, and nothing of the notification is left in L1's APIC. */
static void expect_processed(const char *what)
{
    for (u32 i = 0; i < 8; i++)
        expect(!descriptor.requests[i], "%s: requests stay", what);
    expect_equal(descriptor.notification[0], 2, what);
    expect(!(apic_read(APIC_ISR + NOTIFICATION / 32 * 16) >> NOTIFICATION % 32 & 1), "%s: no EOI", what);
    expect(!(apic_read(APIC_IRR + NOTIFICATION / 32 * 16) >> NOTIFICATION % 32 & 1), "%s: IRR", what);
}

static void notify(u32 vector)
{
    apic_send(apic_id(), ICR_ASSERT | vector);
}

static void test_posted(void)
{
    if (!new_posted(apicv_sti))
        return;
    post(POSTED);
    post(0x21);
    notify(NOTIFICATION);
    l2_expect_vector(POSTED, "posted");
    expect_processed("posted");
    expect_status(0x21, POSTED, "posted");
    expect(has_vector(APIC_IRR, 0x21) && has_vector(APIC_ISR, POSTED), "the virtual APIC");
}

static void test_posted_below_tpr(void)
{
    if (!new_posted(apicv_sti))
        return;
    post(POSTED);
    VREG(APIC_TPR) = 0x60;
    notify(NOTIFICATION);
    l2_expect_vector(-1, "posted below the TPR");
    expect_processed("posted below the TPR");
    expect_status(POSTED, 0, "posted below the TPR");
    expect(has_vector(APIC_IRR, POSTED), "VIRR");
}

static void test_posted_other_vector(void)
{
    if (!new_posted(apicv_sti))
        return;
    post(POSTED);
    notify(OTHER_VECTOR);
    l2_expect(EXIT_REASON_EXTERNAL_INTERRUPT, "another vector");
    expect_equal(vmread(EXIT_INTERRUPTION_INFO), INTR_INFO(INTR_TYPE_EXTERNAL, OTHER_VECTOR),
                 "another vector");
    apic_eoi();
    expect(descriptor.requests[POSTED / 32] && descriptor.notification[0] == 3, "nothing is posted");
    /* The one behind the notification still makes its exit. */
    notify(OTHER_VECTOR);
    notify(NOTIFICATION);
    l2_expect(EXIT_REASON_EXTERNAL_INTERRUPT, "another vector behind the notification");
    apic_eoi();
    expect_processed("before another vector");
}

#define TIMER_COUNT 100000

static void notify_later(void)
{
    apic_write(APIC_TIMER_DIVIDE, 0xb); /* by 1 */
    apic_write(APIC_LVT_TIMER, NOTIFICATION);
    apic_write(APIC_TIMER_INITIAL, TIMER_COUNT);
}

static void test_posted_halted(void)
{
    if (!new_posted(apicv_hlt))
        return;
    post(POSTED);
    notify_later();
    l2_expect_vector(POSTED, "posted to a halted L2");
    expect_processed("posted to a halted L2");
    apic_write(APIC_LVT_TIMER, LVT_MASKED);
}

/* What is not above the TPR ends no halt. */
static void test_posted_halt_goes_on(void)
{
    if (lab_lacks("Bochs 3.0 ends HLT for the notification") || !new_posted(apicv_hlt) ||
        !need(VMX_WORD_PIN, PIN_PREEMPTION_TIMER))
        return;
    post(POSTED);
    VREG(APIC_TPR) = 0x60;
    notify_later();
    vmwrite(PREEMPTION_TIMER_VALUE, 50 * TIMER_COUNT >> (caps.misc & 31));
    l2_expect(EXIT_REASON_PREEMPTION_TIMER, "halted until the timer ends");
    expect_equal(vmread(GUEST_ACTIVITY_STATE), ACTIVITY_HLT, "activity");
    expect_processed("posted below the TPR");
    expect_status(POSTED, 0, "posted below the TPR");
    apic_write(APIC_LVT_TIMER, LVT_MASKED);
}

const struct test apicv_tests[] = {
    {"apicv-delivery", test_delivery},
    {"apicv-window", test_window},
    {"apicv-status", test_status},
    {"apicv-x2apic-eoi", test_x2apic_eoi},
    {"apicv-x2apic-self-ipi", test_x2apic_self_ipi},
    {"apicv-x2apic-registers", test_x2apic_registers},
    {"apicv-page", test_page},
    {"apicv-nowhere", test_nowhere},
    {"apicv-halt", test_halt},
    {"apicv-posted", test_posted},
    {"apicv-posted-below-tpr", test_posted_below_tpr},
    {"apicv-posted-other-vector", test_posted_other_vector},
    {"apicv-posted-halted", test_posted_halted},
    {"apicv-posted-halt-goes-on", test_posted_halt_goes_on},
    {NULL, NULL},
};
