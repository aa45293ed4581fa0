/* SPDX-License-Identifier: MIT */
/*
 * Nidus's own log: each message is one line, starts with "nidus: " (errors with "nidus: error: ", warnings
 * with "nidus: warning: "), goes to a ring in memory and, up to the console's level, to each registered sink.
 */
#ifndef LIB_LOG_H
#define LIB_LOG_H

#include "lib/packed.h"
#include "lib/types.h"

enum log_level { LOG_PANIC, LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

struct log_sink {
    struct log_sink *next;
    void (*write)(struct log_sink *sink, const char *text, size_t n);
    bool terminal; /* a person types there: it shows log_prompt()'s line, by CR and CSI K */
};

/* The sink also receives what is in the ring already. Sinks are called with the log's lock held: they must
 * not log. */
void log_add_sink(struct log_sink *sink);
void log_remove_sink(struct log_sink *sink);
void log_set_level(enum log_level level);
enum log_level log_get_level(void);

void log_msg(enum log_level level, const char *fmt, ...) __printf(2, 3);
void log_va(enum log_level level, const char *fmt, va_list args);

/* Raw console output (guests' text), in pieces of any size; to the sinks, not to the ring. A line of it that
 * begins like Nidus's own gets "| " before it. */
void log_raw(const char *text, size_t n);

/*
 * A line that stays below all that is put, on terminals: what a person is typing. It has no end of line, and
 * is no wider than the terminal. n = 0: there is none any more, and its row is empty.
 */
void log_prompt(const char *text, size_t n);
#define LOG_PROMPT_SIZE 128

/* Copies up to size bytes of the newest text in the ring, oldest first; returns the number copied. */
size_t log_read(char *buf, size_t size);

/* For a panic: from now on ignore the lock, another CPU may hold it for ever. */
void log_break_lock(void);

#define log_panic(...) log_msg(LOG_PANIC, PACK __VA_ARGS__) /* use panic() of arch/x86/trap.h */
#define log_error(...) log_msg(LOG_ERROR, PACK __VA_ARGS__)
#define log_warn(...)  log_msg(LOG_WARN, PACK __VA_ARGS__)
#define log_info(...)  log_msg(LOG_INFO, PACK __VA_ARGS__)
#define log_debug(...) log_msg(LOG_DEBUG, PACK __VA_ARGS__)

#endif
