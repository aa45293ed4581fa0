/* SPDX-License-Identifier: MIT */
/* Makes what the boot loader said something that can be relied on. */
#include "boot/boot_info.h"
#include "lib/format.h"
#include "lib/string.h"

#define MAX_FRAME BIT(52 - PAGE_SHIFT) /* physical addresses have 52 bits at most */

/* Where ranges overlap, the type with the higher rank counts. 0: no such type. */
static const u8 type_rank[] = {
    [BOOT_RANGE_RAM] = 1,     [BOOT_RANGE_ACPI] = 2,     [BOOT_RANGE_NVS] = 3,
    [BOOT_RANGE_RUNTIME] = 4, [BOOT_RANGE_RESERVED] = 5, [BOOT_RANGE_BAD] = 6,
};

static u32 rank_of(u32 type)
{
    return type < ARRAY_SIZE(type_rank) ? type_rank[type] : 0;
}

int boot_info_add_range(struct boot_info *bi, u64 base, u64 size, u32 type)
{
    struct boot_range *last = bi->nr_ranges ? &bi->ranges[bi->nr_ranges - 1] : NULL;

    if (!size)
        return OK;
    if (last && last->type == type && last->base + last->size == base && last->size + size > size) {
        last->size += size;
        return OK;
    }
    if (bi->nr_ranges == BOOT_MAX_RANGES)
        return ERR_NOMEM;
    bi->ranges[bi->nr_ranges++] = (struct boot_range){.base = base, .size = size, .type = type};
    return OK;
}

static bool terminated(const char *text, size_t size)
{
    return strnlen(text, size) < size;
}

static int check_header(const struct boot_info *bi, char *err, size_t n)
{
    if (bi->magic != BOOT_INFO_MAGIC)
        format(err, n, "magic is %#lx, must be %#lx", bi->magic, (u64)BOOT_INFO_MAGIC);
    else if (bi->version != BOOT_INFO_VERSION)
        format(err, n, "version is %u, must be %u: the boot loader is of another Nidus", bi->version,
               BOOT_INFO_VERSION);
    else if (bi->size != sizeof(*bi))
        format(err, n, "size is %u, must be %zu", bi->size, sizeof(*bi));
    else if (bi->nr_ranges > BOOT_MAX_RANGES)
        format(err, n, "%u memory ranges, at most %u", bi->nr_ranges, BOOT_MAX_RANGES);
    else if (bi->nr_modules > BOOT_MAX_MODULES)
        format(err, n, "%u modules, at most %u", bi->nr_modules, BOOT_MAX_MODULES);
    else if (bi->rsdp_size > sizeof(bi->rsdp))
        format(err, n, "RSDP of %u bytes, at most %zu", bi->rsdp_size, sizeof(bi->rsdp));
    else if (!terminated(bi->loader, sizeof(bi->loader)))
        format(err, n, "name of the boot loader does not end");
    else if (!terminated(bi->cmdline, sizeof(bi->cmdline)))
        format(err, n, "command line does not end");
    else
        return OK;
    return ERR_INVAL;
}

/* Turns ranges from bytes into frames, RAM rounded inwards and the rest outwards. Empty ones get size 0. */
static int align_ranges(struct boot_info *bi, void (*warn)(const char *), char *err, size_t n)
{
    for (u32 i = 0; i < bi->nr_ranges; i++) {
        struct boot_range *r = &bi->ranges[i];
        u64 first = r->base >> PAGE_SHIFT, end, last_byte = r->base + r->size - 1;

        if (!rank_of(r->type)) {
            format(err, n, "memory range %u at %#lx has the unknown type %u", i, r->base, r->type);
            return ERR_INVAL;
        }
        if (!r->size)
            continue;
        if (last_byte < r->base) {
            format(err, n, "memory range %u at %#lx, size %#lx, goes beyond the last address", i, r->base,
                   r->size);
            return ERR_INVAL;
        }
        end = (last_byte >> PAGE_SHIFT) + 1;
        if (r->type == BOOT_RANGE_RAM) {
            if (end > MAX_FRAME) {
                char text[96];

                format(text, sizeof(text), "memory at %#lx, size %#lx, goes beyond 52-bit addresses: cut",
                       r->base, r->size);
                warn(text);
            }
            first += !IS_ALIGNED(r->base, PAGE_SIZE);
            end -= !IS_ALIGNED(last_byte + 1, PAGE_SIZE);
        }
        end = MIN(end, MAX_FRAME);
        r->base = first;
        r->size = end > first ? end - first : 0;
    }
    return OK;
}

/* The type that counts at frame at (0: none covers it) and, in *next, the first frame after it where that may
 * change (MAX_FRAME: nowhere). */
static u32 type_at(const struct boot_info *bi, u64 at, u64 *next)
{
    u32 type = 0;

    *next = MAX_FRAME;
    for (u32 i = 0; i < bi->nr_ranges; i++) {
        const struct boot_range *r = &bi->ranges[i];
        u64 end = r->base + r->size;

        if (!r->size || at >= end)
            continue;
        if (at < r->base) {
            *next = MIN(*next, r->base);
        } else {
            *next = MIN(*next, end);
            if (rank_of(r->type) > rank_of(type))
                type = r->type;
        }
    }
    return type;
}

/* Sorts, resolves overlaps and merges by walking from edge to edge. From frames back to bytes. */
static int flatten_ranges(struct boot_info *bi, char *err, size_t n)
{
    static struct boot_info out; /* only its map is used; too large for a stack */
    bool ram = false;
    u64 next;

    out.nr_ranges = 0;
    for (u64 at = 0; at < MAX_FRAME; at = next) {
        u32 type = type_at(bi, at, &next);

        if (!type)
            continue;
        ram |= type == BOOT_RANGE_RAM;
        if (boot_info_add_range(&out, at << PAGE_SHIFT, (next - at) << PAGE_SHIFT, type)) {
            format(err, n, "more than %u memory ranges after overlaps are resolved", BOOT_MAX_RANGES);
            return ERR_INVAL;
        }
    }
    memcpy(bi->ranges, out.ranges, sizeof(bi->ranges));
    bi->nr_ranges = out.nr_ranges;
    if (!ram) {
        format(err, n, "the memory map has no usable RAM");
        return ERR_INVAL;
    }
    return OK;
}

/* Neighbours of one type are merged by now: what is all RAM lies in one range. */
static bool in_ram(const struct boot_info *bi, u64 base, u64 size)
{
    for (u32 i = 0; i < bi->nr_ranges; i++) {
        const struct boot_range *r = &bi->ranges[i];

        if (r->type == BOOT_RANGE_RAM && base >= r->base && size <= r->size &&
            base - r->base <= r->size - size)
            return true;
    }
    return false;
}

/* Neither wraps around: both were found in RAM. */
static bool overlap(u64 a, u64 a_size, u64 b, u64 b_size)
{
    return a_size && b_size && a < b + b_size && b < a + a_size;
}

/* Why module i, of which the first kept ones are known to be good, cannot be used; false if it can. */
static bool module_is_bad(const struct boot_info *bi, u32 i, u32 kept, char *why, size_t n)
{
    const struct boot_module *m = &bi->modules[i];

    if (!terminated(m->name, sizeof(m->name))) {
        format(why, n, "module %u: its name does not end: dropped", i);
        return true;
    }
    if (!m->name[0]) {
        format(why, n, "module %u has no name: dropped; name it on the boot loader's module line", i);
        return true;
    }
    if (m->size && !in_ram(bi, m->base, m->size)) {
        format(why, n, "module %s at %#lx, size %#lx, is not in RAM: dropped", m->name, m->base, m->size);
        return true;
    }
    if (overlap(m->base, m->size, bi->image_base, bi->image_size)) {
        format(why, n, "module %s lies over Nidus itself: dropped", m->name);
        return true;
    }
    for (u32 k = 0; k < kept; k++) {
        const struct boot_module *o = &bi->modules[k];

        if (overlap(m->base, m->size, o->base, o->size)) {
            format(why, n, "module %s lies over module %s: dropped", m->name, o->name);
            return true;
        }
        if (!strcmp(m->name, o->name)) {
            format(why, n, "module %s is there twice: the second is dropped", m->name);
            return true;
        }
    }
    return false;
}

static void check_modules(struct boot_info *bi, void (*warn)(const char *))
{
    char why[2 * BOOT_NAME_MAX + 96];
    u32 kept = 0;

    for (u32 i = 0; i < bi->nr_modules; i++) {
        if (module_is_bad(bi, i, kept, why, sizeof(why)))
            warn(why);
        else if (kept++ != i)
            bi->modules[kept - 1] = bi->modules[i];
    }
    bi->nr_modules = kept;
}

static bool mask_fits(u32 pos, u32 size, u32 bpp)
{
    return size >= 1 && size <= 16 && pos + size <= bpp;
}

static const char *framebuffer_fault(const struct boot_info *bi)
{
    const struct boot_framebuffer *fb = &bi->fb;
    u64 size = (u64)fb->pitch * fb->height;
    bool rgb = fb->type == BOOT_FB_RGB;

    if (!rgb && fb->type != BOOT_FB_EGA_TEXT)
        return PACK "its type is unknown";
    if (!fb->width || !fb->height)
        return PACK "it is empty";
    if (rgb && fb->bpp != 15 && fb->bpp != 16 && fb->bpp != 24 && fb->bpp != 32)
        return PACK "its pixels have neither 15, 16, 24 nor 32 bits";
    if (rgb && (!mask_fits(fb->red_pos, fb->red_size, fb->bpp) ||
                !mask_fits(fb->green_pos, fb->green_size, fb->bpp) ||
                !mask_fits(fb->blue_pos, fb->blue_size, fb->bpp)))
        return PACK "its colours do not fit its pixels";
    if (fb->pitch < (u64)fb->width * (rgb ? (fb->bpp + 7) / 8 : 2))
        return PACK "its pitch is less than its width";
    if (fb->base >= BIT(52) || size > BIT(52) - fb->base)
        return PACK "it goes beyond 52-bit addresses";
    for (u32 i = 0; i < bi->nr_ranges; i++)
        if (bi->ranges[i].type == BOOT_RANGE_RAM &&
            overlap(fb->base, size, bi->ranges[i].base, bi->ranges[i].size))
            return PACK "it lies in RAM";
    return NULL;
}

static void check_framebuffer(struct boot_info *bi, void (*warn)(const char *))
{
    const char *fault = bi->fb.type == BOOT_FB_NONE ? NULL : framebuffer_fault(bi);
    char text[96];

    if (fault) {
        format(text, sizeof(text), "framebuffer at %#lx is not used: %s", bi->fb.base, fault);
        warn(text);
        memset(&bi->fb, 0, sizeof(bi->fb));
    }
}

int boot_info_validate(struct boot_info *bi, void (*warn)(const char *text), char *err, size_t err_size)
{
    if (check_header(bi, err, err_size) || align_ranges(bi, warn, err, err_size) ||
        flatten_ranges(bi, err, err_size))
        return ERR_INVAL;
    if (!bi->image_size || !in_ram(bi, bi->image_base, bi->image_size)) {
        format(err, err_size, "Nidus itself, at %#lx, size %#lx, is not in RAM", bi->image_base,
               bi->image_size);
        return ERR_INVAL;
    }
    check_modules(bi, warn);
    check_framebuffer(bi, warn);
    return OK;
}
