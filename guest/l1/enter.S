/* SPDX-License-Identifier: MIT */
#include "guest/common/segments.h"

#define HOST_RSP_FIELD 0x6c14

    .text
    .code64
/* enum vm_end vmx_enter(u64 gpr[16], bool resume) */
    .globl vmx_enter
vmx_enter:
    pushq %rbx
    pushq %rbp
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    pushq %rdi
    cmpq %rsp, l2_host_rsp(%rip)
    je 4f
    movq %rsp, l2_host_rsp(%rip)
    movl $HOST_RSP_FIELD, %eax
    vmwrite %rsp, %rax
4:
    testb %sil, %sil
    movq 0x00(%rdi), %rax
    movq 0x08(%rdi), %rcx
    movq 0x10(%rdi), %rdx
    movq 0x18(%rdi), %rbx
    movq 0x28(%rdi), %rbp
    movq 0x30(%rdi), %rsi
    movq 0x40(%rdi), %r8
    movq 0x48(%rdi), %r9
    movq 0x50(%rdi), %r10
    movq 0x58(%rdi), %r11
    movq 0x60(%rdi), %r12
    movq 0x68(%rdi), %r13
    movq 0x70(%rdi), %r14
    movq 0x78(%rdi), %r15
    movq 0x38(%rdi), %rdi
    jnz 1f
    vmlaunch
    jmp 2f
1:  vmresume
2:  popq %rdi
    movl $1, %eax /* VM_FAIL_INVALID */
    jc 3f
    movl $2, %eax /* VM_FAIL_VALID */
3:  popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbp
    popq %rbx
    ret

    .globl vmx_exit_entry
vmx_exit_entry: /* HOST_RIP */
    xchgq %rdi, (%rsp)
    movq %rax, 0x00(%rdi)
    movq %rcx, 0x08(%rdi)
    movq %rdx, 0x10(%rdi)
    movq %rbx, 0x18(%rdi)
    movq %rbp, 0x28(%rdi)
    movq %rsi, 0x30(%rdi)
    movq %r8, 0x40(%rdi)
    movq %r9, 0x48(%rdi)
    movq %r10, 0x50(%rdi)
    movq %r11, 0x58(%rdi)
    movq %r12, 0x60(%rdi)
    movq %r13, 0x68(%rdi)
    movq %r14, 0x70(%rdi)
    movq %r15, 0x78(%rdi)
    popq 0x38(%rdi)
    xorl %eax, %eax
    jmp 3b

/* L2's exception and interrupt entries */
    .balign 16
    .globl l2_vectors
l2_vectors:
    .rept 256
    .balign 16
    nop /* Bochs 3.0 takes the RIP of before an NMI for that of an exit by the first instruction */
    vmcall
    iretq
    .endr

    .bss
    .balign 8
    .globl l2_host_rsp /* as the VMCS has it; 0: unknown */
l2_host_rsp: .skip 8

    .section .note.GNU-stack, "", @progbits
