/* SPDX-License-Identifier: MIT */
/* Which CPUs there are, in the order in which they get their numbers: one thread of every core comes first.
 */
#include "arch/x86/apic.h"
#include "arch/x86/asm.h"
#include "arch/x86/cpu.h"
#include "boot/machine.h"
#include "boot/machine_parts.h"
#include "lib/log.h"

#define MIN_GUESSED_CPUS 16u
#define LEAF_TOPOLOGY    0xb
#define LEVEL_THREAD     1

/* Low bits of an APIC id that tell the threads of a core apart: SDM, CPUID leaf 0BH. */
static u32 thread_bits(void)
{
    struct cpuid_regs level = {0};

    if (cpuid(0, 0).eax >= LEAF_TOPOLOGY)
        level = cpuid(LEAF_TOPOLOGY, 0);
    /* The emulator says so of single threads too, whose ids are without gaps there. */
    return (level.ecx >> 8 & 0xff) == LEVEL_THREAD && level.ebx > 1 ? MIN(level.eax & 0x1f, 8u) : 0;
}

/* The ids that this package reserves (SDM, CPUID leaf 1), or some more: there may be other packages. */
static u32 possible_cpus(u32 *apic_ids, u32 max)
{
    u32 n = MIN(MAX(cpuid(1, 0).ebx >> 16 & 0xff, MIN_GUESSED_CPUS), max);

    for (u32 i = 0; i < n; i++)
        apic_ids[i] = i;
    return n;
}

u32 machine_cpus(u32 *apic_ids, u32 max, bool *sure)
{
    u32 n = 0, bits = thread_bits();

    *sure = machine.have_madt;
    if (!machine.have_madt)
        return possible_cpus(apic_ids, max);
    for (u32 thread = 0; thread < 1u << bits; thread++) {
        for (u32 i = 0; i < machine.madt.nr_cpus; i++) {
            const struct acpi_cpu *c = &machine.madt.cpus[i];

            if (!c->enabled || (c->apic_id & ((1u << bits) - 1)) != thread)
                continue;
            if (n < max && (apic_is_x2apic() || c->apic_id < APIC_XAPIC_IDS))
                apic_ids[n++] = c->apic_id;
            else
                log_warn("the CPU with APIC id %u is left out: %s", c->apic_id,
                         n < max ? PACK "the APIC has no x2APIC mode to reach it"
                                 : PACK "there are too many");
        }
    }
    return n;
}

/* The first of those that run on the same core. */
static u32 core_of(u32 id, u32 bits)
{
    u32 first = 0;

    while (cpus[first]->apic_id >> bits != cpus[id]->apic_id >> bits)
        first++;
    return first;
}

void machine_tell_cpus(void)
{
    u32 bits = thread_bits(), cores = 0;
    const char *mode = apic_is_x2apic() ? ", x2APIC" : "";

    for (u32 i = 0; i < nr_cpus; i++) {
        u32 core = core_of(i, bits);

        cores += core == i;
        if (core != i)
            log_debug("cpu %u: APIC id %u, on the core of cpu %u", i, cpus[i]->apic_id, core);
        else
            log_debug("cpu %u: APIC id %u", i, cpus[i]->apic_id);
    }
    if (cores == nr_cpus)
        log_info("CPUs: %u%s", nr_cpus, mode);
    else
        log_info("CPUs: %u on %u cores%s", nr_cpus, cores, mode);
}
