/* SPDX-License-Identifier: MIT */
/* Hypercalls of L2 to the hypervisor below, Nidus, by L1's leave: NIDUS_OP_NESTED. */
#include "guest/common/apic.h"
#include "guest/common/cpu.h"
#include "guest/l1/l1.h"
#include "guest/pv/nidus.h"
#include "lib/string.h"

#define OWN_NUMBER 0x1234 /* of L1's own interface */
#define VECTOR     0x95

static struct nidus_area area __aligned(4096);

/* A hypercall, its result to RDX, and one that is L1's in any case. */
L2_CODE(l2_calls, "vmcall\nmov %rax, %rdx\nmov $0x1234, %eax");

static s64 call(u32 op, u64 a, u64 b)
{
    s64 result;

    asm volatile("vmcall" : "=a"(result) : "a"(NIDUS_CALL(op)), "b"(a), "c"(b) : "memory");
    return result;
}

static bool have_nidus(void)
{
    bool have = cpuid(1, 0).ecx & BIT(31) && cpuid(NIDUS_CPUID_BASE, 0).eax >= NIDUS_CPUID_FEATURES &&
                !memcmp(&(u32){cpuid(NIDUS_CPUID_BASE, 0).ebx}, NIDUS_SIGNATURE, 4) &&
                cpuid(NIDUS_CPUID_FEATURES, 0).eax & NIDUS_HAS_NESTED;

    if (!have)
        test_skip("Nidus is not below, or does not serve L2");
    return have;
}

static void enter_with(u32 op)
{
    l2.gpr[REG_RAX] = NIDUS_CALL(op);
    l2.gpr[REG_RBX] = l2.gpr[REG_RCX] = 0;
    vmwrite(GUEST_RIP, (u64)l2_calls);
    l2_expect(EXIT_REASON_VMCALL, "L2");
}

static void expect_reflected(u32 op, const char *what)
{
    enter_with(op);
    expect_equal(vmread(GUEST_RIP), (u64)l2_calls, what);
    expect_equal(l2.gpr[REG_RAX], NIDUS_CALL(op), what);
}

static void expect_served(u32 op, s64 result, const char *what)
{
    enter_with(op);
    expect_equal(l2.gpr[REG_RAX], OWN_NUMBER, what);
    expect_equal(l2.gpr[REG_RDX], (u64)result, what);
}

static void test_without_leave(void)
{
    l2_new(l2_calls);
    expect_reflected(NIDUS_OP_NOP, "without L1's leave");
}

static void test_served(void)
{
    l2_new(l2_calls);
    if (!have_nidus())
        return;
    expect_reflected(NIDUS_OP_NOP, "before");
    expect_equal((u64)call(NIDUS_OP_NESTED, 1, 0), 0, "NESTED");
    expect_served(NIDUS_OP_NOP, 0, "no-op");
    expect_served(NIDUS_OP_FLUSH_LOCAL, 0, "flush");
    expect_served(NIDUS_OP_FLUSH_QUEUE, -NIDUS_ENOENT, "no queue");
    expect_served(NIDUS_OP_NOP, 0, "again");
    expect_reflected(NIDUS_OP_SET_CR, "one that is not for L2");
    expect_reflected(NIDUS_OP_NESTED, "L2 cannot change it");
    expect_reflected(NIDUS_NR_OPS, "no operation");
    expect_equal((u64)call(NIDUS_OP_NESTED, 0, 0), 0, "NESTED off");
    expect_reflected(NIDUS_OP_NOP, "taken back");
}

/* L1's leave is for one VMCS, and ends with VMCLEAR. */
static void test_one_vmcs(void)
{
    l2_new(l2_calls);
    if (!have_nidus())
        return;
    expect_equal((u64)call(NIDUS_OP_NESTED, 1, 0), 0, "NESTED");
    expect_served(NIDUS_OP_NOP, 0, "no-op");
    vmx_clear((u64)vmcs_region[0]);
    expect_equal((u64)call(NIDUS_OP_NESTED, 1, 0), (u64)-NIDUS_ENOENT, "without a VMCS");
    vmx_load((u64)vmcs_region[0]);
    l2.launched = false;
    expect_reflected(NIDUS_OP_NOP, "after VMCLEAR");
}

static void put(u32 i, u32 op, u64 a)
{
    area.slot[i] = (struct nidus_slot){.op = op, .flags = NIDUS_READY, .arg = {a}, .result = 77};
}

static void test_queue(void)
{
    l2_new(l2_calls);
    if (!have_nidus())
        return;
    area.slot[5].result = 99;
    expect_equal((u64)call(NIDUS_OP_NESTED, 1, (u64)&area), 0, "NESTED");
    expect_equal((u64)area.slot[5].result, 0, "an area that was not cleared");
    put(0, NIDUS_OP_NOP, 0);
    put(1, NIDUS_OP_FLUSH_LOCAL, 0);
    put(2, NIDUS_OP_SEND_IPI, 1);
    put(3, NIDUS_OP_FLUSH_QUEUE, 0);
    put(4, NIDUS_OP_NOP, 0);
    area.slot[4].flags = 0;
    area.tail = 5;
    area.notify_vector = VECTOR;
    area.slot[0].flags |= NIDUS_NOTIFY;
    apic_enable(false, false);
    expect_served(NIDUS_OP_FLUSH_QUEUE, 1, "one is not ready");
    expect_equal(apic_read(APIC_IRR + VECTOR / 32 * 16) >> VECTOR % 32 & 1, 0, "an interrupt of L1's");
    area.slot[4].flags = NIDUS_READY;
    expect_served(NIDUS_OP_FLUSH_QUEUE, 0, "all done");
    expect_equal(area.head, 5, "head");
    expect_equal((u64)area.slot[0].result, 0, "no-op");
    expect_equal((u64)area.slot[1].result, 0, "flush");
    expect_equal((u64)area.slot[2].result, (u64)-NIDUS_EPERM, "one that is not for L2");
    expect_equal((u64)area.slot[3].result, (u64)-NIDUS_ECANCELED, "one that is not for queues");
    expect_equal((u64)area.slot[4].result, 0, "no-op");
    area.tail += NIDUS_SLOTS + 1;
    expect_served(NIDUS_OP_FLUSH_QUEUE, -NIDUS_ERANGE, "an index out of range");
}

static void test_bad_arguments(void)
{
    l2_new(l2_calls);
    if (!have_nidus())
        return;
    expect_equal((u64)call(NIDUS_OP_NESTED, 2, 0), (u64)-NIDUS_EINVAL, "neither on nor off");
    expect_equal((u64)call(NIDUS_OP_NESTED, 1, (u64)&area + 8), (u64)-NIDUS_EINVAL, "not aligned");
    expect_equal((u64)call(NIDUS_OP_NESTED, 1, 0xfee00000), (u64)-NIDUS_EFAULT, "a device's page");
    expect_equal((u64)call(NIDUS_OP_NESTED, 1, BIT(63)), (u64)-NIDUS_EFAULT, "no address");
    expect_reflected(NIDUS_OP_NOP, "after them");
}

const struct test hypercall_tests[] = {
    {"pv-without-leave", test_without_leave}, {"pv-served", test_served},
    {"pv-one-vmcs", test_one_vmcs},           {"pv-queue", test_queue},
    {"pv-bad-arguments", test_bad_arguments}, {0},
};
