/* SPDX-License-Identifier: MIT */
/* Every timer fires, none too early; time never goes back, whichever CPU reads it. */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "stress.h"

#define MS UINT64_C(1000000)
#define LATE                                                                                       \
    (5000 * MS) /* a timer that is later than this is lost: the machine is loaded, but not so much \
                 */
#define FD_TICK  (7 * MS)
#define SIG_TICK (11 * MS)

static struct timespec span(uint64_t ns)
{
    return (struct timespec){(time_t)(ns / 1000000000), (long)(ns % 1000000000)};
}

static void judge(const char *what, uint64_t due, uint64_t came)
{
    if (came < due)
        fail("%s: %lu ns too early", what, due - came);
    if (came - due > LATE)
        fail("%s: %lu ms late", what, (came - due) / MS);
}

/* Sleeps for a time, sleeps until a time, and one-shot timers; 0.1 to 20 ms. */
uint64_t check_sleeps(const struct stress *s)
{
    uint64_t state = (uint64_t)getpid() << 20 | 1, rounds = 0;
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);

    must(fd >= 0, "timerfd_create");
    for (; !over(s); rounds++) {
        uint64_t ns = MS / 10 + next_random(&state) % (20 * MS), due = now() + ns, n;
        struct timespec t = span(rounds % 3 ? due : ns);
        struct itimerspec one = {.it_value = t};
        struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

        if (rounds % 3 == 2) {
            must(timerfd_settime(fd, TFD_TIMER_ABSTIME, &one, NULL) == 0, "timerfd_settime");
            if (poll(&poll_fd, 1, (int)((ns + LATE) / MS)) != 1)
                fail("a timer of %lu ns has not fired after %lu ms", ns, (now() - due + ns) / MS);
            must(read(fd, &n, sizeof(n)) == sizeof(n), "read of a timer");
            if (n != 1)
                fail("a one-shot timer fired %lu times", n);
        } else {
            must(clock_nanosleep(CLOCK_MONOTONIC, rounds % 3 ? TIMER_ABSTIME : 0, &t, NULL) == 0,
                 "clock_nanosleep");
        }
        judge("a sleep", due, now());
    }
    return rounds;
}

/* The ticks that have passed between two readings of the clock around a count. */
static void judge_count(const char *what, uint64_t count, uint64_t start, uint64_t tick, uint64_t earliest,
                        uint64_t latest)
{
    uint64_t least = (earliest - start) / tick, most = (latest - start) / tick;

    if (count < least || count > most)
        fail("%s: %lu ticks, not %lu to %lu", what, count, least, most);
}

/* Two periodic timers, one read as a file, one as a signal with the count of those that it stands for. */
uint64_t check_periodic(const struct stress *s)
{
    uint64_t start = now() + 20 * MS, by_fd = 0, by_signal = 0, n, earliest;
    struct itimerspec fd_time = {span(FD_TICK), span(start + FD_TICK)},
                      sig_time = {span(SIG_TICK), span(start + SIG_TICK)};
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    struct timespec patience = span(LATE);
    siginfo_t info;
    sigset_t set;
    timer_t timer;

    must(fd >= 0, "timerfd_create");
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    must(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0, "timer_create");
    must(timer_settime(timer, TIMER_ABSTIME, &sig_time, NULL) == 0, "timer_settime");
    must(timerfd_settime(fd, TFD_TIMER_ABSTIME, &fd_time, NULL) == 0, "timerfd_settime");
    while (!over(s)) {
        earliest = now();
        must(read(fd, &n, sizeof(n)) == sizeof(n), "read of a timer");
        by_fd += n;
        judge_count("timerfd", by_fd, start, FD_TICK, earliest > start ? earliest : start, now());
        earliest = now();
        if (sigtimedwait(&set, &info, &patience) != SIGUSR1)
            fail("no signal of a periodic timer: %s", errno == EAGAIN ? "not in 5 s" : "interrupted");
        by_signal += 1 + (uint64_t)info.si_overrun;
        judge_count("POSIX timer", by_signal, start, SIG_TICK, earliest > start ? earliest : start, now());
    }
    timer_delete(timer);
    return by_fd + by_signal;
}

/* Each reading must be at or after what any CPU has read before it. */
static void newer(const char *what, uint64_t *newest, uint64_t (*read_clock)(void))
{
    uint64_t seen = __atomic_load_n(newest, __ATOMIC_SEQ_CST), t = read_clock();

    if (t < seen)
        fail("%s went back by %lu", what, seen - t);
    while (t > seen &&
           !__atomic_compare_exchange_n(newest, &seen, t, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
        ;
}

static uint64_t tsc(void)
{
    uint32_t low, high;

    __asm__ volatile("mfence; lfence; rdtsc" : "=a"(low), "=d"(high)::"memory");
    return (uint64_t)high << 32 | low;
}

uint64_t check_clock(const struct stress *s)
{
    uint64_t rounds = 0;

    for (; !over(s); rounds++) {
        newer("CLOCK_MONOTONIC", &s->newest[0], now);
        newer("the TSC", &s->newest[1], tsc);
        if (rounds % 64 == 63)
            run_on((s->cpu + (int)(rounds / 64)) % s->nr_cpus);
        if (rounds % 256 == 255)
            usleep(1000); /* leaves some of the CPU to the others */
    }
    return rounds;
}
