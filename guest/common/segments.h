/* SPDX-License-Identifier: MIT */
/* Selectors of the guests' GDT; for C and assembly. */
#ifndef GUEST_SEGMENTS_H
#define GUEST_SEGMENTS_H

#define SEL_CODE64      0x08
#define SEL_DATA        0x10
#define SEL_CODE32      0x18
#define SEL_CODE16      0x20
#define SEL_DATA16      0x28
#define SEL_USER_DATA   0x30
#define SEL_USER_CODE64 0x38
#define SEL_TSS         0x40 /* 16 bytes for each CPU */

#define MAX_CPUS        64
#define BOOT_STACK_SIZE 65536

#endif
