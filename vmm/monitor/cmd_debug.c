/* SPDX-License-Identifier: MIT */
/* Single steps, and breakpoints at addresses: the part of 'break' that is about them. */
#include "lib/string.h"
#include "lib/text.h"
#include "vmm/debug.h"
#include "vmm/inspect.h"
#include "vmm/monitor/tables.h"
#include "vmm/task.h"
#include "vmm/vmm.h"

static void failed(struct monitor *m, u32 vm, int r)
{
    mon_print(m, "%s\n",
              r == ERR_NOMEM   ? PACK "no room: a VM has four watchpoints and hardware breakpoints at a time"
              : r == ERR_FAULT ? PACK "nothing is mapped there: see 'walk'"
              : r == ERR_RANGE ? PACK "there is no RAM"
              : r == ERR_UNSUPP
                  ? PACK "this CPU has no monitor trap flag"
                  : (vmm_runs(vm) ? PACK "there is no such vCPU, or no L2" : PACK "the VM does not run"));
}

/* --- steps --- */

struct progress {
    u32 vcpu;
    bool release; /* else it is held */
    u64 requests;
};

static void hold_or_release(struct vm *vm, void *arg)
{
    const struct progress *p = arg;

    if (p->release)
        vcpu_release(vm->vcpus[p->vcpu], REQ_HOLDS);
    else
        vcpu_hold(vm->vcpus[p->vcpu], REQ_HELD);
}

static void get_requests(struct vm *vm, void *arg)
{
    struct progress *p = arg;

    p->requests = __atomic_load_n(&vm->vcpus[p->vcpu]->requests, __ATOMIC_ACQUIRE);
}

/* It may take for ever: a vCPU that is halted. False: the person does not wait, or it is no more. */
static bool wait_for_stop(struct monitor *m, const struct mon_view *view, struct progress *p)
{
    do {
        if (mon_stopped(m)) {
            debug_cancel_step(mon_task(m), view->vm, view->vcpu);
            p->release = false;
            control_vm(mon_task(m), view->vm, hold_or_release, p);
            return false;
        }
        task_give_way(mon_task(m));
        if (control_vm(mon_task(m), view->vm, get_requests, p))
            return false;
    } while (!(p->requests & REQ_STOPPED));
    return true;
}

static bool step_once(struct monitor *m, const struct mon_view *view)
{
    const struct debug_step how = {.level = (u8)view->level};
    struct progress p = {.vcpu = view->vcpu};
    int r = control_vm(mon_task(m), view->vm, hold_or_release, &p);

    if (!r)
        r = debug_step(mon_task(m), view->vm, view->vcpu, &how);
    if (r) {
        failed(m, view->vm, r);
        return false;
    }
    p.release = true;
    return control_vm(mon_task(m), view->vm, hold_or_release, &p) == OK && wait_for_stop(m, view, &p);
}

struct place {
    struct inspect_regs regs;
    u8 code[16];
    u32 n;
};

static void get_place(struct vcpu *v, void *arg)
{
    struct place *p = arg;
    int why;

    inspect_regs(v, 0, &p->regs);
    p->n = inspect_memory(v, 0, false, p->regs.r[IR_BASE + SEG_CS] + p->regs.r[IR_RIP], p->code,
                          sizeof(p->code), false, &why);
    debug_hide(v, (u8)p->regs.level, p->regs.r[IR_BASE + SEG_CS] + p->regs.r[IR_RIP], p->code, p->n, false);
}

static void show_place(struct monitor *m, const struct mon_view *view)
{
    struct place *p = mon_scratch(m);

    if (!mon_call(m, view->vm, view->vcpu, get_place, p))
        return;
    mon_print(m, "L%u 0x%lx:", p->regs.level, p->regs.r[IR_RIP]);
    for (u32 i = 0; i < p->n; i++)
        mon_print(m, " %02x", p->code[i]);
    mon_print(m, "\n");
}

static void step(struct monitor *m, u32 argc, char **argv)
{
    struct mon_view view;
    u64 n = 1;

    if (!mon_view(m, &argc, argv, &view) || (argc > 1 && !mon_number(m, argv[1], &n)))
        return;
    for (; n && !mon_stopped(m) && step_once(m, &view); n--)
        show_place(m, &view);
}

/* --- breakpoints --- */

static bool is_known(const struct debug_point *p, u32 vm)
{
    struct debug_point other;

    for (u32 i = 0; debug_get(vm, DEBUG_BY_MONITOR, i, &other); i++)
        if (other.kind == p->kind && other.level == p->level && other.address == p->address)
            return true;
    return false;
}

bool mon_break_at(struct monitor *m, u32 argc, char **argv)
{
    static const char *const kinds[] = {"at", "write", "access"};
    static const u8 kind_of[] = {DEBUG_HARDWARE, DEBUG_WATCH_WRITE, DEBUG_WATCH_ACCESS};
    int kind = text_choose(argv[1], kinds, ARRAY_SIZE(kinds));
    struct inspect_regs *now = mon_scratch(m);
    struct debug_point p = {.size = 1};
    struct mon_view view;
    u64 size = 8;
    int r;

    if (kind < 0)
        return false;
    if (!mon_view(m, &argc, argv, &view))
        return true;
    if (argc < 3) {
        mon_print(m, "which address?\n");
        return true;
    }
    if (!mon_address(m, &view, argv[2], &p.address) || (argc > 3 && !mon_number(m, argv[3], &size)))
        return true;
    p.kind = kind_of[kind];
    if (!mon_regs(m, &view, now))
        return true;
    p.level = (u8)now->level;
    if (kind)
        p.size = (u32)MIN(size, 64u);
    r = debug_insert(mon_task(m), view.vm, view.vcpu, DEBUG_BY_MONITOR, &p);
    /* The CPU has four; in the page itself there may be more. */
    if (r == ERR_NOMEM && !kind && !is_known(&p, view.vm)) {
        p.kind = DEBUG_SOFTWARE;
        r = debug_insert(mon_task(m), view.vm, view.vcpu, DEBUG_BY_MONITOR, &p);
    }
    if (r)
        failed(m, view.vm, r);
    return true;
}

/* The nth of all VMs. */
static bool find_point(u32 n, u32 *vm, struct debug_point *p)
{
    for (*vm = 0; *vm < vmm_nr_vms(); ++*vm) {
        u32 i = 0;

        for (; debug_get(*vm, DEBUG_BY_MONITOR, i, p); i++)
            if (!n--)
                return true;
    }
    return false;
}

void mon_list_points(struct monitor *m, u32 first)
{
    static const char *const kinds[] = {
        [DEBUG_SOFTWARE] = "at",
        [DEBUG_HARDWARE] = "at",
        [DEBUG_WATCH_WRITE] = "write",
        [DEBUG_WATCH_ACCESS] = "access",
    };
    struct debug_point p;
    u32 vm;

    for (u32 n = 0; find_point(n, &vm, &p); n++) {
        mon_print(m, "%u: %s 0x%lx", first + n, kinds[p.kind % ARRAY_SIZE(kinds)], p.address);
        if (p.kind >= DEBUG_WATCH_WRITE)
            mon_print(m, ", %u bytes", p.size);
        mon_print(m, ", %s, L%u\n", vmm_config(vm)->name, p.level);
    }
}

bool mon_remove_point(struct monitor *m, u32 n)
{
    struct debug_point p;
    u32 vm;

    if (!find_point(n, &vm, &p))
        return false;
    return debug_remove(mon_task(m), vm, 0, DEBUG_BY_MONITOR, &p) == OK;
}

const struct command monitor_debug[] = {
    {"step", PACK "[VCPU] [l1 | l2] [COUNT]",
     PACK "One instruction, or COUNT, of the level that is named, or of any; interrupts wait meanwhile.\n"
          "  Shows where it is then, and the code there. Ctrl-C ends the wait for one that is halted.",
     step, "l1 l2 @vcpu"},
    {0},
};
