/* SPDX-License-Identifier: MIT */
#include "guest/common/mode32.h"
#include "guest/common/segments.h"

#define MSR_EFER_INDEX 0xc0000080
#define EFER_LME_BIT   0x100
#define CR0_PG_BIT     0x80000000

    .text
    .code64
/* void mode32_enter(struct mode32 *m) */
    .globl mode32_enter
mode32_enter:
    pushq %rbx
    pushq %rbp
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movl %edi, mode32_request
    movq %cr0, %rax
    movl %eax, saved_cr0
    movq %cr3, %rax
    movl %eax, saved_cr3
    movq %cr4, %rax
    movl %eax, saved_cr4
    sidt saved_idt
    movl %esp, saved_esp
    movl $256, MODE32_VECTOR(%rdi)
    pushq $SEL_CODE32
    pushq $1f
    lretq

    .code32
1:  movl $SEL_DATA, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    movl %cr0, %eax
    andl $~CR0_PG_BIT, %eax
    movl %eax, %cr0
    movl $MSR_EFER_INDEX, %ecx
    rdmsr
    andl $~EFER_LME_BIT, %eax
    wrmsr
    lidt idt32_pointer
    movl mode32_request, %ebp
    movl MODE32_CR4(%ebp), %eax
    movl %eax, %cr4
    movl MODE32_CR3(%ebp), %eax
    movl %eax, %cr3
    movl MODE32_CR0(%ebp), %eax
    movl %eax, %cr0
    jmp 2f
2:  movl MODE32_ARG(%ebp), %eax
    call *MODE32_FN(%ebp)
    movl mode32_request, %ebp
    movl %eax, MODE32_RESULT(%ebp)

back_to_long:
    movl %cr0, %eax
    andl $~CR0_PG_BIT, %eax
    movl %eax, %cr0
    movl saved_cr4, %eax
    movl %eax, %cr4
    movl saved_cr3, %eax
    movl %eax, %cr3
    movl $MSR_EFER_INDEX, %ecx
    rdmsr
    orl $EFER_LME_BIT, %eax
    wrmsr
    movl saved_cr0, %eax
    movl %eax, %cr0
    lgdt gdt_pointer
    ljmp $SEL_CODE64, $3f

    .code64
3:  lidt saved_idt
    movl saved_esp, %esp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbp
    popq %rbx
    ret

/* Exceptions in 32-bit mode: recorded, then back. */
    .code32
    .balign 16
    .globl idt32_entries
idt32_entries: /* 16 bytes each */
    .set vector, 0
    .rept 32
    .balign 16
    .if (vector == 8) || ((vector >= 10) && (vector <= 14)) || (vector == 17) || (vector == 21)
    .else
    pushl $0
    .endif
    pushl $vector
    jmp idt32_common
    .set vector, vector + 1
    .endr

idt32_common:
    movl $SEL_DATA, %eax /* virtual-8086 mode leaves them 0 */
    movl %eax, %ds
    movl %eax, %es
    movl mode32_request, %ebp
    popl MODE32_VECTOR(%ebp)
    popl MODE32_ERROR(%ebp)
    popl MODE32_EIP(%ebp)
    popl %eax /* CS */
    popl MODE32_EFLAGS(%ebp)
    movl %cr2, %eax
    movl %eax, MODE32_CR2(%ebp)
    movl $SEL_DATA, %eax
    movl %eax, %ss
    movl saved_esp, %esp
    jmp back_to_long

    .bss
    .balign 8
mode32_request: .skip 4
saved_cr0: .skip 4
saved_cr3: .skip 4
saved_cr4: .skip 4
saved_esp: .skip 4
saved_idt: .skip 16
    .data
    .balign 8
    .globl idt32_pointer
    .short 0
idt32_pointer:
    .short 32 * 8 - 1
    .long idt32
    .long 0

    .section .note.GNU-stack, "", @progbits
