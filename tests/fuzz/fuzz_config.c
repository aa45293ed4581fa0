/* SPDX-License-Identifier: MIT */
/* links: vmm/config.c vmm/config_options.c vmm/config_serial.c vmm/config_given.c */
/* links: lib/text.c lib/format.c lib/str_copy.c */
/* Any text as configuration: what is accepted must keep the promises of vmm/config.h. */
#include <stdlib.h>
#include <string.h>

#include "vmm/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static u32 reported;

static void report(void *ctx, const char *message)
{
    (void)ctx;
    if (strncmp(message, "f:", 2) != 0 || strchr(message, '\n'))
        abort();
    reported++;
}

static bool is_feature(const char *name)
{
    return name[0] != 'X';
}

static void check_vm(const struct config *c, const struct config_vm *vm)
{
    bool fine = vm->name[0] && vm->line && vm->memory >= MiB(1) && IS_ALIGNED(vm->memory, PAGE_SIZE) &&
                vm->vcpus >= 1 && vm->vcpus <= CONFIG_MAX_VCPUS && vm->nr_modules <= CONFIG_MAX_MODULES &&
                vm->nr_hide <= CONFIG_MAX_HIDE && vm->nr_pins <= CONFIG_MAX_VCPUS;

    if (!vm->bad)
        fine = fine && vm->kernel[0] && (!vm->nr_pins || vm->nr_pins == vm->vcpus) &&
               (!vm->nr_apic_ids || vm->nr_apic_ids == vm->vcpus);
    for (u32 i = 0; i < vm->nr_pins; i++)
        fine = fine && vm->pin[i] >= 0;
    for (u32 i = 0; i < vm->nr_apic_ids; i++) {
        fine = fine && vm->apic_id[i] <= CONFIG_APIC_ID_MAX && vm->apic_id[i] != 0xff;
        for (u32 k = 0; k < i; k++)
            fine = fine && vm->apic_id[i] != vm->apic_id[k];
    }
    for (u32 i = 0; i < vm->nr_hide; i++)
        fine = fine && vm->hide[i][0] && is_feature(vm->hide[i]);
    for (u32 i = 0; i < vm->nr_modules; i++)
        fine = fine && vm->modules[i].file[0] && vm->modules[i].line;
    for (u32 kind = 0; kind < NR_GIVEN; kind++) {
        fine = fine && vm->nr_given[kind] <= CONFIG_MAX_GIVEN;
        for (u32 i = 0; i < vm->nr_given[kind]; i++)
            fine = fine && vm->given[kind][i].first <= vm->given[kind][i].last && vm->given[kind][i].line;
    }
    for (const struct config_vm *other = c->vms; other < vm; other++)
        fine = fine && strcmp(other->name, vm->name) != 0;
    if (!fine)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct config c;
    bool any_bad = false;

    reported = 0;
    if (config_parse(&c, "f", (const char *)data, size, is_feature, report, NULL) != reported)
        abort();
    if (c.nr_vms > CONFIG_MAX_VMS)
        abort();
    for (u32 i = 0; i < c.nr_vms; i++) {
        check_vm(&c, &c.vms[i]);
        any_bad |= c.vms[i].bad;
    }
    if (any_bad && !reported)
        abort();
    return 0;
}
