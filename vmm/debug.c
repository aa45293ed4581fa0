/* SPDX-License-Identifier: MIT */
#include "vmm/debug.h"
#include "arch/x86/asm.h"
#include "arch/x86/vmx.h"
#include "lib/string.h"
#include "vmm/debug_points.h"
#include "vmm/inspect.h"

struct spinlock debug_lock;
struct point debug_points[DEBUG_MAX_POINTS];

#define for_each_point(p) for (struct point *p = debug_points; p < debug_points + DEBUG_MAX_POINTS; p++)

/* --- the vCPUs of a VM look at breakpoints --- */

static void arm(struct vcpu *v, void *arg)
{
    (void)arg;
    __atomic_or_fetch(&v->requests, REQ_DEBUG, __ATOMIC_SEQ_CST);
}

/* *arg: the first from here on that does not look; ~0: there is none. */
static void find_unarmed(struct vm *vm, void *arg)
{
    u32 *vcpu = arg;

    while (*vcpu < vm->nr_vcpus && __atomic_load_n(&vm->vcpus[*vcpu]->requests, __ATOMIC_SEQ_CST) & REQ_DEBUG)
        ++*vcpu;
    if (*vcpu == vm->nr_vcpus)
        *vcpu = ~0u;
}

/* Once a point of that VM is there: no guest of it runs then that does not look. */
static int arm_all(struct task *t, u32 vm)
{
    u32 vcpu = 0;
    int r;

    while (!(r = control_vm(t, vm, find_unarmed, &vcpu)) && vcpu != ~0u) {
        r = control_call(t, vm, vcpu, arm, NULL);
        if (r)
            return r;
    }
    return r;
}

/* --- INT3 in memory --- */

static struct point *other_at(const struct vcpu *v, const struct point *p)
{
    for_each_point (o)
        if (o != p && debug_is_of(o, v->vm) && o->written && o->at == p->at)
            return o;
    return NULL;
}

struct change {
    struct point *p;
    int r;
};

static void write_int3(struct vcpu *v, void *arg)
{
    const u8 int3 = INT3;
    struct change *c = arg;
    struct point *p = c->p, *other;
    struct inspect_walk w;

    c->r = inspect_page_walk(v, p->p.level, p->p.address, &w);
    if (!c->r && (w.r || w.r1))
        c->r = ERR_FAULT;
    if (c->r)
        return;
    spin_lock(&debug_lock);
    p->at = w.to1;
    other = other_at(v, p);
    if (!debug_is_of(p, v->vm)) /* the VM is another by now */
        c->r = ERR_NOENT;
    else if (other)
        p->original = other->original;
    else if (guest_read(v->vm, p->at, &p->original, 1) || guest_write(v->vm, p->at, &int3, 1))
        c->r = ERR_RANGE;
    p->written = !c->r;
    spin_unlock(&debug_lock);
}

/* If the guest has other things there by now, they are its own. */
static void take_int3(struct vcpu *v, void *arg)
{
    struct point *p = arg;
    u8 now;

    spin_lock(&debug_lock);
    if (debug_is_of(p, v->vm) && p->written) {
        p->written = false;
        if (!other_at(v, p) && !guest_read(v->vm, p->at, &now, 1) && now == INT3)
            guest_write(v->vm, p->at, &p->original, 1);
    }
    spin_unlock(&debug_lock);
}

/* Another address space has other things at the same address. */
static bool is_there(struct vcpu *v, const struct point *p)
{
    struct inspect_walk w;

    return !inspect_page_walk(v, p->p.level, p->p.address, &w) && !w.r && !w.r1 && w.to1 == p->at;
}

void debug_hide(struct vcpu *v, u8 level, u64 address, u8 *buf, u32 n, bool write)
{
    const u8 int3 = INT3;

    spin_lock(&debug_lock);
    for_each_point (p) {
        u64 i = p->p.address - address;

        if (!debug_is_of(p, v->vm) || !p->written || p->p.level != level || i >= n || !is_there(v, p))
            continue;
        if (write) {
            p->original = buf[i];
            guest_write(v->vm, p->at, &int3, 1);
        } else {
            buf[i] = p->original;
        }
    }
    spin_unlock(&debug_lock);
}

/* --- points --- */

static bool is_same(const struct point *p, const struct debug_point *d)
{
    return p->p.kind == d->kind && p->p.level == d->level && p->p.address == d->address &&
           p->p.size == d->size;
}

/* The largest piece that one debug register can watch at the beginning of what is left. */
static u32 piece(const struct debug_point *left)
{
    u32 size = 8;

    while (size > left->size || left->address & (size - 1))
        size /= 2;
    return size;
}

/* From the last on: guests use the first. */
static int free_slot(const struct point *mine)
{
    u32 taken = 0;

    for_each_point (p)
        if (p->used && p->vm == mine->vm && p->born == mine->born && p->p.level == mine->p.level &&
            p->p.kind != DEBUG_SOFTWARE)
            taken |= 1u << p->slot;
    for (int i = DEBUG_SLOTS - 1; i >= 0; i--)
        if (!(taken >> i & 1))
            return i;
    return ERR_NOMEM;
}

/* One that its VM has left behind is free. */
static struct point *free_point(u32 vm, u64 born)
{
    for_each_point (p)
        if (!p->used || (p->vm == vm && p->born != born))
            return p;
    return NULL;
}

static struct point *find(u32 vm, u64 born, enum debug_owner owner, const struct debug_point *d)
{
    for_each_point (p)
        if (p->used && p->vm == vm && p->born == born && p->owner == owner && is_same(p, d))
            return p;
    return NULL;
}

/* Null: there is no room. */
static struct point *add(u32 vm, u64 born, enum debug_owner owner, const struct debug_point *d)
{
    struct point *p = free_point(vm, born);
    struct point new = {.p = *d, .owner = (u8)owner, .vm = (u8)vm, .born = born};
    int slot;

    if (!p)
        return NULL;
    p->used = false;
    slot = d->kind == DEBUG_SOFTWARE ? 0 : free_slot(&new);
    if (slot < 0)
        return NULL;
    new.slot = (u8)slot;
    new.used = true;
    spin_lock(&debug_lock);
    *p = new;
    spin_unlock(&debug_lock);
    return p;
}

static void drop(struct point *p)
{
    spin_lock(&debug_lock);
    p->used = false;
    spin_unlock(&debug_lock);
}

void debug_vm_ends(const struct vm *vm)
{
    spin_lock(&debug_lock);
    for_each_point (p)
        if (debug_is_of(p, vm))
            p->used = false;
    spin_unlock(&debug_lock);
}

static int insert_piece(struct task *t, u32 vm, u32 vcpu, enum debug_owner owner, const struct debug_point *d)
{
    struct change c = {0};
    u64 born;
    int r = control_vm(t, vm, vm_get_born, &born);

    if (r || find(vm, born, owner, d))
        return r;
    c.p = add(vm, born, owner, d);
    if (!c.p)
        return ERR_NOMEM;
    r = arm_all(t, vm);
    if (!r && d->kind == DEBUG_SOFTWARE)
        r = control_call(t, vm, vcpu, write_int3, &c);
    if (!r)
        r = c.r;
    if (r)
        drop(c.p);
    return r;
}

static int remove_piece(struct task *t, u32 vm, u32 vcpu, enum debug_owner owner, const struct debug_point *d)
{
    struct point *p;
    u64 born;
    int r = control_vm(t, vm, vm_get_born, &born);

    if (r)
        return r;
    p = find(vm, born, owner, d);
    if (!p)
        return ERR_NOENT;
    if (p->written)
        control_call(t, vm, vcpu, take_int3, p);
    drop(p);
    return OK;
}

typedef int change_fn(struct task *t, u32 vm, u32 vcpu, enum debug_owner owner, const struct debug_point *d);

static int each_piece(change_fn *fn, struct task *t, u32 vm, u32 vcpu, enum debug_owner owner,
                      const struct debug_point *p, u64 *done)
{
    struct debug_point d = *p;
    int r = OK;

    if (d.kind < DEBUG_WATCH_WRITE) {
        d.size = 1;
        return fn(t, vm, vcpu, owner, &d);
    }
    for (*done = 0; !r && *done < p->size; *done += d.size) {
        d.address = p->address + *done;
        d.size = p->size - (u32)*done;
        d.size = piece(&d);
        r = fn(t, vm, vcpu, owner, &d);
    }
    return r;
}

int debug_insert(struct task *t, u32 vm, u32 vcpu, enum debug_owner owner, const struct debug_point *p)
{
    u64 done = 0;
    int r;

    if (p->kind >= DEBUG_WATCH_WRITE && (!p->size || p->size > DEBUG_SLOTS * 8))
        return ERR_NOMEM;
    r = each_piece(insert_piece, t, vm, vcpu, owner, p, &done);
    if (r && p->kind >= DEBUG_WATCH_WRITE)
        debug_remove(t, vm, vcpu, owner, p);
    return r;
}

static int remove_any(struct task *t, u32 vm, u32 vcpu, enum debug_owner owner, const struct debug_point *d)
{
    int r = remove_piece(t, vm, vcpu, owner, d);

    return r == ERR_NOENT && d->kind >= DEBUG_WATCH_WRITE ? OK : r;
}

int debug_remove(struct task *t, u32 vm, u32 vcpu, enum debug_owner owner, const struct debug_point *p)
{
    u64 done;

    return p->kind >= DEBUG_WATCH_WRITE && p->size > DEBUG_SLOTS * 8
               ? ERR_NOENT
               : each_piece(remove_any, t, vm, vcpu, owner, p, &done);
}

bool debug_get(u32 vm, enum debug_owner owner, u32 n, struct debug_point *out)
{
    for_each_point (p) {
        if (!p->used || p->vm != vm || p->owner != owner || n--)
            continue;
        *out = p->p;
        return true;
    }
    return false;
}

void debug_remove_all(struct task *t, u32 vm, enum debug_owner owner, u8 level)
{
    for_each_point (p) {
        if (!p->used || p->vm != vm || p->owner != owner || (level && p->p.level != level))
            continue;
        if (p->written)
            control_call(t, vm, 0, take_int3, p);
        drop(p);
    }
}

/* --- single steps --- */

static void begin_step(struct vcpu *v, void *arg)
{
    v->debug.step = *(const struct debug_step *)arg;
    v->debug.stepping = true;
    debug_begin_step(v);
    arm(v, NULL);
}

static void cancel_step(struct vcpu *v, void *arg)
{
    (void)arg;
    debug_end_step(v);
}

int debug_step(struct task *t, u32 vm, u32 vcpu, const struct debug_step *s)
{
    if (!vmx_has(&vmx_features, VF_MONITOR_TRAP_FLAG))
        return ERR_UNSUPP;
    return control_call(t, vm, vcpu, begin_step, (void *)s);
}

int debug_cancel_step(struct task *t, u32 vm, u32 vcpu)
{
    return control_call(t, vm, vcpu, cancel_step, NULL);
}
