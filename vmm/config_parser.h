/* SPDX-License-Identifier: MIT */
/* What the parts of the configuration's parser share: config.c (the form), config_options.c (the options). */
#ifndef VMM_CONFIG_PARSER_H
#define VMM_CONFIG_PARSER_H

#include "lib/packed.h"
#include "vmm/config.h"

enum section { SECTION_NONE, SECTION_NIDUS, SECTION_VM, SECTION_BAD };

enum option_id {
    OPTION_CONSOLE,
    OPTION_LOGLEVEL,
    OPTION_POLL,
    OPTION_HALT_POLL,
    OPTION_CRASH,
    OPTION_GDB,
    OPTION_KERNEL,
    OPTION_MODULE,
    OPTION_INITRD,
    OPTION_CMDLINE,
    OPTION_MEMORY,
    OPTION_VCPUS,
    OPTION_PIN,
    OPTION_APICID,
    OPTION_NESTED,
    OPTION_HIDE,
    OPTION_APIC,
    OPTION_RESTART,
    OPTION_DISK,
    OPTION_NET,
    OPTION_CHANNEL,
    OPTION_RNG,
    OPTION_VCONSOLE,
    OPTION_IRQ,
    OPTION_PORT,
    OPTION_MMIO,
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

#define REPEATABLE   1
#define MAY_BE_EMPTY 2
#define FREE_TEXT    4 /* '#' is part of the value */

struct config_option {
    const char *name;
    enum section section;
    void (*set)(struct parser *p, char *value);
    u32 flags;
};

extern const struct config_option config_options[NR_OPTIONS];
/* Their names, for messages. */
extern const char *const config_known_options[];

/* Reports what is wrong in a line, and the remedy; spoils the section's VM. */
void config_problem(struct parser *p, u32 line, const char *fmt, ...) __printf(3, 4);
#define config_problem(p, line, ...) config_problem(p, line, PACK __VA_ARGS__)
bool config_is_name(const char *s);
/* config_given.c: options of a VM. */
void config_set_irq(struct parser *p, char *value);
void config_set_port(struct parser *p, char *value);
void config_set_mmio(struct parser *p, char *value);
/* What only the whole of a VM's section can tell; no line of it was lost. */
void config_check_vm(struct parser *p, struct config_vm *vm);

#endif
