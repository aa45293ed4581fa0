/* SPDX-License-Identifier: MIT */
/* All tables of commands, and the commands that are about the monitor itself. */
#include "lib/log.h"
#include "lib/string.h"
#include "vmm/monitor/command.h"
#include "vmm/monitor/tables.h"

static void show_help(struct monitor *m, const struct command *c)
{
    mon_print(m, "%s %s\n", c->name, c->args ? c->args : "");
    mon_print(m, "  %s\n", c->help);
}

static void help(struct monitor *m, u32 argc, char **argv)
{
    const struct command *c;
    u32 nr;

    if (argc > 1) {
        c = command_find(argv[1], &nr);
        if (c)
            show_help(m, c);
        else
            mon_print(m, "there is no command '%s'; 'help' lists them\n", argv[1]);
        return;
    }
    for (u32 i = 0; (c = command_nth(i)); i++)
        mon_print(m, "%-9s %s\n", c->name, c->args ? c->args : "");
    mon_print(
        m, "'help COMMAND' says more. VCPU: NAME.NUMBER, NAME or .NUMBER; without, the one that is selected. "
           "Commands may be cut short where that is clear; Tab completes words; Ctrl-C ends output.\n");
}

static void quit(struct monitor *m, u32 argc, char **argv)
{
    (void)argc;
    (void)argv;
    mon_close(m);
}

/* Where the last n lines of text begin. */
static size_t last_lines(const char *text, size_t size, u64 n)
{
    size_t at = size;

    while (at && !(text[at - 1] == '\n' && at != size && !--n))
        at--;
    return at;
}

static void print_log(struct monitor *m, u32 argc, char **argv)
{
    char *text = mon_scratch(m), *end;
    size_t size = log_read(text, MON_SCRATCH - 1), at;
    u64 lines = 20;

    if (argc > 1 && !mon_number(m, argv[1], &lines))
        return;
    text[size] = 0;
    lines = MAX(lines, 1u);
    for (at = last_lines(text, size, lines); at < size; at = (size_t)(end - text) + 1) {
        end = strchr(text + at, '\n');
        if (!end)
            break;
        *end = 0;
        mon_print(m, "%s\n", text + at);
    }
}

static const struct command base[] = {
    {"help", PACK "[COMMAND]", PACK "Lists the commands, or says what one does.", help, "@command"},
    {"quit", NULL, PACK "Closes the monitor, as Ctrl-] does. If every VM has ended the machine switches off.",
     quit, NULL},
    {"log", PACK "[LINES]",
     PACK "The last lines (20) of Nidus's log, also those that loglevel keeps from the console.", print_log,
     NULL},
    {0},
};

const struct command *const monitor_tables[] = {base,           monitor_vm,      monitor_state,
                                                monitor_memory, monitor_devices, monitor_debug,
                                                monitor_trace,  monitor_stats};
const u32 monitor_nr_tables = ARRAY_SIZE(monitor_tables);
