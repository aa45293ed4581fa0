/* SPDX-License-Identifier: MIT */
/* VMs as processes, vCPUs as threads. */
#include "vmm/gdb/stub.h"
#include "vmm/vmm.h"

/* GDB's numbers of threads begin with 1. */
#define THREAD(vcpu) ((vcpu) + 1)

static bool any_l2(const struct vm *vm)
{
    for (u32 i = 0; i < vm->nr_vcpus; i++)
        if (vcpu_has_vmcs12(vm->vcpus[i]))
            return true;
    return false;
}

/* At level 2 those with a current VMCS; a process needs one, so that it may be the first without. */
static bool exists(const struct vm *vm, u32 level, u32 vcpu)
{
    return vcpu < vm->nr_vcpus && (level == 1 || vcpu_has_vmcs12(vm->vcpus[vcpu]) || (!vcpu && !any_l2(vm)));
}

/* --- attaching --- */

struct attach_call {
    struct gdb *g;
    u32 level;
    int r;
};

static void attach(struct vm *vm, void *arg)
{
    struct attach_call *c = arg;
    struct gdb *g = c->g;

    c->r = c->level == 1 || any_l2(vm) ? OK : ERR_NOENT;
    if (c->r)
        return;
    g->vm = vm->index;
    g->born = vm->start_tsc;
    g->levels |= (u8)BIT(c->level);
    vm_hold_all(vm, REQ_STOPPED);
}

int gdb_attach(struct gdb *g, u32 process)
{
    struct attach_call c = {g, process % 10, OK};
    u32 vm = process / 10 - 1;
    int r;

    if (process < 10 || vm >= CONFIG_MAX_VMS || c.level < 1 || c.level > 2)
        return ERR_NOENT;
    if (g->levels && g->vm != vm)
        return ERR_BUSY;
    r = control_vm(&g->task, vm, attach, &c);
    if (r || c.r)
        return r ? r : c.r;
    g->running = false;
    return gdb_find_thread(g, &(struct gdb_thread){process, 0}, &g->level, &g->vcpu);
}

static void let_go(struct vm *vm, void *arg)
{
    struct gdb *g = arg;

    if (vm->start_tsc != g->born)
        return;
    for (u32 i = 0; i < vm->nr_vcpus; i++)
        vm->vcpus[i]->stop.kind = STOP_NONE;
    vm_release_all(vm, REQ_STOPPED);
}

bool gdb_has(const struct gdb *g, u32 process)
{
    u32 level = process % 10;

    return process == gdb_process(g->vm, level) && g->levels >> level & 1;
}

/* Behind it the vCPU has stopped, if it was about to. */
static void nothing(struct vcpu *v, void *arg)
{
    (void)v;
    (void)arg;
}

void gdb_detach(struct gdb *g, u32 process)
{
    u32 level = process % 10;
    bool all = !process || process == GDB_ALL;

    if (!g->levels || (!all && !gdb_has(g, process)))
        return;
    g->levels &= all ? 0 : (u8)~BIT(level);
    debug_remove_all(&g->task, g->vm, DEBUG_BY_GDB, all ? 0 : (u8)level);
    if (g->levels) {
        g->level = g->levels & BIT(1) ? 1 : 2;
        return;
    }
    gdb_stop_all(g); /* steps are not to go on */
    for (u32 i = 0; i < CONFIG_MAX_VCPUS && vmm_runs(g->vm); i++)
        control_call(&g->task, g->vm, i, nothing, NULL);
    control_vm(&g->task, g->vm, let_go, g);
    g->running = g->physical = false;
}

static void kill(struct vm *vm, void *arg)
{
    struct gdb *g = arg;

    if (vm->start_tsc == g->born)
        vm_stop(vm, false, "killed by the debugger");
}

void gdb_kill(struct gdb *g)
{
    struct gdb was = *g;

    if (!g->levels)
        return;
    gdb_detach(g, 0);
    control_vm(&g->task, was.vm, kill, &was);
}

bool gdb_vm_runs(struct gdb *g)
{
    u64 born;

    return g->levels && !control_vm(&g->task, g->vm, vm_get_born, &born) && born == g->born;
}

int gdb_first_process(void)
{
    for (u32 i = 0; i < CONFIG_MAX_VMS; i++)
        if (vmm_runs(i))
            return (int)gdb_process(i, 1);
    return ERR_NOENT;
}

/* --- threads --- */

struct find_call {
    u32 level, vcpu; /* vcpu: GDB_ALL for any */
    int r;
};

static void find_thread(struct vm *vm, void *arg)
{
    struct find_call *c = arg;

    if (c->vcpu == GDB_ALL)
        for (c->vcpu = 0; c->vcpu < vm->nr_vcpus && !exists(vm, c->level, c->vcpu);)
            c->vcpu++;
    c->r = exists(vm, c->level, c->vcpu) ? OK : ERR_NOENT;
}

int gdb_find_thread(struct gdb *g, const struct gdb_thread *id, u8 *level, u32 *vcpu)
{
    bool any_process = !id->process || id->process == GDB_ALL, any = !id->thread || id->thread == GDB_ALL;
    struct find_call c = {any_process ? g->level : id->process % 10, any ? GDB_ALL : id->thread - 1, OK};
    int r;

    if (!(g->levels >> c.level & 1) || (!any_process && id->process != gdb_process(g->vm, c.level)))
        return ERR_NOENT;
    r = control_vm(&g->task, g->vm, find_thread, &c);
    if (r || c.r)
        return r ? r : c.r;
    *level = (u8)c.level;
    *vcpu = c.vcpu;
    return OK;
}

static void find_running(struct vm *vm, void *arg)
{
    struct gdb *g = arg;
    u8 level;

    if (g->vcpu >= vm->nr_vcpus)
        return;
    level = vcpu_level(vm->vcpus[g->vcpu]);
    if (g->levels >> level & 1)
        g->level = level;
}

void gdb_choose_running(struct gdb *g)
{
    control_vm(&g->task, g->vm, find_running, g);
}

void gdb_print_thread(struct gdb *g, u8 level, u32 vcpu)
{
    if (g->multiprocess)
        gdb_print(&g->w, "p%x.", gdb_process(g->vm, level));
    gdb_print(&g->w, "%x", THREAD(vcpu));
}

static void print_threads(struct vm *vm, void *arg)
{
    struct gdb *g = arg;

    for (u8 level = 1; level <= 2; level++) {
        for (u32 i = 0; g->levels >> level & 1 && i < vm->nr_vcpus; i++) {
            if (!exists(vm, level, i))
                continue;
            gdb_put(&g->w, g->w.n == 1 ? 'm' : ',');
            gdb_print_thread(g, level, i);
        }
    }
}

void gdb_print_threads(struct gdb *g)
{
    if (g->levels)
        control_vm(&g->task, g->vm, print_threads, g);
}

/* --- names --- */

static void __printf(2, 3) print_hex(struct gdb *g, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    gdb_print_hex(&g->w, fmt, args);
    va_end(args);
}
#define print_hex(g, ...) print_hex(g, PACK __VA_ARGS__)

struct name_call {
    struct gdb *g;
    u8 level;
    u32 vcpu;
};

static void print_name(struct vm *vm, void *arg)
{
    static const char *const doing[] = {[VCPU_ACTIVE] = PACK "",
                                        [VCPU_HALTED] = PACK ", halted",
                                        [VCPU_WAIT_SIPI] = PACK ", waits for its start"};
    struct name_call *c = arg;
    const struct vcpu *v;
    const char *what;

    if (c->vcpu >= vm->nr_vcpus)
        return;
    v = vm->vcpus[c->vcpu];
    what = vcpu_in_l2(v) == (c->level == 2) ? doing[v->activity]
           : c->level == 1                  ? PACK ", L2 runs"
                                            : PACK ", L1 runs";
    print_hex(c->g, "%s.%u L%u%s", vm->config->name, c->vcpu, c->level, what);
}

void gdb_print_name(struct gdb *g, u8 level, u32 vcpu)
{
    struct name_call c = {g, level, vcpu};

    control_vm(&g->task, g->vm, print_name, &c);
}

static void print_vm(struct vm *vm, void *arg)
{
    struct gdb *g = arg;

    print_hex(g, "%u %s, %u vCPUs\n", gdb_process(vm->index, 1), vm->config->name, vm->nr_vcpus);
    if (any_l2(vm))
        print_hex(g, "%u %s, its L2\n", gdb_process(vm->index, 2), vm->config->name);
}

void gdb_print_vms(struct gdb *g)
{
    for (u32 i = 0; i < CONFIG_MAX_VMS; i++)
        control_vm(&g->task, i, print_vm, g);
}
