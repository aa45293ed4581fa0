/* SPDX-License-Identifier: MIT */
#include "vmm/vmm.h"
#include "arch/x86/asm.h"
#include "arch/x86/time.h"
#include "arch/x86/trap.h"
#include "lib/log.h"
#include "lib/string.h"
#include "vmm/dev/platform.h"
#include "vmm/vmcs_setup.h"

u64 vmm_flush_wanted = 1;
bool vmm_refuse_entry;
void (*vmm_all_ended)(u32 status);

static const struct vmm_file *files;
static u32 nr_files, nr_vms, live_vms, status;
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
    return nr_vms;
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

        log_debug("cpu %u: idle for %lu %% of the time", i, MIN(idle, ran) * 100 / (ran + 1));
    }
}

void vmm_vm_ended(enum vm_end how)
{
    if (how == VM_END_CRASH)
        raise_status(1);
    if (__atomic_sub_fetch(&live_vms, 1, __ATOMIC_ACQ_REL))
        return;
    log_idle();
    vmm_all_ended(__atomic_load_n(&status, __ATOMIC_RELAXED));
}

void vmm_start(const struct config *config, u32 problems, const struct vmm_file *boot_files, u32 nr, u64 utc)
{
    files = boot_files;
    nr_files = nr;
    utc_at_start = utc;
    tsc_at_start = rdtsc();
    nr_vms = config->nr_vms;
    if (problems)
        raise_status(2);
    if (vmcs_setup_init())
        panic("no memory for MSR and I/O bitmaps");
    /* One more than there are, so that nothing ends while VMs are being started. */
    live_vms = config->nr_vms + 1;
    for (u32 i = 0; i < config->nr_vms; i++) {
        if (config->vms[i].bad || !vm_start(&config->vms[i], i, 0)) {
            raise_status(2);
            __atomic_sub_fetch(&live_vms, 1, __ATOMIC_ACQ_REL);
        }
    }
    vmm_vm_ended(VM_END_POWEROFF);
}

void vmm_set_running(u32 index, struct vm *vm)
{
    spin_lock(&running_lock);
    running[index] = vm;
    spin_unlock(&running_lock);
}

/* The first VM that runs has the keyboard. */
void vmm_console_input(const char *data, size_t n)
{
    spin_lock(&running_lock);
    for (u32 i = 0; i < CONFIG_MAX_VMS; i++) {
        struct vm *vm = running[i];

        if (!vm)
            continue;
        spin_lock(&vm->dev_lock);
        platform_input(vm->platform, data, n);
        spin_unlock(&vm->dev_lock);
        break;
    }
    spin_unlock(&running_lock);
}
