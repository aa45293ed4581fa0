/* SPDX-License-Identifier: MIT */
/*
 * stress SECONDS [few]: every check on every CPU, all at once; with 'few' without those that live on
 * exceptions. Says 'stress: ok' or 'stress: FAILED'.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "stress.h"

#define GRACE 20 /* seconds after the end in which all must be through: one that hangs has lost something */

static const struct {
    const char *name;
    uint64_t (*run)(const struct stress *s);
} checks[] = {
    {"registers", check_registers}, {"sleeps", check_sleeps},       {"periodic", check_periodic},
    {"signals", check_signals},     {"pipes", check_pipes},         {"mappings", check_mappings},
    {"clock", check_clock},         {"processes", check_processes}, {"traps", check_traps},
};

#define NR_CHECKS (sizeof(checks) / sizeof(checks[0]))
#define NR_FEW    (NR_CHECKS - 2) /* without the last two */

static const char *check_name;
static int check_cpu;

void fail(const char *fmt, ...)
{
    char text[200];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    printf("stress: %s on CPU %d: WRONG: %s\n", check_name, check_cpu, text);
    fflush(stdout);
    _exit(1);
}

void must(bool ok, const char *what)
{
    if (!ok)
        fail("%s: %s", what, strerror(errno));
}

uint64_t now(void)
{
    struct timespec t;

    must(clock_gettime(CLOCK_MONOTONIC, &t) == 0, "clock_gettime");
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

bool over(const struct stress *s)
{
    return now() >= s->end;
}

void run_on(int cpu)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    must(sched_setaffinity(0, sizeof(set), &set) == 0, "sched_setaffinity");
    if (sched_getcpu() != cpu)
        fail("on CPU %d after the move to %d", sched_getcpu(), cpu);
}

uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static pid_t start(unsigned check, struct stress s)
{
    pid_t pid = fork();

    must(pid >= 0, "fork");
    if (pid)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    check_name = checks[check].name;
    check_cpu = s.cpu;
    run_on(s.cpu);
    printf("stress: %s on CPU %d: %lu rounds\n", check_name, check_cpu, checks[check].run(&s));
    fflush(stdout);
    _exit(0);
}

int main(int argc, char **argv)
{
    struct stress s = {.nr_cpus = (int)sysconf(_SC_NPROCESSORS_ONLN), .path = "/proc/self/exe"};
    unsigned nr_checks;
    int seconds, status, failed = 0;

    check_name = "start";
    if (argc == 3 && strcmp(argv[1], "executed") == 0)
        return executed(argv[2]);
    seconds = argc >= 2 ? atoi(argv[1]) : 0;
    s.few = argc == 3 && strcmp(argv[2], "few") == 0;
    if (seconds <= 0 || argc > 2 + s.few) {
        fprintf(stderr, "usage: stress SECONDS [few]\n");
        return 2;
    }
    nr_checks = s.few ? NR_FEW : NR_CHECKS;
    s.newest = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    must(s.newest != MAP_FAILED, "mmap");
    s.end = now() + (uint64_t)seconds * 1000000000;
    for (s.cpu = 0; s.cpu < s.nr_cpus; s.cpu++) {
        for (unsigned i = 0; i < nr_checks; i++)
            start(i, s);
    }
    alarm((unsigned)(seconds + GRACE));
    for (unsigned i = 0; i < nr_checks * (unsigned)s.nr_cpus; i++) {
        must(wait(&status) > 0, "wait");
        if (status) {
            printf("stress: a check ended with status 0x%x\n", status);
            failed++;
        }
    }
    printf("stress: %s\n", failed ? "FAILED" : "ok");
    return failed != 0;
}
