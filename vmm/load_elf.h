/* SPDX-License-Identifier: MIT */
/* ELF32 and ELF64 executables for x86. System V ABI, 'Object Files' and 'Program Loading'. */
#ifndef VMM_LOAD_ELF_H
#define VMM_LOAD_ELF_H

#include "vmm/load_util.h"

#define ELF_MAX_SEGMENTS 32

/* A loadable segment, checked: its bytes are in the file, no address wraps around. */
struct elf_segment {
    u64 offset, file_size;
    u64 paddr, vaddr, size;
};

struct elf_image {
    const struct load_file *file;
    bool is64;
    u64 entry;
    u64 low, high; /* physical extent of the segments; high is exclusive */
    u32 nr_segments;
    struct elf_segment segment[ELF_MAX_SEGMENTS]; /* sorted by paddr; they do not overlap */
    u64 sections;                                 /* file offset of the section headers */
    u32 nr_sections, section_size, names;         /* names: index of their string table */
};

bool elf_detect(const struct load_file *file);
/* Reads and checks the headers; what is wrong is named in ctx->err. */
int elf_open(struct load_ctx *ctx, const struct load_file *file, struct elf_image *elf);
/* Puts the segments to their physical addresses plus delta (modulo 2^64) and claims all between the first and
 * the last. */
int elf_load(struct load_ctx *ctx, const struct elf_image *elf, u64 delta);
/* Physical address of the entry point, for segments at their linked addresses. */
u64 elf_entry(const struct elf_image *elf);

/*
 * Section headers for a boot information structure. Symbol and string tables that no segment holds are loaded
 * besides. elf_sections_place() finds room for them (*tables: where), elf_sections_write() copies the
 * headers, with the tables' addresses filled in, to guest memory at to: nr_sections * section_size bytes.
 */
int elf_sections_place(struct load_ctx *ctx, const struct elf_image *elf, gpa_t *tables);
int elf_sections_write(struct load_ctx *ctx, const struct elf_image *elf, gpa_t tables, gpa_t to);

#endif
