/* SPDX-License-Identifier: MIT */
/* links: drivers/acpi.c drivers/acpi_madt.c drivers/acpi_tables.c lib/format.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "drivers/acpi.h"

/* The machine: a little physical memory at MEMORY, the BIOS area, and what was mapped as exact copies, so
 * that the sanitizer sees a read beyond a mapping. */
#define MEMORY 0x7f000000ull
#define SIZE   0x40000

static u8 memory[SIZE], bios[0x20000], ebda[0x400], bda[2];
static void *maps[4096];
static u32 nr_maps;
static char warnings[8192], err[256];
static u32 nr_warnings;
static u32 used; /* of memory */
static u64 roots[200];
static u32 nr_roots;
static struct acpi acpi;

static const u8 *physical(paddr_t pa, u64 size)
{
    static const struct {
        paddr_t base;
        u64 size;
        const u8 *bytes;
    } areas[] = {{MEMORY, SIZE, memory},
                 {0xe0000, sizeof(bios), bios},
                 {0x9fc00, sizeof(ebda), ebda},
                 {0x40e, 2, bda}};

    for (u32 i = 0; i < ARRAY_SIZE(areas); i++)
        if (pa >= areas[i].base && size <= areas[i].size && pa - areas[i].base <= areas[i].size - size)
            return areas[i].bytes + (pa - areas[i].base);
    return NULL;
}

static const void *map(paddr_t pa, u64 size)
{
    const u8 *from = physical(pa, size);
    void *copy;

    if (!from)
        return NULL;
    assert_true(nr_maps < ARRAY_SIZE(maps));
    copy = maps[nr_maps++] = malloc(size);
    memcpy(copy, from, size);
    return copy;
}

static void warn(const char *text)
{
    size_t n = strlen(warnings);

    nr_warnings++;
    snprintf(warnings + n, sizeof(warnings) - n, "%s\n", text);
}

static int teardown(void **state)
{
    (void)state;
    while (nr_maps)
        free(maps[--nr_maps]);
    return 0;
}

static int setup(void **state)
{
    (void)state;
    memset(memory, 0, sizeof(memory));
    memset(bios, 0, sizeof(bios));
    memset(ebda, 0, sizeof(ebda));
    memset(bda, 0, sizeof(bda));
    used = 0x100;
    nr_roots = nr_warnings = 0;
    warnings[0] = 0;
    return 0;
}

static void fix_checksum(void *p, u32 n, u32 at)
{
    u8 *b = p, sum = 0;

    b[at] = 0;
    for (u32 i = 0; i < n; i++)
        sum += b[i];
    b[at] = -sum;
}

/* A table with its body, at the next place; named by the root when listed. Returns it. */
static struct acpi_header *table(const char *signature, const void *body, u32 n, bool listed)
{
    struct acpi_header *h = (struct acpi_header *)(memory + used);

    memcpy(h->signature, signature, 4);
    h->length = sizeof(*h) + n;
    h->revision = 1;
    if (body)
        memcpy(h + 1, body, n);
    fix_checksum(h, h->length, 9);
    if (listed)
        roots[nr_roots++] = MEMORY + used;
    used = ALIGN_UP(used + h->length, 16);
    return h;
}

static u64 address(const struct acpi_header *h)
{
    return MEMORY + ((const u8 *)h - memory);
}

static void make_rsdp(u8 out[36], u32 rsdt, u64 xsdt)
{
    u32 length = 36;

    memset(out, 0, 36);
    memcpy(out, "RSD PTR ", 8);
    out[15] = xsdt ? 2 : 0;
    memcpy(out + 16, &rsdt, 4);
    memcpy(out + 20, &length, 4);
    memcpy(out + 24, &xsdt, 8);
    fix_checksum(out, 20, 8);
    fix_checksum(out, 36, 32);
}

/* Root table over what was listed, and acpi_init() with it. */
static int init(bool xsdt)
{
    u8 body[sizeof(roots)], rsdp[36];
    u32 n = 0;
    u64 root;

    for (u32 i = 0; i < nr_roots; i++, n += xsdt ? 8 : 4)
        memcpy(body + n, &roots[i], xsdt ? 8 : 4);
    root = address(table(xsdt ? "XSDT" : "RSDT", body, n, false));
    make_rsdp(rsdp, xsdt ? 0 : root, xsdt ? root : 0);
    return acpi_init(&acpi, rsdp, xsdt ? 36 : 20, map, warn, err, sizeof(err));
}

static void warned(const char *text)
{
    if (!strstr(warnings, text))
        fail_msg("'%s' not in '%s'", text, warnings);
}

static void roots_of_both_kinds(void **state)
{
    (void)state;
    for (u32 x = 0; x < 2; x++) {
        setup(NULL);
        table("SSDT", "one", 3, true);
        table("HPET", NULL, 20, true);
        roots[nr_roots++] = 0; /* real firmware has such entries */
        table("SSDT", "two!", 4, true);
        assert_int_equal(init(x), 0);
        assert_int_equal(nr_warnings, 0);
        assert_int_equal(acpi_find(&acpi, "SSDT", 0)->length, 39);
        assert_int_equal(acpi_find(&acpi, "SSDT", 1)->length, 40);
        assert_null(acpi_find(&acpi, "SSDT", 2));
        assert_null(acpi_find(&acpi, "APIC", 0));
    }
}

static void bad_tables_are_named(void **state)
{
    struct acpi_header *h;

    (void)state;
    table("GOOD", "x", 1, true);
    h = table("SUM1", "x", 1, true);
    h->checksum++;
    table("LOW1", "x", 1, true)->length = 35;
    table("HUGE", "x", 1, true)->length = 0xffffffff;
    table("LONG", "x", 1, true)->length = 0x100000; /* goes beyond what can be mapped */
    h = table("B\x01\xffy", "x", 1, true);
    h->checksum++;
    roots[nr_roots++] = 0x123456789000;
    assert_int_equal(init(true), 0);
    assert_int_equal(acpi.nr_tables, 1);
    assert_int_equal(nr_warnings, 6);
    warned("ACPI table SUM1 at 0x7f000130, length 37, has a wrong checksum");
    warned("ACPI table LOW1 at 0x7f000160 has length 35, must be 36 to");
    warned("ACPI table HUGE at 0x7f000190 has length 4294967295");
    warned("ACPI table LONG at 0x7f0001c0, length 1048576, cannot be read");
    warned("ACPI table B??y");
    warned("ACPI table at 0x123456789000 cannot be read");
}

static void too_many_tables(void **state)
{
    (void)state;
    for (u32 i = 0; i < ACPI_MAX_TABLES + 2; i++)
        table("SSDT", "x", 1, true);
    assert_int_equal(init(true), 0);
    assert_int_equal(acpi.nr_tables, ACPI_MAX_TABLES);
    assert_int_equal(nr_warnings, 2);
    warned("more than 128 tables");
}

static void bad_roots(void **state)
{
    u8 rsdp[36];
    u32 rsdt;
    u64 entry, xsdt;

    (void)state;
    make_rsdp(rsdp, MEMORY, 0);
    assert_int_equal(acpi_init(&acpi, rsdp, 19, map, warn, err, sizeof(err)), ERR_INVAL);
    assert_non_null(strstr(err, "RSDP has 19 bytes"));
    assert_int_equal(acpi_init(&acpi, rsdp, 0, map, warn, err, sizeof(err)), ERR_INVAL);
    rsdp[8]++;
    assert_int_equal(acpi_init(&acpi, rsdp, 20, map, warn, err, sizeof(err)), ERR_INVAL);
    assert_non_null(strstr(err, "wrong signature or checksum"));
    make_rsdp(rsdp, 0, 0);
    assert_int_equal(acpi_init(&acpi, rsdp, 20, map, warn, err, sizeof(err)), ERR_INVAL);
    assert_non_null(strstr(err, "no usable XSDT"));

    /* the RSDT serves where the XSDT is bad, for whichever reason */
    entry = address(table("HPET", NULL, 20, false));
    xsdt = address(table("XSDT", &entry, 8, false));
    rsdt = address(table("RSDT", &entry, 4, false));
    make_rsdp(rsdp, rsdt, xsdt);
    memory[xsdt - MEMORY + 36]++;
    assert_int_equal(acpi_init(&acpi, rsdp, 36, map, warn, err, sizeof(err)), 0);
    assert_non_null(acpi_find(&acpi, "HPET", 0));
    warned("XSDT at");
    make_rsdp(rsdp, rsdt, xsdt);
    rsdp[33]++; /* extended checksum */
    assert_int_equal(acpi_init(&acpi, rsdp, 36, map, warn, err, sizeof(err)), 0);
    assert_int_equal(acpi.nr_tables, 1);
    warned("extended checksum");
    make_rsdp(rsdp, rsdt, rsdt);
    assert_int_equal(acpi_init(&acpi, rsdp, 36, map, warn, err, sizeof(err)), 0);
    warned("is RSDT, should be XSDT");
    assert_int_equal(acpi.nr_tables, 1);
    make_rsdp(rsdp, 0, rsdt);
    assert_int_equal(acpi_init(&acpi, rsdp, 36, map, warn, err, sizeof(err)), ERR_INVAL);
}

static void rsdp_search(void **state)
{
    u8 out[36], rsdp[36];

    (void)state;
    assert_int_equal(acpi_find_rsdp(map, out), 0);
    make_rsdp(rsdp, 1, 2);
    memcpy(bios + 0x10008, rsdp, 36); /* not at a multiple of 16 */
    memcpy(bios + 0x10100, rsdp, 36);
    bios[0x10100 + 8]++; /* a bad checksum is passed over */
    assert_int_equal(acpi_find_rsdp(map, out), 0);
    memcpy(bios + 0x1ffe0, rsdp, 32); /* version 2, but its last bytes would lie beyond the area */
    assert_int_equal(acpi_find_rsdp(map, out), 20);
    memcpy(bios + 0x1fc00, rsdp, 36);
    assert_int_equal(acpi_find_rsdp(map, out), 36);
    assert_memory_equal(out, rsdp, 36);
    make_rsdp(rsdp, 3, 0);
    memcpy(ebda + 0x3e0, rsdp, 20);
    assert_int_equal(acpi_find_rsdp(map, out), 36);
    bda[0] = 0xc0, bda[1] = 0x9f; /* the EBDA comes first */
    assert_int_equal(acpi_find_rsdp(map, out), 20);
    assert_int_equal(out[16], 3);
}

/* clang-format off */
static const u8 madt_body[] = {
    0x00, 0x00, 0xe0, 0xfe, 1, 0, 0, 0,
    0, 8, 1, 0, 1, 0, 0, 0,                                     /* CPU, APIC id 0 */
    0, 8, 2, 6, 1, 0, 0, 0,                                     /* CPU, APIC id 6 */
    0, 8, 3, 8, 0, 0, 0, 0,                                     /* not there */
    0, 8, 4, 9, 2, 0, 0, 0,                                     /* could be added */
    9, 16, 0, 0, 0x00, 0x01, 0, 0, 1, 0, 0, 0, 5, 0, 0, 0,      /* x2APIC id 256 */
    9, 16, 0, 0, 6, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0,            /* the same as above */
    1, 12, 7, 0, 0, 0, 0xc0, 0xfe, 0, 0, 0, 0,
    1, 12, 8, 0, 0, 0, 0xc1, 0xfe, 24, 0, 0, 0,
    2, 10, 0, 0, 2, 0, 0, 0, 0, 0,                              /* IRQ 0 arrives at GSI 2 */
    2, 10, 0, 9, 20, 0, 0, 0, 0x0f, 0,                          /* IRQ 9: level, low */
    2, 10, 0, 10, 10, 0, 0, 0, 0x0d, 0,                         /* IRQ 10: level, high */
    2, 10, 1, 3, 30, 0, 0, 0, 0, 0,                             /* not ISA */
    0x7f, 5, 1, 2, 3,                                           /* unknown */
    4, 6, 0xff, 5, 0, 1,
    10, 12, 5, 0, 0x00, 1, 0, 0, 0, 0, 0, 0,
    5, 12, 0, 0, 0, 0, 0, 0xff, 1, 0, 0, 0,
};
/* clang-format on */

static struct acpi_madt madt;

static void madt_entries(void **state)
{
    struct acpi_irq irq;

    (void)state;
    table("APIC", madt_body, sizeof(madt_body), true);
    assert_int_equal(init(true), 0);
    assert_int_equal(acpi_parse_madt(&acpi, &madt), 0);
    assert_int_equal(nr_warnings, 0);
    assert_true(madt.lapic_address == 0x1ff000000 && madt.has_8259);
    assert_int_equal(madt.nr_cpus, 4);
    assert_true(madt.cpus[0].apic_id == 0 && madt.cpus[0].uid == 1 && madt.cpus[0].enabled);
    assert_true(madt.cpus[1].apic_id == 6 && madt.cpus[1].enabled && !madt.cpus[1].online_capable);
    assert_true(madt.cpus[2].apic_id == 9 && !madt.cpus[2].enabled && madt.cpus[2].online_capable);
    assert_true(madt.cpus[3].apic_id == 256 && madt.cpus[3].uid == 5 && madt.cpus[3].enabled);
    assert_int_equal(madt.nr_ioapics, 2);
    assert_true(madt.ioapics[1].id == 8 && madt.ioapics[1].address == 0xfec10000 &&
                madt.ioapics[1].gsi_base == 24);
    assert_int_equal(madt.nr_overrides, 3);
    irq = acpi_gsi_of_irq(&madt, 0);
    assert_true(irq.gsi == 2 && !irq.level && !irq.active_low);
    irq = acpi_gsi_of_irq(&madt, 4);
    assert_true(irq.gsi == 4 && !irq.level && !irq.active_low);
    irq = acpi_gsi_of_irq(&madt, 9);
    assert_true(irq.gsi == 20 && irq.level && irq.active_low);
    irq = acpi_gsi_of_irq(&madt, 10);
    assert_true(irq.gsi == 10 && irq.level && !irq.active_low);
    assert_int_equal(madt.nr_nmis, 2);
    assert_true(madt.nmis[0].uid == ACPI_UID_ALL && madt.nmis[0].lint == 1 && madt.nmis[0].flags == 5);
    assert_true(madt.nmis[1].uid == 256 && madt.nmis[1].flags == 5 && madt.nmis[1].lint == 0);
}

/* The first CPU and then `entry`. */
static void madt_with(const u8 *entry, u32 n)
{
    u8 body[64];

    setup(NULL);
    memcpy(body, madt_body, 16);
    memcpy(body + 16, entry, n);
    table("APIC", body, 16 + n, true);
    assert_int_equal(init(true), 0);
    assert_int_equal(acpi_parse_madt(&acpi, &madt), 0);
    assert_int_equal(madt.nr_cpus, 1);
}

static void madt_faults(void **state)
{
    u8 entry[16] = {0};
    u8 body[8 + (ACPI_MAX_CPUS + 1) * 16] = {0};

    (void)state;
    assert_int_equal(init(true), 0);
    assert_int_equal(acpi_parse_madt(&acpi, &madt), ERR_NOENT);
    setup(NULL);
    table("APIC", madt_body, 7, true);
    assert_int_equal(init(true), 0);
    assert_int_equal(acpi_parse_madt(&acpi, &madt), ERR_NOENT);
    warned("too short for its fixed part");

    for (u32 length = 0; length < 2; length++) {
        entry[1] = length;
        madt_with(entry, 8);
        warned("entry at offset 52 (type 0, local APIC");
        warned("wrong length");
    }
    entry[1] = 9;
    madt_with(entry, 8);
    warned("(type 0, local APIC, 9 bytes) has a wrong length");
    for (u32 type = 0; type < 11; type++) { /* each kind, one byte too short */
        static const u8 sizes[] = {8, 12, 10, 0, 6, 12, 0, 0, 0, 16, 12};

        if (!sizes[type])
            continue;
        memset(entry, 0xff, sizeof(entry));
        entry[0] = type;
        entry[1] = sizes[type] - 1;
        madt_with(entry, sizes[type] - 1);
        warned("is too short");
    }

    setup(NULL);
    for (u32 i = 0; i <= ACPI_MAX_CPUS; i++) {
        u8 *e = body + 8 + i * 16;

        e[0] = 9, e[1] = 16, e[4] = i, e[5] = i >> 8, e[8] = 1;
    }
    table("APIC", body, sizeof(body), true);
    assert_int_equal(init(true), 0);
    assert_int_equal(acpi_parse_madt(&acpi, &madt), 0);
    assert_int_equal(madt.nr_cpus, ACPI_MAX_CPUS);
    warned("one more than Nidus has room for");
}

static void set(u8 *table_body, u32 offset, u64 value, u32 n)
{
    memcpy(table_body + offset - sizeof(struct acpi_header), &value, n);
}

static void fadt_fields(void **state)
{
    u8 body[276 - 36] = {0};
    struct acpi_fadt f;

    (void)state;
    set(body, 40, 0x7f001000, 4);
    set(body, 46, 9, 2);
    set(body, 48, 0xb2, 4);
    set(body, 52, 0xf1, 1);
    set(body, 64, 0x604, 4);
    set(body, 76, 0x608, 4);
    set(body, 89, 2, 1);
    set(body, 91, 4, 1);
    set(body, 112, BIT(8) | BIT(10), 4);
    set(body, 116, 1 | 8 << 8, 4);
    set(body, 120, 0xcf9, 8);
    set(body, 128, 6, 1);
    table("FACP", body, sizeof(body), true);
    assert_int_equal(init(true), 0);
    assert_int_equal(acpi_parse_fadt(&acpi, &f), 0);
    assert_true(f.dsdt == 0x7f001000 && f.sci_irq == 9 && f.smi_command == 0xb2 && f.acpi_enable == 0xf1);
    assert_true(f.pm1a_control.address == 0x604 && f.pm1a_control.space == ACPI_SPACE_IO);
    assert_int_equal(f.pm1a_control.width, 16);
    assert_true(f.pm1b_control.address == 0 && f.pm_timer.address == 0x608 && f.pm_timer_32bit);
    assert_true(f.reset_supported && f.reset.address == 0xcf9 && f.reset.space == ACPI_SPACE_IO &&
                f.reset_value == 6);

    setup(NULL); /* extended fields count where they are filled */
    set(body, 140, 0x123456000, 8);
    set(body, 172, 1 | 16 << 8, 4);
    set(body, 176, 0x1004, 8);
    set(body, 208, 0 | 32 << 8, 4);
    set(body, 212, 0xfed00000, 8);
    table("FACP", body, sizeof(body), true);
    assert_int_equal(init(true), 0);
    assert_int_equal(acpi_parse_fadt(&acpi, &f), 0);
    assert_true(f.dsdt == 0x123456000 && f.pm1a_control.address == 0x1004);
    assert_true(f.pm_timer.space == ACPI_SPACE_MEMORY && f.pm_timer.address == 0xfed00000);

    setup(NULL); /* ACPI 1.0's ends before them, whatever its flags say */
    table("FACP", body, 116 - 36, true);
    assert_int_equal(init(true), 0);
    assert_int_equal(acpi_parse_fadt(&acpi, &f), 0);
    assert_true(f.dsdt == 0x7f001000 && f.pm1a_control.address == 0x604 && !f.reset_supported);

    setup(NULL);
    set(body, 112, BIT(20), 4);
    table("FACP", body, sizeof(body), true);
    assert_int_equal(init(true), 0);
    assert_int_equal(acpi_parse_fadt(&acpi, &f), 0);
    assert_true(f.hw_reduced && !f.pm1a_control.address && !f.pm_timer.address && !f.smi_command);

    setup(NULL);
    table("FACP", body, 115 - 36, true);
    assert_int_equal(init(true), 0);
    assert_int_equal(acpi_parse_fadt(&acpi, &f), ERR_INVAL);
    setup(NULL);
    assert_int_equal(init(true), 0);
    assert_int_equal(acpi_parse_fadt(&acpi, &f), ERR_NOENT);
}

static void other_tables(void **state)
{
    u8 hpet[20] = {0}, spcr[44] = {0}, mcfg[8 + 2 * 16 + 3] = {0};
    struct acpi_mcfg_entry entries[4];
    struct acpi_spcr s;

    (void)state;
    set(hpet, 44, 0xfed00000, 8);
    set(spcr, 36, 0x12, 1);
    set(spcr, 40, 1 | 8 << 8, 4);
    set(spcr, 44, 0x2f8, 8);
    set(spcr, 52, 3, 1);
    set(spcr, 53, 3, 1);
    set(spcr, 54, 19, 4);
    set(spcr, 58, 7, 1);
    set(mcfg, 44, 0xb0000000, 8);
    set(mcfg, 55, 0xff, 1);
    set(mcfg, 60, 0x123000000000, 8);
    set(mcfg, 68, 2, 2);
    set(mcfg, 70, 0x10, 1);
    table("HPET", hpet, sizeof(hpet), true);
    table("SPCR", spcr, sizeof(spcr), true);
    table("MCFG", mcfg, sizeof(mcfg), true);
    assert_int_equal(init(true), 0);
    assert_true(acpi_hpet(&acpi) == 0xfed00000);
    assert_int_equal(acpi_parse_spcr(&acpi, &s), 0);
    assert_true(s.interface == 0x12 && s.base.address == 0x2f8 && s.base.space == ACPI_SPACE_IO);
    assert_true(s.gsi == 19 && s.baud == 115200);
    assert_int_equal(acpi_parse_mcfg(&acpi, entries, 4), 2);
    assert_true(entries[0].base == 0xb0000000 && entries[0].last_bus == 0xff);
    assert_true(entries[1].base == 0x123000000000 && entries[1].segment == 2 && entries[1].first_bus == 0x10);
    assert_int_equal(acpi_parse_mcfg(&acpi, entries, 1), 1);

    setup(NULL); /* each cut to its header: nothing there, and no harm */
    hpet[4] = 1; /* and an HPET behind ports */
    table("HPET", hpet, sizeof(hpet), true);
    table("SPCR", spcr, 0, true);
    table("MCFG", mcfg, 0, true);
    assert_int_equal(init(true), 0);
    assert_true(acpi_hpet(&acpi) == 0);
    assert_int_equal(acpi_parse_spcr(&acpi, &s), 0);
    assert_true(!s.base.address && !s.baud && !s.gsi);
    assert_int_equal(acpi_parse_mcfg(&acpi, entries, 4), 0);
    setup(NULL);
    assert_int_equal(init(true), 0);
    assert_true(acpi_hpet(&acpi) == 0);
    assert_int_equal(acpi_parse_spcr(&acpi, &s), ERR_NOENT);
    assert_int_equal(acpi_parse_mcfg(&acpi, entries, 4), 0);
}

/* Returns acpi_find_s5() with this code in the DSDT. */
static int s5_of(const char *aml, u32 n, struct acpi_s5 *s5)
{
    struct acpi_fadt f = {0};

    f.dsdt = address(table("DSDT", aml, n, false));
    return acpi_find_s5(&acpi, &f, s5);
}

#define S5_OF(text, s5) s5_of(text, sizeof(text) - 1, s5)

static void sleep_package(void **state)
{
    struct acpi_s5 s5;
    struct acpi_fadt f = {0};

    (void)state;
    assert_int_equal(init(true), 0);
    assert_int_equal(S5_OF("junk\x08_S5_\x12\x06\x04\x0a\x05\x0a\x06\x00\x00", &s5), 0);
    assert_true(s5.slp_typ_a == 5 && s5.slp_typ_b == 6);
    assert_int_equal(S5_OF("\x08\\_S5_\x12\x06\x04\x00\x01\x00\x00", &s5), 0);
    assert_true(s5.slp_typ_a == 0 && s5.slp_typ_b == 1);
    assert_int_equal(S5_OF("\x08_S5_\x12\x48\x00\x04\x0b\x07\x00\x0c\x02\x00\x00\x00", &s5), 0);
    assert_true(s5.slp_typ_a == 7 && s5.slp_typ_b == 2);
    assert_int_equal(S5_OF("\x08_S5_\x12\x04\x01\x0a\x03", &s5), 0); /* one element serves both */
    assert_true(s5.slp_typ_a == 3 && s5.slp_typ_b == 3);

    assert_int_equal(S5_OF("", &s5), ERR_NOENT);
    assert_int_equal(S5_OF("\x08_S4_\x12\x06\x04\x0a\x05\x0a\x05", &s5), ERR_NOENT);
    assert_int_equal(S5_OF("\x10_S5_\x12\x06\x04\x0a\x05\x0a\x05", &s5),
                     ERR_NOENT);                                             /* mentioned, not defined */
    assert_int_equal(S5_OF("\x08_S5_\x0a\x05\x04\x0a\x05", &s5), ERR_NOENT); /* no package */
    assert_int_equal(S5_OF("\x08_S5_\x12\x06\x00\x0a\x05", &s5), ERR_NOENT); /* an empty one */
    assert_int_equal(S5_OF("\x08_S5_\x12\x06\x04\x0a\x09\x0a\x05", &s5), ERR_NOENT); /* 9 has too many bits */
    assert_int_equal(S5_OF("\x08_S5_\x12\x06\x04\x70\x05", &s5), ERR_NOENT);         /* computed */
    for (u32 n = 0; n < 9; n++) /* cut anywhere before the first type is complete */
        assert_int_equal(s5_of("\x08_S5_\x12\x06\x04\x0a\x05", n, &s5), ERR_NOENT);
    assert_int_equal(S5_OF("\x08_S5_\x12\xc6", &s5), ERR_NOENT);
    assert_int_equal(S5_OF("\x08_S5_\x12\x06\x04\x0c\x05", &s5), ERR_NOENT);
    /* a false start, then the real one */
    assert_int_equal(S5_OF("\x08_S5_\x0a\x08_S5_\x12\x06\x04\x0a\x05\x0a\x05", &s5), 0);

    setup(NULL); /* in an SSDT; the DSDT without it, unreadable, bad or absent */
    table("SSDT", "nothing", 7, true);
    table("SSDT", "\x08_S5_\x12\x06\x04\x0a\x05\x0a\x05", 12, true);
    assert_int_equal(init(true), 0);
    assert_int_equal(S5_OF("none", &s5), 0);
    assert_int_equal(s5.slp_typ_a, 5);
    assert_int_equal(acpi_find_s5(&acpi, &f, &s5), ERR_NOENT);
    f.dsdt = 0x1000;
    assert_int_equal(acpi_find_s5(&acpi, &f, &s5), ERR_NOENT);
    warned("ACPI table at 0x1000 cannot be read");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(roots_of_both_kinds), TEST(bad_tables_are_named), TEST(too_many_tables), TEST(bad_roots),
        TEST(rsdp_search),         TEST(madt_entries),         TEST(madt_faults),     TEST(fadt_fields),
        TEST(other_tables),        TEST(sleep_package),
    };

    return cmocka_run_group_tests_name("acpi", tests, NULL, NULL);
}
