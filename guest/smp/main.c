/* SPDX-License-Identifier: MIT */
/* Starts all other CPUs, lets them compete for a lock and send each other interrupts. */
#include "guest/common/apic.h"
#include "guest/common/cpus.h"
#include "guest/common/guest.h"
#include "guest/common/legacy.h"

#define TOKEN_VECTOR    0x50
#define ALL_VECTOR      0x51
#define SPURIOUS        0xff
#define ICR_ALL_OTHERS  0xc0000u
#define ICR_DELIVER_NMI 0x400u
#define WAIT_TICKS      4000000000ull

enum phase { PHASE_START, PHASE_LOCK, PHASE_TOKEN, PHASE_ALL, PHASE_NMI, PHASE_END };

static bool x2apic;

static volatile u32 phase;
static u32 arrived;
static bool lock;
static u64 locked_count;
static u32 atomic_count;
static u32 token_count[MAX_CPUS], token_pending[MAX_CPUS];
static u32 all_count, nmi_count;
static u32 rounds;

static void __noreturn fail(const char *what, u64 got, u64 wanted)
{
    printf("smp: FAIL: %s: %llu, not %llu\n", what, (ull)got, (ull)wanted);
    guest_fail(1);
}

/* Without tickets: where CPUs share a processor, an order would wait for a CPU that does not run. */
static void take_lock(void)
{
    while (__atomic_exchange_n(&lock, true, __ATOMIC_ACQUIRE)) {
        while (__atomic_load_n(&lock, __ATOMIC_RELAXED))
            cpu_pause();
    }
}

static void release_lock(void)
{
    __atomic_store_n(&lock, false, __ATOMIC_RELEASE);
}

static void token_handler(struct trap_frame *f)
{
    (void)f;
    token_count[this_cpu()]++;
    __atomic_store_n(&token_pending[this_cpu()], 1, __ATOMIC_RELEASE);
    apic_eoi();
}

static void all_handler(struct trap_frame *f)
{
    (void)f;
    __atomic_fetch_add(&all_count, 1, __ATOMIC_ACQ_REL);
    apic_eoi();
}

static void spurious_handler(struct trap_frame *f)
{
    (void)f;
}

static bool nmi_hook(struct trap_frame *f)
{
    if (f->vector != X_NMI)
        return false;
    __atomic_fetch_add(&nmi_count, 1, __ATOMIC_ACQ_REL);
    return true;
}

static void compete(void)
{
    for (u32 i = 0; i < rounds; i++) {
        take_lock();
        locked_count++;
        release_lock();
        __atomic_fetch_add(&atomic_count, 1, __ATOMIC_RELAXED);
    }
}

static void pass_token(u32 me)
{
    apic_send(cpu_ids[(me + 1) % nr_cpus], ICR_ASSERT | TOKEN_VECTOR);
}

/* Each CPU hands the token on until it has had it `rounds` times; halted in between. */
static void relay(u32 me)
{
    if (me == 0)
        pass_token(me);
    for (u32 i = 0; i < rounds; i++) {
        while (!__atomic_load_n(&token_pending[me], __ATOMIC_ACQUIRE))
            idle_halt();
        token_pending[me] = 0;
        if (me != 0 || i + 1 < rounds)
            pass_token(me);
    }
}

/* Boot CPU: interrupts all others at once, again and again. */
static void call_all(void)
{
    for (u32 i = 1; i <= 100; i++) {
        apic_send(0, ICR_ALL_OTHERS | ICR_ASSERT | ALL_VECTOR);
        if (!wait_for(&all_count, i * (nr_cpus - 1), WAIT_TICKS))
            fail("interrupts to all others", all_count, i * (nr_cpus - 1));
    }
}

static void call_nmi(void)
{
    for (u32 i = 1; i < nr_cpus; i++) {
        apic_send(cpu_ids[i], ICR_ASSERT | ICR_DELIVER_NMI);
        if (!wait_for(&nmi_count, i, WAIT_TICKS))
            fail("NMIs", nmi_count, i);
    }
}

static void do_phase(u32 p, u32 me)
{
    if (p == PHASE_LOCK)
        compete();
    else if (p == PHASE_TOKEN)
        relay(me);
}

static void ap_main(u32 me)
{
    take_lock();
    printf("smp: CPU %u has APIC id %u\n", me, apic_id());
    release_lock();
    if (apic_id() != cpu_ids[me])
        fail("APIC id", apic_id(), cpu_ids[me]);
    for (u32 p = PHASE_LOCK; p < PHASE_END; p++) {
        irq_enable();
        while (phase < p)
            cpu_pause();
        irq_disable();
        do_phase(p, me);
        __atomic_fetch_add(&arrived, 1, __ATOMIC_ACQ_REL);
    }
}

/* Boot CPU: all do phase p; returns when the last is through. */
static void run_phase(u32 p, const char *name)
{
    u64 start = rdtsc();

    __atomic_store_n(&arrived, 0, __ATOMIC_RELEASE);
    phase = p;
    do_phase(p, 0);
    if (p == PHASE_ALL)
        call_all();
    else if (p == PHASE_NMI)
        call_nmi();
    if (!wait_for(&arrived, nr_cpus - 1, WAIT_TICKS))
        fail(name, arrived, nr_cpus - 1);
    printf("smp: %s done in %llu ticks\n", name, (ull)(rdtsc() - start));
}

static void start_cpu(u32 i)
{
    if (cpus_start(i, x2apic, ap_main))
        return;
    printf("smp: FAIL: the CPU with APIC id %u did not start%s\n", cpu_ids[i],
           cpu_ids[i] > 254 && !x2apic ? "; ids above 254 need the option x2apic" : "");
    guest_fail(1);
}

void guest_main(void)
{
    pic_init();
    if (apic_mode() == APIC_OFF)
        fail("no local APIC: CPUs", 1, 2);
    x2apic = option("x2apic") || apic_mode() == APIC_X2;
    if (x2apic && !apic_has_x2())
        fail("x2APIC in CPUID", 0, 1);
    apic_enable(x2apic, false);
    rounds = (u32)option_number("rounds", 2000);
    if (!cpus_find((u32)option_number("cpus", 0)))
        fail("the CPUs", nr_cpus, option_number("cpus", 0));
    trap_set_handler(TOKEN_VECTOR, token_handler);
    trap_set_handler(ALL_VECTOR, all_handler);
    trap_set_handler(SPURIOUS, spurious_handler);
    trap_hook = nmi_hook;
    printf("smp: CPU 0 has APIC id %u\n", apic_id());
    for (u32 i = 1; i < nr_cpus; i++)
        start_cpu(i);

    run_phase(PHASE_LOCK, "lock");
    if (locked_count != (u64)rounds * nr_cpus || atomic_count != rounds * nr_cpus)
        fail("increments under the lock", locked_count, (u64)rounds * nr_cpus);
    run_phase(PHASE_TOKEN, "token");
    for (u32 i = 0; i < nr_cpus; i++) {
        if (token_count[i] != rounds)
            fail("tokens of one CPU", token_count[i], rounds);
    }
    run_phase(PHASE_ALL, "all");
    run_phase(PHASE_NMI, "nmi");
    printf("smp: %u CPUs, ok\n", nr_cpus);
}
