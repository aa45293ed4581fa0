/* SPDX-License-Identifier: MIT */
/* The life of a VM: built from its configuration, run, ended, and perhaps started again. */
#include "arch/x86/asm.h"
#include "arch/x86/cpu.h"
#include "arch/x86/random.h"
#include "arch/x86/time.h"
#include "arch/x86/vmx.h"
#include "arch/x86/vmx_names.h"
#include "lib/format.h"
#include "lib/log.h"
#include "lib/string.h"
#include "vmm/apicv.h"
#include "vmm/dev/lapic.h"
#include "vmm/dev/platform.h"
#include "vmm/audit.h"
#include "vmm/given.h"
#include "vmm/guest_acpi.h"
#include "vmm/observe.h"
#include "vmm/vmcs_setup.h"
#include "vmm/vmm.h"

#define VM_PAGES    ((sizeof(struct vm) + PAGE_SIZE - 1) / PAGE_SIZE)
#define ARENA_PAGES 4

/* Pages that vm_alloc() gives pieces of. */
struct arena_run {
    struct arena_run *next;
    u32 pages;
};

void *vm_alloc(struct vm *vm, size_t size)
{
    void *p;

    size = ALIGN_UP(size, 64);
    if (size > vm->arena_left) {
        u32 pages = MAX((u32)((size + 64 + PAGE_SIZE - 1) / PAGE_SIZE), ARENA_PAGES);
        struct arena_run *run = pool_alloc(&vm->owner, pages);

        if (!run)
            return NULL;
        *run = (struct arena_run){vm->runs, pages};
        vm->runs = run;
        vm->arena = (u8 *)run + 64;
        vm->arena_left = pages * PAGE_SIZE - 64;
    }
    p = vm->arena;
    vm->arena += size;
    vm->arena_left -= size;
    return p;
}

struct vcpu *vm_vcpu(struct vm *vm, u32 id)
{
    return id < vm->nr_vcpus ? vm->vcpus[id] : NULL;
}

u32 vm_nr_vcpus(struct vm *vm)
{
    return vm->nr_vcpus;
}

u32 vcpu_id(struct vcpu *v)
{
    return v->id;
}

struct vm *vcpu_vm(struct vcpu *v)
{
    return v->vm;
}

void *vcpu_apic_pages(struct vcpu *v)
{
    return v->apic_pages;
}

struct lapic *vcpu_lapic(struct vcpu *v)
{
    return v->lapic;
}

struct platform *vm_platform(struct vm *vm)
{
    return vm->platform;
}

struct bus *vm_pio_bus(struct vm *vm)
{
    return &vm->pio;
}

struct bus *vm_mmio_bus(struct vm *vm)
{
    return &vm->mmio;
}

struct bus *vcpu_mmio_bus(struct vcpu *v)
{
    return &v->own_mmio;
}

void vm_lock(struct vm *vm)
{
    spin_lock(&vm->dev_lock);
}

void vm_unlock(struct vm *vm)
{
    spin_unlock(&vm->dev_lock);
}

const char *vm_name(struct vm *vm)
{
    return vm->config->name;
}

void vm_random(void *to, size_t n)
{
    random_bytes(to, n);
}

static void destroy(struct vm *vm)
{
    struct frame_owner *owner = &vm->owner;
    u64 held = owner->pages;

    given_leave(vm);
    if (vm->platform)
        platform_leave(vm->platform);
    /* Before the frames of its tables can be another's. */
    __atomic_add_fetch(&vmm_flush_wanted, 1, __ATOMIC_ACQ_REL);
    pv_channels_leave(vm);
    for (u32 i = 0; i < vm->nr_vcpus; i++) {
        if (vm->vcpus[i])
            vcpu_destroy(vm->vcpus[i]);
    }
    for (struct arena_run *run = vm->runs, *next; run; run = next) {
        next = run->next;
        pool_free(owner, run, run->pages);
    }
    vm_memory_free(vm);
    pool_free(owner, vm->msr_bitmap, 1);
    pool_free(owner, vm->msr_bitmap_x2, 1);
    pool_free(owner, vm->access_page, 1);
    pool_free(owner, vm->pid_pointers, 1);
    pool_free(owner, vm->io_bitmaps, IO_BITMAP_PAGES);
    /* What is left of its account is the object itself, which takes the account with it. */
    if (owner->pages != VM_PAGES)
        log_error("%s: %lu pages were not returned", owner->name, owner->pages - (u64)VM_PAGES);
    log_debug("%s: its %lu KiB are returned; %lu KiB are free", owner->name, held * PAGE_SIZE >> 10,
              frames_available() >> 10);
    frames_transfer(owner, &pool_owner, owner->pages);
    frames_forget_owner(owner);
    pool_free(&pool_owner, vm, VM_PAGES);
}

/* One line with the exits of all vCPUs by reason, most frequent reasons by their order in the SDM. */
static void log_exits(const struct vm *vm)
{
    char line[400];
    size_t n = 0;
    u64 total = 0;

    for (u32 r = 0; r < VMX_NR_EXIT_REASONS; r++) {
        u64 count = 0;

        for (u32 i = 0; i < vm->nr_vcpus; i++)
            count += vm->vcpus[i]->exits[r];
        total += count;
        if (count && n < sizeof(line))
            n +=
                format(line + n, sizeof(line) - n, "%s%s %lu", n ? ", " : "", vmx_exit_reason_name(r), count);
    }
    log_debug("%s: %lu exits: %s", vm->config->name, total, n ? line : "none");
}

static void log_sums(const struct vm *vm)
{
    u64 polled = 0, ipis = 0;

    for (u32 i = 0; i < vm->nr_vcpus; i++) {
        polled += vm->vcpus[i]->polled;
        ipis += lapic_ipis(vm->vcpus[i]->lapic);
    }
    if (polled)
        log_debug("%s: %lu halts ended while their CPU looked", vm->config->name, polled);
    if (ipis)
        log_debug("%s: %lu IPIs by APICs", vm->config->name, ipis);
}

static void log_end(const struct vm *vm)
{
    static const char *const text[] = {"powered off", "reset", "crashed"};

    log_msg(vm->how == VM_END_CRASH ? LOG_ERROR : LOG_INFO, "%s: %s: %s", vm->config->name, text[vm->how],
            vm->why);
    log_exits(vm);
    log_sums(vm);
    pv_kvm_log(vm);
}

static bool wants_restart(const struct vm *vm)
{
    if (vm->again || vm->crashed)
        return vm->again;
    if (vm->how == VM_END_RESET)
        return vm->config->restart != RESTART_NEVER;
    return vm->how == VM_END_CRASH && vm->config->restart == RESTART_ON_CRASH;
}

void vm_vcpu_left(struct vm *vm)
{
    const struct config_vm *config = vm->config;
    u32 index = vm->index, restarts = vm->restarts + 1;
    enum vm_end how = vm->how;
    bool restart = wants_restart(vm);

    if (__atomic_sub_fetch(&vm->live_vcpus, 1, __ATOMIC_ACQ_REL))
        return;
    vmm_set_running(index, NULL);
    spin_lock(&vm->held);
    debug_vm_ends(vm);
    if (log_get_level() >= LOG_DEBUG)
        audit_vm(vm);
    vm_console_idle(vm, NULL);
    log_end(vm);
    destroy(vm);
    if (restart && vm_start(config, index, restarts))
        return;
    vmm_vm_ended(index, restart ? VM_END_CRASH : how);
}

static bool load_file(const char *vm, const char *name, u32 line, struct load_file *out)
{
    const struct vmm_file *f = vmm_find_file(name);

    if (!f) {
        log_error("nidus.conf:%u: %s: the boot loader did not bring the file '%s'; name it as a module", line,
                  vm, name);
        return false;
    }
    out->name = f->name;
    out->data = f->data;
    out->size = f->size;
    return true;
}

/* The devices beside those that each VM has. */
static bool add_devices(struct vm *vm)
{
    const struct config_vm *c = vm->config;
    struct platform_disk disks[CONFIG_MAX_DISKS];
    const char *nets[CONFIG_MAX_NETS];
    const struct platform_options options = {.index = vm->index,
                                             .disks = disks,
                                             .nr_disks = c->nr_disks,
                                             .nets = nets,
                                             .nr_nets = c->nr_nets,
                                             .rng = c->rng,
                                             .vconsole = c->vconsole};

    for (u32 i = 0; i < c->nr_disks; i++) {
        struct load_file f;

        if (!load_file(c->name, c->disks[i].file, c->disks[i].line, &f))
            return false;
        disks[i] = (struct platform_disk){f.name, f.data, f.size};
    }
    for (u32 i = 0; i < c->nr_nets; i++)
        nets[i] = c->nets[i];
    if (platform_add(vm, &options)) {
        log_error("nidus.conf:%u: %s: no memory for its virtio devices", c->line, c->name);
        return false;
    }
    return true;
}

static bool load(struct vm *vm, struct start_state *start)
{
    const struct config_vm *c = vm->config;
    struct load_file modules[CONFIG_MAX_MODULES] = {{0}}, initrd = {0};
    struct load_request rq = {
        .cmdline = c->cmdline, .modules = modules, .nr_modules = c->nr_modules, .memory = vm->memory};
    char err[200];

    if (!load_file(c->name, c->kernel, c->kernel_line, &rq.kernel))
        return false;
    for (u32 i = 0; i < c->nr_modules; i++) {
        if (!load_file(c->name, c->modules[i].file, c->modules[i].line, &modules[i]))
            return false;
        modules[i].args = c->modules[i].args;
    }
    if (c->initrd[0]) {
        if (!load_file(c->name, c->initrd, c->initrd_line, &initrd))
            return false;
        rq.initrd = &initrd;
    }
    if (guest_acpi_build(vm, c->apic_id, vm->nr_vcpus, &rq.rsdp)) {
        log_error("nidus.conf:%u: %s: no room for ACPI tables; give it more memory", c->line, c->name);
        return false;
    }
    if (load_guest(vm, &rq, start, err, sizeof(err))) {
        log_error("nidus.conf:%u: %s: %s", c->kernel_line, c->name, err);
        return false;
    }
    return true;
}

static bool check_pins(const struct config_vm *c)
{
    for (u32 i = 0; i < c->nr_pins; i++) {
        if ((u32)c->pin[i] >= nr_cpus) {
            log_error("nidus.conf:%u: %s: pin: there is no CPU %d; this machine runs CPUs 0 to %u", c->line,
                      c->name, c->pin[i], nr_cpus - 1);
            return false;
        }
        if ((u32)c->pin[i] == pv_poll_cpu) {
            log_error("nidus.conf:%u: %s: pin: CPU %d only polls, by 'poll'; take another", c->line, c->name,
                      c->pin[i]);
            return false;
        }
    }
    return true;
}

static u32 max_apic_id(const struct config_vm *c)
{
    u32 max = 0;

    for (u32 i = 0; i < c->vcpus; i++)
        max = MAX(max, (u32)c->apic_id[i]);
    return max;
}

static bool check_apic_ids(const struct vm *vm, u32 max)
{
    if (max <= LAPIC_XAPIC_ID_MAX || vm->cpuid.has_x2apic)
        return true;
    log_error("nidus.conf:%u: %s: apicid %u exists with x2APIC only, which is hidden; use ids up to %u",
              vm->config->apicid_line, vm->config->name, max, LAPIC_XAPIC_ID_MAX);
    return false;
}

static bool create_vcpus(struct vm *vm)
{
    for (u32 i = 0; i < vm->config->vcpus; i++) {
        struct vcpu *v = vcpu_create(vm, i);

        if (!v)
            return false;
        vm->vcpus[i] = v;
        vm->nr_vcpus = i + 1;
        v->tsc_offset = -vm->start_tsc;
    }
    vm->platform = platform_create(vm, vmm_utc_now(), vm->memory);
    if (!vm->platform)
        return false;
    for (u32 i = 0; i < vm->nr_vcpus; i++) {
        vm->vcpus[i]->lapic = lapic_create(vm->vcpus[i], vm->config->apic_id[i]);
        if (!vm->vcpus[i]->lapic)
            return false;
    }
    return true;
}

/* What the CPU needs to do its part of the local APICs. */
static bool start_apics(struct vm *vm)
{
    vm->apic = apicv_level(vm->config);
    if (vm->apic == APIC_EMULATED)
        return true;
    vm->msr_bitmap_x2 = pool_alloc(&vm->owner, 1);
    if (!vm->msr_bitmap_x2)
        return false;
    apicv_fill_msr_bitmap(vm->msr_bitmap_x2, vm->msr_bitmap);
    return apicv_start_access_page(vm) == OK && ipiv_start(vm) == OK;
}

static bool build(struct vm *vm)
{
    struct cpuid_env env = {.host = cpuid,
                            .tsc_hz = tsc_hz,
                            .vmx_granted = vmx_features.granted,
                            .nr_vcpus = vm->config->vcpus,
                            .polled = pv_poll_cpu != CPU_NONE,
                            .max_apic_id = max_apic_id(vm->config)};
    u64 free = frames_available();

    guest_cpuid_build(&vm->cpuid, &env, vm->config);
    if (!check_apic_ids(vm, env.max_apic_id))
        return false;
    if (vm->cpuid.has_vmx)
        nested_caps_build(&vm->nested_caps, &vmx_caps, &vm->cpuid);
    vm->msr_bitmap = pool_alloc(&vm->owner, 1);
    if (vm->msr_bitmap) {
        msr_bitmap_fill(vm->msr_bitmap, &vm->cpuid);
        nested_bitmaps_init(vm);
    }
    if (vm_memory_init(vm)) {
        log_error("nidus.conf:%u: %s: %lu MiB of memory are not free; %lu MiB are", vm->config->line,
                  vm->config->name, vm->memory >> 20, free >> 20);
        return false;
    }
    if (!vm->msr_bitmap || !start_apics(vm) || !create_vcpus(vm)) {
        log_error("%s: no memory for its vCPUs and devices", vm->config->name);
        return false;
    }
    return true;
}

static void set_start_states(struct vm *vm, const struct start_state *start)
{
    for (u32 i = 0; i < vm->nr_vcpus; i++) {
        struct vcpu *v = vm->vcpus[i];

        vcpu_load(v);
        vmcs_setup(v);
        vmcs_set_cpu();
        if (i == 0) {
            vcpu_set_start(v, start);
            if (vmm_refuse_entry)
                vmwrite(GUEST_RFLAGS, 0); /* bit 1 must be 1 */
        } else {
            vcpu_reset(v);
            v->activity = VCPU_WAIT_SIPI;
        }
        vcpu_unload(v);
    }
    /* From here on the VM may end on any CPU: its tables must not stay in use on this one. */
    vm_use_space(NULL);
}

bool vm_start(const struct config_vm *config, u32 index, u32 restarts)
{
    struct vm *vm;
    struct start_state start = {0};

    if (!check_pins(config))
        return false;
    vm = pool_alloc(&pool_owner, VM_PAGES);
    if (!vm) {
        log_error("%s: no memory", config->name);
        return false;
    }
    vm->config = config;
    vm->owner.name = config->name;
    frames_transfer(&pool_owner, &vm->owner, VM_PAGES);
    vm->index = index;
    vm->restarts = restarts;
    vm->memory = config->memory;
    vm->vpid_base = (u16)(index * VCPU_VPIDS * CONFIG_MAX_VCPUS + 1);
    vm->start_tsc = rdtsc();
    bus_domain_init(&vm->buses, vm, &vm->dev_lock);
    vm->pio.domain = vm->mmio.domain = &vm->buses;
    if (!build(vm) || !add_devices(vm) || !given_start(vm) || !load(vm, &start)) {
        destroy(vm);
        return false;
    }
    set_start_states(vm, &start);
    vm->live_vcpus = vm->nr_vcpus;
    vmm_set_running(index, vm);
    log_info("%s: %s, %u vCPU%s, %lu MiB, APIC: %s%s", config->name, config->kernel, vm->nr_vcpus,
             vm->nr_vcpus > 1 ? "s" : "", vm->memory >> 20, config_apic_names[vm->apic],
             vm->pid_pointers ? ", IPI virtualization" : "");
    observe_vm(vm);
    for (u32 i = 0; i < vm->nr_vcpus; i++)
        sched_add(vm->vcpus[i]);
    return true;
}
