/* SPDX-License-Identifier: MIT */
/* The kinds of guest images, for load_guest() to choose from. */
#ifndef VMM_LOAD_KINDS_H
#define VMM_LOAD_KINDS_H

#include "vmm/load_elf.h"
#include "vmm/load_util.h"

/* Linux bzImage. */
bool linux_detect(const struct load_file *file);
int linux_load(struct load_ctx *ctx, struct start_state *out);

/* Multiboot 1 and 2: the version whose header the file holds (1 where it holds both); 0: none. */
u32 multiboot_detect(const struct load_file *file);
int multiboot_load(struct load_ctx *ctx, u32 version, struct start_state *out);

/* What a multiboot kernel asks for, whichever the version. */
struct multiboot_kernel {
    const struct load_file *file;
    struct elf_image elf; /* no segments: loaded by its header's addresses */
    gpa_t load_base;      /* where its lowest byte went */
    gpa_t tables;         /* elf_sections_place() */
};

struct multiboot_module {
    u32 start, end;
};

/* The information structure of Multiboot 1 or 2 in guest memory; *info: where. modules: one for each of the
 * request's. */
int multiboot_info(struct load_ctx *ctx, u32 version, const struct multiboot_kernel *k,
                   const struct multiboot_module *modules, gpa_t *info);

/* Real-mode vectors and BIOS data, as a kernel finds them on a PC; nothing if the kernel itself is there. */
int bios_place(struct load_ctx *ctx);

#endif
