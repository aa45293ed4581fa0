/* SPDX-License-Identifier: MIT */
#include "vmm/walk.h"

#include "arch/x86/regs.h"

#define MAX_LEVELS  5
#define MAX_RESTART 16
#define NO_GPA      (~(gpa_t)0)

/* How a paging mode cuts up an address. */
struct format {
    u8 levels, entry_size, index_bits;
};

static const struct format format_32bit = {2, 4, 10};
static const struct format format_pae = {3, 8, 9};
static const struct format format_4level = {4, 8, 9};
static const struct format format_5level = {5, 8, 9};

/* One translation on its way. The levels count down to 1, the page table. */
struct walk {
    const struct walk_ctx *w;
    const struct format *f;
    gva_t gva;
    u32 access;
    bool user;                       /* access made with CPL 3's rights */
    u64 entry[MAX_LEVELS + 1];       /* by level */
    gpa_t entry_gpa[MAX_LEVELS + 1]; /* NO_GPA: it has no flags to set */
    u32 level;                       /* where it stands, in the end that of the page */
};

static const struct format *format_of(const struct walk_ctx *w)
{
    if (!(w->cr4 & CR4_PAE))
        return &format_32bit;
    if (!(w->efer & EFER_LMA))
        return &format_pae;
    return w->cr4 & CR4_LA57 ? &format_5level : &format_4level;
}

static u32 shift_of(const struct format *f, u32 level)
{
    return PAGE_SHIFT + f->index_bits * (level - 1);
}

/* Whether the entry at this level maps a page. */
static bool is_page(const struct walk *s)
{
    u64 e = s->entry[s->level];

    if (s->level == 1)
        return true;
    if (!(e & PTE_PS))
        return false;
    if (s->level == 2)
        return s->f != &format_32bit || (s->w->cr4 & CR4_PSE);
    return s->level == 3 && s->f != &format_pae && s->w->page1g;
}

/* Bits that must be 0 in a present entry. SDM 325462, 'Paging-Structure Entries' figures and 'Reserved Bits'.
 */
static u64 reserved_bits(const struct walk *s)
{
    const struct walk_ctx *w = s->w;
    u64 mask = 0;

    if (s->f == &format_32bit) {
        /* PSE-36: bits 20:13 are address bits 39:32, as far as the CPU has them. */
        u32 width = MIN(w->maxphyaddr, 40u);

        return s->level == 2 && is_page(s) ? BITS(21, width - 32 + 13) : 0;
    }
    if (s->f == &format_pae && s->level == 3)
        return BITS(63, w->maxphyaddr) | BITS(8, 5) | BITS(2, 1);
    if (s->f == &format_pae)
        mask = BITS(62, w->maxphyaddr);
    else if (w->maxphyaddr < 52)
        mask = BITS(51, w->maxphyaddr);
    if (!(w->efer & EFER_NXE))
        mask |= PTE_NX;
    if (s->level > 1 && is_page(s))
        mask |= BITS(shift_of(s->f, s->level) - 1, 13);
    else if (s->level > 2)
        mask |= PTE_PS;
    return mask;
}

static u32 fault(const struct walk *s, u32 bits)
{
    const struct walk_ctx *w = s->w;
    bool tell_fetch = (w->cr4 & CR4_SMEP) || ((w->cr4 & CR4_PAE) && (w->efer & EFER_NXE));

    if (s->access & WALK_WRITE)
        bits |= PF_WRITE;
    if (s->user)
        bits |= PF_USER;
    if ((s->access & WALK_FETCH) && tell_fetch)
        bits |= PF_FETCH;
    return bits;
}

/* Where the walk starts. The level of the first entry to read is s->level. */
static gpa_t first_table(struct walk *s)
{
    u64 cr3 = s->w->cr3;

    s->level = s->f->levels;
    if (s->f == &format_32bit)
        return cr3 & BITS(31, 12);
    if (s->f == &format_pae)
        return cr3 & BITS(31, 5);
    return cr3 & BITS(s->w->maxphyaddr - 1, 12);
}

/* Reads entries down to the page. OK, ERR_FAULT with its error code, or ERR_RANGE with the entry's address.
 */
static int descend(struct walk *s, struct walk_result *out)
{
    const struct format *f = s->f;
    gpa_t table = first_table(s);

    for (;; s->level--) {
        u32 index = (s->gva >> shift_of(f, s->level)) & ((1u << f->index_bits) - 1);
        gpa_t gpa = table + index * f->entry_size;
        bool pdpte = f == &format_pae && s->level == 3;
        u64 e;

        if (pdpte && s->w->pdpte) {
            e = s->w->pdpte[index];
        } else if (s->w->read(s->w->ctx, gpa, f->entry_size, &e)) {
            out->gpa = gpa;
            return ERR_RANGE;
        }
        s->entry[s->level] = e;
        s->entry_gpa[s->level] = pdpte ? NO_GPA : gpa;
        if (!(e & PTE_P)) {
            out->error_code = fault(s, 0);
            return ERR_FAULT;
        }
        if (e & reserved_bits(s)) {
            out->error_code = fault(s, PF_PRESENT | PF_RESERVED);
            return ERR_FAULT;
        }
        if (is_page(s))
            return OK;
        table = e & (f == &format_32bit ? BITS(31, 12) : PTE_ADDR);
    }
}

/* SDM 325462, 'Protection Keys': whether they forbid this access. */
static bool key_denies(const struct walk *s, bool user_page)
{
    const struct walk_ctx *w = s->w;
    u64 enable = user_page ? CR4_PKE : CR4_PKS;
    u32 key = s->entry[s->level] >> 59 & 15;
    u32 rights = (user_page ? w->pkru : w->pkrs) >> (2 * key);

    if (s->f->levels < 4 || !(w->cr4 & enable) || (s->access & WALK_FETCH))
        return false;
    return (rights & 1) || ((rights & 2) && (s->access & WALK_WRITE) && (s->user || (w->cr0 & CR0_WP)));
}

/* SDM 325462, 'Determination of Access Rights'. */
static int check_rights(const struct walk *s, struct walk_result *out)
{
    const struct walk_ctx *w = s->w;
    u64 all = PTE_W | PTE_U, any = 0;
    bool user_page, write = s->access & WALK_WRITE, fetch = s->access & WALK_FETCH, denied, key;

    for (u32 level = s->level; level <= s->f->levels; level++) {
        if (s->f == &format_pae && level == 3)
            break;
        all &= s->entry[level];
        any |= s->entry[level];
    }
    user_page = all & PTE_U;
    key = key_denies(s, user_page);
    if (s->user)
        denied = !user_page || (write && !(all & PTE_W));
    else
        denied = write && !(all & PTE_W) && (w->cr0 & CR0_WP);
    if (!s->user && user_page) {
        if (fetch)
            denied |= !!(w->cr4 & CR4_SMEP);
        else
            denied |= (w->cr4 & CR4_SMAP) && (!w->ac || (s->access & WALK_IMPLICIT));
    }
    /* Without EFER.NXE the bit is reserved, or does not exist: it is not 1 here. */
    denied |= fetch && (any & PTE_NX);
    if (!denied && !key)
        return OK;
    out->error_code = fault(s, PF_PRESENT | (key ? PF_KEY : 0));
    return ERR_FAULT;
}

static int set_flags(const struct walk *s, struct walk_result *out)
{
    if (!s->w->update)
        return OK;
    for (u32 level = s->f->levels; level >= s->level; level--) {
        u64 old = s->entry[level], new = old | PTE_A;
        int r;

        if (level == s->level && (s->access & WALK_WRITE))
            new |= PTE_D;
        if (new == old || s->entry_gpa[level] == NO_GPA)
            continue;
        r = s->w->update(s->w->ctx, s->entry_gpa[level], s->f->entry_size, old, new);
        if (r) {
            out->gpa = s->entry_gpa[level];
            return r;
        }
    }
    return OK;
}

static int translate(struct walk *s, struct walk_result *out)
{
    u64 e, offset;
    int r = descend(s, out);

    if (!r)
        r = check_rights(s, out);
    if (!r)
        r = set_flags(s, out);
    if (r)
        return r;
    e = s->entry[s->level];
    out->page_size = 1ull << shift_of(s->f, s->level);
    offset = s->gva & (out->page_size - 1);
    if (s->f != &format_32bit)
        out->gpa = (e & PTE_ADDR & ~(out->page_size - 1)) | offset;
    else if (s->level == 1)
        out->gpa = (e & BITS(31, 12)) | offset;
    else
        out->gpa = (e & BITS(31, 22)) | (e & BITS(20, 13)) << (32 - 13) | offset;
    return OK;
}

int walk(const struct walk_ctx *w, gva_t gva, u32 access, struct walk_result *out)
{
    bool long_mode = w->efer & EFER_LMA;
    int r = ERR_BUSY;

    if (!long_mode)
        gva = (u32)gva;
    if (!(w->cr0 & CR0_PG)) {
        *out = (struct walk_result){.gpa = gva, .page_size = PAGE_SIZE};
        return OK;
    }
    for (u32 n = 0; r == ERR_BUSY && n < MAX_RESTART; n++) {
        struct walk s = {
            .w = w,
            .f = format_of(w),
            .gva = gva,
            .access = access,
            .user = w->cpl == 3 && !(access & WALK_IMPLICIT),
        };

        *out = (struct walk_result){0};
        r = translate(&s, out);
    }
    return r;
}
