/* SPDX-License-Identifier: MIT */
/* Where an application processor starts: copied to a page below 1 MiB, from real mode to ap_entry in 64-bit mode. */
#include "arch/x86/regs.h"

#define AT(sym) ((sym) - trampoline_start)

    .section .rodata
    .balign 16
    .globl trampoline_start, trampoline_end, trampoline_args
    .code16
trampoline_start:
    cli
    cld
    mov %cs, %ax
    mov %ax, %ds
    movzwl %ax, %ebx
    shl $4, %ebx                    /* ebx: where we are */
    lea AT(gdt)(%ebx), %eax
    mov %eax, AT(gdt_pointer) + 2
    lea AT(enter32)(%ebx), %eax
    mov %eax, AT(enter32_pointer)
    lea AT(enter64)(%ebx), %eax
    mov %eax, AT(enter64_pointer)
    lgdtl AT(gdt_pointer)
    mov $CR0_PE, %eax
    mov %eax, %cr0
    ljmpl *AT(enter32_pointer)

    .code32
enter32:
    mov $SEL_DATA, %eax
    mov %eax, %ds
    mov %eax, %ss
    mov $CR4_PAE, %eax
    mov %eax, %cr4
    mov AT(trampoline_args)(%ebx), %eax
    mov %eax, %cr3
    mov $MSR_IA32_EFER, %ecx
    rdmsr
    or $(EFER_LME | EFER_NXE), %eax
    wrmsr
    mov $(CR0_PE | CR0_PG | CR0_WP | CR0_ET | CR0_NE), %eax
    mov %eax, %cr0
    ljmp *AT(enter64_pointer)(%ebx)

    .code64
enter64:
    mov AT(trampoline_args) + 8(%rbx), %rsp
    xor %ebp, %ebp
    mov AT(trampoline_args) + 16(%rbx), %rax
    call *%rax
    ud2

    .balign 8
gdt:
    .quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x00cf9b000000ffff
gdt_pointer:
    .word 4 * 8 - 1
    .long 0
enter32_pointer:
    .long 0
    .word 0x18
enter64_pointer:
    .long 0
    .word SEL_CODE
    .balign 8
trampoline_args:
    .skip 24
trampoline_end:

    .section .note.GNU-stack, "", @progbits
