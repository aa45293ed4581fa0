/* SPDX-License-Identifier: MIT */
/* What an exit of L2 to L1 and back costs, in TSC ticks, as L1 sees it: it reads fields, skips the
 * instruction, resumes. */
#include "guest/l1/l1.h"

#define RUNS 200

L2_CODE(l2_vmcalls, "1: vmcall\njmp 1b");
L2_CODE(l2_cpuids, "1: cpuid\njmp 1b");

/* The first four say what has happened; the others few hypervisors read on every exit. */
static const u64 fields[] = {
    EXIT_REASON,
    EXIT_QUALIFICATION,
    GUEST_RIP,
    EXIT_INSTRUCTION_LENGTH,
    GUEST_RSP,
    GUEST_CR3,
    GUEST_CS_SELECTOR,
    GUEST_CS_BASE,
    GUEST_SS_ACCESS_RIGHTS,
    GUEST_GDTR_BASE,
    GUEST_IDTR_BASE,
    GUEST_TR_BASE,
    GUEST_FS_BASE,
    GUEST_GS_BASE,
    GUEST_LDTR_SELECTOR,
    IDT_VECTORING_INFO,
    EXIT_INTERRUPTION_INFO,
    GUEST_IA32_SYSENTER_CS,
    GUEST_IA32_SYSENTER_ESP,
    GUEST_IA32_SYSENTER_EIP,
};

static u64 once(u32 reads)
{
    u64 start = rdtsc();

    l2_run();
    for (u32 i = 0; i < reads; i++)
        (void)vmread(fields[i]);
    vmwrite(GUEST_RIP, vmread(GUEST_RIP) + vmread(EXIT_INSTRUCTION_LENGTH));
    return rdtsc() - start;
}

static void measure(const char *name, const void *code, u32 reads)
{
    u64 least = ~0ull;

    l2_new(code);
    for (u32 i = 0; i <= RUNS; i++) {
        u64 t = once(reads);

        if (i)
            least = MIN(least, t);
    }
    printf("bench: %s = %llu\n", name, (ull)least);
}

void bench_run(void)
{
    measure("l2_vmcall", l2_vmcalls, 4);
    measure("l2_vmcall_16_more", l2_vmcalls, 20);
    measure("l2_cpuid", l2_cpuids, 4);
    printf("bench: end\n");
}
