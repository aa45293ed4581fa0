/* SPDX-License-Identifier: MIT */
/* How the stubs of the vectors lie in memory, for trap.S that makes them and trap.c that looks for them. */
#ifndef ARCH_X86_TRAP_STUBS_H
#define ARCH_X86_TRAP_STUBS_H

#define TRAP_STUB_SIZE  4
#define TRAP_GROUP      32  /* stubs, one behind the other */
#define TRAP_GROUP_SIZE 148 /* with what they have in common */

#endif
