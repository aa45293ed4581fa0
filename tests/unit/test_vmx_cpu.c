/* SPDX-License-Identifier: MIT */
/* links: lib/format.c */
/* VMX operation on one CPU: what firmware may have left in its IA32_FEATURE_CONTROL, and what is said then.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#define ARCH_X86_ASM_H
#include "arch/x86/cpu.h"
#include "arch/x86/vmx.h"
#include "lib/format.h"

struct cpuid_regs {
    u32 eax, ebx, ecx, edx;
};

static struct cpuid_regs cpuid(u32 leaf, u32 subleaf)
{
    (void)leaf;
    (void)subleaf;
    return (struct cpuid_regs){.ecx = BIT(5)};
}

static u64 control, basic, cr0, cr4;
static u32 writes, vmxons;
static char said[256];
static u32 page[1024];
static struct cpu self = {.id = 3, .apic_id = 6};

static u64 rdmsr(u32 msr)
{
    return msr == MSR_IA32_FEATURE_CONTROL ? control : basic;
}

static void wrmsr(u32 msr, u64 value)
{
    assert_int_equal(msr, MSR_IA32_FEATURE_CONTROL);
    assert_false(control & 1); /* #GP */
    control = value;
    writes++;
}

static u64 read_cr0(void)
{
    return cr0;
}

static void write_cr0(u64 v)
{
    cr0 = v;
}

static u64 read_cr4(void)
{
    return cr4;
}

static void write_cr4(u64 v)
{
    cr4 = v;
}

static bool fake_vmxon(paddr_t region)
{
    assert_int_equal(region, 0x1000);
    assert_int_equal(page[0], basic & 0x7fffffff);
    assert_true(control & 4 && control & 1); /* #GP otherwise */
    assert_true(cr4 & CR4_VMXE);
    vmxons++;
    return true;
}

#define vmxon    fake_vmxon
#define this_cpu fake_this_cpu

static struct cpu *fake_this_cpu(void)
{
    return &self;
}

#include "arch/x86/pool.h"
#define pool_pa(p) ((void)(p), 0x1000)
#include "arch/x86/vmx.c"

struct frame_owner pool_owner;

void *pool_alloc(struct frame_owner *owner, u32 pages)
{
    (void)owner;
    assert_int_equal(pages, 1);
    return page;
}

void log_msg(enum log_level level, const char *fmt, ...)
{
    va_list args;

    (void)level;
    va_start(args, fmt);
    format_va(said, sizeof(said), fmt, args);
    va_end(args);
}

void vmx_caps_read(struct vmx_caps *c, u64 (*read)(u32 msr))
{
    c->basic = read(MSR_IA32_VMX_BASIC);
}

bool vmx_negotiate(const struct vmx_caps *caps, struct vmx_features *out,
                   void (*report_line)(void *ctx, const char *line), void *ctx)
{
    (void)caps;
    (void)out;
    (void)report_line;
    (void)ctx;
    return true;
}

static int start(u64 feature_control)
{
    control = feature_control;
    basic = 0x80da0400000012ull;
    vmx_caps = (struct vmx_caps){.basic = basic,
                                 .cr0_fixed0 = 0x80000021,
                                 .cr0_fixed1 = ~0ull,
                                 .cr4_fixed0 = BIT(13),
                                 .cr4_fixed1 = 0x3fffff};
    cr0 = cr4 = 0;
    writes = vmxons = 0;
    said[0] = 0;
    return vmx_init_cpu();
}

static void feature_control(void **state)
{
    (void)state;
    assert_int_equal(start(0), OK); /* unlocked: set, then locked */
    assert_int_equal(control, 5);
    assert_int_equal(writes, 1);
    assert_int_equal(vmxons, 1);
    assert_int_equal(cr0, 0x80000021);
    assert_int_equal(start(2), OK); /* what firmware has set besides stays */
    assert_int_equal(control, 7);
    assert_int_equal(start(5), OK); /* locked, with VMX */
    assert_int_equal(writes, 0);
    assert_int_equal(vmxons, 1);
    assert_string_equal(said, "");
    for (u64 locked = 1; locked <= 3; locked += 2) { /* without, or only inside of SMX */
        assert_int_equal(start(locked), ERR_UNSUPP);
        assert_int_equal(writes + vmxons, 0);
        assert_string_equal(
            said, "the CPU with APIC id 6 cannot be used: the firmware has locked VT-x off on it, and not "
                  "on the boot CPU: IA32_FEATURE_CONTROL[2]; update the firmware, or switch that CPU "
                  "off in its setup");
    }
}

static void another_model(void **state)
{
    (void)state;
    assert_int_equal(vmx_init(), OK);
    assert_int_equal(start(5), OK);
    basic++;
    assert_int_equal(vmx_init_cpu(), ERR_UNSUPP);
    assert_int_equal(vmxons, 1);
    assert_non_null(strstr(said, "IA32_VMX_BASIC"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(feature_control), cmocka_unit_test(another_model)};

    return cmocka_run_group_tests_name("VMX on a CPU", tests, NULL, NULL);
}
