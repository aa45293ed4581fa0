/* SPDX-License-Identifier: MIT */
/*
 * Writes ACPI Machine Language, as much as a guest's DSDT needs. ACPI Specification 6.5, 'ACPI Machine
 * Language (AML) Specification', and 'Resource Data Types for ACPI'. Names are of four characters. What does
 * not fit is left out and seen by `full`.
 */
#ifndef VMM_AML_H
#define VMM_AML_H

#include "lib/types.h"

#define AML_SIZE 1536

struct aml {
    u32 n;
    bool full;
    u8 bytes[AML_SIZE];
};

enum aml_resource_kind { RESOURCE_END, RESOURCE_IO, RESOURCE_IRQ, RESOURCE_MEMORY };

struct aml_resource {
    enum aml_resource_kind kind;
    u32 base;   /* port, interrupt line (edge-triggered) or address */
    u32 length; /* of ports (up to 255) or bytes; unused for a line */
};

/* Things that hold others: give the result to aml_end() when all is in. */
u32 aml_scope(struct aml *a, const char *name); /* below the root */
u32 aml_device(struct aml *a, const char *name);
void aml_end(struct aml *a, u32 start);

void aml_name_integer(struct aml *a, const char *name, u32 value);
/* id: three capital letters and four hexadecimal digits. */
void aml_name_eisa_id(struct aml *a, const char *name, const char *id);
/* A package of integers below 256. */
void aml_name_package(struct aml *a, const char *name, const u8 *values, u32 n);
/* A resource template; the list ends with RESOURCE_END. */
void aml_name_resources(struct aml *a, const char *name, const struct aml_resource *r);

#endif
