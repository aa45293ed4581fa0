/* SPDX-License-Identifier: MIT */
#include "boot/efi/image.h"
#include "lib/format.h"
#include "lib/string.h"

/* System V ABI, 'Object Files': ELF header and program header. */
struct elf_header {
    u8 ident[16]; /* 0x7f E L F, class, data, version */
    u16 type, machine;
    u32 version;
    u64 entry, phoff, shoff;
    u32 flags;
    u16 ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
};

struct elf_segment {
    u32 type, flags;
    u64 offset, vaddr, paddr, filesz, memsz, align;
};

enum { CLASS_64 = 2, DATA_LITTLE = 1, TYPE_EXEC = 2, MACHINE_X86_64 = 62, PT_LOAD = 1 };

/* What the kernel's head.S puts at its very start. */
struct image_header {
    char magic[8];
    u64 entry;
    u64 size;
};

static struct elf_segment segment(const u8 *elf, u32 i)
{
    struct elf_header h;
    struct elf_segment s;

    memcpy(&h, elf, sizeof(h));
    memcpy(&s, elf + h.phoff + i * sizeof(s), sizeof(s));
    return s;
}

static int check_elf(const u8 *elf, u64 size, char *err, size_t n)
{
    static const u8 ident[] = {0x7f, 'E', 'L', 'F', CLASS_64, DATA_LITTLE};
    struct elf_header h;

    if (size < sizeof(h) || memcmp(elf, ident, sizeof(ident))) {
        format(err, n, "kernel image: not an ELF64 file");
        return ERR_INVAL;
    }
    memcpy(&h, elf, sizeof(h));
    if (h.type != TYPE_EXEC || h.machine != MACHINE_X86_64) {
        format(err, n, "kernel image: ELF type %u for machine %u, must be an executable for x86-64", h.type,
               h.machine);
        return ERR_INVAL;
    }
    if (h.phentsize != sizeof(struct elf_segment) || h.phoff > size ||
        h.phnum * sizeof(struct elf_segment) > size - h.phoff) {
        format(err, n, "kernel image: %u program headers at %#lx are not all in the file", h.phnum, h.phoff);
        return ERR_INVAL;
    }
    return OK;
}

/* The header at the start of the first segment. */
static int check_start(struct image *image, const u8 *elf, const struct elf_segment *s, char *err, size_t n)
{
    struct image_header start;

    if (s->filesz < sizeof(start) || memcmp(elf + s->offset, "NIDUS64", 8)) {
        format(err, n, "kernel image: no NIDUS64 header at the start of its first segment");
        return ERR_INVAL;
    }
    memcpy(&start, elf + s->offset, sizeof(start));
    image->virtual_base = s->vaddr;
    image->size = start.size;
    image->entry = start.entry;
    if (!start.size || start.size > IMAGE_LIMIT || !IS_ALIGNED(s->vaddr, IMAGE_ALIGN)) {
        format(err, n, "kernel image: %#lx bytes at %#lx; at most %#lx at a multiple of %#lx can be mapped",
               start.size, s->vaddr, (u64)IMAGE_LIMIT, (u64)IMAGE_ALIGN);
        return ERR_INVAL;
    }
    if (start.entry < s->vaddr || start.entry - s->vaddr >= start.size) {
        format(err, n, "kernel image: entry %#lx is outside of the image", start.entry);
        return ERR_INVAL;
    }
    return OK;
}

int image_check(struct image *image, const u8 *elf, u64 size, char *err, size_t n)
{
    struct elf_header h;
    bool first = true;

    if (check_elf(elf, size, err, n))
        return ERR_INVAL;
    memcpy(&h, elf, sizeof(h));
    for (u32 i = 0; i < h.phnum; i++) {
        struct elf_segment s = segment(elf, i);

        if (s.type != PT_LOAD)
            continue;
        if (s.offset > size || s.filesz > size - s.offset || s.filesz > s.memsz) {
            format(err, n, "kernel image: segment %u is not all in the file", i);
            return ERR_INVAL;
        }
        if (first && check_start(image, elf, &s, err, n))
            return ERR_INVAL;
        first = false;
        if (s.vaddr < image->virtual_base || s.memsz > image->size ||
            s.vaddr - image->virtual_base > image->size - s.memsz) {
            format(err, n, "kernel image: segment %u at %#lx, size %#lx, is outside of the image", i, s.vaddr,
                   s.memsz);
            return ERR_INVAL;
        }
    }
    if (first) {
        format(err, n, "kernel image: nothing to load");
        return ERR_INVAL;
    }
    return OK;
}

void image_place(const struct image *image, const u8 *elf, u8 *memory)
{
    struct elf_header h;

    memcpy(&h, elf, sizeof(h));
    memset(memory, 0, image->size);
    for (u32 i = 0; i < h.phnum; i++) {
        struct elf_segment s = segment(elf, i);

        if (s.type == PT_LOAD)
            memcpy(memory + (s.vaddr - image->virtual_base), elf + s.offset, s.filesz);
    }
}
