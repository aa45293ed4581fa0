/* SPDX-License-Identifier: MIT */
/* 256 interrupt entries that build a struct trap_frame, and the recoverable call. */
    .text
    .code64
    .balign 16
    .globl trap_entries
trap_entries: /* 16 bytes each */
    .set vector, 0
    .rept 256
    .balign 16
    .if (vector == 8) || ((vector >= 10) && (vector <= 14)) || (vector == 17) || (vector == 21)
    .else
    pushq $0
    .endif
    pushq $vector
    jmp trap_common
    .set vector, vector + 1
    .endr

trap_common:
    pushq %rax
    pushq %rcx
    pushq %rdx
    pushq %rbx
    pushq %rbp
    pushq %rsi
    pushq %rdi
    pushq %r8
    pushq %r9
    pushq %r10
    pushq %r11
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    cld
    movq %rsp, %rdi
    call trap_handle
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %r11
    popq %r10
    popq %r9
    popq %r8
    popq %rdi
    popq %rsi
    popq %rbp
    popq %rbx
    popq %rdx
    popq %rcx
    popq %rax
    addq $16, %rsp
    iretq

/* void idle_halt(void) */
    .globl idle_halt, idle_halt_hlt, idle_halt_end
idle_halt:
    sti
idle_halt_hlt:
    hlt
idle_halt_end:
    cli
    ret

/* int try_call(void (*fn)(void *), void *arg): 256 after fn returned, else the vector of its exception. */
    .globl try_call
try_call:
    pushq %rbx
    pushq %rbp
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    pushfq
    movq %rsp, try_rsp(%rip)
    movq %rdi, %rax
    movq %rsi, %rdi
    call *%rax
    movl $256, %eax
    .globl try_recover
try_recover: /* trap_handle() comes here with the vector in EAX and RSP as saved */
    movq $0, try_rsp(%rip)
    popfq
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbp
    popq %rbx
    ret

    .bss
    .balign 8
    .globl try_rsp
try_rsp: .skip 8

    .section .note.GNU-stack, "", @progbits
