/* SPDX-License-Identifier: MIT */
/* A load for Linux in a VM, each part of which checks its own results. */
#ifndef TESTS_LAB_LINUX_STRESS_H
#define TESTS_LAB_LINUX_STRESS_H

#include <stdbool.h>
#include <stdint.h>

struct stress {
    int cpu, nr_cpus; /* where this part runs, and how many there are */
    uint64_t end;     /* of CLOCK_MONOTONIC, in ns */
    uint64_t *newest; /* of check_clock(): two words that all processes share */
    const char *path; /* of this program */
    bool few;         /* exceptions, see main() */
};

/* Each returns how often it went round; a wrong result ends the process by fail(). */
uint64_t check_registers(const struct stress *s);
uint64_t check_sleeps(const struct stress *s);
uint64_t check_periodic(const struct stress *s);
uint64_t check_signals(const struct stress *s);
uint64_t check_traps(const struct stress *s);
uint64_t check_pipes(const struct stress *s);
uint64_t check_processes(const struct stress *s);
uint64_t check_mappings(const struct stress *s);
uint64_t check_clock(const struct stress *s);

/* Says what is wrong and ends this process with status 1. */
void fail(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));
/* fail() with the text of errno, unless ok. */
void must(bool ok, const char *what);
uint64_t now(void);
bool over(const struct stress *s);
/* Moves the calling thread to a CPU. */
void run_on(int cpu);
/* The exit status of a process that was executed with that argument, see check_processes(). */
int executed(const char *argument);
/* A sequence that looks random; the state must not be 0. */
uint64_t next_random(uint64_t *state);

#endif
