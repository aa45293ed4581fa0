/* SPDX-License-Identifier: MIT */
/*
 * The paravirtual clock: ns since the VM started, as a function of the vCPU's TSC. All CPUs have one TSC, so
 * the function stays the same, and is the same time on all vCPUs, until a guest moves a vCPU's TSC.
 */
#include "arch/x86/time.h"
#include "vmm/vm.h"

#define NS_PER_S  1000000000ull
#define CLOCK_ONE 1u /* flags: the clocks of all vCPUs agree whichever of them one takes */

void pv_clock_scale(u64 hz, u32 *mul, s8 *shift)
{
    u64 ns = NS_PER_S;

    *shift = 0;
    /* A multiplier of 32 bits with its highest set: ns / hz at least 1/2 and below 1. */
    while (ns >= hz) {
        hz <<= 1;
        ++*shift;
    }
    while (ns * 2 < hz) {
        ns <<= 1;
        --*shift;
    }
    *mul = (u32)mul_div(ns, 1ull << 32, hz);
}

u64 pv_clock_ns(struct vm *vm)
{
    return mul_div(rdtsc() - vm->start_tsc, NS_PER_S, tsc_hz);
}

u64 pv_clock_ticks(u64 ns)
{
    return mul_div(ns, tsc_hz, NS_PER_S);
}

void pv_publish(struct vm *vm, gpa_t gpa, u32 *version, u64 n)
{
    if (guest_read(vm, gpa, version, sizeof(*version)))
        return;
    *version = (*version | 1) + 2;
    guest_write(vm, gpa, version, sizeof(*version));
    __atomic_thread_fence(__ATOMIC_RELEASE);
    guest_write(vm, gpa, version, n);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    ++*version;
    guest_write(vm, gpa, version, sizeof(*version));
}

static bool tscs_agree(const struct vm *vm)
{
    for (u32 i = 1; i < vm->nr_vcpus; i++) {
        if (vm->vcpus[i]->tsc_offset != vm->vcpus[0]->tsc_offset)
            return false;
    }
    return true;
}

void pv_clocks_publish(struct vm *vm)
{
    bool one = tscs_agree(vm);

    for (u32 i = 0; i < vm->nr_vcpus; i++) {
        const struct vcpu *v = vm->vcpus[i];
        struct nidus_clock clock = {.tsc_timestamp = vm->start_tsc + v->tsc_offset,
                                    .flags = one ? CLOCK_ONE : 0};

        pv_clock_scale(tsc_hz, &clock.tsc_to_system_mul, &clock.tsc_shift);
        for (u32 place = 0; place < PV_NR_CLOCKS; place++) {
            if (v->pv.clock[place] != GPA_NONE)
                pv_publish(vm, v->pv.clock[place], &clock.version, sizeof(clock));
        }
    }
}
