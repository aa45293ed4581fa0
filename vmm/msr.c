/* SPDX-License-Identifier: MIT */
#include "vmm/msr.h"
#include "arch/x86/regs.h"
#include "lib/log.h"
#include "lib/string.h"
#include "vmm/msr_table.h"

#define BITMAP_SIZE  4096u
#define BITMAP_WRITE 2048u /* offset of the half for WRMSR */
#define BITMAP_HIGH  1024u /* offset of the quarter for MSRs from HIGH_FIRST on */
#define BITMAP_MSRS  0x2000u
#define HIGH_FIRST   0xc0000000u

/* IA32_MISC_ENABLE: fast strings; no branch trace storage, no PEBS. */
#define MISC_ENABLE_RESET (BIT(0) | BIT(11) | BIT(12))

/* Null: no row names it. */
static const struct msr_row *search(u32 msr)
{
    u32 low = 0, high = msr_nr_rows;

    while (low < high) {
        u32 middle = (low + high) / 2;
        const struct msr_row *row = &msr_rows[middle];

        if (msr < row->first)
            high = middle;
        else if (msr > row->last)
            low = middle + 1;
        else
            return row;
    }
    return NULL;
}

/* Null: there is no such MSR in this VM. Most often it is the row of before: the x2APIC's. */
static const struct msr_row *find(const struct vcpu *v, u32 msr)
{
    static const struct msr_row *before = msr_rows;
    const struct msr_row *row = __atomic_load_n(&before, __ATOMIC_RELAXED);

    if (unlikely(msr - row->first > row->last - row->first)) {
        row = search(msr);
        if (!row)
            return NULL;
        __atomic_store_n(&before, row, __ATOMIC_RELAXED);
    }
    return msr_row_exists(row, v->cpuid) ? row : NULL;
}

/* The instruction gets #GP: said once per MSR and VM. */
static int refuse(struct vcpu *v, const char *instruction, const struct msr_row *row, u32 msr)
{
    struct msr_refused *r = &v->vm->msr_refused;
    u32 i = 0;

    spin_lock(&v->vm->dev_lock);
    while (i < r->nr && r->msr[i] != msr)
        i++;
    if (i == r->nr && r->nr < MSR_MAX_REFUSED) {
        r->msr[r->nr++] = msr;
        log_debug("%s: %s of %s 0x%x: #GP", v->vm->config->name, instruction, row ? row->name : "unknown",
                  msr);
    }
    spin_unlock(&v->vm->dev_lock);
    return ERR_INVAL;
}

int vcpu_msr_read(struct vcpu *v, u32 msr, u64 *value)
{
    const struct msr_row *row = find(v, msr);

    if (!row || !row->read || row->read(v, row, msr, value) != OK)
        return refuse(v, "RDMSR", row, msr);
    return OK;
}

static bool acceptable(const struct vcpu *v, const struct msr_row *row, u64 value)
{
    return !(value & ~row->valid) && (!row->canonical || is_canonical(value, v->cpuid->linear_bits));
}

int vcpu_msr_write(struct vcpu *v, u32 msr, u64 value)
{
    const struct msr_row *row = find(v, msr);

    if (!row || !row->write || !acceptable(v, row, value) || row->write(v, row, msr, value) != OK)
        return refuse(v, "WRMSR", row, msr);
    return OK;
}

void vcpu_msrs_reset(struct vcpu_msrs *m, const struct guest_cpuid *c)
{
    memset(m, 0, sizeof(*m));
    m->misc_enable = MISC_ENABLE_RESET;
    m->pat = PAT_RESET;
    msr_mtrr_reset(m, c);
}

void msr_bitmap_let_through(u8 *bitmap, u32 msr, bool write)
{
    u8 *quarter = bitmap + (write ? BITMAP_WRITE : 0) + (msr >= HIGH_FIRST ? BITMAP_HIGH : 0);
    u32 bit = msr % BITMAP_MSRS;

    quarter[bit / 8] &= ~(1u << bit % 8);
}

void msr_bitmap_fill(u8 *bitmap, const struct guest_cpuid *c)
{
    memset(bitmap, 0xff, BITMAP_SIZE);
    for (u32 i = 0; i < msr_nr_rows; i++) {
        const struct msr_row *row = &msr_rows[i];

        if (!msr_row_exists(row, c) || row->direct_granted & ~c->vmx_granted)
            continue;
        for (u32 msr = row->first; msr <= row->last; msr++) {
            if (row->direct & DIRECT_READ)
                msr_bitmap_let_through(bitmap, msr, false);
            if (row->direct & DIRECT_WRITE)
                msr_bitmap_let_through(bitmap, msr, true);
        }
    }
}
