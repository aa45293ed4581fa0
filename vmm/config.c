/* SPDX-License-Identifier: MIT */
/*
 * The configuration file. One table of options; each has a function that checks a value and stores it. The
 * form is described in docs/configuration.md.
 */
#include "vmm/config.h"
#include "lib/format.h"
#include "lib/string.h"
#include "lib/text.h"

#define LINE_MAX_LENGTH (CONFIG_TEXT_MAX + 256)
#define MEMORY_DEFAULT  MiB(128)
#define MEMORY_MIN      MiB(1)
#define MEMORY_MAX      (GiB(1) << 16) /* 64 TiB */
#define CPU_MAX         1023

enum section { SECTION_NONE, SECTION_NIDUS, SECTION_VM, SECTION_BAD };

enum option_id {
    OPTION_CONSOLE,
    OPTION_LOGLEVEL,
    OPTION_KERNEL,
    OPTION_MODULE,
    OPTION_INITRD,
    OPTION_CMDLINE,
    OPTION_MEMORY,
    OPTION_VCPUS,
    OPTION_PIN,
    OPTION_NESTED,
    OPTION_HIDE,
    OPTION_RESTART,
    OPTION_DISK,
    OPTION_NET,
    OPTION_RNG,
    OPTION_VCONSOLE,
    NR_OPTIONS
};

struct parser {
    struct config *config;
    const char *file;
    bool (*hide_known)(const char *name);
    void (*report)(void *ctx, const char *message);
    void *ctx;
    u32 problems, line;
    enum section section;
    struct config_vm *vm;      /* of the section; null outside of a VM's */
    u32 nidus_line;            /* of [nidus]; 0: not seen */
    u32 seen[NR_OPTIONS];      /* line of each option in this section; 0: not seen */
    bool vcpus_bad, line_lost; /* in this section */
};

static void problem(struct parser *p, u32 line, const char *fmt, ...) __printf(3, 4);

static void problem(struct parser *p, u32 line, const char *fmt, ...)
{
    char message[480];
    size_t n = format(message, sizeof(message), "%.100s:%u: ", p->file, line);
    va_list args;

    va_start(args, fmt);
    format_va(message + n, sizeof(message) - n, fmt, args);
    va_end(args);
    if (p->vm)
        p->vm->bad = true;
    p->problems++;
    p->report(p->ctx, message);
}

/* Ends text where a comment begins: at a ';' (or a '#' unless free_text) that follows white space. */
static void cut_comment(char *text, bool free_text)
{
    for (; *text; text++) {
        if (text_is_blank(text[0]) && (text[1] == ';' || (text[1] == '#' && !free_text))) {
            *text = 0;
            return;
        }
    }
}

static bool is_name(const char *s)
{
    size_t n;

    for (n = 0; s[n]; n++) {
        char c = s[n];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
              c == '-'))
            return false;
    }
    return n > 0 && n < CONFIG_NAME_MAX;
}

static void set_console(struct parser *p, char *value)
{
    static const char *const names[] = {"com1", "com2", "com3", "com4"};

    if (text_choose(value, names, ARRAY_SIZE(names)) < 0)
        problem(p, p->line, "unknown console '%.60s'; use com1, com2, com3 or com4", value);
    else
        str_copy(p->config->console, value, sizeof(p->config->console));
}

static void set_loglevel(struct parser *p, char *value)
{
    static const char *const names[] = {"error", "warn", "info", "debug"}; /* from LOG_ERROR on */
    int level = text_choose(value, names, ARRAY_SIZE(names));

    if (level < 0)
        problem(p, p->line, "unknown loglevel '%.60s'; use error, warn, info or debug", value);
    else
        p->config->loglevel = (enum log_level)(LOG_ERROR + level);
}

/* File names are told apart from their arguments, here and by boot loaders, by white space. */
static bool set_file(struct parser *p, char file[CONFIG_FILE_MAX], const char *value)
{
    if (text_has_blank(value)) {
        problem(p, p->line, "white space in the file name '%.60s'; rename the file", value);
        return false;
    }
    if (!str_copy(file, value, CONFIG_FILE_MAX)) {
        problem(p, p->line, "the file name '%.30s...' is too long; use at most %d characters", value,
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
        problem(p, p->line, "too many modules in [vm %s]; use at most %d", p->vm->name, CONFIG_MAX_MODULES);
        return;
    }
    module = &p->vm->modules[p->vm->nr_modules];
    if (!set_file(p, module->file, value))
        return;
    if (!str_copy(module->args, args, sizeof(module->args))) {
        problem(p, p->line, "the arguments of module '%s' are too long; use at most %d characters", value,
                (int)sizeof(module->args) - 1);
        return;
    }
    module->line = p->line;
    p->vm->nr_modules++;
}

static void set_cmdline(struct parser *p, char *value)
{
    if (!str_copy(p->vm->cmdline, value, sizeof(p->vm->cmdline)))
        problem(p, p->line, "the command line has %zu characters; use at most %d", strlen(value),
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
        problem(p, p->line, "memory '%.60s' is out of range; use 1M to 65536G", value);
    else if (!IS_ALIGNED(size, PAGE_SIZE))
        problem(p, p->line, "memory '%.60s' is not a multiple of 4K; round it to whole pages", value);
    else
        p->vm->memory = size;
    return;
malformed:
    problem(p, p->line, "'%.60s' is not a size; write a number and K, M or G, as in 512M", value);
}

static void set_vcpus(struct parser *p, char *value)
{
    const char *at = value;
    u64 n;

    p->vcpus_bad = !text_take_number(&at, &n) || *at || n < 1 || n > CONFIG_MAX_VCPUS;
    if (p->vcpus_bad)
        problem(p, p->line, "'%.60s' is not a number of vCPUs; use 1 to %d", value, CONFIG_MAX_VCPUS);
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
            problem(p, p->line, "'%.60s' is not a physical CPU; write numbers from 0 to %d, as in pin = 0,1",
                    value, CPU_MAX);
            vm->nr_pins = 0;
            return;
        }
        if (vm->nr_pins == CONFIG_MAX_VCPUS) {
            problem(p, p->line, "too many CPUs in the list; give one for each vCPU");
            vm->nr_pins = 0;
            return;
        }
        vm->pin[vm->nr_pins++] = (s16)cpu;
    }
}

static void set_switch(struct parser *p, const char *name, const char *value, bool *option)
{
    static const char *const names[] = {"off", "on"};
    int on = text_choose(value, names, ARRAY_SIZE(names));

    if (on < 0)
        problem(p, p->line, "%s is '%.60s'; use on or off", name, value);
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
        problem(p, p->line, "too many disks in [vm %s]; use at most %d", p->vm->name, CONFIG_MAX_DISKS);
        return;
    }
    disk = &p->vm->disks[p->vm->nr_disks];
    if (set_file(p, disk->file, value)) {
        disk->line = p->line;
        p->vm->nr_disks++;
    }
}

static void set_net(struct parser *p, char *value)
{
    if (!is_name(value))
        problem(p, p->line, "'%.60s' is not a switch's name; use 1 to %d letters, digits, '-' and '_'", value,
                CONFIG_NAME_MAX - 1);
    else if (p->vm->nr_nets == CONFIG_MAX_NETS)
        problem(p, p->line, "too many network cards in [vm %s]; use at most %d", p->vm->name,
                CONFIG_MAX_NETS);
    else
        str_copy(p->vm->nets[p->vm->nr_nets++], value, CONFIG_NAME_MAX);
}

static void add_hidden(struct parser *p, const char *name)
{
    struct config_vm *vm = p->vm;

    for (u32 i = 0; i < vm->nr_hide; i++) {
        if (!strcmp(vm->hide[i], name)) {
            problem(p, p->line, "feature '%s' is hidden twice; remove one", name);
            return;
        }
    }
    if (!*name)
        problem(p, p->line,
                "empty feature name; write the names with one comma between two, as in hide = X,Y");
    else if (p->hide_known && !p->hide_known(name))
        problem(p, p->line, "unknown feature '%.60s'; use a name listed in docs/configuration.md", name);
    else if (vm->nr_hide == CONFIG_MAX_HIDE)
        problem(p, p->line, "too many features to hide; use at most %d", CONFIG_MAX_HIDE);
    else if (!str_copy(vm->hide[vm->nr_hide], name, sizeof(vm->hide[0])))
        problem(p, p->line, "the feature name '%.40s...' is too long; use at most %d characters", name,
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
        problem(p, p->line, "unknown restart '%.60s'; use never, reset or crash", value);
    else
        p->vm->restart = (enum config_restart)restart;
}

#define REPEATABLE   1
#define MAY_BE_EMPTY 2
#define FREE_TEXT    4 /* '#' is part of the value */

static const struct option {
    const char *name;
    enum section section;
    void (*set)(struct parser *p, char *value);
    u32 flags;
} options[NR_OPTIONS] = {
    [OPTION_CONSOLE] = {"console", SECTION_NIDUS, set_console, 0},
    [OPTION_LOGLEVEL] = {"loglevel", SECTION_NIDUS, set_loglevel, 0},
    [OPTION_KERNEL] = {"kernel", SECTION_VM, set_kernel, 0},
    [OPTION_MODULE] = {"module", SECTION_VM, set_module, REPEATABLE | FREE_TEXT},
    [OPTION_INITRD] = {"initrd", SECTION_VM, set_initrd, 0},
    [OPTION_CMDLINE] = {"cmdline", SECTION_VM, set_cmdline, MAY_BE_EMPTY | FREE_TEXT},
    [OPTION_MEMORY] = {"memory", SECTION_VM, set_memory, 0},
    [OPTION_VCPUS] = {"vcpus", SECTION_VM, set_vcpus, 0},
    [OPTION_PIN] = {"pin", SECTION_VM, set_pin, 0},
    [OPTION_NESTED] = {"nested", SECTION_VM, set_nested, 0},
    [OPTION_HIDE] = {"hide", SECTION_VM, set_hide, 0},
    [OPTION_RESTART] = {"restart", SECTION_VM, set_restart, 0},
    [OPTION_DISK] = {"disk", SECTION_VM, set_disk, REPEATABLE},
    [OPTION_NET] = {"net", SECTION_VM, set_net, REPEATABLE},
    [OPTION_RNG] = {"rng", SECTION_VM, set_rng, 0},
    [OPTION_VCONSOLE] = {"vconsole", SECTION_VM, set_vconsole, 0},
};

static const char *const section_options[] = {
    [SECTION_NIDUS] = "console, loglevel",
    [SECTION_VM] = "kernel, module, initrd, cmdline, memory, vcpus, pin, nested, hide, restart, "
                   "disk, net, rng, vconsole",
};

/* Ends the section: what only the whole of it can tell. Until a good header, what follows is passed over. */
static void end_section(struct parser *p)
{
    struct config_vm *vm = p->vm;

    if (vm && !p->seen[OPTION_KERNEL] && !p->line_lost)
        problem(p, vm->line, "[vm %s] has no kernel; add 'kernel = FILE'", vm->name);
    if (vm && vm->nr_pins && vm->nr_pins != vm->vcpus && !p->vcpus_bad && !p->line_lost) {
        problem(p, p->seen[OPTION_PIN], "pin names %u CPUs but [vm %s] has %u vCPUs; give one for each",
                vm->nr_pins, vm->name, vm->vcpus);
        vm->nr_pins = 0;
    }
    p->vm = NULL;
    p->section = SECTION_BAD;
    p->vcpus_bad = p->line_lost = false;
    memset(p->seen, 0, sizeof(p->seen));
}

static struct config_vm *find_vm(struct config *c, const char *name)
{
    for (u32 i = 0; i < c->nr_vms; i++) {
        if (!strcmp(c->vms[i].name, name))
            return &c->vms[i];
    }
    return NULL;
}

static void begin_vm(struct parser *p, const char *name)
{
    struct config *c = p->config;
    const struct config_vm *other = find_vm(c, name);
    struct config_vm *vm;

    if (!is_name(name)) {
        problem(p, p->line, "'%.60s' is not a VM's name; use 1 to %d letters, digits, '-' and '_'", name,
                CONFIG_NAME_MAX - 1);
        return;
    }
    if (other) {
        problem(p, p->line, "there is a [vm %s] in line %u already; give this one another name", name,
                other->line);
        return;
    }
    if (c->nr_vms == CONFIG_MAX_VMS) {
        problem(p, p->line, "[vm %s] is one VM too many; use at most %d", name, CONFIG_MAX_VMS);
        return;
    }
    vm = &c->vms[c->nr_vms++];
    str_copy(vm->name, name, sizeof(vm->name));
    vm->line = p->line;
    vm->memory = MEMORY_DEFAULT;
    vm->vcpus = 1;
    for (u32 i = 0; i < CONFIG_MAX_VCPUS; i++)
        vm->pin[i] = CONFIG_PIN_ANY;
    p->vm = vm;
    p->section = SECTION_VM;
}

/* text: the line from its '[' on. */
static void parse_section(struct parser *p, char *text)
{
    size_t n;
    char *name;

    cut_comment(text, false);
    text = text_trim(text);
    n = strlen(text);
    if (text[n - 1] != ']') {
        problem(p, p->line, "no ']' at the end of '%.60s'; write [nidus] or [vm NAME]", text);
        return;
    }
    text[n - 1] = 0;
    text = text_trim(text + 1);
    name = text_split_word(text);
    if (!strcmp(text, "vm")) {
        begin_vm(p, name);
    } else if (strcmp(text, "nidus") != 0 || *name) {
        problem(p, p->line, "unknown section '%.60s%s%.60s'; use [nidus] or [vm NAME]", text,
                *name ? " " : "", name);
    } else if (p->nidus_line) {
        problem(p, p->line, "there is a [nidus] in line %u already; join the two", p->nidus_line);
    } else {
        p->nidus_line = p->line;
        p->section = SECTION_NIDUS;
    }
}

static const struct option *find_option(enum section section, const char *name)
{
    for (u32 i = 0; i < NR_OPTIONS; i++) {
        if (options[i].section == section && !strcmp(options[i].name, name))
            return &options[i];
    }
    return NULL;
}

static void parse_option(struct parser *p, char *text)
{
    char *value = strchr(text, '=');
    const struct option *option;
    u32 *seen;

    if (p->section == SECTION_BAD)
        return;
    if (p->section == SECTION_NONE) {
        problem(p, p->line, "'%.60s' is outside of a section; put it below [nidus] or [vm NAME]", text);
        return;
    }
    if (!value) {
        problem(p, p->line, "no '=' in '%.60s'; write OPTION = VALUE", text);
        return;
    }
    *value++ = 0;
    text = text_trim(text);
    option = find_option(p->section, text);
    if (!option) {
        problem(p, p->line, "unknown option '%.60s'; known here: %s", text, section_options[p->section]);
        return;
    }
    seen = &p->seen[option - options];
    if (*seen && !(option->flags & REPEATABLE)) {
        problem(p, p->line, "'%s' is in line %u already; remove one of them", text, *seen);
        return;
    }
    *seen = p->line;
    cut_comment(value, option->flags & FREE_TEXT);
    value = text_trim(value);
    if (!*value && !(option->flags & MAY_BE_EMPTY))
        problem(p, p->line, "'%s' has no value; write one or remove the line", text);
    else
        option->set(p, value);
}

/* Whether a line of n characters can be taken for text; says what is wrong. */
static bool check_line(struct parser *p, const char *text, size_t n)
{
    if (n > LINE_MAX_LENGTH) {
        problem(p, p->line, "the line has %zu characters; use at most %d", n, LINE_MAX_LENGTH);
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (((u8)text[i] < ' ' && text[i] != '\t') || text[i] == 0x7f) {
            problem(p, p->line, "control character 0x%02x in column %zu; save the file as plain text",
                    text[i], i + 1);
            return false;
        }
    }
    return true;
}

/* text: n characters, without the line's end. */
static void parse_line(struct parser *p, const char *text, size_t n)
{
    char copy[LINE_MAX_LENGTH + 1], *line;
    size_t blanks = 0;

    while (blanks < n && text_is_blank(text[blanks]))
        blanks++;
    if (blanks < n && text[blanks] == '[')
        end_section(p);
    if (!check_line(p, text, n)) {
        p->line_lost = true;
        return;
    }
    memcpy(copy, text, n);
    copy[n] = 0;
    line = text_trim(copy);
    if (*line == '[')
        parse_section(p, line);
    else if (*line && *line != ';' && *line != '#')
        parse_option(p, line);
}

u32 config_parse(struct config *c, const char *file_name, const char *text, size_t size,
                 bool (*hide_known)(const char *name), void (*report)(void *ctx, const char *message),
                 void *ctx)
{
    struct parser p = {
        .config = c, .file = file_name, .hide_known = hide_known, .report = report, .ctx = ctx};
    size_t at = 0;

    memset(c, 0, sizeof(*c));
    str_copy(c->console, "com1", sizeof(c->console));
    c->loglevel = LOG_INFO;

    if (size >= 3 && !memcmp(text, "\xef\xbb\xbf", 3))
        at = 3; /* the mark that some editors put before UTF-8 text */
    while (at < size) {
        size_t end = at, n;

        while (end < size && text[end] != '\n')
            end++;
        n = end - at;
        if (n && text[end - 1] == '\r')
            n--;
        p.line++;
        parse_line(&p, text + at, n);
        at = end + 1;
    }
    end_section(&p);
    return p.problems;
}
