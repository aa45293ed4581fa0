/* SPDX-License-Identifier: MIT */
/*
 * A vCPU's local APIC, in xAPIC and x2APIC mode. SDM volume 3 (325384), 'Advanced Programmable Interrupt
 * Controller (APIC)'. Its registers are a page of the vCPU's own bus, where IA32_APIC_BASE says. Called with
 * the VM's device lock held, except lapic_post(), which is safe without, lapic_pending(), by the vCPU itself,
 * and accesses to registers (by lapic_msr_read(), lapic_msr_write() and the bus), which must be made without,
 * by the vCPU itself. The timer runs at the rate of VM time divided as configured.
 */
#ifndef VMM_DEV_LAPIC_H
#define VMM_DEV_LAPIC_H

#include "lib/types.h"

#define LAPIC_BASE        0xfee00000ull
#define LAPIC_MSR_FIRST   0x800u
#define LAPIC_MSR_LAST    0x8ffu
#define LAPIC_BASE_BSP    BIT(8)
#define LAPIC_BASE_EXTD   BIT(10)
#define LAPIC_BASE_ENABLE BIT(11)

struct vm;
struct vcpu;
struct lapic;

#define LAPIC_XAPIC_ID_MAX 254u

/* The APIC of one vCPU, powered up; null when there is no memory. It is as firmware leaves it: on vCPU 0
 * LINT0 is ExtINT and LINT1 NMI, and an id above LAPIC_XAPIC_ID_MAX has x2APIC mode enabled. */
struct lapic *lapic_create(struct vcpu *vcpu, u32 id);
/* INIT: everything but the ID, IA32_APIC_BASE and x2APIC mode returns to its start value. */
void lapic_reset(struct lapic *l);
/* Power-up or RESET#: as created. */
void lapic_power_up(struct lapic *l);

/* The highest requested vector whose class is above PPR's, or -1. */
int lapic_pending(struct lapic *l);
/* The processor takes vector: IRR to ISR. */
void lapic_ack(struct lapic *l, u8 vector);
/* The end of the interrupt of highest priority that is in service; without the device lock. */
void lapic_eoi(struct lapic *l);
/* The CPU has done that for a level-triggered one. */
void lapic_ended_by_cpu(struct lapic *l, u8 vector);
/* Paravirtual EOI, as KVM has it: at & ~1 is the address of a word of the guest's whose bit 0 says, while
 * bit 0 of at is set, that the coming EOI may be left out; the guest clears it when it does. ERR_INVAL: it is
 * not RAM. By the vCPU itself. */
int lapic_set_pv_eoi(struct lapic *l, u64 at);
u64 lapic_eois_saved(const struct lapic *l);
/* Fixed interrupts that it has sent, each counted for every target; not what the CPU sends by itself. */
u64 lapic_ipis(const struct lapic *l);
/* The vCPU is about to look for interrupts. */
void lapic_before_look(struct lapic *l);
/* A fixed interrupt arrives; kicks the vCPU. Nothing happens while the APIC is disabled. */
void lapic_post(struct lapic *l, u8 vector, bool level);
/* Local interrupt pin 0 or 1 is signalled: what its LVT entry asks for (ExtINT aside) happens. */
void lapic_lint(struct lapic *l, u32 pin);
/* Whether the PIC's interrupts reach this vCPU: it is vCPU 0, with LINT0 an unmasked ExtINT or the APIC
 * disabled. */
bool lapic_accepts_extint(const struct lapic *l);
/* An I/O APIC has asked this vCPU to take the PIC's interrupt, whether that still stands or not; done once it
 * has. */
bool lapic_wants_extint(const struct lapic *l);
void lapic_ack_extint(struct lapic *l);

/*
 * A message from an I/O APIC or an MSI: vector, delivery mode, destination mode and trigger mode as in the
 * ICR. The destination has 15 bits: the upper seven are the extended destination id, as KVM, Xen and Hyper-V
 * define it, in bits 11:5 of an MSI's address and 55:49 of an I/O APIC's entry.
 */
void lapic_message(struct vm *vm, u32 low, u32 destination);

/* Carries out a command: icr as ICR's low half, destination in the format of the APIC's mode.
 * With a fixed interrupt it is safe without the device lock. */
void lapic_send(struct lapic *l, u32 icr, u32 destination);

u32 lapic_id(const struct lapic *l);
u8 lapic_tpr(const struct lapic *l); /* CR8 is bits 7:4 */
void lapic_set_tpr(struct lapic *l, u8 tpr);

/* IA32_APIC_BASE. A transition that the SDM forbids, a reserved bit below bit 12, or a page of RAM (as which
 * the registers would be hidden from the vCPU): ERR_INVAL (#GP). */
u64 lapic_base_read(const struct lapic *l);
int lapic_base_write(struct lapic *l, u64 value);
/* x2APIC MSRs LAPIC_MSR_FIRST to LAPIC_MSR_LAST; ERR_INVAL for #GP. */
int lapic_msr_read(struct vcpu *vcpu, u32 msr, u64 *value);
int lapic_msr_write(struct vcpu *vcpu, u32 msr, u64 value);
/* IA32_TSC_DEADLINE. Reads 0 when not armed; a write is ignored when the timer is in another mode. */
u64 lapic_deadline_read(const struct lapic *l);
void lapic_deadline_write(struct lapic *l, u64 value);
/* The vCPU's TSC is VM time plus offset (0 at first); an armed deadline follows. */
void lapic_set_tsc_offset(struct lapic *l, u64 offset);

#endif
