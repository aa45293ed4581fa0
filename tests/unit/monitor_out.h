/* SPDX-License-Identifier: MIT */
/* For tests of a table of the monitor's commands: what it prints is in out[]. */
#ifndef TESTS_UNIT_MONITOR_OUT_H
#define TESTS_UNIT_MONITOR_OUT_H

#include "lib/format.h"
#include "lib/text.h"
#include "vmm/monitor/monitor.h"

static char out[8000];

void(mon_print)(struct monitor *m, const char *fmt, ...)
{
    size_t n = strlen(out);
    va_list args;

    (void)m;
    va_start(args, fmt);
    format_va(out + n, sizeof(out) - n, fmt, args);
    va_end(args);
}

bool mon_stopped(struct monitor *m)
{
    (void)m;
    return false;
}

/* What the line prints, which names a command of the table. */
static const char *type_into(const struct command *table, const char *line)
{
    char copy[128], *argv[MONITOR_MAX_WORDS + 1] = {0}, *next = copy;
    u32 argc = 0;

    assert_true(str_copy(copy, line, sizeof(copy)));
    while (next && *next) {
        argv[argc++] = next;
        next = text_split(next, ' ');
    }
    *out = 0;
    for (const struct command *c = table; c->name; c++) {
        if (!strcmp(c->name, argv[0])) {
            c->run(NULL, argc, argv);
            return out;
        }
    }
    fail();
    return NULL;
}

#endif
