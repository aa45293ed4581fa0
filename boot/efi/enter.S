/* SPDX-License-Identifier: MIT */
/* void enter_kernel(u64 cr3, u64 stack_top, u64 entry, struct boot_info *info): this code is identity-mapped before
 * and after. */
#define CR4_CET (1 << 23)

    .text
    .globl enter_kernel
enter_kernel:
    cli
    cld
    mov %cr4, %rax
    and $~CR4_CET, %rax /* the firmware's shadow stack is not ours */
    mov %rax, %cr4
    mov %rdi, %cr3
    mov %rsi, %rsp
    mov %rcx, %rdi
    xor %ebp, %ebp
    jmp *%rdx

    .section .note.GNU-stack, "", @progbits
