/* SPDX-License-Identifier: MIT */
/* From the RSDP to checked tables. */
#include "drivers/acpi.h"
#include "lib/format.h"
#include "lib/string.h"

#define RSDP_V1_SIZE 20
#define RSDP_V2_SIZE 36

struct rsdp {
    char signature[8];
    u8 checksum;
    char oem_id[6];
    u8 revision; /* 0: ACPI 1.0, ends before length */
    u32 rsdt;
    u32 length;
    u64 xsdt;
    u8 extended_checksum, reserved[3];
} __packed;

static u8 sum(const void *data, u64 n)
{
    const u8 *p = data;
    u8 total = 0;

    while (n--)
        total += *p++;
    return total;
}

static bool rsdp_is_v2(const struct rsdp *r)
{
    return r->revision >= 2 && r->length >= RSDP_V2_SIZE;
}

/* The first 20 bytes must be readable. */
static bool rsdp_starts_well(const void *p)
{
    return !memcmp(p, "RSD PTR ", 8) && !sum(p, RSDP_V1_SIZE);
}

static u32 search(acpi_map map, paddr_t base, u64 size, u8 out[36])
{
    const u8 *p = base ? map(base, size) : NULL;

    for (u64 at = 0; p && at + RSDP_V1_SIZE <= size; at += 16) {
        struct rsdp r;

        if (!rsdp_starts_well(p + at))
            continue;
        memset(&r, 0, sizeof(r));
        memcpy(&r, p + at, MIN(sizeof(r), size - at));
        memcpy(out, &r, sizeof(r));
        return rsdp_is_v2(&r) && !sum(&r, RSDP_V2_SIZE) ? RSDP_V2_SIZE : RSDP_V1_SIZE;
    }
    return 0;
}

u32 acpi_find_rsdp(acpi_map map, u8 out[36])
{
    const u8 *segment = map(0x40e, 2); /* BIOS data area: segment of the EBDA */
    paddr_t ebda = segment ? (segment[0] | segment[1] << 8) << 4 : 0;
    u32 n = ebda >= 0x400 && ebda < 0xa0000 ? search(map, ebda, KiB(1), out) : 0;

    return n ? n : search(map, 0xe0000, KiB(128), out);
}

/* Four characters from firmware, fit to be printed. */
static void printable(char out[5], const char *signature)
{
    for (u32 i = 0; i < 4; i++)
        out[i] = signature[i] >= ' ' && signature[i] < 0x7f ? signature[i] : '?';
    out[4] = 0;
}

const struct acpi_header *acpi_table_at(const struct acpi *a, paddr_t base)
{
    const struct acpi_header *h = base ? a->map(base, sizeof(*h)) : NULL;
    char text[128], name[5];
    u32 length;

    if (!h) {
        format(text, sizeof(text), "ACPI table at %#lx cannot be read: ignored", base);
        a->warn(text);
        return NULL;
    }
    printable(name, h->signature);
    length = h->length;
    if (length < sizeof(*h) || length > ACPI_MAX_TABLE) {
        format(text, sizeof(text), "ACPI table %s at %#lx has length %u, must be %zu to %lu: ignored", name,
               base, length, sizeof(*h), (u64)ACPI_MAX_TABLE);
        a->warn(text);
        return NULL;
    }
    h = a->map(base, length);
    if (!h || sum(h, length)) {
        format(text, sizeof(text), "ACPI table %s at %#lx, length %u, %s: ignored", name, base, length,
               h ? PACK "has a wrong checksum" : PACK "cannot be read");
        a->warn(text);
        return NULL;
    }
    return h;
}

static void add_table(struct acpi *a, paddr_t base)
{
    const struct acpi_header *h;
    char text[96];

    if (a->nr_tables == ACPI_MAX_TABLES) {
        format(text, sizeof(text), "ACPI table at %#lx: there are more than %u tables: ignored", base,
               ACPI_MAX_TABLES);
        a->warn(text);
        return;
    }
    h = base ? acpi_table_at(a, base) : NULL; /* null entries occur in real machines */
    if (h)
        a->tables[a->nr_tables++] = h;
}

/* entry_size: 8 for the XSDT, 4 for the RSDT. */
static bool add_root(struct acpi *a, paddr_t base, const char *signature, u32 entry_size)
{
    const struct acpi_header *root = base ? acpi_table_at(a, base) : NULL;
    char text[96], name[5];

    if (!root)
        return false;
    if (memcmp(root->signature, signature, 4)) {
        printable(name, root->signature);
        format(text, sizeof(text), "ACPI table at %#lx is %s, should be %s: ignored", base, name, signature);
        a->warn(text);
        return false;
    }
    for (u32 at = sizeof(*root); at + entry_size <= root->length; at += entry_size) {
        u64 entry = 0;

        memcpy(&entry, (const u8 *)root + at, entry_size);
        add_table(a, entry);
    }
    return true;
}

int acpi_init(struct acpi *a, const u8 *rsdp, u32 size, acpi_map map, acpi_warn warn, char *err,
              size_t err_size)
{
    struct rsdp r = {0};
    bool v2;

    memset(a, 0, sizeof(*a));
    a->map = map;
    a->warn = warn;
    if (size < RSDP_V1_SIZE) {
        format(err, err_size, "ACPI RSDP has %u bytes, needs %u", size, RSDP_V1_SIZE);
        return ERR_INVAL;
    }
    if (!rsdp_starts_well(rsdp)) {
        format(err, err_size, "ACPI RSDP has a wrong signature or checksum");
        return ERR_INVAL;
    }
    memcpy(&r, rsdp, MIN(size, sizeof(r)));
    v2 = size >= RSDP_V2_SIZE && rsdp_is_v2(&r);
    /* A length beyond today's 36 bytes has a checksum over bytes that were not handed on. */
    if (v2 && r.length == RSDP_V2_SIZE && sum(&r, RSDP_V2_SIZE)) {
        warn(PACK "ACPI RSDP has a wrong extended checksum: its XSDT is not used");
        v2 = false;
    }
    if (v2 && add_root(a, r.xsdt, "XSDT", 8))
        return OK;
    if (add_root(a, r.rsdt, "RSDT", 4))
        return OK;
    format(err, err_size, "ACPI has no usable XSDT (at %#lx) nor RSDT (at %#x)", v2 ? r.xsdt : 0, r.rsdt);
    return ERR_INVAL;
}

const struct acpi_header *acpi_find(const struct acpi *a, const char *signature, u32 nth)
{
    for (u32 i = 0; i < a->nr_tables; i++)
        if (!memcmp(a->tables[i]->signature, signature, 4) && !nth--)
            return a->tables[i];
    return NULL;
}
