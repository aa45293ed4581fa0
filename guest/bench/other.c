/* SPDX-License-Identifier: MIT */
/*
 * Interrupts to another CPU: what the write costs the sender, and how long it takes to the handler's first
 * instruction. Where both share a processor that includes the sender's HLT, which makes room.
 */
#include "guest/bench/bench.h"
#include "guest/common/apic.h"
#include "guest/common/cpus.h"
#include "guest/common/guest.h"

#define RUNS         20
#define ACK_VECTOR   0x41
#define SETTLE_TICKS 20000

sample sample_once_empty, sample_once_store, sample_once_wrmsr;
extern volatile u64 once_tsc; /* before the last of them */

enum how { HALTED, SPINNING, TO_X2APIC };

static volatile enum how wanted;
static volatile u32 acked;
static volatile u64 arrived; /* the handler's time */

static void ack_handler(struct trap_frame *f)
{
    (void)f;
    apic_eoi();
    acked++;
}

static void other_main(u32 me)
{
    (void)me;
    for (;;) {
        if (wanted == SPINNING) {
            irq_enable();
            while (!ipi_tsc)
                cpu_pause();
            irq_disable();
        } else {
            while (!ipi_tsc)
                idle_halt();
        }
        if (wanted == TO_X2APIC && apic_mode() == APIC_X1)
            apic_enable(true, false);
        arrived = ipi_tsc;
        ipi_tsc = 0;
        apic_send(cpu_ids[0], ICR_ASSERT | ACK_VECTOR);
    }
}

static void await_ack(u32 before)
{
    u64 start;

    while (acked == before)
        idle_halt();
    start = rdtsc();
    while (rdtsc() - start < SETTLE_TICKS)
        cpu_pause();
}

/* The handler has run, and what follows it begins as wanted says. */
static u64 send(sample *fn, const struct sample_regs *in, u64 *arrival)
{
    u32 before = acked;
    u64 t = fn(in);

    await_ack(before);
    *arrival = arrived - once_tsc;
    return t;
}

static void row(const char *what, bool there, u64 ticks)
{
    const char *mode = ipi_x2apic ? "x2apic" : "xapic";

    if (there)
        printf("bench: %s_ipi_%s = %llu\n", mode, what, (ull)ticks);
    else
        printf("bench: %s_ipi_%s = -\n", mode, what);
}

/* A fixed interrupt to the other, the way the mode has it. */
static sample *prepare(struct sample_regs *in)
{
    *in = (struct sample_regs){.rax = ICR_ASSERT | IPI_VECTOR, .rdi = APIC_MMIO + APIC_ICR};
    if (ipi_x2apic) {
        in->rcx = X2APIC_MSR(APIC_ICR);
        in->rdx = cpu_ids[1];
        return sample_once_wrmsr;
    }
    apic_write(APIC_ICR_HIGH, cpu_ids[1] << 24);
    return sample_once_store;
}

static void bench_state(enum how how, const char *name, const char *arrives, bool there)
{
    u64 least = ~0ull, soonest = ~0ull, empty = ~0ull, arrival;
    struct sample_regs in;

    for (u32 i = 0; there && i <= RUNS; i++) {
        sample *fn = prepare(&in);
        u64 t;

        wanted = how;
        empty = MIN(empty, sample_once_empty(&in));
        t = send(fn, &in, &arrival);
        if (i < 2)
            continue; /* the first finds the other as it was before */
        least = MIN(least, t);
        soonest = MIN(soonest, arrival);
    }
    row(name, there, least - empty);
    row(arrives, there, soonest);
}

void other_bench(bool there)
{
    bench_state(HALTED, "halted", "halted_arrives", there);
    bench_state(SPINNING, "spinning", "spinning_arrives", there);
}

void other_to_x2apic(void)
{
    struct sample_regs in;
    u64 ignored;

    wanted = TO_X2APIC;
    send(prepare(&in), &in, &ignored);
}

bool other_start(void)
{
    if (!cpus_find(0) || nr_cpus < 2)
        return false;
    trap_set_handler(ACK_VECTOR, ack_handler);
    return cpus_start(1, ipi_x2apic, other_main);
}
