/* SPDX-License-Identifier: MIT */
/*
 * What VM entry says of random VMCSs: each round changes a few fields of a good one and notes the verdict.
 * The same numbers give the same VMCSs everywhere, so that two machines can be compared. L2 never executes an
 * instruction: its preemption timer is 0. Left out is what the lab's CPU does otherwise than the manual: it
 * takes reserved bits of IA32_DEBUGCTL, offers entry to SMM outside of it, looks at half of the pending debug
 * exceptions, and does not check an SS that is null.
 */
#include "guest/common/segments.h"
#include "guest/l1/l1.h"

#define PER_LINE 16

/* What a change of a field may make of it. */
enum flavour { F_BITS, F_ADDRESS, F_CANONICAL, F_SMALL, F_INJECT };

struct change {
    u16 field;
    u8 flavour;
    u64 bits; /* F_BITS, F_SMALL: those that may change. */
};

#define CONTROLS(field, ...)       \
    {                              \
        field, F_BITS, __VA_ARGS__ \
    }
#define SEGMENT(name, selector)                                                         \
    {GUEST_##name##_SELECTOR, F_BITS, selector}, {GUEST_##name##_BASE, F_CANONICAL, 0}, \
        {GUEST_##name##_LIMIT, F_BITS, 0xffffffff},                                     \
    {                                                                                   \
        GUEST_##name##_ACCESS_RIGHTS, F_BITS, 0x1ffff                                   \
    }

/* Only controls that every machine in question has or that none has. Host state that would be loaded, and
 * lists of MSRs, are left alone: L1 has to survive. */
static const struct change changes[] = {
    CONTROLS(PIN_BASED_CONTROLS,
             PIN_EXTERNAL_INTERRUPT_EXITING | PIN_NMI_EXITING | PIN_VIRTUAL_NMIS | BIT(1) | BIT(12)),
    CONTROLS(PRIMARY_CONTROLS, PROC_INTERRUPT_WINDOW_EXITING | PROC_USE_TSC_OFFSETTING | PROC_HLT_EXITING |
                                   PROC_CR3_LOAD_EXITING | PROC_CR8_LOAD_EXITING | PROC_USE_TPR_SHADOW |
                                   PROC_NMI_WINDOW_EXITING | PROC_USE_IO_BITMAPS | PROC_USE_MSR_BITMAPS |
                                   (u64)PROC_ACTIVATE_SECONDARY | BIT(0) | BIT(1) | BIT(13)),
    CONTROLS(SECONDARY_CONTROLS, PROC2_VIRTUALIZE_APIC_ACCESSES | PROC2_ENABLE_EPT | PROC2_VIRTUALIZE_X2APIC |
                                     PROC2_ENABLE_VPID | PROC2_UNRESTRICTED_GUEST | PROC2_PAUSE_LOOP_EXITING),
    CONTROLS(PRIMARY_EXIT_CONTROLS, EXITCTL_SAVE_DEBUG_CONTROLS | EXITCTL_ACK_INTERRUPT_ON_EXIT |
                                        EXITCTL_SAVE_PAT | EXITCTL_SAVE_EFER | EXITCTL_SAVE_PREEMPTION_TIMER |
                                        BIT(0) | BIT(16)),
    CONTROLS(ENTRY_CONTROLS, ENTRYCTL_LOAD_DEBUG_CONTROLS | ENTRYCTL_IA32E_MODE_GUEST | ENTRYCTL_LOAD_PAT |
                                 ENTRYCTL_LOAD_EFER | BIT(0)),
    {IO_BITMAP_A, F_ADDRESS, 0},
    {IO_BITMAP_B, F_ADDRESS, 0},
    {MSR_BITMAPS, F_ADDRESS, 0},
    {VIRTUAL_APIC_ADDRESS, F_ADDRESS, 0},
    {APIC_ACCESS_ADDRESS, F_ADDRESS, 0},
    {EPT_POINTER, F_BITS, BITS(11, 0) | BITS(63, 48)},
    {VPID, F_SMALL, 3},
    {CR3_TARGET_COUNT, F_SMALL, 7},
    {TPR_THRESHOLD, F_BITS, 0x3f},
    {HOST_CR3, F_BITS, BITS(63, 52)},
    {HOST_CS_SELECTOR, F_BITS, 7},
    {HOST_TR_SELECTOR, F_BITS, 7},
    {HOST_SS_SELECTOR, F_BITS, 7},
    {HOST_IA32_SYSENTER_ESP, F_CANONICAL, 0},
    {HOST_IA32_SYSENTER_EIP, F_CANONICAL, 0},
    SEGMENT(ES, 0xffff),
    SEGMENT(CS, 0xffff),
    SEGMENT(SS, 0xffff & ~SEL_DATA),
    SEGMENT(DS, 0xffff),
    SEGMENT(FS, 0xffff),
    SEGMENT(GS, 0xffff),
    SEGMENT(LDTR, 0xffff),
    SEGMENT(TR, 0xffff),
    {GUEST_GDTR_BASE, F_CANONICAL, 0},
    {GUEST_IDTR_BASE, F_CANONICAL, 0},
    {GUEST_GDTR_LIMIT, F_BITS, 0x3ffff},
    {GUEST_IDTR_LIMIT, F_BITS, 0x3ffff},
    {GUEST_CR0, F_BITS, CR0_PE | CR0_NE | CR0_NW | (u64)CR0_CD | (u64)CR0_PG | CR0_WP | BIT(32)},
    {GUEST_CR3, F_BITS, BITS(63, 12)},
    {GUEST_CR4, F_BITS, CR4_PAE | CR4_PGE | CR4_VMXE | CR4_PCIDE | BIT(31) | BIT(63)},
    {GUEST_DR7, F_BITS, BITS(63, 28) | 0xff},
    {GUEST_RIP, F_CANONICAL, 0},
    {GUEST_RFLAGS, F_BITS, BITS(23, 0) | BIT(40)},
    {GUEST_INTERRUPTIBILITY_STATE, F_BITS, BITS(6, 0) | BIT(31)},
    {GUEST_ACTIVITY_STATE, F_SMALL, 1},
    {GUEST_PENDING_DEBUG_EXCEPTIONS, F_BITS, BITS(31, 0)},
    {GUEST_IA32_DEBUGCTL, F_BITS, BIT(0) | BIT(1)},
    {GUEST_IA32_PAT, F_BITS, ~0ull},
    {GUEST_IA32_EFER, F_BITS, EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE | BIT(5)},
    {GUEST_IA32_SYSENTER_ESP, F_CANONICAL, 0},
    {GUEST_IA32_SYSENTER_EIP, F_CANONICAL, 0},
    {VMCS_LINK_POINTER, F_BITS, BITS(11, 0) | BIT(63)},
    {ENTRY_INTERRUPTION_INFO, F_INJECT, 0},
};

static u64 state;

/* splitmix64 */
static u64 pick(void)
{
    u64 z = state += 0x9e3779b97f4a7c15ull;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

static u64 flip(u64 value, u64 bits)
{
    for (u64 n = 1 + pick() % 2; n; n--) {
        u64 bit;

        do
            bit = BIT(pick() % 64);
        while (!(bit & bits));
        value ^= bit;
    }
    return value;
}

static u64 address(void)
{
    switch (pick() % 4) {
    case 0:
        return (u64)page + pick() % 4096;
    case 1:
        return (u64)page | caps.physical;
    case 2:
        return (u64)page | BIT(63);
    default:
        return (u64)page;
    }
}

static u64 linear(void)
{
    static const u64 edges[] = {0,     0x7fffffffffff, 0x800000000000, 0xffff7fffffffffff, 0xffff800000000000,
                                ~0ull, 0xffffffff,     0x100000000};

    return edges[pick() % ARRAY_SIZE(edges)];
}

static void inject(void)
{
    u64 type = pick() % 8, vector = pick() % 40;

    vmwrite(ENTRY_INTERRUPTION_INFO, INTR_INFO_VALID | type << 8 | vector | (pick() % 2) << 11 |
                                         (pick() % 8 ? 0 : BIT(12 + pick() % 19)));
    vmwrite(ENTRY_EXCEPTION_ERROR_CODE, pick() % 4 ? pick() & 0x7fff : pick() & 0xffffffff);
    vmwrite(ENTRY_INSTRUCTION_LENGTH, pick() % 17);
}

static void apply(const struct change *c)
{
    switch ((enum flavour)c->flavour) {
    case F_BITS:
        vmwrite(c->field, flip(vmread(c->field), c->bits));
        break;
    case F_SMALL:
        vmwrite(c->field, pick() & c->bits);
        break;
    case F_ADDRESS:
        vmwrite(c->field, address());
        break;
    case F_CANONICAL:
        vmwrite(c->field, linear());
        break;
    case F_INJECT:
        inject();
        break;
    }
}

L2_CODE(l2_nothing, "nop");

/* A good VMCS with everything that the changes are about. */
static void begin(void)
{
    l2_new(l2_nothing);
    vmset(PIN_BASED_CONTROLS, PIN_PREEMPTION_TIMER);
    vmset(ENTRY_CONTROLS, ENTRYCTL_LOAD_EFER | ENTRYCTL_LOAD_PAT | ENTRYCTL_LOAD_DEBUG_CONTROLS);
    vmwrite(GUEST_IA32_EFER, rdmsr(MSR_EFER));
    vmwrite(GUEST_IA32_PAT, 0x0007040600070406ull);
    vmwrite(VIRTUAL_APIC_ADDRESS, (u64)page);
    vmwrite(APIC_ACCESS_ADDRESS, (u64)page);
    vmwrite(VPID, 1);
    *(u32 *)(page + 0x80) = 0;
}

/* 07, 08...: VM-instruction error; 4q: exit 33 with qualification q; 00: it enters. */
static u32 verdict(u32 result)
{
    if (result == NO_ENTRY_EMPTY)
        return 0xff;
    if (result & NO_ENTRY)
        return result & 0x3f;
    if (result & ENTRY_FAILURE)
        return 0x40 | (vmread(EXIT_QUALIFICATION) & 0xf);
    return 0;
}

static u32 round(u64 seed, u64 number, bool tell)
{
    u64 n;

    state = seed * 1000003 + number;
    begin();
    n = 1 + pick() % 3;
    for (u64 i = 0; i < n; i++) {
        const struct change *c = &changes[pick() % ARRAY_SIZE(changes)];

        if (c->flavour == F_INJECT && i)
            continue; /* it is delivered: by a stack and an IDT that are good */
        apply(c);
        if (tell)
            printf("verdicts: field 0x%x = 0x%llx\n", c->field, (ull)vmread(c->field));
        if (c->flavour == F_INJECT)
            break;
    }
    return verdict(l2_run());
}

void verdicts_run(u64 seed, u64 from, u64 count)
{
    for (u64 i = from; i < from + count; i++) {
        u32 v = round(seed, i, count == 1);

        if ((i - from) % PER_LINE == 0)
            printf("%sverdicts: %llu:", i == from ? "" : "\n", (ull)i);
        printf(" %02x", v);
    }
    printf("\nverdicts: end\n");
}
