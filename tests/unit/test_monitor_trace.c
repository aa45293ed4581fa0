/* SPDX-License-Identifier: MIT */
/* links: vmm/trace.c vmm/trace_text.c arch/x86/vmx_names.c lib/format.c lib/text.c lib/str_copy.c */
/* The monitor's commands trace, break and unbreak: what they ask for and what they print. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "lib/format.h"
#include "vmm/monitor/cmd_trace.c"
#include "tests/unit/monitor_out.h"

#define ROOM 16

struct observing observing;
u64 tsc_hz = 1000000000, entry_tsc = 1000;
u32 nr_cpus = 2;
static const struct config_vm vms[2] = {{.name = "one"}, {.name = "two"}};
static struct trace_event slots[2][ROOM];
static struct trace_ring rings[2];
static u32 pages; /* asked for */
static int result;

const struct config_vm *vmm_config(u32 i)
{
    return i < 2 ? &vms[i] : NULL;
}

u32 vmm_nr_vms(void)
{
    return 2;
}

struct task *mon_task(struct monitor *m)
{
    (void)m;
    return NULL;
}

bool mon_number(struct monitor *m, const char *word, u64 *value)
{
    int n = 0;

    if (sscanf(word, "%li%n", (long *)value, &n) == 1 && !word[n])
        return true;
    (mon_print)(m, "no number %s\n", word);
    return false;
}

bool mon_vcpu(struct monitor *m, const char *word, u32 *vm, u32 *vcpu)
{
    if (strncmp(word, "one", 3) && strncmp(word, "two", 3)) {
        (mon_print)(m, "no VM %s\n", word);
        return false;
    }
    *vm = *word == 't';
    *vcpu = strchr(word, '.') ? (u32)(strchr(word, '.')[1] - '0') : 0;
    return true;
}

int observe_trace(struct task *t, u32 n)
{
    (void)t;
    pages = n;
    if (result)
        return result;
    observing.pages = n;
    observing.rings = rings;
    observing.nr_rings = 2;
    for (u32 i = 0; i < 2; i++)
        rings[i] = (struct trace_ring){.events = slots[i], .mask = ROOM - 1};
    return OK;
}

void observe_trace_off(struct task *t)
{
    (void)t;
    observing.rings = NULL;
}

int observe_break(struct task *t, const struct exit_break *b)
{
    (void)t;
    observing.breaks[0] = *b;
    observing.breaks[0].used = !result;
    return result;
}

void observe_unbreak(struct task *t, u32 n)
{
    (void)t;
    observing.breaks[n].used = false;
}

/* --- cmd_debug.c's: 'at' is its word, and it has three points --- */

static u32 nr_points;

bool mon_break_at(struct monitor *m, u32 argc, char **argv)
{
    (void)m, (void)argc;
    return !strcmp(argv[1], "at");
}

void mon_list_points(struct monitor *m, u32 first)
{
    for (u32 i = 0; i < nr_points; i++)
        (mon_print)(m, "%u: point\n", first + i);
}

bool mon_remove_point(struct monitor *m, u32 n)
{
    bool had = n < nr_points;

    (void)m;
    nr_points -= had;
    return had;
}

static const char *type(const char *line)
{
    return type_into(monitor_trace, line);
}

static int reset(void **state)
{
    (void)state;
    observing = (struct observing){0};
    result = OK;
    pages = 0;
    return 0;
}

static void words_make_a_filter(void **state)
{
    const struct trace_filter *f = &observing.filter;

    (void)state;
    assert_string_equal(type("trace"), "the trace is off\n");
    assert_string_equal(type("trace on"), "");
    assert_int_equal(pages, 16);
    assert_memory_equal(f, &trace_everything, sizeof(*f));
    pages = 0;
    assert_string_equal(type("trace on port ipi two"), "");
    assert_int_equal(pages, 0); /* the rings are as they were */
    assert_int_equal(f->kinds, 1 << TRACE_PORT | 1 << TRACE_IPI);
    assert_int_equal(f->vm, 1);
    assert_int_equal(f->vcpu, TRACE_ANY);
    assert_int_equal(f->reasons[1], ~0ull);
    type("trace on cpuid 64 one.3 100k");
    assert_int_equal(pages, 32);
    assert_int_equal(f->kinds, 1 << TRACE_EXIT);
    assert_int_equal(f->vm, 0);
    assert_int_equal(f->vcpu, 3);
    assert_int_equal(f->reasons[0], 1 << 10);
    assert_int_equal(f->reasons[1], 1);
    type("trace on nested cpuid 99999999k");
    assert_int_equal(pages, 256);
    assert_int_equal(f->kinds, 1 << TRACE_EXIT | 1 << TRACE_NESTED);
    type("trace off");
    assert_null(observing.rings);
}

static void what_is_wrong_is_said(void **state)
{
    (void)state;
    assert_non_null(strstr(type("trace on foo"), "no exit reason 'foo'"));
    assert_non_null(strstr(type("trace on x.1"), "no VM x.1"));
    assert_int_equal(pages, 0);
    assert_non_null(strstr(type("trace foo"), "'foo': say"));
    assert_string_equal(type("trace show"), "the trace is off\n");
    assert_string_equal(type("trace clear"), "");
    result = ERR_NOMEM;
    assert_string_equal(type("trace on"), "no memory\n");
    assert_non_null(strstr(type("break check"), "no memory"));
    result = OK;
    assert_non_null(strstr(type("break foo"), "say 'break exit REASON'"));
    assert_non_null(strstr(type("break exit"), "say 'break exit REASON'"));
    assert_non_null(strstr(type("break exit foo"), "no exit reason 'foo'"));
    assert_non_null(strstr(type("break exit hlt foo"), "no number foo"));
    assert_false(observing.breaks[0].used);
}

static void put(u32 cpu, u64 tsc, u64 rip)
{
    struct trace_event e = {
        .tsc = tsc, .kind = TRACE_ENTRY, .level = 1, .vm = (u8)cpu, .vcpu = 2, .a = rip, .b = 0x33};

    trace_put(&rings[cpu], &e);
}

static void the_newest_of_all_cpus_are_shown(void **state)
{
    (void)state;
    type("trace on");
    for (u64 i = 0; i < 6; i++)
        put(i & 1, 1000 + 1500000000 * i, i);
    assert_string_equal(type("trace show 3"), "4.500000000 1 two.2 L1 entry at 0x3\n"
                                              "6.000000000 0 one.2 L1 entry at 0x4\n"
                                              "7.500000000 1 two.2 L1 entry at 0x5\n");
    assert_non_null(strstr(type("trace show"), "0.000000000 0 one.2 L1 entry at 0x0\n"));
    assert_int_equal(observing.filter.kinds, trace_everything.kinds);
    assert_non_null(strstr(type("trace"), "CPU 1: 3 events, of which it has the last 3\n"));
    type("trace clear");
    assert_string_equal(type("trace show"), "");
}

static void what_is_exported_is_for_a_script(void **state)
{
    struct trace_event check = {
        .tsc = 1100, .kind = TRACE_CHECK, .level = 1, .reason = 8, .b = (u64) "HOST_CR0: bad"};

    (void)state;
    type("trace on");
    put(1, 1000, 0xab);
    trace_put(&rings[0], &check);
    for (u32 i = 0; i < 2; i++)
        assert_string_equal(type("trace export"),
                            "@trace begin 1 1000000000 2\n"
                            "@trace vm 0 one\n"
                            "@trace vm 1 two\n"
                            "@trace 1 3e8 20111 ab 33 \n"
                            "@trace 0 64 8000014 0 0 L1 entry fails at 0x0: HOST_CR0: bad\n"
                            "@trace end\n");
}

static void words_make_a_break(void **state)
{
    const struct exit_break *b = &observing.breaks[0];

    (void)state;
    assert_string_equal(type("break"), "");
    assert_string_equal(type("break exit wrmsr 0x10 two.1 l2"), "0: WRMSR 0x10, L2, two.1\n");
    assert_false(b->check);
    assert_int_equal(b->reason, 32);
    assert_int_equal(b->what, 0x10);
    assert_int_equal(b->level, 2);
    assert_int_equal(b->vm, 1);
    assert_int_equal(b->vcpu, 1);
    assert_string_equal(type("break check one"), "0: a VM entry of L1's fails, one\n");
    assert_true(b->check);
    observing.breaks[3] = (struct exit_break){.used = true, .vm = TRACE_ANY, .vcpu = TRACE_ANY};
    assert_string_equal(type("unbreak 3"), "");
    assert_true(b->used);
    assert_false(observing.breaks[3].used);
    assert_string_equal(type("unbreak"), "");
    assert_false(b->used);
    assert_string_equal(type("unbreak 99999"), "");
    nr_points = 3;
    assert_string_equal(type("break at 0x1000"), "8: point\n9: point\n10: point\n");
    assert_string_equal(type("break foo"), "say 'break exit REASON', 'break check' or 'break at ADDRESS'\n");
    type("unbreak 9");
    assert_int_equal(nr_points, 2);
    type("unbreak");
    assert_int_equal(nr_points, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(words_make_a_filter, reset),
        cmocka_unit_test_setup(what_is_wrong_is_said, reset),
        cmocka_unit_test_setup(the_newest_of_all_cpus_are_shown, reset),
        cmocka_unit_test_setup(what_is_exported_is_for_a_script, reset),
        cmocka_unit_test_setup(words_make_a_break, reset),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
