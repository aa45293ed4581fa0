/* SPDX-License-Identifier: MIT */
/* Messages and memory. */
#include "boot/efi/app.h"
#include "lib/format.h"

#define WAIT_SECONDS 10

static void put(void *ctx, const char *text, size_t n)
{
    struct app *app = ctx;
    CHAR16 out[2] = {0};

    for (size_t i = 0; i < n; i++) {
        out[0] = (u8)text[i] < 0x7f ? text[i] : '?';
        app->system->ConOut->OutputString(app->system->ConOut, out);
    }
}

static void put_line(struct app *app, const char *prefix, const char *fmt, va_list args)
{
    const char *end = "\r\n";

    while (*prefix)
        put(app, prefix++, 1);
    format_to(put, app, fmt, args);
    put(app, end, 2);
}

void say(struct app *app, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    put_line(app, "nidus: ", fmt, args);
    va_end(args);
}

bool fail(struct app *app, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    put_line(app, "nidus: error: ", fmt, args);
    va_end(args);
    return false;
}

void wait_for_key(struct app *app)
{
    EFI_INPUT_KEY key;

    say(app, "back to the firmware in %u seconds, or at a key", WAIT_SECONDS);
    for (u32 i = 0; i < WAIT_SECONDS * 10; i++) {
        if (app->system->ConIn->ReadKeyStroke(app->system->ConIn, &key) == EFI_SUCCESS)
            break;
        app->services->Stall(100000);
    }
}

void *alloc(struct app *app, u64 size, u64 align)
{
    u64 pages = ALIGN_UP(size, PAGE_SIZE) / PAGE_SIZE, spare = align / PAGE_SIZE - 1, before;
    EFI_PHYSICAL_ADDRESS at = GiB(4) - 1, from;

    if (app->services->AllocatePages(AllocateMaxAddress, EfiLoaderData, pages + spare, &at) != EFI_SUCCESS &&
        app->services->AllocatePages(AllocateAnyPages, EfiLoaderData, pages + spare, &at) != EFI_SUCCESS)
        return NULL;
    from = ALIGN_UP(at, align);
    before = (from - at) / PAGE_SIZE;
    if (before)
        app->services->FreePages(at, before);
    if (spare - before)
        app->services->FreePages(from + pages * PAGE_SIZE, spare - before);
    app->highest = MAX(app->highest, from + pages * PAGE_SIZE);
    return (void *)from;
}

void release(struct app *app, void *memory, u64 size)
{
    app->services->FreePages((EFI_PHYSICAL_ADDRESS)memory, ALIGN_UP(size, PAGE_SIZE) / PAGE_SIZE);
}
