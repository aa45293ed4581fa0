/* SPDX-License-Identifier: MIT */
#ifndef GUEST_SMOKE_H
#define GUEST_SMOKE_H

#include "guest/common/guest.h"

struct smoke_test {
    const char *name;
    void (*run)(void);
};

/* In a test: says what is wrong (the first time counts). */
void smoke_fail(const char *fmt, ...) __printf(1, 2);
/* In a test: it does not apply to this machine. */
void smoke_skip(const char *why);

#define expect(condition, ...)       \
    do {                             \
        if (!(condition))            \
            smoke_fail(__VA_ARGS__); \
    } while (0)

#define expect_equal(got, wanted, what)                                                   \
    do {                                                                                  \
        u64 got_ = (got), wanted_ = (wanted);                                             \
        expect(got_ == wanted_, "%s: 0x%llx, not 0x%llx", what, (ull)got_, (ull)wanted_); \
    } while (0)

/* A function for try_call(). */
#define DEFINE_ATTEMPT(name, ...) \
    static void name(void *arg)   \
    {                             \
        (void)arg;                \
        __VA_ARGS__;              \
    }

/* expect() that fn(arg) raises that vector (X_NONE: nothing). */
void expect_vector(int wanted, void (*fn)(void *arg), void *arg, const char *what);

bool under_hypervisor(void);
/* QEMU's TCG leaves out some checks that processors do, and on some bad writes it goes round in circles. */
bool under_tcg(void);
/* Skips the test there. */
bool skip_on_tcg(void);

/* The vector with which code ended in user mode; X_BP when it got to its end. */
int user_call(void (*code)(void));

extern const struct smoke_test exception_tests[], privileged_tests[], control_tests[], cpuid_tests[],
    msr_tests[], port_tests[], memory_tests[], time_tests[], interrupt_tests[], apic_tests[], paging_tests[],
    mode_tests[], task_tests[], mmio_tests[], event_tests[];

#endif
