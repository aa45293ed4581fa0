/* SPDX-License-Identifier: MIT */
/* The leaves that are computed, not masked; called by vmm/cpuid.c while it builds. */
#ifndef VMM_CPUID_LEAVES_H
#define VMM_CPUID_LEAVES_H

#include "vmm/cpuid.h"

/* The CPU's answer; zero for a leaf beyond its maximum. */
struct cpuid_leaf cpuid_host(const struct cpuid_env *env, u32 leaf, u32 subleaf);
/* The VM's leaf while it is being built; a row of c->sub is made where the leaf has subleaves. */
struct cpuid_leaf *cpuid_place(struct guest_cpuid *c, u32 leaf, u32 subleaf);
/* The row of c->sub, or null. */
const struct cpuid_leaf *cpuid_find_sub(const struct guest_cpuid *c, u32 leaf, u32 subleaf);

/* 1 EBX, 4, 0xb, 0x1f: one package, one thread per core, APIC IDs from 0. */
void cpuid_build_topology(struct guest_cpuid *c, const struct cpuid_env *env);
/* 0xd; c->xcr0_allowed and the features in its subleaf 1 are there. */
void cpuid_build_xsave(struct guest_cpuid *c, const struct cpuid_env *env);
/* 0x15, 0x16 */
void cpuid_build_frequencies(struct guest_cpuid *c, u64 tsc_hz);

/* Bytes of an XSAVE area with these components, in the standard and in the compacted format. */
u32 cpuid_xsave_size(const struct guest_cpuid *c, u64 components);
u32 cpuid_xsave_compacted_size(const struct guest_cpuid *c, u64 components);

#endif
