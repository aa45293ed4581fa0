/* SPDX-License-Identifier: MIT */
/* links: vmm/nested/caps.c arch/x86/vmx_caps.c arch/x86/vmx_names.c arch/x86/vmx_negotiate.c lib/format.c */
/* The self-test's table of capabilities: each that there is, once, in the group that is true of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/good_caps.h"

#define ARCH_X86_ASM_H
#define ARCH_X86_TIME_H
#define ARCH_X86_VMX_H

struct cpuid_regs {
    u32 eax, ebx, ecx, edx;
};

static struct cpuid_regs cpuid(u32 leaf, u32 subleaf)
{
    (void)leaf;
    (void)subleaf;
    return (struct cpuid_regs){0};
}

static struct vmx_caps vmx_caps;
static struct vmx_features vmx_features;
static u64 tsc_hz = 1;

#include "arch/x86/pool.h"
#include "vmm/self_caps.c"

struct frame_owner pool_owner;
static char page[16384];

void *pool_alloc(struct frame_owner *owner, u32 pages)
{
    (void)owner;
    return calloc(pages, PAGE_SIZE);
}

void guest_cpuid_build(struct guest_cpuid *c, const struct cpuid_env *env, const struct config_vm *config)
{
    assert_true(config->nested);
    assert_int_equal(env->vmx_granted, vmx_features.granted);
    c->cr4_allowed = ~0ull;
}

void log_msg(enum log_level level, const char *fmt, ...)
{
    size_t n = strlen(page), from = n;
    va_list args;

    (void)level;
    va_start(args, fmt);
    n += format_va(page + n, sizeof(page) - n, fmt, args);
    va_end(args);
    assert_true(n - from <= WIDTH);
    strcpy(page + n, "\n");
}

static void report(void *ctx, const char *line)
{
    (void)ctx;
    (void)line;
}

static void show_on(const struct vmx_caps *caps)
{
    free(known);
    known = NULL;
    page[0] = 0;
    vmx_caps = *caps;
    vmx_negotiate(&vmx_caps, &vmx_features, report, NULL);
    self_show_capabilities();
}

/* How often the group that begins like this has the item. */
static u32 times(const char *title, const char *item)
{
    const char *at = strstr(page, title), *end;
    u32 n = 0;

    if (!at)
        return 0;
    for (end = at; (end = strchr(end, '\n')) && end[1] == ' ';)
        end++;
    for (size_t length = strlen(item); (at = strstr(at, item)) && at < end; at++)
        n += at[-1] == ' ' && (at[-2] == ',' || at[-2] == ':' || at[-2] == ' ') &&
             (at[length] == ',' || at[length] == '\n');
    return n;
}

static const char *const groups[] = {"used by Nidus, and offered", "used, not offered",
                                     "offered, not used",          "offered, although",
                                     "of use elsewhere",           "neither used nor offered"};

static void check(const char *item, const char *group)
{
    u32 n = 0;

    for (u32 i = 0; i < ARRAY_SIZE(groups); i++)
        n += times(groups[i], item);
    if (n != 1 || !times(group, item))
        fail_msg("%s is %u times on the page, or not as '%s':\n%s", item, n, group, page);
}

static void everything_is_there_once(void **state)
{
    struct vmx_caps c;

    (void)state;
    good_caps(&c);
    show_on(&c);
    for (u32 place = 0; place < VMX_NR_PLACES; place++) {
        for (u32 bit = 0; bit < 64; bit++) {
            const char *name = vmx_capability_name(place, bit);
            u32 n = 0;

            for (u32 i = 0; name && i < ARRAY_SIZE(groups); i++)
                n += times(groups[i], name);
            if (name && vmx_available(&vmx_caps, place) & BIT(bit))
                assert_int_equal(n, 1);
        }
    }
    check("enable EPT", "used by Nidus, and offered");
    check("enable user wait and pause", "used, not offered");
    check("enable PML", "offered, not used");
    check("TRUE controls", "offered, not used");
    check("enable HLAT", "neither used nor offered");
    check("shutdown activity state", "neither used nor offered");
    check("any exception with error code", "of use elsewhere");
    assert_null(strstr(page, "Intel PT in VMX operation")); /* not there, and of no use */
    assert_non_null(strstr(page, "MSRs: 3a=5, 480="));
    assert_null(strstr(page, " 3b="));
}

static void a_cpu_with_less(void **state)
{
    struct vmx_caps c;

    (void)state;
    good_caps(&c);
    c.pin &= ~(u64)PIN_PREEMPTION_TIMER << 32 | 0xffffffff;
    c.true_pin &= ~(u64)PIN_PREEMPTION_TIMER << 32 | 0xffffffff;
    c.ept_vpid &= ~(EPT_CAP_EXECUTE_ONLY | VPID_CAP_INVVPID);
    c.proc3 = 0;
    show_on(&c);
    check("activate VMX-preemption timer", "offered, although");
    check("IPI virtualization", "offered, although");
    check("execute-only EPT translations", "of use elsewhere");
    assert_int_equal(times("used by Nidus", "enable VPID"), 0); /* of no use without INVVPID */
    assert_int_equal(times("used, not offered", "enable VPID"), 0);
    assert_null(strstr(page, "HLAT"));
}

static void no_vmx_to_speak_of(void **state)
{
    struct vmx_caps c = {.basic = 1};

    (void)state;
    show_on(&c);
    check("enable EPT", "of use elsewhere");
    assert_null(strstr(page, "used by Nidus"));
}

static void lines(void **state)
{
    struct self_paragraph p;
    char item[61];

    (void)state;
    memset(item, 'x', 60);
    item[60] = 0;
    page[0] = 0;
    self_begin(&p, "t");
    self_add(&p, "a");
    self_add(&p, item);
    self_add(&p, item);
    self_end(&p);
    assert_int_equal(strlen(page), 2 + 2 + 1 + 61 + 1 + 1 + 2 + 61 + 1);
    assert_memory_equal(page, "t: a, xxx", 9);
    assert_non_null(strstr(page, "xxx,\n   xxx"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(everything_is_there_once),
                                       cmocka_unit_test(a_cpu_with_less),
                                       cmocka_unit_test(no_vmx_to_speak_of), cmocka_unit_test(lines)};

    return cmocka_run_group_tests_name("self-test's capabilities", tests, NULL, NULL);
}
