/* SPDX-License-Identifier: MIT */
/* Stands in for arch/x86/vmx.h: a test that includes this first, and then a source, is the source's VMCS. */
#ifndef TESTS_UNIT_FAKE_VMX_H
#define TESTS_UNIT_FAKE_VMX_H
#define ARCH_X86_VMX_H

#include "arch/x86/regs.h"
#include "arch/x86/vmcs.h"
#include "lib/types.h"

static u64 vmread(u32 field);
static void vmwrite(u32 field, u64 value);

static inline void vmwrite_from(u32 field, const u64 *value)
{
    vmwrite(field, *value);
}

#endif
