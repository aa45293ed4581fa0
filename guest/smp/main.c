/* SPDX-License-Identifier: MIT */
/* Starts all other CPUs, lets them compete for a lock and send each other interrupts. */
#include "guest/common/acpi.h"
#include "guest/common/apic.h"
#include "guest/common/guest.h"
#include "guest/common/legacy.h"
#include "guest/common/segments.h"
#include "guest/smp/smp.h"
#include "lib/string.h"

#define STACK_SIZE      8192
#define TOKEN_VECTOR    0x50
#define ALL_VECTOR      0x51
#define SPURIOUS        0xff
#define ICR_ALL_OTHERS  0xc0000u
#define ICR_DELIVER_NMI 0x400u
#define START_TICKS     50000000ull
#define WAIT_TICKS      4000000000ull

enum phase { PHASE_START, PHASE_LOCK, PHASE_TOKEN, PHASE_ALL, PHASE_NMI, PHASE_END };

u64 ap_stack;
extern u64 start_c;
extern const u8 trampoline[], trampoline_end[];

static u8 stacks[MAX_CPUS][STACK_SIZE] __aligned(16);
static u32 ids[MAX_CPUS];
static u32 nr_cpus;
static bool x2apic;
static u32 starting; /* index of the CPU that is being started */

static volatile u32 phase;
static u32 online, arrived;
static bool lock;
static u64 locked_count;
static u32 atomic_count;
static u32 token_count[MAX_CPUS], token_pending[MAX_CPUS];
static u32 all_count, nmi_count;
static u32 rounds;

/* The task register tells CPUs apart. */
static u32 this_cpu(void)
{
    u16 selector;

    asm("str %0" : "=r"(selector));
    return (selector - SEL_TSS) / 16u;
}

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

static bool wait_for(const u32 *value, u32 wanted, u64 ticks)
{
    u64 start = rdtsc();

    while (__atomic_load_n(value, __ATOMIC_ACQUIRE) < wanted) {
        if (rdtsc() - start > ticks)
            return false;
        cpu_pause();
    }
    return true;
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
    apic_send(ids[(me + 1) % nr_cpus], ICR_ASSERT | TOKEN_VECTOR);
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
        apic_send(ids[i], ICR_ASSERT | ICR_DELIVER_NMI);
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

static void __noreturn ap_main(void)
{
    u32 me = starting;

    trap_init_cpu(me);
    apic_enable(x2apic, false);
    take_lock();
    printf("smp: CPU %u has APIC id %u\n", me, apic_id());
    release_lock();
    if (apic_id() != ids[me])
        fail("APIC id", apic_id(), ids[me]);
    __atomic_fetch_add(&online, 1, __ATOMIC_ACQ_REL);
    for (u32 p = PHASE_LOCK; p < PHASE_END; p++) {
        irq_enable();
        while (phase < p)
            cpu_pause();
        irq_disable();
        do_phase(p, me);
        __atomic_fetch_add(&arrived, 1, __ATOMIC_ACQ_REL);
    }
    for (;;)
        idle_halt();
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
    starting = i;
    ap_stack = (u64)stacks[i] + STACK_SIZE;
    apic_send(ids[i], ICR_ASSERT | ICR_INIT);
    wait_for(&online, i, START_TICKS / 10);
    for (u32 attempt = 0; attempt < 2; attempt++) {
        apic_send(ids[i], ICR_ASSERT | ICR_STARTUP | TRAMPOLINE / PAGE_SIZE);
        if (wait_for(&online, i, START_TICKS))
            return;
    }
    printf("smp: FAIL: the CPU with APIC id %u did not start%s\n", ids[i],
           ids[i] > 254 && !x2apic ? "; ids above 254 need the option x2apic" : "");
    guest_fail(1);
}

/* The boot CPU comes first, whatever its id. */
static void find_cpus(void)
{
    u32 mine = apic_id();
    u32 wanted = (u32)option_number("cpus", 0);

    nr_cpus = acpi_cpus(ids, MAX_CPUS);
    if (nr_cpus && wanted && nr_cpus != wanted)
        fail("CPUs in the MADT", nr_cpus, wanted);
    if (!nr_cpus) {
        nr_cpus = MIN(wanted ? wanted : 1, MAX_CPUS);
        for (u32 i = 0; i < nr_cpus; i++)
            ids[i] = i;
        printf("smp: no MADT, %u CPUs by the command line\n", nr_cpus);
    }
    for (u32 i = 0; i < nr_cpus; i++) {
        if (ids[i] == mine) {
            ids[i] = ids[0];
            ids[0] = mine;
            return;
        }
    }
    fail("the boot CPU's APIC id is not in the MADT", mine, 0);
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
    find_cpus();
    trap_set_handler(TOKEN_VECTOR, token_handler);
    trap_set_handler(ALL_VECTOR, all_handler);
    trap_set_handler(SPURIOUS, spurious_handler);
    trap_hook = nmi_hook;
    memcpy((void *)TRAMPOLINE, trampoline, (size_t)(trampoline_end - trampoline));
    start_c = (u64)ap_main;
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
