/* SPDX-License-Identifier: MIT */
#include "boot/machine.h"
#include "boot/machine_parts.h"
#include "arch/x86/apic.h"
#include "arch/x86/asm.h"
#include "arch/x86/cpu.h"
#include "arch/x86/paging.h"
#include "arch/x86/time.h"
#include "arch/x86/trap.h"
#include "drivers/calibrate.h"
#include "drivers/fbcon.h"
#include "drivers/keyboard.h"
#include "drivers/power.h"
#include "drivers/vga_text.h"
#include "lib/log.h"
#include "lib/string.h"
#include "vmm/given.h"
#include "vmm/vmm.h"

#define HPET_SIZE KiB(1)
#define INPUT_MAX 64

struct machine machine;
static struct acpi_s5 s5;
static bool have_s5;

static void warn(const char *text)
{
    log_warn("%s", text);
}

static const void *map_table(paddr_t base, u64 size)
{
    return vmap(base, size, 0);
}

void machine_begin(const struct boot_info *bi)
{
    machine.boot = bi;
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
    if (acpi_init(&machine.acpi, rsdp, size, map_table, warn, err, sizeof(err))) {
        log_warn("ACPI: %s; looking for CPUs by trying", err);
        return;
    }
    machine.have_acpi = true;
    machine.have_madt = acpi_parse_madt(&machine.acpi, &machine.madt) == OK;
    machine.have_fadt = acpi_parse_fadt(&machine.acpi, &machine.fadt) == OK;
    have_s5 = machine.have_fadt && acpi_find_s5(&machine.acpi, &machine.fadt, &s5) == OK;
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

static struct calibrate_sources sources = {.pit = true};

u64 machine_tsc_by(u32 n, const char **name)
{
    return calibrate_against(&sources, n, name);
}

int machine_init_time(void)
{
    struct calibration result;
    paddr_t hpet = machine.have_acpi ? acpi_hpet(&machine.acpi) : 0;

    if (hpet)
        sources.hpet = vmap(hpet, HPET_SIZE, MAP_WRITE | MAP_UNCACHED);
    if (machine.have_fadt && machine.fadt.pm_timer.address && machine.fadt.pm_timer.space == ACPI_SPACE_IO) {
        sources.pm_timer = (u16)machine.fadt.pm_timer.address;
        sources.pm_timer_32bit = machine.fadt.pm_timer_32bit;
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

static struct keyboard keyboard;

static void take_keys(void)
{
    char data[INPUT_MAX];
    size_t n = 0;
    int c;

    while (n < sizeof(data) && (c = uart16550_read(machine.console)) >= 0)
        data[n++] = (char)c;
    while (machine.has_keyboard && n < sizeof(data) && (c = keyboard_read(&keyboard)) >= 0)
        data[n++] = (char)c;
    if (n)
        vmm_console_input(data, n);
}

static void console_interrupt(u8 vector)
{
    (void)vector;
    take_keys();
}

/* False: keys have to be looked for. */
static bool route_keys(s32 irq)
{
    u8 vector = (u8)(VECTOR_DEVICES + irq);
    bool level;

    if (irq != SERIAL_NO_IRQ && machine_route((u32)irq, vector, this_cpu()->apic_id, &level) == OK) {
        irq_set_handler(vector, console_interrupt);
        return true;
    }
    vmm_look_at_keys = take_keys;
    return false;
}

static void route_console(void)
{
    machine.has_keyboard = keyboard_init(&keyboard);
    if (machine.has_keyboard)
        route_keys(KEYBOARD_IRQ);
    if (machine.console->at.kind > SERIAL_NONE && route_keys(machine.console->at.irq))
        uart16550_enable_rx_interrupt(machine.console);
}

void machine_init_interrupts(struct uart16550 *uart)
{
    mask_pics();
    machine.console = uart;
    for (u32 i = 0; machine.have_madt && i < machine.madt.nr_ioapics; i++) {
        void *regs = vmap(machine.madt.ioapics[i].address, PAGE_SIZE, MAP_WRITE | MAP_UNCACHED);

        if (!regs || ioapic_init(&machine.ioapics[i], regs, machine.madt.ioapics[i].gsi_base)) {
            log_warn("I/O APIC %u at 0x%x does not answer", machine.madt.ioapics[i].id,
                     machine.madt.ioapics[i].address);
            machine.ioapics[i].regs = NULL;
        }
    }
    route_console();
    given_machine = &machine_given;
}

void machine_power_off(void)
{
    struct power p = {.fadt = machine.have_fadt ? &machine.fadt : NULL, .s5 = have_s5 ? &s5 : NULL};

    power_off(&p);
}
