/* SPDX-License-Identifier: MIT */
/* The VMX instructions of L1, one function each, and what they have in common. Only for vmm/nested/. */
#ifndef VMM_NESTED_INSTRUCTIONS_H
#define VMM_NESTED_INSTRUCTIONS_H

#include "vmm/nested/nested.h"

#define VMCS12_SHADOW BIT(31) /* of the revision: it is a shadow VMCS */

/* Exit handlers: true when L1 can go on at once. nested_instruction() calls them; the table of exits may name
 * the frequent ones itself. */
bool nested_vmclear(struct vcpu *v);
bool nested_vmptrld(struct vcpu *v);
bool nested_vmptrst(struct vcpu *v);
bool nested_vmread(struct vcpu *v);
bool nested_vmwrite(struct vcpu *v);
bool nested_vmxoff(struct vcpu *v);
bool nested_vmxon(struct vcpu *v);
bool nested_invept(struct vcpu *v);
bool nested_invvpid(struct vcpu *v);

/*
 * The checks that all but VMXON begin with: #UD outside of VMX operation and in real-address, virtual-8086
 * and compatibility mode, #GP but for CPL 0. The size of register operands, 4 or 8 bytes; 0: the exception is
 * raised.
 */
u32 nested_permitted(struct vcpu *v);
/* The same by parts: the size, or 0 where it is #UD; CPL 0. */
u32 nested_mode(void);
bool nested_privileged(void);

/* Ends of an instruction; what they return is for the caller to return. */
bool nested_undefined(struct vcpu *v);                              /* #UD */
bool nested_protection(struct vcpu *v);                             /* #GP(0) */
bool nested_succeed(struct vcpu *v);                                /* VMsucceed */
bool nested_fail(struct vcpu *v, enum vmx_instruction_error error); /* VMfail */
bool nested_fail_invalid(struct vcpu *v);                           /* VMfailInvalid */
bool nested_stop(struct vcpu *v, int result); /* an operand could not be had: result of nested_operand_*() */

/* Would VM entry take it? SDM, 'Checks on VMX Controls': the EPT pointer. */
bool nested_eptp_ok(const struct vcpu *v, u64 eptp);

/* --- vmread.c --- */

/* Which fields exist for L1; once, on VMXON. */
void nested_fields_build(struct nested *n, const struct vmx_caps *caps);
/* Brings what was read from L1's memory into form: fields have their width, and those that L1 lacks are 0. */
void nested_fields_clean(struct nested *n);
/* Where the image has the field with an encoding; null: L1 has no such field. */
u64 *nested_field(struct nested *n, struct vmcs_image *image, u64 encoding);
bool nested_field_writable(const struct vcpu *v, u64 encoding);
/* The field after VMWRITE of value to it: half of it, or what fits its width. */
u64 nested_field_with(u64 field, u64 encoding, u64 value);

/* --- shadow12.c: VMREAD and VMWRITE of L2 to the shadow VMCS that L1 has given it; for route.c --- */

/* Is it an exit to L1? */
bool nested_wants_vmread(struct vcpu *v);
bool nested_wants_vmwrite(struct vcpu *v);
/* No: L2's instruction, with L1's shadow VMCS in L1's memory. */
bool nested_shadow_vmread(struct vcpu *v);
bool nested_shadow_vmwrite(struct vcpu *v);

#endif
