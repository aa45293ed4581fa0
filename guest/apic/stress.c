/* SPDX-License-Identifier: MIT */
/*
 * Random IPIs between all CPUs, in each model one after another: physical, logical, shorthands, lowest
 * priority, NMIs; to CPUs that work, exit, halt with and without a timer, have interrupts off or their TPR
 * raised. Options: count= how many arrive in all, seed=, patience= ticks; loose: none may be lost or doubled,
 * but they may come while interrupts are off, as Bochs's virtual interrupts do.
 */
#include "guest/apic/stress.h"

#define PER_CPU_MAX  16
#define PER_CPU_MIN  6
#define LVT_DEADLINE BIT(18)
#define MSR_DEADLINE 0x6e0u
#define WORK_LOOPS   3000

struct account accounts[ROWS][256];
struct stressed stressed[MAX_CPUS];
u32 per_cpu;
u64 patience;

static u32 quota; /* IPIs of each sender */
static u32 awake; /* CPUs that do not sleep: never none */
static u32 nr_left;
static u32 nr_done; /* whose quota is sent and taken */
static bool end;
static bool loose;
static u8 scratch[MAX_CPUS][PAGE_SIZE];

/* --- taking --- */

static void work(u32 loops)
{
    volatile u8 *p = scratch[this_cpu()];

    for (u32 i = 0; i < loops; i++)
        p[i % PAGE_SIZE]++;
}

static void check_in_service(u32 vector, const struct trap_frame *f)
{
    if (!reg_bit(APIC_ISR, vector))
        report_here("not in service", vector, f);
    if (reg_read(APIC_PPR) >> 4 != vector >> 4)
        report_here("not the processor's priority", vector, f);
    if (reg_bit(APIC_TMR, vector))
        report_here("level-triggered", vector, f);
}

/* In the handler: sometimes looks, sometimes lets others interrupt it. */
static void serve(u32 vector, struct stressed *s, const struct trap_frame *f)
{
    u32 before = s->level, choice = below(16);

    if (!(f->rflags & RFLAGS_IF) && !loose)
        report_here("with interrupts off", vector, f);
    if (vector >> 4 <= before && !loose)
        report_here("not above the priority", vector, f);
    s->level = vector >> 4;
    if (choice == 0)
        check_in_service(vector, f);
    if (choice == 1 && !__atomic_load_n(&end, __ATOMIC_ACQUIRE))
        try_send_in_handler(this_cpu());
    if (choice >= 12) {
        s->nested += before != 0;
        irq_enable();
        work(choice * 20);
        irq_disable();
    }
    reg_write(APIC_EOI, 0);
    s->level = before;
}

static void on_ipi(struct trap_frame *f)
{
    u32 me = this_cpu(), vector = (u32)f->vector;
    struct account *a = &accounts[is_any(vector) ? ROW_ANY : me][vector];
    u64 late = a->to_sleeper ? ticks_since(a->at) : 0;

    stressed[me].latest = MAX(stressed[me].latest, late);
    if (__atomic_add_fetch(&a->taken, 1, __ATOMIC_ACQ_REL) > __atomic_load_n(&a->sent, __ATOMIC_ACQUIRE))
        report_here("doubled or not for this CPU", vector, f);
    serve(vector, &stressed[me], f);
}

static void on_timer(struct trap_frame *f)
{
    struct stressed *s = &stressed[this_cpu()];

    if (++s->timer.taken > s->timer.sent)
        report_here("doubled timer", TIMER_VECTOR, f);
    serve(TIMER_VECTOR, s, f);
}

static bool on_nmi(struct trap_frame *f)
{
    struct stressed *s = &stressed[this_cpu()];

    if (f->vector != X_NMI)
        return false;
    if (report_nmi(f))
        return true;
    if (__atomic_add_fetch(&s->nmi.taken, 1, __ATOMIC_ACQ_REL) > s->nmi.sent)
        report_here("doubled NMI", X_NMI, f);
    __atomic_store_n(&s->nmi_from, 0, __ATOMIC_RELEASE);
    return true;
}

static void check_account(u32 me, u32 row, u32 vector, const struct account *a)
{
    u64 at = a->at;

    if (outstanding(a) && ticks_since(at) > patience && outstanding(a) && a->at == at)
        report_lost(row, vector, me, a);
}

/* What of has sent to CPU or row i; true: all is taken. */
static bool look_at_row(u32 of, u32 row)
{
    bool none = true;

    for (u32 vector = FIRST_VECTOR + of * per_cpu; vector < FIRST_VECTOR + (of + 1) * per_cpu; vector++) {
        check_account(of, row, vector, &accounts[row][vector]);
        none &= !outstanding(&accounts[row][vector]);
    }
    return none;
}

bool look_for_lost(u32 of)
{
    bool none = look_at_row(of, ROW_ANY);

    for (u32 i = 0; i < nr_cpus; i++) {
        none &= look_at_row(of, i);
        if (__atomic_load_n(&stressed[i].nmi_from, __ATOMIC_ACQUIRE) != of + 1)
            continue;
        check_account(of, i, X_NMI, &stressed[i].nmi);
        none = false;
    }
    check_account(of, of, TIMER_VECTOR, &stressed[of].timer);
    return none && !outstanding(&stressed[of].timer);
}

/* PAUSEs, so many that they give the CPU away. */
static void pause_loop(void)
{
    for (u32 i = 0; i < 2000; i++)
        cpu_pause();
}

void pause_until_taken(u32 of)
{
    while (!look_for_lost(of))
        pause_loop();
}

/* --- sleeping --- */

static void start_timer(struct stressed *s, u32 ticks)
{
    if (outstanding(&s->timer))
        return;
    account_send(&s->timer, PHYSICAL, rdtsc());
    if (reg_read(APIC_LVT_TIMER) & LVT_DEADLINE)
        wrmsr(MSR_DEADLINE, rdtsc() + ticks);
    else
        reg_write(APIC_TIMER_INITIAL, ticks);
}

/* The last one that is awake must stay so: it sends to the others, which wakes them, or finds out that it
 * does not. What was sent to me before wakes me too. */
static bool leave_awake(void)
{
    u32 n = __atomic_load_n(&awake, __ATOMIC_ACQUIRE);

    while (n > 1) {
        if (__atomic_compare_exchange_n(&awake, &n, n - 1, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
            return true;
    }
    return false;
}

static bool sleep(struct stressed *s, bool with_timer)
{
    bool slept = false;

    irq_disable();
    if (!__atomic_load_n(&end, __ATOMIC_ACQUIRE) && leave_awake()) {
        if (with_timer)
            start_timer(s, 1000 + below(100000));
        __atomic_store_n(&s->doing, with_timer ? SLEEPS_TIMER : SLEEPS, __ATOMIC_RELEASE);
        idle_halt();
        __atomic_store_n(&s->doing, WORKS, __ATOMIC_RELEASE);
        __atomic_add_fetch(&awake, 1, __ATOMIC_ACQ_REL);
        s->halts++;
        slept = true;
    }
    irq_enable();
    return slept;
}

/* --- what each does --- */

static void send_some(u32 me, u32 n)
{
    while (n--)
        try_send(me, (enum form)below(NR_FORMS));
}

static void masked(u32 me)
{
    struct stressed *s = &stressed[me];

    irq_disable();
    s->doing = MASKED;
    send_some(me, below(4));
    work(below(WORK_LOOPS));
    s->doing = WORKS;
    irq_enable();
}

static void raised(u32 me)
{
    struct stressed *s = &stressed[me];
    u32 class = below(16);

    if (below(2))
        write_cr8(class);
    else
        reg_write(APIC_TPR, class << 4 | below(16));
    s->level = class;
    s->doing = RAISED;
    send_some(me, below(4));
    work(below(WORK_LOOPS));
    s->doing = WORKS;
    s->level = 0;
    if (below(2))
        write_cr8(0);
    else
        reg_write(APIC_TPR, 0);
}

static void exits(void)
{
    for (u32 i = below(16); i; i--)
        cpuid(i, 0);
}

/* Nothing of mine is free: others have to run. */
static void wait(u32 me)
{
    if (sleep(&stressed[me], below(2)))
        return;
    pause_loop();
    for (u32 i = 0; i < nr_cpus; i++)
        look_for_lost(i); /* of those that sleep too */
}

static void step(u32 me)
{
    u32 tries = 0;

    switch (below(32)) {
    case 0:
        masked(me);
        break;
    case 1:
        raised(me);
        break;
    case 2:
        exits();
        break;
    case 3:
        work(below(WORK_LOOPS));
        break;
    case 4:
        sleep(&stressed[me], false);
        break;
    case 5:
        sleep(&stressed[me], true);
        break;
    case 6:
        send_nmi(me);
        break;
    case 8:
        raised(me);
        break;
    case 7:
        look_for_lost(me);
        break;
    default:
        while (!try_send(me, (enum form)below(NR_FORMS)) && ++tries < 8)
            ;
        if (tries == 8)
            wait(me);
    }
}

static bool all_taken_by(u32 cpu)
{
    for (u32 of = 0; of < nr_cpus; of++) {
        if (!look_at_row(of, cpu) || !look_at_row(of, ROW_ANY))
            return false;
    }
    return true;
}

/* Wakes those that sleep by a vector that is free; not who has to wake by what is on its way to it. */
static void nudge(u32 me)
{
    u32 vector = FIRST_VECTOR + me * per_cpu;

    for (u32 i = 0; i < nr_cpus; i++) {
        if (i == me || __atomic_load_n(&stressed[i].doing, __ATOMIC_ACQUIRE) < SLEEPS || !all_taken_by(i))
            continue;
        post_and_send(i, vector);
    }
}

/* Who slept when the end came goes on, and who was about to. */
static void end_all(u32 me)
{
    u32 vector = FIRST_VECTOR + me * per_cpu;

    __atomic_store_n(&end, true, __ATOMIC_SEQ_CST);
    for (u32 i = 0; i < nr_cpus; i++) {
        if (!outstanding(&accounts[i][vector]))
            post_and_send(i, vector);
    }
}

void leave(u32 me)
{
    __atomic_add_fetch(&nr_left, 1, __ATOMIC_ACQ_REL);
    while (__atomic_load_n(&nr_left, __ATOMIC_ACQUIRE) % nr_cpus)
        cpu_pause();
    stressed[me].doing = ENDS;
    irq_disable();
}

static void run(u32 me)
{
    irq_enable();
    while (stressed[me].done < quota)
        step(me);
    while (!look_for_lost(me))
        wait(me);
    if (__atomic_add_fetch(&nr_done, 1, __ATOMIC_ACQ_REL) == nr_cpus)
        end_all(me);
    while (!__atomic_load_n(&end, __ATOMIC_ACQUIRE)) {
        if (!sleep(&stressed[me], false)) {
            nudge(me);
            wait(me);
        }
    }
    pause_until_taken(me);
    leave(me);
}

static void prepare(u32 me)
{
    bool deadline = (me & 1) && (cpuid(1, 0).ecx & BIT(24));

    set_model(me);
    reg_write(APIC_TIMER_DIVIDE, 0xb); /* by 1 */
    reg_write(APIC_LVT_TIMER, (deadline ? LVT_DEADLINE : 0) | TIMER_VECTOR);
    stressed[me].doing = WORKS;
    stressed[me].done = 0;
}

/* --- all of it --- */

static void print_round(u64 ticks)
{
    u64 forms[NR_FORMS] = {0}, arrived = 0, halts = 0, nested = 0, nmis = 0, timers = 0, latest = 0;

    for (u32 i = 0; i < nr_cpus; i++) {
        for (u32 form = 0; form < NR_FORMS; form++)
            forms[form] += stressed[i].forms[form];
        arrived += stressed[i].done;
        halts += stressed[i].halts;
        nested += stressed[i].nested;
        nmis += stressed[i].nmis;
        timers += stressed[i].timer.sent;
        latest = MAX(latest, stressed[i].latest);
    }
    printf("apic: stress: %s: %u CPUs, %llu arrived in %llu ticks; longest wake %llu\n", model_names[model],
           nr_cpus, (ull)arrived, (ull)ticks, (ull)latest);
    printf("apic: up to now:");
    for (u32 form = 0; form < NR_FORMS; form++)
        printf(" %s %llu", form_names[form], (ull)forms[form]);
    printf("\napic: up to now: %llu NMIs, %llu timers, %llu halts, %llu nested\n", (ull)nmis, (ull)timers,
           (ull)halts, (ull)nested);
}

static void round_of(enum model m)
{
    u64 start = rdtsc();

    model = m;
    on_all(prepare);
    end = false;
    nr_done = 0;
    awake = nr_cpus;
    on_all(run);
    if (!loose)
        chain(quota / 2); /* who waits would sleep over one that came while interrupts were off */
    print_round(rdtsc() - start);
}

void stress(void)
{
    const enum model rounds[] = {XAPIC_FLAT, X2APIC, XAPIC_CLUSTER, X2APIC};
    u32 n = 0, count = (u32)option_number("count", 20000);

    per_cpu = MIN(PER_CPU_MAX, NR_VECTORS / nr_cpus);
    if (per_cpu < PER_CPU_MIN) {
        printf("apic: FAIL: more than %u CPUs\n", NR_VECTORS / PER_CPU_MIN);
        guest_fail(1);
    }
    loose = option("loose");
    patience = option_number("patience", 500000000);
    for (u32 v = FIRST_VECTOR; v < FIRST_VECTOR + NR_VECTORS; v++)
        trap_set_handler((u8)v, on_ipi);
    trap_set_handler(TIMER_VECTOR, on_timer);
    trap_hook = on_nmi;
    for (u32 i = 0; i < ARRAY_SIZE(rounds); i++)
        n += has_model(rounds[i]);
    quota = count / MAX(n, 1) / nr_cpus + 1;
    for (u32 i = 0; i < ARRAY_SIZE(rounds); i++) {
        if (has_model(rounds[i]))
            round_of(rounds[i]);
    }
    printf("apic: stress: %u IPIs or more, ok\n", count);
}
