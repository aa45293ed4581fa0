/* SPDX-License-Identifier: MIT */
/* Commands for the trace, and for exits that vCPUs stop at. docs/trace.md. */
#include "arch/x86/time.h"
#include "arch/x86/vmx_names.h"
#include "lib/string.h"
#include "lib/text.h"
#include "vmm/debug.h"
#include "vmm/monitor/tables.h"
#include "vmm/observe.h"
#include "vmm/vmm.h"

#define DEFAULT_KIB 64
#define MAX_KIB     1024 /* a piece of the pool is no larger than 511 pages */

/* --- words --- */

/* A vCPU, if there is a '.' in it, or a VM by its name or with a '.' behind it. */
static bool is_place(const char *word)
{
    const struct config_vm *c;

    for (u32 i = 0; (c = vmm_config(i)); i++) {
        if (!strcmp(c->name, word))
            return true;
    }
    return strchr(word, '.');
}

static bool take_place(struct monitor *m, const char *word, u8 *vm, u8 *vcpu)
{
    u32 of, id;

    if (!mon_vcpu(m, word, &of, &id))
        return false;
    *vm = (u8)of;
    *vcpu = strchr(word, '.') ? (u8)id : TRACE_ANY;
    return true;
}

static bool take_reason(struct monitor *m, const char *word, u8 *reason)
{
    int n = trace_reason_of(word);

    if (n < 0)
        mon_print(m, "there is no exit reason '%s'; say its number, or its name as 'ept-violation'\n", word);
    *reason = (u8)n;
    return n >= 0;
}

struct wanted {
    struct trace_filter filter;
    u32 kib; /* 0: not said */
};

/* "64k" */
static bool take_size(const char *word, u32 *kib)
{
    u64 n;

    if (!text_take_number(&word, &n) || strcmp(word, "k"))
        return false;
    for (*kib = 4; *kib < MIN(n, (u64)MAX_KIB); *kib *= 2)
        ;
    return true;
}

static bool take_wanted(struct monitor *m, const char *word, struct wanted *w)
{
    u32 kind = trace_kind_of(word);
    u8 reason;

    if (kind < TRACE_KINDS) {
        w->filter.kinds |= 1u << kind;
        return true;
    }
    if (is_place(word))
        return take_place(m, word, &w->filter.vm, &w->filter.vcpu);
    if (take_size(word, &w->kib))
        return true;
    if (!take_reason(m, word, &reason))
        return false;
    w->filter.reasons[reason >> 6] |= BIT(reason & 63);
    return true;
}

/* --- trace --- */

static void turn_on(struct monitor *m, u32 argc, char **argv)
{
    struct wanted w = {.filter = {.vm = TRACE_ANY, .vcpu = TRACE_ANY}};
    int r = OK;

    for (u32 i = 2; i < argc; i++) {
        if (!take_wanted(m, argv[i], &w))
            return;
    }
    if (!w.filter.reasons[0] && !w.filter.reasons[1])
        w.filter.reasons[0] = w.filter.reasons[1] = ~0ull;
    else
        w.filter.kinds |= 1 << TRACE_EXIT;
    if (!w.filter.kinds)
        w.filter.kinds = trace_everything.kinds;
    observing.filter = w.filter;
    if (!observing.rings || w.kib)
        r = observe_trace(mon_task(m), (w.kib ? w.kib : DEFAULT_KIB) / 4);
    if (r)
        mon_print(m, "no memory%s\n", observing.rings ? " for some of the vCPUs" : "");
}

static void turn_off(struct monitor *m, u32 argc, char **argv)
{
    (void)argc;
    (void)argv;
    observe_trace_off(mon_task(m));
}

static void clear(struct monitor *m, u32 argc, char **argv)
{
    (void)argc;
    (void)argv;
    if (observing.rings && observe_trace(mon_task(m), observing.pages))
        mon_print(m, "no memory\n");
}

static void status(struct monitor *m)
{
    const struct trace_filter *f = &observing.filter;

    if (!observing.rings) {
        mon_print(m, "the trace is off\n");
        return;
    }
    mon_print(m, "the trace is on, %u KiB for each CPU:", observing.pages * 4);
    for (u32 i = 0; i < TRACE_KINDS; i++) {
        if (f->kinds >> i & 1)
            mon_print(m, " %s", trace_kind_name(i));
    }
    mon_print(m, "\n");
    for (u32 i = 0; i < observing.nr_rings; i++)
        mon_print(m, "CPU %u: %lu events, of which it has the last %lu\n", i, observing.rings[i].head,
                  MIN(observing.rings[i].head, observing.rings[i].mask));
}

/* What is printed is read meanwhile: nothing is recorded then. */
static u32 suspend(void)
{
    u32 kinds = observing.filter.kinds;

    __atomic_store_n(&observing.filter.kinds, 0, __ATOMIC_SEQ_CST);
    return kinds;
}

static const char *name_of(u32 vm)
{
    const struct config_vm *c = vmm_config(vm);

    return c ? c->name : "?";
}

static void print_event(struct monitor *m, u32 cpu, const struct trace_event *e)
{
    u64 ticks = e->tsc - entry_tsc;
    char text[160];

    trace_text(text, sizeof(text), e);
    mon_print(m, "%lu.%09lu %u %s.%u %s\n", ticks / tsc_hz, mul_div(ticks % tsc_hz, 1000000000, tsc_hz), cpu,
              name_of(e->vm), e->vcpu, text);
}

static u64 exported; /* tsc of the event before */

/* For scripts/trace: in hexadecimal, and the time since the event before. */
static void export_event(struct monitor *m, u32 cpu, const struct trace_event *e)
{
    u64 words[4];
    char text[160] = "";

    memcpy(words, e, sizeof(words));
    if (e->kind == TRACE_CHECK)
        trace_text(text, sizeof(text), e);
    mon_print(m, "@trace %u %lx %lx %lx %lx %s\n", cpu, e->tsc - exported, words[1], e->a,
              e->kind == TRACE_CHECK ? 0 : e->b, text);
    exported = e->tsc;
}

static u64 rewind_all(u64 n)
{
    u64 all = 0;

    for (u32 i = 0; i < observing.nr_rings; i++)
        all += trace_rewind(&observing.rings[i], n);
    return all;
}

/* The newest n of all CPUs. */
static void print_newest(struct monitor *m, u64 n,
                         void (*print)(struct monitor *m, u32 cpu, const struct trace_event *e))
{
    u64 skip = rewind_all(n);
    struct trace_event e;
    u32 cpu;

    for (skip -= MIN(n, skip); !mon_stopped(m); skip -= skip > 0) {
        cpu = trace_get_first(observing.rings, observing.nr_rings, &e);
        if (cpu == observing.nr_rings)
            return;
        if (!skip)
            print(m, cpu, &e);
    }
}

static void print_or_export(struct monitor *m, u32 argc, char **argv, u64 n,
                            void (*print)(struct monitor *m, u32 cpu, const struct trace_event *e))
{
    u32 kinds;

    if (argc > 2 && !mon_number(m, argv[2], &n))
        return;
    if (!observing.rings) {
        status(m);
        return;
    }
    kinds = suspend();
    print_newest(m, n, print);
    observing.filter.kinds = kinds;
}

static void show(struct monitor *m, u32 argc, char **argv)
{
    print_or_export(m, argc, argv, 20, print_event);
}

static void export_all(struct monitor *m, u32 argc, char **argv)
{
    exported = 0;
    mon_print(m, "@trace begin 1 %lu %u\n", tsc_hz, nr_cpus);
    for (u32 i = 0; i < vmm_nr_vms(); i++)
        mon_print(m, "@trace vm %u %s\n", i, name_of(i));
    print_or_export(m, argc, argv, ~0ull >> 1, export_event);
    mon_print(m, "@trace end\n");
}

struct subcommand {
    const char *name;
    void (*run)(struct monitor *m, u32 argc, char **argv);
};

static const struct subcommand of_trace[] = {
    {"on", turn_on}, {"off", turn_off}, {"clear", clear}, {"show", show}, {"export", export_all},
};

static void trace(struct monitor *m, u32 argc, char **argv)
{
    if (argc < 2) {
        status(m);
        return;
    }
    for (u32 i = 0; i < ARRAY_SIZE(of_trace); i++) {
        if (!strcmp(argv[1], of_trace[i].name)) {
            of_trace[i].run(m, argc, argv);
            return;
        }
    }
    mon_print(m, "'%s': say on, off, show, clear or export\n", argv[1]);
}

/* --- where vCPUs stop --- */

static bool take_break(struct monitor *m, const char *word, struct exit_break *b)
{
    if (is_place(word))
        return take_place(m, word, &b->vm, &b->vcpu);
    if (!strcmp(word, "l1") || !strcmp(word, "l2")) {
        b->level = (u8)(word[1] - '0');
        return true;
    }
    b->has_what = true;
    return mon_number(m, word, &b->what);
}

static void list_breaks(struct monitor *m)
{
    for (u32 i = 0; i < OBSERVE_BREAKS; i++) {
        const struct exit_break *b = &observing.breaks[i];

        if (!b->used)
            continue;
        mon_print(m, "%u: %s", i,
                  b->check ? PACK "a VM entry of L1's fails" : vmx_exit_reason_name(b->reason));
        if (b->has_what)
            mon_print(m, " 0x%lx", b->what);
        if (b->level)
            mon_print(m, ", L%u", b->level);
        if (b->vm != TRACE_ANY)
            mon_print(m, ", %s", name_of(b->vm));
        if (b->vcpu != TRACE_ANY)
            mon_print(m, ".%u", b->vcpu);
        mon_print(m, "\n");
    }
    mon_list_points(m, OBSERVE_BREAKS);
}

static void stop_at(struct monitor *m, u32 argc, char **argv)
{
    struct exit_break b = {.vm = TRACE_ANY, .vcpu = TRACE_ANY};

    if (argc < 2) {
        list_breaks(m);
        return;
    }
    if (mon_break_at(m, argc, argv)) {
        list_breaks(m);
        return;
    }
    b.check = !strcmp(argv[1], "check");
    if (!b.check && (strcmp(argv[1], "exit") || argc < 3)) {
        mon_print(m, "say 'break exit REASON', 'break check' or 'break at ADDRESS'\n");
        return;
    }
    if (!b.check && !take_reason(m, argv[2], &b.reason))
        return;
    for (u32 i = b.check ? 2 : 3; i < argc; i++) {
        if (!take_break(m, argv[i], &b))
            return;
    }
    if (observe_break(mon_task(m), &b))
        mon_print(m, "no memory, or %u already\n", OBSERVE_BREAKS);
    list_breaks(m);
}

static void stop_no_more(struct monitor *m, u32 argc, char **argv)
{
    u64 n = OBSERVE_BREAKS;

    if (argc > 1 && !mon_number(m, argv[1], &n))
        return;
    for (u32 i = 0; i < OBSERVE_BREAKS; i++) {
        if (n == i || argc < 2)
            observe_unbreak(mon_task(m), i);
    }
    if (argc > 1 && n >= OBSERVE_BREAKS)
        mon_remove_point(m, (u32)(n - OBSERVE_BREAKS));
    for (n = 0; argc < 2 && n < DEBUG_MAX_POINTS && mon_remove_point(m, 0); n++)
        ;
}

const struct command monitor_trace[] = {
    {"trace", PACK "[on [KIND] [REASON] [VM | VCPU] [KiBk] | off | clear | show [N] | export [N]]",
     PACK "Records exits and what comes of them. KIND: exit entry inject nested check ipi port mmio.\n"
          "  show prints the last N (20), export all, for scripts/trace.",
     trace, "on off clear show export exit entry inject nested check ipi port mmio @vm @vcpu"},
    {"break",
     PACK
     "[exit REASON [WHAT] | check | at ADDRESS | write ADDRESS [BYTES] | access ADDRESS [BYTES]] [VM | VCPU] [l1 | l2]",
     PACK
     "A vCPU stops behind an exit of this reason (WHAT: port, MSR, page, leaf, else the qualification),\n"
     "  where a VM entry of L1's fails a check, before the instruction at a linear address, or behind a write or\n"
     "  any access to memory there. Without words: lists them.",
     stop_at, "exit check at write access @reg @vm @vcpu l1 l2"},
    {"unbreak", PACK "[NUMBER]", PACK "Takes back one of break, or all.", stop_no_more, NULL},
    {0},
};
