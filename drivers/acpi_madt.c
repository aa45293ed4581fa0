/* SPDX-License-Identifier: MIT */
/* MADT: the interrupt controllers. ACPI 6.5, 'Multiple APIC Description Table'. */
#include "drivers/acpi.h"
#include "lib/format.h"
#include "lib/string.h"

#define MADT_ENTRIES   44 /* header, local APIC address, flags */
#define MADT_HAS_8259  BIT(0)
#define CPU_ENABLED    BIT(0)
#define CPU_ONLINE_CAP BIT(1)

enum {
    ENTRY_LAPIC = 0,
    ENTRY_IOAPIC = 1,
    ENTRY_OVERRIDE = 2,
    ENTRY_LAPIC_NMI = 4,
    ENTRY_LAPIC_ADDRESS = 5,
    ENTRY_X2APIC = 9,
    ENTRY_X2APIC_NMI = 10,
};

/* Fields of an entry are not aligned. */
static u32 field(const u8 *entry, u32 offset, u32 bytes)
{
    u32 v = 0;

    memcpy(&v, entry + offset, bytes);
    return v;
}

static bool add_cpu(struct acpi_madt *m, u32 apic_id, u32 uid, u32 flags)
{
    for (u32 i = 0; i < m->nr_cpus; i++) {
        if (m->cpus[i].apic_id ==
            apic_id) { /* listed as local APIC and as x2APIC, or as an unused place before */
            m->cpus[i].enabled |= !!(flags & CPU_ENABLED);
            return true;
        }
    }
    if (m->nr_cpus == ACPI_MAX_CPUS)
        return false;
    m->cpus[m->nr_cpus++] = (struct acpi_cpu){
        .apic_id = apic_id,
        .uid = uid,
        .enabled = flags & CPU_ENABLED,
        .online_capable = flags & CPU_ONLINE_CAP,
    };
    return true;
}

static bool add_nmi(struct acpi_madt *m, u32 uid, u16 flags, u8 lint)
{
    if (m->nr_nmis == ACPI_MAX_NMIS)
        return false;
    m->nmis[m->nr_nmis++] = (struct acpi_nmi){.uid = uid, .flags = flags, .lint = lint};
    return true;
}

static bool on_lapic(struct acpi_madt *m, const u8 *e)
{
    u32 flags = field(e, 4, 4);

    /* Firmware fills unused places with id 255; only CPUs that are or can become usable are kept. */
    return !(flags & (CPU_ENABLED | CPU_ONLINE_CAP)) || add_cpu(m, e[3], e[2], flags);
}

static bool on_x2apic(struct acpi_madt *m, const u8 *e)
{
    u32 flags = field(e, 8, 4);

    return !(flags & (CPU_ENABLED | CPU_ONLINE_CAP)) || add_cpu(m, field(e, 4, 4), field(e, 12, 4), flags);
}

static bool on_ioapic(struct acpi_madt *m, const u8 *e)
{
    if (m->nr_ioapics == ACPI_MAX_IOAPICS)
        return false;
    m->ioapics[m->nr_ioapics++] =
        (struct acpi_ioapic){.id = e[2], .address = field(e, 4, 4), .gsi_base = field(e, 8, 4)};
    return true;
}

static bool on_override(struct acpi_madt *m, const u8 *e)
{
    if (e[2] != 0) /* not the ISA bus: no meaning is defined */
        return true;
    if (m->nr_overrides == ACPI_MAX_OVERRIDES)
        return false;
    m->overrides[m->nr_overrides++] =
        (struct acpi_override){.source = e[3], .gsi = field(e, 4, 4), .flags = field(e, 8, 2)};
    return true;
}

static bool on_lapic_nmi(struct acpi_madt *m, const u8 *e)
{
    return add_nmi(m, e[2] == 0xff ? ACPI_UID_ALL : e[2], field(e, 3, 2), e[5]);
}

static bool on_lapic_address(struct acpi_madt *m, const u8 *e)
{
    m->lapic_address = field(e, 4, 4) | (u64)field(e, 8, 4) << 32;
    return true;
}

static bool on_x2apic_nmi(struct acpi_madt *m, const u8 *e)
{
    return add_nmi(m, field(e, 4, 4), field(e, 2, 2), e[8]);
}

static const struct {
    const char *name;
    u32 size;
    bool (*take)(struct acpi_madt *m, const u8 *entry); /* false: no room */
} entries[] = {
    [ENTRY_LAPIC] = {PACK "local APIC", 8, on_lapic},
    [ENTRY_IOAPIC] = {PACK "I/O APIC", 12, on_ioapic},
    [ENTRY_OVERRIDE] = {PACK "interrupt source override", 10, on_override},
    [ENTRY_LAPIC_NMI] = {PACK "local APIC NMI", 6, on_lapic_nmi},
    [ENTRY_LAPIC_ADDRESS] = {PACK "local APIC address override", 12, on_lapic_address},
    [ENTRY_X2APIC] = {PACK "local x2APIC", 16, on_x2apic},
    [ENTRY_X2APIC_NMI] = {PACK "local x2APIC NMI", 12, on_x2apic_nmi},
};

static void complain(const struct acpi *a, u32 at, const u8 *e, const char *what)
{
    bool known = e[0] < ARRAY_SIZE(entries) && entries[e[0]].name;
    char text[128];

    format(text, sizeof(text), "ACPI MADT: entry at offset %u (type %u, %s, %u bytes) %s", at, e[0],
           known ? entries[e[0]].name : "unknown", e[1], what);
    a->warn(text);
}

int acpi_parse_madt(const struct acpi *a, struct acpi_madt *m)
{
    const struct acpi_header *h = acpi_find(a, "APIC", 0);
    const u8 *t = (const u8 *)h;

    memset(m, 0, sizeof(*m));
    if (!h)
        return ERR_NOENT;
    if (h->length < MADT_ENTRIES) {
        a->warn(PACK "ACPI MADT is too short for its fixed part: ignored");
        return ERR_NOENT;
    }
    m->lapic_address = field(t, 36, 4);
    m->has_8259 = field(t, 40, 4) & MADT_HAS_8259;
    for (u32 at = MADT_ENTRIES; at + 2 <= h->length; at += t[at + 1]) {
        const u8 *e = t + at;

        if (e[1] < 2 || e[1] > h->length - at) {
            complain(a, at, e, PACK "has a wrong length: the rest of the table is ignored");
            break;
        }
        if (e[0] >= ARRAY_SIZE(entries) || !entries[e[0]].take)
            continue;
        if (e[1] < entries[e[0]].size)
            complain(a, at, e, PACK "is too short: ignored");
        else if (!entries[e[0]].take(m, e))
            complain(a, at, e, PACK "is one more than Nidus has room for: ignored");
    }
    return OK;
}

/* MPS INTI flags: polarity in bits 1:0 (3: active low), trigger mode in bits 3:2 (3: level); 0 is the bus's
 * default, which for ISA is edge and active high. */
struct acpi_irq acpi_gsi_of_irq(const struct acpi_madt *m, u8 irq)
{
    for (u32 i = 0; i < m->nr_overrides; i++) {
        const struct acpi_override *o = &m->overrides[i];

        if (o->source == irq)
            return (struct acpi_irq){o->gsi, (o->flags >> 2 & 3) == 3, (o->flags & 3) == 3};
    }
    return (struct acpi_irq){.gsi = irq};
}
