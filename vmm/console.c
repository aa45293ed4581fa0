/* SPDX-License-Identifier: MIT */
#include "vmm/console.h"
#include "lib/format.h"
#include "lib/log.h"
#include "lib/string.h"
#include "vmm/dev/platform.h"
#include "vmm/dev/uart.h"
#include "vmm/vmm.h"

static void put_line(struct vm *vm)
{
    char line[CONFIG_NAME_MAX + CONSOLE_LINE + 4];
    size_t n = format(line, sizeof(line), "%s| ", vm->config->name);

    memcpy(line + n, vm->line.text, vm->line.n);
    n += vm->line.n;
    line[n++] = '\n';
    log_raw(line, n);
    vm->line.n = 0;
}

static s32 shown = -1;

void console_show_only(s32 index)
{
    __atomic_store_n(&shown, index, __ATOMIC_RELAXED);
}

static bool by_lines;

void console_by_lines(bool on)
{
    __atomic_store_n(&by_lines, on, __ATOMIC_RELAXED);
}

void vm_console_put(struct vm *vm, const char *text, size_t n)
{
    s32 only = __atomic_load_n(&shown, __ATOMIC_RELAXED);

    if (only >= 0 && (u32)only != vm->index) {
        vm->line.n = 0;
        return;
    }
    if ((only >= 0 || vmm_nr_vms() == 1) && !__atomic_load_n(&by_lines, __ATOMIC_RELAXED)) {
        if (vm->line.n)
            put_line(vm);
        log_raw(text, n);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        if (text[i] == '\n' || vm->line.n == CONSOLE_LINE)
            put_line(vm);
        if (text[i] != '\n' && text[i] != '\r')
            vm->line.text[vm->line.n++] = text[i];
    }
}

/* While another vCPU runs, or is about to, the line may go on. */
static bool others_wait(const struct vm *vm, const struct vcpu *v)
{
    for (u32 i = 0; i < vm->nr_vcpus; i++) {
        enum vcpu_sched sched = __atomic_load_n(&vm->vcpus[i]->sched, __ATOMIC_RELAXED);

        if (vm->vcpus[i] != v && (sched == SCHED_RUNNING || sched == SCHED_QUEUED))
            return false;
    }
    return true;
}

void vm_console_idle(struct vm *vm, const struct vcpu *v)
{
    if (!vm->line.n || !others_wait(vm, v))
        return;
    spin_lock(&vm->dev_lock);
    if (vm->line.n)
        put_line(vm);
    spin_unlock(&vm->dev_lock);
}
