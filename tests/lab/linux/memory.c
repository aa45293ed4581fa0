/* SPDX-License-Identifier: MIT */
/* Address spaces: processes that come and go, and mappings that change under a thread on another CPU. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "stress.h"

#define PAGES 8
#define PAGE  4096
#define WORDS (PAGE / 8)

/* A number that depends on the text and on memory that this process has got anew. */
int executed(const char *argument)
{
    uint64_t sum = 0, *fresh = calloc(PAGES, PAGE);

    if (!fresh)
        return 255;
    for (int i = 0; i < PAGES * WORDS; i++)
        sum |= fresh[i];
    if (sum)
        return 254; /* what calloc() gives is not zero */
    return (atoi(argument) * 7 + 3) % 200;
}

/* Forks a process that checks and changes a copy of its parent's memory, and one that executes this program
 * anew. */
uint64_t check_processes(const struct stress *s)
{
    uint64_t rounds = 0, *shared = malloc(PAGES * PAGE);
    char argument[12];
    int status;

    must(shared != NULL, "malloc");
    for (; !over(s); rounds++) {
        int number = (int)(rounds % 1000);
        pid_t pid;

        for (uint64_t i = 0; i < PAGES * WORDS; i++)
            shared[i] = rounds ^ i;
        snprintf(argument, sizeof(argument), "%d", number);
        pid = fork();
        must(pid >= 0, "fork");
        if (!pid) {
            run_on((s->cpu + (int)rounds) % s->nr_cpus);
            for (uint64_t i = 0; i < PAGES * WORDS; i++) {
                if (shared[i] != (rounds ^ i))
                    fail("the child has 0x%lx, not 0x%lx", shared[i], rounds ^ i);
                shared[i] = ~i;
            }
            execl(s->path, s->path, "executed", argument, NULL);
            fail("%s cannot be executed", s->path);
        }
        must(waitpid(pid, &status, 0) == pid, "waitpid");
        if (!WIFEXITED(status) || WEXITSTATUS(status) != (number * 7 + 3) % 200)
            fail("child %d ended with 0x%x", number, status);
        for (uint64_t i = 0; i < PAGES * WORDS; i++) {
            if (shared[i] != (rounds ^ i))
                fail("the child's write is seen by its parent: 0x%lx, not 0x%lx", shared[i], rounds ^ i);
        }
    }
    return rounds;
}

static struct {
    uint64_t *area;
    uint64_t written, read; /* the round whose pages are ready; the last that was found good */
    int cpu;
} mapped;

static uint64_t await_change(uint64_t *word, uint64_t old)
{
    uint64_t value;

    while ((value = __atomic_load_n(word, __ATOMIC_ACQUIRE)) == old)
        sched_yield();
    return value;
}

static void *reader(void *unused)
{
    (void)unused;
    run_on(mapped.cpu);
    for (uint64_t round = 0;;) {
        round = await_change(&mapped.written, round);
        if (round == UINT64_MAX)
            return NULL;
        for (uint64_t i = 0; i < PAGES; i++) {
            uint64_t value = ((volatile uint64_t *)mapped.area)[i * WORDS + round % WORDS];

            if (value != round + i)
                fail("round %lu, page %lu: the other CPU reads 0x%lx: a stale translation", round, i, value);
        }
        __atomic_store_n(&mapped.read, round, __ATOMIC_RELEASE);
    }
}

/* Pages are replaced at the same address; the other CPU, which has just read the old ones, must see the new
 * ones. */
uint64_t check_mappings(const struct stress *s)
{
    const int populate = s->few ? MAP_POPULATE : 0; /* no page faults */
    uint64_t rounds = 1;
    pthread_t thread;

    mapped.cpu = (s->cpu + 1) % s->nr_cpus;
    mapped.area = mmap(NULL, PAGES * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    must(mapped.area != MAP_FAILED, "mmap");
    must(pthread_create(&thread, NULL, reader, NULL) == 0, "pthread_create");
    for (; !over(s); rounds++) {
        void *p = mmap(mapped.area, PAGES * PAGE, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | populate, -1, 0);

        must(p == mapped.area, "mmap at the same place");
        for (uint64_t i = 0; i < PAGES * WORDS; i++) {
            if (mapped.area[i])
                fail("round %lu: a new page has 0x%lx at %lu", rounds, mapped.area[i], i);
        }
        for (uint64_t i = 0; i < PAGES; i++)
            mapped.area[i * WORDS + rounds % WORDS] = rounds + i;
        __atomic_store_n(&mapped.written, rounds, __ATOMIC_RELEASE);
        await_change(&mapped.read, rounds - 1);
        if (rounds % 4 == 0) {
            must(mprotect(mapped.area, PAGES * PAGE, PROT_READ) == 0, "mprotect");
            must(munmap(mapped.area, PAGES * PAGE) == 0, "munmap");
        }
    }
    __atomic_store_n(&mapped.written, UINT64_MAX, __ATOMIC_RELEASE);
    pthread_join(thread, NULL);
    return rounds;
}
