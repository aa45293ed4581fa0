/* SPDX-License-Identifier: MIT */
/*
 * pingpong ROUNDS: on CPUs 0 and 1, on 2 and 3, and so on, two processes hand each other a byte by two pipes,
 * all pairs at once. Says what a round trip took by the TSC, and the interrupts before and after.
 */
#define _GNU_SOURCE
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *const names[] = {"LOC", "RES", "CAL", "TLB"};

#define NR_NAMES (sizeof(names) / sizeof(names[0]))

static void must(bool ok, const char *what)
{
    if (ok)
        return;
    printf("pingpong: WRONG: %s\n", what);
    fflush(stdout);
    _exit(1);
}

static uint64_t tsc(void)
{
    uint32_t low, high;

    __asm__ volatile("mfence; lfence; rdtsc" : "=a"(low), "=d"(high)::"memory");
    return (uint64_t)high << 32 | low;
}

static void run_on(int cpu)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    must(sched_setaffinity(0, sizeof(set), &set) == 0, "sched_setaffinity");
}

/* Of all CPUs. */
static void read_counts(uint64_t *counts)
{
    FILE *file = fopen("/proc/interrupts", "r");
    char line[512], name[8];
    int at;

    must(file, "/proc/interrupts");
    while (fgets(line, sizeof(line), file)) {
        for (unsigned i = 0; i < NR_NAMES; i++) {
            if (sscanf(line, " %7[A-Z]:%n", name, &at) != 1 || strcmp(name, names[i]) != 0)
                continue;
            counts[i] = 0;
            for (char *p = line + at, *end; counts[i] += strtoull(p, &end, 10), end != p; p = end)
                ;
        }
    }
    fclose(file);
}

/* Its first round is before it says that it is ready; the others are when begin is closed. */
static void pair(int cpu, long rounds, int ready, int begin)
{
    int to[2], back[2], status;
    char byte = 0;
    pid_t pid;

    must(pipe(to) == 0 && pipe(back) == 0, "pipe");
    pid = fork();
    must(pid >= 0, "fork");
    run_on(pid ? cpu : cpu + 1);
    if (!pid) {
        close(to[1]);
        while (read(to[0], &byte, 1) == 1)
            must(write(back[1], &byte, 1) == 1, "write");
        _exit(0);
    }
    must(write(to[1], &byte, 1) == 1 && read(back[0], &byte, 1) == 1, "the first round");
    must(write(ready, &byte, 1) == 1 && read(begin, &byte, 1) == 0, "start");
    for (long i = 0; i < rounds; i++) {
        char sent = (char)i;

        must(write(to[1], &sent, 1) == 1 && read(back[0], &byte, 1) == 1 && byte == sent, "a round");
    }
    close(to[1]);
    must(waitpid(pid, &status, 0) == pid && status == 0, "the other process");
    _exit(0);
}

int main(int argc, char **argv)
{
    uint64_t before[NR_NAMES] = {0}, after[NR_NAMES] = {0}, ticks;
    int ready[2], begin[2], pairs = (int)sysconf(_SC_NPROCESSORS_ONLN) / 2, status;
    long rounds = argc == 2 ? atol(argv[1]) : 0;
    char byte;

    must(rounds > 0 && pairs, "usage: pingpong ROUNDS, on 2 CPUs or more");
    must(pipe(ready) == 0 && pipe(begin) == 0, "pipe");
    for (int i = 0; i < pairs; i++) {
        pid_t pid = fork();

        must(pid >= 0, "fork");
        if (!pid) {
            close(begin[1]);
            pair(2 * i, rounds, ready[1], begin[0]);
        }
    }
    for (int i = 0; i < pairs; i++)
        must(read(ready[0], &byte, 1) == 1, "a pair is not ready");
    read_counts(before);
    ticks = tsc();
    close(begin[1]);
    for (int i = 0; i < pairs; i++)
        must(wait(&status) > 0 && status == 0, "a pair");
    ticks = tsc() - ticks;
    read_counts(after);
    printf("pingpong: %ld round trips, %lu ticks each\n", rounds * pairs, ticks / (uint64_t)(rounds * pairs));
    for (unsigned i = 0; i < NR_NAMES; i++)
        printf("pingpong: %s %lu %lu\n", names[i], before[i], after[i]);
    printf("pingpong: ok\n");
    return 0;
}
