/* SPDX-License-Identifier: MIT */
/* What the SDM calls things, for messages. */
#ifndef ARCH_X86_VMX_NAMES_H
#define ARCH_X86_VMX_NAMES_H

#include "arch/x86/vmcs.h"
#include "arch/x86/vmx_bits.h"

/* Of a basic exit reason (0 to 65535); "unknown exit reason" where the SDM has none. Never null. */
const char *vmx_exit_reason_name(u32 basic_reason);
/* Of the VM-instruction error field; "unknown VM-instruction error" where the SDM has none. Never null. */
const char *vmx_instruction_error_text(u32 error);
/* Of one bit (0 to 63) of a control word; null for a reserved bit. */
const char *vmx_control_bit_name(enum vmx_word word, u32 bit);
/* The same of any capability: place is one of enum vmx_place, or a word. */
const char *vmx_capability_name(u32 place, u32 bit);
/* Of a type of event in interruption information (0 to 7). */
const char *vmx_intr_type_name(u32 type);
/* Of an exception, e.g. "#GP"; "vector" where it has no mnemonic. */
const char *vmx_exception_name(u32 vector);
/* The field's name in vmcs_fields.def and its encoding. */
const char *vmcs_field_name(enum vmcs_index index);
u32 vmcs_field_encoding(enum vmcs_index index);

#endif
