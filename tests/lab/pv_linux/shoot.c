/* SPDX-License-Identifier: MIT */
/*
 * shoot SECONDS: one thread gives a page new memory again and again while those on other CPUs read it, then
 * makes them pass memory barriers; then two processes wake each other. Says how many rounds each came to, and
 * 'shoot: ok'.
 */
#define _GNU_SOURCE
#include <linux/membarrier.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE    4096
#define READERS 2 /* on CPUs 1 and 2; of four CPUs, so that IPIs to them are not to all others */

static volatile uint64_t *page;
static uint64_t written; /* the page has this, or more, or is new; UINT64_MAX: the end */
static uint64_t newest;  /* a time that some CPU has seen */

static void must(bool ok, const char *what)
{
    if (ok)
        return;
    printf("shoot: WRONG: %s\n", what);
    exit(1);
}

static uint64_t now(void)
{
    uint64_t before = __atomic_load_n(&newest, __ATOMIC_ACQUIRE), ns;
    struct timespec t;

    must(clock_gettime(CLOCK_MONOTONIC, &t) == 0, "clock_gettime");
    ns = (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
    must(ns >= before, "time went backwards");
    while (before < ns &&
           !__atomic_compare_exchange_n(&newest, &before, ns, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        ;
    return ns;
}

static void run_on(int cpu)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    must(sched_setaffinity(0, sizeof(set), &set) == 0, "sched_setaffinity");
}

static void *reader(void *cpu)
{
    uint64_t least, found;

    run_on((int)(intptr_t)cpu);
    while ((least = __atomic_load_n(&written, __ATOMIC_ACQUIRE)) != UINT64_MAX) {
        found = *page;
        must(!found || found >= least, "a page that is gone was read");
        now();
    }
    return NULL;
}

static void replace_pages(uint64_t end)
{
    uint64_t round = 0;

    while (now() < end) {
        void *p =
            mmap((void *)page, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

        must(p == page, "mmap");
        *page = ++round;
        __atomic_store_n(&written, round, __ATOMIC_RELEASE);
    }
    printf("shoot: %lu pages\n", round);
}

static void pass_barriers(uint64_t end)
{
    uint64_t round = 0;

    must(syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0, "membarrier");
    for (; now() < end; round++)
        must(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0, "membarrier");
    printf("shoot: %lu barriers\n", round);
}

static void shoot(uint64_t ns)
{
    pthread_t thread[READERS];

    page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    must(page != MAP_FAILED, "mmap");
    for (intptr_t i = 0; i < READERS; i++)
        must(pthread_create(&thread[i], NULL, reader, (void *)(i + 1)) == 0, "pthread_create");
    replace_pages(now() + ns);
    pass_barriers(now() + ns);
    __atomic_store_n(&written, UINT64_MAX, __ATOMIC_RELEASE);
    for (int i = 0; i < READERS; i++)
        pthread_join(thread[i], NULL);
}

static void wake(uint64_t end)
{
    int to[2], back[2], status;
    uint64_t round = 0;
    char byte = 0;
    pid_t pid;

    must(pipe(to) == 0 && pipe(back) == 0, "pipe");
    fflush(stdout);
    pid = fork();
    must(pid >= 0, "fork");
    if (!pid) {
        run_on(1);
        close(to[1]);
        while (read(to[0], &byte, 1) == 1)
            must(write(back[1], &byte, 1) == 1, "write");
        exit(0);
    }
    for (; now() < end; round++)
        must(write(to[1], &byte, 1) == 1 && read(back[0], &byte, 1) == 1, "ping");
    close(to[1]);
    must(waitpid(pid, &status, 0) == pid && status == 0, "the other process");
    printf("shoot: %lu wake-ups\n", round);
}

int main(int argc, char **argv)
{
    uint64_t ns = argc == 2 ? (uint64_t)atoi(argv[1]) * 1000000000 : 0;

    must(ns, "usage: shoot SECONDS");
    run_on(0);
    shoot(ns);
    wake(now() + ns);
    printf("shoot: ok\n");
    return 0;
}
