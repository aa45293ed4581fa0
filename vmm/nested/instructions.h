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

/* --- vmread.c --- */

/* Which fields exist for L1; once, on VMXON. */
void nested_fields_build(struct nested *n, const struct vmx_caps *caps);
/* Brings what was read from L1's memory into form: fields have their width, and those that L1 lacks are 0. */
void nested_fields_clean(struct nested *n);

#endif
