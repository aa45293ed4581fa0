/* SPDX-License-Identifier: MIT */
/* What an exit of L2 to L1 and back costs, in TSC ticks, as L1 sees it: it reads fields, skips the
 * instruction, resumes. */
#include "guest/l1/l1.h"
#include "guest/pv/nidus.h"

#define RUNS  200
#define CALLS 1000

L2_CODE(l2_vmcalls, "1: vmcall\njmp 1b");
L2_CODE(l2_cpuids, "1: cpuid\njmp 1b");
/* RSI hypercalls, and one that is L1's. */
L2_CODE(l2_hypercalls,
        "1: mov %rdi, %rax\ntest %rsi, %rsi\njz 2f\nvmcall\ndec %rsi\njmp 1b\n2: mov $0x1234, %eax");

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

static u64 hypercalls(u64 count)
{
    u64 start;

    l2.gpr[REG_RDI] = NIDUS_CALL(NIDUS_OP_NOP);
    l2.gpr[REG_RSI] = count;
    vmwrite(GUEST_RIP, (u64)l2_hypercalls);
    start = rdtsc();
    l2_run();
    return rdtsc() - start;
}

/* One hypercall of L2 that the hypervisor below serves by L1's leave. */
static void measure_served(void)
{
    s64 refused;

    l2_new(l2_hypercalls);
    asm volatile("vmcall"
                 : "=a"(refused)
                 : "a"(NIDUS_CALL(NIDUS_OP_NESTED)), "b"(1ull), "c"(0ull)
                 : "memory");
    if (refused)
        return;
    hypercalls(CALLS);
    printf("bench: l2_vmcall_served = %llu\n", (ull)((hypercalls(CALLS) - hypercalls(0)) / CALLS));
}

void bench_run(void)
{
    measure("l2_vmcall", l2_vmcalls, 4);
    measure("l2_vmcall_16_more", l2_vmcalls, 20);
    measure("l2_cpuid", l2_cpuids, 4);
    if (!option("bare"))
        measure_served();
    ipiv_bench();
    printf("bench: end\n");
}
