/* SPDX-License-Identifier: MIT */
/* The second CPU, copied below 1 MiB: sends the IPIs that the first asks for, while that one runs L2. */
#include "guest/common/segments.h"

#define APIC_ICR      0xfee00300
#define APIC_ICR_HIGH 0xfee00310
#define PAUSES        2000 /* between two IPIs: until the first has had its effect */
#define ICR_PENDING   0x1000

    .section .rodata
    .globl other_cpu_start, other_cpu_end
    .code16
other_cpu_start:
    cli
    movw %cs, %ax
    movw %ax, %ds
    lgdtl other_cpu_gdt - other_cpu_start
    movl %cr0, %eax
    orl $1, %eax
    movl %eax, %cr0
    ljmpl $SEL_CODE32, $other_cpu_serve
    .balign 4
other_cpu_gdt:
    .short SEL_TSS - 1
    .long gdt
other_cpu_end:

    .text
    .code32
other_cpu_serve:
    movl $SEL_DATA, %eax
    movl %eax, %ds
1:  movl $0, other_cpu_go
2:  pause
    cmpl $0, other_cpu_go
    je 2b
    xorl %ebx, %ebx
3:  movl other_cpu_sends(, %ebx, 4), %eax
    testl %eax, %eax
    jz 1b
    movl $PAUSES, %ecx
4:  pause
    loop 4b
    movl $0, APIC_ICR_HIGH
    movl %eax, APIC_ICR
5:  testl $ICR_PENDING, APIC_ICR
    jnz 5b
    incl %ebx
    jmp 3b

    .section .note.GNU-stack, "", @progbits
