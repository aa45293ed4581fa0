/* SPDX-License-Identifier: MIT */
#include "vmm/load_elf.h"
#include "lib/string.h"
#include "vmm/dev/host.h"

#define EM_386     3
#define EM_X86_64  62
#define PT_LOAD    1
#define SHT_SYMTAB 2
#define SHT_STRTAB 3

struct elf_ident {
    u8 magic[4], class, data, version, rest[9];
};

struct elf32_header {
    struct elf_ident ident;
    u16 type, machine;
    u32 version, entry, phoff, shoff, flags;
    u16 ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
};

struct elf64_header {
    struct elf_ident ident;
    u16 type, machine;
    u32 version;
    u64 entry, phoff, shoff;
    u32 flags;
    u16 ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
};

struct elf32_segment {
    u32 type, offset, vaddr, paddr, filesz, memsz, flags, align;
};

struct elf64_segment {
    u32 type, flags;
    u64 offset, vaddr, paddr, filesz, memsz, align;
};

struct elf32_section {
    u32 name, type, flags, addr, offset, size, link, info, addralign, entsize;
};

struct elf64_section {
    u32 name, type;
    u64 flags, addr, offset, size;
    u32 link, info;
    u64 addralign, entsize;
};

bool elf_detect(const struct load_file *file)
{
    return in_file(file, 0, 4) && !memcmp(file->data, "\177ELF", 4);
}

/* The header, whatever its class, as a 64-bit one. */
static bool read_header(const struct load_file *file, bool is64, struct elf64_header *h)
{
    struct elf32_header h32;

    if (!in_file(file, 0, is64 ? sizeof(*h) : sizeof(h32)))
        return false;
    if (is64) {
        memcpy(h, file->data, sizeof(*h));
        return true;
    }
    memcpy(&h32, file->data, sizeof(h32));
    *h = (struct elf64_header){
        .ident = h32.ident,
        .type = h32.type,
        .machine = h32.machine,
        .version = h32.version,
        .entry = h32.entry,
        .phoff = h32.phoff,
        .shoff = h32.shoff,
        .phentsize = h32.phentsize,
        .phnum = h32.phnum,
        .shentsize = h32.shentsize,
        .shnum = h32.shnum,
        .shstrndx = h32.shstrndx,
    };
    return true;
}

static void read_segment(const u8 *p, bool is64, struct elf64_segment *s)
{
    struct elf32_segment s32;

    if (is64) {
        memcpy(s, p, sizeof(*s));
        return;
    }
    memcpy(&s32, p, sizeof(s32));
    *s = (struct elf64_segment){
        .type = s32.type,
        .offset = s32.offset,
        .vaddr = s32.vaddr,
        .paddr = s32.paddr,
        .filesz = s32.filesz,
        .memsz = s32.memsz,
    };
}

static void read_section(const struct elf_image *elf, u32 index, struct elf64_section *s)
{
    const u8 *p = elf->file->data + elf->sections + (u64)index * elf->section_size;
    struct elf32_section s32;

    if (elf->is64) {
        memcpy(s, p, sizeof(*s));
        return;
    }
    memcpy(&s32, p, sizeof(s32));
    *s = (struct elf64_section){
        .type = s32.type,
        .addr = s32.addr,
        .offset = s32.offset,
        .size = s32.size,
    };
}

/* Inserts a segment by its address; ERR_EXIST if it overlaps another. */
static int add_segment(struct elf_image *elf, const struct elf_segment *s)
{
    u32 i = elf->nr_segments;

    for (u32 k = 0; k < elf->nr_segments; k++)
        if (s->paddr < elf->segment[k].paddr + elf->segment[k].size &&
            elf->segment[k].paddr < s->paddr + s->size)
            return ERR_EXIST;
    for (; i > 0 && elf->segment[i - 1].paddr > s->paddr; i--)
        elf->segment[i] = elf->segment[i - 1];
    elf->segment[i] = *s;
    elf->nr_segments++;
    return OK;
}

static int read_segments(struct load_ctx *ctx, struct elf_image *elf, const struct elf64_header *h)
{
    u32 least = elf->is64 ? sizeof(struct elf64_segment) : sizeof(struct elf32_segment);

    if (h->phentsize < least)
        return load_fail(ctx, elf->file, "ELF program headers of %u bytes", h->phentsize);
    if (!in_file(elf->file, h->phoff, (u64)h->phnum * h->phentsize))
        return load_fail(ctx, elf->file, "ELF program headers lie outside of the file");
    for (u32 i = 0; i < h->phnum; i++) {
        struct elf64_segment raw;
        struct elf_segment s;

        read_segment(elf->file->data + h->phoff + (u64)i * h->phentsize, elf->is64, &raw);
        if (raw.type != PT_LOAD || !raw.memsz)
            continue;
        if (raw.filesz > raw.memsz)
            return load_fail(ctx, elf->file, "ELF segment %u is larger in the file than in memory", i);
        if (!in_file(elf->file, raw.offset, raw.filesz))
            return load_fail(ctx, elf->file, "ELF segment %u lies outside of the file (cut short?)", i);
        if (raw.paddr >= GiB(4) || raw.memsz > GiB(4) - raw.paddr)
            return load_fail(ctx, elf->file, "ELF segment %u at 0x%llx does not fit below 4 GiB", i,
                             (unsigned long long)raw.paddr);
        if (elf->nr_segments == ELF_MAX_SEGMENTS)
            return load_fail(ctx, elf->file, "more than %u ELF segments", ELF_MAX_SEGMENTS);
        s = (struct elf_segment){raw.offset, raw.filesz, raw.paddr, raw.vaddr, raw.memsz};
        if (add_segment(elf, &s))
            return load_fail(ctx, elf->file, "ELF segment %u overlaps another", i);
    }
    if (!elf->nr_segments)
        return load_fail(ctx, elf->file, "ELF file without a loadable segment");
    elf->low = elf->segment[0].paddr;
    elf->high = elf->segment[elf->nr_segments - 1].paddr + elf->segment[elf->nr_segments - 1].size;
    return OK;
}

/* Section headers are not needed to run: bad ones are the same as none. */
static void find_sections(struct elf_image *elf, const struct elf64_header *h)
{
    u32 least = elf->is64 ? sizeof(struct elf64_section) : sizeof(struct elf32_section);

    if (!h->shoff || h->shentsize < least || h->shstrndx >= h->shnum ||
        !in_file(elf->file, h->shoff, (u64)h->shnum * h->shentsize))
        return;
    elf->sections = h->shoff;
    elf->nr_sections = h->shnum;
    elf->section_size = h->shentsize;
    elf->names = h->shstrndx;
}

int elf_open(struct load_ctx *ctx, const struct load_file *file, struct elf_image *elf)
{
    struct elf64_header h;
    struct elf_ident ident;
    int rc;

    memset(elf, 0, sizeof(*elf));
    elf->file = file;
    if (!elf_detect(file) || !in_file(file, 0, sizeof(ident)))
        return load_fail(ctx, file, "not an ELF file");
    memcpy(&ident, file->data, sizeof(ident));
    elf->is64 = ident.class == 2;
    if ((ident.class != 1 && ident.class != 2) || ident.data != 1)
        return load_fail(ctx, file, "neither a 32-bit nor a 64-bit little-endian ELF file");
    if (!read_header(file, elf->is64, &h))
        return load_fail(ctx, file, "ELF header cut short");
    if (h.machine != EM_386 && h.machine != EM_X86_64)
        return load_fail(ctx, file, "ELF file for machine %u, not x86", h.machine);
    elf->entry = h.entry;
    rc = read_segments(ctx, elf, &h);
    if (!rc)
        find_sections(elf, &h);
    return rc;
}

int elf_load(struct load_ctx *ctx, const struct elf_image *elf, u64 delta)
{
    for (u32 i = 0; i < elf->nr_segments; i++) {
        const struct elf_segment *s = &elf->segment[i];
        u64 at = s->paddr + delta;

        if (!load_is_free(ctx, at, s->size))
            return load_fail(ctx, elf->file, "needs memory 0x%llx to 0x%llx, which is not all free guest RAM",
                             (unsigned long long)at, (unsigned long long)(at + s->size - 1));
        if (load_copy(ctx, at, elf->file, s->offset, s->file_size) ||
            load_zero(ctx, at + s->file_size, s->size - s->file_size))
            return load_fail(ctx, elf->file, "cannot be written to guest memory at 0x%llx",
                             (unsigned long long)at);
    }
    return load_claim(ctx, elf->low + delta, elf->high - elf->low);
}

u64 elf_entry(const struct elf_image *elf)
{
    for (u32 i = 0; i < elf->nr_segments; i++) {
        const struct elf_segment *s = &elf->segment[i];

        if (elf->entry >= s->vaddr && elf->entry - s->vaddr < s->size)
            return elf->entry - s->vaddr + s->paddr;
    }
    return elf->entry;
}

static bool is_extra_table(const struct elf_image *elf, const struct elf64_section *s)
{
    return (s->type == SHT_SYMTAB || s->type == SHT_STRTAB) && !s->addr && s->size &&
           in_file(elf->file, s->offset, s->size);
}

int elf_sections_place(struct load_ctx *ctx, const struct elf_image *elf, gpa_t *tables)
{
    u64 total = 0;

    *tables = 0;
    for (u32 i = 0; i < elf->nr_sections; i++) {
        struct elf64_section s;

        read_section(elf, i, &s);
        if (is_extra_table(elf, &s))
            total += ALIGN_UP(s.size, PAGE_SIZE);
    }
    if (!total)
        return OK;
    *tables = load_place(ctx, total, PAGE_SIZE, MAX(elf->high, MiB(1)), GiB(4), false);
    if (*tables == LOAD_NOWHERE)
        return load_fail(ctx, elf->file, "no room for its symbol tables in guest memory");
    return OK;
}

int elf_sections_write(struct load_ctx *ctx, const struct elf_image *elf, gpa_t tables, gpa_t to)
{
    u32 addr_offset = elf->is64 ? offsetof(struct elf64_section, addr) : offsetof(struct elf32_section, addr);

    if (load_copy(ctx, to, elf->file, elf->sections, (u64)elf->nr_sections * elf->section_size))
        return ERR_RANGE;
    for (u32 i = 0; i < elf->nr_sections; i++) {
        struct elf64_section s;

        read_section(elf, i, &s);
        if (!is_extra_table(elf, &s))
            continue;
        if (load_copy(ctx, tables, elf->file, s.offset, s.size) ||
            guest_write(ctx->vm, to + (u64)i * elf->section_size + addr_offset, &tables, elf->is64 ? 8 : 4))
            return ERR_RANGE;
        tables += ALIGN_UP(s.size, PAGE_SIZE);
    }
    return OK;
}
