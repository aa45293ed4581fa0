/* SPDX-License-Identifier: MIT */
/* Real mode with its interrupts, 32-bit protected mode, 64-bit mode. The vCPUs come one after the other. */
#include "l2.h"

#define SEL_CODE64 0x08
#define SEL_DATA   0x10
#define SEL_CODE32 0x18
#define REAL_INT   0x40

    .section .start, "ax"
    .code16
    .globl start
start: /* CS is 800H */
    cli
    cld
    ljmp $0, $1f
1:  xorw %ax, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movw $L2_START, %sp
    /* INT by the real-mode table, its handler, and IRET */
    movw $real_handler, REAL_INT * 4
    movw $0, REAL_INT * 4 + 2
    xorw %bx, %bx
    int $REAL_INT
    cmpw $0x1234, %bx
    jne real_failed
    movw $real_text, %si
    movw $real_text_end - real_text, %cx
    movw $L2_PORT_CONSOLE, %dx
    rep outsb
    lgdtl gdt_pointer
    movl %cr0, %eax
    orb $1, %al /* CR0.PE */
    movl %eax, %cr0
    ljmpl $SEL_CODE32, $protected

real_handler:
    movw $0x1234, %bx
    iretw

real_failed:
    movb $0x40, %al
    outb %al, $L2_PORT_END
    jmp real_failed

real_text:
    .ascii "L2: real mode\n"
real_text_end:

    .code32
protected:
    movl $SEL_DATA, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    /* PML4[0] -> PDPTEs of 4 GiB -> 2048 PDEs of 2 MiB; only the first vCPU makes them */
    cmpl $0, l2_pml4
    jne 3f
    movl $l2_pdpt + 7, l2_pml4
    movl $l2_pd + 7, %eax
    movl $l2_pdpt, %edi
    movl $4, %ecx
1:  movl %eax, (%edi)
    addl $4096, %eax
    addl $8, %edi
    loop 1b
    movl $0x87, %eax
    movl $l2_pd, %edi
    movl $2048, %ecx
2:  movl %eax, (%edi)
    addl $0x200000, %eax
    addl $8, %edi
    loop 2b
3:  movl $0x20, %eax /* CR4.PAE */
    movl %eax, %cr4
    movl $l2_pml4, %eax
    movl %eax, %cr3
    movl $0xc0000080, %ecx
    rdmsr
    orl $0x100, %eax /* EFER.LME */
    wrmsr
    movl $0x80010021, %eax /* CR0: PG, WP, NE, PE */
    movl %eax, %cr0
    ljmpl $SEL_CODE64, $long

    .code64
long:
    movl $1, %edi
    lock xaddl %edi, l2_started
    leal 1(%rdi), %esp
    shll $12, %esp
    addl $L2_STACKS, %esp
    call l2_main
4:  hlt
    jmp 4b

    .balign 8
gdt:
    .quad 0
    .quad 0x00af9b000000ffff
    .quad 0x00cf93000000ffff
    .quad 0x00cf9b000000ffff
gdt_end:
gdt_pointer:
    .short gdt_end - gdt - 1
    .long gdt

    .bss
    .globl l2_started
l2_started: .skip 4
    .balign 4096
    .globl l2_pdpt
l2_pml4: .skip 4096
l2_pdpt: .skip 4096
l2_pd: .skip 4 * 4096

    .section .note.GNU-stack, "", @progbits
