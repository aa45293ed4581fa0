/* SPDX-License-Identifier: MIT */
/* links: vmm/walk.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86/regs.h"
#include "vmm/walk.h"

/* Guest memory: page tables only, 16 pages from 0. */
#define MEMORY (16 * PAGE_SIZE)

static u8 memory[MEMORY];
static u32 reads, updates;
static gpa_t change_at; /* the next update here finds the entry changed */

static int mem_read(void *ctx, gpa_t gpa, u32 size, u64 *value)
{
    assert_ptr_equal(ctx, memory);
    assert_true(size == 4 || size == 8);
    assert_true(IS_ALIGNED(gpa, size));
    reads++;
    if (gpa >= MEMORY)
        return ERR_RANGE;
    *value = 0;
    memcpy(value, memory + gpa, size);
    return OK;
}

static int mem_update(void *ctx, gpa_t gpa, u32 size, u64 old, u64 new)
{
    u64 now;

    assert_int_equal(mem_read(ctx, gpa, size, &now), OK);
    updates++;
    if (gpa == change_at) {
        change_at = ~0ull;
        memory[gpa + 1] ^= 0x02; /* a bit that software may use */
        return ERR_BUSY;
    }
    if (now != old)
        return ERR_BUSY;
    memcpy(memory + gpa, &new, size);
    return OK;
}

static void put(gpa_t gpa, u32 size, u64 value)
{
    memcpy(memory + gpa, &value, size);
}

static u64 entry(gpa_t gpa, u32 size)
{
    u64 value = 0;

    memcpy(&value, memory + gpa, size);
    return value;
}

static struct walk_ctx base(u64 cr4, u64 efer)
{
    reads = updates = 0;
    change_at = ~0ull;
    return (struct walk_ctx){
        .cr0 = CR0_PE | CR0_PG | CR0_WP,
        .cr3 = 0x1000,
        .cr4 = cr4,
        .efer = efer,
        .maxphyaddr = 46,
        .page1g = true,
        .ctx = memory,
        .read = mem_read,
        .update = mem_update,
    };
}

static void expect_gpa(const struct walk_ctx *w, gva_t gva, u32 access, gpa_t gpa, u64 page_size)
{
    struct walk_result r;

    assert_int_equal(walk(w, gva, access, &r), OK);
    assert_int_equal(r.gpa, gpa);
    assert_int_equal(r.page_size, page_size);
}

static void expect_fault(const struct walk_ctx *w, gva_t gva, u32 access, u32 error_code)
{
    struct walk_result r;

    assert_int_equal(walk(w, gva, access, &r), ERR_FAULT);
    assert_int_equal(r.error_code, error_code);
}

#define ALL (PTE_P | PTE_W | PTE_U)

/* 4-level tables: one path for GVA4 through 0x1000, 0x2000, 0x3000, 0x4000, and the top of 5-level ones at
 * 0x5000. */
#define GVA4  0xffff8123456789abull
#define PML4E (0x1000 + (GVA4 >> 39 & 511) * 8)
#define PDPTE (0x2000 + (GVA4 >> 30 & 511) * 8)
#define PDE   (0x3000 + (GVA4 >> 21 & 511) * 8)
#define PTE   (0x4000 + (GVA4 >> 12 & 511) * 8)
#define PML5E (0x5000 + (GVA4 >> 48 & 511) * 8)
#define PAGE  0x123456789000ull
#define LONG  CR4_PAE, EFER_LME | EFER_LMA | EFER_NXE

static struct walk_ctx long_mode(void)
{
    memset(memory, 0, MEMORY);
    put(PML5E, 8, 0x1000 | ALL);
    put(PML4E, 8, 0x2000 | ALL);
    put(PDPTE, 8, 0x3000 | ALL);
    put(PDE, 8, 0x4000 | ALL);
    put(PTE, 8, PAGE | ALL);
    return base(LONG);
}

/* What all levels say, and what one does. */
static void test_kind_of_page(void **state)
{
    const gpa_t path[] = {PML4E, PDPTE, PDE, PTE};
    const u32 all = WALK_PAGE_USER | WALK_PAGE_WRITE;
    struct walk_ctx w = long_mode();
    struct walk_result r;

    (void)state;
    assert_int_equal(walk(&w, GVA4, WALK_READ, &r), OK);
    assert_int_equal(r.page, all);
    for (u32 i = 0; i < ARRAY_SIZE(path); i++) {
        static const struct {
            u64 bit;
            u32 page;
        } rows[] = {
            {PTE_U, WALK_PAGE_WRITE},
            {PTE_W, WALK_PAGE_USER},
            {PTE_NX, WALK_PAGE_USER | WALK_PAGE_WRITE | WALK_PAGE_NX},
        };

        for (u32 n = 0; n < ARRAY_SIZE(rows); n++) {
            w = long_mode();
            put(path[i], 8, entry(path[i], 8) ^ rows[n].bit);
            assert_int_equal(walk(&w, GVA4, WALK_READ, &r), OK);
            assert_int_equal(r.page, rows[n].page);
        }
    }
    w = base(0, 0);
    w.cr0 = CR0_PE;
    assert_int_equal(walk(&w, 0x1234, WALK_READ, &r), OK);
    assert_int_equal(r.page, all);
}

static void test_no_paging(void **state)
{
    struct walk_ctx w = base(0, 0);

    (void)state;
    w.cr0 = CR0_PE;
    w.cpl = 3;
    expect_gpa(&w, 0x1fffff234, WALK_WRITE, 0xfffff234, PAGE_SIZE);
    assert_int_equal(reads, 0);
}

static void test_32bit(void **state)
{
    struct walk_ctx w = base(0, 0);
    gva_t gva = 0xc0802345;

    (void)state;
    memset(memory, 0, MEMORY);
    put(0x1000 + 0x302 * 4, 4, 0x2000 | ALL);
    put(0x2000 + 2 * 4, 4, 0xfedcb000 | ALL);
    expect_gpa(&w, gva, WALK_READ, 0xfedcb345, KiB(4));
    expect_gpa(&w, gva | 0xff00000000, WALK_READ, 0xfedcb345, KiB(4));
    assert_int_equal(entry(0x1000 + 0x302 * 4, 4), 0x2000 | ALL | PTE_A);
    assert_int_equal(entry(0x2000 + 2 * 4, 4), 0xfedcb000 | ALL | PTE_A);
    /* PS means nothing without CR4.PSE, and bit 7 of a PTE is the PAT bit. */
    put(0x1000 + 0x302 * 4, 4, 0x2000 | ALL | PTE_PS);
    put(0x2000 + 2 * 4, 4, 0xfedcb000 | ALL | PTE_PS);
    expect_gpa(&w, gva, WALK_WRITE, 0xfedcb345, KiB(4));
    assert_int_equal(entry(0x2000 + 2 * 4, 4), 0xfedcb000 | ALL | PTE_PS | PTE_A | PTE_D);
    /* Bits 11:0 of CR3 are no part of the address. */
    w.cr3 = 0x101f;
    expect_gpa(&w, gva, WALK_READ, 0xfedcb345, KiB(4));

    w.cr4 = CR4_PSE;
    put(0x1000 + 0x302 * 4, 4, 0xab400000 | 0xff << 13 | ALL | PTE_PS);
    expect_gpa(&w, gva, WALK_WRITE, 0xffab402345, MiB(4));
    assert_int_equal(entry(0x1000 + 0x302 * 4, 4), 0xab400000 | 0xff << 13 | ALL | PTE_PS | PTE_A | PTE_D);
    put(0x1000 + 0x302 * 4, 4, 0xab400000 | 1 << 21 | ALL | PTE_PS);
    expect_fault(&w, gva, WALK_READ, PF_PRESENT | PF_RESERVED);
    w.maxphyaddr = 36;
    put(0x1000 + 0x302 * 4, 4, 0xab400000 | 0xf << 13 | ALL | PTE_PS);
    expect_gpa(&w, gva, WALK_READ, 0xfab402345, MiB(4));
    put(0x1000 + 0x302 * 4, 4, 0xab400000 | 0x10 << 13 | ALL | PTE_PS);
    expect_fault(&w, gva, WALK_READ, PF_PRESENT | PF_RESERVED);
    put(0x1000 + 0x302 * 4, 4, ALL & ~PTE_P);
    expect_fault(&w, gva, WALK_WRITE, PF_WRITE);
    /* There is no execute-disable here, but SMEP makes the error code tell fetches. */
    expect_fault(&w, gva, WALK_FETCH, 0);
    w.efer = EFER_NXE;
    expect_fault(&w, gva, WALK_FETCH, 0);
    w.cr4 |= CR4_SMEP;
    expect_fault(&w, gva, WALK_FETCH, PF_FETCH);
}

static void test_pae(void **state)
{
    struct walk_ctx w = base(CR4_PAE, EFER_NXE);
    gva_t gva = 0xc0802345;
    u64 registers[4] = {[3] = 0x3000 | PTE_P};

    (void)state;
    memset(memory, 0, MEMORY);
    w.cr3 = 0x1020;
    put(0x1020 + 3 * 8, 8, 0x2000 | PTE_P);
    put(0x2000 + 4 * 8, 8, 0x4000 | ALL);
    put(0x4000 + 2 * 8, 8, PAGE | ALL);
    w.cpl = 3; /* PDPTEs have no rights */
    expect_gpa(&w, gva, WALK_WRITE, PAGE | 0x345, KiB(4));
    assert_int_equal(entry(0x1020 + 3 * 8, 8), 0x2000 | PTE_P);
    assert_int_equal(entry(0x2000 + 4 * 8, 8), 0x4000 | ALL | PTE_A);
    assert_int_equal(entry(0x4000 + 2 * 8, 8), PAGE | ALL | PTE_A | PTE_D);
    w.cpl = 0;
    for (u32 bit = 0; bit < 64; bit++) {
        put(0x1020 + 3 * 8, 8, (0x2000 | PTE_P) ^ BIT(bit));
        if (bit == 1 || bit == 2 || (bit >= 5 && bit <= 8) || bit >= 46)
            expect_fault(&w, gva, WALK_READ, PF_PRESENT | PF_RESERVED);
        put(0x1020 + 3 * 8, 8, 0x2000 | PTE_P);
        put(0x4000 + 2 * 8, 8, (PAGE | ALL) ^ BIT(bit));
        if (bit >= 46 && bit < 63)
            expect_fault(&w, gva, WALK_READ, PF_PRESENT | PF_RESERVED);
    }
    put(0x4000 + 2 * 8, 8, PAGE | ALL | PTE_NX);
    expect_gpa(&w, gva, WALK_READ, PAGE | 0x345, KiB(4));
    expect_fault(&w, gva, WALK_FETCH, PF_PRESENT | PF_FETCH);
    w.efer = 0;
    expect_fault(&w, gva, WALK_READ, PF_PRESENT | PF_RESERVED);
    /* 2 MiB pages need no CR4.PSE here. */
    put(0x2000 + 4 * 8, 8, 0x3fe000600000 | ALL | PTE_PS);
    expect_gpa(&w, gva, WALK_READ, 0x3fe000602345, MiB(2));
    for (u32 bit = 13; bit <= 20; bit++) {
        put(0x2000 + 4 * 8, 8, 0x3fe000600000 | ALL | PTE_PS | BIT(bit));
        expect_fault(&w, gva, WALK_READ, PF_PRESENT | PF_RESERVED);
    }
    /* The registers have precedence over memory. */
    put(0x3000 + 4 * 8, 8, 0x800000 | ALL | PTE_PS);
    w.pdpte = registers;
    expect_gpa(&w, gva, WALK_READ, 0x802345, MiB(2));
    registers[3] = 0;
    expect_fault(&w, gva, WALK_WRITE, PF_WRITE);
}

static void test_long_sizes(void **state)
{
    struct walk_ctx w = long_mode();

    (void)state;
    expect_gpa(&w, GVA4, WALK_READ, PAGE | 0x9ab, KiB(4));
    assert_int_equal(reads, 4 + 4);
    w.cr3 = 0x1fff | BIT(63); /* PCID */
    expect_gpa(&w, GVA4, WALK_READ, PAGE | 0x9ab, KiB(4));
    w.cr4 |= CR4_LA57;
    w.cr3 = 0x5000;
    expect_gpa(&w, GVA4, WALK_READ, PAGE | 0x9ab, KiB(4));
    put(PML5E, 8, 0);
    expect_fault(&w, GVA4, WALK_READ, 0);

    w = long_mode();
    put(PDE, 8, 0x12345 * MiB(2) | BIT(12) | ALL | PTE_PS); /* bit 12 is the PAT bit */
    expect_gpa(&w, GVA4, WALK_READ, 0x12345 * MiB(2) | (GVA4 & (MiB(2) - 1)), MiB(2));
    put(PDPTE, 8, 0x123 * GiB(1) | BIT(12) | ALL | PTE_PS);
    expect_gpa(&w, GVA4, WALK_READ, 0x123 * GiB(1) | (GVA4 & (GiB(1) - 1)), GiB(1));
    w.page1g = false;
    expect_fault(&w, GVA4, WALK_READ, PF_PRESENT | PF_RESERVED);
}

/* Each bit of each entry, set alone besides a good entry: which of them are reserved. */
static void test_long_reserved(void **state)
{
    static const struct {
        gpa_t at;
        u64 value;
        u64 reserved; /* besides 51:MAXPHYADDR and, without NXE, 63 */
        gpa_t gpa;    /* of the page */
        u64 size;
    } row[] = {
        {PML4E, 0x2000 | ALL, PTE_PS, 0x9000, KiB(4)},  {PDPTE, 0x3000 | ALL, 0, 0x9000, KiB(4)},
        {PDPTE, ALL | PTE_PS, BITS(29, 13), 0, GiB(1)}, {PDE, 0x4000 | ALL, 0, 0x9000, KiB(4)},
        {PDE, ALL | PTE_PS, BITS(20, 13), 0, MiB(2)},   {PTE, ALL, 0, 0, KiB(4)},
    };

    (void)state;
    for (u32 i = 0; i < ARRAY_SIZE(row); i++) {
        for (u32 n = 0; n < 3 * 64; n++) {
            u32 width = (const u32[]){36, 46, 52}[n / 64], bit = n % 64;
            struct walk_ctx w = long_mode();
            struct walk_result r;
            bool reserved = (BIT(bit) & row[i].reserved) || (bit >= width && bit < 52);

            put(PTE, 8, 0x9000 | ALL);
            put(row[i].at, 8, row[i].value);
            w.maxphyaddr = width;
            expect_gpa(&w, GVA4, WALK_READ, row[i].gpa | (GVA4 & (row[i].size - 1)), row[i].size);
            put(row[i].at, 8, row[i].value | BIT(bit));
            if ((bit >= PAGE_SHIFT && bit < 52) || (BIT(bit) & PTE_PS)) {
                /* An address bit may lead anywhere: it only must not be called reserved. */
                int result = walk(&w, GVA4, WALK_READ, &r);
                bool rsvd = result == ERR_FAULT && (r.error_code & PF_RESERVED);

                if (reserved || (BIT(bit) & ~PTE_PS))
                    assert_int_equal(rsvd, reserved);
            } else {
                assert_int_equal(walk(&w, GVA4, WALK_READ, &r), OK);
            }
            if (bit == 63) {
                w.efer &= ~(u64)EFER_NXE;
                expect_fault(&w, GVA4, WALK_READ, PF_PRESENT | PF_RESERVED);
            }
        }
    }
}

static void test_not_present(void **state)
{
    static const gpa_t path[] = {PML4E, PDPTE, PDE, PTE};

    (void)state;
    for (u32 i = 0; i < ARRAY_SIZE(path); i++) {
        struct walk_ctx w = long_mode();

        put(path[i], 8, ~(u64)PTE_P); /* nothing else counts then */
        expect_fault(&w, GVA4, WALK_READ, 0);
        expect_fault(&w, GVA4, WALK_WRITE, PF_WRITE);
        expect_fault(&w, GVA4, WALK_FETCH, PF_FETCH);
        w.cpl = 3;
        expect_fault(&w, GVA4, WALK_WRITE, PF_WRITE | PF_USER);
        expect_fault(&w, GVA4, WALK_WRITE | WALK_IMPLICIT, PF_WRITE);
        assert_int_equal(updates, 0);
    }
}

/* The SDM's list of access rights, written down as it stands there. */
static bool allowed(const struct walk_ctx *w, u32 access, bool user_page, bool writable, bool nx)
{
    bool wp = w->cr0 & CR0_WP, smap = w->cr4 & CR4_SMAP, smep = w->cr4 & CR4_SMEP;
    bool implicit = access & WALK_IMPLICIT;

    if (w->cpl < 3 || implicit) {
        switch (access & ~WALK_IMPLICIT) {
        case WALK_READ:
            return !user_page || !smap || (w->ac && !implicit);
        case WALK_WRITE:
            if (!user_page)
                return !wp || writable;
            return (!wp || writable) && (!smap || (w->ac && !implicit));
        default:
            return !nx && (!user_page || !smep);
        }
    }
    switch (access) {
    case WALK_READ:
        return user_page;
    case WALK_WRITE:
        return user_page && writable;
    default:
        return user_page && !nx;
    }
}

static void test_rights(void **state)
{
    static const u32 kinds[] = {WALK_READ, WALK_WRITE, WALK_FETCH, WALK_READ | WALK_IMPLICIT,
                                WALK_WRITE | WALK_IMPLICIT};
    static const gpa_t path[] = {PML4E, PDPTE, PDE, PTE};
    u32 faults = 0;

    (void)state;
    for (u32 n = 0; n < 4 * 8 * 32; n++) {
        gpa_t at = path[n & 3];
        bool user_page = n & 4, writable = n & 8, nx = n & 16;
        struct walk_ctx w = long_mode();

        put(at, 8,
            (entry(at, 8) & ~(u64)(PTE_W | PTE_U)) | (user_page ? PTE_U : 0) | (writable ? PTE_W : 0) |
                (nx ? PTE_NX : 0));
        w.cr0 = CR0_PE | CR0_PG | (n & 32 ? CR0_WP : 0);
        w.cr4 |= (n & 64 ? CR4_SMEP : 0) | (n & 128 ? CR4_SMAP : 0);
        w.ac = n & 256;
        w.cpl = n & 512 ? 3 : n & 1;
        for (u32 i = 0; i < ARRAY_SIZE(kinds); i++) {
            u32 access = kinds[i];
            bool user = w.cpl == 3 && !(access & WALK_IMPLICIT);

            if (allowed(&w, access, user_page, writable, nx)) {
                expect_gpa(&w, GVA4, access, PAGE | 0x9ab, KiB(4));
                continue;
            }
            expect_fault(&w, GVA4, access,
                         PF_PRESENT | (access & WALK_WRITE ? PF_WRITE : 0) |
                             (access & WALK_FETCH ? PF_FETCH : 0) | (user ? PF_USER : 0));
            faults++;
        }
    }
    assert_in_range(faults, 1500, 4 * 8 * 32 * 5 / 2 + 500);
}

static void test_protection_keys(void **state)
{
    (void)state;
    for (u32 key = 0; key < 16; key++) {
        struct walk_ctx w = long_mode();
        u32 ad = 1u << (2 * key), wd = 2u << (2 * key);

        put(PTE, 8, PAGE | ALL | (u64)key << 59);
        w.pkru = ~0u;
        expect_gpa(&w, GVA4, WALK_WRITE, PAGE | 0x9ab, KiB(4));
        w.cr4 |= CR4_PKE;
        w.pkru = ~(ad | wd);
        expect_gpa(&w, GVA4, WALK_WRITE, PAGE | 0x9ab, KiB(4));
        w.pkru = ad;
        expect_gpa(&w, GVA4, WALK_FETCH, PAGE | 0x9ab, KiB(4));
        expect_fault(&w, GVA4, WALK_READ, PF_PRESENT | PF_KEY);
        w.cpl = 3;
        expect_fault(&w, GVA4, WALK_WRITE, PF_PRESENT | PF_KEY | PF_USER | PF_WRITE);
        w.pkru = wd;
        expect_gpa(&w, GVA4, WALK_READ, PAGE | 0x9ab, KiB(4));
        expect_fault(&w, GVA4, WALK_WRITE, PF_PRESENT | PF_KEY | PF_USER | PF_WRITE);
        w.cr0 &= ~(u64)CR0_WP;
        expect_fault(&w, GVA4, WALK_WRITE, PF_PRESENT | PF_KEY | PF_USER | PF_WRITE);
        w.cpl = 0;
        expect_gpa(&w, GVA4, WALK_WRITE, PAGE | 0x9ab, KiB(4));
        w.cr0 |= CR0_WP;
        expect_fault(&w, GVA4, WALK_WRITE, PF_PRESENT | PF_KEY | PF_WRITE);
        /* A supervisor page has PKRS instead. */
        put(PTE, 8, (PAGE | ALL | (u64)key << 59) & ~(u64)PTE_U);
        w.pkrs = ad;
        expect_gpa(&w, GVA4, WALK_WRITE, PAGE | 0x9ab, KiB(4));
        w.cr4 |= CR4_PKS;
        expect_fault(&w, GVA4, WALK_READ, PF_PRESENT | PF_KEY);
        /* Both reasons are told. */
        w.cpl = 3;
        expect_fault(&w, GVA4, WALK_READ, PF_PRESENT | PF_KEY | PF_USER);
    }
}

static void test_flags(void **state)
{
    struct walk_ctx w = long_mode();

    (void)state;
    expect_gpa(&w, GVA4, WALK_READ, PAGE | 0x9ab, KiB(4));
    assert_int_equal(updates, 4);
    assert_int_equal(entry(PML4E, 8), 0x2000 | ALL | PTE_A);
    assert_int_equal(entry(PTE, 8), PAGE | ALL | PTE_A);
    expect_gpa(&w, GVA4, WALK_READ, PAGE | 0x9ab, KiB(4));
    assert_int_equal(updates, 4);
    expect_gpa(&w, GVA4, WALK_WRITE, PAGE | 0x9ab, KiB(4));
    assert_int_equal(updates, 5);
    assert_int_equal(entry(PTE, 8), PAGE | ALL | PTE_A | PTE_D);
    assert_int_equal(entry(PDE, 8), 0x4000 | ALL | PTE_A);

    /* An entry that changes meanwhile is read again, and its change survives. */
    w = long_mode();
    change_at = PDE;
    expect_gpa(&w, GVA4, WALK_WRITE, PAGE | 0x9ab, KiB(4));
    assert_int_equal(entry(PDE, 8), 0x4000 | ALL | PTE_A | 0x200);

    /* A refused access sets nothing. */
    w = long_mode();
    put(PTE, 8, PAGE | PTE_P);
    expect_fault(&w, GVA4, WALK_WRITE, PF_PRESENT | PF_WRITE);
    assert_int_equal(updates, 0);

    w = long_mode();
    w.update = NULL;
    expect_gpa(&w, GVA4, WALK_WRITE, PAGE | 0x9ab, KiB(4));
    assert_int_equal(entry(PTE, 8), PAGE | ALL);
}

static int always_busy(void *ctx, gpa_t gpa, u32 size, u64 old, u64 new)
{
    (void)ctx, (void)gpa, (void)size, (void)old, (void)new;
    return ERR_BUSY;
}

static void test_no_memory_and_no_end(void **state)
{
    struct walk_ctx w = long_mode();
    struct walk_result r;

    (void)state;
    put(PDE, 8, MEMORY | ALL);
    assert_int_equal(walk(&w, GVA4, WALK_READ, &r), ERR_RANGE);
    assert_int_equal(r.gpa, MEMORY + (GVA4 >> 12 & 511) * 8);
    w = long_mode();
    w.update = always_busy;
    assert_int_equal(walk(&w, GVA4, WALK_READ, &r), ERR_BUSY);
}

static void test_pdptes(void **state)
{
    u64 pdpte[4] = {0};

    (void)state;
    for (u32 bit = 1; bit < 64; bit++) {
        bool reserved = bit <= 2 || (bit >= 5 && bit <= 8) || bit >= 40;

        for (u32 i = 0; i < 4; i++) {
            pdpte[i] = BIT(bit);
            assert_true(walk_pdptes_good(pdpte, 40));
            pdpte[i] |= PTE_P;
            assert_int_equal(walk_pdptes_good(pdpte, 40), !reserved);
            pdpte[i] = 0;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kind_of_page),
        cmocka_unit_test(test_no_paging),
        cmocka_unit_test(test_32bit),
        cmocka_unit_test(test_pae),
        cmocka_unit_test(test_long_sizes),
        cmocka_unit_test(test_long_reserved),
        cmocka_unit_test(test_not_present),
        cmocka_unit_test(test_rights),
        cmocka_unit_test(test_protection_keys),
        cmocka_unit_test(test_flags),
        cmocka_unit_test(test_no_memory_and_no_end),
        cmocka_unit_test(test_pdptes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
