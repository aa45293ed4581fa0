/* SPDX-License-Identifier: MIT */
/*
 * Reads the multiboot2 information structure. It may start at any address; all reads are by byte copy and
 * inside the length that was checked before.
 */
#include "boot/multiboot2.h"
#include "lib/format.h"
#include "lib/string.h"

enum tag_type {
    TAG_END = 0,
    TAG_CMDLINE = 1,
    TAG_LOADER = 2,
    TAG_MODULE = 3,
    TAG_MMAP = 6,
    TAG_FRAMEBUFFER = 8,
    TAG_EFI32_SYSTEM = 11,
    TAG_EFI64_SYSTEM = 12,
    TAG_RSDP_V1 = 14,
    TAG_RSDP_V2 = 15,
    TAG_EFI_MMAP = 17,
    TAG_EFI_NOT_TERMINATED = 18,
};

struct mb2_tag {
    u32 type, size;
} __packed;

struct mb2_module {
    struct mb2_tag tag;
    u32 start, end; /* a NUL-terminated string follows */
} __packed;

struct mb2_mmap {
    struct mb2_tag tag;
    u32 entry_size, entry_version;
} __packed;

struct mb2_mmap_entry {
    u64 base, size;
    u32 type, reserved;
} __packed;

struct mb2_framebuffer {
    struct mb2_tag tag;
    u64 base;
    u32 pitch, width, height;
    u8 bpp, type;
    u16 reserved;
} __packed;

/* Follows struct mb2_framebuffer of type FB_RGB. */
struct mb2_rgb {
    u8 red_pos, red_size, green_pos, green_size, blue_pos, blue_size;
} __packed;

enum { FB_INDEXED = 0, FB_RGB = 1, FB_EGA_TEXT = 2 };

struct parser {
    struct boot_info *bi;
    const u8 *tag; /* the tag at hand, of size bytes, all of them readable */
    u32 offset, size;
    char *err;
    size_t err_size;
    bool have_mmap;
};

#define FAIL(p, ...) (format((p)->err, (p)->err_size, __VA_ARGS__), ERR_INVAL)

/* Copies the tag's fixed part; a tag too short for it is an error. */
static int fixed_part(struct parser *p, void *to, u32 n, const char *what)
{
    if (p->size < n)
        return FAIL(p, "%s tag at offset %#x has %u bytes, needs %u", what, p->offset, p->size, n);
    memcpy(to, p->tag, n);
    return OK;
}

/* The string in the tag from offset skip on; null, with a message, unless it ends inside the tag. */
static const char *tag_string(struct parser *p, u32 skip, const char *what)
{
    if (p->size <= skip || strnlen((const char *)p->tag + skip, p->size - skip) == p->size - skip) {
        (void)FAIL(p, "string of the %s tag at offset %#x does not end inside the tag", what, p->offset);
        return NULL;
    }
    return (const char *)p->tag + skip;
}

static int parse_cmdline(struct parser *p)
{
    const char *text = tag_string(p, sizeof(struct mb2_tag), PACK "command line");

    if (!text)
        return ERR_INVAL;
    if (!str_copy(p->bi->cmdline, text, sizeof(p->bi->cmdline)))
        return FAIL(p, "command line is longer than %u characters", BOOT_CMDLINE_MAX - 1);
    return OK;
}

static int parse_loader(struct parser *p)
{
    const char *text = tag_string(p, sizeof(struct mb2_tag), PACK "boot loader name");

    if (!text)
        return ERR_INVAL;
    str_copy(p->bi->loader, text, sizeof(p->bi->loader)); /* only ever shown: cut short is good enough */
    return OK;
}

static int parse_module(struct parser *p)
{
    struct mb2_module m;
    struct boot_module *to;
    const char *text;
    size_t n = 0;

    if (fixed_part(p, &m, sizeof(m), PACK "module"))
        return ERR_INVAL;
    text = tag_string(p, sizeof(m), PACK "module");
    if (!text)
        return ERR_INVAL;
    if (m.end < m.start)
        return FAIL(p, "module tag at offset %#x ends at %#x, before its start %#x", p->offset, m.end,
                    m.start);
    if (p->bi->nr_modules == BOOT_MAX_MODULES)
        return FAIL(p, "more than %u modules", BOOT_MAX_MODULES);

    while (*text == ' ')
        text++;
    while (text[n] && text[n] != ' ')
        n++;
    to = &p->bi->modules[p->bi->nr_modules++];
    if (n >= sizeof(to->name))
        return FAIL(p, "name of the module at %#x is longer than %zu characters", m.start,
                    sizeof(to->name) - 1);
    memcpy(to->name, text, n);
    to->name[n] = 0;
    to->base = m.start;
    to->size = m.end - m.start;
    return OK;
}

static u32 range_type(u32 mb2_type)
{
    static const u8 types[] = {
        [1] = BOOT_RANGE_RAM,
        [3] = BOOT_RANGE_ACPI,
        [4] = BOOT_RANGE_NVS,
        [5] = BOOT_RANGE_BAD,
    };

    return mb2_type < ARRAY_SIZE(types) && types[mb2_type] ? types[mb2_type] : BOOT_RANGE_RESERVED;
}

static int parse_mmap(struct parser *p)
{
    struct mb2_mmap m;
    struct mb2_mmap_entry e;

    if (fixed_part(p, &m, sizeof(m), PACK "memory map"))
        return ERR_INVAL;
    if (p->have_mmap)
        return FAIL(p, "a second memory map tag at offset %#x", p->offset);
    if (m.entry_size < sizeof(e) || m.entry_size % 8)
        return FAIL(p, "memory map entry size is %u, must be a multiple of 8 and at least %zu", m.entry_size,
                    sizeof(e));
    if ((p->size - sizeof(m)) % m.entry_size)
        return FAIL(p, "memory map of %zu bytes is no whole number of entries of %u bytes",
                    p->size - sizeof(m), m.entry_size);

    for (u32 at = sizeof(m); at < p->size; at += m.entry_size) {
        memcpy(&e, p->tag + at, sizeof(e));
        if (boot_info_add_range(p->bi, e.base, e.size, range_type(e.type)))
            return FAIL(p, "memory map has more than %u ranges", BOOT_MAX_RANGES);
    }
    p->have_mmap = true;
    return OK;
}

static int parse_framebuffer(struct parser *p)
{
    struct boot_framebuffer *fb = &p->bi->fb;
    struct mb2_framebuffer m;
    struct mb2_rgb rgb = {0};

    if (fixed_part(p, &m, sizeof(m), PACK "framebuffer"))
        return ERR_INVAL;
    if (m.type != FB_RGB && m.type != FB_EGA_TEXT)
        return OK; /* indexed colour, or newer than this code: Nidus does without */
    if (m.type == FB_RGB) {
        if (p->size < sizeof(m) + sizeof(rgb))
            return FAIL(p, "framebuffer tag at offset %#x has %u bytes, needs %zu", p->offset, p->size,
                        sizeof(m) + sizeof(rgb));
        memcpy(&rgb, p->tag + sizeof(m), sizeof(rgb));
    }
    *fb = (struct boot_framebuffer){
        .base = m.base,
        .type = m.type == FB_RGB ? BOOT_FB_RGB : BOOT_FB_EGA_TEXT,
        .pitch = m.pitch,
        .width = m.width,
        .height = m.height,
        .bpp = m.bpp,
        .red_pos = rgb.red_pos,
        .red_size = rgb.red_size,
        .green_pos = rgb.green_pos,
        .green_size = rgb.green_size,
        .blue_pos = rgb.blue_pos,
        .blue_size = rgb.blue_size,
    };
    return OK;
}

/* An RSDP of version 1 has 20 bytes, of version 2 has 36. The newer wins, in whichever order they come. */
static int parse_rsdp(struct parser *p)
{
    u32 n = p->size - sizeof(struct mb2_tag), need = p->tag[0] == TAG_RSDP_V1 ? 20 : sizeof(p->bi->rsdp);

    if (n < need)
        return FAIL(p, "ACPI RSDP tag at offset %#x has %u bytes of data, needs %u", p->offset, n, need);
    if (need > p->bi->rsdp_size) {
        memcpy(p->bi->rsdp, p->tag + sizeof(struct mb2_tag), need);
        p->bi->rsdp_size = need;
    }
    return OK;
}

static int parse_efi(struct parser *p)
{
    p->bi->efi = 1;
    return OK;
}

static int parse_not_terminated(struct parser *p)
{
    return FAIL(p, "the boot loader left EFI boot services running");
}

static int (*const parse_tag[])(struct parser *p) = {
    [TAG_CMDLINE] = parse_cmdline,
    [TAG_LOADER] = parse_loader,
    [TAG_MODULE] = parse_module,
    [TAG_MMAP] = parse_mmap,
    [TAG_FRAMEBUFFER] = parse_framebuffer,
    [TAG_EFI32_SYSTEM] = parse_efi,
    [TAG_EFI64_SYSTEM] = parse_efi,
    [TAG_RSDP_V1] = parse_rsdp,
    [TAG_RSDP_V2] = parse_rsdp,
    [TAG_EFI_MMAP] = parse_efi,
    [TAG_EFI_NOT_TERMINATED] = parse_not_terminated,
};

static int parse_tags(struct parser *p, const u8 *info, u32 total)
{
    struct mb2_tag tag;

    for (u64 at = 8; at + sizeof(tag) <= total; at = ALIGN_UP(at + tag.size, 8)) {
        memcpy(&tag, info + at, sizeof(tag));
        if (tag.size < sizeof(tag) || tag.size > total - at)
            return FAIL(p, "tag of type %u at offset %#lx has size %u, must be 8 to %lu", tag.type, at,
                        tag.size, total - at);
        if (tag.type == TAG_END)
            return OK;
        p->tag = info + at;
        p->offset = at;
        p->size = tag.size;
        if (tag.type < ARRAY_SIZE(parse_tag) && parse_tag[tag.type]) {
            int rc = parse_tag[tag.type](p);

            if (rc)
                return rc;
        }
    }
    return FAIL(p, "no end tag within the %u bytes of the information structure", total);
}

int multiboot2_parse(struct boot_info *bi, u32 magic, const void *info, size_t max_size, char *err,
                     size_t err_size)
{
    struct parser p = {.bi = bi, .err = err, .err_size = err_size};
    u32 total;
    int rc;

    memset(bi, 0, sizeof(*bi));
    bi->magic = BOOT_INFO_MAGIC;
    bi->version = BOOT_INFO_VERSION;
    bi->size = sizeof(*bi);

    if (magic != MULTIBOOT2_BOOT_MAGIC)
        return FAIL(&p, "EAX is %#x at entry instead of %#x: boot Nidus by the command multiboot2", magic,
                    MULTIBOOT2_BOOT_MAGIC);
    if (max_size < 16)
        return FAIL(&p, "only %zu bytes of the information structure can be read", max_size);
    memcpy(&total, info, sizeof(total));
    if (total < 16 || total > max_size)
        return FAIL(&p, "information structure has size %u, must be 16 to %zu", total, max_size);

    rc = parse_tags(&p, info, total);
    if (rc)
        return rc;
    if (!p.have_mmap)
        return FAIL(&p, "the boot loader gave no memory map");
    return OK;
}
