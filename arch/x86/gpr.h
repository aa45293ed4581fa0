/* SPDX-License-Identifier: MIT */
/* General and segment registers by their numbers in instructions; segments in VMCS fields have the same
 * order. */
#ifndef ARCH_X86_GPR_H
#define ARCH_X86_GPR_H

enum {
    REG_RAX,
    REG_RCX,
    REG_RDX,
    REG_RBX,
    REG_RSP,
    REG_RBP,
    REG_RSI,
    REG_RDI,
    REG_R8,
    REG_R15 = 15,
    NR_REGS
};
enum { SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS, NR_SEGS };
/* In the VMCS they go on behind the others. */
enum { SEG_LDTR = NR_SEGS, SEG_TR, NR_ALL_SEGS };

#endif
