/* SPDX-License-Identifier: MIT */
/* 'Boot information format' of the Multiboot Specification 0.6.96 and of the Multiboot2 Specification 2.0. */
#include "vmm/load_kinds.h"
#include "lib/string.h"
#include "vmm/dev/host.h"

#define LOADER_NAME "Nidus"

#define MB1_INFO_MEMORY  BIT(0)
#define MB1_INFO_CMDLINE BIT(2)
#define MB1_INFO_MODULES BIT(3)
#define MB1_INFO_ELF     BIT(5)
#define MB1_INFO_MMAP    BIT(6)
#define MB1_INFO_NAME    BIT(9)

struct mb1_info {
    u32 flags, mem_lower, mem_upper, boot_device, cmdline, mods_count, mods_addr;
    u32 elf_num, elf_size, elf_addr, elf_shndx;
    u32 mmap_length, mmap_addr, drives_length, drives_addr, config_table, boot_loader_name, apm_table;
    u32 vbe[4];
};

struct mb1_module {
    u32 start, end, string, reserved;
};

struct mb1_mmap {
    u32 entry_size; /* of what follows */
    u64 base, size;
    u32 type;
} __packed;

/* Information tags of multiboot2. */
enum {
    INFO_END,
    INFO_CMDLINE,
    INFO_NAME,
    INFO_MODULE,
    INFO_MEMORY,
    INFO_MMAP = 6,
    INFO_ELF = 9,
    INFO_RSDP = 15,
    INFO_LOAD_BASE = 21
};

struct mb2_mmap {
    u64 base, size;
    u32 type, reserved;
};

/* Writes forward through guest memory; with base 0 it only counts, so that the size is known before the
 * place. */
struct writer {
    struct load_ctx *ctx;
    gpa_t base;
    u64 at;
    int rc;
};

static void put(struct writer *w, const void *data, u64 n)
{
    if (w->base && n && !w->rc)
        w->rc = guest_write(w->ctx->vm, w->base + w->at, data, n);
    w->at += n;
}

static void put32(struct writer *w, u32 value)
{
    put(w, &value, sizeof(value));
}

static void put_align(struct writer *w, u32 align)
{
    static const u8 zeroes[8];

    put(w, zeroes, ALIGN_UP(w->at, align) - w->at);
}

/* "FILE TEXT" with its NUL: by convention the first word of a command line is the file's name. */
static u64 string_size(const char *name, const char *text)
{
    return strlen(name) + (text && *text ? 1 + strlen(text) : 0) + 1;
}

static u64 put_string(struct writer *w, const char *name, const char *text)
{
    u64 at = w->base + w->at;

    put(w, name, strlen(name));
    if (text && *text) {
        put(w, " ", 1);
        put(w, text, strlen(text));
    }
    put(w, "", 1);
    return at;
}

static u64 put_sections(struct writer *w, const struct multiboot_kernel *k)
{
    u64 at = w->base + w->at;

    if (w->base && !w->rc)
        w->rc = elf_sections_write(w->ctx, &k->elf, k->tables, at);
    w->at += (u64)k->elf.nr_sections * k->elf.section_size;
    return at;
}

static u32 mem_lower(const struct load_ctx *ctx)
{
    return ctx->map[0].size / KiB(1);
}

/* RAM from 1 MiB up to the first hole, in KiB. */
static u32 mem_upper(const struct load_ctx *ctx)
{
    for (u32 i = 0; i < ctx->nr_map; i++)
        if (ctx->map[i].base == MiB(1))
            return ctx->map[i].size / KiB(1);
    return 0;
}

static void put_mb1(struct writer *w, const struct multiboot_kernel *k,
                    const struct multiboot_module *modules)
{
    struct load_ctx *ctx = w->ctx;
    const struct load_request *rq = ctx->rq;
    struct mb1_info info = {
        .flags = MB1_INFO_MEMORY | MB1_INFO_CMDLINE | MB1_INFO_MODULES | MB1_INFO_MMAP | MB1_INFO_NAME,
        .mem_lower = mem_lower(ctx),
        .mem_upper = mem_upper(ctx),
        .mods_count = rq->nr_modules,
    };
    u64 string;

    w->at = sizeof(info); /* it is written last, when the places are known */
    info.mmap_addr = w->base + w->at;
    for (u32 i = 0; i < ctx->nr_map; i++) {
        struct mb1_mmap e = {sizeof(e) - 4, ctx->map[i].base, ctx->map[i].size, ctx->map[i].type};

        put(w, &e, sizeof(e));
    }
    info.mmap_length = w->base + w->at - info.mmap_addr;
    info.mods_addr = w->base + w->at;
    string = w->base + w->at + rq->nr_modules * sizeof(struct mb1_module);
    for (u32 i = 0; i < rq->nr_modules; i++) {
        struct mb1_module m = {modules[i].start, modules[i].end, string, 0};

        put(w, &m, sizeof(m));
        string += string_size(rq->modules[i].name, rq->modules[i].args);
    }
    for (u32 i = 0; i < rq->nr_modules; i++)
        put_string(w, rq->modules[i].name, rq->modules[i].args);
    info.cmdline = put_string(w, k->file->name, rq->cmdline);
    info.boot_loader_name = put_string(w, LOADER_NAME, NULL);
    if (k->elf.nr_sections) {
        info.flags |= MB1_INFO_ELF;
        info.elf_num = k->elf.nr_sections;
        info.elf_size = k->elf.section_size;
        info.elf_shndx = k->elf.names;
        put_align(w, 8);
        info.elf_addr = put_sections(w, k);
    }
    if (w->base && !w->rc)
        w->rc = guest_write(ctx->vm, w->base, &info, sizeof(info));
}

static void put_tag(struct writer *w, u32 type, u32 payload)
{
    put_align(w, 8);
    put32(w, type);
    put32(w, 8 + payload);
}

static void put_rsdp(struct writer *w, gpa_t rsdp)
{
    u8 copy[36] = {0};

    if (w->base && !w->rc)
        w->rc = guest_read(w->ctx->vm, rsdp, copy, sizeof(copy));
    put_tag(w, INFO_RSDP, sizeof(copy));
    put(w, copy, sizeof(copy));
}

static void put_mb2(struct writer *w, u32 total, const struct multiboot_kernel *k,
                    const struct multiboot_module *modules)
{
    struct load_ctx *ctx = w->ctx;
    const struct load_request *rq = ctx->rq;

    put32(w, total);
    put32(w, 0);
    put_tag(w, INFO_CMDLINE, string_size(k->file->name, rq->cmdline));
    put_string(w, k->file->name, rq->cmdline);
    put_tag(w, INFO_NAME, string_size(LOADER_NAME, NULL));
    put_string(w, LOADER_NAME, NULL);
    for (u32 i = 0; i < rq->nr_modules; i++) {
        put_tag(w, INFO_MODULE, 8 + string_size(rq->modules[i].name, rq->modules[i].args));
        put32(w, modules[i].start);
        put32(w, modules[i].end);
        put_string(w, rq->modules[i].name, rq->modules[i].args);
    }
    put_tag(w, INFO_MEMORY, 8);
    put32(w, mem_lower(ctx));
    put32(w, mem_upper(ctx));
    put_tag(w, INFO_MMAP, 8 + ctx->nr_map * sizeof(struct mb2_mmap));
    put32(w, sizeof(struct mb2_mmap));
    put32(w, 0);
    for (u32 i = 0; i < ctx->nr_map; i++) {
        struct mb2_mmap e = {ctx->map[i].base, ctx->map[i].size, ctx->map[i].type, 0};

        put(w, &e, sizeof(e));
    }
    if (k->elf.nr_sections) {
        put_tag(w, INFO_ELF, 12 + k->elf.nr_sections * k->elf.section_size);
        put32(w, k->elf.nr_sections);
        put32(w, k->elf.section_size);
        put32(w, k->elf.names);
        put_sections(w, k);
    }
    if (rq->rsdp)
        put_rsdp(w, rq->rsdp);
    put_tag(w, INFO_LOAD_BASE, 4);
    put32(w, k->load_base);
    put_tag(w, INFO_END, 0);
}

int multiboot_info(struct load_ctx *ctx, u32 version, const struct multiboot_kernel *k,
                   const struct multiboot_module *modules, gpa_t *info)
{
    struct writer w = {.ctx = ctx};
    u64 size;

    if (version == 1)
        put_mb1(&w, k, modules);
    else
        put_mb2(&w, 0, k, modules);
    size = w.at;
    *info = load_place_low(ctx, size, 8);
    if (*info == LOAD_NOWHERE)
        return load_fail(ctx, k->file, "leaves no room for the boot information in guest memory");
    w = (struct writer){.ctx = ctx, .base = *info};
    if (version == 1)
        put_mb1(&w, k, modules);
    else
        put_mb2(&w, size, k, modules);
    return w.rc ? load_fail(ctx, k->file, "boot information cannot be written to guest memory") : OK;
}
