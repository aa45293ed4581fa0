/* SPDX-License-Identifier: MIT */
/* void stack_switch(u64 *save, u64 rsp): goes on where the other stack was left, and returns when somebody comes back
 * to *save. What a call keeps (System V ABI, 'Register Usage') is on the stack that is left. */
    .text
    .globl stack_switch
stack_switch:
    push %rbp
    push %rbx
    push %r12
    push %r13
    push %r14
    push %r15
    mov %rsp, (%rdi)
    mov %rsi, %rsp
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbx
    pop %rbp
    ret

    .section .note.GNU-stack, "", @progbits
