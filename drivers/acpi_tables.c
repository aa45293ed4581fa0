/* SPDX-License-Identifier: MIT */
/* FADT, HPET, SPCR, MCFG, and the one object of AML that Nidus needs. */
#include "drivers/acpi.h"
#include "lib/string.h"

/* FADT: offsets from ACPI 6.5, 'Fixed ACPI Description Table'. */
enum {
    FADT_DSDT = 40,
    FADT_SCI_INT = 46,
    FADT_SMI_CMD = 48,
    FADT_ACPI_ENABLE = 52,
    FADT_PM1A_CNT = 64,
    FADT_PM1B_CNT = 68,
    FADT_PM_TMR = 76,
    FADT_PM1_CNT_LEN = 89,
    FADT_PM_TMR_LEN = 91,
    FADT_FLAGS = 112,
    FADT_V1_SIZE = 116,
    FADT_RESET_REG = 116,
    FADT_RESET_VALUE = 128,
    FADT_X_DSDT = 140,
    FADT_X_PM1A_CNT = 172,
    FADT_X_PM1B_CNT = 184,
    FADT_X_PM_TMR = 208,
};

#define FADT_TMR_VAL_EXT   BIT(8)
#define FADT_RESET_REG_SUP BIT(10)
#define FADT_HW_REDUCED    BIT(20)

/* A little-endian field; 0 where the table is too short to have it. */
static u64 field(const struct acpi_header *h, u32 offset, u32 bytes)
{
    u64 v = 0;

    if (offset + bytes <= h->length)
        memcpy(&v, (const u8 *)h + offset, bytes);
    return v;
}

static struct acpi_gas gas(const struct acpi_header *h, u32 offset)
{
    struct acpi_gas g = {0};

    if (offset + sizeof(g) <= h->length)
        memcpy(&g, (const u8 *)h + offset, sizeof(g));
    return g;
}

/* A register with an extended field and an older one, a port with its length in bytes. */
static struct acpi_gas reg(const struct acpi_header *h, u32 x_offset, u32 offset, u32 length_offset)
{
    struct acpi_gas g = gas(h, x_offset);

    if (!g.address)
        g = (struct acpi_gas){
            .space = ACPI_SPACE_IO, .width = field(h, length_offset, 1) * 8, .address = field(h, offset, 4)};
    return g;
}

int acpi_parse_fadt(const struct acpi *a, struct acpi_fadt *f)
{
    const struct acpi_header *h = acpi_find(a, "FACP", 0);
    u32 flags;

    memset(f, 0, sizeof(*f));
    if (!h)
        return ERR_NOENT;
    if (h->length < FADT_V1_SIZE) {
        a->warn("ACPI FADT is shorter than 116 bytes: ignored");
        return ERR_INVAL;
    }
    flags = field(h, FADT_FLAGS, 4);
    f->dsdt = field(h, FADT_X_DSDT, 8);
    if (!f->dsdt)
        f->dsdt = field(h, FADT_DSDT, 4);
    f->sci_irq = field(h, FADT_SCI_INT, 2);
    f->hw_reduced = flags & FADT_HW_REDUCED;
    f->reset_supported = flags & FADT_RESET_REG_SUP && h->length > FADT_RESET_VALUE;
    f->reset = gas(h, FADT_RESET_REG);
    f->reset_value = field(h, FADT_RESET_VALUE, 1);
    if (f->hw_reduced)
        return OK;
    f->smi_command = field(h, FADT_SMI_CMD, 4);
    f->acpi_enable = field(h, FADT_ACPI_ENABLE, 1);
    f->pm1a_control = reg(h, FADT_X_PM1A_CNT, FADT_PM1A_CNT, FADT_PM1_CNT_LEN);
    f->pm1b_control = reg(h, FADT_X_PM1B_CNT, FADT_PM1B_CNT, FADT_PM1_CNT_LEN);
    f->pm_timer = reg(h, FADT_X_PM_TMR, FADT_PM_TMR, FADT_PM_TMR_LEN);
    f->pm_timer_32bit = flags & FADT_TMR_VAL_EXT;
    return OK;
}

/* IA-PC HPET Specification 1.0a, 'The ACPI 2.0 HPET Description Table'. */
paddr_t acpi_hpet(const struct acpi *a)
{
    const struct acpi_header *h = acpi_find(a, "HPET", 0);
    struct acpi_gas base = {0};

    if (h)
        base = gas(h, 40);
    return base.space == ACPI_SPACE_MEMORY ? base.address : 0;
}

/* Serial Port Console Redirection Table. */
int acpi_parse_spcr(const struct acpi *a, struct acpi_spcr *s)
{
    static const u32 bauds[] = {[3] = 9600, [4] = 19200, [6] = 57600, [7] = 115200};
    const struct acpi_header *h = acpi_find(a, "SPCR", 0);
    u8 baud;

    memset(s, 0, sizeof(*s));
    if (!h)
        return ERR_NOENT;
    baud = field(h, 58, 1);
    s->interface = field(h, 36, 1);
    s->base = gas(h, 40);
    s->gsi = field(h, 52, 1) & BIT(1) ? field(h, 54, 4) : field(h, 52, 1) & BIT(0) ? field(h, 53, 1) : 0;
    s->baud = baud < ARRAY_SIZE(bauds) ? bauds[baud] : 0;
    return OK;
}

/* PCI Firmware Specification 3.3, 'MCFG Table Description'. */
u32 acpi_parse_mcfg(const struct acpi *a, struct acpi_mcfg_entry *out, u32 max)
{
    const struct acpi_header *h = acpi_find(a, "MCFG", 0);
    u32 n = 0;

    for (u32 at = 44; h && n < max && at + 16 <= h->length; at += 16)
        out[n++] = (struct acpi_mcfg_entry){
            .base = field(h, at, 8),
            .segment = field(h, at + 8, 2),
            .first_bus = field(h, at + 10, 1),
            .last_bus = field(h, at + 11, 1),
        };
    return n;
}

/* ACPI 6.5, 'AML Byte Stream Byte Values'. */
enum { AML_ZERO = 0x00, AML_ONE = 0x01, AML_NAME = 0x08, AML_BYTE = 0x0a, AML_WORD = 0x0b, AML_DWORD = 0x0c };
enum { AML_PACKAGE = 0x12, AML_ROOT = '\\' };

struct aml {
    const u8 *p;
    u32 at, end;
};

static int aml_byte(struct aml *s)
{
    return s->at < s->end ? s->p[s->at++] : -1;
}

/* An integer constant; only its low byte matters. -1: something else, or the end. */
static int aml_small_integer(struct aml *s)
{
    int op = aml_byte(s), value;

    switch (op) {
    case AML_ZERO:
    case AML_ONE:
        return op;
    case AML_BYTE:
        return aml_byte(s);
    case AML_WORD:
    case AML_DWORD:
        value = aml_byte(s);
        s->at += op == AML_WORD ? 1 : 3;
        return s->at <= s->end ? value : -1;
    default:
        return -1;
    }
}

/* At the bytes after the name: PackageOp PkgLength NumElements SLP_TYPa SLP_TYPb ... */
static bool parse_s5(struct aml s, struct acpi_s5 *s5)
{
    int lead, a, b;

    if (aml_byte(&s) != AML_PACKAGE)
        return false;
    lead = aml_byte(&s);
    if (lead < 0)
        return false;
    s.at += lead >> 6; /* number of PkgLength bytes that follow */
    if (aml_byte(&s) < 1)
        return false;
    a = aml_small_integer(&s);
    b = aml_small_integer(&s);
    if (a < 0 || a > 7)
        return false;
    s5->slp_typ_a = a;
    s5->slp_typ_b = b >= 0 && b <= 7 ? b : a;
    return true;
}

static bool s5_in(const struct acpi_header *h, struct acpi_s5 *s5)
{
    const u8 *p = (const u8 *)h;

    for (u32 at = sizeof(*h) + 1; at + 4 < h->length; at++) {
        bool named = p[at - 1] == AML_NAME || (p[at - 1] == AML_ROOT && p[at - 2] == AML_NAME);

        if (named && !memcmp(p + at, "_S5_", 4) && parse_s5((struct aml){p, at + 4, h->length}, s5))
            return true;
    }
    return false;
}

int acpi_find_s5(const struct acpi *a, const struct acpi_fadt *fadt, struct acpi_s5 *s5)
{
    const struct acpi_header *h = fadt->dsdt ? acpi_table_at(a, fadt->dsdt) : NULL;

    for (u32 n = 0; h && !s5_in(h, s5); n++)
        h = acpi_find(a, "SSDT", n);
    return h ? OK : ERR_NOENT;
}
