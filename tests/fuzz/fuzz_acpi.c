/* SPDX-License-Identifier: MIT */
/* links: drivers/acpi.c drivers/acpi_madt.c drivers/acpi_tables.c lib/format.c */
#include <stdlib.h>
#include <string.h>

#include "drivers/acpi.h"

/*
 * The input is physical memory from 0 on, and is a table or starts with an RSDP. Checksums would keep all of
 * it out, so that each table's is made right when its header is mapped, by the byte that the header has for
 * it.
 */
static u8 *memory;
static u64 memory_size;

static u8 sum(const u8 *p, u64 n)
{
    u8 total = 0;

    while (n--)
        total += *p++;
    return total;
}

static const void *map(paddr_t base, u64 size)
{
    if (size > memory_size || base > memory_size - size)
        return NULL;
    if (size >= sizeof(struct acpi_header)) {
        struct acpi_header *h = (struct acpi_header *)(memory + base);
        u32 length;

        memcpy(&length, &h->length, 4);
        if (length == size)
            memory[base + 9] -= sum(memory + base, size);
    }
    return memory + base;
}

static void warn(const char *text)
{
    (void)text;
}

static struct acpi acpi;

static void parse_all(void)
{
    static struct acpi_madt madt;
    struct acpi_mcfg_entry mcfg[8];
    struct acpi_fadt fadt = {0};
    struct acpi_spcr spcr;
    struct acpi_s5 s5;

    if (!acpi_parse_madt(&acpi, &madt)) {
        for (u32 irq = 0; irq < 16; irq++)
            (void)acpi_gsi_of_irq(&madt, irq);
        for (u32 i = 0; i < madt.nr_cpus; i++)
            for (u32 k = 0; k < i; k++)
                if (madt.cpus[i].apic_id == madt.cpus[k].apic_id)
                    abort();
    }
    if (acpi_parse_fadt(&acpi, &fadt) || !fadt.dsdt || fadt.dsdt >= memory_size)
        fadt.dsdt = acpi.nr_tables ? (paddr_t)((const u8 *)acpi.tables[0] - memory) : 0;
    if (!acpi_find_s5(&acpi, &fadt, &s5) && (s5.slp_typ_a > 7 || s5.slp_typ_b > 7))
        abort();
    (void)acpi_hpet(&acpi);
    (void)acpi_parse_spcr(&acpi, &spcr);
    if (acpi_parse_mcfg(&acpi, mcfg, 8) > 8)
        abort();
}

/* One table that passed the checks, of a kind that the first byte says, with any content. */
static void one_table(u8 kind)
{
    static const char signatures[][5] = {"APIC", "FACP", "HPET", "SPCR", "MCFG", "SSDT"};
    struct acpi_header *h = (struct acpi_header *)memory;

    memset(&acpi, 0, sizeof(acpi));
    acpi.map = map;
    acpi.warn = warn;
    memcpy(h->signature, signatures[kind % ARRAY_SIZE(signatures)], 4);
    h->length = memory_size;
    acpi.tables[acpi.nr_tables++] = h;
    parse_all();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char err[256];

    if (size < 37)
        return 0;
    memory_size = size - 1;
    memory = malloc(memory_size);
    memcpy(memory, data + 1, memory_size);
    if (data[0] & 0x80) {
        memcpy(memory, "RSD PTR ", 8);
        memory[8] -= sum(memory, 20);
        memory[32] -= sum(memory, 36);
        if (!acpi_init(&acpi, memory, 36, map, warn, err, sizeof(err)))
            parse_all();
    } else {
        one_table(data[0]);
    }
    free(memory);
    return 0;
}
