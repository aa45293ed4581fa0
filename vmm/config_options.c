/* SPDX-License-Identifier: MIT */
/* One table of options; each has a function that checks a value and stores it. */
#include "lib/string.h"
#include "lib/text.h"
#include "vmm/config_parser.h"

#define MEMORY_MIN    MiB(1)
#define MEMORY_MAX    (GiB(1) << 16) /* 64 TiB */
#define CPU_MAX       1023
#define HALT_POLL_MAX 10000
#define APIC_ALL      0xff /* is not an id: it addresses all */

static void set_serial(struct parser *p, const char *name, const char *value, struct serial_port *to)
{
    char copy[64];
    struct serial_port port;

    if (str_copy(copy, value, sizeof(copy)) && config_serial_port(copy, &port))
        *to = port;
    else
        config_problem(p, p->line, "unknown %s '%.60s'; use " CONFIG_SERIAL_PORTS, name, value);
}

static void set_console(struct parser *p, char *value)
{
    set_serial(p, "console", value, &p->config->console);
}

static void set_gdb(struct parser *p, char *value)
{
    p->config->gdb_on_console = !strcmp(value, "console");
    if (!p->config->gdb_on_console)
        set_serial(p, "gdb", value, &p->config->gdb);
}

static void set_loglevel(struct parser *p, char *value)
{
    static const char *const names[] = {"error", "warn", "info", "debug"}; /* from LOG_ERROR on */
    int level = text_choose(value, names, ARRAY_SIZE(names));

    if (level < 0)
        config_problem(p, p->line, "unknown loglevel '%.60s'; use error, warn, info or debug", value);
    else
        p->config->loglevel = (enum log_level)(LOG_ERROR + level);
}

static void set_poll(struct parser *p, char *value)
{
    const char *at = value;
    u64 cpu;

    if (!text_take_number(&at, &cpu) || *at || cpu > CPU_MAX) {
        config_problem(p, p->line, "poll is '%.60s'; write a physical CPU's number, 0 to %d", value, CPU_MAX);
        return;
    }
    p->config->poll = (s32)cpu;
    p->config->poll_line = p->line;
}

static void set_halt_poll(struct parser *p, char *value)
{
    const char *at = value;
    u64 us;

    if (!text_take_number(&at, &us) || *at || us > HALT_POLL_MAX)
        config_problem(p, p->line, "haltpoll is '%.60s'; write microseconds, 0 to %d", value, HALT_POLL_MAX);
    else
        p->config->halt_poll = (u32)us;
}

/* File names are told apart from their arguments, here and by boot loaders, by white space. */
static bool set_file(struct parser *p, char file[CONFIG_FILE_MAX], const char *value)
{
    if (text_has_blank(value)) {
        config_problem(p, p->line, "white space in the file name '%.60s'; rename the file", value);
        return false;
    }
    if (!str_copy(file, value, CONFIG_FILE_MAX)) {
        config_problem(p, p->line, "the file name '%.30s...' is too long; use at most %d characters", value,
                       CONFIG_FILE_MAX - 1);
        return false;
    }
    return true;
}

static void set_kernel(struct parser *p, char *value)
{
    if (set_file(p, p->vm->kernel, value))
        p->vm->kernel_line = p->line;
}

static void set_initrd(struct parser *p, char *value)
{
    if (set_file(p, p->vm->initrd, value))
        p->vm->initrd_line = p->line;
}

static void set_module(struct parser *p, char *value)
{
    struct config_module *module;
    const char *args = text_split_word(value);

    if (p->vm->nr_modules == CONFIG_MAX_MODULES) {
        config_problem(p, p->line, "too many modules in [vm %s]; use at most %d", p->vm->name,
                       CONFIG_MAX_MODULES);
        return;
    }
    module = &p->vm->modules[p->vm->nr_modules];
    if (!set_file(p, module->file, value))
        return;
    if (!str_copy(module->args, args, sizeof(module->args))) {
        config_problem(p, p->line, "the arguments of module '%s' are too long; use at most %d characters",
                       value, (int)sizeof(module->args) - 1);
        return;
    }
    module->line = p->line;
    p->vm->nr_modules++;
}

static void set_cmdline(struct parser *p, char *value)
{
    if (!str_copy(p->vm->cmdline, value, sizeof(p->vm->cmdline)))
        config_problem(p, p->line, "the command line has %zu characters; use at most %d", strlen(value),
                       CONFIG_TEXT_MAX - 1);
}

static void set_memory(struct parser *p, char *value)
{
    static const char units[] = "KMG";
    const char *at = value, *unit;
    u64 size;

    if (!text_take_number(&at, &size))
        goto malformed;
    unit = *at ? strchr(units, *at) : NULL;
    if (unit) {
        u32 shift = 10 * ((u32)(unit - units) + 1);

        if (size > MEMORY_MAX >> shift)
            size = MEMORY_MAX >> shift << 1; /* too large in any case */
        size <<= shift;
        at++;
    }
    if (*at)
        goto malformed;
    if (size < MEMORY_MIN || size > MEMORY_MAX)
        config_problem(p, p->line, "memory '%.60s' is out of range; use 1M to 65536G", value);
    else if (!IS_ALIGNED(size, PAGE_SIZE))
        config_problem(p, p->line, "memory '%.60s' is not a multiple of 4K; round it to whole pages", value);
    else
        p->vm->memory = size;
    return;
malformed:
    config_problem(p, p->line, "'%.60s' is not a size; write a number and K, M or G, as in 512M", value);
}

static void set_vcpus(struct parser *p, char *value)
{
    const char *at = value;
    u64 n;

    p->vcpus_bad = !text_take_number(&at, &n) || *at || n < 1 || n > CONFIG_MAX_VCPUS;
    if (p->vcpus_bad)
        config_problem(p, p->line, "'%.60s' is not a number of vCPUs; use 1 to %d", value, CONFIG_MAX_VCPUS);
    else
        p->vm->vcpus = (u32)n;
}

static void set_pin(struct parser *p, char *value)
{
    struct config_vm *vm = p->vm;

    for (char *next; value; value = next) {
        const char *at;
        u64 cpu;

        next = text_split(value, ',');
        value = text_trim(value);
        at = value;
        if (!text_take_number(&at, &cpu) || *at || cpu > CPU_MAX) {
            config_problem(p, p->line,
                           "'%.60s' is not a physical CPU; write numbers from 0 to %d, as in pin = 0,1",
                           value, CPU_MAX);
            vm->nr_pins = 0;
            return;
        }
        if (vm->nr_pins == CONFIG_MAX_VCPUS) {
            config_problem(p, p->line, "too many CPUs in the list; give one for each vCPU");
            vm->nr_pins = 0;
            return;
        }
        vm->pin[vm->nr_pins++] = (s16)cpu;
    }
}

/* False: something is wrong with it, which is said. */
static bool add_apic_id(struct parser *p, const char *value)
{
    struct config_vm *vm = p->vm;
    const char *at = value;
    u64 id;

    if (!text_take_number(&at, &id) || *at || id > CONFIG_APIC_ID_MAX || id == APIC_ALL) {
        config_problem(
            p, p->line,
            "'%.60s' is not an APIC id; write numbers from 0 to %d other than %d, as in apicid = 0,2", value,
            CONFIG_APIC_ID_MAX, APIC_ALL);
        return false;
    }
    for (u32 i = 0; i < vm->nr_apic_ids; i++) {
        if (vm->apic_id[i] == id) {
            config_problem(p, p->line, "two vCPUs have APIC id %lu; give each its own", id);
            return false;
        }
    }
    if (vm->nr_apic_ids == CONFIG_MAX_VCPUS) {
        config_problem(p, p->line, "too many APIC ids in the list; give one for each vCPU");
        return false;
    }
    vm->apic_id[vm->nr_apic_ids++] = (u16)id;
    return true;
}

static void set_apicid(struct parser *p, char *value)
{
    p->vm->apicid_line = p->line;
    for (char *next; value; value = next) {
        next = text_split(value, ',');
        if (!add_apic_id(p, text_trim(value))) {
            p->vm->nr_apic_ids = 0;
            return;
        }
    }
}

static void set_switch(struct parser *p, const char *name, const char *value, bool *option)
{
    static const char *const names[] = {"off", "on"};
    int on = text_choose(value, names, ARRAY_SIZE(names));

    if (on < 0)
        config_problem(p, p->line, "%s is '%.60s'; use on or off", name, value);
    else
        *option = on;
}

static void set_nested(struct parser *p, char *value)
{
    set_switch(p, "nested", value, &p->vm->nested);
}

static void set_rng(struct parser *p, char *value)
{
    set_switch(p, "rng", value, &p->vm->rng);
}

static void set_vconsole(struct parser *p, char *value)
{
    set_switch(p, "vconsole", value, &p->vm->vconsole);
}

static void set_disk(struct parser *p, char *value)
{
    struct config_disk *disk;

    if (p->vm->nr_disks == CONFIG_MAX_DISKS) {
        config_problem(p, p->line, "too many disks in [vm %s]; use at most %d", p->vm->name,
                       CONFIG_MAX_DISKS);
        return;
    }
    disk = &p->vm->disks[p->vm->nr_disks];
    if (set_file(p, disk->file, value)) {
        disk->line = p->line;
        p->vm->nr_disks++;
    }
}

/* One more in a list of names that are each a what's; whats: what the VM has by them. */
static void add_name(struct parser *p, const char *value, const char *what, const char *whats,
                     char names[][CONFIG_NAME_MAX], u32 *n, u32 max)
{
    if (!config_is_name(value))
        config_problem(p, p->line, "'%.60s' is not a %s's name; use 1 to %d letters, digits, '-' and '_'",
                       value, what, CONFIG_NAME_MAX - 1);
    else if (*n == max)
        config_problem(p, p->line, "too many %s in [vm %s]; use at most %u", whats, p->vm->name, max);
    else
        str_copy(names[(*n)++], value, CONFIG_NAME_MAX);
}

static void set_net(struct parser *p, char *value)
{
    add_name(p, value, "switch", "network cards", p->vm->nets, &p->vm->nr_nets, CONFIG_MAX_NETS);
}

static void set_channel(struct parser *p, char *value)
{
    for (u32 i = 0; i < p->vm->nr_channels; i++) {
        if (!strcmp(p->vm->channels[i], value)) {
            config_problem(p, p->line, "channel '%s' is named twice; remove one", value);
            return;
        }
    }
    add_name(p, value, "channel", "channels", p->vm->channels, &p->vm->nr_channels, CONFIG_MAX_CHANNELS);
}

static void add_hidden(struct parser *p, const char *name)
{
    struct config_vm *vm = p->vm;

    for (u32 i = 0; i < vm->nr_hide; i++) {
        if (!strcmp(vm->hide[i], name)) {
            config_problem(p, p->line, "feature '%s' is hidden twice; remove one", name);
            return;
        }
    }
    if (!*name)
        config_problem(p, p->line,
                       "empty feature name; write the names with one comma between two, as in hide = X,Y");
    else if (p->hide_known && !p->hide_known(name))
        config_problem(p, p->line, "unknown feature '%.60s'; use a name listed in docs/configuration.md",
                       name);
    else if (vm->nr_hide == CONFIG_MAX_HIDE)
        config_problem(p, p->line, "too many features to hide; use at most %d", CONFIG_MAX_HIDE);
    else if (!str_copy(vm->hide[vm->nr_hide], name, sizeof(vm->hide[0])))
        config_problem(p, p->line, "the feature name '%.40s...' is too long; use at most %d characters", name,
                       (int)sizeof(vm->hide[0]) - 1);
    else
        vm->nr_hide++;
}

static void set_hide(struct parser *p, char *value)
{
    for (char *next; value; value = next) {
        next = text_split(value, ',');
        add_hidden(p, text_trim(value));
    }
}

static void set_restart(struct parser *p, char *value)
{
    static const char *const names[] = {"never", "reset", "crash"}; /* in the order of enum config_restart */
    int restart = text_choose(value, names, ARRAY_SIZE(names));

    if (restart < 0)
        config_problem(p, p->line, "unknown restart '%.60s'; use never, reset or crash", value);
    else
        p->vm->restart = (enum config_restart)restart;
}

const char *const config_apic_names[] = {"emulated", "apicv", "posted"};

static void set_apic(struct parser *p, char *value)
{
    int level = text_choose(value, config_apic_names, APIC_POSTED + 1);

    if (level < 0)
        config_problem(p, p->line, "unknown apic '%.60s'; use emulated, apicv or posted", value);
    else
        p->vm->apic = (enum config_apic)level;
}

static void set_crash(struct parser *p, char *value)
{
    static const char *const names[] = {"end", "keep"};
    int crash = text_choose(value, names, ARRAY_SIZE(names));

    if (crash < 0)
        config_problem(p, p->line, "unknown crash '%.60s'; use end or keep", value);
    else
        p->config->keep_crashed = crash;
}

const struct config_option config_options[NR_OPTIONS] = {
    [OPTION_CONSOLE] = {"console", SECTION_NIDUS, set_console, 0},
    [OPTION_LOGLEVEL] = {"loglevel", SECTION_NIDUS, set_loglevel, 0},
    [OPTION_POLL] = {"poll", SECTION_NIDUS, set_poll, 0},
    [OPTION_HALT_POLL] = {"haltpoll", SECTION_NIDUS, set_halt_poll, 0},
    [OPTION_CRASH] = {"crash", SECTION_NIDUS, set_crash, 0},
    [OPTION_GDB] = {"gdb", SECTION_NIDUS, set_gdb, 0},
    [OPTION_KERNEL] = {"kernel", SECTION_VM, set_kernel, 0},
    [OPTION_MODULE] = {"module", SECTION_VM, set_module, REPEATABLE | FREE_TEXT},
    [OPTION_INITRD] = {"initrd", SECTION_VM, set_initrd, 0},
    [OPTION_CMDLINE] = {"cmdline", SECTION_VM, set_cmdline, MAY_BE_EMPTY | FREE_TEXT},
    [OPTION_MEMORY] = {"memory", SECTION_VM, set_memory, 0},
    [OPTION_VCPUS] = {"vcpus", SECTION_VM, set_vcpus, 0},
    [OPTION_PIN] = {"pin", SECTION_VM, set_pin, 0},
    [OPTION_APICID] = {"apicid", SECTION_VM, set_apicid, 0},
    [OPTION_NESTED] = {"nested", SECTION_VM, set_nested, 0},
    [OPTION_HIDE] = {"hide", SECTION_VM, set_hide, 0},
    [OPTION_APIC] = {"apic", SECTION_VM, set_apic, 0},
    [OPTION_RESTART] = {"restart", SECTION_VM, set_restart, 0},
    [OPTION_DISK] = {"disk", SECTION_VM, set_disk, REPEATABLE},
    [OPTION_NET] = {"net", SECTION_VM, set_net, REPEATABLE},
    [OPTION_CHANNEL] = {"channel", SECTION_VM, set_channel, REPEATABLE},
    [OPTION_RNG] = {"rng", SECTION_VM, set_rng, 0},
    [OPTION_VCONSOLE] = {"vconsole", SECTION_VM, set_vconsole, 0},
    [OPTION_IRQ] = {"irq", SECTION_VM, config_set_irq, REPEATABLE},
    [OPTION_PORT] = {"port", SECTION_VM, config_set_port, REPEATABLE},
    [OPTION_MMIO] = {"mmio", SECTION_VM, config_set_mmio, REPEATABLE},
};

const char *const config_known_options[] = {
    [SECTION_NIDUS] = PACK "console, loglevel, poll, haltpoll, crash, gdb",
    [SECTION_VM] = PACK "kernel, module, initrd, cmdline, memory, vcpus, pin, apicid, nested, hide, "
                        "apic, restart, disk, net, channel, rng, vconsole, irq, port, mmio",
};

void config_check_vm(struct parser *p, struct config_vm *vm)
{
    if (!p->seen[OPTION_KERNEL])
        config_problem(p, vm->line, "[vm %s] has no kernel; add 'kernel = FILE'", vm->name);
    if (vm->nr_pins && vm->nr_pins != vm->vcpus && !p->vcpus_bad) {
        config_problem(p, p->seen[OPTION_PIN],
                       "pin names %u CPUs but [vm %s] has %u vCPUs; give one for each", vm->nr_pins, vm->name,
                       vm->vcpus);
        vm->nr_pins = 0;
    }
    if (vm->nr_apic_ids && vm->nr_apic_ids != vm->vcpus && !p->vcpus_bad) {
        config_problem(p, vm->apicid_line, "apicid names %u ids but [vm %s] has %u vCPUs; give one for each",
                       vm->nr_apic_ids, vm->name, vm->vcpus);
        vm->nr_apic_ids = 0;
    }
}
