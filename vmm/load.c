/* SPDX-License-Identifier: MIT */
#include "vmm/load.h"
#include "vmm/load_kinds.h"

u32 guest_e820(u64 memory, struct e820_entry out[GUEST_MAX_E820])
{
    u32 n = 0;

    out[n++] = (struct e820_entry){0, MIN(memory, GUEST_LOW_RAM_END), 1};
    out[n++] = (struct e820_entry){GUEST_BIOS_AREA, MiB(1) - GUEST_BIOS_AREA, 2};
    if (memory > MiB(1))
        out[n++] = (struct e820_entry){MiB(1), MIN(memory, GUEST_PCI_HOLE) - MiB(1), 1};
    if (memory > GUEST_PCI_HOLE)
        out[n++] = (struct e820_entry){GiB(4), memory - GUEST_PCI_HOLE, 1};
    return n;
}

int load_guest(struct vm *vm, const struct load_request *rq, struct start_state *out, char *err,
               size_t err_size)
{
    struct load_ctx ctx = {.vm = vm, .rq = rq, .err = err, .err_size = err_size};
    u32 version;

    ctx.nr_map = guest_e820(rq->memory, ctx.map);
    if (linux_detect(&rq->kernel))
        return linux_load(&ctx, out);
    version = multiboot_detect(&rq->kernel);
    if (version)
        return multiboot_load(&ctx, version, out);
    if (elf_detect(&rq->kernel))
        return load_fail(&ctx, &rq->kernel, "an ELF file without a multiboot header");
    return load_fail(&ctx, &rq->kernel, "neither a multiboot kernel nor a Linux bzImage");
}
