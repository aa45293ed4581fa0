/* SPDX-License-Identifier: MIT */
/* links: vmm/nested/ept12.c */
#include <stdlib.h>
#include <string.h>

#include "vmm/nested/ept12.h"

/*
 * Walks of random tables against a second reading of the manual, which is as naive as can be: every level is
 * written out, nothing is shared. The input is, after the walk's parameters, the entries that the walk meets,
 * some at random and some repaired enough to lead on; every address that is read gives the next of them.
 */
struct input {
    u64 gpa2;
    u16 access; /* bits 0 to 2, 3: user, 4: paging structures */
    u8 caps, width, eptp, repair;
    u8 unused[2];
    u64 entry[4];
};

struct memory {
    u64 entry[4];
    gpa_t at[4];
    u32 reads;
    bool none[4]; /* there is no memory */
};

struct expected {
    int result;
    u64 qualification, rights, size;
    gpa_t gpa1;
    u32 type, levels; /* entries read */
};

static int read_entry(void *ctx, gpa_t gpa1, u64 *entry)
{
    struct memory *m = ctx;

    if (m->reads >= 4)
        abort();
    m->at[m->reads] = gpa1;
    if (m->none[m->reads++])
        return ERR_RANGE;
    *entry = m->entry[m->reads - 1];
    return OK;
}

static int update_entry(void *ctx, gpa_t gpa1, u64 old, u64 new)
{
    struct memory *m = ctx;

    for (u32 i = 0; i < m->reads; i++) {
        if (m->at[i] != gpa1 || m->entry[i] != old)
            continue;
        if (new == old || (new ^ old) & ~(EPT_ACCESSED | EPT_DIRTY) || (old & ~new))
            abort();
        m->entry[i] = new;
        return OK;
    }
    abort();
}

static bool present(u64 e, bool mode_based)
{
    return (e & 1) || (e & 2) || (e & 4) || (mode_based && (e & 0x400));
}

static bool bad_rights(u64 e, u64 caps, bool mode_based)
{
    if (e & 1)
        return false;
    if (e & 2)
        return true;
    return !(caps & 1) && ((e & 4) || (mode_based && (e & 0x400)));
}

static bool bad_address(u64 e, u32 width)
{
    for (u32 bit = width; bit < 52; bit++)
        if (e >> bit & 1)
            return true;
    return false;
}

static bool bad_type(u64 e)
{
    u64 type = e >> 3 & 7;

    return type == 2 || type == 3 || type == 7;
}

static bool any_bit(u64 e, u32 first, u32 last)
{
    for (u32 bit = first; bit <= last; bit++)
        if (e >> bit & 1)
            return true;
    return false;
}

static void page(struct expected *x, u64 e, u64 size, u64 gpa2)
{
    x->size = size;
    x->gpa1 = (e & 0x000ffffffffff000) / size * size + gpa2 % size;
    x->type = (e >> 3 & 7) + (e & 0x40 ? 8 : 0);
}

/* Of entries as they lie there; x->result and where the page is. */
static void naive_walk(const struct ept12_ctx *w, const u64 e[4], u64 gpa2, struct expected *x)
{
    bool m = w->mode_based;

    x->levels = 1;
    x->result = ERR_FAULT;
    if (!present(e[0], m))
        return;
    x->result = ERR_INVAL;
    if (bad_rights(e[0], w->caps, m) || bad_address(e[0], w->maxphyaddr) || any_bit(e[0], 3, 7))
        return;

    x->levels = 2;
    x->result = ERR_FAULT;
    if (!present(e[1], m))
        return;
    x->result = ERR_INVAL;
    if (bad_rights(e[1], w->caps, m) || bad_address(e[1], w->maxphyaddr))
        return;
    if (e[1] & 0x80) {
        if (!(w->caps & 1 << 17) || any_bit(e[1], 12, 29) || bad_type(e[1]))
            return;
        page(x, e[1], 1 << 30, gpa2);
        x->result = OK;
        return;
    }
    if (any_bit(e[1], 3, 6))
        return;

    x->levels = 3;
    x->result = ERR_FAULT;
    if (!present(e[2], m))
        return;
    x->result = ERR_INVAL;
    if (bad_rights(e[2], w->caps, m) || bad_address(e[2], w->maxphyaddr))
        return;
    if (e[2] & 0x80) {
        if (!(w->caps & 1 << 16) || any_bit(e[2], 12, 20) || bad_type(e[2]))
            return;
        page(x, e[2], 2 << 20, gpa2);
        x->result = OK;
        return;
    }
    if (any_bit(e[2], 3, 6))
        return;

    x->levels = 4;
    x->result = ERR_FAULT;
    if (!present(e[3], m))
        return;
    x->result = ERR_INVAL;
    if (bad_rights(e[3], w->caps, m) || bad_address(e[3], w->maxphyaddr) || bad_type(e[3]))
        return;
    page(x, e[3], 4096, gpa2);
    x->result = OK;
}

static struct expected naive(const struct ept12_ctx *w, const u64 e[4], u64 gpa2, u64 access)
{
    struct expected x = {0};
    bool read = access & 1, write = access & 2, fetch = access & 4;
    bool r = true, wr = true, ex = true, user = w->mode_based;

    if ((w->eptp & 0x40) && (access & EPT12_PAGING))
        read = write = true;
    naive_walk(w, e, gpa2, &x);
    for (u32 i = 0; i < x.levels; i++) {
        r = r && (e[i] & 1);
        wr = wr && (e[i] & 2);
        ex = ex && (e[i] & 4);
        user = user && (e[i] & 0x400);
    }
    if (x.result == OK) {
        if ((read && !r) || (write && !wr))
            x.result = ERR_FAULT;
        if (fetch && !(w->mode_based && (access & EPT12_USER) ? user : ex))
            x.result = ERR_FAULT;
    }
    x.rights = (r ? 1 : 0) + (wr ? 2 : 0) + (ex ? 4 : 0) + (user ? 0x400 : 0);
    x.qualification = (read ? 1 : 0) + (write ? 2 : 0) + (fetch ? 4 : 0) + (r ? 8 : 0) + (wr ? 16 : 0) +
                      (ex ? 32 : 0) + (user ? 64 : 0);
    return x;
}

static void check_addresses(const struct ept12_ctx *w, const struct memory *m, const u64 before[4], u64 gpa2)
{
    static const u32 shift[] = {39, 30, 21, 12};

    for (u32 i = 0; i < m->reads; i++) {
        u64 table = i ? before[i - 1] : w->eptp;

        if (m->at[i] != (table & 0x000ffffffffff000) + 8 * (gpa2 >> shift[i] & 511))
            abort();
    }
}

/* Is there a flag to be set? */
static bool lacks_flags(const struct ept12_ctx *w, const u64 before[4], const struct expected *x)
{
    if (!(w->eptp & 0x40))
        return false;
    for (u32 i = 0; i < x->levels; i++)
        if (!(before[i] & 0x100))
            return true;
    return (x->qualification & 2) && !(before[x->levels - 1] & 0x200);
}

static void check_flags(const struct ept12_ctx *w, const struct memory *m, const u64 before[4],
                        const struct expected *x)
{
    bool on = x->result == OK && (w->eptp & 0x40);

    for (u32 i = 0; i < 4; i++) {
        u64 want = before[i];

        if (on && i < x->levels)
            want |= 0x100;
        if (on && i == x->levels - 1 && (x->qualification & 2))
            want |= 0x200;
        if (m->entry[i] != want)
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in;
    struct memory m = {0};
    struct ept12_ctx w = {.read = read_entry, .update = update_entry, .ctx = &m};
    struct ept12_result out;
    struct expected x;
    u64 seen[4], before[4], access; /* entries: as they read, and as they lie there */
    int result;

    if (size < sizeof(in))
        return 0;
    memcpy(&in, data, sizeof(in));
    in.gpa2 &= BITS(47, 0);
    access = (in.access & 7) | (in.access & 8 ? EPT12_USER : 0) | (in.access & 16 ? EPT12_PAGING : 0);
    w.maxphyaddr = 32 + in.width % 21;
    w.mode_based = in.eptp & 2;
    w.log_full = in.eptp & 4;
    w.eptp = 0x10000000 | EPTP_WB | EPTP_WALK_4 | (in.eptp & 1 ? EPTP_ACCESSED_DIRTY : 0);
    w.caps = (in.caps & 1 ? EPT_CAP_EXECUTE_ONLY : 0) | (in.caps & 2 ? EPT_CAP_2M : 0) |
             (in.caps & 4 ? EPT_CAP_1G : 0);
    for (u32 i = 0; i < 4; i++) {
        /* A table of its own for each level, so that addresses tell the entries apart. */
        m.entry[i] = in.entry[i];
        if (in.repair >> i & 1)
            m.entry[i] =
                (m.entry[i] & (i == 3 ? ~BITS(51, w.maxphyaddr - 1) : BITS(63, 52) | BITS(11, 8) | 7)) |
                (i == 3 ? 0 : (i + 1) << 20);
        m.none[i] = in.repair >> 4 == i + 1;
        before[i] = m.entry[i];
        seen[i] = m.none[i] ? ~0ull : m.entry[i];
    }
    x = naive(&w, seen, in.gpa2, access);
    if (x.result == OK && w.log_full && lacks_flags(&w, before, &x))
        x.result = ERR_NOENT;
    result = ept12_walk(&w, in.gpa2, access, &out);
    if (result != x.result || m.reads != x.levels)
        abort();
    check_addresses(&w, &m, seen, in.gpa2);
    check_flags(&w, &m, before, &x);
    if (result != ERR_INVAL && out.qualification != x.qualification)
        abort();
    if (result == OK) {
        bool dirty = !(w.eptp & 0x40) || (m.entry[x.levels - 1] & 0x200);

        if (out.gpa1 != x.gpa1 || out.page_size != x.size || out.rights != x.rights || out.type != x.type ||
            out.dirty != dirty ||
            out.marked !=
                (m.entry[x.levels - 1] != before[x.levels - 1] && dirty && !(before[x.levels - 1] & 0x200)))
            abort();
    }
    return 0;
}
