/* SPDX-License-Identifier: MIT */
/*
 * A line is formatted on the caller's stack, then added to the ring and handed to the sinks under one lock.
 * In the ring each line begins with a byte that tells its level (FIRST_MARK + level), which no text contains:
 * control characters are made visible as '?', so that no guest's or boot loader's string can forge a line.
 * Nor can what guests print: what could begin a line of Nidus's is held until it is clear, and then gets "| "
 * before it. What a person types is taken from the terminals before anything is put, and shown again behind
 * it.
 */
#include "lib/log.h"
#include "lib/format.h"
#include "lib/spinlock.h"
#include "lib/string.h"

#define RING_SIZE  KiB(64)
#define LINE_SIZE  512
#define FIRST_MARK 1
#define OWN        "nidus:" /* what Nidus's own lines begin with */

static const char *const prefix[] = {
    [LOG_PANIC] = "nidus: panic: ", [LOG_ERROR] = "nidus: error: ", [LOG_WARN] = "nidus: warning: ",
    [LOG_INFO] = "nidus: ",         [LOG_DEBUG] = "nidus: ",
};

static struct {
    struct spinlock lock;
    bool lock_broken;
    enum log_level level;
    struct log_sink *sinks;
    bool mid_line; /* the sinks' last character was not the end of a line */
    u32 held;      /* characters of OWN that a guest's line begins with, not given to the sinks yet */
    u64 head;      /* characters ever put in the ring */
} state = {.level = LOG_INFO};

static struct {
    char text[LOG_PROMPT_SIZE];
    u32 n;
    bool shown;
} prompt;

static char ring[RING_SIZE]; /* apart, so that it takes no room in the image's file */

/* Returns whether the lock was taken: log_break_lock() may come between the two calls. */
static bool lock(void)
{
    if (__atomic_load_n(&state.lock_broken, __ATOMIC_RELAXED))
        return false;
    spin_lock(&state.lock);
    return true;
}

static void terminals_put(const char *text, size_t n)
{
    for (struct log_sink *sink = state.sinks; sink; sink = sink->next)
        if (sink->terminal)
            sink->write(sink, text, n);
}

/* Before anything is put. Whoever breaks the lock has last words, which are to begin a line of their own. */
static void hide_prompt(void)
{
    bool last = __atomic_load_n(&state.lock_broken, __ATOMIC_RELAXED);

    if (!prompt.shown)
        return;
    prompt.shown = false;
    terminals_put(last ? "\n" : "\r\x1b[K", last ? 1 : 4);
}

static void unlock(bool locked)
{
    if (!locked)
        return;
    if (prompt.n && !prompt.shown && !state.mid_line) {
        terminals_put(prompt.text, prompt.n);
        prompt.shown = true;
    }
    spin_unlock(&state.lock);
}

static bool is_mark(char c)
{
    return c >= FIRST_MARK && c <= FIRST_MARK + LOG_DEBUG;
}

static char ring_at(u64 position)
{
    return ring[position % RING_SIZE];
}

static void ring_put(const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++)
        ring[state.head++ % RING_SIZE] = text[i];
}

static void sinks_put(const char *text, size_t n)
{
    hide_prompt();
    for (struct log_sink *sink = state.sinks; sink; sink = sink->next)
        sink->write(sink, text, n);
    state.mid_line = text[n - 1] != '\n';
}

static void release_held(void)
{
    u32 n = state.held;

    state.held = 0;
    if (n)
        sinks_put(OWN, n);
}

static void replay(struct log_sink *sink)
{
    u64 at = state.head > RING_SIZE ? state.head - RING_SIZE : 0;

    while (at < state.head && !is_mark(ring_at(at)))
        at++; /* the rest of a line whose start is overwritten */
    while (at < state.head) {
        enum log_level level = (enum log_level)(ring_at(at++) - FIRST_MARK);
        u64 start = at;

        while (at < state.head && !is_mark(ring_at(at)))
            at++;
        if (level > state.level)
            continue;
        if (start / RING_SIZE != (at - 1) / RING_SIZE) { /* it wraps around: in two pieces */
            sink->write(sink, &ring[start % RING_SIZE], RING_SIZE - start % RING_SIZE);
            start = ALIGN_UP(start, RING_SIZE);
        }
        sink->write(sink, &ring[start % RING_SIZE], at - start);
    }
}

void log_add_sink(struct log_sink *sink)
{
    bool locked = lock();

    replay(sink);
    sink->next = state.sinks;
    state.sinks = sink;
    unlock(locked);
}

void log_remove_sink(struct log_sink *sink)
{
    bool locked = lock();

    for (struct log_sink **at = &state.sinks; *at; at = &(*at)->next) {
        if (*at == sink) {
            *at = sink->next;
            break;
        }
    }
    unlock(locked);
}

void log_set_level(enum log_level level)
{
    __atomic_store_n(&state.level, level, __ATOMIC_RELAXED);
}

enum log_level log_get_level(void)
{
    return __atomic_load_n(&state.level, __ATOMIC_RELAXED);
}

/* Fills line with prefix, text and the final newline; too much text is cut and ends with "...". */
static size_t make_line(char line[LINE_SIZE], enum log_level level, const char *fmt, va_list args)
{
    size_t start = strlen(prefix[level]), room = LINE_SIZE - 1 - start, n;

    memcpy(line, prefix[level], start);
    n = format_va(line + start, room + 1, fmt, args);
    if (n > room) {
        n = room;
        memcpy(line + start + n - 3, "...", 3);
    }
    for (size_t i = start; i < start + n; i++) {
        if ((u8)line[i] < ' ' || line[i] == 0x7f)
            line[i] = '?';
    }
    line[start + n] = '\n';
    return start + n + 1;
}

void log_va(enum log_level level, const char *fmt, va_list args)
{
    char line[LINE_SIZE], mark = (char)(FIRST_MARK + level);
    size_t n = make_line(line, level, fmt, args);
    bool locked = lock();

    ring_put(&mark, 1);
    ring_put(line, n);
    if (level <= state.level) {
        release_held();
        if (state.mid_line)
            sinks_put("\n", 1);
        sinks_put(line, n);
    }
    unlock(locked);
}

void log_msg(enum log_level level, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    log_va(level, fmt, args);
    va_end(args);
}

void log_raw(const char *text, size_t n)
{
    bool locked = lock();
    size_t at = 0;

    while (at < n) {
        if (state.mid_line || text[at] != OWN[state.held]) {
            size_t end = at + 1;

            release_held();
            while (end < n && text[end - 1] != '\n')
                end++;
            sinks_put(text + at, end - at);
            at = end;
            continue;
        }
        at++;
        if (!OWN[++state.held]) {
            state.held = 0;
            sinks_put("| " OWN, sizeof("| " OWN) - 1);
        }
    }
    unlock(locked);
}

void log_prompt(const char *text, size_t n)
{
    bool locked = lock();

    hide_prompt();
    prompt.n = (u32)MIN(n, sizeof(prompt.text));
    memcpy(prompt.text, text, prompt.n);
    release_held();
    if (n && state.mid_line)
        sinks_put("\n", 1);
    unlock(locked);
}

size_t log_read(char *buf, size_t size)
{
    bool locked = lock();
    u64 oldest = state.head > RING_SIZE ? state.head - RING_SIZE : 0, at = state.head;
    size_t n = 0;

    while (at > oldest && n < size)
        n += !is_mark(ring_at(--at));
    for (size_t i = 0; i < n; at++) {
        if (!is_mark(ring_at(at)))
            buf[i++] = ring_at(at);
    }
    unlock(locked);
    return n;
}

void log_break_lock(void)
{
    __atomic_store_n(&state.lock_broken, true, __ATOMIC_RELAXED);
}
