/* SPDX-License-Identifier: MIT */
/* nidus.conf and the files that it names, from where the application came from. */
#include "boot/efi/app.h"
#include "boot/efi/source.h"
#include "lib/string.h"
#include "vmm/config.h"

#define CONFIG_NAME "nidus.conf"
#define FOLDER      "nidus/" /* where the media that the project makes have it */

struct loader {
    struct app *app;
    struct source source;
    char base[PATH_MAX]; /* directory of nidus.conf: where other files are looked for first */
    struct config *config;
};

/* directory/name; false: too long. */
static bool join(char *path, const char *directory, const char *name)
{
    size_t n = strlen(directory);

    return str_copy(path, directory, PATH_MAX) && str_copy(path + n, name, PATH_MAX - n);
}

static bool open(struct loader *l, const char *directory, const char *name, u64 *size)
{
    char path[PATH_MAX];

    return join(path, directory, name) && l->source.open(&l->source, path, size);
}

/* Reads the file that is open into memory as the next boot module. */
#define FILE_MAX (GiB(1) << 10)

static bool load_open(struct loader *l, const char *name, u64 size)
{
    struct boot_info *info = l->app->info;
    struct boot_module *m = &info->modules[info->nr_modules];
    u8 *memory;

    if (size == ~0ull)
        return fail(l->app, "%s is not a file", name);
    if (size > FILE_MAX)
        return fail(l->app, "%s has %lu GiB, it is said: that cannot be", name, size >> 30);
    memory = alloc(l->app, MAX(size, 1ull), PAGE_SIZE);
    if (!memory)
        return fail(l->app, "no memory for %s, %lu KiB: the machine needs more", name, size >> 10);
    if (!l->source.read(&l->source, memory, size)) {
        release(l->app, memory, MAX(size, 1ull));
        return fail(l->app, "reading %s failed: check the %s", name, l->source.what);
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
static void load(struct loader *l, const char *name, u32 line)
{
    u64 size;

    if (!name[0] || loaded(l->app->info, name))
        return;
    if (l->app->info->nr_modules == BOOT_MAX_MODULES) {
        fail(l->app, "%s:%u: %s is left out: no more than %u files", CONFIG_NAME, line, name,
             BOOT_MAX_MODULES);
        return;
    }
    if (!open(l, l->base, name, &size) && !open(l, l->source.root, name, &size)) {
        fail(l->app, "%s:%u: there is no file %s on this %s: copy it there", CONFIG_NAME, line, name,
             l->source.what);
        return;
    }
    load_open(l, name, size);
    l->source.close(&l->source);
}

/* Nidus parses it again and reports then, with its log running. */
static void ignore(void *ctx, const char *message)
{
    (void)ctx;
    (void)message;
}

static void load_named_files(struct loader *l)
{
    const struct boot_module *conf = &l->app->info->modules[0];

    config_parse(l->config, CONFIG_NAME, (const char *)conf->base, conf->size, NULL, ignore, NULL);
    for (u32 i = 0; i < l->config->nr_vms; i++) {
        const struct config_vm *vm = &l->config->vms[i];

        load(l, vm->kernel, vm->kernel_line);
        load(l, vm->initrd, vm->initrd_line);
        for (u32 m = 0; m < vm->nr_modules; m++)
            load(l, vm->modules[m].file, vm->modules[m].line);
        for (u32 d = 0; d < vm->nr_disks; d++)
            load(l, vm->disks[d].file, vm->disks[d].line);
    }
}

/* Opens nidus.conf in the first of the directories that has it, and notes which that is. */
static bool open_config(struct loader *l, u64 *size)
{
    const char *const tops[] = {l->source.own, l->source.root};

    for (u32 i = 0; i < ARRAY_SIZE(tops); i++) {
        if (str_copy(l->base, tops[i], PATH_MAX) && open(l, l->base, CONFIG_NAME, size))
            return true;
        if (join(l->base, tops[i], FOLDER) && open(l, l->base, CONFIG_NAME, size))
            return true;
    }
    return false;
}

/* False: there is no nidus.conf. */
static bool load_from(struct loader *l)
{
    u64 size;
    bool there = open_config(l, &size), read;

    if (!there)
        return false;
    read = load_open(l, CONFIG_NAME, size);
    l->source.close(&l->source);
    if (read)
        load_named_files(l);
    return true;
}

bool load_files(struct app *app)
{
    bool (*const sources[])(struct source *, struct app *) = {volume_source, network_source, http_source};
    struct loader l = {.app = app};
    bool readable = false, done = false;

    l.config = alloc(app, sizeof(*l.config), PAGE_SIZE);
    if (!l.config)
        return fail(app, "no memory to read %s: the machine needs more", CONFIG_NAME);
    /* iPXE shows what it has fetched as a volume. Its own PXE code does not tell sizes of files. */
    for (u32 i = 0; i < ARRAY_SIZE(sources) && !done; i++) {
        if (!sources[i](&l.source, app))
            continue;
        readable = true;
        done = load_from(&l);
    }
    release(app, l.config, sizeof(*l.config));
    if (!readable)
        return fail(
            app,
            "where this application came from cannot be read: start it from a FAT volume, by TFTP or by HTTP");
    if (!done) /* Nidus goes on to say so where somebody hears it. */
        fail(app,
             "no %s beside the application, in the folder nidus, or at the root of its volume: write one",
             CONFIG_NAME);
    return true;
}
