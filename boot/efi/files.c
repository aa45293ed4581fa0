/* SPDX-License-Identifier: MIT */
/* Files of the volume that the application came from. */
#include "boot/efi/app.h"
#include "lib/string.h"
#include "vmm/config.h"

#define CONFIG_NAME "nidus.conf"
#define PATH_MAX    256
#define CHUNK       MiB(16) /* some firmware fails at very large reads */

struct volume {
    struct app *app;
    EFI_FILE_PROTOCOL *root;
    char own[PATH_MAX]; /* directory of the application, with a backslash at its end */
    const char *base;   /* directory of nidus.conf: where other files are looked for first */
    struct config *config;
};

static EFI_GUID file_system_guid = EFI_SIMPLE_FILE_SYSTEM_PROTOCOL_GUID;

/* Appends name, with slashes turned round, to a path of PATH_MAX characters. False: too long. */
static bool append(CHAR16 *path, const char *name)
{
    u32 n = 0;

    while (path[n])
        n++;
    for (; *name; name++) {
        if (n == PATH_MAX - 1)
            return false;
        path[n++] = *name == '/' ? '\\' : (u8)*name;
    }
    path[n] = 0;
    return true;
}

static EFI_FILE_PROTOCOL *open(struct volume *v, const char *directory, const char *name)
{
    CHAR16 path[PATH_MAX] = {0};
    EFI_FILE_PROTOCOL *file;

    if (!append(path, directory) || !append(path, name) ||
        v->root->Open(v->root, &file, path, EFI_FILE_MODE_READ, 0) != EFI_SUCCESS)
        return NULL;
    return file;
}

static bool read_all(EFI_FILE_PROTOCOL *file, u8 *to, u64 size)
{
    while (size) {
        UINTN n = MIN(size, CHUNK);

        if (file->Read(file, &n, to) != EFI_SUCCESS || !n)
            return false;
        to += n;
        size -= n;
    }
    return true;
}

/* Reads an open file into memory as the next boot module. */
static bool load_open(struct volume *v, EFI_FILE_PROTOCOL *file, const char *name)
{
    struct boot_info *info = v->app->info;
    struct boot_module *m = &info->modules[info->nr_modules];
    UINT64 size;
    u8 *memory;

    /* The position beyond all ends is the end; a directory has none. */
    if (file->SetPosition(file, ~0ull) != EFI_SUCCESS || file->GetPosition(file, &size) != EFI_SUCCESS ||
        file->SetPosition(file, 0) != EFI_SUCCESS)
        return fail(v->app, "%s is not a file", name);
    memory = alloc(v->app, MAX(size, 1ull), PAGE_SIZE);
    if (!memory)
        return fail(v->app, "no memory for %s, %lu KiB: the machine needs more", name, size >> 10);
    if (!read_all(file, memory, size)) {
        release(v->app, memory, MAX(size, 1ull));
        return fail(v->app, "reading %s failed: check the volume", name);
    }
    m->base = (u64)memory;
    m->size = size;
    str_copy(m->name, name, sizeof(m->name));
    info->nr_modules++;
    return true;
}

static bool loaded(const struct boot_info *info, const char *name)
{
    for (u32 i = 0; i < info->nr_modules; i++)
        if (!strcmp(info->modules[i].name, name))
            return true;
    return false;
}

/* A file that the configuration names, once; beside nidus.conf, else from the root. */
static void load(struct volume *v, const char *name, u32 line)
{
    EFI_FILE_PROTOCOL *file;

    if (!name[0] || loaded(v->app->info, name))
        return;
    if (v->app->info->nr_modules == BOOT_MAX_MODULES) {
        fail(v->app, "%s:%u: %s is left out: no more than %u files", CONFIG_NAME, line, name,
             BOOT_MAX_MODULES);
        return;
    }
    file = open(v, v->base, name);
    if (!file)
        file = open(v, "\\", name);
    if (!file) {
        fail(v->app, "%s:%u: there is no file %s on this volume: copy it there", CONFIG_NAME, line, name);
        return;
    }
    load_open(v, file, name);
    file->Close(file);
}

/* Nidus parses it again and reports then, with its log running. */
static void ignore(void *ctx, const char *message)
{
    (void)ctx;
    (void)message;
}

static void load_named_files(struct volume *v)
{
    const struct boot_module *conf = &v->app->info->modules[0];

    config_parse(v->config, CONFIG_NAME, (const char *)conf->base, conf->size, NULL, ignore, NULL);
    for (u32 i = 0; i < v->config->nr_vms; i++) {
        const struct config_vm *vm = &v->config->vms[i];

        load(v, vm->kernel, vm->kernel_line);
        load(v, vm->initrd, vm->initrd_line);
        for (u32 m = 0; m < vm->nr_modules; m++)
            load(v, vm->modules[m].file, vm->modules[m].line);
        for (u32 d = 0; d < vm->nr_disks; d++)
            load(v, vm->disks[d].file, vm->disks[d].line);
    }
}

/* The directory in which the application lies: its device path is a list of pieces of its file's path. */
static void find_own_directory(struct volume *v)
{
    const EFI_DEVICE_PATH *node = v->app->self->FilePath;
    u32 n = 0, end = 0;

    for (; node && !IsDevicePathEnd(node); node = NextDevicePathNode(node)) {
        const CHAR16 *text = ((const FILEPATH_DEVICE_PATH *)node)->PathName;
        u32 max = (DevicePathNodeLength(node) - SIZE_OF_FILEPATH_DEVICE_PATH) / sizeof(CHAR16);

        if (DevicePathType(node) != MEDIA_DEVICE_PATH || DevicePathSubType(node) != MEDIA_FILEPATH_DP)
            continue;
        if (n && v->own[n - 1] != '\\' && n < PATH_MAX - 1)
            v->own[n++] = '\\';
        for (u32 i = 0; i < max && text[i] && n < PATH_MAX - 1; i++)
            v->own[n++] = text[i] < 0x7f ? text[i] : '?';
    }
    for (u32 i = 0; i < n; i++)
        if (v->own[i] == '\\')
            end = i + 1;
    v->own[end] = 0;
}

static void load_from(struct volume *v)
{
    EFI_FILE_PROTOCOL *file;

    find_own_directory(v);
    v->base = v->own;
    file = open(v, v->own, CONFIG_NAME);
    if (!file) {
        v->base = "\\";
        file = open(v, v->base, CONFIG_NAME);
    }
    if (!file) {
        /* Nidus goes on to say so where somebody hears it. */
        fail(v->app, "no %s beside the application or at the root of its volume: write one", CONFIG_NAME);
        return;
    }
    if (load_open(v, file, CONFIG_NAME))
        load_named_files(v);
    file->Close(file);
}

bool load_files(struct app *app)
{
    EFI_SIMPLE_FILE_SYSTEM_PROTOCOL *fs;
    struct volume v = {.app = app};

    if (app->services->HandleProtocol(app->self->DeviceHandle, &file_system_guid, (void **)&fs) !=
            EFI_SUCCESS ||
        fs->OpenVolume(fs, &v.root) != EFI_SUCCESS)
        return fail(
            app, "the volume of this application cannot be read: start it from a FAT volume, not a network");
    v.config = alloc(app, sizeof(*v.config), PAGE_SIZE);
    if (!v.config)
        return fail(app, "no memory to read %s: the machine needs more", CONFIG_NAME);
    load_from(&v);
    release(app, v.config, sizeof(*v.config));
    v.root->Close(v.root);
    return true;
}
