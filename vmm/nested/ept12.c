/* SPDX-License-Identifier: MIT */
#include "vmm/nested/ept12.h"

#define LEVELS      4u
#define MAX_RESTART 16

/* One translation on its way. The levels count down to 1, the page table. */
struct walk {
    const struct ept12_ctx *w;
    gpa_t gpa2;
    u64 rights;                  /* that all entries so far give */
    u64 entry[LEVELS + 1];       /* by level */
    gpa_t entry_gpa[LEVELS + 1]; /* where they lie */
    u32 level;                   /* where it stands, in the end that of the page */
    bool marked;
};

static u64 span(u32 level)
{
    return PAGE_SIZE << (9 * (level - 1));
}

static bool has_flags(const struct ept12_ctx *w)
{
    return w->eptp & EPTP_ACCESSED_DIRTY;
}

/* 'Accessed and Dirty Flags for EPT': where they are enabled, the CPU's accesses to paging structures are
 * writes. An EPT violation tells of them as both. */
static u64 kind_of(const struct ept12_ctx *w, u64 access)
{
    u64 kind = access & EPT_RWX;

    return (access & EPT12_PAGING) && has_flags(w) ? kind | EPT_RW : kind;
}

static u64 rights_needed(const struct ept12_ctx *w, u64 kind, u64 access)
{
    if (!w->mode_based || !(kind & EPT_EXEC) || !(access & EPT12_USER))
        return kind;
    return (kind & ~EPT_EXEC) | EPT_EXEC_USER;
}

static u64 rights_of(const struct ept12_ctx *w, u64 e)
{
    return e & (w->mode_based ? EPT_RWX | EPT_EXEC_USER : EPT_RWX);
}

static bool is_leaf(const struct walk *s, u64 e)
{
    return s->level == 1 || (s->level < LEVELS && (e & EPT_LARGE));
}

/* What must be 0 in a present entry. The figure 'Formats of EPTP and EPT Paging-Structure Entries'. */
static u64 reserved(const struct walk *s, u64 e)
{
    static const u64 caps[LEVELS + 1] = {[2] = EPT_CAP_2M, [3] = EPT_CAP_1G};
    u64 address = s->w->maxphyaddr < 52 ? BITS(51, s->w->maxphyaddr) : 0;

    if (s->level == 1)
        return address;
    if (!is_leaf(s, e) || !(s->w->caps & caps[s->level]))
        return address | BITS(7, 3);
    return address | (span(s->level) - PAGE_SIZE);
}

static bool type_ok(u64 e)
{
    return BIT(e >> EPT_TYPE_SHIFT & 7) &
           (BIT(EPT_UC) | BIT(EPT_WC) | BIT(EPT_WT) | BIT(EPT_WP) | BIT(EPT_WB));
}

/* 'EPT Misconfigurations', of an entry that is present. */
static bool misconfigured(const struct walk *s, u64 e)
{
    if (!(e & EPT_READ) && ((e & EPT_WRITE) || !(s->w->caps & EPT_CAP_EXECUTE_ONLY)))
        return true;
    return (e & reserved(s, e)) || (is_leaf(s, e) && !type_ok(e));
}

/* Reads entries down to the page. */
static int descend(struct walk *s)
{
    gpa_t table = s->w->eptp & EPT_ADDR;

    for (s->level = LEVELS;; s->level--) {
        gpa_t gpa = table + s->gpa2 / span(s->level) % 512 * 8;
        u64 e;
        int r = s->w->read(s->w->ctx, gpa, &e);

        if (r == ERR_RANGE)
            e = ~0ull;
        else if (r)
            return r;
        s->rights &= rights_of(s->w, e);
        if (!rights_of(s->w, e))
            return ERR_FAULT;
        if (misconfigured(s, e))
            return ERR_INVAL;
        s->entry[s->level] = e;
        s->entry_gpa[s->level] = gpa;
        if (is_leaf(s, e))
            return OK;
        table = e & EPT_ADDR;
    }
}

/* 'Page-Modification Logging': a log that is full is in the way of accessed flags too. */
static int set_flags(struct walk *s, bool write)
{
    for (u32 level = LEVELS; has_flags(s->w) && level >= s->level; level--) {
        u64 old = s->entry[level], new = old | EPT_ACCESSED;
        int r;

        if (level == s->level && write)
            new |= EPT_DIRTY;
        if (new == old)
            continue;
        if (s->w->log_full)
            return ERR_NOENT;
        r = s->w->update(s->w->ctx, s->entry_gpa[level], old, new);
        if (r)
            return r;
        s->entry[level] = new;
        s->marked = (new & ~old) & EPT_DIRTY;
    }
    return OK;
}

static int translate(struct walk *s, u64 access, struct ept12_result *out)
{
    u64 kind = kind_of(s->w, access), needed = rights_needed(s->w, kind, access), e;
    int r = descend(s);

    out->qualification = kind | (s->rights & EPT_RWX) << EPT_QUAL_RIGHTS_SHIFT |
                         (s->rights & EPT_EXEC_USER ? EPT_QUAL_EXEC_USER : 0);
    if (!r && (s->rights & needed) != needed)
        r = ERR_FAULT;
    if (!r)
        r = set_flags(s, kind & EPT_WRITE);
    if (r)
        return r;
    e = s->entry[s->level];
    out->page_size = span(s->level);
    out->gpa1 = (e & EPT_ADDR) | s->gpa2 % out->page_size;
    out->rights = s->rights;
    out->type = e >> EPT_TYPE_SHIFT & 15;
    out->dirty = !has_flags(s->w) || (e & EPT_DIRTY);
    out->marked = s->marked;
    return OK;
}

int ept12_walk(const struct ept12_ctx *w, gpa_t gpa2, u64 access, struct ept12_result *out)
{
    int r = ERR_BUSY;

    for (u32 n = 0; r == ERR_BUSY && n < MAX_RESTART; n++) {
        struct walk s = {.w = w, .gpa2 = gpa2, .rights = rights_of(w, ~0ull)};

        *out = (struct ept12_result){.qualification = kind_of(w, access)};
        r = gpa2 < BIT(EPT_GPA_BITS) ? translate(&s, access, out) : ERR_FAULT;
    }
    return r;
}
