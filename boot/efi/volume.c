/* SPDX-License-Identifier: MIT */
/* Files of the volume that the application came from. */
#include "boot/efi/source.h"

#define CHUNK MiB(16) /* some firmware fails at very large reads */

static EFI_GUID file_system_guid = EFI_SIMPLE_FILE_SYSTEM_PROTOCOL_GUID;

static bool open(struct source *s, const char *path, u64 *size)
{
    CHAR16 wide[PATH_MAX] = {0};

    for (u32 i = 0; path[i]; i++)
        wide[i] = path[i] == '/' ? '\\' : (u8)path[i];
    if (s->volume->Open(s->volume, &s->file, wide, EFI_FILE_MODE_READ, 0) != EFI_SUCCESS)
        return false;
    /* The position beyond all ends is the end; a directory has none. */
    if (s->file->SetPosition(s->file, ~0ull) != EFI_SUCCESS ||
        s->file->GetPosition(s->file, (UINT64 *)size) != EFI_SUCCESS ||
        s->file->SetPosition(s->file, 0) != EFI_SUCCESS)
        *size = ~0ull;
    return true;
}

static bool read(struct source *s, u8 *to, u64 size)
{
    while (size) {
        UINTN n = MIN(size, CHUNK);

        if (s->file->Read(s->file, &n, to) != EFI_SUCCESS || !n)
            return false;
        to += n;
        size -= n;
    }
    return true;
}

static void close(struct source *s)
{
    s->file->Close(s->file);
}

/* The directory in which the application lies: its device path is a list of pieces of its file's path. */
static void find_own_directory(struct source *s)
{
    const EFI_DEVICE_PATH *node = s->app->self->FilePath;
    u32 n = 0, end = 0;

    for (; node && !IsDevicePathEnd(node); node = NextDevicePathNode(node)) {
        const CHAR16 *text = ((const FILEPATH_DEVICE_PATH *)node)->PathName;
        u32 max = (DevicePathNodeLength(node) - SIZE_OF_FILEPATH_DEVICE_PATH) / sizeof(CHAR16);

        if (DevicePathType(node) != MEDIA_DEVICE_PATH || DevicePathSubType(node) != MEDIA_FILEPATH_DP)
            continue;
        if (n && s->own[n - 1] != '/' && n < PATH_MAX - 1)
            s->own[n++] = '/';
        for (u32 i = 0; i < max && text[i] && n < PATH_MAX - 1; i++)
            s->own[n++] = text[i] == '\\' ? '/' : text[i] < 0x7f ? text[i] : '?';
    }
    for (u32 i = 0; i < n; i++)
        if (s->own[i] == '/')
            end = i + 1;
    s->own[end] = 0;
}

bool volume_source(struct source *s, struct app *app)
{
    EFI_SIMPLE_FILE_SYSTEM_PROTOCOL *fs;

    *s = (struct source){
        .app = app, .what = "volume", .root = "/", .open = open, .read = read, .close = close};
    if (app->services->HandleProtocol(app->self->DeviceHandle, &file_system_guid, (void **)&fs) !=
            EFI_SUCCESS ||
        fs->OpenVolume(fs, &s->volume) != EFI_SUCCESS)
        return false;
    find_own_directory(s);
    return true;
}
