/* SPDX-License-Identifier: MIT */
#include "vmm/apicv.h"
#include "arch/x86/asm.h"
#include "arch/x86/vmx.h"
#include "arch/x86/vmx_names.h"
#include "lib/log.h"
#include "lib/string.h"
#include "vmm/dev/lapic_quick.h"
#include "vmm/exit.h"

#define CR8_EXITING (PROC_CR8_LOAD_EXITING | PROC_CR8_STORE_EXITING)

/* Each with those before it. */
static const u64 needs[] = {
    [APIC_APICV] = BIT(VF_TPR_SHADOW) | BIT(VF_VIRTUALIZE_X2APIC) | BIT(VF_APIC_REGISTER_VIRTUALIZATION) |
                   BIT(VF_VIRTUAL_INTERRUPT_DELIVERY),
    [APIC_POSTED] = BIT(VF_POSTED_INTERRUPTS),
};

/* What it is for a vCPU by IA32_APIC_BASE: disabled, xAPIC mode, x2APIC mode. */
static const struct mode {
    u64 primary, secondary;
} modes[] = {
    {CR8_EXITING, 0},
    {PROC_USE_TPR_SHADOW, PROC2_VIRTUAL_INTERRUPT_DELIVERY},
    {PROC_USE_TPR_SHADOW,
     PROC2_VIRTUAL_INTERRUPT_DELIVERY | PROC2_APIC_REGISTER_VIRTUALIZATION | PROC2_VIRTUALIZE_X2APIC},
};

#define X2APIC_MODE 2

/* Bochs, up to 3.1: when a physical interrupt arrives while a virtual one is held back by RFLAGS.IF, the
 * virtual one is delivered all the same. It has a VMCS revision of its own. */
#define BOCHS_REVISION 0x2b

static u32 best_level(void)
{
    if (((u32)vmx_caps.basic & 0x7fffffff) != BOCHS_REVISION)
        return APIC_POSTED;
    log_debug("APICv is not used: Bochs delivers virtual interrupts while RFLAGS.IF is 0");
    return APIC_EMULATED;
}

enum config_apic apicv_level(const struct config_vm *config)
{
    u32 level = APIC_EMULATED, most = config->apic == APIC_BEST ? best_level() : config->apic;

    while (level < most && !(needs[level + 1] & ~vmx_features.granted))
        level++;
    return (enum config_apic)level;
}

static void replace(u32 field, u64 mask, u64 bits)
{
    vmwrite(field, (vmread(field) & ~mask) | bits);
}

static const struct mode *mode_of(const struct lapic *l)
{
    return &modes[lapic_enabled(l) ? 1 + lapic_is_x2(l) : 0];
}

/* IA32_APIC_BASE is another than the VMCS has been told of. */
COLD static void change_mode(struct vcpu *v)
{
    struct lapic *l = v->lapic;
    const struct mode *m = mode_of(l);

    v->apicv_base = l->base;
    l->by_cpu = m->secondary;
    l->changed = true;
    replace(PRIMARY_CONTROLS, CR8_EXITING | PROC_USE_TPR_SHADOW, m->primary);
    replace(SECONDARY_CONTROLS, modes[X2APIC_MODE].secondary, m->secondary);
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

    if (unlikely(v->apicv_base != l->base))
        change_mode(v);
    if (!l->by_cpu)
        return;
    if (pi_is_on(v->pid))
        lapic_take_posted(l);
    if (l->changed)
        tell_cpu(v);
}

bool exit_virtualized_eoi(struct vcpu *v)
{
    lapic_level_ended(v->lapic, (u8)vmread(EXIT_QUALIFICATION));
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
