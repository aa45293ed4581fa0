/* SPDX-License-Identifier: MIT */
/* 32-bit code with two tasks: TSS A is this code's, TSS B's task answers. */
#include "guest/hostile/tasks.h"

    .text
    .code32
    .globl code32_task_call
code32_task_call: /* CALL to a TSS, there IRET */
    movl $SEL_TSS_A, %ecx
    ltr %cx
    movl $0, task_answer
    lcall $SEL_TSS_B, $0
    movl task_answer, %eax
    ret

    .globl code32_task_gate
code32_task_gate: /* an exception through a task gate; the task skips nothing, INT3 is a trap */
    movl $SEL_TSS_A, %ecx
    ltr %cx
    movl $0, task_answer
    int3
    movl task_answer, %eax
    ret

    .globl code32_task_bad
code32_task_bad: /* JMP to the busy TSS of our own: #GP */
    movl $SEL_TSS_A, %ecx
    ltr %cx
    ljmp $SEL_TSS_A, $0
    ret

    .globl task_b
task_b:
    movl $TASK_ANSWER, task_answer
    iretl
    jmp task_b /* the next switch to it goes on here */

    .bss
    .balign 4
    .globl task_answer
task_answer: .skip 4

    .section .note.GNU-stack, "", @progbits
