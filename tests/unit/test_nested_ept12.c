/* SPDX-License-Identifier: MIT */
/* links: vmm/nested/ept12.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "vmm/nested/ept12.h"

#define CAPS (EPT_CAP_EXECUTE_ONLY | EPT_CAP_2M | EPT_CAP_1G | EPT_CAP_ACCESSED_DIRTY)
#define EPTP (0x4000 | EPTP_WB | EPTP_WALK_4)
#define FLAG (EPT_ACCESSED | EPT_DIRTY)

/* L1's memory: the table of each level is at 4 KiB times that. The address below uses another entry of each.
 */
#define MEMORY (5 * PAGE_SIZE)
#define GPA2   (1ull << 39 | 2ull << 30 | 3ull << 21 | 4ull << 12 | 0x567)
#define WIDTH  46

static u64 memory[MEMORY / 8];
static u32 reads, updates, busy; /* that many updates find the entry changed */
static int failing;              /* what reads at fail_at return */
static gpa_t fail_at;

static int mem_read(void *ctx, gpa_t gpa1, u64 *entry)
{
    assert_ptr_equal(ctx, memory);
    assert_true(IS_ALIGNED(gpa1, 8));
    reads++;
    if (gpa1 == fail_at)
        return failing;
    if (gpa1 >= MEMORY)
        return ERR_RANGE;
    *entry = memory[gpa1 / 8];
    return OK;
}

static int mem_update(void *ctx, gpa_t gpa1, u64 old, u64 new)
{
    assert_ptr_equal(ctx, memory);
    assert_true(gpa1 < MEMORY && IS_ALIGNED(gpa1, 8));
    updates++;
    if (busy) {
        busy--;
        memory[gpa1 / 8] ^= BIT(52);
    }
    if (memory[gpa1 / 8] != old)
        return ERR_BUSY;
    memory[gpa1 / 8] = new;
    return OK;
}

static struct ept12_ctx base(void)
{
    reads = updates = busy = 0;
    fail_at = ~0ull;
    return (struct ept12_ctx){.eptp = EPTP,
                              .caps = CAPS,
                              .maxphyaddr = WIDTH,
                              .ctx = memory,
                              .read = mem_read,
                              .update = mem_update};
}

/* Entry of GPA2 at a level. */
static u64 *entry(u32 level)
{
    return &memory[level * 512 + (5 - level)];
}

static u64 size_of(u32 level)
{
    return PAGE_SIZE << 9 * (level - 1);
}

/* Tables down to a page of that level, with all rights, at 2 GiB or 512 GiB. */
static void put_page(u32 level)
{
    memset(memory, 0, sizeof(memory));
    for (u32 l = 4; l > level; l--)
        *entry(l) = (l - 1) * PAGE_SIZE | EPT_RWX;
    *entry(level) = GiB(2) | EPT_WB << EPT_TYPE_SHIFT | EPT_RWX | (level > 1 ? EPT_LARGE : 0);
}

static struct ept12_result expect(const struct ept12_ctx *w, u64 access, int result)
{
    struct ept12_result out;

    assert_int_equal(ept12_walk(w, GPA2, access, &out), result);
    return out;
}

static void test_page_sizes(void **state)
{
    (void)state;
    for (u32 level = 1; level <= 3; level++) {
        struct ept12_ctx w = base();
        struct ept12_result out;

        put_page(level);
        out = expect(&w, EPT_READ, OK);
        assert_int_equal(out.gpa1, GiB(2) + GPA2 % size_of(level));
        assert_int_equal(out.page_size, size_of(level));
        assert_int_equal(out.rights, EPT_RWX);
        assert_int_equal(out.type, EPT_WB);
        assert_true(out.dirty);
        assert_int_equal(reads, 5 - level);
        assert_int_equal(updates, 0);
    }
}

/* Each combination of rights, at each level, against each kind of access, with each size of page. */
static void test_rights(void **state)
{
    (void)state;
    for (u32 n = 0; n < 3 * 4 * 8 * 8; n++) {
        u32 leaf = n % 3 + 1, level = n / 3 % 4 + 1, access = n / 12 % 8, rights = n / 96 % 8;
        bool bad = (rights & EPT_WRITE) && !(rights & EPT_READ);
        struct ept12_ctx w = base();
        struct ept12_result out;

        if (level < leaf)
            continue;
        put_page(leaf);
        *entry(level) = (*entry(level) & ~EPT_RWX) | rights;
        out = expect(&w, access, bad ? ERR_INVAL : rights && !(access & ~rights) ? OK : ERR_FAULT);
        if (bad)
            continue;
        assert_int_equal(out.qualification, access | rights << 3);
        if (!(access & ~rights) && rights)
            assert_int_equal(out.rights, rights);
    }
}

static void test_rights_of_all_levels(void **state)
{
    struct ept12_ctx w = base();
    struct ept12_result out;

    (void)state;
    put_page(1);
    *entry(4) &= ~EPT_EXEC;
    *entry(2) &= ~EPT_WRITE;
    out = expect(&w, EPT_READ, OK);
    assert_int_equal(out.rights, EPT_READ);
    out = expect(&w, EPT_WRITE, ERR_FAULT);
    assert_int_equal(out.qualification, EPT_QUAL_WRITE | EPT_READ << 3);
    out = expect(&w, EPT_EXEC, ERR_FAULT);
    assert_int_equal(out.qualification, EPT_QUAL_FETCH | EPT_READ << 3);

    /* Nothing is left of the rights: the walk goes on nevertheless, and may find a misconfiguration. */
    *entry(1) = (*entry(1) & ~EPT_RWX) | EPT_EXEC;
    out = expect(&w, EPT_READ, ERR_FAULT);
    assert_int_equal(out.qualification, EPT_QUAL_READ);
    *entry(1) |= BIT(WIDTH);
    expect(&w, EPT_READ, ERR_INVAL);

    /* Behind a not-present entry nothing is looked at; all of its other bits are ignored. */
    reads = 0;
    *entry(2) = ~EPT_RWX;
    out = expect(&w, EPT_READ | EPT_WRITE, ERR_FAULT);
    assert_int_equal(out.qualification, EPT_QUAL_READ | EPT_QUAL_WRITE);
    assert_int_equal(reads, 3);
}

struct row {
    u32 leaf, level; /* an entry above a page, or the page's */
    u64 set, clear;
    u64 no_cap;
    int result;
};

/* 'EPT Misconfigurations'; around each border. */
static const struct row rows[] = {
    {1, 1, 0, EPT_READ, 0, ERR_INVAL},            /* write, execute */
    {1, 1, 0, EPT_READ | EPT_EXEC, 0, ERR_INVAL}, /* write */
    {1, 4, 0, EPT_READ, 0, ERR_INVAL},
    {1, 3, 0, EPT_READ | EPT_EXEC, 0, ERR_INVAL},
    {2, 2, 0, EPT_READ, 0, ERR_INVAL},
    {3, 3, 0, EPT_READ | EPT_EXEC, 0, ERR_INVAL},
    {1, 1, 0, EPT_RW, 0, ERR_FAULT},
    {1, 1, 0, EPT_RW, EPT_CAP_EXECUTE_ONLY, ERR_INVAL},
    {1, 4, 0, EPT_RW, EPT_CAP_EXECUTE_ONLY, ERR_INVAL},
    {2, 2, 0, EPT_RW, EPT_CAP_EXECUTE_ONLY, ERR_INVAL},
    /* not present: the rest does not matter */
    {1, 1, ~EPT_RWX, EPT_RWX, 0, ERR_FAULT},
    {1, 4, ~EPT_RWX, EPT_RWX, EPT_CAP_EXECUTE_ONLY, ERR_FAULT},
    /* bits 7:3 of what points to a table */
    {1, 4, BIT(3), 0, 0, ERR_INVAL},
    {1, 4, BIT(6), 0, 0, ERR_INVAL},
    {1, 4, BIT(7), 0, 0, ERR_INVAL},
    {1, 4, BITS(11, 8), 0, 0, OK},
    {1, 4, BITS(63, 52), 0, 0, OK},
    {1, 3, BIT(3), 0, 0, ERR_INVAL},
    {1, 3, BIT(4), 0, 0, ERR_INVAL},
    {1, 3, BIT(5), 0, 0, ERR_INVAL},
    {1, 3, BIT(6), 0, 0, ERR_INVAL},
    {1, 3, BITS(11, 8), 0, 0, OK},
    {1, 2, BIT(3), 0, 0, ERR_INVAL},
    {1, 2, BIT(6), 0, 0, ERR_INVAL},
    {1, 2, BITS(11, 8) | BITS(63, 52), 0, 0, OK},
    /* large pages: alignment, and whether there are any */
    {2, 2, BIT(12), 0, 0, ERR_INVAL},
    {2, 2, BIT(20), 0, 0, ERR_INVAL},
    {2, 2, BIT(21), 0, 0, OK},
    {3, 3, BIT(12), 0, 0, ERR_INVAL},
    {3, 3, BIT(29), 0, 0, ERR_INVAL},
    {3, 3, BIT(30), 0, 0, OK},
    {2, 2, 0, 0, EPT_CAP_2M, ERR_INVAL},
    {2, 2, 0, 0, EPT_CAP_1G, OK},
    {3, 3, 0, 0, EPT_CAP_1G, ERR_INVAL},
    {3, 3, 0, 0, EPT_CAP_2M, OK},
    {2, 2, BITS(11, 8) | BITS(63, 52), 0, 0, OK},
    {3, 3, BITS(11, 8) | BITS(63, 52), 0, 0, OK},
    {1, 1, BITS(11, 7) | BITS(63, 52), 0, 0, OK}, /* bit 7 too */
    {1, 1, BIT(12), 0, 0, OK},
    /* the address's width */
    {1, 4, BIT(WIDTH), 0, 0, ERR_INVAL},
    {1, 3, BIT(51), 0, 0, ERR_INVAL},
    {1, 2, BIT(WIDTH), 0, 0, ERR_INVAL},
    {1, 1, BIT(WIDTH), 0, 0, ERR_INVAL},
    {1, 1, BIT(51), 0, 0, ERR_INVAL},
    {1, 1, BIT(WIDTH - 1), 0, 0, OK},
    {2, 2, BIT(WIDTH), 0, 0, ERR_INVAL},
    {2, 2, BIT(WIDTH - 1), 0, 0, OK},
    {3, 3, BIT(WIDTH), 0, 0, ERR_INVAL},
    {3, 3, BIT(WIDTH - 1), 0, 0, OK},
};

static void test_misconfigurations(void **state)
{
    (void)state;
    for (u32 i = 0; i < ARRAY_SIZE(rows); i++) {
        const struct row *r = &rows[i];
        struct ept12_ctx w = base();
        struct ept12_result out;
        int result;

        put_page(r->leaf);
        *entry(r->level) = (*entry(r->level) & ~r->clear) | r->set;
        w.caps &= ~r->no_cap;
        result = ept12_walk(&w, GPA2, EPT_READ, &out);
        if (result != r->result)
            print_message("row %u: %d\n", i, result);
        assert_int_equal(result, r->result);
        if (result == OK)
            assert_int_equal(out.gpa1, (*entry(r->leaf) & EPT_ADDR) + GPA2 % size_of(r->leaf));
    }
}

static void test_no_width_limit(void **state)
{
    struct ept12_ctx w = base();

    (void)state;
    put_page(1);
    w.maxphyaddr = 52;
    *entry(1) |= BIT(51);
    expect(&w, EPT_READ, OK);
}

static void test_types(void **state)
{
    (void)state;
    for (u32 n = 0; n < 3 * 16; n++) {
        u32 level = n / 16 + 1, type = n % 16;
        bool good = (type & 7) != 2 && (type & 7) != 3 && (type & 7) != 7;
        struct ept12_ctx w = base();
        struct ept12_result out;

        put_page(level);
        *entry(level) = (*entry(level) & ~BITS(6, 3)) | type << 3;
        out = expect(&w, EPT_READ, good ? OK : ERR_INVAL);
        if (good)
            assert_int_equal(out.type, type); /* bit 3 is EPT_IPAT */
    }
}

static void test_mode_based(void **state)
{
    static const struct {
        u64 rights, access, no_cap;
        int result;
        u64 qualification;
    } row[] = {
        {EPT_READ | EPT_EXEC, EPT_EXEC, 0, OK, 4 | 5 << 3},
        {EPT_READ | EPT_EXEC, EPT_EXEC | EPT12_USER, 0, ERR_FAULT, 4 | 5 << 3},
        {EPT_READ | EPT_EXEC_USER, EPT_EXEC, 0, ERR_FAULT, 4 | 1 << 3 | 1 << 6},
        {EPT_READ | EPT_EXEC_USER, EPT_EXEC | EPT12_USER, 0, OK, 4 | 1 << 3 | 1 << 6},
        {EPT_READ | EPT_EXEC_USER, EPT_READ | EPT12_USER, 0, OK, 1 | 1 << 3 | 1 << 6},
        {EPT_EXEC_USER, EPT_EXEC | EPT12_USER, 0, OK, 4 | 1 << 6}, /* is present */
        {EPT_EXEC_USER, EPT_READ, 0, ERR_FAULT, 1 | 1 << 6},
        {EPT_EXEC_USER, EPT_READ, EPT_CAP_EXECUTE_ONLY, ERR_INVAL, 0},
        {EPT_WRITE | EPT_EXEC_USER, EPT_WRITE, 0, ERR_INVAL, 0},
        {0, EPT_EXEC | EPT12_USER, 0, ERR_FAULT, 4},
    };

    (void)state;
    for (u32 i = 0; i < ARRAY_SIZE(row); i++) {
        struct ept12_ctx w = base();
        struct ept12_result out;

        put_page(1);
        for (u32 level = 2; level <= 4; level++)
            *entry(level) |= EPT_EXEC_USER;
        *entry(1) = (*entry(1) & ~EPT_RWX) | row[i].rights;
        w.mode_based = true;
        w.caps &= ~row[i].no_cap;
        out = expect(&w, row[i].access, row[i].result);
        if (row[i].result != ERR_INVAL)
            assert_int_equal(out.qualification, row[i].qualification);
    }
}

/* Without it, bit 10 is ignored and a fetch is a fetch. */
static void test_not_mode_based(void **state)
{
    struct ept12_ctx w = base();
    struct ept12_result out;

    (void)state;
    put_page(1);
    *entry(1) |= EPT_EXEC_USER;
    out = expect(&w, EPT_EXEC | EPT12_USER, OK);
    assert_int_equal(out.rights, EPT_RWX);
    assert_int_equal(out.qualification, EPT_QUAL_FETCH | EPT_RWX << 3);
    *entry(1) = EPT_EXEC_USER;
    expect(&w, EPT_EXEC | EPT12_USER, ERR_FAULT);
}

static void test_flags(void **state)
{
    (void)state;
    for (u32 leaf = 1; leaf <= 3; leaf++) {
        struct ept12_ctx w = base();

        w.eptp |= EPTP_ACCESSED_DIRTY;
        put_page(leaf);
        assert_false(expect(&w, EPT_READ, OK).dirty);
        for (u32 level = leaf; level <= 4; level++)
            assert_int_equal(*entry(level) & FLAG, EPT_ACCESSED);
        assert_int_equal(updates, 5 - leaf);
        assert_false(expect(&w, EPT_EXEC, OK).dirty);
        assert_int_equal(updates, 5 - leaf);
        assert_true(expect(&w, EPT_WRITE, OK).dirty);
        for (u32 level = leaf; level <= 4; level++)
            assert_int_equal(*entry(level) & FLAG, level == leaf ? FLAG : EPT_ACCESSED);
        assert_int_equal(updates, 6 - leaf);
        assert_true(expect(&w, EPT_READ, OK).dirty);
        assert_true(expect(&w, EPT_WRITE, OK).dirty);
        assert_int_equal(updates, 6 - leaf);
    }
}

/* 'Page-Modification Logging': what is to be logged, and a log that is full. */
static void test_marked(void **state)
{
    (void)state;
    for (u32 leaf = 1; leaf <= 3; leaf++) {
        struct ept12_ctx w = base();

        put_page(leaf);
        w.log_full = true;
        assert_false(expect(&w, EPT_WRITE, OK).marked); /* no flags at all */
        w.eptp |= EPTP_ACCESSED_DIRTY;
        expect(&w, EPT_READ, ERR_NOENT);
        expect(&w, EPT_WRITE, ERR_NOENT);
        assert_int_equal(updates, 0);
        w.log_full = false;
        assert_false(expect(&w, EPT_READ, OK).marked);
        w.log_full = true;
        assert_false(expect(&w, EPT_READ, OK).marked);
        expect(&w, EPT_WRITE, ERR_NOENT);
        assert_int_equal(*entry(leaf) & FLAG, EPT_ACCESSED);
        w.log_full = false;
        assert_true(expect(&w, EPT_READ | EPT12_PAGING, OK).marked);
        assert_false(expect(&w, EPT_WRITE, OK).marked);
        w.log_full = true;
        assert_false(expect(&w, EPT_WRITE, OK).marked);
        *entry(leaf) &= ~EPT_WRITE; /* the violation comes first */
        *entry(4) &= ~EPT_ACCESSED;
        expect(&w, EPT_WRITE, ERR_FAULT);
        /* Though entries change under it. */
        put_page(leaf);
        w.log_full = false;
        busy = 3;
        assert_true(expect(&w, EPT_WRITE, OK).marked);
    }
}

/* No flags for an access that is not allowed; none at all where they are not enabled. */
static void test_flags_stay(void **state)
{
    struct ept12_ctx w = base();

    (void)state;
    put_page(1);
    expect(&w, EPT_WRITE, OK);
    assert_int_equal(updates, 0);
    w.eptp |= EPTP_ACCESSED_DIRTY;
    *entry(1) &= ~EPT_WRITE;
    expect(&w, EPT_WRITE, ERR_FAULT);
    *entry(1) |= BIT(WIDTH);
    expect(&w, EPT_READ, ERR_INVAL);
    *entry(1) = 0;
    expect(&w, EPT_READ, ERR_FAULT);
    assert_int_equal(updates, 0);
}

/* With flags, the CPU's accesses to paging structures are writes, and reads and writes to L1. */
static void test_paging_structures(void **state)
{
    struct ept12_ctx w = base();
    struct ept12_result out;

    (void)state;
    put_page(1);
    *entry(1) &= ~EPT_WRITE;
    out = expect(&w, EPT_READ | EPT12_PAGING, OK);
    assert_int_equal(out.qualification, EPT_QUAL_READ | 5 << 3);
    expect(&w, EPT_WRITE | EPT12_PAGING, ERR_FAULT);
    w.eptp |= EPTP_ACCESSED_DIRTY;
    out = expect(&w, EPT_READ | EPT12_PAGING, ERR_FAULT);
    assert_int_equal(out.qualification, EPT_QUAL_READ | EPT_QUAL_WRITE | 5 << 3);
    out = expect(&w, EPT_WRITE | EPT12_PAGING, ERR_FAULT);
    assert_int_equal(out.qualification, EPT_QUAL_READ | EPT_QUAL_WRITE | 5 << 3);
    *entry(1) |= EPT_WRITE;
    out = expect(&w, EPT_READ | EPT12_PAGING, OK);
    assert_true(out.dirty);
    assert_int_equal(*entry(1) & FLAG, FLAG);
}

static void test_changing_entries(void **state)
{
    struct ept12_ctx w = base();
    struct ept12_result out;

    (void)state;
    put_page(1);
    w.eptp |= EPTP_ACCESSED_DIRTY;
    busy = 3;
    assert_true(expect(&w, EPT_WRITE, OK).dirty);
    assert_int_equal(*entry(1) & FLAG, FLAG);
    assert_int_equal(busy, 0);
    put_page(1);
    busy = ~0u;
    out = expect(&w, EPT_WRITE, ERR_BUSY);
    assert_int_equal(out.qualification & EPT_RWX, EPT_WRITE);
    assert_int_equal(*entry(1) & FLAG, 0);
}

/* Tables where L1 has no memory read as all ones, which is no entry that a table or a page can have. */
static void test_no_memory(void **state)
{
    struct ept12_ctx w = base();

    (void)state;
    for (u32 level = 1; level <= 4; level++) {
        put_page(1);
        fail_at = (gpa_t)((u8 *)entry(level) - (u8 *)memory);
        failing = ERR_RANGE;
        expect(&w, EPT_READ, ERR_INVAL);
        failing = ERR_NOMEM;
        expect(&w, EPT_READ, ERR_NOMEM);
    }
}

static void test_beyond_the_tables(void **state)
{
    struct ept12_ctx w = base();
    struct ept12_result out;

    (void)state;
    put_page(1);
    assert_int_equal(ept12_walk(&w, GPA2 | BIT(48), EPT_READ, &out), ERR_FAULT);
    assert_int_equal(out.qualification, EPT_QUAL_READ);
    assert_int_equal(reads, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_page_sizes),
        cmocka_unit_test(test_rights),
        cmocka_unit_test(test_rights_of_all_levels),
        cmocka_unit_test(test_misconfigurations),
        cmocka_unit_test(test_no_width_limit),
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_mode_based),
        cmocka_unit_test(test_not_mode_based),
        cmocka_unit_test(test_flags),
        cmocka_unit_test(test_marked),
        cmocka_unit_test(test_flags_stay),
        cmocka_unit_test(test_paging_structures),
        cmocka_unit_test(test_changing_entries),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_beyond_the_tables),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
