/* SPDX-License-Identifier: MIT */
/*
 * void hold(struct hold *h): fills the registers from *h, waits in a loop or in a system call, and writes them back.
 * The offsets are those of struct hold in registers.c.
 */
#define MASK   0
#define BEFORE 8
#define AFTER  16
#define LOOPS  24
#define NR     32
#define ARG1   40
#define ARG2   48
#define IN     56
#define OUT    120

        .text
        .globl  hold
        .type   hold, @function
hold:
        push    %rbx
        push    %rbp
        push    %r12
        push    %r13
        push    %r14
        push    %r15
        push    %rdi
        mov     BEFORE(%rdi), %rcx
        mov     MASK(%rdi), %eax
        xor     %edx, %edx
        test    %eax, %eax
        jz      1f
        xrstor64 (%rcx)
        jmp     2f
1:      fxrstor64 (%rcx)
2:      mov     IN+0(%rdi), %rbx
        mov     IN+8(%rdi), %rbp
        mov     IN+16(%rdi), %r8
        mov     IN+24(%rdi), %r9
        mov     IN+32(%rdi), %r10
        mov     IN+40(%rdi), %r12
        mov     IN+48(%rdi), %r14
        mov     IN+56(%rdi), %r15
        mov     LOOPS(%rdi), %rcx
        mov     NR(%rdi), %rax
        mov     ARG2(%rdi), %rsi
        mov     ARG1(%rdi), %rdi
        xor     %edx, %edx
3:      dec     %rcx
        jnz     3b
        test    %rax, %rax
        js      4f
        syscall
4:      mov     (%rsp), %rdi
        mov     %rbx, OUT+0(%rdi)
        mov     %rbp, OUT+8(%rdi)
        mov     %r8, OUT+16(%rdi)
        mov     %r9, OUT+24(%rdi)
        mov     %r10, OUT+32(%rdi)
        mov     %r12, OUT+40(%rdi)
        mov     %r14, OUT+48(%rdi)
        mov     %r15, OUT+56(%rdi)
        mov     AFTER(%rdi), %rcx
        mov     MASK(%rdi), %eax
        xor     %edx, %edx
        test    %eax, %eax
        jz      5f
        xsave64 (%rcx)
        jmp     6f
5:      fxsave64 (%rcx)
6:      fninit
        pop     %rdi
        pop     %r15
        pop     %r14
        pop     %r13
        pop     %r12
        pop     %rbp
        pop     %rbx
        ret
        .size   hold, . - hold
        .section .note.GNU-stack, "", @progbits
