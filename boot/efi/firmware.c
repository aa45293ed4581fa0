/* SPDX-License-Identifier: MIT */
/* What the firmware knows: command line, ACPI, framebuffer, memory map; and taking the machine from it. */
#include "boot/efi/app.h"
#include "boot/efi/memory_map.h"
#include "lib/string.h"

#define SLACK_DESCRIPTORS 32 /* the map may grow while it is looked at */
#define EXIT_TRIES        16

static EFI_GUID acpi2_guid = ACPI_20_TABLE_GUID, acpi1_guid = ACPI_TABLE_GUID;
static EFI_GUID graphics_guid = EFI_GRAPHICS_OUTPUT_PROTOCOL_GUID;

static bool ends_in_efi(const char *word, u32 n)
{
    return n >= 4 && word[n - 4] == '.' && (word[n - 3] | 0x20) == 'e' && (word[n - 2] | 0x20) == 'f' &&
           (word[n - 1] | 0x20) == 'i';
}

/* Load options are whatever started us wanted: text from a boot entry, text after our own name from the
 * shell, or data of the boot manager's own, which are no text. */
static void read_command_line(struct app *app)
{
    const CHAR16 *options = app->self->LoadOptions;
    u32 max = options ? app->self->LoadOptionsSize / sizeof(CHAR16) : 0, n = 0, word = 0;
    char *line = app->info->cmdline;

    for (; n < max && options[n]; n++) {
        if (options[n] < ' ' || options[n] > '~') {
            line[0] = 0;
            return;
        }
        if (n == BOOT_CMDLINE_MAX - 1) {
            fail(app, "load options are longer than %u characters: ignored", BOOT_CMDLINE_MAX - 1);
            line[0] = 0;
            return;
        }
        line[n] = options[n];
    }
    line[n] = 0;
    while (line[word] && line[word] != ' ')
        word++;
    if (ends_in_efi(line, word)) {
        while (line[word] == ' ')
            word++;
        memmove(line, line + word, n + 1 - word);
    }
}

static const void *configuration_table(struct app *app, const EFI_GUID *guid)
{
    for (UINTN i = 0; i < app->system->NumberOfTableEntries; i++)
        if (!memcmp(&app->system->ConfigurationTable[i].VendorGuid, guid, sizeof(*guid)))
            return app->system->ConfigurationTable[i].VendorTable;
    return NULL;
}

static void read_rsdp(struct app *app)
{
    const void *rsdp = configuration_table(app, &acpi2_guid);
    u32 size = 36;

    if (!rsdp) {
        rsdp = configuration_table(app, &acpi1_guid);
        size = 20;
    }
    if (rsdp) {
        memcpy(app->info->rsdp, rsdp, size);
        app->info->rsdp_size = size;
    }
}

static void field(u32 mask, u8 *pos, u8 *size)
{
    *pos = mask ? __builtin_ctz(mask) : 0;
    *size = mask ? 32 - __builtin_clz(mask) - *pos : 0;
}

static void read_framebuffer(struct app *app)
{
    static const EFI_PIXEL_BITMASK rgb = {0xff, 0xff00, 0xff0000, 0xff000000};
    static const EFI_PIXEL_BITMASK bgr = {0xff0000, 0xff00, 0xff, 0xff000000};
    struct boot_framebuffer *fb = &app->info->fb;
    EFI_GRAPHICS_OUTPUT_PROTOCOL *graphics;
    EFI_GRAPHICS_OUTPUT_MODE_INFORMATION *mode;
    EFI_PIXEL_BITMASK mask;
    u32 all;

    if (app->services->LocateProtocol(&graphics_guid, NULL, (void **)&graphics) != EFI_SUCCESS ||
        !graphics->Mode)
        return;
    mode = graphics->Mode->Info;
    if (mode->PixelFormat == PixelRedGreenBlueReserved8BitPerColor)
        mask = rgb;
    else if (mode->PixelFormat == PixelBlueGreenRedReserved8BitPerColor)
        mask = bgr;
    else if (mode->PixelFormat == PixelBitMask)
        mask = mode->PixelInformation;
    else
        return; /* no framebuffer to write to */
    all = mask.RedMask | mask.GreenMask | mask.BlueMask | mask.ReservedMask;
    fb->base = graphics->Mode->FrameBufferBase;
    fb->type = BOOT_FB_RGB;
    fb->bpp = all >> 24 ? 32 : all >> 16 ? 24 : 16;
    fb->width = mode->HorizontalResolution;
    fb->height = mode->VerticalResolution;
    fb->pitch = mode->PixelsPerScanLine * (fb->bpp / 8);
    field(mask.RedMask, &fb->red_pos, &fb->red_size);
    field(mask.GreenMask, &fb->green_pos, &fb->green_size);
    field(mask.BlueMask, &fb->blue_pos, &fb->blue_size);
}

void read_firmware(struct app *app)
{
    app->info->efi = 1;
    str_copy(app->info->loader, "UEFI application", sizeof(app->info->loader));
    read_command_line(app);
    read_rsdp(app);
    read_framebuffer(app);
}

/* A buffer for the memory map with room to grow; it cannot be had later. */
static void *map_buffer(struct app *app, UINTN *size)
{
    UINTN key, descriptor = 0;
    UINT32 version;
    void *buffer;

    *size = 0;
    if (app->services->GetMemoryMap(size, NULL, &key, &descriptor, &version) != EFI_BUFFER_TOO_SMALL)
        return NULL;
    *size += SLACK_DESCRIPTORS * descriptor;
    return app->services->AllocatePool(EfiLoaderData, *size, &buffer) == EFI_SUCCESS ? buffer : NULL;
}

/*
 * ExitBootServices() fails when the map changed since its key was taken, by a timer's event for instance:
 * then it is taken again. Once it failed, firmware may have stopped in part, so that nothing else may be
 * called.
 */
bool leave_firmware(struct app *app)
{
    u32 nr_own = app->info->nr_ranges; /* entered before: what is reserved for the start */
    UINTN room, size, key, descriptor;
    UINT32 version;
    void *buffer = map_buffer(app, &room);

    if (!buffer)
        return fail(app, "no memory for the memory map: the machine needs more");
    for (u32 i = 0; i < EXIT_TRIES; i++) {
        size = room;
        if (app->services->GetMemoryMap(&size, buffer, &key, &descriptor, &version) != EFI_SUCCESS)
            break;
        app->info->nr_ranges = nr_own;
        memory_map_convert(app->info, buffer, size, descriptor);
        if (app->services->ExitBootServices(app->handle, key) == EFI_SUCCESS)
            return true;
    }
    return fail(app, "the firmware does not let go (ExitBootServices fails): restart the machine");
}
