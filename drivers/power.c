/* SPDX-License-Identifier: MIT */
#include "drivers/power.h"
#include "arch/x86/asm.h"

/* PM1 control register. */
#define PM1_SCI_EN        BIT(0)
#define PM1_SLP_TYP_SHIFT 10
#define PM1_SLP_TYP       BITS(12, 10)
#define PM1_SLP_EN        BIT(13)

#define BOCHS_PORT      0x8900
#define RESET_CONTROL   0xcf9 /* Intel PCH data sheets, 'RST_CNT: Reset Control Register' */
#define RST_SYSTEM      0x02  /* the kind of reset: hard */
#define RST_CPU         0x04  /* do it on its change to 1 */
#define RST_FULL        0x08
#define KBC_STATUS      0x64
#define KBC_COMMAND     0x64
#define KBC_INPUT_FULL  0x02
#define KBC_PULSE_RESET 0xfe

#define IO_DELAY_PORT 0x80 /* a write takes about 1 us */
#define WAIT          300000

static void wait_io(u32 n)
{
    while (n--)
        outb(IO_DELAY_PORT, 0);
}

/* PM1 registers in memory exist on hardware-reduced machines only, which this does not serve. */
static bool usable(const struct acpi_gas *g)
{
    return g->space == ACPI_SPACE_IO && g->address && g->address <= 0xfffe;
}

/* While firmware owns the power registers, they do nothing: take them over, as the SMI command port offers.
 */
static void enter_acpi_mode(const struct acpi_fadt *f)
{
    u16 control = f->pm1a_control.address;

    if (!f->smi_command || f->smi_command > 0xffff || !f->acpi_enable || inw(control) & PM1_SCI_EN)
        return;
    outb(f->smi_command, f->acpi_enable);
    for (u32 i = 0; i < WAIT && !(inw(control) & PM1_SCI_EN); i++)
        wait_io(1);
}

static void sleep_write(const struct acpi_gas *g, u8 slp_typ, u16 enable)
{
    u16 value;

    if (!usable(g))
        return;
    value = inw(g->address) & ~(PM1_SLP_TYP | PM1_SLP_EN);
    outw(g->address, value | slp_typ << PM1_SLP_TYP_SHIFT | enable);
}

static void acpi_off(const struct acpi_fadt *f, const struct acpi_s5 *s5)
{
    if (!usable(&f->pm1a_control))
        return;
    enter_acpi_mode(f);
    for (u32 pass = 0; pass < 2; pass++) { /* first the types, then both enables one after the other */
        u16 enable = pass ? PM1_SLP_EN : 0;

        sleep_write(&f->pm1a_control, s5->slp_typ_a, enable);
        sleep_write(&f->pm1b_control, s5->slp_typ_b, enable);
    }
    wait_io(WAIT);
}

void power_off(const struct power *p)
{
    if (p->fadt && p->s5)
        acpi_off(p->fadt, p->s5);
    for (const char *c = "Shutdown"; *c; c++)
        outb(BOCHS_PORT, *c);
    wait_io(WAIT);
}

static void acpi_reset(const struct power *p)
{
    const struct acpi_fadt *f = p->fadt;

    if (!f || !f->reset_supported || !f->reset.address)
        return;
    if (f->reset.space == ACPI_SPACE_IO && f->reset.address <= 0xffff)
        outb(f->reset.address, f->reset_value);
    else if (f->reset.space == ACPI_SPACE_MEMORY && p->reset_mapped)
        *p->reset_mapped = f->reset_value;
    else
        return;
    wait_io(WAIT);
}

static void keyboard_reset(void)
{
    for (u32 i = 0; i < WAIT && inb(KBC_STATUS) & KBC_INPUT_FULL; i++)
        wait_io(1);
    outb(KBC_COMMAND, KBC_PULSE_RESET);
    wait_io(WAIT);
}

void power_reset(const struct power *p)
{
    acpi_reset(p);
    outb(RESET_CONTROL, RST_SYSTEM | RST_FULL);
    outb(RESET_CONTROL, RST_SYSTEM | RST_FULL | RST_CPU);
    wait_io(WAIT);
    keyboard_reset();
}
