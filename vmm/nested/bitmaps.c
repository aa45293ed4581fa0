/* SPDX-License-Identifier: MIT */
/* L1's bitmaps for L2: SDM 326019, 'MSR-Bitmap Address', 'I/O-Bitmap Addresses', and 'Instructions That Cause
 * VM Exits Conditionally'. */
#include "arch/x86/regs.h"
#include "arch/x86/trap.h"
#include "lib/string.h"
#include "vmm/vm.h"

#define MSR_HIGH_FIRST  0xc0000000u
#define MSRS            0x2000u /* in each quarter of the bitmap */
#define QUARTER_HIGH    1024u   /* bytes from the quarter of the low MSRs to that of the high ones */
#define HALF_WRITE      2048u   /* and from RDMSR's to WRMSR's */
#define PORTS_IN_BITMAP 0x8000u

static bool has_primary(const struct vcpu *v, u64 control)
{
    return VMCS(&v->nested->vmcs12.image, PRIMARY_CONTROLS) & control;
}

static bool has_secondary(const struct vcpu *v, u64 control)
{
    return has_primary(v, PROC_ACTIVATE_SECONDARY) &&
           VMCS(&v->nested->vmcs12.image, SECONDARY_CONTROLS) & control;
}

/* The byte of L1's bitmap that has the bit. */
static u8 bitmap_byte(struct vcpu *v, gpa_t bitmap, u32 bit)
{
    u8 byte;

    return guest_read(v->vm, bitmap + bit / 8, &byte, 1) ? 0xff : byte;
}

bool nested_msr_exits(struct vcpu *v, u32 msr, bool write)
{
    gpa_t quarter = VMCS(&v->nested->vmcs12.image, MSR_BITMAPS) + (write ? HALF_WRITE : 0);

    if (!has_primary(v, PROC_USE_MSR_BITMAPS))
        return true;
    if (msr >= MSR_HIGH_FIRST) {
        msr -= MSR_HIGH_FIRST;
        quarter += QUARTER_HIGH;
    }
    return msr >= MSRS || bitmap_byte(v, quarter, msr) >> msr % 8 & 1;
}

static u8 port_byte(struct vcpu *v, u32 port)
{
    const struct vmcs_image *vmcs12 = &v->nested->vmcs12.image;

    if (port < PORTS_IN_BITMAP)
        return bitmap_byte(v, VMCS(vmcs12, IO_BITMAP_A), port);
    return bitmap_byte(v, VMCS(vmcs12, IO_BITMAP_B), port - PORTS_IN_BITMAP);
}

bool nested_port_exits(struct vcpu *v, u16 port, u32 size)
{
    u32 end = port + size;
    u8 byte = 0;

    if (!has_primary(v, PROC_USE_IO_BITMAPS))
        return has_primary(v, PROC_UNCONDITIONAL_IO_EXITING);
    if (end > 2 * PORTS_IN_BITMAP)
        return true; /* wraps around */
    for (u32 p = port; p < end; p++) {
        if (p == port || p % 8 == 0)
            byte = port_byte(v, p);
        if (byte >> p % 8 & 1)
            return true;
    }
    return false;
}

/*
 * Where the VM's own bitmap has only ones, vmcs02's has too, whatever L1 wants: only the few words with MSRs
 * that are let through are looked at on an entry.
 */
void nested_bitmaps_init(struct vm *vm)
{
    const u64 *own = (const u64 *)vm->msr_bitmap;

    vm->nr_msr_words = 0;
    for (u32 i = 0; i < PAGE_SIZE / sizeof(u64); i++)
        if (~own[i] && vm->nr_msr_words < VM_MSR_WORDS)
            vm->msr_words[vm->nr_msr_words++] = (struct or_word){i * sizeof(u64), own[i]};
    /* The first once more does no harm. */
    while (!vm->nr_msr_words || vm->nr_msr_words % OR_WORDS_STEP)
        vm->msr_words[vm->nr_msr_words++] =
            (struct or_word){vm->msr_words[0].offset, own[vm->msr_words[0].offset / 8]};
}

/*
 * In x2APIC mode that the CPU virtualizes, these MSRs are in L2's virtual-APIC page and not the VM's: the CPU
 * alone may serve them. SDM, 'Virtualizing MSR-Based APIC Accesses'. Writes that it virtualizes are all in
 * the first word.
 */
#define X2APIC_AT      (MSR_IA32_X2APIC_FIRST / 64 * sizeof(u64))
#define X2APIC_WORDS   (0x100 / 64)
#define X2APIC_ROWS    (2 * OR_WORDS_STEP) /* with that of writes, once more where one is missing */
#define X2APIC_BIT(at) BIT(MSR_IA32_X2APIC_##at % 64)

/* What L1's bitmap alone says of them: the bits that are 0. */
static void x2apic_words(u64 secondary, struct or_word words[X2APIC_ROWS])
{
    bool on = secondary & PROC2_VIRTUALIZE_X2APIC, all = on && secondary & PROC2_APIC_REGISTER_VIRTUALIZATION,
         delivery = on && secondary & PROC2_VIRTUAL_INTERRUPT_DELIVERY;
    u64 tpr = on ? X2APIC_BIT(TPR) : 0,
        writes = tpr | (delivery ? X2APIC_BIT(EOI) | X2APIC_BIT(SELF_IPI) : 0);

    for (u32 i = 0; i < X2APIC_WORDS; i++)
        words[i] = (struct or_word){X2APIC_AT + i * sizeof(u64), all ? 0 : ~(i ? 0 : tpr)};
    for (u32 i = X2APIC_WORDS; i < X2APIC_ROWS; i++)
        words[i] = (struct or_word){HALF_WRITE + X2APIC_AT, ~writes};
}

static void all_ones(struct vcpu *v, const struct or_word *words, u32 n)
{
    for (u32 i = 0; i < n; i++)
        *(u64 *)((u8 *)v->nested->msr_bitmap + words[i].offset) = ~0ull;
}

static void merge(struct vcpu *v, const struct or_word *words, u32 n, bool all)
{
    /* L1 may write to its page meanwhile: each word is read once. */
    if (unlikely(all || guest_or_words(v->vm, VMCS(&v->nested->vmcs12.image, MSR_BITMAPS), words, n,
                                       v->nested->msr_bitmap)))
        all_ones(v, words, n);
}

static void merge_x2apic(struct vcpu *v, bool all)
{
    struct or_word words[X2APIC_ROWS];

    x2apic_words(VMCS(&v->nested->vmcs12.image, SECONDARY_CONTROLS), words);
    merge(v, words, ARRAY_SIZE(words), all);
}

HOT void nested_merge_again(struct vcpu *v)
{
    const struct vm *vm = v->vm;

    if (unlikely(!v->nested->plain_bitmap))
        nested_merge_msr_bitmap(v);
    else if (unlikely(guest_or_words(v->vm, VMCS(&v->nested->vmcs12.image, MSR_BITMAPS), vm->msr_words,
                                     vm->nr_msr_words, v->nested->msr_bitmap)))
        all_ones(v, vm->msr_words, vm->nr_msr_words);
}

void nested_merge_msr_bitmap(struct vcpu *v)
{
    bool all = !has_primary(v, PROC_USE_MSR_BITMAPS), x2apic = has_secondary(v, PROC2_VIRTUALIZE_X2APIC);

    v->nested->plain_bitmap = !all && !x2apic;
    merge(v, v->vm->msr_words, v->vm->nr_msr_words, all);
    if (unlikely(x2apic || v->nested->x2apic_virtual))
        merge_x2apic(v, all || !x2apic);
    v->nested->x2apic_virtual = x2apic;
}
