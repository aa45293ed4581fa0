/* SPDX-License-Identifier: MIT */
/* links: lib/log.c lib/format.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "lib/log.h"

struct collector {
    struct log_sink sink;
    char text[1024];
};

static void collect(struct log_sink *sink, const char *text, size_t n)
{
    struct collector *c = container_of(sink, struct collector, sink);

    assert_true(strlen(c->text) + n < sizeof(c->text));
    strncat(c->text, text, n);
}

static struct collector first = {.sink.write = collect};

static void clear(struct collector *c)
{
    c->text[0] = 0;
}

/* Below all that is put, on terminals only. */
static void prompt(void **state)
{
    static struct collector terminal = {.sink = {.write = collect, .terminal = true}};

    (void)state;
    log_add_sink(&terminal.sink);
    log_add_sink(&first.sink);
    log_prompt("one> a", 6);
    assert_string_equal(terminal.text, "one> a");
    log_prompt("one> ab", 7);
    assert_string_equal(terminal.text, "one> a\r\x1b[Kone> ab");
    clear(&terminal);
    log_info("said");
    assert_string_equal(terminal.text, "\r\x1b[Knidus: said\none> ab");
    clear(&terminal);
    log_raw("guest\nni", 8);
    assert_string_equal(terminal.text, "\r\x1b[Kguest\none> ab"); /* what may be a forgery is held */
    log_raw("ce", 2);
    assert_string_equal(terminal.text,
                        "\r\x1b[Kguest\none> ab\r\x1b[Knice"); /* not in the middle of a line */
    clear(&terminal);
    log_prompt("one> a", 6);
    assert_string_equal(terminal.text, "\none> a");
    clear(&terminal);
    log_prompt("", 0);
    log_raw("rest\n", 5);
    assert_string_equal(terminal.text, "\r\x1b[Krest\n");
    assert_string_equal(first.text, "nidus: said\nguest\nnice\nrest\n");
    clear(&terminal);
    log_raw("half", 4);
    log_prompt("", 0);
    assert_string_equal(terminal.text, "half");
    log_raw("\n", 1);
    log_prompt("x", 1);
    log_remove_sink(&terminal.sink);
    log_prompt("", 0);
}

/* Last, since the lock does not come back. The last words of a machine begin a line of their own: people and
 * scripts look for them. */
static void prompt_at_the_end(void **state)
{
    static struct collector terminal = {.sink = {.write = collect, .terminal = true}};

    (void)state;
    log_add_sink(&terminal.sink);
    log_prompt("one> a", 6);
    clear(&terminal);
    log_break_lock();
    log_panic("end");
    log_panic("really");
    assert_string_equal(terminal.text, "\nnidus: panic: end\nnidus: panic: really\n");
    log_remove_sink(&terminal.sink);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(prompt), cmocka_unit_test(prompt_at_the_end)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
