/* SPDX-License-Identifier: MIT */
/* Commands about VMs and vCPUs as a whole, and news of them. */
#include "lib/format.h"
#include "lib/string.h"
#include "vmm/inspect.h"
#include "vmm/monitor/tables.h"
#include "vmm/task.h"
#include "vmm/vmcs_text.h"
#include "vmm/vmm.h"

/* --- what a vCPU does --- */

struct vcpu_state {
    enum vcpu_sched sched;
    enum vcpu_activity activity;
    u32 home;
    u64 requests;
    struct vcpu_stop stop;
};

struct vm_state {
    u32 nr_vcpus, restarts;
    enum config_apic apic;
    bool crashed;
    u64 memory;
    char why[96];
    struct vcpu_state vcpu[CONFIG_MAX_VCPUS];
};
_Static_assert(sizeof(struct vm_state) <= MON_SCRATCH, "there is room");

static void get_vm(struct vm *vm, void *arg)
{
    struct vm_state *s = arg;

    *s = (struct vm_state){.nr_vcpus = vm->nr_vcpus,
                           .restarts = vm->restarts,
                           .apic = vm->apic,
                           .crashed = vm->crashed,
                           .memory = vm->memory};
    memcpy(s->why, vm->why, sizeof(s->why));
    for (u32 i = 0; i < vm->nr_vcpus; i++) {
        const struct vcpu *v = vm->vcpus[i];

        s->vcpu[i] = (struct vcpu_state){v->sched, v->activity, v->home, v->requests, v->stop};
    }
}

static const char *stop_text(char *buf, size_t size, const struct vm_state *s, const struct vcpu_stop *stop)
{
    static const char *const texts[] = {
        [STOP_NONE] = PACK "with the others",
        [STOP_STEP] = PACK "one instruction is done",
        [STOP_BREAKPOINT] = PACK "breakpoint at 0x",
        [STOP_WATCH] = PACK "access to 0x",
        [STOP_EXIT] = PACK "exit: ",
        [STOP_CHECK] = PACK "a VM entry of its own failed a check",
        [STOP_CRASH] = PACK "crashed: ",
    };
    size_t n = format(buf, size, "%s", texts[stop->kind % ARRAY_SIZE(texts)]);

    if (stop->kind == STOP_BREAKPOINT || stop->kind == STOP_WATCH)
        format(buf + n, size - n, "%lx", stop->data[0]);
    else if (stop->kind == STOP_EXIT)
        vmcs_text_exit(buf + n, size - n, (u32)stop->data[0], stop->data[1]);
    else if (stop->kind == STOP_CHECK && stop->data[1])
        format(buf + n, size - n, ": %s", (const char *)stop->data[1]);
    else if (stop->kind == STOP_CRASH)
        format(buf + n, size - n, "%s", s->why);
    return buf;
}

static void get_place(struct vcpu *v, void *arg)
{
    inspect_regs(v, 0, arg);
}

static void show_vcpu(struct monitor *m, u32 vm, u32 id, const struct vm_state *s)
{
    static const char *const activities[] = {"active", "halted", PACK "waits for a start-up IPI"};
    const struct vcpu_state *v = &s->vcpu[id];
    struct inspect_regs regs;
    char stop[160];

    mon_print(m, "   .%u: ", id);
    if (v->requests & REQ_STOPPED)
        mon_print(m, "stopped, %s", stop_text(stop, sizeof(stop), s, &v->stop));
    else if (v->requests & REQ_HELD)
        mon_print(m, "paused");
    else if (v->activity != VCPU_ACTIVE)
        mon_print(m, "%s", activities[v->activity]);
    else
        mon_print(m, "%s CPU %u", v->sched == SCHED_RUNNING ? PACK "runs on" : PACK "ready on", v->home);
    if (control_call(mon_task(m), vm, id, get_place, &regs) == OK)
        mon_print(m, "; L%u at 0x%lx, CPL %u", regs.level, regs.r[IR_RIP],
                  (u32)regs.r[IR_RIGHTS + 2] >> 5 & 3);
    mon_print(m, "\n");
}

static void show_vm(struct monitor *m, u32 vm)
{
    struct vm_state *s = mon_scratch(m);
    const struct config_vm *c = vmm_config(vm);

    if (control_vm(mon_task(m), vm, get_vm, s)) {
        mon_print(m, "%u  %s: does not run\n", vm + 1, c->name);
        return;
    }
    mon_print(m, "%u  %s: %s%s, %lu MiB, APIC: %s", vm + 1, c->name, c->kernel,
              s->crashed ? " (crashed)" : "", s->memory >> 20, config_apic_names[s->apic]);
    if (s->restarts)
        mon_print(m, ", started %u times", s->restarts + 1);
    mon_print(m, "\n");
    for (u32 i = 0; i < s->nr_vcpus && !mon_stopped(m); i++)
        show_vcpu(m, vm, i, s);
}

static void vms(struct monitor *m, u32 argc, char **argv)
{
    u32 vm, vcpu;

    if (argc > 1) {
        if (mon_vcpu(m, argv[1], &vm, &vcpu))
            show_vm(m, vm);
        return;
    }
    for (vm = 0; vm < vmm_nr_vms(); vm++)
        show_vm(m, vm);
}

static void select(struct monitor *m, u32 argc, char **argv)
{
    u32 vm, vcpu;

    if (argc < 2)
        mon_print(m, "which one? 'vms' lists them\n");
    else if (mon_vcpu(m, argv[1], &vm, &vcpu))
        mon_select(m, vm, vcpu);
}

/* --- what is done to them --- */

struct change {
    u32 vcpu; /* CPU_NONE: all */
    bool pause;
    const char *stop; /* why it ends */
    bool again;
};

static void hold(struct vm *vm, void *arg)
{
    const struct change *c = arg;

    if (!c->pause)
        vm->crashed = 0;
    for (u32 i = 0; i < vm->nr_vcpus; i++) {
        if (c->vcpu != CPU_NONE && c->vcpu != i)
            continue;
        if (c->pause)
            vcpu_hold(vm->vcpus[i], REQ_HELD);
        else
            vcpu_release(vm->vcpus[i], REQ_HOLDS);
    }
}

static void stop(struct vm *vm, void *arg)
{
    const struct change *c = arg;

    vm_stop(vm, c->again, c->stop);
}

static void send_nmi(struct vm *vm, void *arg)
{
    vcpu_nmi(vm->vcpus[((const struct change *)arg)->vcpu]);
}

static bool change(struct monitor *m, u32 vm, void (*fn)(struct vm *vm, void *arg), struct change *c)
{
    if (control_vm(mon_task(m), vm, fn, c) == OK)
        return true;
    mon_print(m, "%s does not run\n", vmm_config(vm)->name);
    return false;
}

/* A whole VM, or the vCPU that is named. */
static void hold_or_release(struct monitor *m, u32 argc, char **argv, bool pause)
{
    struct change c = {.pause = pause};
    bool one = argc > 1 && strchr(argv[1], '.');
    u32 vm;

    if (!mon_vcpu(m, argv[1], &vm, &c.vcpu))
        return;
    if (!one)
        c.vcpu = CPU_NONE;
    change(m, vm, hold, &c);
}

static void pause(struct monitor *m, u32 argc, char **argv)
{
    hold_or_release(m, argc, argv, true);
}

static void resume(struct monitor *m, u32 argc, char **argv)
{
    hold_or_release(m, argc, argv, false);
}

static void nmi(struct monitor *m, u32 argc, char **argv)
{
    struct change c = {0};
    u32 vm;

    (void)argc;
    if (mon_vcpu(m, argv[1], &vm, &c.vcpu))
        change(m, vm, send_nmi, &c);
}

/* These must name their VM. */
static bool named(struct monitor *m, u32 argc, char **argv, u32 *vm)
{
    u32 vcpu;

    if (argc > 1)
        return mon_vcpu(m, argv[1], vm, &vcpu);
    mon_print(m, "which VM?\n");
    return false;
}

static void reset(struct monitor *m, u32 argc, char **argv)
{
    struct change c = {.stop = "at the monitor", .again = true};
    u32 vm;

    if (named(m, argc, argv, &vm))
        change(m, vm, stop, &c);
}

static void kill(struct monitor *m, u32 argc, char **argv)
{
    struct change c = {.stop = "killed at the monitor"};
    u32 vm;

    if (named(m, argc, argv, &vm))
        change(m, vm, stop, &c);
}

static void restart(struct monitor *m, u32 argc, char **argv)
{
    u32 vm;

    if (!named(m, argc, argv, &vm))
        return;
    if (vmm_runs(vm))
        reset(m, argc, argv);
    else if (vmm_start_again(vm))
        mon_print(m, "%s cannot be started\n", vmm_config(vm)->name);
}

/* --- news --- */

static void tell_stop(struct monitor *m, u32 vm, u32 id, const struct vm_state *s)
{
    char text[160];

    /* Who steps sees it. */
    if (s->vcpu[id].stop.kind && s->vcpu[id].stop.kind != STOP_STEP)
        mon_print(m, "%s.%u has stopped: %s\n", vmm_config(vm)->name, id,
                  stop_text(text, sizeof(text), s, &s->vcpu[id].stop));
}

void mon_news(struct monitor *m)
{
    static u64 told[CONFIG_MAX_VMS]; /* vCPUs known to be stopped */
    static bool idle;
    struct vm_state *s = mon_scratch(m);

    for (u32 vm = 0; vm < vmm_nr_vms(); vm++) {
        u64 stopped = 0;

        if (control_vm(mon_task(m), vm, get_vm, s))
            s->nr_vcpus = 0;
        for (u32 i = 0; i < s->nr_vcpus; i++) {
            if (!(s->vcpu[i].requests & REQ_STOPPED))
                continue;
            stopped |= BIT(i);
            if (!(told[vm] >> i & 1))
                tell_stop(m, vm, i, s);
        }
        told[vm] = stopped;
    }
    if (vmm_none_left() && !idle)
        mon_print(m, "No VM runs any more; the machine stays on until the monitor is closed.\n");
    idle = vmm_none_left();
}

const struct command monitor_vm[] = {
    {"vms", PACK "[VM]", PACK "VMs and vCPUs: what they do, at which level and address.", vms, "@vm"},
    {"select", PACK "VCPU", PACK "The vCPU that commands are about which name none.", select, "@vcpu @vm"},
    {"pause", PACK "[VM | VCPU]",
     PACK "Stops a VM, or one vCPU, before its next instruction. Its timers go on.", pause, "@vm @vcpu"},
    {"resume", PACK "[VM | VCPU]",
     PACK "It goes on: after pause, step, a breakpoint, or a crash with 'crash = keep'.", resume,
     "@vm @vcpu"},
    {"nmi", PACK "[VCPU]", PACK "A non-maskable interrupt: Linux then says what that vCPU is doing.", nmi,
     "@vcpu"},
    {"reset", PACK "VM", PACK "As a reset button: the VM starts anew.", reset, "@vm"},
    {"kill", PACK "VM", PACK "Ends a VM. It counts as powered off.", kill, "@vm"},
    {"restart", PACK "VM", PACK "Starts a VM that has ended, or resets it.", restart, "@vm"},
    {0},
};
