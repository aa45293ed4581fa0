/* SPDX-License-Identifier: MIT */
/* links: vmm/monitor/command.c lib/text.c lib/str_copy.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "vmm/monitor/command.h"

static const struct command first[] = {
    {"help", "[COMMAND]", "", NULL, "@command"},
    {"mem", NULL, "", NULL, "l1 l2 gpa gva @vcpu"},
    {NULL, NULL, NULL, NULL, NULL},
};
static const struct command second[] = {
    {"memory-map", NULL, "", NULL, NULL}, {"regs", NULL, "", NULL, "@vcpu @reg l1"},
    {"resume", NULL, "", NULL, "@vcpu"},  {"reset", NULL, "", NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};
const struct command *const monitor_tables[] = {first, second};
const u32 monitor_nr_tables = 2;

static void test_split(void **state)
{
    char *argv[MONITOR_MAX_WORDS + 1], line[] = " mem \t gpa 0x10  ", empty[] = "  ", many[200] = "";

    (void)state;
    assert_int_equal(command_split(line, argv), 3);
    assert_string_equal(argv[0], "mem");
    assert_string_equal(argv[1], "gpa");
    assert_string_equal(argv[2], "0x10");
    assert_null(argv[3]);
    assert_int_equal(command_split(empty, argv), 0);
    assert_null(argv[0]);
    for (u32 i = 0; i < MONITOR_MAX_WORDS; i++)
        strcat(many, "x ");
    assert_int_equal(command_split(many, argv), MONITOR_MAX_WORDS);
    strcpy(many, "");
    for (u32 i = 0; i <= MONITOR_MAX_WORDS; i++)
        strcat(many, "x ");
    assert_int_equal(command_split(many, argv), MONITOR_MAX_WORDS + 1);
    assert_null(argv[MONITOR_MAX_WORDS]);
}

static void test_find(void **state)
{
    u32 nr;

    (void)state;
    assert_ptr_equal(command_find("mem", &nr), &first[1]); /* though another one begins so */
    assert_ptr_equal(command_find("memo", &nr), &second[0]);
    assert_ptr_equal(command_find("h", &nr), &first[0]);
    assert_null(command_find("re", &nr));
    assert_int_equal(nr, 3);
    assert_ptr_equal(command_find("reg", &nr), &second[1]);
    assert_null(command_find("regsx", &nr));
    assert_int_equal(nr, 0);
    assert_ptr_equal(command_nth(5), &second[3]);
    assert_null(command_nth(6));
}

static void expand(struct completion *c, const char *class, u32 n)
{
    if (n == 4 && !memcmp(class, "vcpu", n)) {
        completion_offer(c, "linux.0");
        completion_offer(c, "linux.1");
        completion_offer(c, "small.0");
    } else if (n == 3 && !memcmp(class, "reg", n)) {
        completion_offer(c, "rip");
        completion_offer(c, "rsp");
    }
}

static void list(void *ctx, const char *word)
{
    strcat(ctx, word);
    strcat(ctx, " ");
}

/* The cursor is a '|' in the line. */
static void completes(const char *line, const char *words, const char *common)
{
    char text[EDIT_SIZE], seen[1000] = "";
    struct completion c = {.each = list, .ctx = seen};
    u32 at = (u32)(strchr(line, '|') - line);

    snprintf(text, sizeof(text), "%.*s%s", (int)at, line, line + at + 1);
    command_complete(&c, text, at, expand);
    assert_string_equal(seen, words);
    assert_string_equal(c.common, common);
}

static void test_completion(void **state)
{
    (void)state;
    completes("|", "help mem memory-map regs resume reset ", "");
    completes("  re|", "regs resume reset ", "re");
    completes("res|x", "resume reset ", "res");
    completes("m|", "mem memory-map ", "mem");
    completes("x|", "", "");
    completes("help r|", "regs resume reset ", "re");
    completes("h re|", "regs resume reset ", "re");
    completes("mem |", "l1 l2 gpa gva linux.0 linux.1 small.0 ", "");
    completes("mem g|", "gpa gva ", "g");
    completes("mem 0x10 li|", "linux.0 linux.1 ", "linux.");
    completes("mem 0x10 s|", "small.0 ", "small.0");
    completes("regs l|", "linux.0 linux.1 l1 ", "l");
    completes("regs ri| l1", "rip ", "rip");
    completes("reset |", "", "");
    completes("re l|", "", ""); /* which one is not clear */
    completes("nothing l|", "", "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_split),
        cmocka_unit_test(test_find),
        cmocka_unit_test(test_completion),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
