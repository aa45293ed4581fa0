/* SPDX-License-Identifier: MIT */
/*
 * Multiboot Specification 0.6.96 and Multiboot2 Specification 2.0: the kernel's header, the kernel and the
 * modules. A kernel that has both headers is started by the first: it asks less of the machine.
 */
#include "vmm/load_kinds.h"
#include "lib/string.h"
#include "vmm/dev/host.h"

#define MB1_MAGIC      0x1badb002u
#define MB1_SEARCH     8192u
#define MB1_BOOT_MAGIC 0x2badb002u
#define MB1_PAGE_ALIGN BIT(0)
#define MB1_MEMORY     BIT(1)
#define MB1_VIDEO      BIT(2)
#define MB1_REQUIRED   0xffffu
#define MB1_ADDRESSES  BIT(16)
#define MB2_MAGIC      0xe85250d6u
#define MB2_SEARCH     32768u
#define MB2_BOOT_MAGIC 0x36d76289u
#define MB2_ARCH_I386  0u
#define MB2_OPTIONAL   BIT(0)

struct mb1_header {
    u32 magic, flags, checksum, header_addr, load_addr, load_end, bss_end, entry;
};

struct mb2_header {
    u32 magic, architecture, length, checksum;
};

struct mb2_tag {
    u16 type, flags;
    u32 size;
};

/* Header tags, 'Multiboot2 header tags'. */
enum {
    TAG_END = 0,
    TAG_INFORMATION = 1,
    TAG_ADDRESS = 2,
    TAG_ENTRY = 3,
    TAG_CONSOLE = 4,
    TAG_FRAMEBUFFER = 5,
    TAG_MODULE_ALIGN = 6,
    TAG_EFI_BOOT_SERVICES = 7,
    TAG_EFI32_ENTRY = 8,
    TAG_EFI64_ENTRY = 9,
    TAG_RELOCATABLE = 10,
};

/* What a header of either version says. */
struct wishes {
    bool has_addresses;
    u32 header_offset, header_addr, load_addr, load_end, bss_end;
    bool has_entry;
    u32 entry;
    bool relocatable;
    u32 min, max, align, preference;
};

static u32 get32(const struct load_file *file, u64 offset)
{
    u32 value;

    memcpy(&value, file->data + offset, sizeof(value));
    return value;
}

/* Offset of a header: magic whose words up to the checksum (3 or 4 of them) sum up to 0. ~0: none. */
static u64 find_header(const struct load_file *file, u32 magic, u32 search, u32 step, u32 words)
{
    for (u64 at = 0; at + 4 * words <= search && in_file(file, at, 4 * words); at += step) {
        u32 sum = 0;

        if (get32(file, at) != magic)
            continue;
        for (u32 i = 0; i < words; i++)
            sum += get32(file, at + 4 * i);
        if (!sum)
            return at;
    }
    return ~0ull;
}

static u64 find_mb1(const struct load_file *file)
{
    return find_header(file, MB1_MAGIC, MB1_SEARCH, 4, 3);
}

static u64 find_mb2(const struct load_file *file)
{
    return find_header(file, MB2_MAGIC, MB2_SEARCH, 8, 4);
}

u32 multiboot_detect(const struct load_file *file)
{
    if (find_mb1(file) != ~0ull)
        return 1;
    return find_mb2(file) != ~0ull ? 2 : 0;
}

static int read_mb1(struct load_ctx *ctx, const struct load_file *file, struct wishes *w)
{
    u64 at = find_mb1(file);
    struct mb1_header h = {0};
    u32 unknown;

    memcpy(&h, file->data + at, MIN(sizeof(h), file->size - at));
    unknown = h.flags & MB1_REQUIRED & ~(MB1_PAGE_ALIGN | MB1_MEMORY);
    if (unknown & MB1_VIDEO)
        return load_fail(ctx, file, "its multiboot header requires a video mode, and the VM has no display");
    if (unknown)
        return load_fail(ctx, file, "its multiboot header requires unknown features (flags 0x%x)", unknown);
    if (!(h.flags & MB1_ADDRESSES))
        return OK;
    if (!in_file(file, at, sizeof(h)))
        return load_fail(ctx, file, "multiboot header cut short");
    *w = (struct wishes){
        .has_addresses = true,
        .header_offset = at,
        .header_addr = h.header_addr,
        .load_addr = h.load_addr,
        .load_end = h.load_end,
        .bss_end = h.bss_end,
        .has_entry = true,
        .entry = h.entry,
    };
    return OK;
}

/* Of the information tags, the ones that are given (multiboot_info). */
static bool is_given(const struct load_ctx *ctx, u32 type)
{
    static const u8 given[] = {0, 1, 2, 3, 4, 6, 9, 21};

    if (type == 15)
        return ctx->rq->rsdp;
    for (u32 i = 0; i < sizeof(given); i++)
        if (type == given[i])
            return true;
    return false;
}

static const char *info_tag_name(u32 type)
{
    static const char *const names[] = {
        [5] = PACK "BIOS boot device",
        [7] = PACK "VBE information",
        [8] = PACK "framebuffer information",
        [10] = PACK "APM table",
        [11] = PACK "EFI system table",
        [12] = PACK "EFI 64-bit system table",
        [13] = PACK "SMBIOS tables",
        [14] = PACK "ACPI 1.0 RSDP",
        [15] = PACK "ACPI RSDP",
        [16] = PACK "network information",
        [17] = PACK "EFI memory map",
        [18] = PACK "EFI boot services",
        [19] = PACK "EFI image handle",
        [20] = PACK "EFI 64-bit image handle",
    };

    return type < ARRAY_SIZE(names) && names[type] ? names[type] : "unknown tag";
}

static int read_information_request(struct load_ctx *ctx, const struct load_file *file, u64 at, u32 size)
{
    for (u32 i = 8; i + 4 <= size; i += 4) {
        u32 type = get32(file, at + i);

        if (!is_given(ctx, type))
            return load_fail(ctx, file,
                             "its multiboot2 header requires information that a VM cannot give: %s (%u)",
                             info_tag_name(type), type);
    }
    return OK;
}

static int bad_tag(struct load_ctx *ctx, const struct load_file *file, u32 type)
{
    return load_fail(ctx, file, "malformed multiboot2 header tag %u", type);
}

static int read_mb2_tag(struct load_ctx *ctx, const struct load_file *file, u64 at, const struct mb2_tag *tag,
                        struct wishes *w)
{
    static const u8 least[] = {[TAG_ADDRESS] = 24, [TAG_ENTRY] = 12, [TAG_RELOCATABLE] = 24};
    bool required = !(tag->flags & MB2_OPTIONAL);

    if (tag->type < sizeof(least) && tag->size < least[tag->type])
        return bad_tag(ctx, file, tag->type);
    switch (tag->type) {
    case TAG_INFORMATION:
        return required ? read_information_request(ctx, file, at, tag->size) : OK;
    case TAG_ADDRESS:
        w->has_addresses = true;
        w->header_addr = get32(file, at + 8);
        w->load_addr = get32(file, at + 12);
        w->load_end = get32(file, at + 16);
        w->bss_end = get32(file, at + 20);
        return OK;
    case TAG_ENTRY:
        w->has_entry = true;
        w->entry = get32(file, at + 8);
        return OK;
    case TAG_RELOCATABLE:
        w->relocatable = true;
        w->min = get32(file, at + 8);
        w->max = get32(file, at + 12);
        w->align = get32(file, at + 16);
        w->preference = get32(file, at + 20);
        if (w->align & (w->align - 1) || w->min > w->max || w->preference > 2)
            return bad_tag(ctx, file, tag->type);
        return OK;
    case TAG_CONSOLE:      /* the serial port is what there is */
    case TAG_MODULE_ALIGN: /* modules always start on a page */
    case TAG_EFI32_ENTRY:  /* these count only under EFI */
    case TAG_EFI64_ENTRY:
        return OK;
    case TAG_FRAMEBUFFER:
        return !required ? OK
                         : load_fail(ctx, file,
                                     "its multiboot2 header requires a framebuffer, and the VM has none");
    case TAG_EFI_BOOT_SERVICES:
        return !required
                   ? OK
                   : load_fail(ctx, file, "its multiboot2 header requires EFI boot services: a VM has none");
    default:
        return !required ? OK
                         : load_fail(ctx, file, "its multiboot2 header requires unknown tag %u", tag->type);
    }
}

static int read_mb2(struct load_ctx *ctx, const struct load_file *file, struct wishes *w)
{
    u64 at = find_mb2(file), end;
    struct mb2_header h;

    memcpy(&h, file->data + at, sizeof(h));
    w->header_offset = at;
    if (h.architecture != MB2_ARCH_I386)
        return load_fail(ctx, file, "multiboot2 header for architecture %u, not x86", h.architecture);
    if (h.length < sizeof(h) || !in_file(file, at, h.length))
        return load_fail(ctx, file, "multiboot2 header cut short");
    end = at + h.length;
    for (at += sizeof(h);;) {
        struct mb2_tag tag;
        int rc;

        if (at + sizeof(tag) > end)
            return load_fail(ctx, file, "multiboot2 header without an end tag");
        memcpy(&tag, file->data + at, sizeof(tag));
        if (tag.type == TAG_END)
            return OK;
        if (tag.size < sizeof(tag) || tag.size > end - at)
            return bad_tag(ctx, file, tag.type);
        rc = read_mb2_tag(ctx, file, at, &tag, w);
        if (rc)
            return rc;
        at += ALIGN_UP((u64)tag.size, 8);
    }
}

/* Moves a span of memory to where a relocatable header allows it; *delta is 0 if it can stay. */
static int choose_base(struct load_ctx *ctx, const struct load_file *file, const struct wishes *w, u64 low,
                       u64 high, u64 *delta)
{
    u64 base;

    *delta = 0;
    if (!w->relocatable || (low >= w->min && high <= (u64)w->max + 1 && load_is_free(ctx, low, high - low)))
        return OK;
    base = load_place(ctx, high - low, MAX(w->align, (u32)PAGE_SIZE), MAX(w->min, (u32)MiB(1)),
                      (u64)w->max + 1, w->preference == 2);
    if (base == LOAD_NOWHERE)
        return load_fail(ctx, file, "no free guest RAM for it between 0x%x and 0x%x", w->min, w->max);
    ctx->nr_used--; /* loading claims it again */
    *delta = base - low;
    return OK;
}

/* 'The address fields of Multiboot header' / 'The address tag of Multiboot2 header'. */
static int load_by_addresses(struct load_ctx *ctx, const struct load_file *file, const struct wishes *w,
                             gpa_t *base, u64 *delta)
{
    bool whole = w->load_addr == ~0u; /* from the start of the file */
    u64 before = whole ? w->header_offset : (u64)w->header_addr - w->load_addr;
    u64 offset = w->header_offset - before, low = (u64)w->header_addr - before, size, total;
    int rc;

    if ((!whole && w->load_addr > w->header_addr) || before > w->header_offset || before > w->header_addr)
        return load_fail(ctx, file, "the addresses in its multiboot header lie outside of the file");
    size = w->load_end ? (u64)w->load_end - low : file->size - offset;
    if ((w->load_end && w->load_end < low) || !in_file(file, offset, size))
        return load_fail(ctx, file,
                         "the load addresses in its multiboot header go beyond the file (cut short?)");
    total = w->bss_end ? (u64)w->bss_end - low : size;
    if ((w->bss_end && w->bss_end < low) || total < size)
        return load_fail(ctx, file,
                         "the bss end address in its multiboot header is below the load end address");
    rc = choose_base(ctx, file, w, low, low + total, delta);
    if (rc)
        return rc;
    *base = low + *delta;
    if (!total || !load_is_free(ctx, *base, total))
        return load_fail(ctx, file, "needs memory from 0x%llx, 0x%llx bytes, which is not all free guest RAM",
                         (unsigned long long)*base, (unsigned long long)total);
    if (load_copy(ctx, *base, file, offset, size) || load_zero(ctx, *base + size, total - size) ||
        load_claim(ctx, *base, total))
        return load_fail(ctx, file, "cannot be written to guest memory");
    return OK;
}

static int load_by_elf(struct load_ctx *ctx, const struct wishes *w, struct multiboot_kernel *k, u64 *delta)
{
    int rc = elf_open(ctx, k->file, &k->elf);

    if (!rc)
        rc = choose_base(ctx, k->file, w, k->elf.low, k->elf.high, delta);
    if (!rc)
        rc = elf_load(ctx, &k->elf, *delta);
    if (!rc)
        rc = elf_sections_place(ctx, &k->elf, &k->tables);
    k->load_base = k->elf.low + *delta;
    return rc;
}

static int load_modules(struct load_ctx *ctx, struct multiboot_module *out)
{
    for (u32 i = 0; i < ctx->rq->nr_modules; i++) {
        const struct load_file *m = &ctx->rq->modules[i];
        gpa_t base = load_place(ctx, MAX(m->size, 1ull), PAGE_SIZE, MiB(1), GiB(4), false);

        if (base == LOAD_NOWHERE)
            return load_fail(ctx, m, "no room for this module of %llu bytes in guest memory",
                             (unsigned long long)m->size);
        if (load_copy(ctx, base, m, 0, m->size))
            return load_fail(ctx, m, "cannot be written to guest memory");
        out[i] = (struct multiboot_module){base, base + m->size};
    }
    return OK;
}

/* 'Machine state': 32-bit protected mode without paging, flat segments, EAX the magic, EBX the information.
 */
static int start(struct load_ctx *ctx, u32 version, gpa_t info, u64 entry, struct start_state *out)
{
    static const u64 gdt[] = {0, 0x00cf9b000000ffff, 0x00cf93000000ffff};
    gpa_t at = load_place_low(ctx, sizeof(gdt), 16);

    if (at == LOAD_NOWHERE || guest_write(ctx->vm, at, gdt, sizeof(gdt)))
        return load_fail(ctx, &ctx->rq->kernel, "leaves no room for a descriptor table in guest memory");
    *out = (struct start_state){
        .mode = START_PROT32,
        .rip = (u32)entry,
        .rax = version == 1 ? MB1_BOOT_MAGIC : MB2_BOOT_MAGIC,
        .rbx = info,
        .cs = 0x08,
        .ds = 0x10,
        .gdt_base = at,
        .gdt_limit = sizeof(gdt) - 1,
    };
    return OK;
}

#define MAX_MODULES 64

int multiboot_load(struct load_ctx *ctx, u32 version, struct start_state *out)
{
    struct multiboot_kernel k = {.file = &ctx->rq->kernel};
    struct multiboot_module modules[MAX_MODULES];
    struct wishes w = {0};
    u64 delta = 0, entry;
    gpa_t info;
    int rc;

    if (ctx->rq->initrd)
        return load_fail(ctx, ctx->rq->initrd,
                         "initrd is for Linux; give a multiboot kernel this file as a module");
    /* Each module and a few other things need a place in the table of used ranges. */
    if (ctx->rq->nr_modules > MAX_MODULES || ctx->rq->nr_modules > LOAD_MAX_USED - 8)
        return load_fail(ctx, k.file, "%u modules are too many", ctx->rq->nr_modules);
    rc = version == 1 ? read_mb1(ctx, k.file, &w) : read_mb2(ctx, k.file, &w);
    if (rc)
        return rc;
    if (w.has_addresses && !w.has_entry)
        return load_fail(ctx, k.file, "its multiboot2 header has an address tag but no entry address tag");
    rc = w.has_addresses ? load_by_addresses(ctx, k.file, &w, &k.load_base, &delta)
                         : load_by_elf(ctx, &w, &k, &delta);
    if (!rc)
        rc = load_modules(ctx, modules);
    if (!rc)
        rc = multiboot_info(ctx, version, &k, modules, &info);
    if (rc)
        return rc;
    if (bios_place(ctx))
        return load_fail(ctx, k.file, "no guest memory for real-mode vectors");
    entry = (w.has_entry ? w.entry : elf_entry(&k.elf)) + delta;
    return start(ctx, version, info, entry, out);
}
