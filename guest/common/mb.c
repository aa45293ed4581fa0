/* SPDX-License-Identifier: MIT */
/* 'Boot information format' of the Multiboot Specification 0.6.96 and of the Multiboot2 Specification 2.0;
 * 'x86/HVM direct boot ABI' of Xen. */
#include "guest/common/mb.h"
#include "lib/string.h"

#define MB1_BOOT_MAGIC 0x2badb002u
#define MB2_BOOT_MAGIC 0x36d76289u
#define PVH_BOOT_MAGIC 0x336ec578u

struct boot boot;

extern u8 image_start[], image_end[];

struct mb1_info {
    u32 flags, mem_lower, mem_upper, boot_device, cmdline, mods_count, mods_addr, syms[4], mmap_length,
        mmap_addr;
    u32 drives_length, drives_addr, config_table, boot_loader_name;
};

struct mb1_module {
    u32 start, end, name, reserved;
};

struct mb1_range {
    u32 size; /* of what follows */
    u64 base, length;
    u32 type;
} __packed;

struct mb2_tag {
    u32 type, size;
};

struct pvh_info {
    u32 magic, version, flags, nr_modules;
    u64 modules, cmdline, rsdp;
    u64 map; /* this and what follows: since version 1 */
    u32 nr_map, reserved;
};

struct pvh_module {
    u64 address, size, cmdline, reserved;
};

struct pvh_range {
    u64 base, size;
    u32 type, reserved;
};

static void add_range(u64 base, u64 size, u32 type)
{
    if (boot.nr_map < BOOT_MAX_MAP)
        boot.map[boot.nr_map++] = (struct boot_range){base, size, type};
}

static void add_module(u64 start, u64 end, const char *name)
{
    struct boot_module *m;

    if (boot.nr_modules == BOOT_MAX_MODULES)
        return;
    m = &boot.modules[boot.nr_modules++];
    m->start = start;
    m->end = end;
    str_copy(m->name, name ? name : "", sizeof(m->name));
}

static void parse_mb1(const struct mb1_info *info)
{
    if (info->flags & BIT(2))
        str_copy(boot.cmdline, (const char *)(u64)info->cmdline, sizeof(boot.cmdline));
    if (info->flags & BIT(9))
        str_copy(boot.loader, (const char *)(u64)info->boot_loader_name, sizeof(boot.loader));
    if (info->flags & BIT(3)) {
        const struct mb1_module *m = (const struct mb1_module *)(u64)info->mods_addr;

        for (u32 i = 0; i < info->mods_count; i++)
            add_module(m[i].start, m[i].end, (const char *)(u64)m[i].name);
    }
    if (info->flags & BIT(6)) {
        const struct mb1_range *r;

        for (u64 p = info->mmap_addr; p < (u64)info->mmap_addr + info->mmap_length; p += r->size + 4) {
            r = (const struct mb1_range *)p;
            add_range(r->base, r->length, r->type);
        }
    } else if (info->flags & BIT(0)) {
        add_range(0, KiB(info->mem_lower), MEMORY_RAM);
        add_range(MiB(1), KiB(info->mem_upper), MEMORY_RAM);
    }
}

static void parse_mb2_map(const u8 *tag, u32 size)
{
    u32 entry_size;

    memcpy(&entry_size, tag + 8, sizeof(entry_size));
    for (u32 at = 16; entry_size >= 20 && at + entry_size <= size; at += entry_size) {
        struct {
            u64 base, size;
            u32 type;
        } __packed e;

        memcpy(&e, tag + at, sizeof(e));
        add_range(e.base, e.size, e.type);
    }
}

static void parse_mb2_tag(const struct mb2_tag *tag)
{
    const u8 *p = (const u8 *)tag;

    switch (tag->type) {
    case 1:
        str_copy(boot.cmdline, (const char *)p + 8, sizeof(boot.cmdline));
        break;
    case 2:
        str_copy(boot.loader, (const char *)p + 8, sizeof(boot.loader));
        break;
    case 3: {
        u32 range[2];

        memcpy(range, p + 8, sizeof(range));
        add_module(range[0], range[1], (const char *)p + 16);
        break;
    }
    case 6:
        parse_mb2_map(p, tag->size);
        break;
    case 14: /* copy of an ACPI 1.0 RSDP */
        if (!boot.rsdp)
            boot.rsdp = (u64)(p + 8);
        break;
    case 15: /* of a newer one */
        boot.rsdp = (u64)(p + 8);
        break;
    }
}

static void parse_pvh(const struct pvh_info *info)
{
    const struct pvh_module *m = (const struct pvh_module *)info->modules;
    const struct pvh_range *r = (const struct pvh_range *)info->map;

    if (info->cmdline)
        str_copy(boot.cmdline, (const char *)info->cmdline, sizeof(boot.cmdline));
    boot.rsdp = info->rsdp;
    for (u32 i = 0; i < info->nr_modules; i++)
        add_module(m[i].address, m[i].address + m[i].size, (const char *)m[i].cmdline);
    for (u32 i = 0; info->version && i < info->nr_map; i++)
        add_range(r[i].base, r[i].size, r[i].type);
}

void boot_parse(u32 magic, const void *info)
{
    boot.magic = magic;
    if (magic == MB1_BOOT_MAGIC) {
        boot.protocol = BOOT_MULTIBOOT1;
        parse_mb1(info);
    } else if (magic == MB2_BOOT_MAGIC) {
        const struct mb2_tag *tag = (const struct mb2_tag *)((const u8 *)info + 8);

        boot.protocol = BOOT_MULTIBOOT2;
        for (; tag->type; tag = (const struct mb2_tag *)((const u8 *)tag + ALIGN_UP(tag->size, 8)))
            parse_mb2_tag(tag);
    } else if (magic == PVH_BOOT_MAGIC) {
        boot.protocol = BOOT_PVH;
        parse_pvh(info);
    }
}

bool boot_page_is_free(u64 address)
{
    if (address < 0x10000 || (address >= (u64)image_start - PAGE_SIZE && address < (u64)image_end))
        return false;
    for (u32 i = 0; i < boot.nr_modules; i++) {
        if (address >= ALIGN_DOWN(boot.modules[i].start, PAGE_SIZE) && address < boot.modules[i].end)
            return false;
    }
    for (u32 i = 0; i < boot.nr_map; i++) {
        const struct boot_range *r = &boot.map[i];

        if (r->type == MEMORY_RAM && address >= r->base && address + PAGE_SIZE <= r->base + r->size)
            return true;
    }
    return false;
}

const char *option(const char *name)
{
    size_t n = strlen(name);

    for (const char *p = boot.cmdline; *p;) {
        while (*p == ' ')
            p++;
        if (!strncmp(p, name, n) && (p[n] == '=' || p[n] == ' ' || !p[n]))
            return p + n + (p[n] == '=');
        while (*p && *p != ' ')
            p++;
    }
    return NULL;
}

u64 option_number(const char *name, u64 otherwise)
{
    const char *p = option(name);
    u64 v = 0, base = 10;

    if (!p)
        return otherwise;
    if (p[0] == '0' && p[1] == 'x') {
        base = 16;
        p += 2;
    }
    for (; *p && *p != ' '; p++) {
        u8 c = (u8)(*p | 0x20);

        v = v * base + (c >= 'a' ? c - 'a' + 10u : c - '0' - 0u);
    }
    return v;
}

bool option_is(const char *name, const char *value)
{
    const char *p = option(name);
    size_t n = strlen(value);

    return p && !strncmp(p, value, n) && (p[n] == ' ' || !p[n]);
}
