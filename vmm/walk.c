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
    u64 reserved;                    /* bits that must be 0 in every entry but PDPTEs of PAE paging */
    u64 all, any;                    /* bits that all entries with rights have, and that any has */
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

/* Whether an entry with PS = 1 above the page tables maps a page; the bit is reserved or ignored otherwise.
 */
static bool is_large_page(const struct walk *s)
{
    if (s->level == 2)
        return s->f != &format_32bit || (s->w->cr4 & CR4_PSE);
    return s->level == 3 && s->f != &format_pae && s->w->page1g;
}

/* SDM 325462, 'Paging-Structure Entries' figures and 'Reserved Bits'. */
static u64 reserved_everywhere(const struct walk *s)
{
    const struct walk_ctx *w = s->w;
    u64 mask = 0;

    if (s->f == &format_32bit)
        return 0;
    if (s->f == &format_pae)
        mask = BITS(62, w->maxphyaddr);
    else if (w->maxphyaddr < 52)
        mask = BITS(51, w->maxphyaddr);
    return w->efer & EFER_NXE ? mask : mask | PTE_NX;
}

/* What else is reserved in an entry above the page tables that has PS = 1. */
static u64 reserved_with_ps(const struct walk *s)
{
    if (!is_large_page(s))
        return s->level > 2 ? PTE_PS : 0;
    if (s->f != &format_32bit)
        return BITS(shift_of(s->f, s->level) - 1, 13);
    /* PSE-36: bits 20:13 are address bits 39:32, as far as the CPU has them. */
    return BITS(21, MIN(s->w->maxphyaddr, 40u) - 32 + 13);
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

static int not_present(const struct walk *s, struct walk_result *out)
{
    out->error_code = fault(s, 0);
    return ERR_FAULT;
}

static int reserved(const struct walk *s, struct walk_result *out)
{
    out->error_code = fault(s, PF_PRESENT | PF_RESERVED);
    return ERR_FAULT;
}

/* The first level of PAE paging is in registers; its entries have neither rights nor flags. */
static int take_pdpte(struct walk *s, gpa_t *table, struct walk_result *out)
{
    const struct walk_ctx *w = s->w;
    u32 index = s->gva >> 30;
    u64 e;

    if (w->pdpte) {
        e = w->pdpte[index];
    } else if (w->read(w->ctx, *table + 8 * index, 8, &e)) {
        out->gpa = *table + 8 * index;
        return ERR_RANGE;
    }
    if (!(e & PTE_P))
        return not_present(s, out);
    if (e & (BITS(63, w->maxphyaddr) | BITS(8, 5) | BITS(2, 1)))
        return reserved(s, out);
    s->entry_gpa[3] = NO_GPA;
    s->level = 2;
    *table = e & PTE_ADDR;
    return OK;
}

/* Reads entries down to the page. OK, ERR_FAULT with its error code, or ERR_RANGE with the entry's address.
 */
static int descend(struct walk *s, struct walk_result *out)
{
    const struct format *f = s->f;
    gpa_t table = first_table(s);
    u32 size = f->entry_size, index_mask = (1u << f->index_bits) - 1, shift;

    if (f == &format_pae) {
        int r = take_pdpte(s, &table, out);

        if (r)
            return r;
    }
    for (shift = shift_of(f, s->level);; shift -= f->index_bits, s->level--) {
        gpa_t gpa = table + (s->gva >> shift & index_mask) * size;
        u64 e;

        if (s->w->read(s->w->ctx, gpa, size, &e)) {
            out->gpa = gpa;
            return ERR_RANGE;
        }
        if (!(e & PTE_P))
            return not_present(s, out);
        if (e & s->reserved)
            return reserved(s, out);
        s->entry[s->level] = e;
        s->entry_gpa[s->level] = gpa;
        s->all &= e;
        s->any |= e;
        if (s->level == 1)
            return OK;
        if (unlikely(e & PTE_PS)) {
            if (e & reserved_with_ps(s))
                return reserved(s, out);
            if (is_large_page(s))
                return OK;
        }
        table = e & PTE_ADDR; /* a 32-bit entry has no more than bits 31:12 */
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
    bool user_page = s->all & PTE_U, writable = s->all & PTE_W, key = key_denies(s, user_page);
    bool write = s->access & WALK_WRITE, fetch = s->access & WALK_FETCH, denied;

    if (s->user)
        denied = !user_page || (write && !writable);
    else
        denied = write && !writable && (w->cr0 & CR0_WP);
    if (!s->user && user_page) {
        if (fetch)
            denied |= !!(w->cr4 & CR4_SMEP);
        else
            denied |= (w->cr4 & CR4_SMAP) && (!w->ac || (s->access & WALK_IMPLICIT));
    }
    /* Without EFER.NXE the bit is reserved, or does not exist: it is not 1 here. */
    denied |= fetch && (s->any & PTE_NX);
    if (!denied && !key)
        return OK;
    out->error_code = fault(s, PF_PRESENT | (key ? PF_KEY : 0));
    return ERR_FAULT;
}

static int set_flags(const struct walk *s, struct walk_result *out)
{
    u64 leaf = s->access & WALK_WRITE ? PTE_D : 0;

    if (!s->w->update || ((s->all & PTE_A) && (s->entry[s->level] & leaf) == leaf))
        return OK;
    for (u32 level = s->f->levels; level >= s->level; level--) {
        u64 old, new;
        int r;

        if (s->entry_gpa[level] == NO_GPA)
            continue;
        old = s->entry[level];
        new = old | PTE_A;
        if (level == s->level)
            new |= leaf;
        if (new == old)
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
    out->page = (s->all & PTE_U ? WALK_PAGE_USER : 0) | (s->all & PTE_W ? WALK_PAGE_WRITE : 0) |
                (s->any & PTE_NX ? WALK_PAGE_NX : 0);
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
        *out = (struct walk_result){
            .gpa = gva, .page_size = PAGE_SIZE, .page = WALK_PAGE_USER | WALK_PAGE_WRITE};
        return OK;
    }
    for (u32 n = 0; r == ERR_BUSY && n < MAX_RESTART; n++) {
        struct walk s;

        s.w = w;
        s.f = format_of(w);
        s.gva = gva;
        s.access = access;
        s.user = w->cpl == 3 && !(access & WALK_IMPLICIT);
        s.reserved = reserved_everywhere(&s);
        s.all = ~0ull;
        s.any = 0;
        *out = (struct walk_result){0};
        r = translate(&s, out);
    }
    return r;
}

bool walk_pdptes_good(const u64 pdpte[4], u32 maxphyaddr)
{
    const u64 reserved = BITS(63, maxphyaddr) | BITS(8, 5) | BITS(2, 1);

    for (u32 i = 0; i < 4; i++)
        if ((pdpte[i] & PTE_P) && (pdpte[i] & reserved))
            return false;
    return true;
}
