/* SPDX-License-Identifier: MIT */
/* SDM 325383 (volume 2), 'CPUID-CPU Identification', leaf by leaf. */
#include "vmm/cpuid_leaves.h"
#include "arch/x86/asm.h"

#define TOPOLOGY_LEVEL_SMT  1u
#define TOPOLOGY_LEVEL_CORE 2u

#define CACHE_TYPE(eax)  ((eax)&0x1f)
#define CACHE_LEVEL(eax) ((eax) >> 5 & 7)
#define CACHE_KEPT       0x000003ffu /* type, level, self initializing, fully associative */

/* Bits of an APIC ID that tell all CPUs apart: they are one package, whatever ids they have. */
static u32 id_bits(const struct cpuid_env *env)
{
    return env->max_apic_id ? 32 - __builtin_clz(env->max_apic_id) : 0;
}

/* Leaf 4: the first two levels belong to one core, the others to the package. More ids than the fields can
 * say are left to the leaves of the topology. */
static void build_caches(struct guest_cpuid *c, const struct cpuid_env *env)
{
    u32 last_id = BIT(id_bits(env)) - 1;

    for (u32 sub = 0;; sub++) {
        struct cpuid_leaf r = cpuid_host(env, 4, sub);

        if (!CACHE_TYPE(r.eax) || c->nr_sub == CPUID_MAX_SUB / 4)
            return;
        r.eax = (r.eax & CACHE_KEPT) | MIN(last_id, 0x3fu) << 26;
        if (CACHE_LEVEL(r.eax) > 2)
            r.eax |= MIN(last_id, 0xfffu) << 14;
        *cpuid_place(c, 4, sub) = r;
    }
}

static void build_levels(struct guest_cpuid *c, u32 leaf, const struct cpuid_env *env)
{
    *cpuid_place(c, leaf, 0) = (struct cpuid_leaf){.ebx = 1, .ecx = TOPOLOGY_LEVEL_SMT << 8};
    *cpuid_place(c, leaf, 1) =
        (struct cpuid_leaf){.eax = id_bits(env), .ebx = env->nr_vcpus, .ecx = TOPOLOGY_LEVEL_CORE << 8 | 1};
}

void cpuid_build_topology(struct guest_cpuid *c, const struct cpuid_env *env)
{
    c->basic[1].ebx |= MIN((u32)BIT(id_bits(env)), 0xffu) << 16;
    build_caches(c, env);
    build_levels(c, 0xb, env);
    if (c->max_basic >= 0x1f)
        build_levels(c, 0x1f, env);
}

/* --- 0xd --- */

#define XSAVE_LEGACY_AND_HEADER 576u
#define XSAVE_ECX_ALIGNED       BIT(1)
#define FIRST_EXTENDED          2 /* x87 and SSE lie in the legacy region */

u32 cpuid_xsave_size(const struct guest_cpuid *c, u64 components)
{
    u32 size = XSAVE_LEGACY_AND_HEADER;

    for (u32 i = FIRST_EXTENDED; i < 63; i++) {
        const struct cpuid_leaf *r = components >> i & 1 ? cpuid_find_sub(c, 0xd, i) : NULL;

        if (r)
            size = MAX(size, r->ebx + r->eax);
    }
    return size;
}

/* SDM 325462 (volume 1), 'Compacted Format'. */
u32 cpuid_xsave_compacted_size(const struct guest_cpuid *c, u64 components)
{
    u32 size = XSAVE_LEGACY_AND_HEADER;

    for (u32 i = FIRST_EXTENDED; i < 63; i++) {
        const struct cpuid_leaf *r = components >> i & 1 ? cpuid_find_sub(c, 0xd, i) : NULL;

        if (r)
            size = (r->ecx & XSAVE_ECX_ALIGNED ? ALIGN_UP(size, 64) : size) + r->eax;
    }
    return size;
}

void cpuid_build_xsave(struct guest_cpuid *c, const struct cpuid_env *env)
{
    struct cpuid_leaf *main = cpuid_place(c, 0xd, 0);

    if (!c->xcr0_allowed)
        return;
    for (u32 i = FIRST_EXTENDED; i < 63; i++)
        if (c->xcr0_allowed >> i & 1)
            *cpuid_place(c, 0xd, i) = cpuid_host(env, 0xd, i);
    main->eax = (u32)c->xcr0_allowed;
    main->edx = c->xcr0_allowed >> 32;
    main->ecx = cpuid_xsave_size(c, c->xcr0_allowed);
}

/* --- 0x15, 0x16 --- */

#define MAX_RATIO 32u

/*
 * 0x15: TSC frequency = ECX * EBX / EAX, ECX being the frequency of the crystal, which the local APIC's timer
 * counts too. Both are the same here, unless the frequency needs more than 32 bits: then the smallest exact
 * ratio is taken, or the smallest at all.
 */
void cpuid_build_frequencies(struct guest_cpuid *c, u64 tsc_hz)
{
    u32 least = (u32)(tsc_hz >> 32) + 1, ratio = least;
    u32 mhz = (u32)((tsc_hz + 500000) / 1000000) & 0xffff;

    while (ratio < MAX_RATIO && tsc_hz % ratio)
        ratio++;
    if (tsc_hz % ratio)
        ratio = least;
    *cpuid_place(c, 0x15, 0) = (struct cpuid_leaf){.eax = 1, .ebx = ratio, .ecx = (u32)(tsc_hz / ratio)};
    *cpuid_place(c, 0x16, 0) = (struct cpuid_leaf){.eax = mhz, .ebx = mhz, .ecx = mhz};
}
