/* SPDX-License-Identifier: MIT */
/* Exits that no instruction asks for: interrupts, NMIs, INIT, windows, timers, traps. */
#include "guest/common/apic.h"
#include "guest/common/segments.h"
#include "guest/l1/l1.h"
#include "guest/l1/msr_area.h"

#define VECTOR        0x41
#define ICR_NMI       0x400u
#define INFO(type, v) INTR_INFO(INTR_TYPE_##type, v)
#define DR6_BS        BIT(14)
#define LONG_TIME     100000000 /* ticks of the preemption timer: never in these tests */

L2_CODE(code_ud2, "ud2");
L2_CODE(code_nop, "nop\nnop\nnop");
L2_CODE(code_rdmsr, "rdmsr\nnop\nnop");
L2_CODE(code_sti, "sti\nnop\nnop");
L2_CODE(code_mov_ss, "mov %ss, %eax\nmov %eax, %ss\nnop\nnop");
L2_CODE(code_spin, "1: pause\njmp 1b");
L2_CODE(code_self_ipi, "movl %edi, (%rsi)\n1: pause\njmp 1b");
L2_CODE(code_self_ipi_msr, "wrmsr\n1: pause\njmp 1b");
L2_CODE(
    code_iret,
    "mov %rsp, %rdx\npushq $0x10\npushq %rdx\npushq $2\npushq $8\nleaq 1f(%rip), %rdx\npushq %rdx\niretq\n"
    "1: nop\nnop");

static u32 taken;

static void on_interrupt(struct trap_frame *f)
{
    (void)f;
    taken++;
    apic_eoi();
}

/* --- interrupts --- */

static void send_self(u32 low)
{
    apic_send(apic_id(), ICR_ASSERT | low);
}

static void interrupts_on(void)
{
    apic_enable(apic_mode() == APIC_X2, false);
    trap_set_handler(VECTOR, on_interrupt);
    taken = 0;
}

static void pending_interrupt(u64 rflags)
{
    for (u32 acknowledge = 0; acknowledge < 2; acknowledge++) {
        interrupts_on();
        l2_new(code_nop);
        if (!need(VMX_WORD_PIN, PIN_EXTERNAL_INTERRUPT_EXITING))
            return;
        if (acknowledge && !need(VMX_WORD_EXIT, EXITCTL_ACK_INTERRUPT_ON_EXIT))
            return;
        vmset(GUEST_RFLAGS, rflags);
        send_self(VECTOR);
        l2_expect(EXIT_REASON_EXTERNAL_INTERRUPT, "interrupt");
        expect_equal(vmread(GUEST_RIP), (u64)code_nop, "RIP");
        if (acknowledge) {
            expect_equal(vmread(EXIT_INTERRUPTION_INFO), INFO(EXTERNAL, VECTOR), "acknowledged");
            apic_eoi();
        } else {
            expect_equal(vmread(EXIT_INTERRUPTION_INFO) & INTR_INFO_VALID, 0, "not acknowledged");
        }
        irq_enable();
        cpu_pause();
        irq_disable();
        expect_equal(taken, !acknowledge, "interrupts that L1 takes");
        l2_expect(EXIT_REASON_VMCALL, "afterwards");
    }
}

static void test_interrupt(void)
{
    pending_interrupt(RFLAGS_IF);
}

/* In the shadow of STI or MOV SS it waits for the end of one instruction, whatever RFLAGS.IF is. */
static void interrupt_in_shadow(u32 shadow, u64 rflags)
{
    interrupts_on();
    l2_new(code_nop);
    if (!need(VMX_WORD_PIN, PIN_EXTERNAL_INTERRUPT_EXITING))
        return;
    vmset(GUEST_RFLAGS, rflags);
    vmwrite(GUEST_INTERRUPTIBILITY_STATE, shadow);
    send_self(VECTOR);
    l2_expect(EXIT_REASON_EXTERNAL_INTERRUPT, "interrupt in a shadow");
    expect_equal(vmread(GUEST_RIP), (u64)code_nop + 1, "RIP");
    expect_equal(vmread(GUEST_INTERRUPTIBILITY_STATE), 0, "shadow");
    irq_enable();
    cpu_pause();
    irq_disable();
    expect_equal(taken, 1, "interrupts that L1 takes");
    l2_expect(EXIT_REASON_VMCALL, "afterwards");
}

static void test_interrupt_shadow(void)
{
    interrupt_in_shadow(INTERRUPTIBILITY_STI, RFLAGS_IF);
    interrupt_in_shadow(INTERRUPTIBILITY_MOV_SS, RFLAGS_IF);
}

static void test_interrupt_if_off(void)
{
    if (lab_lacks("Bochs 3.0 does not leave a guest whose IF is 0"))
        return;
    pending_interrupt(0);
    interrupt_in_shadow(INTERRUPTIBILITY_MOV_SS, 0);
}

/* Without the control it is L2's, once its IF is on. */
static void test_interrupt_direct(void)
{
    interrupts_on();
    l2_new(code_sti);
    if (vmread(PIN_BASED_CONTROLS) & PIN_EXTERNAL_INTERRUPT_EXITING) {
        test_skip("external-interrupt exiting cannot be off");
        return;
    }
    send_self(VECTOR);
    l2_expect_vector(VECTOR, "interrupt behind STI");
    apic_eoi();
    l2_new(code_nop);
    send_self(VECTOR);
    l2_expect_vector(-1, "L2 has its IF off");
    irq_enable();
    cpu_pause();
    irq_disable();
    expect_equal(taken, 1, "interrupts that L1 takes");
}

/* It comes before the instruction at which it is open: not in the shadow of STI or MOV SS. */
static void test_interrupt_window(void)
{
    static const struct {
        const char *what;
        const u8 *code;
        u64 rflags;
        u32 shadow, behind;
    } cases[] = {
        {"open at once", code_nop, RFLAGS_IF, 0, 0},
        {"shadow of STI at entry", code_nop, RFLAGS_IF, INTERRUPTIBILITY_STI, 1},
        {"shadow of MOV SS at entry", code_nop, RFLAGS_IF, INTERRUPTIBILITY_MOV_SS, 1},
        {"STI", code_sti, 0, 0, 2},
        {"MOV SS", code_mov_ss, RFLAGS_IF, 0, 0},
    };

    for (u32 i = 0; i < ARRAY_SIZE(cases); i++) {
        l2_new(cases[i].code);
        if (!need(VMX_WORD_PROC, PROC_INTERRUPT_WINDOW_EXITING))
            return;
        vmset(GUEST_RFLAGS, cases[i].rflags);
        vmwrite(GUEST_INTERRUPTIBILITY_STATE, cases[i].shadow);
        l2_expect(EXIT_REASON_INTERRUPT_WINDOW, cases[i].what);
        expect_equal(vmread(GUEST_RIP), (u64)cases[i].code + cases[i].behind, cases[i].what);
    }
    l2_new(code_nop);
    need(VMX_WORD_PROC, PROC_INTERRUPT_WINDOW_EXITING);
    l2_expect(EXIT_REASON_VMCALL, "IF off");
}

/* --- NMIs --- */

/* An L2 that sends that to itself by the local APIC, which is L1's. */
static void new_self_ipi(u32 kind)
{
    interrupts_on();
    if (apic_mode() == APIC_X2) {
        l2_new(code_self_ipi_msr);
        l2.gpr[REG_RCX] = X2APIC_MSR(APIC_ICR);
        l2.gpr[REG_RDX] = apic_id();
        l2.gpr[REG_RAX] = ICR_ASSERT | kind;
    } else {
        apic_write(APIC_ICR_HIGH, apic_id() << 24);
        l2_new(code_self_ipi);
        l2.gpr[REG_RDI] = ICR_ASSERT | kind;
        l2.gpr[REG_RSI] = APIC_MMIO + APIC_ICR;
    }
}

static u32 nmis;

static bool count_nmi(struct trap_frame *f)
{
    nmis += f->vector == X_NMI;
    return f->vector == X_NMI;
}

static void unblock_nmis(void)
{
    asm volatile("movq %%rsp, %%rax; pushq %0; pushq %%rax; pushfq; pushq %1\n\t"
                 "leaq 1f(%%rip), %%rax; pushq %%rax; iretq; 1:" ::"i"(SEL_DATA),
                 "i"(SEL_CODE64)
                 : "rax", "memory");
}

static void test_nmi(void)
{
    trap_hook = count_nmi;
    nmis = 0;
    new_self_ipi(ICR_NMI);
    l2_expect_vector(X_NMI, "L2's own NMI");
    expect_equal(vmread(GUEST_INTERRUPTIBILITY_STATE), INTERRUPTIBILITY_NMI, "blocking in its handler");
    new_self_ipi(ICR_NMI);
    if (need(VMX_WORD_PIN, PIN_NMI_EXITING)) {
        l2_expect(EXIT_REASON_EXCEPTION_OR_NMI, "NMI exiting");
        expect_equal(vmread(EXIT_INTERRUPTION_INFO), INFO(NMI, X_NMI), "interruption information");
        /* NMIs are blocked after this exit, until an IRET of L1's. */
        unblock_nmis();
        vmwrite(GUEST_RIP, (u64)code_nop);
        l2_expect(EXIT_REASON_VMCALL, "afterwards");
        expect_equal(nmis, 0, "NMIs that L1 took");
    }
    trap_hook = NULL;
}

/* After an exit by an NMI L1 has them blocked; a second one comes with the next entry, which unblocks them,
 * but not in the shadow of MOV SS. */
static void test_nmi_shadow(void)
{
    static const u32 shadows[] = {0, INTERRUPTIBILITY_MOV_SS};

    trap_hook = count_nmi;
    nmis = 0;
    for (u32 i = 0; i < ARRAY_SIZE(shadows); i++) {
        new_self_ipi(ICR_NMI);
        if (!need(VMX_WORD_PIN, PIN_NMI_EXITING))
            break;
        l2_expect(EXIT_REASON_EXCEPTION_OR_NMI, "first");
        send_self(ICR_NMI);
        expect_equal(nmis, 0, "NMIs that L1 took");
        vmwrite(GUEST_RIP, (u64)code_nop);
        vmwrite(GUEST_INTERRUPTIBILITY_STATE, shadows[i]);
        l2_expect(EXIT_REASON_EXCEPTION_OR_NMI, "second");
        expect_equal(vmread(EXIT_INTERRUPTION_INFO), INFO(NMI, X_NMI), "second");
        expect_equal(vmread(GUEST_RIP), (u64)code_nop + !!shadows[i], "RIP of the second");
        l2_expect(EXIT_REASON_VMCALL, "afterwards");
        unblock_nmis();
        expect_equal(nmis, 0, "NMIs that L1 took");
    }
    trap_hook = NULL;
}

/* Virtual NMIs: injected, they block; IRET ends that, and the window opens. */
static void test_nmi_window(void)
{
    l2_new(code_nop);
    if (!need(VMX_WORD_PIN, PIN_NMI_EXITING | PIN_VIRTUAL_NMIS) ||
        !need(VMX_WORD_PROC, PROC_NMI_WINDOW_EXITING))
        return;
    l2_expect(EXIT_REASON_NMI_WINDOW, "open at once");
    expect_equal(vmread(GUEST_RIP), (u64)code_nop, "open at once");
    vmwrite(ENTRY_INTERRUPTION_INFO, INFO(NMI, X_NMI));
    l2_expect_vector(X_NMI, "an injected NMI blocks");
    expect_equal(vmread(GUEST_INTERRUPTIBILITY_STATE), INTERRUPTIBILITY_NMI, "in its handler");
    l2_skip();
    l2_expect(EXIT_REASON_NMI_WINDOW, "IRET opens the window");
    expect_equal(vmread(GUEST_RIP), (u64)code_nop, "behind IRET");
    expect_equal(vmread(GUEST_INTERRUPTIBILITY_STATE), 0, "behind IRET");
    l2_new(code_iret);
    need(VMX_WORD_PIN, PIN_NMI_EXITING | PIN_VIRTUAL_NMIS);
    need(VMX_WORD_PROC, PROC_NMI_WINDOW_EXITING);
    vmwrite(GUEST_INTERRUPTIBILITY_STATE, INTERRUPTIBILITY_NMI);
    l2_expect(EXIT_REASON_NMI_WINDOW, "blocked at entry until IRET");
    expect(vmread(GUEST_RIP) > (u64)code_iret + 8, "RIP 0x%llx", (ull)vmread(GUEST_RIP));
    l2_new(code_nop);
    need(VMX_WORD_PIN, PIN_NMI_EXITING | PIN_VIRTUAL_NMIS);
    need(VMX_WORD_PROC, PROC_NMI_WINDOW_EXITING);
    vmwrite(GUEST_INTERRUPTIBILITY_STATE, INTERRUPTIBILITY_NMI);
    l2_expect(EXIT_REASON_VMCALL, "blocked");
}

/* L2 sends an INIT to its own CPU, which is L1's. */
static void test_init(void)
{
    new_self_ipi(ICR_INIT);
    l2_expect(EXIT_REASON_INIT, "INIT");
    expect_equal(vmread(EXIT_QUALIFICATION), 0, "INIT");
    vmwrite(GUEST_RIP, (u64)code_nop);
    l2_expect(EXIT_REASON_VMCALL, "afterwards");
}

/* --- timers and traps --- */

static void test_preemption_timer(void)
{
    u64 start, before, left;
    u32 shift = VMX_MISC_TIMER_SHIFT(caps.misc);

    l2_new(code_spin);
    if (!need(VMX_WORD_PIN, PIN_PREEMPTION_TIMER))
        return;
    vmwrite(PREEMPTION_TIMER_VALUE, 0);
    l2_expect(EXIT_REASON_PREEMPTION_TIMER, "of 0");
    expect_equal(vmread(GUEST_RIP), (u64)code_spin, "of 0: no instruction");
    vmwrite(PREEMPTION_TIMER_VALUE, 1000);
    start = rdtsc();
    l2_expect(EXIT_REASON_PREEMPTION_TIMER, "of 1000");
    expect(rdtsc() - start >= 999ull << shift, "too early: after %llu ticks", (ull)(rdtsc() - start));
    expect(rdtsc() - start < 100000ull << shift, "too late: after %llu ticks", (ull)(rdtsc() - start));
    vmwrite(GUEST_RIP, (u64)code_nop);
    vmwrite(PREEMPTION_TIMER_VALUE, LONG_TIME);
    l2_expect(EXIT_REASON_VMCALL, "not yet");
    expect_equal(vmread(PREEMPTION_TIMER_VALUE), LONG_TIME, "not saved");
    if (!need(VMX_WORD_EXIT, EXITCTL_SAVE_PREEMPTION_TIMER))
        return;
    vmwrite(GUEST_RIP, (u64)code_nop);
    before = rdtsc();
    l2_expect(EXIT_REASON_VMCALL, "saved");
    left = vmread(PREEMPTION_TIMER_VALUE);
    expect(left <= LONG_TIME && left >= LONG_TIME - ((rdtsc() - before) >> shift) - 1, "%llu left",
           (ull)left);
    vmwrite(GUEST_RIP, (u64)code_spin);
    vmwrite(PREEMPTION_TIMER_VALUE, 10);
    l2_expect(EXIT_REASON_PREEMPTION_TIMER, "of 10");
    expect_equal(vmread(PREEMPTION_TIMER_VALUE), 0, "saved when it has expired");
}

static void test_monitor_trap(void)
{
    l2_new(code_nop);
    if (!need(VMX_WORD_PROC, PROC_MONITOR_TRAP_FLAG))
        return;
    for (u32 i = 1; i <= 3; i++) {
        l2_expect(EXIT_REASON_MONITOR_TRAP_FLAG, "NOP");
        expect_equal(vmread(GUEST_RIP), (u64)code_nop + i, "NOP");
    }
    l2_expect(EXIT_REASON_VMCALL, "VMCALL is before the trap");
    vmwrite(GUEST_RIP, (u64)code_nop);
    vmwrite(ENTRY_INTERRUPTION_INFO, INFO(EXTERNAL, VECTOR));
    vmset(GUEST_RFLAGS, RFLAGS_IF);
    l2_expect(EXIT_REASON_MONITOR_TRAP_FLAG, "behind an injection");
    expect_equal((u64)l2_vector(), VECTOR, "before its handler's first instruction");
    vmwrite(GUEST_RIP, (u64)code_ud2);
    l2_expect(EXIT_REASON_MONITOR_TRAP_FLAG, "behind an exception");
    expect_equal((u64)l2_vector(), X_UD, "before its handler's first instruction");
}

/* RDMSR of what a hypervisor below has to carry out itself is one step like others. */
static void test_steps(void)
{
    static const struct {
        const char *what;
        u32 msr;
    } msrs[] = {{"IA32_APIC_BASE", MSR_APIC_BASE}, {"IA32_MTRR_DEF_TYPE", MSR_MTRR_DEF_TYPE}};

    for (u32 i = 0; i < ARRAY_SIZE(msrs); i++) {
        l2_new(code_rdmsr);
        l2.gpr[REG_RCX] = msrs[i].msr;
        vmset(GUEST_RFLAGS, RFLAGS_TF);
        vmwrite(EXCEPTION_BITMAP, BIT(X_DB));
        l2_expect(EXIT_REASON_EXCEPTION_OR_NMI, msrs[i].what);
        expect_equal(vmread(EXIT_INTERRUPTION_INFO), INFO(HARDWARE_EXCEPTION, X_DB), msrs[i].what);
        expect_equal(vmread(EXIT_QUALIFICATION), DR6_BS, msrs[i].what);
        expect_equal(vmread(GUEST_RIP), (u64)code_rdmsr + 2, msrs[i].what);
        l2_new(code_rdmsr);
        l2.gpr[REG_RCX] = msrs[i].msr;
        if (!need(VMX_WORD_PROC, PROC_MONITOR_TRAP_FLAG))
            return;
        l2_expect(EXIT_REASON_MONITOR_TRAP_FLAG, msrs[i].what);
        expect_equal(vmread(GUEST_RIP), (u64)code_rdmsr + 2, msrs[i].what);
        l2_expect(EXIT_REASON_MONITOR_TRAP_FLAG, "NOP behind it");
        expect_equal(vmread(GUEST_RIP), (u64)code_rdmsr + 3, "NOP behind it");
    }
}

/* What exits at once waits for the delivery of what is injected: RIP is the handler's first instruction. */
static void behind_injection(u32 reason, const char *what)
{
    vmwrite(ENTRY_INTERRUPTION_INFO, INFO(HARDWARE_EXCEPTION, X_UD));
    l2_expect(reason, what);
    expect_equal((u64)l2_vector(), X_UD, what);
    expect_equal(vmread(GUEST_RIP) & 15, 0, what);
    expect_equal(vmread(IDT_VECTORING_INFO) & INTR_INFO_VALID, 0, what);
}

static void test_behind_injection(void)
{
    l2_new(code_nop);
    if (!need(VMX_WORD_PIN, PIN_PREEMPTION_TIMER))
        return;
    vmwrite(PREEMPTION_TIMER_VALUE, 0);
    behind_injection(EXIT_REASON_PREEMPTION_TIMER, "timer of 0");
    l2_new(code_nop);
    if (!need(VMX_WORD_PIN, PIN_NMI_EXITING | PIN_VIRTUAL_NMIS) ||
        !need(VMX_WORD_PROC, PROC_NMI_WINDOW_EXITING))
        return;
    behind_injection(EXIT_REASON_NMI_WINDOW, "NMI window");
}

static void test_interrupt_behind_injection(void)
{
    interrupts_on();
    l2_new(code_nop);
    if (!need(VMX_WORD_PIN, PIN_EXTERNAL_INTERRUPT_EXITING))
        return;
    send_self(VECTOR);
    behind_injection(EXIT_REASON_EXTERNAL_INTERRUPT, "interrupt");
    irq_enable();
    cpu_pause();
    irq_disable();
    expect_equal(taken, 1, "interrupts that L1 takes");
}

/* L2 is halted at entry: only an event wakes it. */
static void test_activity_halted(void)
{
    interrupts_on();
    l2_new(code_nop);
    if (!(caps.misc & VMX_MISC_ACTIVITY_HLT)) {
        test_skip("no activity state HLT");
        return;
    }
    vmwrite(GUEST_ACTIVITY_STATE, ACTIVITY_HLT);
    vmset(GUEST_RFLAGS, RFLAGS_IF);
    if (!need(VMX_WORD_PIN, PIN_EXTERNAL_INTERRUPT_EXITING))
        return;
    send_self(VECTOR);
    l2_expect(EXIT_REASON_EXTERNAL_INTERRUPT, "interrupt of a halted L2");
    expect_equal(vmread(GUEST_RIP), (u64)code_nop, "RIP");
    irq_enable();
    cpu_pause();
    irq_disable();
    vmwrite(GUEST_ACTIVITY_STATE, ACTIVITY_HLT);
    vmwrite(ENTRY_INTERRUPTION_INFO, INFO(EXTERNAL, VECTOR));
    l2_expect_vector(VECTOR, "injection wakes it");
    expect_equal(vmread(GUEST_ACTIVITY_STATE), ACTIVITY_ACTIVE, "activity in the handler");
}

/* SDM, 'Saving Non-Register State': the activity before the exit. */
static void test_halted_saved(void)
{
    if (lab_lacks("Bochs 3.0 wakes it before the exit"))
        return;
    interrupts_on();
    l2_new(code_nop);
    if (!(caps.misc & VMX_MISC_ACTIVITY_HLT)) {
        test_skip("no activity state HLT");
        return;
    }
    if (!need(VMX_WORD_PIN, PIN_EXTERNAL_INTERRUPT_EXITING))
        return;
    vmwrite(GUEST_ACTIVITY_STATE, ACTIVITY_HLT);
    vmset(GUEST_RFLAGS, RFLAGS_IF);
    send_self(VECTOR);
    l2_expect(EXIT_REASON_EXTERNAL_INTERRUPT, "interrupt of a halted L2");
    expect_equal(vmread(GUEST_ACTIVITY_STATE), ACTIVITY_HLT, "activity");
    irq_enable();
    cpu_pause();
    irq_disable();
}

static void test_halted_windows(void)
{
    if (lab_lacks("Bochs 3.0 does not wake it for that"))
        return;
    for (u32 nmi = 0; nmi < 2; nmi++) {
        l2_new(code_nop);
        if (!(caps.misc & VMX_MISC_ACTIVITY_HLT)) {
            test_skip("no activity state HLT");
            return;
        }
        if (!need(VMX_WORD_PIN, PIN_NMI_EXITING | PIN_VIRTUAL_NMIS))
            return;
        need(VMX_WORD_PROC, nmi ? PROC_NMI_WINDOW_EXITING : PROC_INTERRUPT_WINDOW_EXITING);
        vmwrite(GUEST_ACTIVITY_STATE, ACTIVITY_HLT);
        vmset(GUEST_RFLAGS, RFLAGS_IF);
        l2_expect(nmi ? EXIT_REASON_NMI_WINDOW : EXIT_REASON_INTERRUPT_WINDOW, "window of a halted L2");
        expect_equal(vmread(GUEST_RIP), (u64)code_nop, "RIP");
        expect_equal(vmread(GUEST_ACTIVITY_STATE), ACTIVITY_HLT, "activity");
    }
}

static void test_halted_timer(void)
{
    l2_new(code_nop);
    if (!(caps.misc & VMX_MISC_ACTIVITY_HLT) || !need(VMX_WORD_PIN, PIN_PREEMPTION_TIMER)) {
        test_skip("no activity state HLT, or no preemption timer");
        return;
    }
    vmwrite(GUEST_ACTIVITY_STATE, ACTIVITY_HLT);
    vmwrite(PREEMPTION_TIMER_VALUE, 1000);
    l2_expect(EXIT_REASON_PREEMPTION_TIMER, "halted");
    expect_equal(vmread(GUEST_RIP), (u64)code_nop, "halted");
}

const struct test event_tests[] = {
    {"event-interrupt", test_interrupt},
    {"event-interrupt-shadow", test_interrupt_shadow},
    {"event-interrupt-if-off", test_interrupt_if_off},
    {"event-interrupt-direct", test_interrupt_direct},
    {"event-interrupt-window", test_interrupt_window},
    {"event-nmi", test_nmi},
    {"event-nmi-shadow", test_nmi_shadow},
    {"event-nmi-window", test_nmi_window},
    {"event-init", test_init},
    {"event-preemption-timer", test_preemption_timer},
    {"event-monitor-trap", test_monitor_trap},
    {"event-steps", test_steps},
    {"event-behind-injection", test_behind_injection},
    {"event-interrupt-behind-injection", test_interrupt_behind_injection},
    {"event-halted", test_activity_halted},
    {"event-halted-saved", test_halted_saved},
    {"event-halted-windows", test_halted_windows},
    {"event-halted-timer", test_halted_timer},
    {NULL, NULL},
};
