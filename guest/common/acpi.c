/* SPDX-License-Identifier: MIT */
#include "guest/common/acpi.h"
#include "guest/common/mb.h"
#include "lib/string.h"

#define EBDA_SEGMENT 0x40e
#define FADT_DSDT    40
#define FADT_PM1A    64
#define FADT_PM1B    68
#define MADT_ENTRIES 44

struct rsdp {
    char signature[8];
    u8 checksum;
    char oem[6];
    u8 revision;
    u32 rsdt;
    u32 length;
    u64 xsdt;
} __packed;

static u32 read32(const void *p)
{
    u32 v;

    memcpy(&v, p, sizeof(v));
    return v;
}

static const struct rsdp *scan(u64 from, u64 to)
{
    for (u64 p = from; p < to; p += 16) {
        u8 sum = 0;

        if (memcmp((const void *)p, "RSD PTR ", 8))
            continue;
        for (u32 i = 0; i < 20; i++)
            sum += ((const u8 *)p)[i];
        if (!sum)
            return (const struct rsdp *)p;
    }
    return NULL;
}

static const struct rsdp *find_rsdp(void)
{
    u16 segment;
    u64 ebda, address = EBDA_SEGMENT;
    const struct rsdp *r = NULL;

    if (boot.rsdp)
        return (const struct rsdp *)boot.rsdp;
    asm("" : "+r"(address)); /* not an object the compiler knows */
    memcpy(&segment, (const void *)address, sizeof(segment));
    ebda = (u64)segment << 4;
    if (ebda >= 0x80000 && ebda < 0xa0000)
        r = scan(ebda, ebda + 1024);
    return r ? r : scan(0xe0000, 0x100000);
}

const struct acpi_header *acpi_find(const char *signature)
{
    const struct rsdp *r = find_rsdp();
    const struct acpi_header *root;
    u32 size;

    if (!r)
        return NULL;
    size = r->revision >= 2 && r->xsdt && r->xsdt < GiB(4) ? 8 : 4;
    root = (const struct acpi_header *)(size == 8 ? r->xsdt : (u64)r->rsdt);
    if (!root)
        return NULL;
    for (u64 p = (u64)root + sizeof(*root); p + size <= (u64)root + root->length; p += size) {
        u64 address = 0;

        memcpy(&address, (const void *)p, size);
        if (address && address < GiB(4) && !memcmp((const void *)address, signature, 4))
            return (const struct acpi_header *)address;
    }
    return NULL;
}

/* A small integer in AML: ZeroOp, OneOp or BytePrefix (ACPI specification, 'ComputationalData Encoding'). */
static u8 aml_byte(const u8 **p)
{
    if (**p == 0x0a) {
        *p += 2;
        return (*p)[-1];
    }
    return *(*p)++;
}

static bool find_s5(struct acpi_s5 *s5)
{
    const u8 *fadt = (const u8 *)acpi_find("FACP");
    const struct acpi_header *dsdt;
    const u8 *p, *end;

    if (!fadt)
        return false;
    s5->pm1a_cnt = (u16)read32(fadt + FADT_PM1A);
    s5->pm1b_cnt = (u16)read32(fadt + FADT_PM1B);
    dsdt = (const struct acpi_header *)(u64)read32(fadt + FADT_DSDT);
    if (!dsdt || !s5->pm1a_cnt)
        return false;
    end = (const u8 *)dsdt + dsdt->length;
    for (p = (const u8 *)dsdt + sizeof(*dsdt); p + 16 < end; p++) {
        if (memcmp(p, "_S5_\x12", 5)) /* Name(_S5_, Package ...) */
            continue;
        p += 5;
        p += (*p >> 6) + 1; /* PkgLength */
        p++;                /* number of elements */
        s5->slp_typa = aml_byte(&p) & 7;
        s5->slp_typb = aml_byte(&p) & 7;
        return true;
    }
    return false;
}

bool acpi_find_s5(struct acpi_s5 *s5)
{
    static struct acpi_s5 kept;
    static bool known, found;

    if (!known)
        found = find_s5(&kept);
    known = true;
    *s5 = kept;
    return found;
}

u32 acpi_cpus(u32 *ids, u32 max)
{
    const struct acpi_header *madt = acpi_find("APIC");
    const u8 *p, *end;
    u32 n = 0;

    if (!madt)
        return 0;
    end = (const u8 *)madt + madt->length;
    for (p = (const u8 *)madt + MADT_ENTRIES; p + 8 <= end && p[1] >= 2 && n < max; p += p[1]) {
        if (p[0] == 0 && read32(p + 4) & 1) /* local APIC */
            ids[n++] = p[3];
        else if (p[0] == 9 && read32(p + 8) & 1) /* local x2APIC */
            ids[n++] = read32(p + 4);
    }
    return n;
}
