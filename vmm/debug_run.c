/* SPDX-License-Identifier: MIT */
/* How a guest runs with breakpoints and single steps: set just before it is entered, undone right after. */
#include "arch/x86/asm.h"
#include "arch/x86/vmx.h"
#include "vmm/debug_points.h"
#include "vmm/exit.h"
#include "vmm/inspect.h"
#include "vmm/mmio_host.h"
#include "vmm/skip.h"

#define DR7_GLOBAL(slot) (2u << 2 * (slot))
#define DR7_MASK(slot)   (3u << 2 * (slot) | 0xfu << (16 + 4 * (slot)))
#define DR_MATCHES       0xfu

static void get_dr(u64 dr[DEBUG_SLOTS])
{
    dr[0] = read_dr0();
    dr[1] = read_dr1();
    dr[2] = read_dr2();
    dr[3] = read_dr3();
}

static void set_dr(const u64 dr[DEBUG_SLOTS])
{
    write_dr0(dr[0]);
    write_dr1(dr[1]);
    write_dr2(dr[2]);
    write_dr3(dr[3]);
}

/* --- before an entry --- */

/* SDM, 'Debug Control Register (DR7)': R/W and LEN. */
static u32 condition(const struct debug_point *p)
{
    static const u8 access[] = {[DEBUG_HARDWARE] = 0, [DEBUG_WATCH_WRITE] = 1, [DEBUG_WATCH_ACCESS] = 3};
    u32 length = p->size == 8 ? 2 : p->size - 1;

    return access[p->kind] | length << 2;
}

/* Those of that level, over the guest's own; with the lock. */
static u64 choose_dr(struct vcpu *v, u8 level, u64 dr[DEBUG_SLOTS])
{
    u64 dr7 = v->debug.dr7;

    for (u32 i = 0; i < DEBUG_MAX_POINTS; i++) {
        const struct point *p = &debug_points[i];

        if (!debug_is_of(p, v->vm) || p->p.level != level || p->p.kind == DEBUG_SOFTWARE)
            continue;
        dr[p->slot] = p->p.address;
        dr7 &= ~(u64)DR7_MASK(p->slot);
        dr7 |= DR7_GLOBAL(p->slot) | condition(&p->p) << (16 + 4 * p->slot);
        v->debug.slots |= (u8)(1u << p->slot);
    }
    return dr7;
}

static u64 use_debug_registers(struct vcpu *v, u8 level)
{
    struct vcpu_debug *d = &v->debug;
    u64 dr[DEBUG_SLOTS], dr7;

    get_dr(d->dr);
    get_dr(dr);
    d->dr7 = vmread(GUEST_DR7);
    d->slots = 0;
    spin_lock(&debug_lock);
    dr7 = choose_dr(v, level, dr);
    spin_unlock(&debug_lock);
    if (!d->slots)
        return 0;
    set_dr(dr);
    vmwrite(GUEST_DR7, dr7);
    return PROC_MOV_DR_EXITING;
}

/* The breakpoint that it stands at is not to stop it before it has moved. Others may pass there meanwhile. */
static u64 go_past(struct vcpu *v)
{
    struct vcpu_debug *d = &v->debug;
    struct point *p = d->past ? &debug_points[d->past - 1] : NULL;

    if (!p)
        return 0;
    if (!debug_is_of(p, v->vm) || vmread(GUEST_RIP) != d->past_rip) {
        d->past = 0;
        return 0;
    }
    if (p->p.kind != DEBUG_SOFTWARE) {
        vmwrite(GUEST_RFLAGS, vmread(GUEST_RFLAGS) | RFLAGS_RF);
        return 0;
    }
    spin_lock(&debug_lock);
    d->lifted = p->written && !guest_write(v->vm, p->at, &p->original, 1);
    spin_unlock(&debug_lock);
    return d->lifted && vmx_has(&vmx_features, VF_MONITOR_TRAP_FLAG) ? PROC_MONITOR_TRAP_FLAG : 0;
}

/* With the lock. */
static bool is_debugged(const struct vcpu *v)
{
    for (u32 i = 0; i < DEBUG_MAX_POINTS; i++)
        if (debug_is_of(&debug_points[i], v->vm))
            return true;
    return v->debug.stepping;
}

/* False: nobody debugs it any more. */
static bool goes_on_being_debugged(struct vcpu *v)
{
    bool is;

    spin_lock(&debug_lock);
    is = is_debugged(v);
    if (!is)
        __atomic_and_fetch(&v->requests, ~(u64)REQ_DEBUG, __ATOMIC_SEQ_CST);
    spin_unlock(&debug_lock);
    return is;
}

/* Are instructions of that level what is stepped? */
static bool counts(const struct vcpu_debug *d, u8 level)
{
    return !d->step.level || d->step.level == level;
}

/* Interrupts wait: SDM, 'Interruptibility State', until the next instruction is done. Not where something has
 * to be delivered first, nor where a single step of the guest's own would have to be pending then. */
void debug_begin_step(struct vcpu *v)
{
    u64 blocking = vmread(GUEST_INTERRUPTIBILITY_STATE);

    v->debug.shadow = counts(&v->debug, vcpu_level(v)) && v->activity == VCPU_ACTIVE && !v->events.due &&
                      vmread(GUEST_RFLAGS) & RFLAGS_IF && !steps_singly() &&
                      !(blocking & (INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS));
    if (v->debug.shadow)
        vmwrite(GUEST_INTERRUPTIBILITY_STATE, blocking | INTERRUPTIBILITY_STI);
}

static bool exit_debugged(struct vcpu *v);
static void undo(struct vcpu *v);

void debug_before_entry(struct vcpu *v)
{
    struct vcpu_debug *d = &v->debug;
    u8 level = vcpu_level(v);
    u64 primary;

    if (d->entered) /* the CPU refused that entry, without an exit */
        undo(v);
    if (!goes_on_being_debugged(v))
        return;
    d->exceptions = vmread(EXCEPTION_BITMAP);
    d->primary = primary = vmread(PRIMARY_CONTROLS);
    primary |= go_past(v) | use_debug_registers(v, level);
    if (d->stepping && counts(d, level))
        primary |= PROC_MONITOR_TRAP_FLAG;
    vmwrite(EXCEPTION_BITMAP, d->exceptions | BIT(VEC_BP));
    vmwrite(PRIMARY_CONTROLS, primary);
    d->on_exit = v->on_exit;
    d->on_l2_exit = v->on_l2_exit;
    v->on_exit = v->on_l2_exit = exit_debugged;
    d->entered = true;
}

/* --- after the exit --- */

/* Unless it was taken out meanwhile. */
static void put_back(struct vcpu *v, const struct point *p)
{
    const u8 int3 = INT3;

    spin_lock(&debug_lock);
    if (debug_is_of(p, v->vm) && p->written)
        guest_write(v->vm, p->at, &int3, 1);
    spin_unlock(&debug_lock);
}

static void undo(struct vcpu *v)
{
    struct vcpu_debug *d = &v->debug;

    v->on_exit = d->on_exit;
    v->on_l2_exit = d->on_l2_exit;
    vmwrite(EXCEPTION_BITMAP, d->exceptions);
    vmwrite(PRIMARY_CONTROLS, d->primary);
    if (d->slots) {
        set_dr(d->dr);
        vmwrite(GUEST_DR7, d->dr7);
    }
    if (d->lifted)
        put_back(v, &debug_points[d->past - 1]);
    d->lifted = false;
    d->entered = false;
}

/* The instruction has not been executed; else the CPU has done it. */
static void end_shadow(struct vcpu *v)
{
    if (v->debug.shadow && v->debug.stepping)
        vmwrite(GUEST_INTERRUPTIBILITY_STATE,
                vmread(GUEST_INTERRUPTIBILITY_STATE) & ~(u64)INTERRUPTIBILITY_STI);
    v->debug.shadow = false;
}

void debug_end_step(struct vcpu *v)
{
    end_shadow(v);
    v->debug.stepping = false;
}

static void stop(struct vcpu *v, u8 kind, u64 address, u64 more)
{
    vcpu_stop(v, &(struct vcpu_stop){.kind = kind, .data = {address, more}});
}

static u64 linear_rip(void)
{
    u64 rip = vmread(GUEST_RIP);

    return vmread(GUEST_CS_ACCESS_RIGHTS) & SEG_AR_L ? rip : (u32)(vmread(GUEST_CS_BASE) + rip);
}

enum { OWN_INT3 = -1, NO_INT3 = -2 };

/* One of that level, rather than one of the other level that is in the same memory. Or what the guest has met
 * is its own, or a breakpoint that was taken out just now. */
static int find_int3(struct vcpu *v, u8 level, u64 address)
{
    struct inspect_walk w;
    bool known = !inspect_page_walk(v, level, address, &w) && !w.r && !w.r1;
    int found = OWN_INT3;
    u8 now = INT3;

    spin_lock(&debug_lock);
    for (int i = 0; i < DEBUG_MAX_POINTS; i++) {
        const struct point *p = &debug_points[i];

        if (debug_is_of(p, v->vm) && p->written &&
            (known ? p->at == w.to1 : p->p.level == level && p->p.address == address) &&
            (found < 0 || p->p.level == level))
            found = i;
    }
    if (found < 0 && known && vmread(EXIT_INSTRUCTION_LENGTH) == 1 && !guest_read(v->vm, w.to1, &now, 1) &&
        now != INT3)
        found = NO_INT3;
    spin_unlock(&debug_lock);
    return found;
}

/* When it goes on it is not to stop there again. GDB sees to that itself. */
static void remember(struct vcpu *v, u32 i)
{
    v->debug.past = (u8)(i + 1);
    v->debug.past_rip = vmread(GUEST_RIP);
}

static void stop_at(struct vcpu *v, u32 i, u64 address)
{
    if (debug_points[i].owner != DEBUG_BY_GDB)
        remember(v, i);
    debug_end_step(v);
    stop(v, STOP_BREAKPOINT, address, debug_points[i].p.kind);
}

/* Nobody else has asked for it: the guest takes it. */
static void reflect_int3(struct vcpu *v)
{
    vcpu_requeue_event(v, false);
    events_raise(&v->events, &(struct event_exception){.vector = VEC_BP,
                                                       .type = INTR_TYPE_SOFTWARE_EXCEPTION,
                                                       .length = (u8)vmread(EXIT_INSTRUCTION_LENGTH)});
}

/* True: that was it. */
static bool took_int3(struct vcpu *v, u8 level)
{
    u64 address = linear_rip();
    int i = find_int3(v, level, address);

    if (i >= 0 && debug_points[i].p.level == level)
        stop_at(v, (u32)i, address);
    else if (i >= 0)
        remember(v, (u32)i);
    if (i != OWN_INT3)
        return true;
    if (v->debug.exceptions & BIT(VEC_BP)) /* L1's */
        return false;
    reflect_int3(v);
    return true;
}

static bool took_debug_exception(struct vcpu *v, u8 level)
{
    u64 q = vmread(EXIT_QUALIFICATION), ours = q & v->debug.slots;

    for (u32 i = 0; ours && i < DEBUG_MAX_POINTS; i++) {
        const struct point *p = &debug_points[i];

        if (!debug_is_of(p, v->vm) || p->p.level != level || p->p.kind == DEBUG_SOFTWARE ||
            !(ours >> p->slot & 1))
            continue;
        /* What else has happened is the guest's. */
        if (q & ~ours & (DR_MATCHES | PENDING_DEBUG_BS))
            events_raise_debug(&v->events, q & ~ours);
        if (p->p.kind == DEBUG_HARDWARE) {
            stop_at(v, i, p->p.address);
            return true;
        }
        v->debug.stepping = v->debug.shadow = false;
        stop(v, STOP_WATCH, p->p.address, p->p.kind == DEBUG_WATCH_WRITE ? 1 : 3);
        return true;
    }
    /* Whoever asked for it has taken it back; the rest is the guest's. */
    if (ours && q & ~ours & (DR_MATCHES | PENDING_DEBUG_BS))
        events_raise_debug(&v->events, q & ~ours);
    return ours;
}

/* The exit is of this file's making, and nobody else's. */
static bool took(struct vcpu *v, u32 reason, u8 level)
{
    u32 info;

    switch (reason) {
    case EXIT_REASON_EXCEPTION_OR_NMI:
        info = (u32)vmread(EXIT_INTERRUPTION_INFO);
        if (INTR_INFO_TYPE(info) == INTR_TYPE_SOFTWARE_EXCEPTION && INTR_INFO_VECTOR(info) == VEC_BP)
            return took_int3(v, level);
        return INTR_INFO_TYPE(info) == INTR_TYPE_HARDWARE_EXCEPTION && INTR_INFO_VECTOR(info) == VEC_DB &&
               took_debug_exception(v, level);
    case EXIT_REASON_MOV_DR:
        if (v->debug.primary & PROC_MOV_DR_EXITING)
            return false;
        debug_mov_dr(v);
        return true;
    case EXIT_REASON_MONITOR_TRAP_FLAG:
        return !(v->debug.primary & PROC_MONITOR_TRAP_FLAG);
    default:
        return false;
    }
}

/* At the level that is stepped, an instruction was executed, by the CPU or by Nidus, or the level begins
 * anew. */
static bool has_stepped(const struct vcpu *v, u32 reason, u8 level, u64 rip)
{
    u8 now = vcpu_level(v);

    if (!v->debug.stepping || !counts(&v->debug, now))
        return false;
    return now != level || reason == EXIT_REASON_MONITOR_TRAP_FLAG || vmread(GUEST_RIP) != rip;
}

static void stepped(struct vcpu *v)
{
    const struct debug_step *s = &v->debug.step;
    u64 rip = vmread(GUEST_RIP);

    v->debug.shadow = false;
    if (rip >= s->from && rip < s->to && !v->events.due) {
        debug_begin_step(v);
        return;
    }
    v->debug.stepping = false;
    stop(v, STOP_STEP, linear_rip(), 0);
}

static bool exit_debugged(struct vcpu *v)
{
    u32 reason = (u32)vmread(EXIT_REASON);
    u8 level = vcpu_level(v);
    u64 rip = vmread(GUEST_RIP);

    undo(v);
    /* Not for L1 to see: behind MTF it would be the guest's own, since the instruction was executed. */
    if (reason != EXIT_REASON_MONITOR_TRAP_FLAG)
        end_shadow(v);
    if (took(v, reason, level))
        v->exits[reason]++;
    else
        (level == 2 ? v->on_l2_exit : v->on_exit)(v);
    if (reason == EXIT_REASON_MONITOR_TRAP_FLAG)
        v->debug.past = 0;
    if (has_stepped(v, reason, level, rip))
        stepped(v);
    else if (v->debug.stepping)
        debug_begin_step(v);
    return false;
}
