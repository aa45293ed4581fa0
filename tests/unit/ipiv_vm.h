/* SPDX-License-Identifier: MIT */
/*
 * A VM whose APICs, descriptors, VMCSs and PID-pointer table are the real ones, on physical CPUs that only
 * know which vCPU runs. Included first.
 */
#ifndef TESTS_UNIT_IPIV_VM_H
#define TESTS_UNIT_IPIV_VM_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/fake_asm.h"
#include "tests/unit/no_ports.h"
#include "tests/unit/fake_vmx.h"
#include "tests/unit/good_caps.h"

#define ARCH_X86_CPU_H
#define HOST_CPUS 8

struct cpu {
    u32 id, apic_id;
    void *vmm;
    u64 gdt[1];
    int tss;
};

static struct cpu host_cpus[HOST_CPUS], *current_cpu;

static inline struct cpu *this_cpu(void)
{
    return current_cpu;
}

static inline u64 read_cr0(void)
{
    return 0;
}
#define read_cr3   read_cr0
#define read_cr4   read_cr0
#define rdmsr(msr) ((void)(msr), 0ull)

u8 vmx_exit_entry[1];
static struct vmx_caps vmx_caps;
static struct vmx_features vmx_features;

#include "lib/spinlock.h"
#define sched_yield vmm_sched_yield /* the host has one too */
#include "vmm/apicv.c"
#include "vmm/ipiv.c"
#include "vmm/posted.c"
#include "vmm/vmcs_setup.c"

/* The part of a vCPU that is the test's. */
struct other {
    u64 vmcs[0x7000]; /* by encoding */
    u64 expected[PIR_WORDS];
    u32 cpu; /* where it ran last */
    bool told;
};

static struct config_vm config;
static struct vm vm;
static struct vcpu vcpus[CONFIG_MAX_VCPUS];
static struct other others[CONFIG_MAX_VCPUS];
static struct vcpu *on[HOST_CPUS];
static u8 pages[3 * CONFIG_MAX_VCPUS + 16][PAGE_SIZE] __attribute__((aligned(4096)));
static u8 arena[1 << 20] __attribute__((aligned(64)));
static u32 nr_pages, pages_left, arena_used;
static u64 *vmcs;
static bool host_is_x2, ids_forgotten;
static u32 exits, faults, posted_by_cpu;

static inline struct other *other_of(const struct vcpu *v)
{
    return &others[v->id];
}

static inline u64 vmread(u32 field)
{
    return vmcs[field];
}

static inline void vmwrite(u32 field, u64 value)
{
    vmcs[field] = value;
}

static inline u64 fake_tsc(void)
{
    return 0;
}

/* --- physical interrupts --- */

bool apic_is_x2apic(void)
{
    return host_is_x2;
}

/* Who sends one finds there the vCPU that it is for. */
void apic_send_ipi(u32 apic_id, u8 vector)
{
    u32 nr = 0;

    for (u32 c = 0; c < HOST_CPUS; c++) {
        if (host_cpus[c].apic_id != apic_id)
            continue;
        nr++;
        if (vector == VECTOR_POSTED) {
            assert_non_null(on[c]);
            other_of(on[c])->told = true;
            continue;
        }
        assert_int_equal(vector, VECTOR_WAKE);
        for (u32 i = 0; i < vm.nr_vcpus; i++)
            if (vcpus[i].sched == SCHED_BLOCKED && others[i].cpu == c && pi_is_on(vcpus[i].pid))
                others[i].told = true;
    }
    assert_int_equal(nr, 1);
}

/* --- what the sources ask of the VMM --- */

u64 vmm_flush_wanted;
struct frame_owner pool_owner;

void vmm_flush_if_wanted(void) {}

void *pool_alloc(struct frame_owner *owner, u32 n)
{
    (void)owner;
    if (pages_left < n)
        return NULL;
    pages_left -= n;
    nr_pages += n;
    assert_true(nr_pages <= ARRAY_SIZE(pages));
    return pages[nr_pages - n];
}

void *vm_alloc(struct vm *of, size_t size)
{
    (void)of;
    size = ALIGN_UP(size, 64);
    arena_used += size;
    assert_true(arena_used <= sizeof(arena));
    return arena + arena_used - size;
}

void msr_bitmap_let_through(u8 *bitmap, u32 msr, bool write)
{
    assert_true(msr < 0x2000);
    bitmap[2048 * write + msr / 8] &= ~(1u << msr % 8);
}

int ept_map(struct ept *e, gpa_t gpa, paddr_t pa, u64 size, u64 rights, u32 type)
{
    (void)e, (void)pa, (void)size, (void)rights, (void)type;
    assert_int_equal(gpa, LAPIC_BASE);
    return OK;
}

int ept_unmap(struct ept *e, gpa_t gpa, u64 size)
{
    (void)e, (void)gpa, (void)size;
    return OK;
}

void(log_msg)(enum log_level level, const char *fmt, ...)
{
    (void)level, (void)fmt;
}

void(fail_guest)(struct vcpu *v, const char *fmt, ...)
{
    (void)v;
    fail_msg("%s", fmt);
}

void vcpu_requeue_event(struct vcpu *v, bool nmi)
{
    (void)v, (void)nmi;
}

int mmio_emulate(struct vcpu *v, gpa_t gpa)
{
    (void)v, (void)gpa;
    return OK;
}

void vcpu_inject_exception(struct vcpu *v, u8 vector)
{
    (void)v, (void)vector;
    fail();
}

u64 vcpu_cr0_mask(const struct vcpu *v)
{
    (void)v;
    return 0;
}

struct vcpu *vm_vcpu(struct vm *of, u32 id)
{
    return id < of->nr_vcpus ? of->vcpus[id] : NULL;
}

u32 vm_nr_vcpus(struct vm *of)
{
    return of->nr_vcpus;
}

u32 vcpu_id(struct vcpu *v)
{
    return v->id;
}

struct vm *vcpu_vm(struct vcpu *v)
{
    return v->vm;
}

struct lapic *vcpu_lapic(struct vcpu *v)
{
    return v->lapic;
}

void *vcpu_apic_pages(struct vcpu *v)
{
    return v->apic_pages;
}

struct bus *vcpu_mmio_bus(struct vcpu *v)
{
    return &v->own_mmio;
}

void vcpu_kick(struct vcpu *v)
{
    if (v->sched != SCHED_QUEUED)
        other_of(v)->told = true;
}

void vcpu_notify(struct vcpu *v)
{
    vcpu_notify_quickly(v);
}

void sched_tell(struct vcpu *v)
{
    vcpu_kick(v);
}

void vcpu_init_signal(struct vcpu *v)
{
    (void)v;
}

void vcpu_sipi(struct vcpu *v, u8 vector)
{
    (void)v, (void)vector;
}

void vcpu_nmi(struct vcpu *v)
{
    (void)v;
}

void vm_lock(struct vm *of)
{
    spin_lock(&of->dev_lock);
}

void vm_unlock(struct vm *of)
{
    spin_unlock(&of->dev_lock);
}

u64 vm_now(struct vm *of)
{
    (void)of;
    return 0;
}

u64 vm_hz(struct vm *of)
{
    (void)of;
    return 1000;
}

void vtimer_init(struct vtimer *t, struct vcpu *v, void (*fire)(struct vtimer *))
{
    (void)t, (void)v, (void)fire;
}

void vtimer_set(struct vtimer *t, u64 when)
{
    (void)t, (void)when;
}

void vtimer_cancel(struct vtimer *t)
{
    (void)t;
}

int guest_read(struct vm *of, gpa_t gpa, void *to, u64 n)
{
    (void)of, (void)gpa, (void)to, (void)n;
    return ERR_RANGE;
}

int guest_write(struct vm *of, gpa_t gpa, const void *from, u64 n)
{
    (void)of, (void)gpa, (void)from, (void)n;
    return ERR_RANGE;
}

void irq_eoi(struct vm *of, u8 vector)
{
    (void)of, (void)vector;
}

static inline void report(void *ctx, const char *line)
{
    (void)ctx;
    fail_msg("%s", line);
}

/* --- the scheduler --- */

/* v's CPU does something for it. */
static inline void use(struct vcpu *v)
{
    current_cpu = &host_cpus[other_of(v)->cpu];
    vmcs = other_of(v)->vmcs;
}

static inline bool has_posted(const struct vcpu *v)
{
    return v->pid->pir[0] | v->pid->pir[1] | v->pid->pir[2] | v->pid->pir[3];
}

static inline void set_state(struct vcpu *v, enum vcpu_sched state)
{
    v->sched = state;
    posted_follow(v, state);
}

/* It leaves its CPU. Who blocks looks at ON once more: false, it goes on. */
static inline bool leave(struct vcpu *v, enum vcpu_sched state)
{
    use(v);
    set_state(v, state);
    if (state == SCHED_BLOCKED && pi_is_on(v->pid)) {
        set_state(v, SCHED_RUNNING);
        return false;
    }
    on[other_of(v)->cpu] = NULL;
    return true;
}

/* Before a VM entry. */
static inline void enter(struct vcpu *v)
{
    use(v);
    assert_int_equal(v->sched, SCHED_RUNNING);
    apicv_before_entry(v);
    other_of(v)->told = false;
}

/* It gets this CPU, and what has been posted meanwhile. */
static inline void run(struct vcpu *v, u32 cpu)
{
    if (v->sched == SCHED_RUNNING)
        return;
    if (v->sched != SCHED_QUEUED) { /* by its home */
        use(v);
        set_state(v, SCHED_QUEUED);
    }
    for (u32 i = 0; i < vm.nr_vcpus; i++)
        if (on[cpu] == &vcpus[i])
            leave(&vcpus[i], SCHED_QUEUED);
    on[cpu] = v;
    other_of(v)->cpu = cpu;
    use(v);
    set_state(v, SCHED_RUNNING);
    assert_int_equal(pi_is_on(v->pid), has_posted(v));
    enter(v);
}

/* --- a VM --- */

/* As build() and set_start_states() do it. without: a feature that the CPU lacks. */
static inline void build(const u16 *ids, u32 nr, enum config_apic most, u64 without)
{
    memset(&vm, 0, sizeof(vm));
    memset(vcpus, 0, sizeof(vcpus));
    memset(others, 0, sizeof(others));
    memset(on, 0, sizeof(on));
    memset(pages, 0, sizeof(pages));
    memset(arena, 0, sizeof(arena));
    nr_pages = arena_used = 0;
    pages_left = ARRAY_SIZE(pages);
    ids_forgotten = false;
    exits = faults = posted_by_cpu = 0;
    for (u32 c = 0; c < HOST_CPUS; c++)
        host_cpus[c] = (struct cpu){.id = c, .apic_id = host_is_x2 ? 0x1001 * c : 3 * c + 1};
    current_cpu = &host_cpus[0];
    good_caps(&vmx_caps);
    assert_true(vmx_negotiate(&vmx_caps, &vmx_features, report, NULL));
    vmx_features.granted &= ~without;
    io_bitmaps = pages[0];
    nr_pages = 1;

    strcpy(config.name, "test");
    config.apic = most;
    vm.config = &config;
    vm.nr_vcpus = nr;
    bus_domain_init(&vm.buses, &vm, &vm.dev_lock);
    vm.mmio.domain = vm.pio.domain = &vm.buses;
    vm.apic = apicv_level(&config);
    vm.msr_bitmap = pool_alloc(&vm.owner, 1);
    memset(vm.msr_bitmap, 0xff, PAGE_SIZE);
    vm.msr_bitmap_x2 = pool_alloc(&vm.owner, 1);
    apicv_fill_msr_bitmap(vm.msr_bitmap_x2, vm.msr_bitmap);
    assert_int_equal(apicv_start_access_page(&vm), OK);
    assert_int_equal(ipiv_start(&vm), OK);
    for (u32 i = 0; i < nr; i++) {
        struct vcpu *v = vm.vcpus[i] = &vcpus[i];

        *v = (struct vcpu){.vm = &vm, .id = i, .cpuid = &vm.cpuid, .posted = vm.apic == APIC_POSTED};
        v->own_mmio.domain = &vm.buses;
        bus_view_init(&v->mmio, &v->own_mmio, &vm.mmio, v, BUS_MMIO_SHIFT);
        v->apic_pages = pool_alloc(&vm.owner, 2);
        v->lapic = lapic_create(v, ids[i]);
        assert_non_null(v->lapic);
        vmcs = others[i].vmcs;
        vmcs_setup(v);
    }
    for (u32 i = 0; i < nr; i++)
        set_state(&vcpus[i], SCHED_QUEUED);
}

#endif
