/* SPDX-License-Identifier: MIT */
#include "arch/x86/regs.h"
#include "arch/x86/trap_stubs.h"

    .text
/*
 * A stub for each vector, in groups: behind the stubs of one are the ways on from them, as near as a short jump
 * gets. A vector is pushed as a signed byte.
 */
    .globl trap_stubs
    .balign 16
trap_stubs:
    .set vector, 0
    .rept 256 / TRAP_GROUP
    .rept TRAP_GROUP
    push $(vector ^ 128) - 128
    .if (vector == 8) || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21 || vector == 29 || vector == 30
    jmp 2f
    .else
    jmp 1f
    .endif
    .set vector, vector + 1
    .endr
1:  push (%rsp)
    movq $0, 8(%rsp)            /* the error code */
2:  jmp trap_common
    .org trap_stubs + vector / TRAP_GROUP * TRAP_GROUP_SIZE
    .endr

trap_common:
    cld
    andq $0xff, (%rsp)
    push %rax
    push %rcx
    push %rdx
    push %rbx
    push %rbp
    push %rsi
    push %rdi
    push %r8
    push %r9
    push %r10
    push %r11
    push %r12
    push %r13
    push %r14
    push %r15
    mov %rsp, %rdi
    mov %rsp, %rbp
    and $~15, %rsp
    call trap_dispatch
    mov %rbp, %rsp
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %r11
    pop %r10
    pop %r9
    pop %r8
    pop %rdi
    pop %rsi
    pop %rbp
    pop %rbx
    pop %rdx
    pop %rcx
    pop %rax
    add $16, %rsp
    iretq

/* void idle_halt(void) */
    .globl idle_halt, idle_halt_hlt, idle_halt_end
idle_halt:
    sti
idle_halt_hlt:
    hlt
idle_halt_end:
    cli
    ret

/* An instruction that may fault, and where to go on with eax = ERR_FAULT if it does. */
#define EX(to, insn...)             \
9:  insn;                           \
    .pushsection .ex_table, "a";    \
    .quad 9b, to;                   \
    .popsection

/* int copy_fixed(void *to, const void *from, u64 n) */
    .globl copy_fixed
copy_fixed:
    mov %rdx, %rcx
    shr $3, %rcx
    EX(copy_fault, rep movsq)
    test $4, %dl                /* so that an aligned word is read or written at once */
    jz 1f
    EX(copy_fault, movsl)
1:  mov %edx, %ecx
    and $3, %ecx
    EX(copy_fault, rep movsb)
    xor %eax, %eax
    ret

/* int cmpxchg_fixed(void *p, u64 old, u64 new, u64 is64) */
    .globl cmpxchg_fixed
cmpxchg_fixed:
    mov %rsi, %rax
    test %ecx, %ecx
    jz 1f
    EX(copy_fault, lock cmpxchg %rdx, (%rdi))
    jmp 2f
1:  EX(copy_fault, lock cmpxchg %edx, (%rdi))
2:  mov $0, %eax
    mov $-6, %ecx       /* ERR_BUSY */
    cmovne %ecx, %eax
    ret

/* bool store_fixed(u64 *to, u64 value) */
    .globl store_fixed
store_fixed:
    mov %cr2, %rcx
    EX(no_store, mov %rsi, (%rdi))
    mov $1, %eax
    ret
no_store:
    mov %rcx, %cr2
    xor %eax, %eax
    ret

/* int or_words_fixed(u64 *to, const void *base, const struct or_word *words, u32 n), OR_WORDS_STEP at a time */
    .globl or_words_fixed
or_words_fixed:
    .irp at, 0, 16, 32
    mov \at(%rdx), %r8
    mov \at+8(%rdx), %rax
    EX(copy_fault, or (%rsi,%r8), %rax)
    mov %rax, (%rdi,%r8)
    .endr
    add $3 * 16, %rdx
    sub $3, %ecx
    ja or_words_fixed
    xor %eax, %eax
    ret

/* bool matches_fixed(const void *base, const struct word_match *words, u32 n) */
    .globl matches_fixed
matches_fixed:
    mov (%rsi), %rax
    EX(no_match, mov (%rdi,%rax), %rax)
    xor 8(%rsi), %rax
    test %rax, 16(%rsi)
    jnz no_match
    add $24, %rsi
    dec %edx
    jnz matches_fixed
    mov $1, %eax
    ret
no_match:
    xor %eax, %eax
    ret

copy_fault:
    mov $-8, %eax       /* ERR_FAULT */
    ret

    .section .note.GNU-stack, "", @progbits
