/* SPDX-License-Identifier: MIT */
#include "vmm/apicv.h"
#include "arch/x86/asm.h"
#include "arch/x86/vmx.h"
#include "arch/x86/vmx_names.h"
#include "lib/log.h"
#include "lib/string.h"
#include "vmm/dev/lapic_quick.h"
#include "vmm/exit.h"
#include "vmm/fail.h"
#include "vmm/mmio.h"
#include "vmm/vmm.h"

#define CR8_EXITING (PROC_CR8_LOAD_EXITING | PROC_CR8_STORE_EXITING)

/* Each with those before it. */
static const u64 needs[] = {
    [APIC_APICV] = BIT(VF_TPR_SHADOW) | BIT(VF_VIRTUALIZE_X2APIC) | BIT(VF_APIC_REGISTER_VIRTUALIZATION) |
                   BIT(VF_VIRTUAL_INTERRUPT_DELIVERY),
    [APIC_POSTED] = BIT(VF_POSTED_INTERRUPTS),
};

/*
 * What it is for a vCPU, by IA32_APIC_BASE and the APIC's software enable bit: the CPU would deliver a
 * self-IPI to an APIC that is disabled. With the APIC-access page all accesses have to be virtualized, or it
 * would be memory. IPI virtualization is of use where the CPU itself writes to ICR.
 */
static const struct mode {
    u64 primary, secondary;
} modes[] = {
    {CR8_EXITING, 0},
    {CR8_EXITING, PROC2_VIRTUALIZE_APIC_ACCESSES},
    {PROC_USE_TPR_SHADOW, PROC2_VIRTUAL_INTERRUPT_DELIVERY},
    {PROC_USE_TPR_SHADOW | PROC_ACTIVATE_TERTIARY,
     PROC2_VIRTUAL_INTERRUPT_DELIVERY | PROC2_APIC_REGISTER_VIRTUALIZATION | PROC2_VIRTUALIZE_APIC_ACCESSES},
    {PROC_USE_TPR_SHADOW | PROC_ACTIVATE_TERTIARY,
     PROC2_VIRTUAL_INTERRUPT_DELIVERY | PROC2_APIC_REGISTER_VIRTUALIZATION | PROC2_VIRTUALIZE_X2APIC},
};

enum { DISABLED, DISABLED_WITH_PAGE, XAPIC_MODE, XAPIC_WITH_PAGE, X2APIC_MODE };

#define ALL_SECONDARY (modes[X2APIC_MODE].secondary | PROC2_VIRTUALIZE_APIC_ACCESSES)

/* Bochs, up to 3.1: when a physical interrupt arrives while a virtual one is held back by RFLAGS.IF, the
 * virtual one is delivered all the same. Its preemption timer counts with the TSC, which no CPU's does. */
static u32 best_level(void)
{
    if (!vmx_has(&vmx_features, VF_PREEMPTION_TIMER) || VMX_MISC_TIMER_SHIFT(vmx_caps.misc))
        return APIC_POSTED;
    log_debug("APICv is not used: Bochs delivers virtual interrupts while RFLAGS.IF is 0");
    return APIC_EMULATED;
}

enum config_apic apicv_level(const struct config_vm *config)
{
    u32 most = config->apic == APIC_BEST ? best_level() : (u32)config->apic, level = APIC_EMULATED;

    while (level < most && level < APIC_POSTED && !(needs[level + 1] & ~vmx_features.granted))
        level++;
    return (enum config_apic)level;
}

static void replace(u32 field, u64 mask, u64 bits)
{
    vmwrite(field, (vmread(field) & ~mask) | bits);
}

/*
 * The VM's vCPUs share one EPT: as long as all have their APICs where they are after RESET, it has the
 * APIC-access page there. Those who still have it cached, or use it until they come by here, do no harm:
 * their registers are the same by either way.
 */
void apicv_stop_access_page(struct vm *vm)
{
    spin_lock(&vm->mem_lock);
    if (vm->access_page_used) {
        ept_unmap(&vm->ept, LAPIC_BASE, PAGE_SIZE);
        __atomic_add_fetch(&vmm_flush_wanted, 1, __ATOMIC_ACQ_REL);
        __atomic_store_n(&vm->access_page_used, false, __ATOMIC_RELEASE);
        log_debug("%s: APICs are no longer accessed by a page", vm->config->name);
    }
    spin_unlock(&vm->mem_lock);
    vmm_flush_if_wanted();
}

int apicv_start_access_page(struct vm *vm)
{
    int r;

    if (vm->apic == APIC_EMULATED || !vmx_has(&vmx_features, VF_VIRTUALIZE_APIC_ACCESSES))
        return OK;
    vm->access_page = pool_alloc(&vm->owner, 1);
    if (!vm->access_page)
        return ERR_NOMEM;
    r = ept_map(&vm->ept, LAPIC_BASE, pool_pa(vm->access_page), PAGE_SIZE, EPT_RW, EPT_WB);
    vm->access_page_used = r == OK;
    return r;
}

static const struct mode *mode_of(struct vcpu *v)
{
    const struct lapic *l = v->lapic;
    bool moved = (l->base & ~(PAGE_SIZE - 1)) != LAPIC_BASE;

    if (moved || !lapic_enabled(l) || lapic_is_x2(l))
        apicv_stop_access_page(v->vm);
    if (l->takes_fixed && lapic_is_x2(l))
        return &modes[X2APIC_MODE];
    return &modes[(l->takes_fixed ? XAPIC_MODE : DISABLED) + v->vm->access_page_used];
}

/* What mode_of() depends on. */
static u64 mode_key(const struct lapic *l)
{
    return l->base | l->takes_fixed;
}

/* It is another mode than the VMCS has been told of. */
COLD static void change_mode(struct vcpu *v)
{
    struct lapic *l = v->lapic;
    const struct mode *m = mode_of(v);

    vmm_flush_if_wanted(); /* of the APIC-access page, which another vCPU may just have stopped */
    if (l->eoi_offered)
        lapic_settle_eoi(l, true); /* it will not be looked at */
    v->apicv_mode = mode_key(l);
    if (l->by_cpu && !(m->secondary & PROC2_VIRTUAL_INTERRUPT_DELIVERY))
        vcpu_kick(v); /* what IRR holds is for Nidus to deliver now */
    l->by_cpu = m->secondary & PROC2_VIRTUAL_INTERRUPT_DELIVERY;
    l->changed = l->by_cpu;
    replace(PRIMARY_CONTROLS, CR8_EXITING | PROC_USE_TPR_SHADOW | PROC_ACTIVATE_TERTIARY,
            m->primary & ~(u64)(v->vm->pid_pointers ? 0 : PROC_ACTIVATE_TERTIARY));
    replace(SECONDARY_CONTROLS, ALL_SECONDARY, m->secondary);
    vmwrite(MSR_BITMAPS, pool_pa(m == &modes[X2APIC_MODE] ? v->vm->msr_bitmap_x2 : v->vm->msr_bitmap));
    if (v->posted)
        replace(PIN_BASED_CONTROLS, PIN_POSTED_INTERRUPTS, l->by_cpu ? PIN_POSTED_INTERRUPTS : 0);
}

/* Level-triggered interrupts end with an exit: the I/O APIC waits for that. */
static void tell_cpu(struct vcpu *v)
{
    struct lapic *l = v->lapic;

    l->changed = false;
    vmwrite(GUEST_INTERRUPT_STATUS, lapic_status(l));
    for (u32 i = 0; i < PIR_WORDS; i++) {
        u64 exits = lapic_level_triggered(l, i);

        if (v->eoi_exits[i] == exits)
            continue;
        v->eoi_exits[i] = exits;
        vmwrite(EOI_EXIT_BITMAP_0 + 2 * i, exits);
    }
}

void apicv_before_entry(struct vcpu *v)
{
    struct lapic *l = v->lapic;

    if (unlikely(v->apicv_mode != mode_key(l)))
        change_mode(v);
    if (!l->by_cpu)
        return;
    lapic_take_new(l);
    if (l->changed)
        tell_cpu(v);
}

bool exit_virtualized_eoi(struct vcpu *v)
{
    lapic_ended_by_cpu(v->lapic, (u8)vmread(EXIT_QUALIFICATION));
    return vcpu_can_resume(v);
}

bool exit_apic_write(struct vcpu *v)
{
    lapic_written(v->lapic, (u32)vmread(EXIT_QUALIFICATION));
    return vcpu_can_resume(v);
}

/* To a register that the CPU does not virtualize: as without the page. */
bool exit_apic_access(struct vcpu *v)
{
    gpa_t gpa = LAPIC_BASE + vmread(EXIT_QUALIFICATION) % PAGE_SIZE;

    vcpu_requeue_event(v, false);
    if (v->events.due)
        fail_guest(v, "an event's delivery uses guest-physical 0x%lx, its APIC", gpa);
    else if (mmio_emulate(v, gpa))
        vcpu_inject_exception(v, VEC_UD);
    return vcpu_can_resume(v);
}

void apicv_fill_msr_bitmap(u8 *bitmap, const u8 *other)
{
    memcpy(bitmap, other, PAGE_SIZE);
    for (u32 msr = LAPIC_MSR_FIRST; msr <= LAPIC_MSR_LAST; msr++) {
        if (lapic_is_virtual(msr, false))
            msr_bitmap_let_through(bitmap, msr, false);
        if (lapic_is_virtual(msr, true))
            msr_bitmap_let_through(bitmap, msr, true);
    }
}
