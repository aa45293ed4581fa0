/* SPDX-License-Identifier: MIT */
/* ACPI Specification 6.5, 'ACPI Software Programming Model'. */
#include "vmm/guest_acpi.h"
#include "lib/string.h"
#include "vmm/aml.h"
#include "vmm/dev/acpi_pm.h"
#include "vmm/dev/host.h"
#include "vmm/dev/hpet.h"
#include "vmm/dev/ioapic.h"
#include "vmm/dev/lapic.h"
#include "vmm/guest_aml_pci.h"
#include "vmm/load.h"

#define OEM_ID       "NIDUS "
#define OEM_TABLE_ID "NIDUSVM "
#define CREATOR_ID   "NIDU"

struct table_header {
    char signature[4];
    u32 length;
    u8 revision, checksum;
    char oem_id[6], oem_table_id[8];
    u32 oem_revision;
    char creator_id[4];
    u32 creator_revision;
};

struct rsdp {
    char signature[8];
    u8 checksum; /* of the first 20 bytes */
    char oem_id[6];
    u8 revision;
    u32 rsdt, length;
    u64 xsdt;
    u8 extended_checksum, reserved[3];
} __packed;

/* Generic address structure. */
struct gas {
    u8 space, width, offset, access;
    u64 address;
} __packed;

#define GAS_MEMORY 0
#define GAS_IO     1
#define GAS_BYTE   1
#define GAS_WORD   2
#define GAS_DWORD  3

/* The FADT after its header. */
struct fadt {
    u32 firmware_ctrl, dsdt;
    u8 reserved0, preferred_pm_profile;
    u16 sci_int;
    u32 smi_cmd;
    u8 acpi_enable, acpi_disable, s4bios_req, pstate_cnt;
    u32 pm1a_evt_blk, pm1b_evt_blk, pm1a_cnt_blk, pm1b_cnt_blk, pm2_cnt_blk, pm_tmr_blk, gpe0_blk, gpe1_blk;
    u8 pm1_evt_len, pm1_cnt_len, pm2_cnt_len, pm_tmr_len, gpe0_blk_len, gpe1_blk_len, gpe1_base, cst_cnt;
    u16 p_lvl2_lat, p_lvl3_lat, flush_size, flush_stride;
    u8 duty_offset, duty_width, day_alrm, mon_alrm, century;
    u16 iapc_boot_arch;
    u8 reserved1;
    u32 flags;
    struct gas reset_reg;
    u8 reset_value;
    u16 arm_boot_arch;
    u8 minor_version;
    u64 x_firmware_ctrl, x_dsdt;
    struct gas x_pm1a_evt_blk, x_pm1b_evt_blk, x_pm1a_cnt_blk, x_pm1b_cnt_blk, x_pm2_cnt_blk, x_pm_tmr_blk,
        x_gpe0_blk, x_gpe1_blk, sleep_control_reg, sleep_status_reg;
    u64 hypervisor_vendor_identity;
} __packed;

#define BOOT_ARCH_LEGACY_DEVICES BIT(0)
#define BOOT_ARCH_NO_VGA         BIT(2)
#define FADT_WBINVD              BIT(0)
#define FADT_PROC_C1             BIT(2)
#define FADT_PWR_BUTTON          BIT(4) /* set: no fixed power button */
#define FADT_SLP_BUTTON          BIT(5)
#define FADT_FIX_RTC             BIT(6) /* set: no RTC wake status in PM1 */
#define FADT_TMR_VAL_EXT         BIT(8)
#define FADT_RESET_REG_SUP       BIT(10)
#define FADT_HEADLESS            BIT(12)
#define NO_C_STATE               0xfff /* a latency that says there is none */
#define CMOS_CENTURY             0x32

struct facs {
    char signature[4];
    u32 length, hardware_signature, waking_vector, global_lock, flags;
    u64 x_waking_vector;
    u8 version, rest[31];
};

struct madt_start {
    u32 lapic_address, flags;
};

#define MADT_PCAT_COMPAT 1
#define MADT_ENABLED     1

struct madt_lapic {
    u8 type, length, uid, id;
    u32 flags;
};

struct madt_lapic_nmi {
    u8 type, length, uid;
    u16 flags;
    u8 lint;
} __packed;

struct madt_ioapic {
    u8 type, length, id, reserved;
    u32 address, gsi_base;
};

struct madt_override {
    u8 type, length, bus, source;
    u32 gsi;
    u16 flags;
} __packed;

#define MADT_LEVEL_HIGH 0xd /* trigger mode level, polarity active high */

struct madt_x2apic {
    u8 type, length;
    u16 reserved;
    u32 id, flags, uid;
};

struct madt_x2apic_nmi {
    u8 type, length;
    u16 flags;
    u32 uid;
    u8 lint, reserved[3];
};

struct hpet_table {
    u32 id;
    struct gas address;
    u8 number;
    u16 minimum_tick;
    u8 page_protection;
} __packed;

#define HPET_MIN_TICK 128 /* counts between two periodic interrupts at least */

#define IO(base, length)          \
    {                             \
        RESOURCE_IO, base, length \
    }
#define IRQ(line)             \
    {                         \
        RESOURCE_IRQ, line, 0 \
    }
#define MEMORY(base, length)          \
    {                                 \
        RESOURCE_MEMORY, base, length \
    }

/* What cannot be found but by being told. */
static const struct acpi_device {
    char name[5], id[8];
    struct aml_resource resources[10];
} acpi_devices[] = {
    {"COM1", "PNP0501", {IO(0x3f8, 8), IRQ(4)}},
    {"RTC_", "PNP0B00", {IO(0x70, 2), IRQ(8)}},
    {"TIMR", "PNP0100", {IO(0x40, 4), IRQ(0)}},
    {"PIC_", "PNP0000", {IO(0x20, 2), IO(0xa0, 2), IO(0x4d0, 2), IRQ(2)}},
    {"HPET", "PNP0103", {MEMORY(HPET_BASE, HPET_SIZE)}},
    {"MBRD", /* motherboard resources: nothing else may be put there */
     "PNP0C02",
     {IO(0x61, 1), IO(0x92, 1), IO(0xf4, 4), IO(ACPI_PM1_EVT, 4), IO(ACPI_PM1_CNT, 2), IO(ACPI_PM_TMR, 4),
      IO(ACPI_RESET_PORT, 1), MEMORY(IOAPIC_BASE, 0x1000), MEMORY(LAPIC_BASE, 0x1000)}},
};

/* Tables are written one behind the other. */
struct builder {
    struct vm *vm;
    gpa_t table; /* the one being built */
    gpa_t at;    /* the next byte */
    u8 sum;      /* of its bytes after the header */
    int rc;
};

static u8 sum_of(const void *data, size_t n)
{
    const u8 *bytes = data;
    u8 sum = 0;

    while (n--)
        sum += *bytes++;
    return sum;
}

static void append(struct builder *b, const void *data, u64 n)
{
    if (!b->rc && b->at + n > GUEST_BIOS_CODE)
        b->rc = ERR_NOMEM;
    if (!b->rc)
        b->rc = guest_write(b->vm, b->at, data, n);
    b->at += n;
    b->sum += sum_of(data, n);
}

static void begin(struct builder *b)
{
    b->table = ALIGN_UP(b->at, 64); /* FACS wants 64, RSDP 16 */
    b->at = b->table + sizeof(struct table_header);
    b->sum = 0;
}

/* Writes the header; returns the table's address. */
static gpa_t finish(struct builder *b, const char *signature, u8 revision)
{
    struct table_header h = {
        .length = b->at - b->table,
        .revision = revision,
        .oem_revision = 1,
        .creator_revision = 1,
    };

    memcpy(h.signature, signature, sizeof(h.signature));
    memcpy(h.oem_id, OEM_ID, sizeof(h.oem_id));
    memcpy(h.oem_table_id, OEM_TABLE_ID, sizeof(h.oem_table_id));
    memcpy(h.creator_id, CREATOR_ID, sizeof(h.creator_id));
    h.checksum = -(b->sum + sum_of(&h, sizeof(h)));
    if (!b->rc)
        b->rc = guest_write(b->vm, b->table, &h, sizeof(h));
    return b->table;
}

static gpa_t build_facs(struct builder *b)
{
    struct facs f = {.signature = {'F', 'A', 'C', 'S'}, .length = sizeof(f), .version = 2};

    b->at = ALIGN_UP(b->at, 64);
    append(b, &f, sizeof(f));
    return b->at - sizeof(f);
}

static void add_device(struct aml *a, const struct acpi_device *d)
{
    u32 device = aml_device(a, d->name);

    aml_name_eisa_id(a, "_HID", d->id);
    aml_name_resources(a, "_CRS", d->resources);
    aml_end(a, device);
}

static gpa_t build_dsdt(struct builder *b)
{
    static const u8 soft_off[] = {ACPI_SLP_TYP_S5, ACPI_SLP_TYP_S5, 0, 0}; /* SLP_TYP of PM1a and PM1b */
    struct aml a = {.n = 0};
    u32 scope;

    aml_name_package(&a, "_S5_", soft_off, sizeof(soft_off));
    scope = aml_scope(&a, "_SB_");
    for (u32 i = 0; i < ARRAY_SIZE(acpi_devices); i++)
        add_device(&a, &acpi_devices[i]);
    aml_end(&a, scope);
    if (a.full)
        b->rc = ERR_NOMEM;
    begin(b);
    append(b, a.bytes, a.n);
    append(b, pci_aml, sizeof(pci_aml));
    return finish(b, "DSDT", 2);
}

static gpa_t build_hpet(struct builder *b)
{
    const struct hpet_table h = {
        .id = HPET_ID, .address = {GAS_MEMORY, 64, 0, 0, HPET_BASE}, .minimum_tick = HPET_MIN_TICK};

    begin(b);
    append(b, &h, sizeof(h));
    return finish(b, "HPET", 1);
}

static gpa_t build_fadt(struct builder *b, gpa_t facs, gpa_t dsdt)
{
    const struct fadt f = {
        .firmware_ctrl = facs,
        .dsdt = dsdt,
        .sci_int = ACPI_SCI_IRQ,
        .pm1a_evt_blk = ACPI_PM1_EVT,
        .pm1a_cnt_blk = ACPI_PM1_CNT,
        .pm_tmr_blk = ACPI_PM_TMR,
        .pm1_evt_len = 4,
        .pm1_cnt_len = 2,
        .pm_tmr_len = 4,
        .p_lvl2_lat = NO_C_STATE,
        .p_lvl3_lat = NO_C_STATE,
        .century = CMOS_CENTURY,
        .iapc_boot_arch = BOOT_ARCH_LEGACY_DEVICES | BOOT_ARCH_NO_VGA,
        .flags = FADT_WBINVD | FADT_PROC_C1 | FADT_PWR_BUTTON | FADT_SLP_BUTTON | FADT_FIX_RTC |
                 FADT_TMR_VAL_EXT | FADT_RESET_REG_SUP | FADT_HEADLESS,
        .reset_reg = {GAS_IO, 8, 0, GAS_BYTE, ACPI_RESET_PORT},
        .reset_value = ACPI_RESET_VALUE,
        .minor_version = 5,
        .x_dsdt = dsdt,
        .x_pm1a_evt_blk = {GAS_IO, 32, 0, GAS_WORD, ACPI_PM1_EVT},
        .x_pm1a_cnt_blk = {GAS_IO, 16, 0, GAS_WORD, ACPI_PM1_CNT},
        .x_pm_tmr_blk = {GAS_IO, 32, 0, GAS_DWORD, ACPI_PM_TMR},
    };

    begin(b);
    append(b, &f, sizeof(f));
    return finish(b, "FACP", 6);
}

/* 'Processor Local x2APIC Structure': for the ids that the older structure cannot hold. */
static void append_cpu(struct builder *b, u32 uid, u32 id)
{
    const struct madt_lapic lapic = {0, sizeof(lapic), uid, id, MADT_ENABLED};
    const struct madt_x2apic x2apic = {9, sizeof(x2apic), 0, id, MADT_ENABLED, uid};

    if (id <= LAPIC_XAPIC_ID_MAX)
        append(b, &lapic, sizeof(lapic));
    else
        append(b, &x2apic, sizeof(x2apic));
}

/* NMI at LINT1 of each CPU: a structure of a kind speaks for the CPUs of its kind. */
static void append_nmis(struct builder *b, const u16 *apic_ids, u32 nr_vcpus)
{
    const struct madt_lapic_nmi nmi = {4, sizeof(nmi), 0xff, 0, 1};
    const struct madt_x2apic_nmi x2nmi = {0xa, sizeof(x2nmi), 0, ~0u, 1, {0}};
    u32 nr_x2 = 0;

    for (u32 i = 0; i < nr_vcpus; i++)
        nr_x2 += apic_ids[i] > LAPIC_XAPIC_ID_MAX;
    if (nr_x2 < nr_vcpus)
        append(b, &nmi, sizeof(nmi));
    if (nr_x2)
        append(b, &x2nmi, sizeof(x2nmi));
}

static gpa_t build_madt(struct builder *b, const u16 *apic_ids, u32 nr_vcpus)
{
    const struct madt_start start = {LAPIC_BASE, MADT_PCAT_COMPAT};
    const struct madt_ioapic ioapic = {1, sizeof(ioapic), 0, 0, IOAPIC_BASE, 0};
    const struct madt_override timer = {2, sizeof(timer), 0, 0, 2, 0}; /* IRQ 0 is input 2 */
    const struct madt_override sci = {2, sizeof(sci), 0, ACPI_SCI_IRQ, ACPI_SCI_IRQ, MADT_LEVEL_HIGH};

    begin(b);
    append(b, &start, sizeof(start));
    for (u32 i = 0; i < nr_vcpus; i++)
        append_cpu(b, i, apic_ids[i]);
    append(b, &ioapic, sizeof(ioapic));
    append(b, &timer, sizeof(timer));
    append(b, &sci, sizeof(sci));
    append_nmis(b, apic_ids, nr_vcpus);
    return finish(b, "APIC", 5);
}

int guest_acpi_build(struct vm *vm, const u16 *apic_ids, u32 nr_vcpus, gpa_t *rsdp)
{
    struct builder b = {.vm = vm, .at = GUEST_BIOS_AREA + sizeof(struct rsdp)};
    struct rsdp r = {
        .signature = {'R', 'S', 'D', ' ', 'P', 'T', 'R', ' '}, .revision = 2, .length = sizeof(r)};
    gpa_t facs = build_facs(&b), dsdt = build_dsdt(&b), fadt = build_fadt(&b, facs, dsdt);
    gpa_t madt = build_madt(&b, apic_ids, nr_vcpus), hpet = build_hpet(&b);
    const u64 tables64[] = {fadt, madt, hpet};
    const u32 tables32[] = {fadt, madt, hpet};

    begin(&b);
    append(&b, tables32, sizeof(tables32));
    r.rsdt = finish(&b, "RSDT", 1);
    begin(&b);
    append(&b, tables64, sizeof(tables64));
    r.xsdt = finish(&b, "XSDT", 1);
    memcpy(r.oem_id, OEM_ID, sizeof(r.oem_id));
    r.checksum = -sum_of(&r, 20);
    r.extended_checksum = -sum_of(&r, sizeof(r));
    *rsdp = GUEST_BIOS_AREA;
    return b.rc ? b.rc : guest_write(vm, *rsdp, &r, sizeof(r));
}
