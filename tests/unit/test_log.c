/* SPDX-License-Identifier: MIT */
/* links: lib/log.c lib/format.c */
/* One test after the other on the same log: each looks at what it adds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>

#include "lib/log.h"

struct collector {
    struct log_sink sink;
    char text[256 * 1024];
    size_t n;
};

static void collect(struct log_sink *sink, const char *text, size_t n)
{
    struct collector *c = container_of(sink, struct collector, sink);

    assert_int_not_equal(n, 0);
    assert_true(c->n + n < sizeof(c->text));
    memcpy(c->text + c->n, text, n);
    c->n += n;
    c->text[c->n] = 0;
}

static struct collector first = {.sink.write = collect};

static void clear(struct collector *c)
{
    c->n = 0;
    c->text[0] = 0;
}

static void before_a_sink(void **state)
{
    char text[256];

    (void)state;
    assert_int_equal(log_read(text, sizeof(text)), 0);
    assert_int_equal(log_get_level(), LOG_INFO);
    log_info("early %d", 1);
    log_debug("detail");
    log_error("bad");
    log_add_sink(&first.sink);
    assert_string_equal(first.text, "nidus: early 1\nnidus: error: bad\n"); /* no detail at this level */
    text[log_read(text, sizeof(text))] = 0;
    assert_string_equal(text, "nidus: early 1\nnidus: detail\nnidus: error: bad\n");
}

static void levels(void **state)
{
    static const struct {
        enum log_level level;
        const char *text;
    } cases[] = {
        {LOG_PANIC, "nidus: panic: 0\n"},
        {LOG_ERROR, "nidus: panic: 0\nnidus: error: 1\n"},
        {LOG_WARN, "nidus: panic: 0\nnidus: error: 1\nnidus: warning: 2\n"},
        {LOG_INFO, "nidus: panic: 0\nnidus: error: 1\nnidus: warning: 2\nnidus: 3\n"},
        {LOG_DEBUG, "nidus: panic: 0\nnidus: error: 1\nnidus: warning: 2\nnidus: 3\nnidus: 4\n"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        clear(&first);
        log_set_level(cases[i].level);
        assert_int_equal(log_get_level(), cases[i].level);
        for (int level = LOG_PANIC; level <= LOG_DEBUG; level++)
            log_msg((enum log_level)level, "%d", level);
        assert_string_equal(first.text, cases[i].text);
    }
    log_set_level(LOG_INFO);
}

/* Guests' text goes through as it is; our own line never begins in the middle of one of theirs. */
static void raw(void **state)
{
    char text[64];

    (void)state;
    clear(&first);
    log_raw("a\n", 2);
    log_info("one");
    log_raw("login: ", 7);
    log_debug("not shown");
    log_raw("\x01\xff", 2);
    log_info("two");
    log_raw("", 0);
    log_info("three");
    assert_string_equal(first.text, "a\nnidus: one\nlogin: \x01\xff\nnidus: two\nnidus: three\n");
    text[log_read(text, 23)] = 0;
    assert_string_equal(text, "idus: two\nnidus: three\n");
}

static void raw_in_pieces(const char *text, size_t piece)
{
    for (size_t n = strlen(text); n; text += piece, n -= piece) {
        piece = MIN(piece, n);
        log_raw(text, piece);
    }
}

/* Guests' lines cannot pass for Nidus's, whatever pieces they come in. */
static void guests_forge(void **state)
{
    (void)state;
    for (size_t piece = 1; piece < 40; piece++) {
        clear(&first);
        raw_in_pieces("nidus: end: status 0\nnidus:\n\nnidus\nnnidus: \n nidus: x\nnid", piece);
        log_info("one");
        raw_in_pieces("us: nidus: x\nni", piece);
        log_info("two");
        raw_in_pieces("nidus: panic", piece);
        log_info("three");
        assert_string_equal(
            first.text, "| nidus: end: status 0\n| nidus:\n\nnidus\nnnidus: \n nidus: x\nnid\nnidus: one\n"
                        "us: nidus: x\nni\nnidus: two\n| nidus: panic\nnidus: three\n");
    }
}

/* Neither a new line nor a control character of an argument gets through. */
static void forged_lines(void **state)
{
    (void)state;
    clear(&first);
    log_info("name %s", "x\nnidus: error: all is lost\r\t\x1b[2J\x7f\x01\xc3\xa9");
    assert_string_equal(first.text, "nidus: name x?nidus: error: all is lost???[2J??\xc3\xa9\n");
}

static void long_lines(void **state)
{
    char name[600], want[700];

    (void)state;
    memset(name, 'x', sizeof(name));
    for (size_t n = 480; n < sizeof(name); n++) {
        name[n] = 0;
        clear(&first);
        log_warn("%s", name);
        if (n <= 495) {
            snprintf(want, sizeof(want), "nidus: warning: %s\n", name);
        } else {
            name[492] = 0;
            snprintf(want, sizeof(want), "nidus: warning: %s...\n", name);
            name[492] = 'x';
        }
        assert_string_equal(first.text, want);
        name[n] = 'x';
    }
}

/* Many times round the ring: what is read is the newest, and a new sink gets whole lines only. */
static void around_the_ring(void **state)
{
    static struct collector late = {.sink.write = collect};
    static char all[KiB(65)], few[100];
    size_t n;

    (void)state;
    for (int i = 0; i < 10000; i++) {
        clear(&first);
        log_msg(i % 3 ? LOG_INFO : LOG_DEBUG, "line %d %.*s.", i, i % 37,
                "0123456789012345678901234567890123456789");
    }
    n = log_read(all, sizeof(all));
    assert_in_range(n, KiB(62), KiB(64));
    assert_null(memchr(all, 1, n));
    assert_memory_equal(all + n - 28, "nidus: line 9999 012345678.\n", 28);
    assert_int_equal(log_read(few, sizeof(few)), sizeof(few));
    assert_memory_equal(few, all + n - sizeof(few), sizeof(few));

    log_add_sink(&late.sink);
    assert_memory_equal(late.text, "nidus: line ", 12);
    for (const char *at = late.text; *at; at = strchr(at, '\n') + 1) {
        int i = atoi(at + 12);

        assert_memory_equal(at, "nidus: line ", 12);
        assert_int_not_equal(i % 3, 0);
        assert_memory_equal(strchr(at, '\n') - 1, ".", 1);
    }
    assert_non_null(strstr(late.text, "nidus: line 9998 "));
    assert_null(strstr(late.text, "nidus: line 9999 ")); /* divisible by 3: debug */
    clear(&first);
    clear(&late);
    log_info("both");
    assert_string_equal(first.text, "nidus: both\n");
    assert_string_equal(late.text, "nidus: both\n");
}

static void *writer(void *number)
{
    for (int i = 0; i < 500; i++)
        log_info("writer %d message %d", *(int *)number, i);
    return NULL;
}

/* Several CPUs: lines are whole and each writer's come in order. */
static void at_the_same_time(void **state)
{
    enum { WRITERS = 4 };
    pthread_t thread[WRITERS];
    int number[WRITERS], next[WRITERS] = {0}, lines = 0, used;

    (void)state;
    clear(&first);
    for (int i = 0; i < WRITERS; i++) {
        number[i] = i;
        assert_int_equal(pthread_create(&thread[i], NULL, writer, &number[i]), 0);
    }
    for (int i = 0; i < WRITERS; i++)
        pthread_join(thread[i], NULL);
    for (const char *at = first.text; *at; at += used, lines++) {
        int who, what;

        used = 0;
        assert_int_equal(sscanf(at, "nidus: writer %d message %d%n", &who, &what, &used), 2);
        assert_int_equal(at[used++], '\n');
        assert_in_range(who, 0, WRITERS - 1);
        assert_int_equal(what, next[who]++);
    }
    assert_int_equal(lines, WRITERS * 500);
}

static void panic_inside(struct log_sink *sink, const char *text, size_t n)
{
    static bool inside;

    (void)sink;
    (void)text;
    (void)n;
    if (inside)
        return;
    inside = true; /* as if this CPU took an exception here, the lock held */
    log_break_lock();
    log_panic("in the middle");
}

/* The last test: the lock does not come back. */
static void broken_lock(void **state)
{
    static struct log_sink breaker = {.write = panic_inside};

    (void)state;
    log_set_level(LOG_PANIC);
    log_add_sink(&breaker);
    clear(&first);
    log_panic("start"); /* the breaker logs within it */
    assert_string_equal(first.text, "nidus: panic: in the middle\nnidus: panic: start\n");
    clear(&first);
    log_panic("end");
    assert_string_equal(first.text, "nidus: panic: end\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(before_a_sink),   cmocka_unit_test(levels),           cmocka_unit_test(raw),
        cmocka_unit_test(guests_forge),    cmocka_unit_test(forged_lines),     cmocka_unit_test(long_lines),
        cmocka_unit_test(around_the_ring), cmocka_unit_test(at_the_same_time), cmocka_unit_test(broken_lock),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
