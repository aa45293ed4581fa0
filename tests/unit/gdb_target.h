/* SPDX-License-Identifier: MIT */
/*
 * What GDB's stub debugs, for its tests: two VMs of two vCPUs, of which the second has an L2; registers and
 * memory; what would be done to guests is only remembered. Characters go in by talk(), what the stub sends is
 * in sent.
 */
#ifndef TESTS_UNIT_GDB_TARGET_H
#define TESTS_UNIT_GDB_TARGET_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/fake_vmx.h"
#include "tests/unit/fake_asm.h"

static u64 rdmsr(u32 msr)
{
    return 0x1000 + (u8)msr;
}

#include "vmm/gdb/gdb.c"
#include "vmm/gdb/regs.c"
#include "vmm/vmm.h"

#define MEMORY_AT 0x10000ull /* linear addresses; physical ones are from 0 on */

u64 tsc_hz = 1000000000;
static struct vm vms[2];
static struct vcpu vcpus[2][2];
static struct nested nested[2];
static struct config_vm configs[2];
static u8 memory[2][0x2000]; /* by level */
static u64 field[0x7000];
static struct inspect_regs machine_regs; /* of whatever level runs */
static struct fxsave fpu;
static bool ended[2];

static char sent[1 << 16];
static u32 nr_sent, line_room;
static bool line_stuck;
static u64 now;  /* host TSC */
static u32 left; /* how often the line was given back */

static struct debug_point point; /* the newest */
static u32 points, all_removed, killed;
static int point_result;
static struct debug_step step_of[2];
static u32 steps, cancelled;

static jmp_buf waits;

static void must(bool condition)
{
    if (!condition)
        abort();
}

static u32 fake_in(u16 port, u32 size)
{
    (void)port, (void)size;
    abort();
}

static void fake_out(u16 port, u32 size, u32 value)
{
    (void)port, (void)size, (void)value;
    abort();
}

static u64 fake_tsc(void)
{
    return now;
}

static u64 vmread(u32 encoding)
{
    must(encoding < ARRAY_SIZE(field));
    return field[encoding];
}

static void vmwrite(u32 encoding, u64 value)
{
    must(encoding < ARRAY_SIZE(field));
    field[encoding] = value;
}

void vector_save(void *area)
{
    memcpy(area, &fpu, sizeof(fpu));
}

void vector_load(const void *area)
{
    must(!(((const struct fxsave *)area)->mxcsr & ~0xffbfu));
    memcpy(&fpu, area, sizeof(fpu));
}

/* --- tasks and control --- */

int task_start(struct task *t, const char *name, void (*main)(struct task *t))
{
    (void)name;
    t->main = main;
    return OK;
}

void task_wake(struct task *t)
{
    must(t == &gdb.task);
}

void task_wait(struct task *t)
{
    must(t == &gdb.task);
    longjmp(waits, 1);
}

bool task_wait_until(struct task *t, u64 tsc)
{
    (void)t;
    now = MAX(tsc, now + tsc_hz / 10);
    line_room = 16;
    return false;
}

void control_listen(struct task *t)
{
    (void)t;
}

bool vmm_runs(u32 index)
{
    return index < 2 && !ended[index];
}

int control_vm(struct task *t, u32 index, void (*fn)(struct vm *vm, void *arg), void *arg)
{
    must(t == &gdb.task);
    if (!vmm_runs(index))
        return ERR_NOENT;
    fn(&vms[index], arg);
    return OK;
}

int control_call(struct task *t, u32 index, u32 vcpu, void (*fn)(struct vcpu *v, void *arg), void *arg)
{
    must(t == &gdb.task);
    if (!vmm_runs(index) || vcpu >= vms[index].nr_vcpus)
        return ERR_NOENT;
    fn(vms[index].vcpus[vcpu], arg);
    return OK;
}

void vm_hold_all(struct vm *vm, u64 why)
{
    for (u32 i = 0; i < vm->nr_vcpus; i++)
        vm->vcpus[i]->requests |= why;
}

void vm_release_all(struct vm *vm, u64 why)
{
    for (u32 i = 0; i < vm->nr_vcpus; i++)
        vm->vcpus[i]->requests &= ~why;
}

void vcpu_release(struct vcpu *v, u64 why)
{
    v->requests &= ~why;
}

void vm_stop(struct vm *vm, bool again, const char *why)
{
    (void)again, (void)why;
    killed++;
    ended[vm->index] = true;
}

/* --- what is inspected --- */

static bool runs_l2(const struct vcpu *v)
{
    return v->nested && v->nested->in_l2;
}

int inspect_regs(struct vcpu *v, u32 level, struct inspect_regs *out)
{
    must(level == 1 || level == 2);
    if (level == 2 && !(v->nested && v->nested->vmx_on))
        return ERR_NOENT;
    *out = machine_regs;
    out->level = level;
    out->live = runs_l2(v) == (level == 2);
    return OK;
}

int inspect_set_reg(struct vcpu *v, u32 reg, u64 value)
{
    (void)v;
    must(reg < NR_INSPECT_REGS);
    machine_regs.r[reg] = value;
    return OK;
}

u32 inspect_memory(struct vcpu *v, u32 level, bool physical, u64 address, void *buf, u32 n, bool write,
                   int *why)
{
    u64 at = physical ? address : address - MEMORY_AT;
    u64 room = at < sizeof(memory[0]) ? sizeof(memory[0]) - at : 0;

    (void)v;
    must((level == 1 || level == 2) && n && n <= GDB_PACKET_MAX);
    *why = room < n ? ERR_FAULT : OK;
    n = (u32)MIN(n, room);
    if (n && write)
        memcpy(memory[level - 1] + at, buf, n);
    else if (n)
        memcpy(buf, memory[level - 1] + at, n);
    return n;
}

void debug_hide(struct vcpu *v, u8 level, u64 address, u8 *buf, u32 n, bool write)
{
    (void)v, (void)level, (void)address, (void)buf, (void)n, (void)write;
}

/* --- what is done to guests --- */

int debug_insert(struct task *t, u32 vm, u32 vcpu, enum debug_owner owner, const struct debug_point *p)
{
    must(t == &gdb.task && vm < 2 && vcpu < 2 && owner == DEBUG_BY_GDB && (p->level == 1 || p->level == 2));
    point = *p;
    points++;
    return point_result;
}

int debug_remove(struct task *t, u32 vm, u32 vcpu, enum debug_owner owner, const struct debug_point *p)
{
    must(t == &gdb.task && vm < 2 && vcpu < 2 && owner == DEBUG_BY_GDB);
    point = *p;
    points--;
    return point_result;
}

void debug_remove_all(struct task *t, u32 vm, enum debug_owner owner, u8 level)
{
    must(t == &gdb.task && vm < 2 && owner == DEBUG_BY_GDB && level <= 2);
    all_removed++;
    points = 0;
}

int debug_step(struct task *t, u32 vm, u32 vcpu, const struct debug_step *s)
{
    must(t == &gdb.task && vm < 2 && vcpu < 2);
    step_of[vcpu] = *s;
    steps++;
    return OK;
}

int debug_cancel_step(struct task *t, u32 vm, u32 vcpu)
{
    must(t == &gdb.task && vm < 2 && vcpu < 2);
    cancelled++;
    return OK;
}

/* --- the line --- */

static u32 send_some(const char *data, u32 n)
{
    n = line_stuck ? 0 : MIN(n, line_room);
    line_room -= n;
    if (nr_sent + n < sizeof(sent))
        memcpy(sent + nr_sent, data, n);
    nr_sent += n;
    sent[MIN(nr_sent, sizeof(sent) - 1)] = 0;
    return n;
}

static void take_it(void) {}

static void leave(void)
{
    left++;
}

static void poll_line(void) {}

static const struct gdb_port fake_port = {
    .send = send_some, .poll = poll_line, .interrupts = true, .take = take_it, .leave = leave};

/* The task, until it waits. */
static void let_run(void)
{
    if (!setjmp(waits))
        gdb.task.main(&gdb.task);
}

static void talk(const char *data, size_t n)
{
    nr_sent = 0;
    sent[0] = 0;
    for (size_t i = 0; i < n; i += INPUT / 2) {
        gdb_input(data + i, MIN(n - i, INPUT / 2));
        let_run();
    }
}

static void start_target(void)
{
    gdb = (struct gdb){0};
    input_head = input_tail = 0;
    memset(vcpus, 0, sizeof(vcpus));
    memset(nested, 0, sizeof(nested));
    memset(&machine_regs, 0, sizeof(machine_regs));
    memset(field, 0, sizeof(field));
    for (u32 i = 0; i < 2; i++) {
        configs[i] = (struct config_vm){.name = {(char)('a' + i)}};
        vms[i] = (struct vm){.index = i, .nr_vcpus = 2, .start_tsc = 100 + i, .config = &configs[i]};
        for (u32 n = 0; n < 2; n++) {
            vcpus[i][n] = (struct vcpu){.vm = &vms[i], .id = n, .cpuid = &vms[i].cpuid};
            vms[i].vcpus[n] = &vcpus[i][n];
        }
        vms[i].cpuid.linear_bits = 48;
        ended[i] = false;
    }
    for (u32 n = 0; n < 2; n++) {
        vcpus[1][n].nested = &nested[n];
        nested[n].current = NO_VMCS;
    }
    nested[1] = (struct nested){.vmx_on = true, .in_l2 = true, .current = 0x5000};
    for (u32 i = 0; i < sizeof(memory); i++)
        ((u8 *)memory)[i] = (u8)(i + i / 256);
    points = all_removed = killed = steps = cancelled = left = 0;
    point_result = OK;
    line_room = 16;
    line_stuck = false;
    gdb_start(&fake_port);
}

#endif
