/* SPDX-License-Identifier: MIT */
/* VMCS field encodings, and a VMCS as plain data (struct vmcs_image) for everything that is logic. */
#ifndef ARCH_X86_VMCS_H
#define ARCH_X86_VMCS_H

#include "lib/types.h"

enum vmcs_encoding {
#define VMCS_FIELD(name, encoding, exists) name = encoding,
#include "arch/x86/vmcs_fields.def"
#undef VMCS_FIELD
};

/* VI_<field>: its index in a vmcs_image and in the table of fields. */
enum vmcs_index {
#define VMCS_FIELD(name, encoding, exists) VI_##name,
#include "arch/x86/vmcs_fields.def"
#undef VMCS_FIELD
    VMCS_NR_FIELDS
};

struct vmcs_image {
    u64 f[VMCS_NR_FIELDS];
};

/* Value of a field by its name: VMCS(image, GUEST_RIP). */
#define VMCS(image, name) ((image)->f[VI_##name])

/* SDM, 'Structure of VMCS Component Encoding'. */
#define VMCS_ENC_HIGH     BIT(0)
#define VMCS_ENC_TYPE(e)  (((e) >> 10) & 3) /* 0 control, 1 read-only data, 2 guest state, 3 host state */
#define VMCS_ENC_WIDTH(e) (((e) >> 13) & 3) /* 0 16-bit, 1 64-bit, 2 32-bit, 3 natural */

#endif
