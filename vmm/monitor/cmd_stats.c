/* SPDX-License-Identifier: MIT */
/* Commands that show what exits cost. docs/trace.md. */
#include "arch/x86/time.h"
#include "arch/x86/vmx_names.h"
#include "lib/format.h"
#include "lib/log.h"
#include "lib/string.h"
#include "lib/text.h"
#include "vmm/monitor/tables.h"
#include "vmm/observe.h"
#include "vmm/vmm.h"

static const char *const levels[STATS_LEVELS] = {"L1", "L2", "L2 to L1"};

static const char *reason_name(u32 reason)
{
    return reason == STATS_REST ? "the rest" : vmx_exit_reason_name(reason);
}

/* "12.3 %" of whole */
static const char *share(char *buf, size_t size, u64 part, u64 whole)
{
    u64 n = whole ? mul_div(MIN(part, whole), 1000, whole) : 0;

    format(buf, size, "%lu.%lu %%", n / 10, n % 10);
    return buf;
}

/* --- stats --- */

/* Of a vCPU, in the monitor's scratch. */
struct asked {
    u32 vcpu, nr_vcpus;
    bool observed;
    u64 exits[VMX_NR_EXIT_REASONS]; /* since it was made */
    struct stats stats;
};
_Static_assert(sizeof(struct asked) <= MON_SCRATCH, "there is room");

static void get(struct vm *vm, void *arg)
{
    struct asked *a = arg;
    const struct vcpu *v;

    a->nr_vcpus = vm->nr_vcpus;
    if (a->vcpu >= vm->nr_vcpus)
        return;
    v = vm->vcpus[a->vcpu];
    memcpy(a->exits, v->exits, sizeof(a->exits));
    a->observed = observing.stats && v->observed;
    if (a->observed)
        memcpy(&a->stats, &v->observed->stats, sizeof(a->stats));
}

static void print_plain(struct monitor *m, const struct asked *a)
{
    for (u32 i = 0; i < VMX_NR_EXIT_REASONS; i++) {
        if (a->exits[i])
            mon_print(m, "  %12lu  %s\n", a->exits[i], vmx_exit_reason_name(i));
    }
}

static void print_histogram(struct monitor *m, const struct stat *s)
{
    for (u32 i = 0; i < STATS_BUCKETS; i++) {
        if (s->bucket[i])
            mon_print(m, "    %10lu ticks and more: %u\n", i ? (u64)BIT(STATS_FIRST + i) : 0, s->bucket[i]);
    }
}

/* The row of the largest sum, which is then gone. */
static struct stat *take_largest(struct stats *s)
{
    struct stat *best = NULL;

    for (u32 i = 0; i < MIN(s->nr, (u32)STATS_ROWS); i++) {
        if (s->rows[i].count && (!best || s->rows[i].sum > best->sum))
            best = &s->rows[i];
    }
    return best;
}

static void print_costs(struct monitor *m, struct asked *a, bool histograms)
{
    u64 all = rdtsc() - a->stats.since;
    struct stat *s;
    char part[16];

    mon_print(m, "  level     exits      ticks   each    min median        max  of the time\n");
    while ((s = take_largest(&a->stats)) && !mon_stopped(m)) {
        mon_print(m, "  %-8s %6lu %10lu %6lu %6u %6lu %10lu  %7s  %s\n", levels[s->level % STATS_LEVELS],
                  s->count, s->sum, s->sum / s->count, s->min, MAX(stats_median(s), s->min), s->max,
                  share(part, sizeof(part), s->sum, all), reason_name(s->reason));
        if (histograms)
            print_histogram(m, s);
        s->count = 0;
    }
}

static void print_vcpu(struct monitor *m, u32 vm, struct asked *a, bool histograms)
{
    u64 ms = mul_div(rdtsc() - a->stats.since, 1000, tsc_hz);

    mon_print(m, "%s.%u: ", vmm_config(vm)->name, a->vcpu);
    if (a->observed) {
        mon_print(m, "exits in %lu.%03lu s\n", ms / 1000, ms % 1000);
        print_costs(m, a, histograms);
    } else {
        mon_print(m, "exits since it started; 'stats on' counts what they cost\n");
        print_plain(m, a);
    }
}

static void show(struct monitor *m, const char *place, bool histograms)
{
    struct asked *a = mon_scratch(m);
    bool one = place && strchr(place, '.');
    u32 vm, vcpu;

    if (!mon_vcpu(m, place, &vm, &vcpu))
        return;
    for (a->vcpu = one ? vcpu : 0; !mon_stopped(m); a->vcpu++) {
        if (control_vm(mon_task(m), vm, get, a)) {
            mon_print(m, "%s does not run\n", vmm_config(vm)->name);
            return;
        }
        if (a->vcpu >= a->nr_vcpus)
            return;
        print_vcpu(m, vm, a, histograms);
        if (one)
            return;
    }
}

static void stats(struct monitor *m, u32 argc, char **argv)
{
    bool on = argc > 1 && !strcmp(argv[1], "on"), histograms = argc > 1 && !strcmp(argv[1], "hist");

    if (!on && !(argc > 1 && !strcmp(argv[1], "off")))
        show(m, argc > 1u + histograms ? argv[1 + histograms] : NULL, histograms);
    else if (observe_stats(mon_task(m), on))
        mon_print(m, "no memory for some of the vCPUs\n");
}

/* --- top --- */

#define TOP_VCPUS 64

struct top_vcpu {
    u8 vm, vcpu;
    u64 exits[STATS_LEVELS], ticks;
};

/* What is new of all vCPUs; in the monitor's scratch. */
struct top {
    u32 vm, nr;
    struct top_vcpu vcpus[TOP_VCPUS];
    struct stats_delta by[STATS_LEVELS][VMX_NR_EXIT_REASONS + 1];
};
_Static_assert(sizeof(struct top) <= MON_SCRATCH, "there is room");

static void add_vcpu(struct top *t, struct top_vcpu *to, struct stats *s)
{
    for (u32 i = 0; i < MIN(__atomic_load_n(&s->nr, __ATOMIC_ACQUIRE), (u32)STATS_ROWS); i++) {
        struct stat *row = &s->rows[i];
        struct stats_delta d = stats_new(row),
                           *by = &t->by[row->level][MIN(row->reason, VMX_NR_EXIT_REASONS)];

        to->exits[row->level] += d.count;
        to->ticks += d.sum;
        by->count += d.count;
        by->sum += d.sum;
    }
}

static void add_vm(struct vm *vm, void *arg)
{
    struct top *t = arg;

    for (u32 i = 0; i < vm->nr_vcpus && t->nr < TOP_VCPUS; i++) {
        struct top_vcpu *to = &t->vcpus[t->nr++];

        *to = (struct top_vcpu){.vm = (u8)t->vm, .vcpu = (u8)i};
        if (vm->vcpus[i]->observed)
            add_vcpu(t, to, &vm->vcpus[i]->observed->stats);
    }
}

static void gather(struct monitor *m, struct top *t)
{
    memset(t, 0, sizeof(*t));
    for (t->vm = 0; t->vm < vmm_nr_vms(); t->vm++)
        control_vm(mon_task(m), t->vm, add_vm, t);
}

/* Exits in a second. */
static u64 rate(u64 n, u64 ticks)
{
    return mul_div(n, tsc_hz, MAX(ticks, 1u));
}

#define TOP_ROWS 16 /* of each of the two tables */

static void print_top_vcpus(struct monitor *m, const struct top *t, u64 ticks)
{
    char part[16];

    mon_print(m, "exits per second:    L1         L2   L2 to L1  in Nidus\n");
    for (u32 i = 0; i < MIN(t->nr, (u32)TOP_ROWS); i++) {
        const struct top_vcpu *v = &t->vcpus[i];
        char name[CONFIG_NAME_MAX + 4];

        format(name, sizeof(name), "%s.%u", vmm_config(v->vm)->name, v->vcpu);
        mon_print(m, "%-12s %10lu %10lu %10lu  %8s\n", name, rate(v->exits[STATS_L1], ticks),
                  rate(v->exits[STATS_L2], ticks), rate(v->exits[STATS_REFLECTED], ticks),
                  share(part, sizeof(part), v->ticks, ticks));
    }
}

static void print_top_reasons(struct monitor *m, struct top *t, u64 ticks)
{
    for (u32 row = 0; row < TOP_ROWS; row++) {
        struct stats_delta *first = &t->by[0][0], *best = first;
        char part[16];
        u32 n;

        for (u32 i = 0; i < STATS_LEVELS * (VMX_NR_EXIT_REASONS + 1u); i++) {
            if (first[i].sum > best->sum)
                best = &first[i];
        }
        if (!best->count)
            return;
        n = (u32)(best - first);
        mon_print(m, "%10lu %10lu ticks each  %8s  %-8s  %s\n", rate(best->count, ticks),
                  best->sum / best->count, share(part, sizeof(part), best->sum, ticks),
                  levels[n / (VMX_NR_EXIT_REASONS + 1)],
                  n % (VMX_NR_EXIT_REASONS + 1) == VMX_NR_EXIT_REASONS
                      ? "the rest"
                      : vmx_exit_reason_name(n % (VMX_NR_EXIT_REASONS + 1)));
        *best = (struct stats_delta){0};
    }
}

static void top(struct monitor *m, u32 argc, char **argv)
{
    static const char clear[] = "\x1b[H\x1b[J";
    bool before = observing.stats;
    u64 from = rdtsc(), now;

    (void)argc;
    (void)argv;
    if (!before && observe_stats(mon_task(m), true))
        mon_print(m, "no memory for some of the vCPUs\n");
    for (gather(m, mon_scratch(m)); mon_pause(m, 1000000); from = now) {
        now = rdtsc();
        gather(m, mon_scratch(m));
        log_raw(clear, sizeof(clear) - 1);
        print_top_vcpus(m, mon_scratch(m), now - from);
        print_top_reasons(m, mon_scratch(m), now - from);
        mon_print(m, "any key ends this\n");
    }
    if (!before)
        observe_stats(mon_task(m), false);
}

const struct command monitor_stats[] = {
    {"stats", PACK "[on | off | [hist] [VM | VCPU]]",
     PACK "Exits by reason; with 'on', also what they cost, by level: L1's own, L2's that Nidus handles,\n"
          "  and those that L1 handles. hist: how many cost how much.",
     stats, "on off hist @vm @vcpu"},
    {"top", NULL, PACK "Exits per second and time in Nidus, each second until a key is typed.", top, NULL},
    {0},
};
