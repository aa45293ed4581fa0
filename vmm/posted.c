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

static bool has_requests(const struct pi_desc *d)
{
    u64 any = 0;

    for (u32 i = 0; i < PIR_WORDS; i++)
        any |= __atomic_load_n(&d->pir[i], __ATOMIC_RELAXED);
    return any;
}

static u32 destination(u32 apic_id)
{
    return apic_is_x2apic() ? apic_id : apic_id << 8;
}

/*
 * Others set ON at any time; all else is the owner's. NV and NDST change together only while SN keeps others
 * from notifying. Who found SN set has left ON alone: the owner sets it in their place.
 */
static void resume(struct pi_desc *d)
{
    __atomic_store_n(&d->ndst, destination(this_cpu()->apic_id), __ATOMIC_RELAXED);
    __atomic_store_n(&d->nv, VECTOR_POSTED, __ATOMIC_RELAXED);
    __atomic_and_fetch(&d->flags, (u8)~PID_SN, __ATOMIC_SEQ_CST);
    if (has_requests(d))
        __atomic_or_fetch(&d->flags, (u8)PID_ON, __ATOMIC_SEQ_CST);
}

void posted_follow(struct vcpu *v, enum vcpu_sched state)
{
    switch (state) {
    case SCHED_RUNNING:
        resume(v->pid);
        break;
    case SCHED_BLOCKED: /* sched_block() looks at ON after this, and a fence */
        __atomic_store_n(&v->pid->nv, VECTOR_WAKE, __ATOMIC_RELAXED);
        break;
    default:
        __atomic_or_fetch(&v->pid->flags, (u8)PID_SN, __ATOMIC_SEQ_CST);
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
