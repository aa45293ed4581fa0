/* SPDX-License-Identifier: MIT */
/* Code for the other modes; called by mode32_run(), EAX is the argument and the result. */
#include "guest/common/segments.h"
#include "guest/smoke/modes.h"

#define LOW(label) (LOW_CODE + (label) - real_begin)

    .text
    .code32

/* arg: an address; returns the word there and replaces it by its complement. */
    .globl code32_exchange
code32_exchange:
    movl %eax, %ecx
    movl (%ecx), %eax
    movl %eax, %edx
    notl %edx
    movl %edx, (%ecx)
    ret

    .globl code32_read
code32_read:
    movl (%eax), %eax
    ret

    .globl code32_write
code32_write:
    movl $0, (%eax)
    ret

    .globl code32_return
code32_return:
    ret

    .globl code32_into
code32_into:
    movl $0x7fffffff, %eax
    addl $1, %eax
    into
    ret

    .globl code32_bound
code32_bound:
    pushl $10
    pushl $1
    movl $11, %eax
    bound %eax, (%esp)
    addl $8, %esp
    ret

    .globl code32_divide
code32_divide:
    xorl %edx, %edx
    movl $1, %eax
    xorl %ecx, %ecx
    divl %ecx
    ret

    .globl code32_segment_limit
code32_segment_limit: /* DATA16's limit is 64 KiB */
    movl $SEL_DATA16, %eax
    movl %eax, %fs
    movl %fs:0x10000, %eax
    ret

/* To real mode and back: code at LOW_CODE. */
    .globl code32_real
code32_real:
    pushl %ebx
    pushl %esi
    pushl %edi
    movl %esp, real_saved_esp
    sidt real_saved_idt
    ljmp $SEL_CODE16, $LOW(real_entry)
real_back:
    movl $SEL_DATA, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    movl real_saved_esp, %esp
    lidt real_saved_idt
    popl %edi
    popl %esi
    popl %ebx
    movl LOW(real_result), %eax
    ret

/* Virtual-8086 mode: ends with the #GP of its HLT. arg: the code segment. */
    .globl code32_v86
code32_v86:
    movl $SEL_TSS32, %ecx
    ltr %cx
    movl %esp, tss32 + 4
    movl $SEL_DATA, tss32 + 8
    pushl $0    /* GS */
    pushl $0    /* FS */
    pushl %eax  /* DS */
    pushl %eax  /* ES */
    pushl %eax  /* SS */
    pushl $LOW_STACK - LOW_CODE
    pushl $0x20002 /* EFLAGS.VM */
    pushl %eax  /* CS */
    pushl $v86_code - real_begin
    iretl

    .globl real_begin, real_end, real_results
    .code16
real_begin:
real_entry:
    movw $SEL_DATA16, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movw %ax, %fs
    movw %ax, %gs
    lidtw LOW(real_idt)
    movl %cr0, %eax
    andb $0xfe, %al
    movl %eax, %cr0
    ljmp $0, $LOW(1f)
1:  xorw %ax, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movw $LOW_STACK, %sp
    /* vectors 0 and REAL_INT to handlers of ours for a moment */
    pushl 0
    pushl REAL_INT * 4
    movl $LOW(real_divide), %eax
    movl %eax, 0
    movl $LOW(real_int), %eax
    movl %eax, REAL_INT * 4

    movl $0, LOW(real_result)
    int $REAL_INT
    xorl %edx, %edx
    xorl %ecx, %ecx
    movl $1, %eax
    divl %ecx            /* 3 bytes; the handler skips them */
    /* a segment adds 16 times its value */
    movw $(LOW_CODE >> 4), %ax
    movw %ax, %fs
    movl %fs:(real_word - real_begin), %eax
    addl %eax, LOW(real_result)
    /* what a hypervisor sees */
    xorl %eax, %eax
    cpuid
    testl %ebx, %ebx
    jz 2f
    addl $0x00000100, LOW(real_result)
2:  inb $0xe0, %al
    cmpb $0xff, %al
    jne 3f
    addl $0x00010000, LOW(real_result)
3:  movl %cr0, %eax
    testb $1, %al
    jnz 4f
    addl $0x01000000, LOW(real_result)
4:  pushfw
    popw %ax
    sti
    cli

    popl REAL_INT * 4
    popl 0
    movl %cr0, %eax
    orb $1, %al
    movl %eax, %cr0
    ljmpl $SEL_CODE32, $real_back

real_int:
    addl $1, %cs:LOW(real_result)
    iretw
real_divide:
    pushw %bp
    movw %sp, %bp
    addw $3, 2(%bp)
    popw %bp
    addl $0x10, %cs:LOW(real_result)
    iretw

v86_code: /* CS = LOW_CODE / 16 */
    movl $REAL_MAGIC, v86_word - real_begin
    movw %cs, %ax
    movw %ax, %ds
    pushw %ax
    popw %es
    hlt

    .balign 4
real_idt:
    .short 0x3ff
    .long 0
    .balign 4
real_word:
    .long 0x10000000
real_result:
    .long 0
v86_word:
    .long 0
real_end:

    .bss
    .balign 4
real_saved_esp: .skip 4
real_saved_idt: .skip 8
    .globl tss32
    .balign 16
tss32: .skip 104
    .section .rodata
    .globl v86_word_offset
v86_word_offset: .long v86_word - real_begin

    .section .note.GNU-stack, "", @progbits
