/* SPDX-License-Identifier: MIT */
/* What each CPU has taken, and what the APIC's registers must show. */
#include "guest/apic/ioapic.h"
#include "guest/apic/tests.h"
#include "guest/common/legacy.h"
#include "lib/format.h"

#define FIRST_LOGGED 0x40
#define OPEN_TICKS   20000

struct log logs[MAX_CPUS];
void (*in_handler)(u32 vector);

static void on_vector(struct trap_frame *f)
{
    struct log *log = &logs[this_cpu()];
    u32 n = log->n;

    if (n < LOG_SIZE)
        log->vector[n] = (u8)f->vector;
    __atomic_store_n(&log->n, n + 1, __ATOMIC_RELEASE);
    if (in_handler)
        in_handler((u32)f->vector);
    apic_eoi();
}

static bool on_nmi(struct trap_frame *f)
{
    if (f->vector != X_NMI)
        return false;
    __atomic_add_fetch(&logs[this_cpu()].nmis, 1, __ATOMIC_ACQ_REL);
    return true;
}

void clear_logs(void)
{
    for (u32 i = 0; i < nr_cpus; i++)
        logs[i].n = logs[i].nmis = 0;
}

void open_briefly(u32 cpu)
{
    u64 start = rdtsc();

    (void)cpu;
    irq_enable();
    while (rdtsc() - start < OPEN_TICKS)
        cpu_pause();
    irq_disable();
}

void settle(void)
{
    on_all(open_briefly);
}

void open_until(u32 n)
{
    u32 me = this_cpu();

    irq_enable();
    wait_for(&logs[me].n, n, WAIT_TICKS);
    irq_disable();
    open_briefly(me);
}

static void fresh_cpu(u32 cpu)
{
    set_model(cpu);
    open_briefly(cpu);
}

void fresh(void)
{
    trap_hook = on_nmi;
    in_handler = NULL;
    for (u32 v = FIRST_LOGGED; v < SPURIOUS; v++)
        trap_set_handler((u8)v, on_vector);
    pic_init();
    outb(PIT_COMMAND, PIT_QUIET);
    ioapic_mask_all();
    on_all(fresh_cpu);
    clear_logs();
}

u32 taken(u32 cpu, u32 vector)
{
    u32 count = 0;

    for (u32 i = 0; i < MIN(logs[cpu].n, LOG_SIZE); i++)
        count += logs[cpu].vector[i] == vector;
    return count;
}

static const char *list(const u8 *vectors, size_t n)
{
    static char text[256];
    size_t at = 0;

    text[0] = 0;
    for (size_t i = 0; i < n && at + 4 < sizeof(text); i++)
        at += format(text + at, sizeof(text) - at, " %x", vectors[i]);
    return n ? text : " none";
}

/* The first of the array is no vector: arrays cannot be empty. */
void expect_log_of(u32 cpu, const char *what, const u8 *vectors, size_t n)
{
    const struct log *log = &logs[cpu];
    bool same = log->n == n - 1;

    for (u32 i = 0; same && i < log->n; i++)
        same = log->vector[i] == vectors[i + 1];
    if (!same)
        test_fail("%s: CPU %u took%s", what, cpu, list(log->vector, MIN(log->n, LOG_SIZE)));
}

void expect_set_of(u32 reg, const char *what, const u8 *vectors, size_t n)
{
    const char *name = reg == APIC_IRR ? "IRR" : reg == APIC_ISR ? "ISR" : "TMR";
    u8 set[256];
    u32 bits[8], nr_set = 0, wanted = 0;

    for (u32 i = 0; i < 8; i++)
        bits[i] = reg_read(reg + i * 0x10);
    for (u32 v = 0; v < 256; v++) {
        if (bits[v / 32] & BIT(v % 32))
            set[nr_set++] = (u8)v;
    }
    for (size_t i = 1; i < n; i++)
        wanted += bits[vectors[i] / 32] >> vectors[i] % 32 & 1;
    if (nr_set != n - 1 || wanted != nr_set)
        test_fail("%s: %s has%s", what, name, list(set, nr_set));
}

void expect_taken(u64 mask, u32 vector, const char *what)
{
    settle();
    for (u32 i = 0; i < nr_cpus; i++) {
        u32 n = taken(i, vector), wanted = mask >> i & 1;

        expect(n == wanted && logs[i].n == n, "%s: CPU %u took it %u times, not %u, and %u others", what, i,
               n, wanted, logs[i].n - n);
    }
    clear_logs();
}

void expect_nmis(u64 mask, const char *what)
{
    settle();
    for (u32 i = 0; i < nr_cpus; i++) {
        u32 wanted = mask >> i & 1;

        expect(logs[i].nmis == wanted && !logs[i].n, "%s: CPU %u took %u NMIs, not %u, and %u interrupts",
               what, i, logs[i].nmis, wanted, logs[i].n);
    }
    clear_logs();
}
