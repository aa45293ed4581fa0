/* SPDX-License-Identifier: MIT */
/* A vCPU's two VMCSs, vmcs01 and vmcs02: one of them is loaded (struct vcpu), the other's state is kept here.
 */
#include "vmm/nested/nested.h"
#include "arch/x86/asm.h"
#include "arch/x86/vmx.h"
#include "lib/log.h"
#include "lib/string.h"
#include "vmm/nested/switch.h"
#include "vmm/vmcs_setup.h"
#include "vmm/vmm.h"

#define NESTED_PAGES ((sizeof(struct nested) + PAGE_SIZE - 1) / PAGE_SIZE)

extern u8 nested_exit_entry[];

COLD int nested_init_vmcs02(struct vcpu *v, struct nested *n)
{
    struct frame_owner *owner = &v->vm->owner;

    n->current = NO_VMCS;
    n->synced = true;
    n->region02 = pool_alloc(owner, 1);
    n->msr_bitmap = pool_alloc(owner, 1);
    if (!n->region02 || !n->msr_bitmap)
        return ERR_NOMEM;
    n->pa02 = pool_pa(n->region02);
    n->other = (struct vmcs_ref){.region = n->region02, .cpu = CPU_NONE};
    memset(n->msr_bitmap, 0xff, PAGE_SIZE);
    *n->region02 = VMX_BASIC_REVISION(vmx_caps.basic);
    return OK;
}

void nested_free_vmcs02(struct vcpu *v, struct nested *n)
{
    pool_free(&v->vm->owner, n->region02, 1);
    pool_free(&v->vm->owner, n->msr_bitmap, 1);
}

int nested_create(struct vcpu *v)
{
    struct nested *n = pool_alloc(&v->vm->owner, NESTED_PAGES);

    if (!n)
        return ERR_NOMEM;
    v->nested = n;
    n->vmxon_pointer = NO_VMCS;
    n->timer_end = ~0ull;
    n->region01 = v->vmcs;
    n->pa01 = pool_pa(n->region01);
    return nested_init_vmcs02(v, n) ? ERR_NOMEM : shadow_ept_create(v);
}

COLD void nested_destroy(struct vcpu *v)
{
    struct nested *n = v->nested;

    if (!n)
        return;
    if (n->in_l2)
        v->vmcs = n->region01;
    shadow_ept_destroy(v);
    nested_slots_destroy(v);
    nested_free_vmcs02(v, n);
    pool_free(&v->vm->owner, n->none, 1);
    pool_free(&v->vm->owner, n, NESTED_PAGES);
    v->nested = NULL;
}

#define EXCHANGE(a, b)              \
    do {                            \
        __typeof__(a) before = (a); \
        (a) = (b);                  \
        (b) = before;               \
    } while (0)

static void exchange(struct vcpu *v)
{
    struct vmcs_ref *other = &v->nested->other;

    EXCHANGE(v->vmcs, other->region);
    EXCHANGE(v->launched, other->launched);
    EXCHANGE(v->windows, other->windows);
    other->host_rsp = v->host_rsp;
    other->cpu = v->vmcs_cpu;
}

static void make_vmcs02(struct vcpu *v)
{
    vmcs_setup(v);
    vmcs_all_ports_exit(); /* what is L1's is L2's only if L1 says so: nested_port_exits() */
    vmwrite(HOST_RIP, (u64)nested_exit_entry);
    vmwrite(MSR_BITMAPS, pool_pa(v->nested->msr_bitmap));
    vmwrite(VPID, nested_vpid02(v));
    v->nested->eptp02 = v->vm->eptp;
    v->nested->vmcs02_made = true;
}

static void switch_anew(struct vcpu *v, bool l2)
{
    struct nested *n = v->nested;
    u64 host_rsp = v->host_rsp, seen = n->other.host_rsp;
    u32 cpu = n->other.cpu;

    exchange(v);
    n->in_l2 = l2;
    if (nested_can_shadow()) {
        nested_make_shadow(n, !l2);
        *(l2 ? &v->launched : &n->other.launched) = 0;
    }
    if (cpu == CPU_NONE)
        vmclear(pool_pa(v->vmcs));
    if (!vmptrld(pool_pa(v->vmcs)))
        log_error("VMPTRLD failed");
    if (l2 && !n->vmcs02_made)
        make_vmcs02(v);
    if (cpu != v->vmcs_cpu)
        vmcs_set_cpu();
    /* entry.S may go on with this VMCS without a look at its HOST_RSP. */
    if (seen != host_rsp)
        vmwrite(HOST_RSP, host_rsp);
    if (!l2)
        nested_settle_tsc(v);
}

void nested_switch(struct vcpu *v, bool l2)
{
    if (v->nested->in_l2 == l2)
        return;
    if (!nested_can_shadow() || !nested_both_here(v))
        switch_anew(v, l2);
    else if (l2)
        nested_switch_at_once(v, true);
    else
        nested_switch_at_once(v, false);
}

void nested_unload_vmcs(struct vmcs_ref *ref)
{
    /* Whatever ref->cpu says: sync.c loads it for a moment, and L1's shadow accesses leave it in the CPU. */
    vmclear(pool_pa(ref->region));
    ref->cpu = CPU_NONE;
    ref->launched = 0;
    ref->host_rsp = 0;
}

void nested_unload(struct vcpu *v)
{
    nested_unload_vmcs(&v->nested->other);
    nested_slots_unload(v->nested);
}

bool nested_page(struct vcpu *v, gpa_t gpa1, paddr_t *pa)
{
    struct vm *vm = v->vm;
    struct ept_leaf leaf;
    bool found;

    if (vm_populate(vm, gpa1))
        return false;
    spin_lock(&vm->mem_lock);
    found = ept_lookup(&vm->ept, gpa1, &leaf);
    spin_unlock(&vm->mem_lock);
    *pa = found ? ALIGN_DOWN(leaf.pa, PAGE_SIZE) : 0;
    return found;
}

bool nested_page_or_none(struct vcpu *v, gpa_t gpa1, paddr_t *pa)
{
    struct nested *n = v->nested;

    if (nested_page(v, gpa1, pa))
        return true;
    if (!n->none) {
        n->none = pool_alloc(&v->vm->owner, 1);
        if (!n->none)
            return false;
        memset(n->none, 0xff, PAGE_SIZE);
    }
    *pa = pool_pa(n->none);
    return true;
}
