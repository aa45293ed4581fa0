/* SPDX-License-Identifier: MIT */
/*
 * Linux bzImage by the 64-bit boot protocol: Documentation/arch/x86/boot.rst, 'Details of Header Fields' and
 * '64-bit BOOT PROTOCOL', and zero-page.rst. Field offsets are the documents'.
 */
#include "vmm/load_kinds.h"
#include "lib/string.h"
#include "vmm/dev/host.h"

/* The setup header, in the file and, at the same offsets, in the zero page. */
#define HDR_START          0x1f1
#define HDR_SETUP_SECTS    0x1f1 /* u8, in sectors of 512 bytes */
#define HDR_BOOT_FLAG      0x1fe /* u16 */
#define HDR_JUMP           0x201 /* u8: the header ends at 0x202 plus this */
#define HDR_MAGIC          0x202
#define HDR_VERSION        0x206 /* u16 */
#define HDR_TYPE_OF_LOADER 0x210 /* u8 */
#define HDR_LOADFLAGS      0x211 /* u8 */
#define HDR_RAMDISK_IMAGE  0x218
#define HDR_RAMDISK_SIZE   0x21c
#define HDR_CMD_LINE_PTR   0x228
#define HDR_INITRD_MAX     0x22c
#define HDR_ALIGNMENT      0x230
#define HDR_RELOCATABLE    0x234 /* u8 */
#define HDR_XLOADFLAGS     0x236 /* u16 */
#define HDR_CMDLINE_SIZE   0x238
#define HDR_PREF_ADDRESS   0x258 /* u64 */
#define HDR_INIT_SIZE      0x260
#define HDR_END_2_12       0x268 /* where the header of protocol 2.12 ends */
#define HDR_LIMIT          0x290 /* where other fields of the zero page start */

#define ZP_ACPI_RSDP    0x070 /* u64 */
#define ZP_E820_ENTRIES 0x1e8 /* u8 */
#define ZP_E820_TABLE   0x2d0

#define VERSION_2_12   0x020c
#define LOADED_HIGH    BIT(0)
#define XLF_KERNEL_64  BIT(0)
#define LOADER_UNKNOWN 0xff
#define ENTRY_64       0x200
#define BOOT_CS        0x10
#define BOOT_DS        0x18

struct zero_page_e820 {
    u64 base, size;
    u32 type;
} __packed;

static u64 field(const struct load_file *file, u32 offset, u32 size)
{
    u64 value = 0;

    memcpy(&value, file->data + offset, size);
    return value;
}

bool linux_detect(const struct load_file *file)
{
    return in_file(file, 0, HDR_MAGIC + 4) && field(file, HDR_BOOT_FLAG, 2) == 0xaa55 &&
           !memcmp(file->data + HDR_MAGIC, "HdrS", 4);
}

/* Bytes of the file before the protected-mode part. */
static u64 setup_size(const struct load_file *file)
{
    u64 sectors = field(file, HDR_SETUP_SECTS, 1);

    return ((sectors ? sectors : 4) + 1) * 512;
}

static u32 header_end(const struct load_file *file)
{
    return 0x202 + field(file, HDR_JUMP, 1);
}

static int check(struct load_ctx *ctx, const struct load_file *file)
{
    u32 version, most;
    u64 align;

    if (!in_file(file, 0, HDR_END_2_12) || !in_file(file, 0, setup_size(file) + ENTRY_64 + 1))
        return load_fail(ctx, file, "Linux image cut short");
    version = field(file, HDR_VERSION, 2);
    if (version < VERSION_2_12)
        return load_fail(ctx, file, "Linux boot protocol %u.%02u; at least 2.12 is needed (Linux 3.8)",
                         version >> 8, version & 0xff);
    if (!(field(file, HDR_XLOADFLAGS, 2) & XLF_KERNEL_64))
        return load_fail(ctx, file, "not a 64-bit Linux kernel (XLF_KERNEL_64 is clear)");
    if (!(field(file, HDR_LOADFLAGS, 1) & LOADED_HIGH))
        return load_fail(ctx, file, "a zImage, not a bzImage (LOADED_HIGH is clear)");
    if (header_end(file) < HDR_END_2_12 || header_end(file) > HDR_LIMIT ||
        !in_file(file, 0, header_end(file)))
        return load_fail(ctx, file, "Linux setup header ends at 0x%x", header_end(file));
    align = field(file, HDR_ALIGNMENT, 4);
    if (!align || align & (align - 1))
        return load_fail(ctx, file, "Linux kernel alignment 0x%llx is not a power of 2",
                         (unsigned long long)align);
    most = field(file, HDR_CMDLINE_SIZE, 4);
    if (strlen(ctx->rq->cmdline) > most)
        return load_fail(ctx, file, "command line longer than the %u characters that it takes", most);
    if (ctx->rq->nr_modules)
        return load_fail(ctx, &ctx->rq->modules[0],
                         "modules are for multiboot kernels; Linux takes one initrd");
    return OK;
}

/* At its preferred address, or elsewhere if it is relocatable; with room for the init_size bytes that it
 * wants. */
static int place_kernel(struct load_ctx *ctx, const struct load_file *file, gpa_t *base)
{
    u64 offset = setup_size(file), size = file->size - offset, preferred = field(file, HDR_PREF_ADDRESS, 8);
    u64 total = MAX(size, field(file, HDR_INIT_SIZE, 4)), align = field(file, HDR_ALIGNMENT, 4);

    *base = preferred;
    if (preferred < GiB(4) && load_is_free(ctx, preferred, total)) {
        load_claim(ctx, preferred, total);
    } else if (!field(file, HDR_RELOCATABLE, 1)) {
        return load_fail(ctx, file, "needs %llu KiB at 0x%llx, which are not all free guest RAM",
                         (unsigned long long)(total / KiB(1)), (unsigned long long)preferred);
    } else {
        *base = load_place(ctx, total, align, MiB(1), GiB(4), false);
        if (*base == LOAD_NOWHERE)
            return load_fail(ctx, file, "no room in guest memory: it needs %llu KiB",
                             (unsigned long long)(total / KiB(1)));
    }
    return load_copy(ctx, *base, file, offset, size)
               ? load_fail(ctx, file, "cannot be written to guest memory")
               : OK;
}

static int place_initrd(struct load_ctx *ctx, gpa_t *base)
{
    const struct load_file *initrd = ctx->rq->initrd;
    u64 max = field(&ctx->rq->kernel, HDR_INITRD_MAX, 4) + 1;

    *base = load_place(ctx, initrd->size, PAGE_SIZE, MiB(1), max, true);
    if (*base == LOAD_NOWHERE)
        return load_fail(ctx, initrd, "no room for this initrd of %llu KiB in guest memory below 0x%llx",
                         (unsigned long long)(initrd->size / KiB(1)), (unsigned long long)max);
    return load_copy(ctx, *base, initrd, 0, initrd->size)
               ? load_fail(ctx, initrd, "cannot be written to guest memory")
               : OK;
}

static int poke(struct load_ctx *ctx, gpa_t at, u64 value, u32 size)
{
    return guest_write(ctx->vm, at, &value, size);
}

static int fill_zero_page(struct load_ctx *ctx, gpa_t zp, gpa_t cmdline, gpa_t initrd)
{
    const struct load_request *rq = ctx->rq;
    const struct load_file *file = &rq->kernel;
    int bad = load_zero(ctx, zp, PAGE_SIZE);

    bad |= load_copy(ctx, zp + HDR_START, file, HDR_START, header_end(file) - HDR_START);
    bad |= poke(ctx, zp + HDR_TYPE_OF_LOADER, LOADER_UNKNOWN, 1);
    bad |= poke(ctx, zp + HDR_CMD_LINE_PTR, cmdline, 4);
    bad |= poke(ctx, zp + HDR_RAMDISK_IMAGE, initrd, 4);
    bad |= poke(ctx, zp + HDR_RAMDISK_SIZE, rq->initrd ? rq->initrd->size : 0, 4);
    bad |= poke(ctx, zp + ZP_ACPI_RSDP, rq->rsdp, 8);
    bad |= poke(ctx, zp + ZP_E820_ENTRIES, ctx->nr_map, 1);
    for (u32 i = 0; i < ctx->nr_map; i++) {
        struct zero_page_e820 e = {ctx->map[i].base, ctx->map[i].size, ctx->map[i].type};

        bad |= guest_write(ctx->vm, zp + ZP_E820_TABLE + i * sizeof(e), &e, sizeof(e));
    }
    return bad;
}

/* The first 4 GiB mapped to themselves by pages of 2 MiB: PML4, PDPT and four page directories in a row. */
static int fill_page_tables(struct load_ctx *ctx, gpa_t at)
{
    const u64 table = 0x3, page = 0x83; /* present, writable; page: also PS */
    int bad = load_zero(ctx, at, 2 * PAGE_SIZE);
    u64 entries[64];

    bad |= poke(ctx, at, (at + PAGE_SIZE) | table, 8);
    for (u32 i = 0; i < 4; i++)
        bad |= poke(ctx, at + PAGE_SIZE + 8 * i, (at + (2 + i) * PAGE_SIZE) | table, 8);
    for (u32 i = 0; i < 2048; i += ARRAY_SIZE(entries)) {
        for (u32 k = 0; k < ARRAY_SIZE(entries); k++)
            entries[k] = (i + k) * MiB(2) | page;
        bad |= guest_write(ctx->vm, at + 2 * PAGE_SIZE + 8 * i, entries, sizeof(entries));
    }
    return bad;
}

int linux_load(struct load_ctx *ctx, struct start_state *out)
{
    static const u64 gdt[] = {0, 0, 0x00af9b000000ffff, 0x00cf93000000ffff};
    const struct load_request *rq = ctx->rq;
    gpa_t kernel, initrd = 0, tables, zero_page, cmdline, gdt_base;
    u64 cmdline_size = strlen(rq->cmdline) + 1;
    int rc = check(ctx, &rq->kernel);

    if (!rc)
        rc = place_kernel(ctx, &rq->kernel, &kernel);
    if (!rc && rq->initrd && rq->initrd->size)
        rc = place_initrd(ctx, &initrd);
    if (rc)
        return rc;
    zero_page = load_place_low(ctx, PAGE_SIZE, PAGE_SIZE);
    tables = load_place_low(ctx, 6 * PAGE_SIZE, PAGE_SIZE);
    cmdline = load_place_low(ctx, cmdline_size, 16);
    gdt_base = load_place_low(ctx, sizeof(gdt), 16);
    if (zero_page == LOAD_NOWHERE || tables == LOAD_NOWHERE || cmdline == LOAD_NOWHERE ||
        gdt_base == LOAD_NOWHERE)
        return load_fail(ctx, &rq->kernel, "leaves no room for its boot parameters in guest memory");
    if (fill_zero_page(ctx, zero_page, cmdline, initrd) || fill_page_tables(ctx, tables) ||
        guest_write(ctx->vm, cmdline, rq->cmdline, cmdline_size) ||
        guest_write(ctx->vm, gdt_base, gdt, sizeof(gdt)))
        return load_fail(ctx, &rq->kernel, "its boot parameters cannot be written to guest memory");
    *out = (struct start_state){
        .mode = START_LONG64,
        .rip = kernel + ENTRY_64,
        .cr3 = tables,
        .rsi = zero_page,
        .cs = BOOT_CS,
        .ds = BOOT_DS,
        .gdt_base = gdt_base,
        .gdt_limit = sizeof(gdt) - 1,
    };
    return OK;
}
