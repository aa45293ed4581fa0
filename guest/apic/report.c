/* SPDX-License-Identifier: MIT */
/* What a failed exchange of random IPIs looks like. An NMI makes the CPU in question say how it is. */
#include "guest/apic/stress.h"

#define ANSWER_TICKS 50000000ull

static const char *const doing_names[] = {
    [WORKS] = "works",   [MASKED] = "has interrupts off",          [RAISED] = "has a raised TPR",
    [SLEEPS] = "sleeps", [SLEEPS_TIMER] = "sleeps with its timer", [ENDS] = "has ended",
};

static bool reporting;
static u32 asked[MAX_CPUS], answered[MAX_CPUS];

/* One CPU reports; the others wait for its end, and answer NMIs. */
static void begin(void)
{
    irq_disable();
    if (!__atomic_exchange_n(&reporting, true, __ATOMIC_ACQ_REL))
        return;
    for (;;)
        cpu_pause();
}

static void print_bits(const char *name, u32 reg)
{
    printf(" %s", name);
    for (u32 v = 0; v < 256; v++) {
        if (apic_read(reg + v / 32 * 0x10) & BIT(v % 32))
            printf(" %x", v);
    }
}

static void print_state(u32 cpu, const struct trap_frame *f)
{
    printf("apic: CPU %u: %s; RIP 0x%llx RFLAGS 0x%llx TPR 0x%x PPR 0x%x, level %u;", cpu,
           doing_names[stressed[cpu].doing], (ull)f->rip, (ull)f->rflags, apic_read(APIC_TPR),
           apic_read(APIC_PPR), stressed[cpu].level);
    print_bits("IRR", APIC_IRR);
    print_bits("; ISR", APIC_ISR);
    print_bits("; TMR", APIC_TMR);
    printf("\n");
}

static void ask(u32 cpu)
{
    asked[cpu] = 1;
    send(cpu_ids[cpu], ICR_ASSERT | ICR_NMI);
    if (!wait_for(&answered[cpu], 1, ANSWER_TICKS))
        printf("apic: CPU %u does not answer an NMI; it %s\n", cpu, doing_names[stressed[cpu].doing]);
}

bool report_nmi(const struct trap_frame *f)
{
    u32 me = this_cpu();

    if (!__atomic_exchange_n(&asked[me], 0, __ATOMIC_ACQ_REL))
        return false;
    print_state(me, f);
    __atomic_store_n(&answered[me], 1, __ATOMIC_RELEASE);
    return true;
}

static const char *kind(const struct account *a, u32 vector)
{
    return vector == X_NMI ? "NMI" : vector == TIMER_VECTOR ? "timer" : form_names[a->form];
}

void __noreturn report_lost(u32 row, u32 vector, u32 sender, const struct account *a)
{
    u64 now = rdtsc();
    u32 wanted = a->sent;

    begin();
    printf("apic: FAIL: lost: vector 0x%x (%s, %s) of CPU %u to ", vector, kind(a, vector),
           model_names[model], sender);
    if (row == ROW_ANY)
        printf("any CPU");
    else
        printf("CPU %u, which %s", row, doing_names[stressed[row].doing]);
    printf(": sent %u times, taken %u times, not for %llu ticks\n", wanted, a->taken, (ull)(now - a->at));
    for (u32 i = 0; i < nr_cpus; i++) {
        if (row == i || row == ROW_ANY)
            ask(i);
    }
    printf("apic: it was %s after an NMI\n",
           wait_for(&a->taken, wanted, ANSWER_TICKS) ? "taken" : "not taken");
    guest_fail(1);
}

void __noreturn report_here(const char *what, u32 vector, const struct trap_frame *f)
{
    u32 me = this_cpu();
    const struct account *a = &accounts[me][vector];

    begin();
    printf("apic: FAIL: %s: vector 0x%x (%s) at CPU %u; to it sent %u times, taken %u times\n", what, vector,
           model_names[model], me, a->sent, a->taken);
    print_state(me, f);
    guest_fail(1);
}
