/* SPDX-License-Identifier: MIT */
/* Hypercalls: VMCALL, and one table of what Nidus's own are. KVM's are those of kvm.c. */
#include "arch/x86/asm.h"
#include "arch/x86/vmx.h"
#include "vmm/dev/lapic.h"
#include "vmm/exit.h"
#include "vmm/pv/ops.h"
#include "vmm/skip.h"

/* Where an operation may be run from, beside the hypercall. */
enum { QUEUED = 1, POLLED = 2, FOR_L2 = 4 };

struct pv_op {
    u32 arguments; /* how many */
    u32 needs;     /* NIDUS_HAS_* */
    u32 from;
    s64 (*run)(struct pv_call *c); /* null: there is nothing to do */
};

static s64 run_flush_queue(struct pv_call *c)
{
    struct pv_queue *q = c->by == PV_BY_L2 ? &c->v->nested->queue : &c->v->pv.queue;
    enum pv_queue_end end;
    s64 left;

    /* Not waited for: the CPU that polls may hold it while it waits for this vCPU. */
    if (!spin_trylock(&q->lock))
        return PV_AGAIN;
    if (!q->area) {
        spin_unlock(&q->lock);
        return -NIDUS_ENOENT;
    }
    end = pv_queue_serve(q, c->v, c->by);
    left = end == PV_QUEUE_BAD ? -NIDUS_ERANGE : (s64)pv_queue_left(q);
    pv_queue_stop(q, false);
    q->asked = false;
    spin_unlock(&q->lock);
    return end == PV_QUEUE_AGAIN && left ? PV_AGAIN : left;
}

static const struct pv_op ops[NIDUS_NR_OPS] = {
    [NIDUS_OP_NOP] = {0, NIDUS_HAS_CALLS, QUEUED | POLLED | FOR_L2, NULL},
    [NIDUS_OP_FLUSH_QUEUE] = {0, NIDUS_HAS_QUEUE, FOR_L2, run_flush_queue},
    [NIDUS_OP_SET_CR] = {2, NIDUS_HAS_CALLS, QUEUED, pv_set_cr},
    [NIDUS_OP_WRITE_ENTRY] = {2, NIDUS_HAS_CALLS, QUEUED | POLLED, pv_write_entry},
    [NIDUS_OP_WRITE_ENTRIES] = {2, NIDUS_HAS_CALLS, QUEUED | POLLED, pv_write_entries},
    [NIDUS_OP_FLUSH_LOCAL] = {2, NIDUS_HAS_CALLS, QUEUED | FOR_L2, pv_flush_local},
    [NIDUS_OP_FLUSH_TLB] = {4, NIDUS_HAS_CALLS, QUEUED | POLLED, pv_flush_tlb},
    [NIDUS_OP_SEND_IPI] = {3, NIDUS_HAS_CALLS, QUEUED | POLLED, pv_send_ipi},
    [NIDUS_OP_SET_TIMER] = {2, NIDUS_HAS_CALLS, QUEUED | POLLED, pv_set_timer},
    [NIDUS_OP_POPULATE] = {2, NIDUS_HAS_MEMORY, QUEUED, pv_populate},
    [NIDUS_OP_RELEASE] = {2, NIDUS_HAS_MEMORY, QUEUED, pv_release},
    [NIDUS_OP_CHANNEL_OPEN] = {3, NIDUS_HAS_CHANNEL, QUEUED, pv_channel_open},
    [NIDUS_OP_CHANNEL_SIGNAL] = {1, NIDUS_HAS_CHANNEL, QUEUED | POLLED, pv_channel_signal},
    [NIDUS_OP_CONSOLE] = {2, NIDUS_HAS_CALLS, QUEUED, pv_console},
    [NIDUS_OP_NESTED] = {2, NIDUS_HAS_NESTED, 0, pv_nested},
    [NIDUS_OP_YIELD] = {1, NIDUS_HAS_CALLS, QUEUED, pv_yield},
};

static bool is_offered(const struct vcpu *v, const struct pv_op *row)
{
    return v->cpuid->nidus[1].eax & row->needs;
}

s64 pv_call_run(struct pv_call *c)
{
    const struct pv_op *row = &ops[c->op % ARRAY_SIZE(ops)];

    if (c->op >= ARRAY_SIZE(ops) || !is_offered(c->v, row))
        return -NIDUS_ENOSYS;
    if (!(row->from & QUEUED))
        return -NIDUS_ECANCELED;
    if (c->by == PV_BY_L2 && !(row->from & FOR_L2))
        return -NIDUS_EPERM;
    return row->run ? row->run(c) : 0;
}

bool pv_call_anywhere(u32 op)
{
    return op >= ARRAY_SIZE(ops) || !(ops[op].from & QUEUED) || ops[op].from & POLLED;
}

void pv_queue_notify(struct vcpu *v, u32 vector)
{
    lapic_post(v->lapic, (u8)vector, false);
}

static const u8 argument_regs[4] = {REG_RBX, REG_RCX, REG_RDX, REG_RSI};

/* Outside of 64-bit mode registers have 32 bits. */
static u64 register_mask(void)
{
    return vmread(GUEST_CS_ACCESS_RIGHTS) & SEG_AR_L ? ~0ull : UINT32_MAX;
}

COLD static void keep_arguments(struct vcpu *v, const struct pv_call *c, u32 n)
{
    for (u32 i = 0; i < n; i++)
        v->gpr[argument_regs[i]] = c->arg[i];
}

static s64 run(struct vcpu *v, const struct pv_op *row, u32 op, enum pv_by by)
{
    u64 mask = register_mask();
    struct pv_call c = {.v = v,
                        .op = op,
                        .by = by,
                        .arg = {v->gpr[REG_RBX] & mask, v->gpr[REG_RCX] & mask, v->gpr[REG_RDX] & mask,
                                v->gpr[REG_RSI] & mask}};
    s64 result = row->run(&c);

    if (unlikely(result == PV_AGAIN))
        keep_arguments(v, &c, row->arguments);
    return result;
}

static s64 call(struct vcpu *v, u32 op, enum pv_by by)
{
    const struct pv_op *row = &ops[op];

    if (!is_offered(v, row))
        return -NIDUS_ENOSYS;
    return row->run ? run(v, row, op, by) : 0;
}

/* After a hypercall of one's own or KVM's. */
NOINLINE static bool exit_call(struct vcpu *v, enum pv_by by)
{
    u32 op = (u32)v->gpr[REG_RAX] - NIDUS_CALL(0);
    s64 result;

    if (SEG_AR_DPL(vmread(GUEST_SS_ACCESS_RIGHTS)))
        result = -NIDUS_EPERM;
    else if (op < ARRAY_SIZE(ops))
        result = call(v, op, by);
    else
        result = pv_kvm_call(v, register_mask() > UINT32_MAX ? 64 : 32);
    if (result == PV_AGAIN)
        return false;
    v->gpr[REG_RAX] = (u64)result;
    vcpu_skip_instruction(v);
    return vcpu_can_resume(v);
}

static bool is_nothing(struct vcpu *v, u32 op)
{
    return !ops[op].run && is_offered(v, &ops[op]) && !SEG_AR_DPL(vmread(GUEST_SS_ACCESS_RIGHTS));
}

/* Here is what is done at once: nothing, or a number that nobody has. */
HOT bool exit_vmcall(struct vcpu *v)
{
    u32 number = (u32)v->gpr[REG_RAX], op = number - NIDUS_CALL(0);

    if (likely(op < ARRAY_SIZE(ops))) {
        if (!is_nothing(v, op))
            return exit_call(v, PV_BY_SELF);
        v->gpr[REG_RAX] = 0;
    } else {
        if (unlikely(number < KVM_NR_CALLS))
            return exit_call(v, PV_BY_SELF);
        v->gpr[REG_RAX] = (u64)-NIDUS_ENOSYS;
    }
    skip_instruction();
    return vcpu_in_time(v);
}

bool pv_serves_l2(struct vcpu *v)
{
    u32 op = (u32)v->gpr[REG_RAX] - NIDUS_CALL(0);

    return op < ARRAY_SIZE(ops) && ops[op].from & FOR_L2;
}

bool pv_l2_vmcall(struct vcpu *v)
{
    return exit_call(v, PV_BY_L2);
}
