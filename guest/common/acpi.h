/* SPDX-License-Identifier: MIT */
/* As much of ACPI as the guests need; tables above 4 GiB are not found. */
#ifndef GUEST_ACPI_H
#define GUEST_ACPI_H

#include "lib/types.h"

struct acpi_header {
    char signature[4];
    u32 length;
    u8 revision, checksum;
    char oem[6], oem_table[8];
    u32 oem_revision, creator, creator_revision;
} __packed;

struct acpi_s5 {
    u16 pm1a_cnt, pm1b_cnt;
    u8 slp_typa, slp_typb;
};

/* The table with that signature (4 characters), or null. */
const struct acpi_header *acpi_find(const char *signature);
/* Looks once only: the tables may be overwritten afterwards. */
bool acpi_find_s5(struct acpi_s5 *s5);
/* APIC ids of the enabled CPUs in the MADT, at most max; 0 without one. */
u32 acpi_cpus(u32 *ids, u32 max);

#endif
