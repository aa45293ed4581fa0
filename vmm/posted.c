/* SPDX-License-Identifier: MIT */
/*
 * SDM, 'Posted-Interrupt Processing'. A descriptor says where its vCPU is to those who post, be they CPUs
 * that run Nidus or, with IPI virtualization, a guest: while it runs its CPU gets the notification vector,
 * and takes what is posted without an exit; while it is blocked its home gets the wake-up vector; while it
 * waits for a CPU nobody is told, since it will look.
 */
#include "arch/x86/apic.h"
#include "vmm/apicv.h"
#include "vmm/sched.h"

#define NV_SHIFT 16

static bool has_requests(const struct pi_desc *d)
{
    u64 any = 0;

    for (u32 i = 0; i < PIR_WORDS; i++)
        any |= __atomic_load_n(&d->pir[i], __ATOMIC_RELAXED);
    return any;
}

/* All but ON are the owner's; others set ON at any time. */
static void set_control(struct pi_desc *d, u64 bits)
{
    u64 old = __atomic_load_n(&d->control, __ATOMIC_RELAXED);

    while (!__atomic_compare_exchange_n(&d->control, &old, bits | (old & PID_ON), false, __ATOMIC_SEQ_CST,
                                        __ATOMIC_RELAXED))
        ;
}

/* Who found SN set has left ON alone: the owner sets it, as it would have. */
static void resume(struct pi_desc *d, u64 bits)
{
    set_control(d, bits);
    if (has_requests(d))
        __atomic_or_fetch(&d->control, PID_ON, __ATOMIC_SEQ_CST);
}

static u32 destination(u32 apic_id)
{
    return apic_is_x2apic() ? apic_id : apic_id << 8;
}

void posted_follow(struct vcpu *v, enum vcpu_sched state)
{
    const u64 here = (u64)destination(this_cpu()->apic_id) << 32;

    switch (state) {
    case SCHED_RUNNING:
        resume(v->pid, here | VECTOR_POSTED << NV_SHIFT);
        break;
    case SCHED_BLOCKED: /* sched_block() looks at ON after this */
        set_control(v->pid, here | VECTOR_WAKE << NV_SHIFT);
        break;
    default:
        set_control(v->pid, PID_SN);
        break;
    }
}

/* What is read may be of later than ON is: then the vCPU has looked since, and the notification is spurious.
 */
void posted_notify(struct vcpu *v)
{
    u64 control = __atomic_load_n(&v->pid->control, __ATOMIC_ACQUIRE);
    u32 to = PID_NDST(control);

    if (!apic_is_x2apic())
        to = to >> 8 & 0xff;
    if (to == this_cpu()->apic_id)
        vcpu_kick(v);
    else
        apic_send_ipi(to, PID_NV(control));
}
