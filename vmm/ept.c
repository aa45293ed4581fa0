/* SPDX-License-Identifier: MIT */
#include "vmm/ept.h"

#define ENTRIES  512u
#define ROOT     4u
#define RIGHTS   (EPT_RWX | EPT_EXEC_USER)
#define TYPE     (15ull << EPT_TYPE_SHIFT) /* memory type and IPAT */
#define FLAGS_AD (EPT_ACCESSED | EPT_DIRTY)

static u64 span(u32 level)
{
    return PAGE_SIZE << (9 * (level - 1));
}

static u32 index_of(gpa_t gpa, u32 level)
{
    return gpa / span(level) % ENTRIES;
}

/* Where the entry that holds gpa ends, or end if that comes first. */
static gpa_t entry_end(gpa_t gpa, gpa_t end, u32 level)
{
    return MIN(ALIGN_DOWN(gpa, span(level)) + span(level), end);
}

/* The rights that there are: also those of an entry that points to a table, whose leaves decide. */
static u64 all_rights(const struct ept *ept)
{
    return ept->mode_based ? RIGHTS : EPT_RWX;
}

static bool present(u64 e)
{
    return e & RIGHTS;
}

static bool is_leaf(u64 e, u32 level)
{
    return present(e) && (level == 1 || (e & EPT_LARGE));
}

static bool level_allowed(const struct ept *ept, u32 level)
{
    return level == 1 || (level == 2 && (ept->caps & EPT_CAP_2M)) || (level == 3 && (ept->caps & EPT_CAP_1G));
}

static u64 get(const struct ept *ept, paddr_t table, u32 i)
{
    return __atomic_load_n(&ept->ops->access(ept->ctx, table)[i], __ATOMIC_RELAXED);
}

/* A table must be complete before the entry that points to it is seen. */
static void set(struct ept *ept, paddr_t table, u32 i, u64 e)
{
    __atomic_store_n(&ept->ops->access(ept->ctx, table)[i], e, __ATOMIC_RELEASE);
}

static paddr_t new_table(struct ept *ept)
{
    paddr_t pa = ept->ops->alloc(ept->ctx);

    if (pa != EPT_NO_TABLE)
        ept->nr_tables++;
    return pa;
}

static void free_table(struct ept *ept, paddr_t pa)
{
    ept->nr_tables--;
    ept->ops->free(ept->ctx, pa);
}

/*
 * A CPU may walk an unlinked table until INVEPT, so it is kept, in a list linked through entry 0: an address
 * without rights is a not-present entry, which costs such a walk an EPT violation and no more.
 */
static void discard_table(struct ept *ept, paddr_t pa)
{
    set(ept, pa, 0, ept->garbage);
    ept->garbage = pa;
    ept->stale = true;
}

/* Replaces the leaf in table[i] by a table of smaller leaves that say the same. */
static int split(struct ept *ept, paddr_t table, u32 i, u32 level)
{
    u64 e = get(ept, table, i), *child;
    paddr_t pa = new_table(ept);

    if (pa == EPT_NO_TABLE)
        return ERR_NOMEM;
    if (level == 2)
        e &= ~EPT_LARGE;
    child = ept->ops->access(ept->ctx, pa);
    for (u32 n = 0; n < ENTRIES; n++)
        child[n] = e + n * span(level - 1);
    set(ept, table, i, pa | all_rights(ept));
    return OK;
}

/* Splits what is needed for no page to lie on both sides of gpa. */
static int split_at(struct ept *ept, gpa_t gpa)
{
    paddr_t table = ept->root;

    if (gpa >= BIT(EPT_GPA_BITS))
        return OK;
    for (u32 level = ROOT; level > 1 && !IS_ALIGNED(gpa, span(level)); level--) {
        u32 i = index_of(gpa, level);
        u64 e = get(ept, table, i);

        if (!present(e))
            return OK;
        if (is_leaf(e, level)) {
            if (split(ept, table, i, level))
                return ERR_NOMEM;
            e = get(ept, table, i);
        }
        table = e & EPT_ADDR;
    }
    return OK;
}

/* If all of the table below table[i] (whose entries have that level) makes one larger page, puts that in its
 * place. */
static void try_merge(struct ept *ept, paddr_t table, u32 i, u32 level)
{
    paddr_t pa = get(ept, table, i) & EPT_ADDR;
    const u64 *child = ept->ops->access(ept->ctx, pa);
    u64 first = child[0] & ~FLAGS_AD, flags = 0;

    if (!level_allowed(ept, level) || !is_leaf(first, level - 1) ||
        !IS_ALIGNED(first & EPT_ADDR, span(level)))
        return;
    for (u32 n = 0; n < ENTRIES; n++) {
        u64 e = __atomic_load_n(&child[n], __ATOMIC_RELAXED);

        if ((e & ~FLAGS_AD) != first + n * span(level - 1))
            return;
        flags |= e & FLAGS_AD;
    }
    set(ept, table, i, first | flags | EPT_LARGE);
    discard_table(ept, pa);
}

static void merge_range(struct ept *ept, paddr_t table, u32 level, gpa_t gpa, gpa_t end)
{
    for (gpa_t next; gpa < end; gpa = next) {
        u32 i = index_of(gpa, level);
        u64 e = get(ept, table, i);

        next = entry_end(gpa, end, level);
        if (!present(e) || is_leaf(e, level))
            continue;
        if (level > 2)
            merge_range(ept, e & EPT_ADDR, level - 1, gpa, next);
        try_merge(ept, table, i, level);
    }
}

static bool is_empty(const struct ept *ept, paddr_t table)
{
    const u64 *t = ept->ops->access(ept->ctx, table);

    for (u32 i = 0; i < ENTRIES; i++)
        if (t[i])
            return false;
    return true;
}

/* No page may be partly in the range. */
static void clear_range(struct ept *ept, paddr_t table, u32 level, gpa_t gpa, gpa_t end)
{
    for (gpa_t next; gpa < end; gpa = next) {
        u32 i = index_of(gpa, level);
        u64 e = get(ept, table, i);

        next = entry_end(gpa, end, level);
        if (!present(e))
            continue;
        if (is_leaf(e, level)) {
            set(ept, table, i, 0);
            ept->stale = true;
            continue;
        }
        clear_range(ept, e & EPT_ADDR, level - 1, gpa, next);
        if (is_empty(ept, e & EPT_ADDR)) {
            set(ept, table, i, 0);
            discard_table(ept, e & EPT_ADDR);
        }
    }
}

static void protect_range(struct ept *ept, paddr_t table, u32 level, gpa_t gpa, gpa_t end, u64 rights)
{
    for (gpa_t next; gpa < end; gpa = next) {
        u32 i = index_of(gpa, level);
        u64 e = get(ept, table, i);

        next = entry_end(gpa, end, level);
        if (!present(e))
            continue;
        if (!is_leaf(e, level)) {
            protect_range(ept, e & EPT_ADDR, level - 1, gpa, next, rights);
        } else if ((e & RIGHTS) != rights) {
            u64 *p = &ept->ops->access(ept->ctx, table)[i];

            /* In place, not to lose an accessed or dirty flag that a CPU sets at this moment. */
            while (!__atomic_compare_exchange_n(p, &e, (e & ~RIGHTS) | rights, false, __ATOMIC_RELEASE,
                                                __ATOMIC_RELAXED))
                ;
            ept->stale = true;
        }
    }
}

static bool any_mapped(const struct ept *ept, paddr_t table, u32 level, gpa_t gpa, gpa_t end)
{
    for (gpa_t next; gpa < end; gpa = next) {
        u64 e = get(ept, table, index_of(gpa, level));

        next = entry_end(gpa, end, level);
        if (is_leaf(e, level) || (present(e) && any_mapped(ept, e & EPT_ADDR, level - 1, gpa, next)))
            return true;
    }
    return false;
}

/* leaf: the entry for gpa, less EPT_LARGE. Nothing is mapped in the range. */
static int map_range(struct ept *ept, paddr_t table, u32 level, gpa_t gpa, gpa_t end, u64 leaf)
{
    for (gpa_t next; gpa < end; leaf += next - gpa, gpa = next) {
        u32 i = index_of(gpa, level);
        u64 e = get(ept, table, i);

        next = entry_end(gpa, end, level);
        if (next - gpa == span(level) && IS_ALIGNED(leaf & EPT_ADDR, span(level)) &&
            level_allowed(ept, level)) {
            set(ept, table, i, level == 1 ? leaf : leaf | EPT_LARGE);
            continue;
        }
        if (!present(e)) {
            paddr_t child = new_table(ept);

            if (child == EPT_NO_TABLE)
                return ERR_NOMEM;
            e = child | all_rights(ept);
            set(ept, table, i, e);
        }
        if (map_range(ept, e & EPT_ADDR, level - 1, gpa, next, leaf))
            return ERR_NOMEM;
    }
    return OK;
}

static int check_range(gpa_t gpa, u64 size)
{
    if (!size || !IS_ALIGNED(gpa | size, PAGE_SIZE))
        return ERR_INVAL;
    return gpa + size < gpa || gpa + size > BIT(EPT_GPA_BITS) ? ERR_RANGE : OK;
}

/* SDM 326019, 'EPT Misconfigurations'. */
static bool rights_ok(const struct ept *ept, u64 rights)
{
    if ((rights & ~all_rights(ept)) || !rights)
        return false;
    return (rights & EPT_READ) || (!(rights & EPT_WRITE) && (ept->caps & EPT_CAP_EXECUTE_ONLY));
}

static bool type_ok(u32 type)
{
    static const bool valid[8] = {[EPT_UC] = 1, [EPT_WC] = 1, [EPT_WT] = 1, [EPT_WP] = 1, [EPT_WB] = 1};

    return type < 16 && valid[type & 7];
}

int ept_init(struct ept *ept, const struct ept_ops *ops, void *ctx, u64 caps, u32 maxphyaddr)
{
    *ept = (struct ept){.ops = ops, .ctx = ctx, .caps = caps, .maxphyaddr = maxphyaddr};
    ept->root = new_table(ept);
    return ept->root == EPT_NO_TABLE ? ERR_NOMEM : OK;
}

static void free_tree(struct ept *ept, paddr_t table, u32 level)
{
    for (u32 i = 0; level > 1 && i < ENTRIES; i++) {
        u64 e = get(ept, table, i);

        if (present(e) && !is_leaf(e, level))
            free_tree(ept, e & EPT_ADDR, level - 1);
    }
    free_table(ept, table);
}

void ept_destroy(struct ept *ept)
{
    ept_reclaim(ept);
    free_tree(ept, ept->root, ROOT);
    ept->root = EPT_NO_TABLE;
}

paddr_t ept_take_garbage(struct ept *ept)
{
    paddr_t tables = ept->garbage;

    ept->garbage = 0;
    ept->stale = false;
    return tables;
}

void ept_free_garbage(struct ept *ept, paddr_t tables)
{
    while (tables) {
        paddr_t pa = tables;

        tables = get(ept, pa, 0);
        free_table(ept, pa);
    }
}

void ept_reclaim(struct ept *ept)
{
    ept_free_garbage(ept, ept_take_garbage(ept));
}

int ept_map(struct ept *ept, gpa_t gpa, paddr_t pa, u64 size, u64 rights, u32 type)
{
    int r = check_range(gpa, size);

    if (r)
        return r;
    if (!IS_ALIGNED(pa, PAGE_SIZE) || !rights_ok(ept, rights) || !type_ok(type))
        return ERR_INVAL;
    if (pa + size < pa || pa + size > BIT(ept->maxphyaddr))
        return ERR_RANGE;
    if (any_mapped(ept, ept->root, ROOT, gpa, gpa + size))
        return ERR_EXIST;
    r = map_range(ept, ept->root, ROOT, gpa, gpa + size, pa | rights | (u64)type << EPT_TYPE_SHIFT);
    if (r)
        clear_range(ept, ept->root, ROOT, gpa, gpa + size);
    else
        merge_range(ept, ept->root, ROOT, gpa, gpa + size);
    return r;
}

/* Cuts pages at both ends of a range; if that fails the pieces are put together again. */
static int isolate(struct ept *ept, gpa_t gpa, u64 size)
{
    int r = check_range(gpa, size);

    if (r)
        return r;
    r = split_at(ept, gpa);
    if (!r)
        r = split_at(ept, gpa + size);
    if (r)
        merge_range(ept, ept->root, ROOT, gpa, gpa + size);
    return r;
}

int ept_unmap(struct ept *ept, gpa_t gpa, u64 size)
{
    int r = isolate(ept, gpa, size);

    if (!r)
        clear_range(ept, ept->root, ROOT, gpa, gpa + size);
    return r;
}

int ept_protect(struct ept *ept, gpa_t gpa, u64 size, u64 rights)
{
    int r = rights_ok(ept, rights) ? isolate(ept, gpa, size) : ERR_INVAL;

    if (r)
        return r;
    protect_range(ept, ept->root, ROOT, gpa, gpa + size, rights);
    merge_range(ept, ept->root, ROOT, gpa, gpa + size);
    return OK;
}

bool ept_lookup(const struct ept *ept, gpa_t gpa, struct ept_leaf *out)
{
    paddr_t table = ept->root;

    if (gpa >= BIT(EPT_GPA_BITS))
        return false;
    for (u32 level = ROOT;; level--) {
        u64 e = get(ept, table, index_of(gpa, level)), size = span(level);

        if (!present(e))
            return false;
        if (!is_leaf(e, level)) {
            table = e & EPT_ADDR;
            continue;
        }
        if (out)
            *out = (struct ept_leaf){.gpa = ALIGN_DOWN(gpa, size),
                                     .pa = (e & EPT_ADDR) + gpa % size,
                                     .size = size,
                                     .entry = e,
                                     .level = level};
        return true;
    }
}

static void visit(const struct ept *ept, paddr_t table, u32 level, gpa_t gpa,
                  void (*fn)(void *ctx, const struct ept_leaf *leaf), void *ctx)
{
    for (u32 i = 0; i < ENTRIES; i++, gpa += span(level)) {
        u64 e = get(ept, table, i);
        struct ept_leaf leaf = {gpa, e & EPT_ADDR, span(level), e, level};

        if (is_leaf(e, level))
            fn(ctx, &leaf);
        else if (present(e))
            visit(ept, e & EPT_ADDR, level - 1, gpa, fn, ctx);
    }
}

void ept_for_each_leaf(const struct ept *ept, void (*fn)(void *ctx, const struct ept_leaf *leaf), void *ctx)
{
    visit(ept, ept->root, ROOT, 0, fn, ctx);
}

u64 ept_pointer(const struct ept *ept)
{
    return ept->root | EPT_WB | (ROOT - 1) << 3 | (ept->caps & EPT_CAP_ACCESSED_DIRTY ? BIT(6) : 0);
}
