/* SPDX-License-Identifier: MIT */
/* links: vmm/load.c vmm/load_util.c vmm/load_elf.c vmm/load_linux.c vmm/load_multiboot.c vmm/load_mbinfo.c */
/* links: vmm/load_bios.c lib/format.c vmm/bus.c tests/unit/fake_host.c */
#include <stdlib.h>
#include <string.h>

#include "tests/unit/fake_host.h"
#include "vmm/load.h"

/*
 * The first byte says what goes with the image, the rest is the image. A load that succeeds must start in a
 * state whose structures are in RAM; one that fails must say why.
 */
#define WITH_INITRD  BIT(0)
#define WITH_MODULES BIT(1)
#define WITH_RSDP    BIT(2)
#define LITTLE_RAM   BIT(3)
#define CHECKSUM     BIT(4)

static u32 get32(const u8 *p)
{
    u32 value;

    memcpy(&value, p, 4);
    return value;
}

/* Makes the checksum right of whatever starts like a multiboot header: random data would never get past it.
 */
static void fix_checksums(u8 *image, size_t size)
{
    for (size_t at = 0; at + 16 <= size; at += 4) {
        u32 first = get32(image + at), words = first == 0x1badb002 ? 2 : first == 0xe85250d6 ? 3 : 0, sum = 0;

        for (u32 i = 0; i < words; i++)
            sum -= get32(image + at + 4 * i);
        if (words)
            memcpy(image + at + 4 * words, &sum, 4);
    }
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
    static const u8 blob[5000];
    static struct vm *vms[2];
    const struct load_file extra[2] = {{"a", "args", blob, sizeof(blob)}, {"b", NULL, blob, 0}};
    char err[160] = "";
    struct start_state start;
    struct vm *vm;
    u8 options, *image, byte;

    if (!size)
        return 0;
    options = *data++;
    image = malloc(size--); /* exactly as large as it is, but for an empty one */
    memcpy(image, data, size);
    image = size ? realloc(image, size) : image;
    if (options & CHECKSUM)
        fix_checksums(image, size);
    vm = vms[!!(options & LITTLE_RAM)];
    if (!vm) /* kept: what an image leaves in memory is of no concern to the next */
        vm = vms[!!(options & LITTLE_RAM)] = fake_vm(1, options & LITTLE_RAM ? MiB(1) + KiB(64) : MiB(4));
    const struct load_request rq = {
        .kernel = {"kernel", NULL, image, size},
        .cmdline = "console=ttyS0",
        .modules = extra,
        .nr_modules = options & WITH_MODULES ? 2 : 0,
        .initrd = options & WITH_INITRD ? &extra[0] : NULL,
        .memory = vm->ram_size,
        .rsdp = options & WITH_RSDP ? GUEST_BIOS_AREA : 0,
    };

    if (load_guest(vm, &rq, &start, err, sizeof(err))) {
        if (!err[0])
            abort();
    } else if (guest_read(vm, start.gdt_base + start.gdt_limit, &byte, 1) ||
               (start.mode == START_LONG64 && guest_read(vm, start.cr3 + 6 * PAGE_SIZE - 1, &byte, 1)) ||
               (start.mode == START_PROT32 && guest_read(vm, start.rbx, &byte, 1))) {
        abort();
    }
    free(image);
    return 0;
}
