/* SPDX-License-Identifier: MIT */
#include "drivers/calibrate.h"
#include "arch/x86/asm.h"
#include "lib/format.h"

/* IA-PC HPET Specification 1.0a, 'Memory Map': 64-bit registers, as byte offsets. */
#define HPET_CAPABILITIES 0x000 /* bits 63:32 period in fs, bit 13: counter has 64 bits */
#define HPET_CONFIG       0x010
#define HPET_COUNTER      0x0f0
#define HPET_ENABLE       BIT(0)
#define HPET_MAX_PERIOD   100000000 /* fs */

#define PM_TIMER_PERIOD 279365115 /* fs, 3.579545 MHz: ACPI 6.5, 'Power Management Timer' */

/* Intel 8254 Programmable Interval Timer, order number 231164. */
#define PIT_PERIOD  838095345 /* fs, 1.193182 MHz */
#define PIT_CH2     0x42
#define PIT_COMMAND 0x43
#define PIT_CH2_RATE                                                                       \
    0xb4 /* channel 2, both bytes, mode 2 (counts down from 65536 again and again), binary \
          */
#define PIT_CH2_LATCH 0x80
#define GATE_PORT     0x61
#define GATE_CH2      0x01
#define GATE_SPEAKER  0x02

#define RUN_NS      3000000ull
#define RUNS        3
#define STUCK       200000 /* reads without any change: takes 0.1 s or more on hardware */
#define TRIES       5
#define AGREE       100 /* runs agree within a 100th of their value */
#define AGREE_CROSS 20  /* two timers, within a 20th */

/* A free-running counter. */
struct timer {
    const char *name;
    u64 period; /* fs */
    u64 mask;   /* bits that it has */
    u64 (*read)(const struct calibrate_sources *s);
    bool (*start)(const struct calibrate_sources *s, struct timer *t); /* false: not there */
};

static volatile u64 *hpet_reg(const struct calibrate_sources *s, u32 offset)
{
    return (volatile u64 *)((volatile u8 *)s->hpet + offset);
}

/* 32 bits are enough, and need no care about a carry between two halves. */
static u64 hpet_read(const struct calibrate_sources *s)
{
    return *(volatile u32 *)hpet_reg(s, HPET_COUNTER);
}

static bool hpet_start(const struct calibrate_sources *s, struct timer *t)
{
    u64 config;

    if (!s->hpet)
        return false;
    t->period = *hpet_reg(s, HPET_CAPABILITIES) >> 32;
    config = *hpet_reg(s, HPET_CONFIG);
    if (!(config & HPET_ENABLE))
        *hpet_reg(s, HPET_CONFIG) = config | HPET_ENABLE;
    return true;
}

static u64 pm_read(const struct calibrate_sources *s)
{
    return inl(s->pm_timer);
}

static bool pm_start(const struct calibrate_sources *s, struct timer *t)
{
    t->mask = s->pm_timer_32bit ? 0xffffffff : 0xffffff;
    return s->pm_timer != 0;
}

static u64 pit_read(const struct calibrate_sources *s)
{
    u16 low;

    (void)s;
    outb(PIT_COMMAND, PIT_CH2_LATCH);
    low = inb(PIT_CH2);
    return 0xffff - (low | inb(PIT_CH2) << 8);
}

static bool pit_start(const struct calibrate_sources *s, struct timer *t)
{
    (void)t;
    if (!s->pit)
        return false;
    outb(GATE_PORT, (inb(GATE_PORT) & ~GATE_SPEAKER) | GATE_CH2);
    outb(PIT_COMMAND, PIT_CH2_RATE);
    outb(PIT_CH2, 0);
    outb(PIT_CH2, 0);
    return true;
}

struct sample {
    u64 tsc, ticks;
};

/* A pair read at one moment: the try that took least time, so that an SMI between the reads does no harm. */
static struct sample sample(const struct calibrate_sources *s, const struct timer *t)
{
    struct sample best = {0};
    u64 shortest = ~0ull;

    for (u32 i = 0; i < TRIES; i++) {
        u64 before = rdtsc(), ticks = t->read(s), took = rdtsc() - before;

        if (took < shortest) {
            shortest = took;
            best = (struct sample){before + took / 2, ticks};
        }
    }
    return best;
}

/* Waits until the timer moved by RUN_NS. False: it stands still. */
static bool wait_run(const struct calibrate_sources *s, const struct timer *t, u64 from)
{
    u64 wanted = RUN_NS * 1000000 / t->period, last = from;

    for (u32 same = 0; same < STUCK; same++) {
        u64 now = t->read(s) & t->mask;

        if (((now - from) & t->mask) >= wanted)
            return true;
        if (now != last)
            same = 0;
        last = now;
        cpu_pause();
    }
    return false;
}

/* One measurement in Hz, 0 if the timer stands still. */
static u64 measure(const struct calibrate_sources *s, const struct timer *t)
{
    struct sample a = sample(s, t), b;
    u64 ns;

    if (!wait_run(s, t, a.ticks & t->mask))
        return 0;
    b = sample(s, t);
    ns = ((b.ticks - a.ticks) & t->mask) * t->period / 1000000;
    return ns ? (b.tsc - a.tsc) * 1000000000 / ns : 0;
}

static bool near(u64 a, u64 b, u64 part)
{
    u64 difference = a > b ? a - b : b - a;

    return difference <= MAX(a, b) / part;
}

static u64 median3(const u64 v[3])
{
    return MAX(MIN(v[0], v[1]), MIN(MAX(v[0], v[1]), v[2]));
}

/* The median of three measurements, of which it must be near to at least one other. 0: no use. */
static u64 measure_well(const struct calibrate_sources *s, const struct timer *t, void (*warn)(const char *))
{
    char text[128];
    u64 hz[RUNS], middle;
    u32 agree = 0;

    if (!t->period || t->period > PIT_PERIOD || (t->read == hpet_read && t->period > HPET_MAX_PERIOD)) {
        format(text, sizeof(text), "%s: a period of %lu fs is not possible: not used", t->name, t->period);
        warn(text);
        return 0;
    }
    for (u32 i = 0; i < RUNS; i++) {
        hz[i] = measure(s, t);
        if (!hz[i]) {
            format(text, sizeof(text), "%s stands still: not used", t->name);
            warn(text);
            return 0;
        }
    }
    middle = median3(hz);
    for (u32 i = 0; i < RUNS; i++)
        agree += near(hz[i], middle, AGREE);
    if (agree >= 2)
        return middle;
    format(text, sizeof(text), "%s: measured %lu, %lu and %lu Hz: not used", t->name, hz[0], hz[1], hz[2]);
    warn(text);
    return 0;
}

static const struct timer timers[] = {
    {"HPET", 0, 0xffffffff, hpet_read, hpet_start},
    {"ACPI PM timer", PM_TIMER_PERIOD, 0xffffff, pm_read, pm_start},
    {"PIT", PIT_PERIOD, 0xffff, pit_read, pit_start},
};

u64 calibrate_against(const struct calibrate_sources *s, u32 n, const char **name)
{
    struct timer t;

    *name = n < ARRAY_SIZE(timers) ? timers[n].name : NULL;
    if (!*name)
        return 0;
    t = timers[n];
    return t.start(s, &t) && t.period ? measure(s, &t) : 0;
}

int calibrate_tsc(const struct calibrate_sources *s, struct calibration *out, void (*warn)(const char *text))
{
    char text[128];

    *out = (struct calibration){0};
    for (u32 i = 0; i < ARRAY_SIZE(timers); i++) {
        struct timer copy = timers[i], *t = &copy;
        u64 hz;

        if (!t->start(s, t))
            continue;
        if (!out->hz) {
            out->hz = measure_well(s, t, warn);
            out->source = out->hz ? t->name : NULL;
            continue;
        }
        hz = measure(s, t);
        if (!near(hz, out->hz, AGREE_CROSS)) {
            format(text, sizeof(text), "TSC runs at %lu Hz by the %s, but at %lu Hz by the %s", out->hz,
                   out->source, hz, t->name);
            warn(text);
        }
        break;
    }
    return out->hz ? OK : ERR_NOENT;
}
