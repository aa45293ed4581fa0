/* SPDX-License-Identifier: MIT */
/* The VM goes on, and stops: GDB manual, 'Stop Reply Packets', and vCont. */
#include "lib/string.h"
#include "vmm/gdb/stub.h"
#include "vmm/vmm.h"

#define MAX_ACTIONS 16

struct action {
    bool step;
    u64 from, to; /* r: of RIP while it goes on stepping */
    struct gdb_thread thread;
};

/* --- stopping --- */

static void hold(struct vm *vm, void *arg)
{
    struct gdb *g = arg;

    if (vm->start_tsc == g->born)
        vm_hold_all(vm, REQ_STOPPED);
}

void gdb_stop_all(struct gdb *g)
{
    control_vm(&g->task, g->vm, hold, g);
    for (u32 i = 0; g->stepping; i++, g->stepping >>= 1)
        if (g->stepping & 1)
            debug_cancel_step(&g->task, g->vm, i);
    g->running = false;
}

static void print_why(struct gdb *g, const struct vcpu_stop *why)
{
    if (why->kind == STOP_BREAKPOINT)
        gdb_print(&g->w, "%s:;", why->data[1] == DEBUG_SOFTWARE ? "swbreak" : "hwbreak");
    else if (why->kind == STOP_WATCH)
        gdb_print(&g->w, "%s:%lx;", why->data[1] == 1 ? "watch" : "awatch", why->data[0]);
}

static void print_reg(struct gdb *g, u64 n)
{
    u32 offset, size, before = g->w.n;

    gdb_reg(n, &offset, &size);
    gdb_print(&g->w, "%02lx:", n);
    if (gdb_print_regs(g, offset, offset + 1))
        g->w.n = before;
    else
        gdb_put(&g->w, ';');
}

void gdb_report(struct gdb *g, u32 signal, const struct vcpu_stop *why)
{
    gdb_print(&g->w, "T%02xthread:", signal);
    gdb_print_thread(g, g->level, g->vcpu);
    gdb_put(&g->w, ';');
    if (why)
        print_why(g, why);
    print_reg(g, GDB_REG_RIP);
    print_reg(g, GDB_REG_RSP);
}

/* --- what has happened --- */

struct look_call {
    struct gdb *g;
    u32 vcpu;
    bool found;
    u8 level;
    struct vcpu_stop why;
};

static void look(struct vm *vm, void *arg)
{
    struct look_call *c = arg;

    for (c->vcpu = 0; vm->start_tsc == c->g->born && c->vcpu < vm->nr_vcpus; c->vcpu++) {
        struct vcpu *v = vm->vcpus[c->vcpu];

        if (!(__atomic_load_n(&v->requests, __ATOMIC_ACQUIRE) & REQ_STOPPED))
            continue;
        c->why.kind = __atomic_exchange_n(&v->stop.kind, STOP_NONE, __ATOMIC_ACQ_REL);
        if (c->why.kind == STOP_NONE)
            continue;
        memcpy(c->why.data, v->stop.data, sizeof(c->why.data));
        c->level = vcpu_level(v);
        c->found = true;
        return;
    }
}

static void report_end(struct gdb *g)
{
    u32 level = g->levels & BIT(1) ? 1 : 2;

    g->running = false;
    g->levels &= (u8)~BIT(level);
    g->level = 3 - (u8)level;
    gdb_begin(&g->w);
    gdb_print(&g->w, "W00");
    if (g->multiprocess)
        gdb_print(&g->w, ";process:%x", gdb_process(g->vm, level));
    gdb_end(&g->w);
}

void gdb_look(struct gdb *g)
{
    struct look_call c = {.g = g};

    if (!gdb_vm_runs(g)) {
        report_end(g);
        return;
    }
    control_vm(&g->task, g->vm, look, &c);
    if (!c.found)
        return;
    if (c.vcpu < 64)
        g->stepping &= ~BIT(c.vcpu); /* that is over in any case */
    gdb_stop_all(g);
    g->vcpu = c.vcpu;
    if (g->levels >> c.level & 1)
        g->level = c.level;
    gdb_begin(&g->w);
    gdb_report(g, c.why.kind == STOP_CRASH ? GDB_ABORT : GDB_TRAP, &c.why);
    gdb_end(&g->w);
}

/* --- going on --- */

/* c, CSIGNAL, s, SSIGNAL or rFROM,TO; signals are nothing that could be sent to a vCPU. */
static bool take_action(const char **at, struct action *a)
{
    u64 signal;

    *a = (struct action){.step = **at != 'c' && **at != 'C'};
    if (gdb_take(at, "r")) {
        if (!text_take_hex(at, &a->from) || !gdb_take(at, ",") || !text_take_hex(at, &a->to))
            return false;
    } else if (gdb_take(at, "C") || gdb_take(at, "S")) {
        if (!text_take_hex(at, &signal))
            return false;
    } else if (!gdb_take(at, "c") && !gdb_take(at, "s")) {
        return false;
    }
    a->thread = (struct gdb_thread){GDB_ALL, GDB_ALL};
    return !gdb_take(at, ":") || gdb_take_thread(at, &a->thread);
}

static int take_actions(const char *text, struct action *actions)
{
    int n = 0;

    while (gdb_take(&text, ";")) {
        if (n == MAX_ACTIONS || !take_action(&text, &actions[n]))
            return ERR_INVAL;
        n++;
    }
    return *text || !n ? ERR_INVAL : n;
}

static bool is_for(const struct gdb *g, const struct action *a, u8 level, u32 vcpu)
{
    return (a->thread.process == GDB_ALL || !a->thread.process ||
            a->thread.process == gdb_process(g->vm, level)) &&
           (a->thread.thread == GDB_ALL || !a->thread.thread || a->thread.thread == vcpu + 1);
}

/* What is asked of a vCPU, by one level or the other; the leftmost action for a thread counts. */
struct wish {
    bool go, steps;
    struct debug_step step;
};

static struct wish wish_for(const struct gdb *g, const struct action *actions, int n, u32 vcpu)
{
    struct wish w = {0};

    for (u8 level = 1; level <= 2; level++) {
        for (int i = 0; g->levels >> level & 1 && i < n; i++) {
            if (!is_for(g, &actions[i], level, vcpu))
                continue;
            w.go = true;
            if (actions[i].step) {
                w.steps = true;
                w.step = (struct debug_step){level, actions[i].from, actions[i].to};
            }
            break;
        }
    }
    return w;
}

struct go_call {
    struct gdb *g;
    u32 nr_vcpus;
    u64 go;
};

static void count(struct vm *vm, void *arg)
{
    struct go_call *c = arg;

    c->nr_vcpus = vm->start_tsc == c->g->born ? vm->nr_vcpus : 0;
}

/* One that has come to a breakpoint beside another stop comes there again, if that is still wanted. */
static void go(struct vm *vm, void *arg)
{
    struct go_call *c = arg;

    for (u32 i = 0; i < vm->nr_vcpus; i++) {
        struct vcpu *v = vm->vcpus[i];

        if (!(c->go >> i & 1) || vm->start_tsc != c->g->born)
            continue;
        if (v->stop.kind == STOP_BREAKPOINT || v->stop.kind == STOP_STEP)
            v->stop.kind = STOP_NONE;
        if (v->stop.kind == STOP_NONE)
            vcpu_release(v, REQ_STOPPED);
    }
}

int gdb_resume(struct gdb *g, const char *text)
{
    struct action actions[MAX_ACTIONS];
    struct go_call c = {.g = g};
    int n = take_actions(text, actions), r = OK;

    if (n < 0)
        return n;
    control_vm(&g->task, g->vm, count, &c);
    g->stepping = 0;
    for (u32 i = 0; !r && i < c.nr_vcpus; i++) {
        struct wish w = wish_for(g, actions, n, i);

        c.go |= (u64)w.go << i;
        if (!w.steps)
            continue;
        r = debug_step(&g->task, g->vm, i, &w.step);
        if (!r)
            g->stepping |= BIT(i);
    }
    if (r) {
        gdb_stop_all(g);
        return r;
    }
    g->running = true;
    control_vm(&g->task, g->vm, go, &c);
    return OK;
}
