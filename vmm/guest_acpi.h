/* SPDX-License-Identifier: MIT */
/* ACPI tables for a guest: RSDP, XSDT, FADT, FACS, DSDT (\_S5 and the devices), MADT, HPET. */
#ifndef VMM_GUEST_ACPI_H
#define VMM_GUEST_ACPI_H

#include "lib/types.h"

struct vm;

/* apic_ids: of the vCPUs. Writes the tables into guest memory between GUEST_BIOS_AREA and 1 MiB; *rsdp: where
 * the RSDP is. ERR_RANGE when that is not RAM, ERR_NOMEM when the tables do not fit. */
int guest_acpi_build(struct vm *vm, const u16 *apic_ids, u32 nr_vcpus, gpa_t *rsdp);

#endif
