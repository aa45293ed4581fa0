/* SPDX-License-Identifier: MIT */
/* Calls from user mode, and from 32-bit mode. */
    .text
    .code64
/* At another address than it is linked for, with .data at that distance too. */
    .globl user_call_nop
user_call_nop:
    movl $0x4e490000, %eax
    vmcall
    movq %rax, user_result(%rip)
    int3

    .code32
/* EAX: the number; the result is there too. All arguments are ones. */
    .globl mode32_call
mode32_call:
    pushl %ebx
    pushl %esi
    movl $-1, %ebx
    movl $-1, %ecx
    movl $-1, %edx
    movl $-1, %esi
    vmcall
    popl %esi
    popl %ebx
    ret

    .data
    .balign 8
    .globl user_result
user_result: .quad 0

    .section .note.GNU-stack, "", @progbits
