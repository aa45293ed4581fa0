/* SPDX-License-Identifier: MIT */
/* Does this CPU do what its VMX says? Each check is short; they need nothing but a guest of one page. */
#include "arch/x86/apic.h"
#include "arch/x86/asm.h"
#include "arch/x86/cpu.h"
#include "arch/x86/time.h"
#include "arch/x86/trap.h"
#include "arch/x86/vmx_names.h"
#include "lib/format.h"
#include "lib/log.h"
#include "vmm/apicv.h"
#include "vmm/dev/lapic_state.h"
#include "vmm/mini_guest.h"
#include "vmm/self_test.h"
#include "vmm/vmcs_setup.h"

#define TIMER_US 2000

u32 self_results[SELF_NR_RESULTS];

static struct mini_guest *guest;
static char detail[96]; /* what the check at hand has to say */

void self_say(enum self_result result, const char *what, const char *text)
{
    static const char *const words[] = {PACK "ok", PACK "FAILED", PACK "not on this CPU"};

    self_results[result]++;
    log_info("%s: %s%s%s", what, words[result], text && *text ? ": " : "", text ? text : "");
}

/* Did the guest end like that? */
static bool ends(enum mini_code from, u32 wanted)
{
    u32 reason = mini_run(guest, from);

    if (reason == wanted)
        return true;
    if (reason == MINI_VMFAIL)
        format(detail, sizeof(detail), "VM entry: %s",
               vmx_instruction_error_text((u32)vmread(VM_INSTRUCTION_ERROR)));
    else
        format(detail, sizeof(detail), "exit 0x%x, %s, instead of %s", reason,
               vmx_exit_reason_name(EXIT_REASON_BASIC(reason)), vmx_exit_reason_name(wanted));
    return false;
}

static bool entry_and_exit(void)
{
    return ends(MINI_CALL, EXIT_REASON_VMCALL);
}

static bool ept_violation(void)
{
    u64 gpa, qualification;

    if (!ends(MINI_READ, EXIT_REASON_EPT_VIOLATION))
        return false;
    gpa = vmread(GUEST_PHYSICAL_ADDRESS);
    qualification = vmread(EXIT_QUALIFICATION);
    format(detail, sizeof(detail), "address 0x%lx, qualification 0x%lx", gpa, qualification);
    return gpa == MINI_DATA && qualification & EPT_QUAL_READ;
}

static bool reads(u16 wanted)
{
    if (!ends(MINI_READ, EXIT_REASON_VMCALL))
        return false;
    format(detail, sizeof(detail), "the guest reads 0x%x instead of 0x%x", (u16)guest->regs.rax, wanted);
    return (u16)guest->regs.rax == wanted;
}

/* The same guest-physical page becomes another one. */
static bool ept_change(void)
{
    void *other = pool_alloc(&guest->vm.owner, 1);
    bool ok;

    if (!other)
        return false;
    *(u16 *)other = 0x1234;
    guest->pt[1] = mini_pte(guest->page);
    ok = reads(MINI_FIRST);
    guest->pt[1] = mini_pte(other);
    invept_single(guest->vm.eptp);
    ok = ok && reads(0x1234);
    guest->pt[1] = mini_pte(guest->page);
    invept_all();
    ok = ok && reads(MINI_FIRST);
    pool_free(&guest->vm.owner, other, 1);
    if (ok)
        *detail = 0;
    return ok;
}

static bool invalidates_vpids(void)
{
    for (u32 type = 0; type < 4; type++) {
        if (!(vmx_caps.ept_vpid & VPID_CAP_INVVPID_ADDRESS << type) || invvpid(type, 1))
            continue;
        format(detail, sizeof(detail), "INVVPID of type %u fails", type);
        return false;
    }
    return entry_and_exit();
}

static bool preemption_timer(void)
{
    u64 wanted = us_to_ticks(TIMER_US), from = rdtsc(), took;
    bool ok;

    vmwrite(PREEMPTION_TIMER_VALUE, wanted >> VMX_MISC_TIMER_SHIFT(vmx_caps.misc));
    ok = ends(MINI_LOOP, EXIT_REASON_PREEMPTION_TIMER);
    took = rdtsc() - from;
    vmwrite(PREEMPTION_TIMER_VALUE, ~0u);
    if (!ok)
        return false;
    format(detail, sizeof(detail), "%lu us instead of %u", took / us_to_ticks(1), TIMER_US);
    return took >= wanted - wanted / 10;
}

static bool monitor_trap(void)
{
    u64 controls = vmread(PRIMARY_CONTROLS), rip;
    bool ok;

    vmwrite(PRIMARY_CONTROLS, controls | PROC_MONITOR_TRAP_FLAG);
    ok = ends(MINI_READ, EXIT_REASON_MONITOR_TRAP_FLAG);
    vmwrite(PRIMARY_CONTROLS, controls);
    rip = vmread(GUEST_RIP) - MINI_READ;
    if (ok && rip != 3)
        format(detail, sizeof(detail), "after %lu bytes, not after the first instruction", rip);
    return ok && rip == 3;
}

/* The guest's interrupts all lead to a VMCALL; which of them it took is in SVI. */
static bool is_interrupted(u8 vector)
{
    u32 in_service;

    apicv_before_entry(guest->vcpu);
    if (!ends(MINI_TAKE, EXIT_REASON_VMCALL))
        return false;
    in_service = vmread(GUEST_INTERRUPT_STATUS) >> 8 & 0xff;
    format(detail, sizeof(detail), "vector 0x%x is in service instead of 0x%x", in_service, vector);
    if (in_service != vector)
        return false;
    *detail = 0;
    return true;
}

#define VIRTUAL 0x41
#define POSTED  0x61 /* not held back by the other, which is never ended */

static bool virtual_interrupt(void)
{
    struct lapic *l = guest->vcpu->lapic;

    *lapic_reg(l, REG_IRR + VIRTUAL / 32) |= 1u << VIRTUAL % 32;
    l->changed = true;
    return is_interrupted(VIRTUAL);
}

/* The notification waits until the guest runs. */
static bool posted_interrupt(void)
{
    struct pi_desc *d = guest->vcpu->pid;
    bool ok;

    apicv_before_entry(guest->vcpu);
    d->flags = 0;
    pi_post(d, POSTED);
    apic_send_ipi(this_cpu()->apic_id, VECTOR_POSTED);
    ok = is_interrupted(POSTED);
    d->flags = PID_SN;
    return ok;
}

#define APICV                                                                                \
    (BIT(VF_TPR_SHADOW) | BIT(VF_VIRTUALIZE_X2APIC) | BIT(VF_APIC_REGISTER_VIRTUALIZATION) | \
     BIT(VF_VIRTUAL_INTERRUPT_DELIVERY))

static const struct check {
    const char *what;
    u64 needs;
    bool (*passes)(void);
} checks[] = {
    {PACK "VM entry, exit by VMCALL", 0, entry_and_exit},
    {PACK "EPT violation", 0, ept_violation},
    {PACK "EPT, INVEPT", 0, ept_change},
    {PACK "VPID, INVVPID", BIT(VF_VPID), invalidates_vpids},
    {PACK "preemption timer", BIT(VF_PREEMPTION_TIMER), preemption_timer},
    {PACK "monitor trap flag", BIT(VF_MONITOR_TRAP_FLAG), monitor_trap},
    {PACK "virtual-interrupt delivery", APICV, virtual_interrupt},
    {PACK "posted interrupt", APICV | BIT(VF_POSTED_INTERRUPTS), posted_interrupt},
};

static bool has(u64 features)
{
    return !(features & ~vmx_features.granted);
}

bool self_check_begin(const struct config_vm *any)
{
    if (vmcs_setup_init())
        return false;
    guest = mini_create(any, has(APICV | BIT(VF_POSTED_INTERRUPTS)) ? APIC_POSTED
                             : has(APICV)                           ? APIC_APICV
                                                                    : APIC_EMULATED);
    return guest;
}

bool self_check_cpu(void)
{
    bool ok;

    mini_load(guest);
    ok = entry_and_exit();
    mini_unload(guest);
    return ok;
}

void self_check_vmx(const struct config_vm *any)
{
    bool has_ipiv = has(BIT(VF_IPI_VIRTUALIZATION));

    for (u32 i = 0; i < ARRAY_SIZE(checks); i++) {
        const struct check *c = &checks[i];
        bool ok;

        *detail = 0;
        mini_load(guest);
        ok = has(c->needs) && c->passes();
        mini_unload(guest);
        self_say(ok ? SELF_OK : has(c->needs) ? SELF_FAILED : SELF_ABSENT, c->what, detail);
    }
    ipiv_check(any);
    self_say(!has_ipiv                         ? SELF_ABSENT
             : has(BIT(VF_IPI_VIRTUALIZATION)) ? SELF_OK
                                               : SELF_FAILED,
             PACK "IPI virtualization", NULL);
}
