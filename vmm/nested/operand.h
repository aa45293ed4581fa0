/* SPDX-License-Identifier: MIT */
/*
 * Operands of VMX instructions, as an exit describes them. SDM 326019, 'VM-Exit Instruction-Information
 * Field': the tables for VMCLEAR, VMPTRLD, VMPTRST and VMXON, for VMREAD and VMWRITE, and for INVEPT and
 * INVVPID have what they share at the same place.
 */
#ifndef VMM_NESTED_OPERAND_H
#define VMM_NESTED_OPERAND_H

#include "lib/types.h"

struct vcpu;

#define OPERAND_REGISTER   BIT(10) /* VMREAD and VMWRITE: r/m is a register: REG1 */
#define OPERAND_REG1(info) ((u32)(info) >> 3 & 15)
#define OPERAND_REG2(info) ((u32)(info) >> 28) /* the operand that is not r/m */

/*
 * Reads or writes the memory operand, size (4, 8 or 16) bytes. OK; ERR_FAULT: the instruction ends here, the
 * guest has its #GP, #SS or #PF, or is to execute it again; ERR_UNSUPP: page tables outside of RAM.
 */
int nested_operand_read(struct vcpu *v, void *to, u32 size);
int nested_operand_write(struct vcpu *v, const void *from, u32 size);

#endif
