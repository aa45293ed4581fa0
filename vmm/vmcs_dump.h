/* SPDX-License-Identifier: MIT */
/* A VMCS for people to read. */
#ifndef VMM_VMCS_DUMP_H
#define VMM_VMCS_DUMP_H

#include "arch/x86/vmcs.h"
#include "arch/x86/vmx_caps.h"
#include "vmm/entry_check.h"

/*
 * Hands every field that exists under caps to line(ctx, text), by its name, several to a line where they are
 * short; no line is longer than VMCS_DUMP_WIDTH characters and none ends with a newline. Control words are
 * spelled out, access rights, events, exit reason and qualification decoded. why: the row that a failed VM
 * entry broke, or null.
 */
#define VMCS_DUMP_WIDTH 110
void vmcs_dump(const struct vmcs_image *vmcs, const struct vmx_caps *caps, const struct entry_verdict *why,
               void (*line)(void *ctx, const char *text), void *ctx);

/* One line: which of VM entry's checks failed and upon what, e.g. "guest RFLAGS: bit 1 is 1: GUEST_RFLAGS
 * 0x0". */
char *entry_verdict_text(char *buf, size_t size, const struct entry_verdict *why,
                         const struct vmcs_image *vmcs);

#endif
