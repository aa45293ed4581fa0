/* SPDX-License-Identifier: MIT */
/* Exceptions that a test can expect, and interrupt handlers. */
#ifndef GUEST_TRAP_H
#define GUEST_TRAP_H

#include "lib/types.h"

enum {
    X_DE = 0,
    X_DB = 1,
    X_NMI = 2,
    X_BP = 3,
    X_OF = 4,
    X_BR = 5,
    X_UD = 6,
    X_NM = 7,
    X_DF = 8,
    X_TS = 10,
    X_NP = 11,
    X_SS = 12,
    X_GP = 13,
    X_PF = 14,
    X_MF = 16,
    X_AC = 17,
    X_MC = 18,
    X_XM = 19,
    X_NONE = 256, /* try_call(): no exception */
};

struct trap_frame {
    u64 r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
    u64 vector, error;
    u64 rip, cs, rflags, rsp, ss;
};

/* The newest exception that ended a try_call(). */
struct trap_record {
    u64 vector, error, cr2, rip, rflags, dr6;
};
extern struct trap_record last_trap;

/* Calls fn(arg); an exception in it abandons it. X_NONE or the exception's vector. Not nestable; boot CPU
 * only. */
int try_call(void (*fn)(void *arg), void *arg);

/* Sees every exception first; true: handled, go on as the frame says. */
extern bool (*trap_hook)(struct trap_frame *f);

/* Called for vectors from 32 on; an interrupt without a handler is a failure of the guest. */
void trap_set_handler(u8 vector, void (*handler)(struct trap_frame *f));

/* Nidus's arch/x86/trap.h has one like it: halts until an interrupt has come, whatever STI holds back. */
void idle_halt(void);

/* All gates to the common entries, and trap_init_cpu(0). */
void trap_init(void);
/* This CPU's TSS and IDT; cpu < MAX_CPUS. Exceptions of vectors 0 to 31 run on a stack of their own (IST1).
 */
void trap_init_cpu(u32 cpu);
/* Points the IDT's gate of vector at ist (0: none). */
void trap_set_ist(u8 vector, u8 ist);
/* A handler of one's own instead of the common entry. */
void trap_set_entry(u8 vector, void (*entry)(void));
void trap_load_idt(void);

/* The 64-bit TSS of CPU 0 and on. */
struct tss64 {
    u32 reserved0;
    u64 rsp[3];
    u64 reserved1;
    u64 ist[7];
    u64 reserved2;
    u16 reserved3, iomap;
} __packed;
struct tss64 *trap_tss(u32 cpu);

#endif
