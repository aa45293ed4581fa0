/* SPDX-License-Identifier: MIT */
/*
 * Into the guest and back. The general registers of the guest are in struct vcpu from offset 0 on, in the order of
 * their encodings, followed by launched, host_rsp, on_exit and on_l2_exit.
 */
#define RAX 0
#define RCX 8
#define RDX 16
#define RBX 24
#define RBP 40
#define RSI 48
#define RDI 56
#define R(n) (8 * n)
#define LAUNCHED 128
#define HOST_RSP_SEEN 136
#define ON_EXIT 144
#define ON_L2_EXIT 152
#define HOST_RSP 0x6c14

    .section .text.hot, "ax"

/* u64 vmx_enter(struct vcpu *v) */
    .globl vmx_enter
    .balign 64
vmx_enter:
    push %rbp
    push %rbx
    push %r12
    push %r13
    push %r14
    push %r15
    push %rdi                       /* for the exit: the vCPU is on top of the stack */
    cmp %rsp, HOST_RSP_SEEN(%rdi)
    je resume
    mov %rsp, HOST_RSP_SEEN(%rdi)
    mov $HOST_RSP, %eax
    vmwrite %rsp, %rax
    jbe failed
resume:
    cmpq $0, LAUNCHED(%rdi)
    mov RAX(%rdi), %rax
    mov RCX(%rdi), %rcx
    mov RDX(%rdi), %rdx
    mov RBX(%rdi), %rbx
    mov RBP(%rdi), %rbp
    mov RSI(%rdi), %rsi
    mov R(8)(%rdi), %r8
    mov R(9)(%rdi), %r9
    mov R(10)(%rdi), %r10
    mov R(11)(%rdi), %r11
    mov R(12)(%rdi), %r12
    mov R(13)(%rdi), %r13
    mov R(14)(%rdi), %r14
    mov R(15)(%rdi), %r15
    mov RDI(%rdi), %rdi             /* the flags are still those of the comparison */
    je launch
    vmresume
    jmp failed
launch:
    vmlaunch
failed:
    pushfq                          /* VMfail: CF or ZF; the registers loaded were the guest's own */
    pop %rax
    jmp leave

/* HOST_RIP of a vCPU's VMCS, and of vmcs02. */
    .macro exit_entry name, handler
    .globl \name
    .balign 64
\name:
    push %rdi
    mov 8(%rsp), %rdi
    mov %rax, RAX(%rdi)
    mov %rcx, RCX(%rdi)
    mov %rdx, RDX(%rdi)
    mov %rbx, RBX(%rdi)
    mov %rbp, RBP(%rdi)
    mov %rsi, RSI(%rdi)
    mov %r8, R(8)(%rdi)
    mov %r9, R(9)(%rdi)
    mov %r10, R(10)(%rdi)
    mov %r11, R(11)(%rdi)
    mov %r12, R(12)(%rdi)
    mov %r13, R(13)(%rdi)
    mov %r14, R(14)(%rdi)
    mov %r15, R(15)(%rdi)
    popq RDI(%rdi)
    movq $1, LAUNCHED(%rdi)
    call *\handler(%rdi)
    mov (%rsp), %rdi
    test %al, %al
    jnz resume
    xor %eax, %eax
    jmp leave
    .endm

    exit_entry vmx_exit_entry, ON_EXIT
    exit_entry nested_exit_entry, ON_L2_EXIT

leave:
    add $8, %rsp
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbx
    pop %rbp
    ret

    .section .note.GNU-stack, "", @progbits
