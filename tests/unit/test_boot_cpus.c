/* SPDX-License-Identifier: MIT */
/* links: lib/format.c */
/* The order in which CPUs get their numbers, and what is said of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#define ARCH_X86_ASM_H
#include "lib/types.h"

struct cpuid_regs {
    u32 eax, ebx, ecx, edx;
};

static struct cpuid_regs cpuid(u32 leaf, u32 subleaf);

#include "boot/cpus.c"
#include "lib/format.h"

struct machine machine;
struct cpu *cpus[MAX_CPUS];
u32 nr_cpus;
static bool x2apic;
static u32 max_leaf, shift, threads;
static char said[1024];

static struct cpuid_regs cpuid(u32 leaf, u32 subleaf)
{
    assert_int_equal(subleaf, 0);
    if (leaf == 0)
        return (struct cpuid_regs){.eax = max_leaf};
    if (leaf == 1)
        return (struct cpuid_regs){.ebx = 32 << 16};
    assert_int_equal(leaf, 0xb);
    return (struct cpuid_regs){shift, threads, threads ? 0x100 : 0, 0};
}

bool apic_is_x2apic(void)
{
    return x2apic;
}

void log_msg(enum log_level level, const char *fmt, ...)
{
    size_t n = strlen(said);
    va_list args;

    (void)level;
    va_start(args, fmt);
    n += format_va(said + n, sizeof(said) - n, fmt, args);
    va_end(args);
    strcpy(said + n, "\n");
}

static void madt(const u32 *ids, u32 n)
{
    memset(&machine, 0, sizeof(machine));
    machine.have_madt = true;
    machine.madt.nr_cpus = n;
    for (u32 i = 0; i < n; i++)
        machine.madt.cpus[i] = (struct acpi_cpu){.apic_id = ids[i], .enabled = true};
    said[0] = 0;
    max_leaf = 0x16;
    shift = threads = 0;
    x2apic = true;
}

static void check(const u32 *ids, u32 n, u32 max)
{
    u32 got[600] = {0};
    bool sure = false;

    assert_int_equal(machine_cpus(got, max, &sure), n);
    assert_true(sure);
    assert_memory_equal(got, ids, n * sizeof(*ids));
}

static void order(void **state)
{
    static const u32 ids[] = {0, 1, 2, 3, 17, 16}, by_thread[] = {0, 2, 16, 1, 3, 17},
                     sparse[] = {70000, 7, 300};

    (void)state;
    madt(ids, 6);
    check(ids, 6, 512);
    shift = 1;
    threads = 1; /* one thread in a core, whatever the gap of the ids */
    check(ids, 6, 512);
    threads = 2;
    check(by_thread, 6, 512);
    max_leaf = 0xa;
    check(ids, 6, 512);
    madt(sparse, 3);
    check(sparse, 3, 512);
    machine.madt.cpus[1].enabled = false;
    check((u32[]){70000, 300}, 2, 512);
    assert_string_equal(said, "");
}

static void those_left_out(void **state)
{
    static const u32 ids[] = {0, 254, 255, 256};

    (void)state;
    madt(ids, 4);
    x2apic = false;
    check(ids, 2, 512);
    assert_string_equal(said,
                        "the CPU with APIC id 255 is left out: the APIC has no x2APIC mode to reach it\n"
                        "the CPU with APIC id 256 is left out: the APIC has no x2APIC mode to reach it\n");
    madt(ids, 4);
    check(ids, 3, 3);
    assert_string_equal(said, "the CPU with APIC id 256 is left out: there are too many\n");
}

static void by_trying(void **state)
{
    u32 got[64];
    bool sure = true;

    (void)state;
    madt(NULL, 0);
    machine.have_madt = false;
    assert_int_equal(machine_cpus(got, 64, &sure), 32);
    assert_false(sure);
    assert_int_equal(got[31], 31);
    assert_int_equal(machine_cpus(got, 4, &sure), 4);
}

static void what_is_said(void **state)
{
    static struct cpu c[4] = {{.apic_id = 0}, {.apic_id = 6}, {.apic_id = 1}, {.apic_id = 7}};

    (void)state;
    madt(NULL, 0);
    for (u32 i = 0; i < 4; i++)
        cpus[i] = &c[i];
    nr_cpus = 4;
    machine_tell_cpus();
    assert_non_null(strstr(said, "CPUs: 4, x2APIC\n"));
    said[0] = 0;
    shift = 1;
    threads = 2;
    x2apic = false;
    machine_tell_cpus();
    assert_string_equal(said, "cpu 0: APIC id 0\ncpu 1: APIC id 6\ncpu 2: APIC id 1, on the core of cpu 0\n"
                              "cpu 3: APIC id 7, on the core of cpu 1\nCPUs: 4 on 2 cores\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(order), cmocka_unit_test(those_left_out),
                                       cmocka_unit_test(by_trying), cmocka_unit_test(what_is_said)};

    return cmocka_run_group_tests_name("boot cpus", tests, NULL, NULL);
}
