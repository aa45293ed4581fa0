/* SPDX-License-Identifier: MIT */
/* The form of the configuration file, which is described in docs/configuration.md: lines, sections, options.
 */
#include "vmm/config_parser.h"
#include "lib/format.h"
#include "lib/string.h"
#include "lib/text.h"

#define LINE_MAX_LENGTH (CONFIG_TEXT_MAX + 256)
#define MEMORY_DEFAULT  MiB(128)

void(config_problem)(struct parser *p, u32 line, const char *fmt, ...)
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

bool config_is_name(const char *s)
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

/* Ends the section: what only the whole of it can tell. Until a good header, what follows is passed over. */
static void end_section(struct parser *p)
{
    struct config_vm *vm = p->vm;

    if (vm && !p->line_lost)
        config_check_vm(p, vm);
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

    if (!config_is_name(name)) {
        config_problem(p, p->line, "'%.60s' is not a VM's name; use 1 to %d letters, digits, '-' and '_'",
                       name, CONFIG_NAME_MAX - 1);
        return;
    }
    if (other) {
        config_problem(p, p->line, "there is a [vm %s] in line %u already; give this one another name", name,
                       other->line);
        return;
    }
    if (c->nr_vms == CONFIG_MAX_VMS) {
        config_problem(p, p->line, "[vm %s] is one VM too many; use at most %d", name, CONFIG_MAX_VMS);
        return;
    }
    vm = &c->vms[c->nr_vms++];
    str_copy(vm->name, name, sizeof(vm->name));
    vm->line = p->line;
    vm->memory = MEMORY_DEFAULT;
    vm->vcpus = 1;
    vm->apic = APIC_BEST;
    for (u32 i = 0; i < CONFIG_MAX_VCPUS; i++) {
        vm->pin[i] = CONFIG_PIN_ANY;
        vm->apic_id[i] = (u16)i;
    }
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
        config_problem(p, p->line, "no ']' at the end of '%.60s'; write [nidus] or [vm NAME]", text);
        return;
    }
    text[n - 1] = 0;
    text = text_trim(text + 1);
    name = text_split_word(text);
    if (!strcmp(text, "vm")) {
        begin_vm(p, name);
    } else if (strcmp(text, "nidus") != 0 || *name) {
        config_problem(p, p->line, "unknown section '%.60s%s%.60s'; use [nidus] or [vm NAME]", text,
                       *name ? " " : "", name);
    } else if (p->nidus_line) {
        config_problem(p, p->line, "there is a [nidus] in line %u already; join the two", p->nidus_line);
    } else {
        p->nidus_line = p->line;
        p->section = SECTION_NIDUS;
    }
}

static const struct config_option *find_option(enum section section, const char *name)
{
    for (u32 i = 0; i < NR_OPTIONS; i++) {
        if (config_options[i].section == section && !strcmp(config_options[i].name, name))
            return &config_options[i];
    }
    return NULL;
}

static void parse_option(struct parser *p, char *text)
{
    char *value = strchr(text, '=');
    const struct config_option *option;
    u32 *seen;

    if (p->section == SECTION_BAD)
        return;
    if (p->section == SECTION_NONE) {
        config_problem(p, p->line, "'%.60s' is outside of a section; put it below [nidus] or [vm NAME]",
                       text);
        return;
    }
    if (!value) {
        config_problem(p, p->line, "no '=' in '%.60s'; write OPTION = VALUE", text);
        return;
    }
    *value++ = 0;
    text = text_trim(text);
    option = find_option(p->section, text);
    if (!option) {
        config_problem(p, p->line, "unknown option '%.60s'; known here: %s", text,
                       config_known_options[p->section]);
        return;
    }
    seen = &p->seen[option - config_options];
    if (*seen && !(option->flags & REPEATABLE)) {
        config_problem(p, p->line, "'%s' is in line %u already; remove one of them", text, *seen);
        return;
    }
    *seen = p->line;
    cut_comment(value, option->flags & FREE_TEXT);
    value = text_trim(value);
    if (!*value && !(option->flags & MAY_BE_EMPTY))
        config_problem(p, p->line, "'%s' has no value; write one or remove the line", text);
    else
        option->set(p, value);
}

/* Whether a line of n characters can be taken for text; says what is wrong. */
static bool check_line(struct parser *p, const char *text, size_t n)
{
    if (n > LINE_MAX_LENGTH) {
        config_problem(p, p->line, "the line has %zu characters; use at most %d", n, LINE_MAX_LENGTH);
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (((u8)text[i] < ' ' && text[i] != '\t') || text[i] == 0x7f) {
            config_problem(p, p->line, "control character 0x%02x in column %zu; save the file as plain text",
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
    c->loglevel = LOG_INFO;
    c->poll = CONFIG_PIN_ANY;
    c->halt_poll = CONFIG_HALT_POLL;

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
