/* SPDX-License-Identifier: MIT */
/* Signals and pipes between processes on different CPUs, and signals that come from exceptions. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "stress.h"

static int next_cpu(const struct stress *s)
{
    return (s->cpu + 1) % s->nr_cpus;
}

/* Forks one that lives no longer than its parent, and runs on the next CPU. */
static pid_t fork_next(const struct stress *s)
{
    pid_t pid = fork();

    must(pid >= 0, "fork");
    if (!pid) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        run_on(next_cpu(s));
    }
    return pid;
}

static void end_child(pid_t pid)
{
    int status;

    kill(pid, SIGKILL);
    must(waitpid(pid, &status, 0) == pid, "waitpid");
    if (!WIFSIGNALED(status))
        fail("the other side ended by itself: 0x%x", status);
}

static int await(const sigset_t *set)
{
    siginfo_t info;

    if (sigtimedwait(set, &info, &(struct timespec){5, 0}) < 0)
        fail("no signal in 5 s");
    return info.si_value.sival_int;
}

/* Queued signals with a number, there and back. */
uint64_t check_signals(const struct stress *s)
{
    pid_t parent = getpid(), child;
    uint64_t rounds = 0;
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN);
    sigprocmask(SIG_BLOCK, &set, NULL);
    child = fork_next(s);
    if (!child) {
        for (;;)
            sigqueue(parent, SIGRTMIN, (union sigval){.sival_int = await(&set) + 1});
    }
    for (; !over(s); rounds++) {
        int sent = (int)rounds * 2, back;

        must(sigqueue(child, SIGRTMIN, (union sigval){.sival_int = sent}) == 0, "sigqueue");
        back = await(&set);
        if (back != sent + 1)
            fail("signal %d came back as %d", sent, back);
    }
    end_child(child);
    return rounds;
}

uint64_t check_pipes(const struct stress *s)
{
    int there[2], back[2];
    uint64_t rounds = 0, buffer[64];
    pid_t child;

    must(pipe(there) == 0 && pipe(back) == 0, "pipe");
    child = fork_next(s);
    if (!child) {
        while (read(there[0], buffer, sizeof(buffer)) == sizeof(buffer)) {
            for (int i = 0; i < 64; i++)
                buffer[i] = ~buffer[i];
            must(write(back[1], buffer, sizeof(buffer)) == sizeof(buffer), "write to a pipe");
        }
        _exit(1);
    }
    for (; !over(s); rounds++) {
        for (uint64_t i = 0; i < 64; i++)
            buffer[i] = rounds * 64 + i;
        must(write(there[1], buffer, sizeof(buffer)) == sizeof(buffer), "write to a pipe");
        must(read(back[0], buffer, sizeof(buffer)) == sizeof(buffer), "read from a pipe");
        for (uint64_t i = 0; i < 64; i++) {
            if (buffer[i] != ~(rounds * 64 + i))
                fail("word %lu came back as 0x%lx", i, buffer[i]);
        }
    }
    end_child(child);
    return rounds;
}

static struct {
    int signal, code;
    void *address;
} caught;

static char *guarded; /* a page that cannot be accessed */

/* Notes the signal and goes on behind the instruction, or makes it work. */
static void on_signal(int signal, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;

    caught.signal = signal;
    caught.code = info->si_code;
    caught.address = info->si_addr;
    if (signal == SIGSEGV)
        mprotect(guarded, 4096, PROT_READ | PROT_WRITE);
    if (signal == SIGILL || signal == SIGFPE)
        uc->uc_mcontext.gregs[REG_RIP] += 2; /* UD2, and DIV of a register */
}

static void expect(const char *what, int signal, int code, const void *address)
{
    if (caught.signal != signal || caught.code != code || (address && caught.address != address))
        fail("%s: signal %d, code %d, address %p; not %d, %d, %p", what, caught.signal, caught.code,
             caught.address, signal, code, address);
    memset(&caught, 0, sizeof(caught));
}

/* #UD, #DE, #BP, #DB of the trap flag, #PF, and #GP. */
uint64_t check_traps(const struct stress *s)
{
    static const int handled[] = {SIGILL, SIGFPE, SIGTRAP, SIGSEGV};
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
    uint64_t rounds = 0;

    guarded = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    must(guarded != MAP_FAILED, "mmap");
    for (size_t i = 0; i < sizeof(handled) / sizeof(handled[0]); i++)
        must(sigaction(handled[i], &action, NULL) == 0, "sigaction");
    for (; !over(s); rounds++) {
        __asm__ volatile("ud2" ::: "memory");
        expect("UD2", SIGILL, ILL_ILLOPN, NULL);
        __asm__ volatile("xor %%edx, %%edx; xor %%ecx, %%ecx; div %%ecx" ::
                             : "eax", "ecx", "edx", "cc", "memory");
        expect("DIV by 0", SIGFPE, FPE_INTDIV, NULL);
        __asm__ volatile("int3" ::: "memory");
        expect("INT3", SIGTRAP, SI_KERNEL, NULL);
        __asm__ volatile("pushf; orl $0x100, (%%rsp); popf; nop; pushf; andl $~0x100, (%%rsp); popf" ::
                             : "cc", "memory");
        expect("the trap flag", SIGTRAP, TRAP_TRACE, NULL);
        must(mprotect(guarded, 4096, PROT_NONE) == 0, "mprotect");
        *(volatile char *)(guarded + 123) = (char)rounds;
        expect("a write to a guarded page", SIGSEGV, SEGV_ACCERR, guarded + 123);
        if (guarded[123] != (char)rounds)
            fail("the write to a guarded page was lost");
        if (rounds % 64 == 63)
            usleep(1000); /* leaves some of the CPU to the others */
    }
    return rounds;
}
