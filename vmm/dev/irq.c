/* SPDX-License-Identifier: MIT */
#include "vmm/dev/irq.h"
#include "vmm/dev/host.h"
#include "vmm/dev/hpet.h"
#include "vmm/dev/ioapic.h"
#include "vmm/dev/lapic.h"
#include "vmm/dev/pic.h"
#include "vmm/dev/platform.h"

/* Inputs of the I/O APIC, wired as MultiProcessor Specification 1.4 has it. */
enum { INTR_PIN = 0, TIMER_PIN = 2 };

/* LINT0 entries other than ExtINT see only that INTR rises. */
static void set_intr(struct vm *vm, bool high)
{
    struct platform *p = vm_platform(vm);

    if (high == p->intr)
        return;
    if (high)
        for (u32 i = 0; i < vm_nr_vcpus(vm); i++)
            lapic_lint(vcpu_lapic(vm_vcpu(vm, i)), 0);
    p->intr = high;
    ioapic_set_pin(p->ioapic, INTR_PIN, high);
}

void irq_pic_changed(struct vm *vm)
{
    struct vcpu *boot_vcpu = vm_vcpu(vm, 0);
    bool high = pic_pending(vm_platform(vm)->pic) >= 0, rises = high && !vm_platform(vm)->intr;

    set_intr(vm, high);
    if (rises && lapic_accepts_extint(vcpu_lapic(boot_vcpu)))
        vcpu_kick(boot_vcpu);
}

/* The vCPU that made the cycle needs no kick: it looks for the next interrupt before it enters its guest. */
void irq_pic_acknowledged(struct vm *vm)
{
    set_intr(vm, false);
    set_intr(vm, pic_pending(vm_platform(vm)->pic) >= 0);
}

static void set_isa(struct vm *vm, u32 irq, bool level)
{
    pic_set_irq(vm_platform(vm)->pic, irq, level);
    irq_pic_changed(vm);
    ioapic_set_pin(vm_platform(vm)->ioapic, irq == 0 ? TIMER_PIN : irq, level);
}

void vm_set_irq(struct vm *vm, u32 irq, bool level)
{
    if ((irq == 0 || irq == 8) && hpet_is_legacy(vm_platform(vm)->hpet))
        return;
    set_isa(vm, irq, level);
}

void irq_set_legacy(struct vm *vm, u32 irq, bool level)
{
    set_isa(vm, irq, level);
}

void irq_set_input(struct vm *vm, u32 pin, bool level)
{
    ioapic_set_pin(vm_platform(vm)->ioapic, pin, level);
}

void irq_eoi(struct vm *vm, u8 vector)
{
    ioapic_eoi(vm_platform(vm)->ioapic, vector);
}

int vcpu_extint_pending(struct vcpu *vcpu)
{
    const struct pic *pic = vm_platform(vcpu_vm(vcpu))->pic;
    const struct lapic *l = vcpu_lapic(vcpu);

    if (lapic_wants_extint(l))
        return pic_vector(pic);
    return lapic_accepts_extint(l) ? pic_pending(pic) : -1;
}

/* The PIC first: its requests have no priority that could be compared with the APIC's. */
int vcpu_irq_pending(struct vcpu *vcpu)
{
    int vector;

    lapic_before_look(vcpu_lapic(vcpu));
    vector = vcpu_extint_pending(vcpu);
    return vector >= 0 ? vector : lapic_pending(vcpu_lapic(vcpu));
}

int vcpu_irq_ack(struct vcpu *vcpu)
{
    struct lapic *l = vcpu_lapic(vcpu);
    int vector;

    if (vcpu_extint_pending(vcpu) >= 0) {
        lapic_ack_extint(l);
        return pic_ack(vm_platform(vcpu_vm(vcpu))->pic);
    }
    vector = lapic_pending(l);
    if (vector >= 0)
        lapic_ack(l, vector);
    return vector;
}
