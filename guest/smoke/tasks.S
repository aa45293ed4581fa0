/* SPDX-License-Identifier: MIT */
/* 32-bit code that switches tasks. TSS B's task notes what it finds and goes on at EDI. */
#include "guest/smoke/modes.h"
#include "guest/smoke/tasks.h"

#define TSS_EIP  32
#define ICR      0xfee00300
#define EOI      0xfee000b0
#define NMI      0x4400 /* to the CPU in ICR's upper half */
#define SELF     0x44000

    .text
    .code32

.macro own_task
    xorl %ecx, %ecx
    movl %ecx, %fs
    movl %ecx, %gs
    movl $SEL_TSS_A, %ecx
    ltr %cx
.endm

.macro wait_some
    movl $1000, %ecx
1:  loop 1b
.endm

    .globl code32_task_jmp
code32_task_jmp:
    own_task
    ljmp $SEL_TSS_B, $0
    ret

    .globl code32_task_call /* returns DR7 */
code32_task_call:
    own_task
    movl $TASK_DR7, %eax
    movl %eax, %dr7
    lcall $SEL_TSS_B, $0
    movl %dr7, %eax
    movl $0x400, %ecx
    movl %ecx, %dr7
    ret

    .globl code32_task_read /* returns the word at arg, after B has run */
code32_task_read:
    movl %eax, %ebx
    own_task
    lcall $SEL_TSS_B, $0
    movl (%ebx), %eax
    ret

    .globl code32_task_16
code32_task_16:
    own_task
    lcall $SEL_TSS_16, $0
    ret

    .globl code32_task_ud
code32_task_ud:
    own_task
    ud2
    ret

    .globl code32_task_int3
code32_task_int3:
    own_task
    int3
    ret

    .globl code32_task_gp
code32_task_gp:
    own_task
    movl $SEL_NONE, %eax
    .globl task_gp_at
task_gp_at:
    movl %eax, %fs
    ret

    .globl code32_task_absent
code32_task_absent:
    own_task
    ljmp $SEL_ABSENT, $0
    ret

    .globl code32_task_busy
code32_task_busy:
    own_task
    ljmp $SEL_TSS_A, $0
    ret

    .globl code32_task_nmi
code32_task_nmi:
    own_task
    movl $NMI, ICR
    wait_some
    ret

    .globl code32_task_irq
code32_task_irq:
    own_task
    sti
    movl $SELF | TASK_IRQ, ICR
    wait_some
    cli
    ret

/* --- TSS B's --- */

    .globl task_irq
task_irq:
    movl $0, EOI
    jmp task_note

    .globl task_note_error
task_note_error:
    popl task_seen + 40
    .globl task_note
task_note:
    movl %eax, task_seen + 0
    movl %esp, task_seen + 4
    pushfl
    popl task_seen + 8
    xorl %eax, %eax
    str %ax
    movl %eax, task_seen + 12
    movl %cr0, %eax
    movl %eax, task_seen + 16
    movl %dr7, %eax
    movl %eax, task_seen + 20
    movzbl gdt + SEL_TSS_A + 5, %eax
    movl %eax, task_seen + 24
    movzbl gdt + SEL_TSS_B + 5, %eax
    movl %eax, task_seen + 28
    movl (%ebx), %eax
    movl %eax, task_seen + 32
    incl task_seen + 36
    jmp *%edi

    .globl task_end_jmp
task_end_jmp:
    ljmp $SEL_TSS_A, $0
    jmp task_note

    .globl task_end_iret
task_end_iret:
    addl %esi, task_tss_a + TSS_EIP /* skips what has faulted */
    iretl
    jmp task_note

    .globl task_nmi
task_nmi: /* the second one waits until the IRET of the first */
    incl task_seen + 36
    cmpl $1, task_seen + 36
    jne 2f
    movl $NMI, ICR
    wait_some
    movl task_seen + 36, %eax
    movl %eax, task_seen + 0
2:  iretl
    jmp task_nmi

/* For low memory, with TSS_16: CS, SS and DS have 16 bits. */
    .code16
    .globl task16_begin, task16_end
task16_begin:
    movw $TASK16_MAGIC, LOW_CODE + task16_word - task16_begin
    movw %cx, LOW_CODE + task16_word - task16_begin + 2
    iretw
task16_word:
    .long 0
task16_end:

    .section .rodata
    .globl task16_word_offset
task16_word_offset: .long task16_word - task16_begin

    .section .note.GNU-stack, "", @progbits
