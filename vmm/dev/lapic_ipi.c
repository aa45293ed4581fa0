/* SPDX-License-Identifier: MIT */
/* Sending interprocessor interrupts: 'Issuing Interprocessor Interrupts', 'Determining IPI Destination'. */
#include "vmm/dev/lapic_quick.h"

#define ICR_LOGICAL      BIT(11)
#define ICR_LEVEL        BIT(15)
#define ICR_SHORTHAND(r) ((r) >> 18 & 3)
#define DFR_MODEL(r)     ((r) >> 28)
#define DFR_FLAT         0xf
#define DFR_CLUSTER      0

enum shorthand { TO_DESTINATION, TO_SELF, TO_ALL, TO_OTHERS };

struct message {
    struct lapic *from;
    u32 icr, destination;
    bool broadcast;
};

static bool logical_match(const struct lapic *l, u32 destination)
{
    u32 ldr = LAPIC_REG(l, LDR), own = ldr >> 24, model = DFR_MODEL(LAPIC_REG(l, DFR));

    if (lapic_is_x2(l))
        return ldr >> 16 == destination >> 16 && (ldr & destination & 0xffff);
    if (model == DFR_FLAT)
        return own & destination & 0xff;
    if (model == DFR_CLUSTER)
        return own >> 4 == (destination >> 4 & 15) && (own & destination & 15);
    return false;
}

/* 'x2APIC State Transitions': in xAPIC mode the id is the low byte of the other mode's. */
static u32 own_id(const struct lapic *l)
{
    return lapic_is_x2(l) ? l->id : (u8)l->id;
}

static bool is_target(const struct message *m, const struct lapic *l)
{
    if (!lapic_enabled(l))
        return false;
    switch ((enum shorthand)ICR_SHORTHAND(m->icr)) {
    case TO_SELF:
        return l == m->from;
    case TO_ALL:
        return true;
    case TO_OTHERS:
        return l != m->from;
    default:
        if (m->broadcast)
            return true;
        return m->icr & ICR_LOGICAL ? logical_match(l, m->destination) : own_id(l) == m->destination;
    }
}

static void deliver(const struct message *m, struct lapic *l)
{
    switch (DELIVERY_MODE(m->icr)) {
    case MODE_FIXED:
    case MODE_LOWEST:
        if (m->from)
            m->from->ipis++;
        lapic_post(l, m->icr, m->icr & ICR_LEVEL);
        break;
    case MODE_NMI:
        vcpu_nmi(l->vcpu);
        break;
    case MODE_INIT: /* level de-assert only synchronised arbitration IDs, long ago */
        if (!(m->icr & ICR_LEVEL) || (m->icr & ICR_ASSERT))
            vcpu_init_signal(l->vcpu);
        break;
    case MODE_STARTUP: /* no message has it, as no IPI has ExtINT */
        if (m->from)
            vcpu_sipi(l->vcpu, m->icr);
        break;
    case MODE_EXTINT:
        if (!m->from)
            lapic_request_extint(l);
        break;
    default:
        break;
    }
}

/* Of the targets that can take it, the one that has the lowest processor priority; the first of equals. */
static void deliver_lowest(const struct message *m, struct vm *vm)
{
    struct lapic *best = NULL;

    for (u32 i = 0; i < vm_nr_vcpus(vm); i++) {
        struct lapic *l = vcpu_lapic(vm_vcpu(vm, i));

        if (is_target(m, l) && (LAPIC_REG(l, SVR) & SVR_ENABLED) && (!best || lapic_ppr(l) < lapic_ppr(best)))
            best = l;
    }
    if (best)
        deliver(m, best);
}

static void send(const struct message *m, struct vm *vm)
{
    if (DELIVERY_MODE(m->icr) == MODE_LOWEST) {
        deliver_lowest(m, vm);
        return;
    }
    for (u32 i = 0; i < vm_nr_vcpus(vm); i++) {
        struct lapic *target = vcpu_lapic(vm_vcpu(vm, i));

        if (is_target(m, target))
            deliver(m, target);
    }
}

void lapic_send(struct lapic *l, u32 icr, u32 destination)
{
    struct message m = {
        .from = l,
        .icr = icr,
        .destination = destination,
        .broadcast = destination == (lapic_is_x2(l) ? ~0u : 0xffu),
    };
    enum delivery_mode mode = DELIVERY_MODE(icr);

    if ((mode == MODE_FIXED || mode == MODE_LOWEST) && (icr & 0xff) < 16) {
        lapic_error(l, ESR_SEND_VECTOR);
        return;
    }
    if (ICR_SHORTHAND(icr) == TO_SELF && lapic_enabled(l))
        deliver(&m, l);
    else
        send(&m, vcpu_vm(l->vcpu));
}

void lapic_message(struct vm *vm, u32 low, u32 destination)
{
    struct message m = {
        .icr = (low & (0x7ff | ICR_LOGICAL | ICR_LEVEL)) | ICR_ASSERT,
        .destination = destination,
        .broadcast = destination == 0xff,
    };

    send(&m, vm);
}
