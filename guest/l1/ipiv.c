/* SPDX-License-Identifier: MIT */
/* SDM, 'IPI Virtualization': what L2 sends without an exit, and what is L1's to send. */
#include "guest/common/apic.h"
#include "guest/common/segments.h"
#include "guest/l1/spoil.h"
#include "lib/string.h"

#define ACCESS_PAGE  TEST_PAGES
#define VIRTUAL_APIC (TEST_PAGES + PAGE_SIZE)
#define VREG(offset) MMIO(u32, VIRTUAL_APIC + (offset))

#define NOTIFICATION 0xf2 /* of L2 itself */
#define OTHERS       0x55 /* and of another one */
#define VECTOR       0x61

#define ON         BIT(0)
#define SN         BIT(1)
#define VALID      BIT(0)
#define LAST_INDEX 2

L2_CODE(ipiv_wrmsr, "wrmsr\nnop");
L2_CODE(ipiv_sti_wrmsr, "sti\nnop\nwrmsr\nnop\nnop");
L2_CODE(ipiv_store, "movl %eax, (%rbx)\nnop");
L2_CODE(ipiv_sends, "1: dec %rsi\njs 2f\nwrmsr\njmp 1b\n2:");
/* RSI times RDI is written to ICR; RBX is the least time from before that to the handler. */
L2_CODE(ipiv_rounds, "sti\n1: xor %r9d, %r9d\nrdtsc\nmov %eax, %r8d\nmov %edi, %eax\nxor %edx, %edx\nwrmsr\n"
                     "2: test %r9d, %r9d\njz 2b\n"
                     "cmp %r9d, %ebx\ncmova %r9d, %ebx\ndec %rsi\njnz 1b");
L2_CODE(ipiv_handler, "rdtsc\nsub %r8d, %eax\nmov %eax, %r9d\n"
                      "mov $0x80b, %ecx\nxor %eax, %eax\nxor %edx, %edx\nwrmsr\nmov $0x830, %ecx\niretq");

static struct pid {
    u64 requests[4], notification, reserved[3];
} pids[2] __aligned(64); /* L2's, and another one's */
static u64 table[LAST_INDEX + 1];

/* Where notifications of both go: here. */
static u64 notification(u32 vector)
{
    u64 id = apic_id();

    return (u64)vector << 16 | (apic_mode() == APIC_X2 ? id : id << 8) << 32;
}

static bool has_it(void)
{
    if (vmx_can(VMX_WORD_PROC, PROC_ACTIVATE_TERTIARY) && vmx_can(VMX_WORD_PROC3, PROC3_IPI_VIRTUALIZATION))
        return true;
    test_skip("no IPI virtualization");
    return false;
}

/* mode: 'virtualize x2APIC mode' or 'virtualize APIC accesses'. */
static void new_l2(const u8 *code, u64 mode)
{
    memset((void *)TEST_PAGES, 0, 2 * PAGE_SIZE);
    memset(pids, 0, sizeof(pids));
    l2_new(code);
    apic_enable(false, false);
    vmset(PIN_BASED_CONTROLS, PIN_EXTERNAL_INTERRUPT_EXITING | PIN_POSTED_INTERRUPTS);
    vmset(PRIMARY_CONTROLS, PROC_USE_TPR_SHADOW | (u64)PROC_ACTIVATE_SECONDARY | PROC_ACTIVATE_TERTIARY);
    vmset(SECONDARY_CONTROLS, PROC2_VIRTUAL_INTERRUPT_DELIVERY | PROC2_APIC_REGISTER_VIRTUALIZATION | mode);
    vmset(PRIMARY_EXIT_CONTROLS, EXITCTL_ACK_INTERRUPT_ON_EXIT);
    vmwrite(TERTIARY_CONTROLS, PROC3_IPI_VIRTUALIZATION);
    vmwrite(APIC_ACCESS_ADDRESS, ACCESS_PAGE);
    vmwrite(VIRTUAL_APIC_ADDRESS, VIRTUAL_APIC);
    vmwrite(POSTED_INT_VECTOR, NOTIFICATION);
    vmwrite(POSTED_INT_DESC_ADDRESS, (u64)&pids[0]);
    vmwrite(PID_POINTER_TABLE, (u64)table);
    vmwrite(LAST_PID_POINTER_INDEX, LAST_INDEX);
    pids[0].notification = notification(NOTIFICATION);
    pids[1].notification = notification(OTHERS);
    for (u32 i = 0; i <= LAST_INDEX; i++)
        table[i] = i < ARRAY_SIZE(pids) ? (u64)&pids[i] | VALID : 0;
}

static void writes_icr(u32 low, u32 to)
{
    l2.gpr[REG_RCX] = X2APIC_MSR(APIC_ICR);
    l2.gpr[REG_RAX] = low;
    l2.gpr[REG_RDX] = to;
}

static void expect_posted(const struct pid *pid, u64 flags, const char *what)
{
    expect_equal(pid->requests[VECTOR / 64], BIT(VECTOR % 64), what);
    expect_equal(pid->notification & (ON | SN), flags, what);
}

/* --- entry --- */

static void test_entry(void)
{
    const struct spoil rows[] = {
        {"tertiary: a bit that must be 0", true, {SET(TERTIARY_CONTROLS, BIT(63))}, 0},
        {"without a TPR shadow",
         true,
         {SET(PRIMARY_CONTROLS, PROC_ACTIVATE_TERTIARY), PUT(TERTIARY_CONTROLS, PROC3_IPI_VIRTUALIZATION)},
         0},
        {"the table is not aligned", true, {PUT(PID_POINTER_TABLE, BIT(2))}, 0},
        {"the table's address is too wide", true, {PUT(PID_POINTER_TABLE, caps.physical)}, 0},
        {"the table ends beyond the width", true, {PUT(PID_POINTER_TABLE, caps.physical - 16)}, 0},
    };

    if (!has_it())
        return;
    spoil_all(&rows[1], 1, NO_ENTRY | VMX_ERROR_ENTRY_CONTROLS);
    for (u32 i = 0; i < ARRAY_SIZE(rows); i++) {
        const struct change *c = rows[i].changes;

        if (i == 1)
            continue;
        new_l2(ipiv_wrmsr, PROC2_VIRTUALIZE_X2APIC);
        vmwrite(c->field, (vmread(c->field) & c->keep) | c->set);
        expect_equal(l2_run(), NO_ENTRY | VMX_ERROR_ENTRY_CONTROLS, rows[i].what);
        vmunset(PRIMARY_CONTROLS, PROC_ACTIVATE_TERTIARY);
        writes_icr(0, 0);
        expect_equal(l2_run() & NO_ENTRY, 0, "nothing of it counts without tertiary controls");
    }
    new_l2(ipiv_wrmsr, PROC2_VIRTUALIZE_X2APIC);
    vmwrite(PID_POINTER_TABLE, caps.physical - 8 * (LAST_INDEX + 1));
    writes_icr(VECTOR, 0);
    l2_expect(EXIT_REASON_APIC_WRITE, "a table up to the width, without memory");
}

/* --- in x2APIC mode --- */

static void test_to_itself(void)
{
    if (!has_it())
        return;
    new_l2(ipiv_sti_wrmsr, PROC2_VIRTUALIZE_X2APIC);
    writes_icr(VECTOR, 0);
    l2_expect_vector(VECTOR, "an IPI to itself");
    expect_equal(vmread(GUEST_INTERRUPT_STATUS), VECTOR << 8, "guest interrupt status");
    expect_equal(pids[0].requests[VECTOR / 64] | (pids[0].notification & ON), 0, "it was processed");
    expect_equal(VREG(APIC_ICR), VECTOR, "VICR");
}

/* Those that were posted with SN set come along. */
static void test_to_itself_and_others(void)
{
    if (!has_it())
        return;
    new_l2(ipiv_sti_wrmsr, PROC2_VIRTUALIZE_X2APIC);
    pids[0].requests[0] = BIT(0x21);
    pids[0].requests[1] = BIT(0x41 - 64);
    writes_icr(VECTOR, 0);
    l2_expect_vector(VECTOR, "an IPI to itself");
    expect_equal(vmread(GUEST_INTERRUPT_STATUS), VECTOR << 8 | 0x41, "guest interrupt status");
    expect_equal(VREG(APIC_IRR + 0x10) & VREG(APIC_IRR + 0x20), BIT(1), "VIRR");
    expect_equal(pids[0].requests[0] | pids[0].requests[1], 0, "the descriptor");
}

/* L1's own priority holds the notification back. */
static void test_to_itself_later(void)
{
    if (!has_it())
        return;
    new_l2(ipiv_sti_wrmsr, PROC2_VIRTUALIZE_X2APIC);
    apic_write(APIC_TPR, 0xff);
    writes_icr(VECTOR, 0);
    l2_expect_vector(-1, "below L1's TPR");
    expect_posted(&pids[0], ON, "below L1's TPR");
    expect(apic_read(APIC_IRR + NOTIFICATION / 32 * 16) >> NOTIFICATION % 32 & 1, "L1's IRR");
    apic_write(APIC_TPR, 0);
    l2_expect_vector(VECTOR, "above L1's TPR");
    expect_equal(pids[0].requests[VECTOR / 64] | (pids[0].notification & ON), 0, "it was processed");
}

/* The monitor trap comes first. */
static void test_to_itself_stepped(void)
{
    if (!has_it())
        return;
    new_l2(ipiv_wrmsr, PROC2_VIRTUALIZE_X2APIC);
    if (!need(VMX_WORD_PROC, PROC_MONITOR_TRAP_FLAG))
        return;
    writes_icr(VECTOR, 0);
    l2_expect(EXIT_REASON_MONITOR_TRAP_FLAG, "an IPI to itself");
    expect_posted(&pids[0], ON, "before the notification");
    vmunset(PRIMARY_CONTROLS, PROC_MONITOR_TRAP_FLAG);
    l2_expect_vector(-1, "with interrupts off");
    expect_equal(vmread(GUEST_INTERRUPT_STATUS), VECTOR, "guest interrupt status");
    expect_equal(pids[0].requests[VECTOR / 64] | (pids[0].notification & ON), 0, "it was processed");
}

static void expect_other(const char *what, bool notified, u64 flags)
{
    writes_icr(ICR_ASSERT | VECTOR, 1);
    if (notified) {
        l2_expect(EXIT_REASON_EXTERNAL_INTERRUPT, what);
        expect_equal(vmread(EXIT_INTERRUPTION_INFO), INTR_INFO(INTR_TYPE_EXTERNAL, OTHERS), what);
        apic_eoi();
    }
    l2_expect_vector(-1, what);
    expect_posted(&pids[1], flags, what);
    expect_equal(VREG(APIC_ICR + 4), 1, "the upper half of VICR");
}

static void test_to_another(void)
{
    static const u64 flags[] = {0, ON, SN, ON | SN};

    if (!has_it())
        return;
    for (u32 i = 0; i < ARRAY_SIZE(flags); i++) {
        new_l2(ipiv_wrmsr, PROC2_VIRTUALIZE_X2APIC);
        pids[1].notification |= flags[i];
        expect_other("an IPI to another", !flags[i], flags[i] ? flags[i] : ON);
    }
}

static void expect_l1s(u32 low, u32 to, const char *what)
{
    new_l2(ipiv_wrmsr, PROC2_VIRTUALIZE_X2APIC);
    table[2] =
        what[0] == '0' ? 0 : (u64)&pids[1] | VALID | (what[0] == 'w' ? caps.physical : BIT(what[0] - '0'));
    writes_icr(low, to);
    l2_expect(EXIT_REASON_APIC_WRITE, what);
    expect_equal(vmread(EXIT_QUALIFICATION), APIC_ICR, what);
    expect_equal(vmread(GUEST_RIP), (u64)ipiv_wrmsr + 2, what);
    expect_equal(VREG(APIC_ICR), low, what);
    expect_equal(VREG(APIC_ICR + 4), to, what);
    expect_equal(pids[0].requests[VECTOR / 64] | pids[1].requests[VECTOR / 64], 0, what);
    l2_expect_vector(-1, "behind the exit");
}

static void test_l1s(void)
{
    static const u32 others[] = {BIT(8), BIT(9), BIT(10), BIT(11), BIT(15), BIT(18), BIT(19)};
    static const char *const entries[] = {"0: an empty entry", "1", "2", "3", "4", "5", "wide"};

    if (!has_it())
        return;
    for (u32 i = 0; i < ARRAY_SIZE(others); i++)
        expect_l1s(others[i] | VECTOR, 1, "5: not a plain IPI");
    expect_l1s(0x0f, 1, "5: an illegal vector");
    expect_l1s(VECTOR, LAST_INDEX + 1, "5: beyond the table");
    expect_l1s(VECTOR, ~0u, "5: to all");
    for (u32 i = 0; i < ARRAY_SIZE(entries); i++)
        expect_l1s(VECTOR, 2, entries[i]);
}

static void test_reserved(void)
{
    static const u32 bits[] = {BIT(13), BIT(16), BIT(17), BIT(20), BIT(31)};

    if (!has_it())
        return;
    for (u32 i = 0; i < ARRAY_SIZE(bits); i++) {
        new_l2(ipiv_wrmsr, PROC2_VIRTUALIZE_X2APIC);
        writes_icr(bits[i] | VECTOR, 1);
        l2_expect_vector(X_GP, "a reserved bit");
        expect_equal(VREG(APIC_ICR) | pids[1].requests[VECTOR / 64], 0, "a reserved bit");
    }
}

static void test_bitmap(void)
{
    if (!has_it())
        return;
    new_l2(ipiv_wrmsr, PROC2_VIRTUALIZE_X2APIC);
    ((u8 *)vmread(MSR_BITMAPS))[2048 + X2APIC_MSR(APIC_ICR) / 8] |= (u8)(1u << X2APIC_MSR(APIC_ICR) % 8);
    writes_icr(VECTOR, 1);
    l2_expect(EXIT_REASON_WRMSR, "the ICR in the MSR bitmap");
    expect_equal(pids[1].requests[VECTOR / 64], 0, "the ICR in the MSR bitmap");
}

static void test_trap_flag(void)
{
    if (!has_it())
        return;
    new_l2(ipiv_wrmsr, PROC2_VIRTUALIZE_X2APIC);
    if (!need(VMX_WORD_PROC, PROC_MONITOR_TRAP_FLAG))
        return;
    pids[1].notification |= SN;
    writes_icr(VECTOR, 1);
    l2_expect(EXIT_REASON_MONITOR_TRAP_FLAG, "WRMSR is one instruction");
    expect_equal(vmread(GUEST_RIP), (u64)ipiv_wrmsr + 2, "RIP");
    expect_posted(&pids[1], SN, "with the monitor trap flag");
}

/* --- in xAPIC mode --- */

static void stores_icr(u32 low, u32 to)
{
    new_l2(ipiv_store, PROC2_VIRTUALIZE_APIC_ACCESSES);
    VREG(APIC_ICR_HIGH) = to << 24;
    l2.gpr[REG_RBX] = ACCESS_PAGE + APIC_ICR;
    l2.gpr[REG_RAX] = low;
}

static void test_page(void)
{
    static const struct {
        u32 low, to;
    } rows[] = {{BIT(11) | VECTOR, 1}, {BIT(20) | VECTOR, 1}, {0x0f, 1},
                {VECTOR, 2},           {VECTOR, 3},           {VECTOR, 255}};

    if (!has_it())
        return;
    stores_icr(ICR_ASSERT | VECTOR, 1);
    l2_expect(EXIT_REASON_EXTERNAL_INTERRUPT, "an IPI to another");
    apic_eoi();
    l2_expect_vector(-1, "an IPI to another");
    expect_posted(&pids[1], ON, "an IPI to another");
    stores_icr(ICR_SELF | VECTOR, 1);
    l2_expect_vector(-1, "a self-IPI is the CPU's");
    expect_equal(vmread(GUEST_INTERRUPT_STATUS), VECTOR, "a self-IPI is the CPU's");
    for (u32 i = 0; i < ARRAY_SIZE(rows); i++) {
        stores_icr(rows[i].low, rows[i].to);
        l2_expect(EXIT_REASON_APIC_WRITE, "L1's");
        expect_equal(vmread(EXIT_QUALIFICATION), APIC_ICR, "L1's");
        expect_equal(pids[1].requests[VECTOR / 64], 0, "L1's");
    }
    stores_icr(VECTOR, 1);
    vmunset(TERTIARY_CONTROLS, PROC3_IPI_VIRTUALIZATION);
    l2_expect(EXIT_REASON_APIC_WRITE, "without IPI virtualization");
}

/* --- L1 itself in x2APIC mode: there is no way back --- */

static void test_x2apic_l1(void)
{
    if (!has_it())
        return;
    if (!apic_has_x2()) {
        test_skip("no IPI virtualization");
        return;
    }
    apic_enable(true, false);
    new_l2(ipiv_wrmsr, PROC2_VIRTUALIZE_X2APIC);
    expect_other("notified in x2APIC mode", true, ON);
    new_l2(ipiv_wrmsr, PROC2_VIRTUALIZE_X2APIC);
    pids[1].notification = (u64)OTHERS << 16 | 0x100ull << 32;
    expect_other("to an APIC that nobody has", false, ON);
    test_to_itself();
}

const struct test ipiv_tests[] = {
    {"ipiv-entry", test_entry},
    {"ipiv-to-itself", test_to_itself},
    {"ipiv-to-itself-and-others", test_to_itself_and_others},
    {"ipiv-to-itself-later", test_to_itself_later},
    {"ipiv-to-itself-stepped", test_to_itself_stepped},
    {"ipiv-to-another", test_to_another},
    {"ipiv-l1s", test_l1s},
    {"ipiv-reserved", test_reserved},
    {"ipiv-bitmap", test_bitmap},
    {"ipiv-trap-flag", test_trap_flag},
    {"ipiv-page", test_page},
    {"ipiv-x2apic-l1", test_x2apic_l1},
    {NULL, NULL},
};

/* --- figures --- */

#define SENDS  1000
#define ROUNDS 200

static u64 sends(u64 count)
{
    u64 start;

    writes_icr(VECTOR, 1);
    l2.gpr[REG_RSI] = count;
    vmwrite(GUEST_RIP, (u64)ipiv_sends);
    start = rdtsc();
    l2_run();
    return rdtsc() - start;
}

/* For another one, which is notified already. */
static void measure_posted(void)
{
    new_l2(ipiv_sends, PROC2_VIRTUALIZE_X2APIC);
    pids[1].notification |= ON;
    sends(SENDS);
    printf("bench: l2_ipi_posted = %llu\n", (ull)((sends(SENDS) - sends(0)) / SENDS));
}

/* From before the write to the first instruction of the handler. */
static void measure_to_itself(void)
{
    new_l2(ipiv_rounds, PROC2_VIRTUALIZE_X2APIC);
    l2_set_entry(VECTOR, ipiv_handler);
    writes_icr(VECTOR, 0);
    l2.gpr[REG_RDI] = VECTOR;
    l2.gpr[REG_RBX] = ~0u;
    l2.gpr[REG_RSI] = ROUNDS;
    l2_expect(EXIT_REASON_VMCALL, "IPIs to itself");
    printf("bench: l2_ipi_to_itself = %llu\n", (ull)l2.gpr[REG_RBX]);
}

void ipiv_bench(void)
{
    if (!has_it())
        return;
    measure_posted();
    measure_to_itself();
}
