/* SPDX-License-Identifier: MIT */
/* The hypercall page and the vCPUs' areas: what the guest registers by MSRs, and gives up. */
#include "arch/x86/asm.h"
#include "arch/x86/layout.h"
#include "arch/x86/user.h"
#include "arch/x86/vmx.h"
#include "lib/string.h"
#include "vmm/msr_table.h"

#define UNUSED(x) ((void)(x))

static const u8 call_code[] = {0x0f, 0x01, 0xc1, 0xc3}; /* vmcall; ret */
#define TRAP_CODE 0xcc

void pv_vcpu_init(struct vcpu *v)
{
    for (u32 i = 0; i < PV_NR_CLOCKS; i++)
        v->pv.clock[i] = GPA_NONE;
    pv_timer_init(v);
}

/*
 * The queue's lock, for v itself: the CPU that polls may hold it while it waits until v has left its guest,
 * which is so now. What others have asked of v meanwhile is looked at before it goes on. vm->pv.lock must
 * not be held: other vCPUs may want it before they leave their guests.
 */
static void lock_queue(struct vcpu *v)
{
    vcpu_step_out(v);
    spin_lock(&v->pv.queue.lock);
    vcpu_step_back_in(v);
}

/* With the queue's lock held. */
static void set_area(struct vcpu *v, struct nidus_area *area)
{
    struct pv_queue *q = &v->pv.queue;

    __atomic_store_n(&q->area, area, __ATOMIC_RELAXED);
    q->head = 0;
    q->begun = q->stopped = q->asked = false;
}

static bool overlaps(u64 registered, gpa_t gpa, u64 size)
{
    return registered &&
           (registered & ~(u64)NIDUS_MSR_ENABLE) - ALIGN_DOWN(gpa, PAGE_SIZE) < ALIGN_UP(size, PAGE_SIZE);
}

bool pv_pins(struct vm *vm, gpa_t gpa, u64 size)
{
    if (overlaps(vm->pv.hypercall_page, gpa, size))
        return true;
    for (u32 i = 0; i < vm->nr_vcpus; i++) {
        if (overlaps(vm->vcpus[i]->pv.area, gpa, size))
            return true;
    }
    return false;
}

/* Bits that are defined, and a page of RAM unless it is 0. With vm->pv.lock held, so that it stays RAM. */
static bool is_page(struct vm *vm, u64 value)
{
    if (!value)
        return true;
    return (value & (PAGE_SIZE - 1)) == NIDUS_MSR_ENABLE &&
           vm_populate(vm, value & ~(u64)NIDUS_MSR_ENABLE) == OK;
}

/* --- the hypercall page --- */

int msr_pv_page_read(struct vcpu *v, const struct msr_row *row, u32 msr, u64 *value)
{
    UNUSED(row), UNUSED(msr);
    *value = v->vm->pv.hypercall_page;
    return OK;
}

static void fill_page(gpa_t gpa)
{
    u8 *page = (u8 *)(VM_BASE + gpa);

    user_begin();
    memset(page, TRAP_CODE, PAGE_SIZE);
    memcpy(page, call_code, sizeof(call_code));
    user_end();
}

int msr_pv_page_write(struct vcpu *v, const struct msr_row *row, u32 msr, u64 value)
{
    struct pv_vm *pv = &v->vm->pv;
    int r = OK;

    UNUSED(row), UNUSED(msr);
    spin_lock(&pv->lock);
    if (!is_page(v->vm, value)) {
        r = ERR_INVAL;
    } else if (value && value != pv->hypercall_page) {
        if (pv->hypercall_page || pv_pins(v->vm, value & ~(u64)NIDUS_MSR_ENABLE, PAGE_SIZE))
            r = ERR_INVAL;
        else
            fill_page(value & ~(u64)NIDUS_MSR_ENABLE);
    }
    if (r == OK)
        pv->hypercall_page = value;
    spin_unlock(&pv->lock);
    return r;
}

/* --- the area --- */

/* Not those of L2. */
void pv_area_store_crs(struct vcpu *v)
{
    struct nidus_area *a = v->pv.queue.area;
    u64 cr0_own = vmread(CR0_GUEST_HOST_MASK), cr4_own = vmread(CR4_GUEST_HOST_MASK);
    u64 cr0 = (vmread(CR0_READ_SHADOW) & cr0_own) | (vmread(GUEST_CR0) & ~cr0_own);
    u64 cr4 = (vmread(CR4_READ_SHADOW) & cr4_own) | (vmread(GUEST_CR4) & ~cr4_own);
    u64 cr3 = vmread(GUEST_CR3);

    user_begin();
    a->cr0 = cr0;
    a->cr3 = cr3;
    a->cr4 = cr4;
    user_end();
}

struct nidus_area *pv_area_at(struct vm *vm, gpa_t gpa, u32 id)
{
    struct nidus_area *a = (struct nidus_area *)(VM_BASE + gpa);

    if (vm_populate(vm, gpa))
        return NULL;
    user_begin();
    memset(a, 0, sizeof(*a));
    a->vcpu = id;
    user_end();
    return a;
}

/* With both locks held. */
static void add_area(struct vcpu *v, u64 value)
{
    gpa_t gpa = value & ~(u64)NIDUS_MSR_ENABLE;
    struct nidus_area *a = pv_area_at(v->vm, gpa, v->id);

    v->pv.area = value;
    if (v->vm->cpuid.nidus[1].eax & NIDUS_HAS_CLOCK)
        v->pv.clock[PV_CLOCK_AREA] = gpa + offsetof(struct nidus_area, clock);
    set_area(v, a);
    pv_area_store_crs(v);
    if (v->vm->cpuid.nidus[1].eax & NIDUS_HAS_POLL) {
        user_begin();
        a->polled = NIDUS_POLLED;
        user_end();
    }
    pv_clocks_publish(v->vm);
}

/* With both locks held. */
static void remove_area(struct vcpu *v)
{
    set_area(v, NULL);
    v->pv.area = 0;
    v->pv.clock[PV_CLOCK_AREA] = GPA_NONE;
}

void pv_vcpu_reset(struct vcpu *v)
{
    pv_kvm_reset(v);
    spin_lock(&v->vm->dev_lock);
    vtimer_cancel(&v->pv.timer);
    spin_unlock(&v->vm->dev_lock);
    lock_queue(v);
    spin_lock(&v->vm->pv.lock);
    remove_area(v);
    spin_unlock(&v->vm->pv.lock);
    spin_unlock(&v->pv.queue.lock);
}

int msr_pv_area_read(struct vcpu *v, const struct msr_row *row, u32 msr, u64 *value)
{
    UNUSED(row), UNUSED(msr);
    *value = v->pv.area;
    return OK;
}

int msr_pv_area_write(struct vcpu *v, const struct msr_row *row, u32 msr, u64 value)
{
    struct vm *vm = v->vm;
    int r = OK;

    UNUSED(row), UNUSED(msr);
    lock_queue(v);
    spin_lock(&vm->pv.lock);
    if (!is_page(vm, value))
        r = ERR_INVAL;
    else if (!value)
        remove_area(v);
    else if (value == v->pv.area)
        r = OK;
    else if (v->pv.area || pv_pins(vm, value & ~(u64)NIDUS_MSR_ENABLE, PAGE_SIZE))
        r = ERR_INVAL;
    else
        add_area(v, value);
    spin_unlock(&vm->pv.lock);
    spin_unlock(&v->pv.queue.lock);
    return r;
}
