/* SPDX-License-Identifier: MIT */
#include "boot/machine.h"
#include "arch/x86/apic.h"
#include "arch/x86/asm.h"
#include "arch/x86/cpu.h"
#include "arch/x86/paging.h"
#include "arch/x86/time.h"
#include "arch/x86/trap.h"
#include "drivers/acpi.h"
#include "drivers/calibrate.h"
#include "drivers/fbcon.h"
#include "drivers/ioapic.h"
#include "drivers/power.h"
#include "drivers/uart16550.h"
#include "drivers/vga_text.h"
#include "lib/log.h"
#include "lib/string.h"
#include "vmm/vmm.h"

#define VGA_TEXT_BASE    0xb8000
#define HPET_SIZE        KiB(1)
#define MIN_GUESSED_CPUS 16u
#define INPUT_MAX        64

static struct acpi acpi;
static struct acpi_madt madt;
static struct acpi_fadt fadt;
static struct acpi_s5 s5;
static bool have_acpi, have_madt, have_fadt, have_s5;
static struct ioapic ioapics[ACPI_MAX_IOAPICS];
static struct uart16550 *console;

static void warn(const char *text)
{
    log_warn("%s", text);
}

static const void *map_table(paddr_t base, u64 size)
{
    return vmap(base, size, 0);
}

void machine_init_acpi(const struct boot_info *bi)
{
    u8 rsdp[36];
    u32 size = bi->rsdp_size;
    char err[160];

    memcpy(rsdp, bi->rsdp, sizeof(rsdp));
    if (!size && !bi->efi)
        size = acpi_find_rsdp(map_table, rsdp);
    if (!size) {
        log_warn("no ACPI tables: looking for CPUs by trying");
        return;
    }
    if (acpi_init(&acpi, rsdp, size, map_table, warn, err, sizeof(err))) {
        log_warn("ACPI: %s; looking for CPUs by trying", err);
        return;
    }
    have_acpi = true;
    have_madt = acpi_parse_madt(&acpi, &madt) == OK;
    have_fadt = acpi_parse_fadt(&acpi, &fadt) == OK;
    have_s5 = have_fadt && acpi_find_s5(&acpi, &fadt, &s5) == OK;
}

void machine_init_screen(const struct boot_info *bi)
{
    static struct vga_text vga;
    static struct fbcon fbcon;
    struct boot_framebuffer fb = bi->fb;
    void *memory;

    if (fb.type == BOOT_FB_NONE)
        return;
    memory = vmap(fb.base, (u64)fb.pitch * fb.height, MAP_WRITE | MAP_UNCACHED);
    if (!memory)
        return;
    if (fb.type == BOOT_FB_EGA_TEXT) {
        if (vga_text_init(&vga, memory, &fb) == OK)
            log_add_sink(&vga.screen.sink);
    } else if (fbcon_init(&fbcon, memory, &fb) == OK) {
        log_add_sink(&fbcon.screen.sink);
    }
}

int machine_init_time(void)
{
    struct calibrate_sources sources = {.pit = true};
    struct calibration result;
    paddr_t hpet = have_acpi ? acpi_hpet(&acpi) : 0;

    if (hpet)
        sources.hpet = vmap(hpet, HPET_SIZE, MAP_WRITE | MAP_UNCACHED);
    if (have_fadt && fadt.pm_timer.address && fadt.pm_timer.space == ACPI_SPACE_IO) {
        sources.pm_timer = (u16)fadt.pm_timer.address;
        sources.pm_timer_32bit = fadt.pm_timer_32bit;
    }
    if (calibrate_tsc(&sources, &result, warn))
        return ERR_NOENT;
    tsc_hz = result.hz;
    log_info("TSC: %lu kHz (measured against the %s)", tsc_hz / 1000, result.source);
    return OK;
}

static void mask_pics(void)
{
    outb(0x21, 0xff);
    outb(0xa1, 0xff);
}

static void console_interrupt(u8 vector)
{
    char data[INPUT_MAX];
    size_t n = 0;
    int c;

    (void)vector;
    while (n < sizeof(data) && (c = uart16550_read(console)) >= 0)
        data[n++] = (char)c;
    if (n)
        vmm_console_input(data, n);
}

/* COM1 and COM3 interrupt on IRQ 4, COM2 and COM4 on IRQ 3: bit 8 of the port tells them apart. */
static void route_console(void)
{
    u8 isa_irq = console->port & 0x100 ? 4 : 3;
    struct acpi_irq irq = acpi_gsi_of_irq(&madt, isa_irq);

    for (u32 i = 0; i < madt.nr_ioapics; i++) {
        if (ioapics[i].regs && ioapic_route(&ioapics[i], irq.gsi, VECTOR_DEVICES + isa_irq,
                                            this_cpu()->apic_id, irq.level, irq.active_low) == OK) {
            irq_set_handler(VECTOR_DEVICES + isa_irq, console_interrupt);
            uart16550_enable_rx_interrupt(console);
            return;
        }
    }
}

void machine_init_interrupts(struct uart16550 *uart)
{
    mask_pics();
    console = uart;
    for (u32 i = 0; have_madt && i < madt.nr_ioapics; i++) {
        void *regs = vmap(madt.ioapics[i].address, PAGE_SIZE, MAP_WRITE | MAP_UNCACHED);

        if (!regs || ioapic_init(&ioapics[i], regs, madt.ioapics[i].gsi_base)) {
            log_warn("I/O APIC %u at 0x%x does not answer", madt.ioapics[i].id, madt.ioapics[i].address);
            ioapics[i].regs = NULL;
        }
    }
    if (uart && have_madt)
        route_console();
}

/* The ids that this package reserves (SDM, CPUID leaf 1), or some more: there may be other packages. */
static u32 possible_cpus(u32 *apic_ids, u32 max)
{
    u32 n = MIN(MAX(cpuid(1, 0).ebx >> 16 & 0xff, MIN_GUESSED_CPUS), max);

    for (u32 i = 0; i < n; i++)
        apic_ids[i] = i;
    return n;
}

u32 machine_cpus(u32 *apic_ids, u32 max, bool *sure)
{
    u32 n = 0;

    *sure = have_madt;
    if (!have_madt)
        return possible_cpus(apic_ids, max);
    for (u32 i = 0; i < madt.nr_cpus && n < max; i++) {
        if (madt.cpus[i].enabled)
            apic_ids[n++] = madt.cpus[i].apic_id;
    }
    return n;
}

void machine_power_off(void)
{
    struct power p = {.fadt = have_fadt ? &fadt : NULL, .s5 = have_s5 ? &s5 : NULL};

    power_off(&p);
}
