/* SPDX-License-Identifier: MIT */
/* Where an application processor starts: copied to TRAMPOLINE, below 1 MiB. */
#include "guest/common/segments.h"
#include "guest/common/cpus.h"

    .section .rodata
    .globl trampoline, trampoline_end
    .code16
trampoline:
    cli
    cld
    movw %cs, %ax
    movw %ax, %ds
    lgdtl trampoline_gdt - trampoline
    movl %cr0, %eax
    andl $0x9fffffff, %eax
    orl $1, %eax
    movl %eax, %cr0
    ljmpl $SEL_CODE32, $ap_start32
    .balign 4
trampoline_gdt:
    .short SEL_TSS - 1
    .long gdt
trampoline_end:

    .text
    .code32
ap_start32:
    movl $SEL_DATA, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    movl ap_stack, %esp
    jmp enter_long32

    .section .note.GNU-stack, "", @progbits
