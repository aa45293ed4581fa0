/* SPDX-License-Identifier: MIT */
/* ACPI fixed hardware: PM1 event and control blocks, PM timer. ACPI Specification, 'ACPI Hardware
 * Specification'. */
#ifndef VMM_DEV_ACPI_PM_H
#define VMM_DEV_ACPI_PM_H

#include "lib/types.h"

#define ACPI_PM1_EVT     0x600 /* status 16 bits, enable 16 bits */
#define ACPI_PM1_CNT     0x604 /* 16 bits */
#define ACPI_PM_TMR      0x608 /* 32 bits */
#define ACPI_PM_TMR_HZ   3579545u
#define ACPI_SCI_IRQ     9
#define ACPI_SLP_TYP_S5  5
#define ACPI_RESET_PORT  0xcf9
#define ACPI_RESET_VALUE 0x06

struct vm;
struct acpi_pm;

struct acpi_pm *acpi_pm_create(struct vm *vm);

#endif
