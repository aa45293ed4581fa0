/* SPDX-License-Identifier: MIT */
/* The UEFI application: collects what Nidus needs, puts Nidus in place and jumps to it. */
#include "boot/efi/app.h"
#include "boot/efi/image.h"
#include "boot/efi/tables.h"
#include "lib/string.h"

#define STACK_SIZE   KiB(16)
#define CR4_LA57     BIT(12)
#define MAX_IDENTITY GiB(512)

extern const u8 kernel_elf[], kernel_elf_end[]; /* kernel_image.S */

/* enter.S. Loads cr3 and the stack, and jumps to entry with RDI = info. */
void __noreturn enter_kernel(u64 cr3, u64 stack_top, u64 entry, struct boot_info *info);

static EFI_GUID loaded_image_guid = EFI_LOADED_IMAGE_PROTOCOL_GUID;

/* Memory that Nidus reads at its start, before it has its own. */
struct start {
    struct image image;
    u64 cr3;
    u8 *stack;
};

static bool place_kernel(struct app *app, struct start *start)
{
    char err[128];
    u8 *memory;

    if (image_check(&start->image, kernel_elf, kernel_elf_end - kernel_elf, err, sizeof(err)))
        return fail(app, "%s: build the application again", err);
    memory = alloc(app, start->image.size, IMAGE_ALIGN);
    if (!memory)
        return fail(app, "no %lu KiB of memory for Nidus: the machine needs more", start->image.size >> 10);
    image_place(&start->image, kernel_elf, memory);
    app->info->image_base = (u64)memory;
    app->info->image_size = start->image.size;
    return true;
}

/* Boot information, tables and stack are in use until Nidus has its own: reserved, so that nothing is put
 * there. */
static bool reserve(struct app *app, const void *memory, u64 size)
{
    return boot_info_add_range(app->info, (u64)memory, ALIGN_UP(size, PAGE_SIZE), BOOT_RANGE_RESERVED) == OK;
}

static bool build_tables(struct app *app, struct start *start)
{
    u64 self_end = (u64)app->self->ImageBase + app->self->ImageSize, limit, size;
    u64 *memory;

    start->stack = alloc(app, STACK_SIZE, PAGE_SIZE);
    if (!start->stack)
        return fail(app, "no memory for a stack: the machine needs more");
    limit = MAX(MAX(app->highest, self_end), GiB(4));
    size = tables_pages(limit + GiB(1)) * PAGE_SIZE; /* the tables themselves may be the highest */
    memory = alloc(app, size, PAGE_SIZE);
    if (!memory)
        return fail(app, "no memory for page tables: the machine needs more");
    limit = MAX(limit, app->highest);
    if (limit > MAX_IDENTITY || tables_pages(limit) * PAGE_SIZE > size)
        return fail(app, "memory in use reaches up to %#lx: too high for the early page tables", limit);
    start->cr3 = tables_build(memory, limit, start->image.virtual_base, app->info->image_base);
    return reserve(app, app->info, sizeof(*app->info)) && reserve(app, start->stack, STACK_SIZE) &&
           reserve(app, memory, size);
}

static bool prepare(struct app *app, struct start *start)
{
    u64 cr4;

    asm volatile("mov %%cr4, %0" : "=r"(cr4));
    if (cr4 & CR4_LA57)
        return fail(app, "the firmware uses 5-level paging: switch it off in its set-up");
    if (app->services->HandleProtocol(app->handle, &loaded_image_guid, (void **)&app->self) != EFI_SUCCESS)
        return fail(app, "the firmware does not say where this application came from");
    app->services->SetWatchdogTimer(0, 0, 0, NULL); /* large files take their time */
    app->info = alloc(app, sizeof(*app->info), PAGE_SIZE);
    if (!app->info)
        return fail(app, "no memory for boot information: the machine needs more");
    memset(app->info, 0, sizeof(*app->info));
    app->info->magic = BOOT_INFO_MAGIC;
    app->info->version = BOOT_INFO_VERSION;
    app->info->size = sizeof(*app->info);
    read_firmware(app);
    return load_files(app) && place_kernel(app, start) && build_tables(app, start);
}

/* GNU-EFI's start-up code calls efi_main, newer ones _entry: its library's brings more than is wanted. */
EFI_STATUS efi_main(EFI_HANDLE handle, EFI_SYSTEM_TABLE *system);
EFI_STATUS _entry(EFI_HANDLE handle, EFI_SYSTEM_TABLE *system) __attribute__((alias("efi_main")));

EFI_STATUS efi_main(EFI_HANDLE handle, EFI_SYSTEM_TABLE *system)
{
    struct app app = {.handle = handle, .system = system, .services = system->BootServices};
    struct start start;

    if (!prepare(&app, &start) || !leave_firmware(&app)) {
        wait_for_key(&app);
        return EFI_LOAD_ERROR;
    }
    enter_kernel(start.cr3, (u64)start.stack + STACK_SIZE, start.image.entry, app.info);
}
