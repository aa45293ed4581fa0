/* SPDX-License-Identifier: MIT */
#include "vmm/vmm.h"
#include "arch/x86/apic.h"
#include "arch/x86/asm.h"
#include "arch/x86/time.h"
#include "arch/x86/trap.h"
#include "lib/log.h"
#include "lib/string.h"
#include "vmm/apicv.h"
#include "vmm/console_keys.h"
#include "vmm/dev/platform.h"
#include "vmm/gdb/gdb.h"
#include "vmm/monitor/monitor.h"
#include "vmm/vmcs_setup.h"

u64 vmm_flush_wanted = 1;
u32 vmm_halt_poll_us;
bool vmm_refuse_entry;
bool vmm_keep_crashed;
void (*vmm_all_ended)(u32 status);
void (*vmm_look_at_keys)(void);

static const struct vmm_file *files;
static const struct config *config;
static u32 nr_files, live_vms, status;
static u32 ended; /* bit: number of a VM that has, for good */
static u64 utc_at_start, tsc_at_start;
static struct spinlock running_lock;
static struct vm *running[CONFIG_MAX_VMS];

int vmm_prepare_cpu(struct cpu *c)
{
    struct vmm_cpu *state = pool_alloc(&pool_owner, 1);

    if (!state)
        return ERR_NOMEM;
    list_init(&state->queue);
    list_init(&state->sleepers);
    c->vmm = state;
    return OK;
}

const struct vmm_file *vmm_find_file(const char *name)
{
    for (u32 i = 0; i < nr_files; i++) {
        if (!strcmp(files[i].name, name))
            return &files[i];
    }
    return NULL;
}

u32 vmm_nr_vms(void)
{
    return config ? config->nr_vms : 0;
}

u64 vmm_utc_now(void)
{
    return utc_at_start + (rdtsc() - tsc_at_start) / tsc_hz;
}

/* Statuses of a lower order give way: 2 (configuration) before 1 (a crash) before 0. */
static void raise_status(u32 s)
{
    u32 now = __atomic_load_n(&status, __ATOMIC_RELAXED);

    while (s > now &&
           !__atomic_compare_exchange_n(&status, &now, s, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        ;
}

static void log_idle(void)
{
    u64 now = rdtsc(), ran = now - tsc_at_start;

    for (u32 i = 0; i < nr_cpus; i++) {
        const struct vmm_cpu *c = cpus[i]->vmm;
        u64 since = c->idle_since, idle = c->idle_ticks + (since ? now - MAX(since, tsc_at_start) : 0);

        log_debug("cpu %u: idle for %lu %% of the time; %u NMIs, %u spurious interrupts, %u APIC errors", i,
                  MIN(idle, ran) * 100 / (ran + 1), cpus[i]->nmi_count, cpus[i]->nr_spurious,
                  cpus[i]->nr_apic_errors);
    }
}

void vmm_leave(void)
{
    if (__atomic_sub_fetch(&live_vms, 1, __ATOMIC_ACQ_REL))
        return;
    log_idle();
    vmm_all_ended(__atomic_load_n(&status, __ATOMIC_RELAXED));
}

bool vmm_stay(void)
{
    u32 now = __atomic_load_n(&live_vms, __ATOMIC_RELAXED);

    while (now &&
           !__atomic_compare_exchange_n(&live_vms, &now, now + 1, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
        ;
    return now;
}

void vmm_vm_ended(u32 index, enum vm_end how)
{
    if (how == VM_END_CRASH)
        raise_status(1);
    __atomic_or_fetch(&ended, 1u << index, __ATOMIC_RELEASE);
    control_changed();
    vmm_leave();
}

bool vmm_none_left(void)
{
    return __atomic_load_n(&ended, __ATOMIC_ACQUIRE) == (1u << vmm_nr_vms()) - 1;
}

const struct config_vm *vmm_config(u32 index)
{
    return index < vmm_nr_vms() ? &config->vms[index] : NULL;
}

int vmm_start_again(u32 index)
{
    if (index >= vmm_nr_vms() || config->vms[index].bad)
        return ERR_NOENT;
    if (!(__atomic_fetch_and(&ended, ~(1u << index), __ATOMIC_ACQ_REL) >> index & 1))
        return ERR_EXIST;
    __atomic_add_fetch(&live_vms, 1, __ATOMIC_ACQ_REL);
    if (vm_start(&config->vms[index], index, 0))
        return OK;
    vmm_vm_ended(index, VM_END_POWEROFF);
    return ERR_INVAL;
}

/* The one that polls is nobody's else. Before any VM starts: it has no vCPU then and is idle, or will be. */
static void spare_cpu(void)
{
    if (config->poll < 0)
        return;
    if (nr_cpus > 1 && (u32)config->poll < nr_cpus) {
        __atomic_store_n(&pv_poll_cpu, (u32)config->poll, __ATOMIC_SEQ_CST);
        if (pv_poll_cpu != this_cpu()->id) /* it may be idle already */
            apic_send_ipi(cpus[pv_poll_cpu]->apic_id, VECTOR_KICK);
        log_info("CPU %u serves the queues of paravirtual guests", pv_poll_cpu);
        return;
    }
    log_error("nidus.conf:%u: poll: there is no CPU %d to spare; this machine runs %u", config->poll_line,
              config->poll, nr_cpus);
    raise_status(2);
}

void vmm_start(const struct config *c, u32 problems, const struct vmm_file *boot_files, u32 nr, u64 utc)
{
    config = c;
    files = boot_files;
    nr_files = nr;
    utc_at_start = utc;
    tsc_at_start = rdtsc();
    vmm_halt_poll_us = config->halt_poll;
    vmm_keep_crashed = config->keep_crashed;
    spare_cpu();
    if (problems)
        raise_status(2);
    if (vmcs_setup_init() || nested_shadow_init())
        panic("no memory for MSR and I/O bitmaps");
    ipiv_check(&config->vms[0]);
    /* One more than there are, so that nothing ends while VMs are being started. */
    live_vms = config->nr_vms + 1;
    for (u32 i = 0; i < config->nr_vms; i++) {
        if (config->vms[i].bad || !vm_start(&config->vms[i], i, 0)) {
            raise_status(2);
            vmm_vm_ended(i, VM_END_POWEROFF);
        }
    }
    vmm_leave();
}

/* --- the console's keys --- */

static struct console_keys keys;
static u32 chosen; /* the VM that the keys were given to */
static bool alone;

/* With running_lock held: the VM that was chosen, while it does not run the next one that does. Null: none
 * runs. */
static struct vm *with_keys(void)
{
    for (u32 i = 0; i < CONFIG_MAX_VMS; i++) {
        struct vm *vm = running[(chosen + i) % CONFIG_MAX_VMS];

        if (vm)
            return vm;
    }
    return NULL;
}

static void tell_console(void)
{
    const struct vm *vm = with_keys();

    console_show_only(alone && vm ? (s32)vm->index : -1);
}

void vmm_set_running(u32 index, struct vm *vm)
{
    spin_lock(&running_lock);
    running[index] = vm;
    tell_console();
    spin_unlock(&running_lock);
    control_changed();
}

bool vmm_runs(u32 index)
{
    return index < CONFIG_MAX_VMS && __atomic_load_n(&running[index], __ATOMIC_RELAXED);
}

struct vm *vmm_hold(u32 index)
{
    struct vm *vm;

    /* Most are none, and the CPU that polls asks for all of them all the time: no call. */
    if (!__atomic_load_n(&running[index], __ATOMIC_RELAXED))
        return NULL;
    spin_lock(&running_lock);
    vm = running[index];
    if (vm && !spin_trylock(&vm->held))
        vm = NULL;
    spin_unlock(&running_lock);
    return vm;
}

void vmm_let_go(struct vm *vm)
{
    spin_unlock(&vm->held);
}

static void choose(u32 index)
{
    const struct vm *vm;

    chosen = index;
    vm = with_keys();
    if (vm)
        log_info("console: the keys go to %s", vm->config->name);
}

static void choose_next(void)
{
    const struct vm *vm = with_keys();

    if (vm)
        choose((vm->index + 1) % CONFIG_MAX_VMS);
}

static void choose_number(u32 index)
{
    if (index < CONFIG_MAX_VMS && running[index])
        choose(index);
    else
        log_info("console: VM %u does not run", index + 1);
}

static void pass(const char *key)
{
    struct vm *vm = with_keys();

    if (!vm)
        return;
    spin_lock(&vm->dev_lock);
    platform_input(vm->platform, key, 1);
    spin_unlock(&vm->dev_lock);
}

static void take_key(const char *key)
{
    switch (console_key(&keys, *key)) {
    case CONSOLE_PASS:
        pass(key);
        break;
    case CONSOLE_NONE:
        break;
    case CONSOLE_NEXT:
        choose_next();
        break;
    case CONSOLE_NUMBER:
        choose_number((u32)(*key - '1'));
        break;
    case CONSOLE_ALONE:
        alone = !alone;
        log_info("console: %s", alone ? "only the VM that has the keys is shown" : "all VMs are shown");
        break;
    case CONSOLE_MONITOR:
        monitor_open(chosen);
        break;
    case CONSOLE_GDB:
        if (!gdb_take_line())
            log_info("console: GDB has no use for it; 'gdb = console' in the configuration says otherwise");
        break;
    case CONSOLE_HELP:
        log_info("console: Ctrl-] and n: the next VM; 1 to 9: that VM; a: only it, or all; m: the monitor; "
                 "g: it is GDB's; Ctrl-]: itself");
        break;
    }
    tell_console();
}

void vmm_console_input(const char *data, size_t n)
{
    spin_lock(&running_lock);
    for (size_t i = 0; i < n; i++)
        if (!gdb_key(data[i]) && !monitor_key(data[i]))
            take_key(&data[i]);
    spin_unlock(&running_lock);
}
