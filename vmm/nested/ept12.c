/* SPDX-License-Identifier: MIT */
#include "vmm/nested/ept12.h"

#define LEVELS      4u
#define MAX_RESTART 16

/* Entries by level. */
struct walk {
    u64 entry[LEVELS + 1];
    gpa_t at[LEVELS + 1];
    u32 level; /* where it stands, in the end that of the page */
};

static u32 shift_of(u32 level)
{
    return PAGE_SHIFT + 9 * (level - 1);
}

static bool is_leaf(u64 e, u32 level)
{
    return level == 1 || e & EPT_LARGE;
}

/* 'Format of an EPT PML4 Entry' and the tables behind it: bits that must be 0, besides addresses beyond the
 * width. */
static u64 reserved(const struct ept12 *t, u64 e, u32 level)
{
    static const struct {
        u64 pointer, leaf, leaf_needs;
    } bits[LEVELS + 1] = {
        [4] = {BITS(7, 3), 0, 0},
        [3] = {BITS(6, 3), BITS(29, 12), EPT_CAP_1G},
        [2] = {BITS(6, 3), BITS(20, 12), EPT_CAP_2M},
    };

    if (level == 1)
        return 0;
    if (!(e & EPT_LARGE))
        return bits[level].pointer;
    return t->caps & bits[level].leaf_needs ? bits[level].leaf : EPT_LARGE;
}

/* 'EPT Misconfigurations', of an entry that is present. */
static bool is_misconfigured(const struct ept12 *t, u64 e, u32 level)
{
    static const bool never[8] = {[EPT_WRITE] = true, [EPT_WRITE | EPT_EXEC] = true};
    static const bool no_type[8] = {[2] = true, [3] = true, [7] = true};

    if (never[e & EPT_RWX] || ((e & EPT_RWX) == EPT_EXEC && !(t->caps & EPT_CAP_EXECUTE_ONLY)))
        return true;
    if (e & (reserved(t, e, level) | BITS(51, t->maxphyaddr)))
        return true;
    return is_leaf(e, level) && no_type[e >> EPT_TYPE_SHIFT & 7];
}

static enum ept12_outcome descend(const struct ept12 *t, gpa_t gpa2, u64 access, struct walk *w, u64 *rights)
{
    gpa_t table = t->eptp & EPT_ADDR;

    w->level = LEVELS;
    *rights = gpa2 >> shift_of(LEVELS + 1) ? 0 : EPT_RWX;
    if (!*rights)
        return EPT12_VIOLATION;
    for (;; w->level--) {
        gpa_t at = table + (gpa2 >> shift_of(w->level) & 511) * 8;
        u64 e = 0;

        if (t->read(t->ctx, at, &e))
            e = ~0ull;
        *rights &= e;
        if (!(e & EPT_RWX))
            return EPT12_VIOLATION;
        if (is_misconfigured(t, e, w->level))
            return EPT12_MISCONFIG;
        w->entry[w->level] = e;
        w->at[w->level] = at;
        if (is_leaf(e, w->level))
            return access & ~*rights & EPT_RWX ? EPT12_VIOLATION : EPT12_OK;
        table = e & EPT_ADDR;
    }
}

/* 'Accessed and Dirty Flags for EPT'. False: an entry has changed. */
static bool set_flags(const struct ept12 *t, struct walk *w, u64 access)
{
    for (u32 level = LEVELS; level >= w->level; level--) {
        u64 e = w->entry[level], new = e | EPT_ACCESSED;

        if (level == w->level && access & EPT_WRITE)
            new |= EPT_DIRTY;
        if (new == e)
            continue;
        if (t->update(t->ctx, w->at[level], e, new))
            return false;
        w->entry[level] = new;
    }
    return true;
}

enum ept12_outcome ept12_walk(const struct ept12 *t, gpa_t gpa2, u64 access, struct ept12_result *out)
{
    bool flags = t->eptp & EPTP_ACCESSED_DIRTY;
    enum ept12_outcome outcome;
    struct walk w;
    u64 leaf, in_page;

    if (flags && access & EPT12_PAGING)
        access |= EPT_WRITE;
    /* Who keeps changing entries has no claim on their flags. */
    for (u32 n = 0; n < MAX_RESTART; n++) {
        outcome = descend(t, gpa2, access, &w, &out->rights);
        out->level = w.level;
        out->qualification = (access & EPT_RWX) | out->rights << 3;
        if (outcome != EPT12_OK)
            return outcome;
        if (!flags || set_flags(t, &w, access))
            break;
    }
    leaf = w.entry[w.level];
    out->size = BIT(shift_of(w.level));
    in_page = out->size - 1;
    out->gpa1 = (leaf & EPT_ADDR & ~in_page) | (gpa2 & in_page);
    out->type = leaf >> EPT_TYPE_SHIFT & 15;
    out->dirty = !flags || leaf & EPT_DIRTY;
    return EPT12_OK;
}
