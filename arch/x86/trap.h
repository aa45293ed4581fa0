/* SPDX-License-Identifier: MIT */
/* Nidus's own exceptions and interrupts. */
#ifndef ARCH_X86_TRAP_H
#define ARCH_X86_TRAP_H

#include "lib/packed.h"
#include "lib/types.h"

/* Vectors that Nidus uses on the physical APIC. */
enum {
    VECTOR_DEVICES = 0x30, /* IOAPIC lines from here on */
    VECTOR_TEST = 0xef,    /* of the self-test */
    VECTOR_TIMER = 0xf0,
    VECTOR_KICK = 0xf1,   /* look at your requests */
    VECTOR_POSTED = 0xf2, /* something was posted to the vCPU that runs here */
    VECTOR_WAKE = 0xf3,   /* ... to one that sleeps here */
    VECTOR_TASK = 0xf4,   /* something is there for a task */
    VECTOR_ERROR = 0xfe,
    VECTOR_SPURIOUS = 0xff,
};

/* What the stubs in trap.S leave on the stack. */
struct trap_frame {
    u64 r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
    u64 vector, error_code;
    u64 rip, cs, rflags, rsp, ss;
};

void idt_init(void);
void idt_load(void);

/* fn runs with interrupts off, before the end of interrupt: a level-triggered line that it masks is not sent
 * again. */
void irq_set_handler(u8 vector, void (*fn)(u8 vector));
/* An interrupt arrived, by the IDT or as a VM exit that acknowledged it. */
void irq_dispatch(u8 vector);
/* NMIs arrive here, by the IDT or as a VM exit. */
void nmi_dispatch(void);
void nmi_set_handler(void (*fn)(void));

/*
 * With interrupts off: halts until one comes, which is handled, and returns with them off. One that is taken
 * before HLT ends the halt too, even if STI does not hold it back: it never does NMIs for certain, and
 * Bochs 3.0's CPU 0 forgets the shadow when another CPU leaves a guest just then.
 */
void idle_halt(void);

/* Prints the message, a backtrace with symbol names, and stops every CPU. */
void __noreturn panic(const char *fmt, ...) __printf(1, 2);
#define panic(...) panic(PACK __VA_ARGS__)

/*
 * Reads and writes that may fault, without harm. ERR_FAULT when they did. user_copy also lifts SMAP for the
 * time of the copy: one side is guest memory.
 */
int user_copy(void *to, const void *from, u64 n);
/* size: 4 or 8. ERR_BUSY: *p is not old. */
int user_cmpxchg(void *p, u32 size, u64 old, u64 new);

/* One aligned word of guest memory, with SMAP lifted (user.h). false: nothing is mapped there. CR2 stays. */
bool store_fixed(u64 *to, u64 value);

struct or_word {
    u64 offset, bits;
};

#define OR_WORDS_STEP 3

/* For n words, a multiple of OR_WORDS_STEP: that of guest memory at base + offset, and bits, to the same
 * offset of to. ERR_FAULT. */
int user_or_words(void *to, const void *base, const struct or_word *words, u32 n);

/* The 8 aligned bytes at base + offset, of which the bits in mask must have this value. */
struct word_match {
    u64 offset, value, mask;
};

/* Whether all of n (at least 1) words of guest memory match; one that cannot be read does not. */
bool user_matches(const void *base, const struct word_match *words, u32 n);

extern bool have_smap;

#endif
