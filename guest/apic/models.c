/* SPDX-License-Identifier: MIT */
/* xAPIC with both models of logical destinations, x2APIC, and the ways between them. */
#include "guest/apic/tests.h"

#define DFR_FLAT     0xffffffffu
#define DFR_CLUSTER  0x0fffffffu
#define FLAT_CPUS    8
#define CLUSTER_CPUS 60 /* 15 clusters of 4 */

const char *const model_names[] = {"xapic-flat", "xapic-cluster", "x2apic"};
enum model model;

static u32 logical_id(u32 cpu)
{
    if (model == XAPIC_FLAT)
        return cpu < FLAT_CPUS ? 1u << cpu : 0;
    if (model == XAPIC_CLUSTER)
        return cpu < CLUSTER_CPUS ? cpu / 4 << 4 | 1u << cpu % 4 : 0;
    return cpu_ids[cpu] >> 4 << 16 | 1u << (cpu_ids[cpu] & 15);
}

void set_model(u32 cpu)
{
    u64 base = rdmsr(MSR_APIC_BASE);

    if (model == X2APIC) {
        apic_enable(true, false);
        return;
    }
    if (base & APIC_BASE_X2)
        wrmsr(MSR_APIC_BASE, base & ~(APIC_BASE_X2 | APIC_BASE_ENABLE));
    apic_enable(false, false);
    apic_write(APIC_DFR, model == XAPIC_FLAT ? DFR_FLAT : DFR_CLUSTER);
    apic_write(APIC_LDR, logical_id(cpu) << 24);
}

static bool all_ids_fit(void)
{
    for (u32 i = 0; i < nr_cpus; i++) {
        if (cpu_ids[i] > 254)
            return false;
    }
    return true;
}

/* The lab's own CPU cannot enable an APIC again. */
bool has_model(enum model m)
{
    if (m == X2APIC)
        return apic_has_x2();
    return all_ids_fit() && (apic_mode() == APIC_X1 || under_hypervisor());
}

void all_to_model(enum model m)
{
    model = m;
    on_all(set_model);
}

/* In a cluster: those of the first one's. */
u32 logical_destination(u64 mask, u64 *reached)
{
    u32 destination = 0, group = 0;

    *reached = 0;
    for (u32 i = 0; i < nr_cpus; i++) {
        u32 id = logical_id(i), of = model == XAPIC_FLAT ? 1 : model == X2APIC ? id >> 16 : id >> 4;

        if (!(mask >> i & 1) || !id || (*reached && of != group))
            continue;
        group = of;
        destination |= id;
        *reached |= BIT(i);
    }
    return destination;
}

/* A handler's send must not come between the halves. */
static void send_x1(u32 destination, u32 low)
{
    bool on = read_rflags() & RFLAGS_IF;

    irq_disable();
    reg_write(APIC_ICR_HIGH, destination << 24);
    reg_write(APIC_ICR, low);
    if (on)
        irq_enable();
    while (reg_read(APIC_ICR) & ICR_PENDING)
        cpu_pause();
}

void send(u32 destination, u32 low)
{
    if (model != X2APIC) {
        send_x1(destination, low);
        return;
    }
    asm volatile("mfence; lfence" ::: "memory");
    wrmsr(X2APIC_MSR(APIC_ICR), (u64)destination << 32 | low);
}
