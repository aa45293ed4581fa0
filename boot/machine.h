/* SPDX-License-Identifier: MIT */
/* The devices of the machine that Nidus itself uses, found through ACPI. */
#ifndef BOOT_MACHINE_H
#define BOOT_MACHINE_H

#include "boot/boot_info.h"

struct uart16550;

/* Before everything else. */
void machine_begin(const struct boot_info *bi);
/* Reads the ACPI tables; without them CPUs are found by trying, and the console has no interrupt. */
void machine_init_acpi(const struct boot_info *bi);
/* Mirrors the log on the screen that the boot loader left, if there is one. */
void machine_init_screen(const struct boot_info *bi);
/* Measures the TSC and sets tsc_hz. ERR_NOENT: there is no timer to measure against. */
int machine_init_time(void);
/* As calibrate_against(), after that. */
u64 machine_tsc_by(u32 n, const char **name);
/* Masks every line of the I/O APICs and the PICs, and routes the console's receive interrupt to this CPU. */
void machine_init_interrupts(struct uart16550 *console);
/* APIC ids of the CPUs that firmware has enabled; their number. Not sure: without ACPI, all ids that could
 * exist. */
u32 machine_cpus(u32 *apic_ids, u32 max, bool *sure);
/* What runs, and what of it shares cores. */
void machine_tell_cpus(void);
void machine_power_off(void);

#endif
