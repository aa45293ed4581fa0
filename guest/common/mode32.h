/* SPDX-License-Identifier: MIT */
/* From 64-bit mode to 32-bit protected mode (with or without paging), a function there, and back. */
#ifndef GUEST_MODE32_H
#define GUEST_MODE32_H

#ifndef __ASSEMBLER__
#include "lib/types.h"

struct mode32 {
    u32 cr0, cr3, cr4; /* what the function runs with; CR0.PE must be set */
    void (*fn)(void);  /* 32-bit code: EAX is arg, the result is EAX; it must not touch EBP */
    u32 arg;
    u32 result;
    u32 vector; /* 256: no exception */
    u32 error, cr2, eip, eflags;
};

/* Interrupts must be off. Page tables have to map the image one to one. After a task switch or LTR call
 * trap_init_cpu(). */
void mode32_run(struct mode32 *m);

/* SDM, '32-Bit Task-State Segment (TSS)'. */
struct tss32 {
    u32 link, esp0, ss0, esp1, ss1, esp2, ss2, cr3, eip, eflags, eax, ecx, edx, ebx, esp, ebp, esi, edi;
    u32 es, cs, ss, ds, fs, gs, ldt, trap_iomap;
};

/* A system descriptor in the GDT; access: its byte, as 0x89 for a 32-bit TSS. */
void mode32_descriptor(u16 selector, const void *base, u32 limit, u8 access);

/* The 32-bit IDT gets a task gate for vector; selector 0: an ordinary gate again. */
void mode32_task_gate(u8 vector, u16 selector);

#endif

/* Offsets of what mode32.S uses */
#define MODE32_CR0    0
#define MODE32_CR3    4
#define MODE32_CR4    8
#define MODE32_FN     16
#define MODE32_ARG    24
#define MODE32_RESULT 28
#define MODE32_VECTOR 32
#define MODE32_ERROR  36
#define MODE32_CR2    40
#define MODE32_EIP    44
#define MODE32_EFLAGS 48

#endif
