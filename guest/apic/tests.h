/* SPDX-License-Identifier: MIT */
/* What the tests of the local APIC share. */
#ifndef GUEST_APIC_TESTS_H
#define GUEST_APIC_TESTS_H

#include "guest/common/apic.h"
#include "guest/common/cpus.h"
#include "guest/common/test.h"
#include "guest/common/work.h"

#define WAKE_VECTOR 0x3f /* starts a CPU's work */
#define SPURIOUS    0xff

/* How the CPUs are addressed. */
enum model { XAPIC_FLAT, XAPIC_CLUSTER, X2APIC };
extern const char *const model_names[];
extern enum model model;

/* The APIC of this CPU, numbered cpu, as model says; from x2APIC mode by way of a disabled one. */
void set_model(u32 cpu);
/* Whether there is that model here. */
bool has_model(enum model m);
/* All CPUs go over to m. */
void all_to_model(enum model m);

/* The logical destination of the CPUs in a mask of numbers that can have one in common; *reached are those.
 */
u32 logical_destination(u64 mask, u64 *reached);
/* apic_read() and apic_write() of an APIC that is as model says, without a look at its mode. */
static inline u32 reg_read(u32 reg)
{
    return model == X2APIC ? (u32)rdmsr(X2APIC_MSR(reg)) : MMIO(u32, APIC_MMIO + reg);
}

static inline void reg_write(u32 reg, u32 value)
{
    if (model == X2APIC)
        wrmsr(X2APIC_MSR(reg), value);
    else
        MMIO(u32, APIC_MMIO + reg) = value;
}

static inline bool reg_bit(u32 reg, u32 vector)
{
    return reg_read(reg + vector / 32 * 0x10) >> vector % 32 & 1;
}

/* Sends by the ICR; in x2APIC mode behind all stores before it. */
void send(u32 destination, u32 low);

bool under_hypervisor(void);

/* --- what a CPU has taken --- */

#define LOG_SIZE   256
#define WAIT_TICKS 500000000ull

struct log {
    u32 n; /* may be more than there is room for */
    u8 vector[LOG_SIZE];
    u32 nmis;
};
extern struct log logs[MAX_CPUS];
/* Called in the handler of each vector from 0x40 to 0xfe, behind the entry into the log, before the EOI. */
extern void (*in_handler)(u32 vector);

/* Between tests: all CPUs' APICs as the model has them, nothing pending, empty logs, the PIC and I/O APIC
 * masked. */
void fresh(void);
void clear_logs(void);
u32 taken(u32 cpu, u32 vector);
/* All CPUs let interrupts through for a while: what was sent has been taken. */
void settle(void);
/* This CPU lets interrupts through until it has taken n in all, at most for WAIT_TICKS, and a little longer.
 */
void open_until(u32 n);
void open_briefly(u32 cpu);

/* In a test, of vectors: what CPU's log has, in that order; which bits of a register of this CPU are set. */
#define expect_log(cpu, what, ...) expect_log_of(cpu, what, VECTORS(__VA_ARGS__))
#define expect_set(reg, what, ...) expect_set_of(reg, what, VECTORS(__VA_ARGS__))
#define VECTORS(...)               (const u8[]){0, ##__VA_ARGS__}, sizeof((const u8[]){0, ##__VA_ARGS__})
void expect_log_of(u32 cpu, const char *what, const u8 *vectors, size_t n);
void expect_set_of(u32 reg, const char *what, const u8 *vectors, size_t n);
/* After settle(): the CPUs of a mask have taken vector, once, and nobody anything else. Then clears the logs.
 */
void expect_taken(u64 mask, u32 vector, const char *what);
/* The same of NMIs. */
void expect_nmis(u64 mask, const char *what);

static inline void self_ipi(u32 vector)
{
    send(0, ICR_SELF | ICR_ASSERT | vector);
}

static inline u64 all_cpus(void)
{
    return BITS(nr_cpus - 1, 0);
}

/* Run in each model; the others once. */
extern const struct test ipi_tests[], start_tests[], priority_tests[], disable_tests[], timer_tests[],
    line_tests[];
extern const struct test transition_tests[], pic_tests[];

/* The random IPIs; fails by itself. */
void stress(void);

#endif
