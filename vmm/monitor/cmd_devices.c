/* SPDX-License-Identifier: MIT */
/* Commands that show a VM's interrupt controllers and its paravirtual queues. */
#include "arch/x86/trap.h"
#include "lib/string.h"
#include "vmm/dev/ioapic.h"
#include "vmm/dev/lapic_state.h"
#include "vmm/dev/pic.h"
#include "vmm/dev/platform.h"
#include "vmm/monitor/tables.h"
#include "vmm/vmm.h"

static const char *const delivery_modes[] = {"fixed", "lowest", "SMI",  "mode 3",
                                             "NMI",   "INIT",   "SIPI", "ExtINT"};

/* Vectors whose bits are set. */
static void print_vectors(struct monitor *m, const char *name, const u64 bits[PIR_WORDS])
{
    bool any = false;

    mon_print(m, "%s", name);
    for (u32 vector = 0; vector < 256; vector++) {
        if (!(bits[vector / 64] >> vector % 64 & 1))
            continue;
        mon_print(m, " %02x", vector);
        any = true;
    }
    mon_print(m, "%s\n", any ? "" : " none");
}

/* --- local APIC --- */

struct apic_call {
    u32 level;
    int r;
    bool hardware; /* the CPU does its part */
    u64 base, deadline;
    u32 id, current;
    struct pi_desc pid;
    u64 level_pir[PIR_WORDS];
    u32 regs[4 * LAPIC_NR_REGS];
};

static void get_own_apic(struct vcpu *v, struct apic_call *c)
{
    struct lapic *l = v->lapic;

    spin_lock(&v->vm->dev_lock);
    c->hardware = v->vm->apic != APIC_EMULATED;
    c->base = l->base;
    c->deadline = l->deadline;
    c->id = l->id;
    c->current = lapic_timer_current(l);
    memcpy(&c->pid, &l->pid, sizeof(c->pid));
    memcpy(c->level_pir, l->level_pir, sizeof(c->level_pir));
    memcpy(c->regs, l->regs, sizeof(c->regs));
    c->regs[4 * REG_PPR] = lapic_ppr(l); /* which the register itself need not be */
    spin_unlock(&v->vm->dev_lock);
}

static u64 field12(const struct vcpu *v, u32 index)
{
    return v->nested->vmcs12.image.f[index];
}

static bool has_l2(const struct vcpu *v)
{
    return vcpu_in_vmx(v) && v->nested->current != NO_VMCS;
}

/* L2's are pages of L1's, which vmcs12 names. */
static void get_apic(struct vcpu *v, void *arg)
{
    struct apic_call *c = arg;

    c->r = OK;
    if (c->level != 2)
        get_own_apic(v, c);
    else if (!has_l2(v))
        c->r = ERR_NOENT;
    else if (!(field12(v, VI_PRIMARY_CONTROLS) & PROC_USE_TPR_SHADOW))
        c->r = ERR_UNSUPP;
    else
        c->r = guest_read(v->vm, field12(v, VI_VIRTUAL_APIC_ADDRESS), c->regs, sizeof(c->regs));
}

static u32 reg(const struct apic_call *c, u32 n)
{
    return c->regs[4 * n];
}

static void print_lvt(struct monitor *m, const struct apic_call *c, u32 n)
{
    static const char *const names[] = {"timer", "thermal", "perf", "LINT0", "LINT1", "error"};
    static const char *const timers[] = {"one-shot", "periodic", PACK "TSC deadline", PACK "reserved mode"};
    u32 e = reg(c, REG_LVT + n);

    mon_print(m, "LVT %-8s %08x vector %02x %s%s%s\n", names[n], e, e & 0xff,
              n ? delivery_modes[DELIVERY_MODE(e)] : timers[LVT_TIMER_MODE(e)], e & LVT_LEVEL ? " level" : "",
              e & LVT_MASKED ? " masked" : "");
}

/* Eight registers of 32 bits each. */
static void print_vector_regs(struct monitor *m, const struct apic_call *c, const char *name, u32 first)
{
    u64 bits[PIR_WORDS];

    for (u32 i = 0; i < PIR_WORDS; i++)
        bits[i] = reg(c, first + 2 * i) | (u64)reg(c, first + 2 * i + 1) << 32;
    print_vectors(m, name, bits);
}

static void print_apic(struct monitor *m, const struct apic_call *c)
{
    if (c->level != 2) {
        mon_print(m, "id %u, base %lx: %s%s, %s\n", c->id, c->base,
                  !(c->base & LAPIC_BASE_ENABLE) ? "disabled"
                  : c->base & LAPIC_BASE_EXTD    ? "x2APIC"
                                                 : "xAPIC",
                  c->base & LAPIC_BASE_BSP ? ", boot processor" : "",
                  c->hardware ? PACK "APICv" : "emulated");
    }
    mon_print(m, "TPR %02x PPR %02x LDR %08x DFR %08x SVR %08x%s ESR %08x ICR %08x %08x\n", reg(c, REG_TPR),
              reg(c, REG_PPR), reg(c, REG_LDR), reg(c, REG_DFR), reg(c, REG_SVR),
              reg(c, REG_SVR) & SVR_ENABLED ? " enabled" : PACK " disabled by software", reg(c, REG_ESR),
              c->level != 2 && c->base & LAPIC_BASE_EXTD ? c->regs[4 * REG_ICR + 1] : reg(c, REG_ICR_HIGH),
              reg(c, REG_ICR));
    for (u32 i = 0; i < LVT_COUNT; i++)
        print_lvt(m, c, i);
    mon_print(m, "timer: initial %08x divide %x", reg(c, REG_TIMER_INITIAL), reg(c, REG_TIMER_DIVIDE));
    if (c->level != 2)
        mon_print(m, " current %08x deadline %lx", c->current, c->deadline);
    mon_print(m, "\n");
    print_vector_regs(m, c, "ISR:", REG_ISR);
    print_vector_regs(m, c, "IRR:", REG_IRR);
    print_vector_regs(m, c, "TMR:", REG_TMR);
    if (c->level != 2) {
        print_vectors(m, PACK "posted:", c->pid.pir);
        print_vectors(m, PACK "posted, level-triggered:", c->level_pir);
    }
}

static void apic(struct monitor *m, u32 argc, char **argv)
{
    struct apic_call *c = mon_scratch(m);
    struct mon_view view;

    if (!mon_view(m, &argc, argv, &view))
        return;
    c->level = view.level;
    if (!mon_call(m, view.vm, view.vcpu, get_apic, c))
        return;
    if (c->r)
        mon_print(m, "%s\n",
                  c->r == ERR_RANGE   ? PACK "L1 has no RAM at its virtual-APIC page"
                  : c->r == ERR_NOENT ? mon_no_l2
                                      : PACK "L1 gives its L2 no virtual APIC");
    else
        print_apic(m, c);
}

/* --- posted-interrupt descriptors --- */

struct pi_call {
    struct pi_desc own, l2;
    bool used;    /* notifications go by it */
    u64 pointers; /* host address of IPI virtualization's table, 0: none */
    u64 at12;     /* gpa1 of L2's; 0: none */
    int r;
};

static void get_pi(struct vcpu *v, void *arg)
{
    struct pi_call *c = arg;

    memcpy(&c->own, v->pid, sizeof(c->own));
    c->used = v->posted;
    c->pointers = (u64)v->vm->pid_pointers;
    c->at12 = 0;
    if (!has_l2(v) || !(field12(v, VI_PIN_BASED_CONTROLS) & PIN_POSTED_INTERRUPTS))
        return;
    c->at12 = field12(v, VI_POSTED_INT_DESC_ADDRESS);
    c->r = guest_read(v->vm, c->at12, &c->l2, sizeof(c->l2));
}

static void print_pi(struct monitor *m, const struct pi_desc *d)
{
    mon_print(m, "  %s%snotification vector %02x, destination %x\n", d->control & PID_ON ? "ON, " : "",
              d->control & PID_SN ? "SN, " : "", PID_NV(d->control), PID_NDST(d->control));
    print_vectors(m, "  PIR:", d->pir);
}

static void pi(struct monitor *m, u32 argc, char **argv)
{
    struct pi_call *c = mon_scratch(m);
    struct mon_view view;

    if (!mon_view(m, &argc, argv, &view) || !mon_call(m, view.vm, view.vcpu, get_pi, c))
        return;
    mon_print(m, "The vCPU's descriptor, %s%s:\n",
              c->used ? PACK "which the CPU uses" : PACK "which software uses: no posted interrupts",
              c->pointers ? PACK ", also for IPI virtualization" : "");
    print_pi(m, &c->own);
    if (!c->at12)
        return;
    mon_print(m, "L2's, at 0x%lx in L1%s\n", c->at12, c->r ? ": there is no RAM" : ":");
    if (!c->r)
        print_pi(m, &c->l2);
}

/* --- I/O APIC and PICs --- */

struct pins_call {
    u64 entry[IOAPIC_PINS];
    bool high[IOAPIC_PINS];
    struct pic_view pic[2];
};

static void get_pins(struct vm *vm, void *arg)
{
    struct pins_call *c = arg;

    spin_lock(&vm->dev_lock);
    for (u32 i = 0; i < IOAPIC_PINS; i++)
        c->entry[i] = ioapic_entry(vm->platform->ioapic, i, &c->high[i]);
    for (u32 i = 0; i < 2; i++)
        pic_look(vm->platform->pic, i, &c->pic[i]);
    spin_unlock(&vm->dev_lock);
}

static struct pins_call *pins(struct monitor *m, char **argv)
{
    struct pins_call *c = mon_scratch(m);
    u32 vm, vcpu;

    if (!mon_vcpu(m, argv[1], &vm, &vcpu))
        return NULL;
    if (control_vm(mon_task(m), vm, get_pins, c) == OK)
        return c;
    mon_print(m, "%s does not run\n", vmm_config(vm)->name);
    return NULL;
}

static void ioapic(struct monitor *m, u32 argc, char **argv)
{
    const struct pins_call *c = pins(m, argv);

    (void)argc;
    if (c)
        mon_print(m, "Inputs that are in use, of %u:\n", IOAPIC_PINS);
    for (u32 i = 0; c && i < IOAPIC_PINS; i++) {
        u64 e = c->entry[i];

        if (e == BIT(16) && !c->high[i])
            continue; /* as after RESET: not in use */
        mon_print(m, "%2u %016lx vector %02x %s to %s %02x, %s%s%s%s\n", i, e, (u32)e & 0xff,
                  delivery_modes[DELIVERY_MODE(e)], e & BIT(11) ? "logical" : "APIC", (u32)(e >> 56),
                  e & BIT(15) ? "level" : "edge", e & BIT(14) ? PACK ", waits for EOI" : "",
                  c->high[i] ? ", high" : "", e & BIT(16) ? ", masked" : "");
    }
}

static void pic(struct monitor *m, u32 argc, char **argv)
{
    const struct pins_call *c = pins(m, argv);

    (void)argc;
    for (u32 i = 0; c && i < 2; i++) {
        const struct pic_view *p = &c->pic[i];

        mon_print(m, "8259 %u: vectors from %02x, IRR %02x, ISR %02x, IMR %02x, level-triggered %02x%s\n", i,
                  p->base, p->requests, p->in_service, p->masked, p->level,
                  p->ready ? "" : PACK ", not initialized");
    }
}

/* --- paravirtual queues --- */

struct queue_view {
    gpa_t area; /* 0: there is none */
    u32 head;
    bool begun, stopped, asked, read;
};

struct pv_call_view {
    u64 page; /* MSR of the hypercall page */
    u64 timer;
    struct queue_view queue[2]; /* L1's, L2's */
    struct nidus_area area[2];
    struct {
        bool open;
        u32 vcpu;
        u8 vector;
        gpa_t gpa;
    } channel[CONFIG_MAX_CHANNELS];
};
_Static_assert(sizeof(struct pv_call_view) <= MON_SCRATCH, "there is room");

static void get_queue(struct vcpu *v, struct pv_queue *q, struct queue_view *view, struct nidus_area *area)
{
    /* Without its lock, whose holder may be waiting for this vCPU. */
    *view = (struct queue_view){.area = q->area ? (u64)q->area - VM_BASE : 0,
                                .head = q->head,
                                .begun = q->begun,
                                .stopped = q->stopped,
                                .asked = q->asked};
    view->read = view->area && guest_read(v->vm, view->area, area, sizeof(*area)) == OK;
}

static void get_pv(struct vcpu *v, void *arg)
{
    struct pv_call_view *c = arg;
    struct pv_vm *pv = &v->vm->pv;

    memset(c, 0, sizeof(*c));
    c->page = pv->hypercall_page;
    c->timer = v->pv.timer.armed;
    get_queue(v, &v->pv.queue, &c->queue[0], &c->area[0]);
    if (v->nested)
        get_queue(v, &v->nested->queue, &c->queue[1], &c->area[1]);
    for (u32 i = 0; i < CONFIG_MAX_CHANNELS; i++) {
        const struct pv_member *member = &pv->member[i];
        const struct vcpu *by = member->vcpu;

        if (by) {
            c->channel[i].open = true;
            c->channel[i].vcpu = by->id;
            c->channel[i].vector = member->vector;
            c->channel[i].gpa = member->gpa;
        }
    }
}

static void print_queue(struct monitor *m, const struct queue_view *q, const struct nidus_area *area)
{
    static const char *const ops[] = {
        PACK "no-op",          PACK "flush queue", PACK "set CR",    PACK "write entry",
        PACK "write entries",  PACK "flush local", PACK "flush TLB", PACK "send IPI",
        PACK "set timer",      PACK "populate",    PACK "release",   PACK "channel open",
        PACK "channel signal", PACK "console",     PACK "nested",    PACK "yield",
    };
    u32 waiting = area->tail - q->head;

    mon_print(m, "queue at 0x%lx: head %u, tail %u%s%s%s%s\n", q->area, q->head, area->tail,
              waiting > NIDUS_SLOTS ? PACK ", which is out of range" : "",
              q->begun ? PACK ", one is half done" : "", q->stopped ? PACK ", stopped" : "",
              q->asked ? PACK ", the vCPU has to run the next" : "");
    for (u32 i = 0; i < waiting && waiting <= NIDUS_SLOTS; i++) {
        const struct nidus_slot *s = &area->slot[(q->head + i) % NIDUS_SLOTS];

        mon_print(m, "  %s (%u), %s: %lx %lx %lx %lx\n", s->op < ARRAY_SIZE(ops) ? ops[s->op] : "unknown",
                  s->op, s->flags & NIDUS_READY ? "ready" : "not ready", s->arg[0], s->arg[1], s->arg[2],
                  s->arg[3]);
    }
}

static void pv(struct monitor *m, u32 argc, char **argv)
{
    struct pv_call_view *c = mon_scratch(m);
    struct mon_view view;

    if (!mon_view(m, &argc, argv, &view) || !mon_call(m, view.vm, view.vcpu, get_pv, c))
        return;
    mon_print(m, "hypercall page: %lx%s\n", c->page, c->timer ? PACK "; the timer is set" : "");
    for (u32 i = 0; i < 2; i++) {
        if (c->queue[i].read) {
            mon_print(m, "L%u's ", i + 1);
            print_queue(m, &c->queue[i], &c->area[i]);
        } else if (!i) {
            mon_print(m, "no queue\n");
        }
    }
    for (u32 i = 0; i < CONFIG_MAX_CHANNELS; i++)
        if (c->channel[i].open)
            mon_print(m, "channel %u: page 0x%lx, vector %02x of vCPU %u\n", i, c->channel[i].gpa,
                      c->channel[i].vector, c->channel[i].vcpu);
}

const struct command monitor_devices[] = {
    {"apic", PACK "[VCPU] [l2]", PACK "The local APIC; with l2 the virtual one that L1 gives its L2.", apic,
     "@vcpu l2"},
    {"ioapic", PACK "[VM]", PACK "The I/O APIC's entries that are in use.", ioapic, "@vm"},
    {"pic", PACK "[VM]", PACK "The two 8259 interrupt controllers.", pic, "@vm"},
    {"pi", PACK "[VCPU]", PACK "Posted-interrupt descriptors: the vCPU's, and L2's.", pi, "@vcpu"},
    {"pv", PACK "[VCPU]", PACK "Nidus's hypercall queues, with the entries that wait, and channels.", pv,
     "@vcpu"},
    {0},
};
