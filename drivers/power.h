/* SPDX-License-Identifier: MIT */
/* Switching the physical machine off, and resetting it. */
#ifndef DRIVERS_POWER_H
#define DRIVERS_POWER_H

#include "drivers/acpi.h"
#include "lib/types.h"

struct power {
    const struct acpi_fadt *fadt; /* null: without ACPI */
    const struct acpi_s5 *s5;     /* null: not found */
    volatile u8 *reset_mapped;    /* the FADT's reset register, when it is in memory and mapped; else null */
};

/*
 * ACPI soft off, ACPI 6.5 'Transitioning from the Working to the Soft Off State'; then what Bochs
 * understands, the letters of "Shutdown" at port 0x8900. Returns, after about a second, only if none of it
 * had an effect.
 */
void power_off(const struct power *p);

/* The FADT's reset register, the reset control register 0xcf9, the keyboard controller. Returns if none
 * worked. */
void power_reset(const struct power *p);

#endif
