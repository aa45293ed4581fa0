/* SPDX-License-Identifier: MIT */
/* Parts of a VMCS in words. Each function writes at most size bytes, ends them with NUL, and returns buf. */
#ifndef VMM_VMCS_TEXT_H
#define VMM_VMCS_TEXT_H

#include "arch/x86/vmcs.h"
#include "arch/x86/vmx_bits.h"

/* A segment's access rights, e.g. "present code64 dpl0"; "unusable". */
char *vmcs_text_rights(char *buf, size_t size, u32 rights);

/* Interruption information of VM entry, VM exit or IDT vectoring, e.g. "hardware exception #PF, error code
 * 0x2". */
char *vmcs_text_event(char *buf, size_t size, u32 info, u32 error_code);

/* Exit reason and qualification, e.g. "I/O instruction: out to port 0x3f8, 1 byte". reason: the field, all 32
 * bits. */
char *vmcs_text_exit(char *buf, size_t size, u32 reason, u64 qualification);

/* The bits of a control word that are set and not reserved, separated by ", ". */
char *vmcs_text_controls(char *buf, size_t size, enum vmx_word word, u64 value);

#endif
