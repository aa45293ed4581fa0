/* SPDX-License-Identifier: MIT */
/* links: vmm/stats.c arch/x86/vmx_names.c lib/format.c lib/text.c lib/str_copy.c */
/* The monitor's commands stats and top: what they print of what was counted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "lib/format.h"
#include "tests/unit/fake_asm.h"
#include "tests/unit/no_ports.h"
#include "vmm/monitor/cmd_stats.c"
#include "tests/unit/monitor_out.h"

struct observing observing;
u64 tsc_hz = 1000000;
static u64 now;
static const struct config_vm configs[2] = {{.name = "one"}, {.name = "two"}};
static struct vm vms[2];
static struct vcpu vcpus[2][2];
static struct observed observed[2][2];
static u64 scratch[MON_SCRATCH / 8];
static u32 pauses; /* until a key is typed */

static u64 fake_tsc(void)
{
    return now;
}

void log_raw(const char *text, size_t n)
{
    assert_memory_equal(text, "\x1b[H\x1b[J", n);
    *out = 0;
}

/* Each second the first vCPU makes 10 exits, and the other 5 of L2. */
bool mon_pause(struct monitor *m, u64 us)
{
    (void)m;
    now += us;
    if (!pauses--)
        return false;
    for (u32 i = 0; i < 10; i++) {
        stats_count(&observed[0][0].stats, STATS_L1, 10, 10000);
        if (i & 1)
            stats_count(&observed[0][1].stats, STATS_REFLECTED, 12, 100);
    }
    return true;
}

void *mon_scratch(struct monitor *m)
{
    (void)m;
    return scratch;
}

struct task *mon_task(struct monitor *m)
{
    (void)m;
    return NULL;
}

bool mon_vcpu(struct monitor *m, const char *word, u32 *vm, u32 *vcpu)
{
    (void)m;
    *vm = word && *word == 't';
    *vcpu = word && strchr(word, '.') ? (u32)(strchr(word, '.')[1] - '0') : 0;
    return true;
}

const struct config_vm *vmm_config(u32 i)
{
    return i < 2 ? &configs[i] : NULL;
}

u32 vmm_nr_vms(void)
{
    return 2;
}

int control_vm(struct task *t, u32 vm, void (*fn)(struct vm *vm, void *arg), void *arg)
{
    (void)t;
    if (!vms[vm].nr_vcpus)
        return ERR_NOENT;
    fn(&vms[vm], arg);
    return OK;
}

int observe_stats(struct task *t, bool on)
{
    (void)t;
    observing.stats = on;
    return OK;
}

static const char *type(const char *line)
{
    return type_into(monitor_stats, line);
}

static int reset(void **state)
{
    (void)state;
    observing = (struct observing){0};
    memset(observed, 0, sizeof(observed));
    memset(vcpus, 0, sizeof(vcpus));
    now = 1000000;
    vms[1] = (struct vm){0};
    vms[0] = (struct vm){.nr_vcpus = 2, .vcpus = {&vcpus[0][0], &vcpus[0][1]}};
    for (u32 i = 0; i < 2; i++) {
        vcpus[0][i].vm = &vms[0];
        vcpus[0][i].observed = &observed[0][i];
        observed[0][i].stats.since = now;
    }
    return 0;
}

static void plain_counts_are_always_there(void **state)
{
    (void)state;
    vcpus[0][1].exits[10] = 7;
    assert_string_equal(type("stats one.1"),
                        "one.1: exits since it started; 'stats on' counts what they cost\n"
                        "             7  CPUID\n");
    assert_string_equal(type("stats two"), "two does not run\n");
    type("stats on");
    assert_true(observing.stats);
    type("stats off");
    assert_false(observing.stats);
}

#define HEAD "  level     exits      ticks   each    min median        max  of the time\n"

static void the_dearest_come_first(void **state)
{
    static const char wanted[] =
        "one.0: exits in 1.234 s\n" HEAD
        "  L2            1      61700  61700  61700  61700      61700    5.0 %  EPT violation\n"
        "         32768 ticks and more: 1\n"
        "  L1            2        300    150    100    100        200    0.0 %  CPUID\n"
        "            64 ticks and more: 1\n"
        "           128 ticks and more: 1\n"
        "  L2 to L1      1          1      1      1      1          1    0.0 %  HLT\n"
        "             0 ticks and more: 1\n"
        "one.1: exits in 1.234 s\n" HEAD;

    (void)state;
    observing.stats = true;
    now += 1234000;
    stats_count(&observed[0][0].stats, STATS_L1, 10, 100);
    stats_count(&observed[0][0].stats, STATS_L1, 10, 200);
    stats_count(&observed[0][0].stats, STATS_L2, 48, 61700);
    stats_count(&observed[0][0].stats, STATS_REFLECTED, 12, 1);
    assert_string_equal(type("stats hist"), wanted);
    assert_null(strstr(type("stats one.1"), "one.0"));
}

static void rates_are_of_the_last_second(void **state)
{
    static const char wanted[] = "exits per second:    L1         L2   L2 to L1  in Nidus\n"
                                 "one.0                10          0          0    10.0 %\n"
                                 "one.1                 0          0          5     0.0 %\n"
                                 "        10      10000 ticks each    10.0 %  L1        CPUID\n"
                                 "         5        100 ticks each     0.0 %  L2 to L1  HLT\n"
                                 "any key ends this\n";

    (void)state;
    stats_count(&observed[0][0].stats, STATS_L1, 10, 1000000); /* long ago */
    pauses = 3;
    assert_string_equal(type("top"), wanted);
    assert_false(observing.stats);
    observing.stats = true;
    pauses = 1;
    assert_string_equal(type("top"), wanted);
    assert_true(observing.stats);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(plain_counts_are_always_there, reset),
        cmocka_unit_test_setup(the_dearest_come_first, reset),
        cmocka_unit_test_setup(rates_are_of_the_last_second, reset),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
