/* SPDX-License-Identifier: MIT */
/*
 * L2 for tests of what lies between it and L1: a vCPU with both VMCSs, of which one is loaded, vmcs12 and
 * time. Included before the sources in question.
 */
#ifndef TESTS_UNIT_NESTED_L2_H
#define TESTS_UNIT_NESTED_L2_H

#include "tests/unit/fake_asm.h"
#include "tests/unit/no_ports.h"
#include "tests/unit/fake_vmx.h"
#include "tests/unit/good_caps.h"
#include "arch/x86/pool.h"
#include "vmm/vm.h"

#define FIELDS 0x7000u

static struct vmx_caps vmx_caps;
static struct vmx_features vmx_features;
static struct vm vm;
static struct vcpu vcpu;
static struct nested nested;
static u64 vmcs01[FIELDS], vmcs02[FIELDS], *loaded;
static u32 region01[2], region02[2];
static bool is_clear02;
static u64 now; /* host TSC */

#define L1_SAYS(field) VMCS(&nested.vmcs12.image, field)

static inline u64 vmread(u32 field)
{
    assert_true(field < FIELDS);
    return loaded[field];
}

static inline void vmwrite(u32 field, u64 value)
{
    assert_true(field < FIELDS);
    loaded[field] = value;
}

static inline bool vmptrld(paddr_t region)
{
    loaded = region == pool_pa(region02) ? vmcs02 : vmcs01;
    assert_true(loaded == vmcs02 || region == pool_pa(region01));
    is_clear02 = is_clear02 && loaded != vmcs02;
    return true;
}

static inline bool vmclear(paddr_t region)
{
    assert_int_equal(region, pool_pa(region02));
    is_clear02 = true;
    return true;
}

static inline u64 fake_tsc(void)
{
    return now;
}

static inline void in_l2(bool l2)
{
    nested.in_l2 = l2;
    loaded = l2 ? vmcs02 : vmcs01;
    vcpu.vmcs = l2 ? region02 : region01;
    nested.other.region = l2 ? region01 : region02;
}

/* L2 runs; nobody wants anything. */
static inline void start_l2(void)
{
    memset(&vm, 0, sizeof(vm));
    memset(&vcpu, 0, sizeof(vcpu));
    memset(&nested, 0, sizeof(nested));
    memset(vmcs01, 0, sizeof(vmcs01));
    memset(vmcs02, 0, sizeof(vmcs02));
    good_caps(&vmx_caps);
    good_caps(&vm.nested_caps);
    vmx_features = (struct vmx_features){0};
    vm.cpuid.maxphyaddr = 39;
    vm.cpuid.linear_bits = 48;
    vcpu.vm = &vm;
    vcpu.cpuid = &vm.cpuid;
    vcpu.nested = &nested;
    vcpu.until = ~0ull;
    nested.vmx_on = true;
    nested.timer_end = ~0ull;
    nested.region01 = vcpu.vmcs = region01;
    nested.region02 = nested.other.region = region02;
    nested.pa01 = pool_pa(region01);
    nested.pa02 = pool_pa(region02);
    is_clear02 = false;
    now = 1000000;
    in_l2(true);
}

static inline void set(u64 *word, u64 bits, bool on)
{
    *word = on ? *word | bits : *word & ~bits;
}

/* --- values at random --- */

static u64 seed = 1;

static inline u64 random_bits(void)
{
    seed = seed * 6364136223846793005ull + 1442695040888963407ull;
    return (seed >> 32) | (seed * 0x9e3779b97f4a7c15ull & ~0xffffffffull);
}

#endif
