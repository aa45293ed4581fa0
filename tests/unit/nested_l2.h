/* SPDX-License-Identifier: MIT */
/*
 * L2 for tests of what lies between it and L1: a vCPU with both VMCSs, of which one is loaded, vmcs12 and
 * time. Included before the sources in question.
 */
#ifndef TESTS_UNIT_NESTED_L2_H
#define TESTS_UNIT_NESTED_L2_H

#include "tests/unit/fake_asm.h"
#include "tests/unit/fake_vmx.h"
#include "tests/unit/good_caps.h"
#include "vmm/vm.h"

#define FIELDS 0x7000u

static struct vmx_caps vmx_caps;
static struct vmx_features vmx_features;
static struct vm vm;
static struct vcpu vcpu;
static struct nested nested;
static u64 vmcs01[FIELDS], vmcs02[FIELDS], *loaded;
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

static inline u64 fake_tsc(void)
{
    return now;
}

static inline u32 fake_in(u16 port, u32 size)
{
    (void)size;
    fail_msg("port 0x%x", port);
    return 0;
}

static inline void fake_out(u16 port, u32 size, u32 value)
{
    (void)size, (void)value;
    fail_msg("port 0x%x", port);
}

static inline void in_l2(bool l2)
{
    nested.in_l2 = l2;
    loaded = l2 ? vmcs02 : vmcs01;
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
