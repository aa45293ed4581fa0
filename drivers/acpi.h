/* SPDX-License-Identifier: MIT */
/*
 * The fixed ACPI tables, read and checked. Pure logic: memory is reached only through map(). Source: Advanced
 * Configuration and Power Interface Specification 6.5, 'ACPI Software Programming Model'.
 */
#ifndef DRIVERS_ACPI_H
#define DRIVERS_ACPI_H

#include "lib/types.h"

/* Memory made readable for good, or null when that cannot be done. */
typedef const void *(*acpi_map)(paddr_t base, u64 size);
typedef void (*acpi_warn)(const char *text);

#define ACPI_MAX_TABLES    128
#define ACPI_MAX_TABLE     MiB(16)
#define ACPI_MAX_CPUS      512
#define ACPI_MAX_IOAPICS   16
#define ACPI_MAX_OVERRIDES 32
#define ACPI_MAX_NMIS      32

struct acpi_header {
    char signature[4];
    u32 length;
    u8 revision, checksum;
    char oem_id[6], oem_table_id[8];
    u32 oem_revision, creator_id, creator_revision;
} __packed;

enum { ACPI_SPACE_MEMORY = 0, ACPI_SPACE_IO = 1 };

/* Generic Address Structure. address 0: there is no such register. */
struct acpi_gas {
    u8 space, width, offset, access; /* width and offset in bits */
    u64 address;
} __packed;

struct acpi {
    acpi_map map;
    acpi_warn warn;
    u32 nr_tables;
    const struct acpi_header *tables[ACPI_MAX_TABLES]; /* those that passed the checks */
};

/*
 * Looks for the RSDP where a BIOS puts it: the first KiB of the EBDA, then 0xe0000 to 0xfffff. Returns its
 * valid bytes (20 or 36) and copies it, or 0.
 */
u32 acpi_find_rsdp(acpi_map map, u8 out[36]);

/*
 * Checks the RSDP (size bytes can be read), the XSDT or else the RSDT, and each table that it names: those
 * with a bad length or checksum are named to warn() and left out. ERR_INVAL: without a usable root, which err
 * says.
 */
int acpi_init(struct acpi *a, const u8 *rsdp, u32 size, acpi_map map, acpi_warn warn, char *err,
              size_t err_size);

/* The nth (from 0) table with this signature of four characters; null if there is none. */
const struct acpi_header *acpi_find(const struct acpi *a, const char *signature, u32 nth);

/* A table that the root does not name (the DSDT), checked alike; null, after a warning, if it is bad. */
const struct acpi_header *acpi_table_at(const struct acpi *a, paddr_t base);

struct acpi_cpu {
    u32 apic_id, uid;
    bool enabled;        /* usable now */
    bool online_capable; /* could be added at run time */
};

struct acpi_ioapic {
    u32 id, address, gsi_base;
};

/* flags as in the table; acpi_gsi_of_irq() decodes them. */
struct acpi_override {
    u32 gsi;
    u16 flags;
    u8 source; /* ISA IRQ */
};

#define ACPI_UID_ALL 0xffffffffu

struct acpi_nmi {
    u32 uid; /* of the CPU, or ACPI_UID_ALL */
    u16 flags;
    u8 lint;
};

struct acpi_madt {
    u64 lapic_address;
    bool has_8259;
    u32 nr_cpus, nr_ioapics, nr_overrides, nr_nmis;
    struct acpi_cpu cpus[ACPI_MAX_CPUS]; /* in the order of the table; no APIC id twice */
    struct acpi_ioapic ioapics[ACPI_MAX_IOAPICS];
    struct acpi_override overrides[ACPI_MAX_OVERRIDES];
    struct acpi_nmi nmis[ACPI_MAX_NMIS];
};

/* ERR_NOENT: no MADT. A malformed entry ends the walk with a warning; what came before it stays. */
int acpi_parse_madt(const struct acpi *a, struct acpi_madt *madt);

struct acpi_irq {
    u32 gsi;
    bool level, active_low;
};

/* Where an ISA IRQ (0 to 15) arrives. Without an override it is the GSI of the same number, edge, active
 * high. */
struct acpi_irq acpi_gsi_of_irq(const struct acpi_madt *madt, u8 irq);

struct acpi_fadt {
    paddr_t dsdt;
    u16 sci_irq;
    u32 smi_command; /* port; 0: the machine is always in ACPI mode */
    u8 acpi_enable;
    struct acpi_gas pm1a_control, pm1b_control, pm_timer;
    bool pm_timer_32bit; /* else 24 bits */
    bool hw_reduced;     /* none of the above registers */
    bool reset_supported;
    struct acpi_gas reset;
    u8 reset_value;
};

/* ERR_NOENT: no FADT; ERR_INVAL: shorter than ACPI 1.0's. */
int acpi_parse_fadt(const struct acpi *a, struct acpi_fadt *fadt);

/* Physical address of the (first) HPET's registers, 0 if there is none. */
paddr_t acpi_hpet(const struct acpi *a);

struct acpi_spcr {
    struct acpi_gas base;
    u8 interface; /* 0 16550, 1 16450-like, 0x12 16550 by its GAS */
    u32 gsi;      /* 0: none */
    u32 baud;     /* 0: leave it as it is */
};

/* The serial port that firmware uses. ERR_NOENT: no SPCR table. */
int acpi_parse_spcr(const struct acpi *a, struct acpi_spcr *spcr);

struct acpi_mcfg_entry {
    u64 base;
    u16 segment;
    u8 first_bus, last_bus;
};

/* PCI Express configuration space. Copies at most max entries, returns their number. */
u32 acpi_parse_mcfg(const struct acpi *a, struct acpi_mcfg_entry *out, u32 max);

struct acpi_s5 {
    u8 slp_typ_a, slp_typ_b;
};

/*
 * The \_S5_ package, recognised by its encoding in the DSDT or an SSDT (there is no AML interpreter; firmware
 * that computes it is not understood). ERR_NOENT if it is not found.
 */
int acpi_find_s5(const struct acpi *a, const struct acpi_fadt *fadt, struct acpi_s5 *s5);

#endif
