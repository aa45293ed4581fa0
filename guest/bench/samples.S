/* SPDX-License-Identifier: MIT */
/*
 * u64 sample_NAME(const struct sample_regs *in): TSC ticks for SAMPLE_LOOPS times one operation. The loop around it is
 * the same for all, so sample_empty() is what is to be subtracted. R10 is what RAX gets; it alternates by `toggle`.
 */
#include "guest/bench/samples.h"

    .text
    .code64

.macro sample name, operation:vararg
    .balign 16
    .globl sample_\name
sample_\name:
    pushq %rbx
    pushq %rbp
    pushq %r12
    movq 0(%rdi), %r10  /* RAX */
    movq 8(%rdi), %rsi  /* RCX */
    movq 16(%rdi), %r11 /* RDX */
    movq 32(%rdi), %r12 /* toggle */
    movq 24(%rdi), %rdi
    movl $SAMPLE_LOOPS, %ebp
    rdtsc
    movl %eax, %r8d
    movl %edx, %r9d
    .balign 16
1:  xorq %r12, %r10
    movq %r10, %rax
    movq %rsi, %rcx
    movq %r11, %rdx
    \operation
    decl %ebp
    jnz 1b
    rdtsc
    shlq $32, %rdx
    orq %rdx, %rax
    shlq $32, %r9
    orq %r9, %r8
    subq %r8, %rax
    popq %r12
    popq %rbp
    popq %rbx
    ret
.endm

    sample empty
    sample cpuid, cpuid
    sample vmcall, vmcall
    sample rdmsr, rdmsr
    sample wrmsr, wrmsr
    sample inb, inb %dx, %al
    sample outb, outb %al, %dx
    sample inl, inl %dx, %eax
    sample outl, outl %eax, %dx
    sample load, movl (%rdi), %eax
    sample store, movl %eax, (%rdi)
    sample cr0, movq %rax, %cr0
    sample cr3, movq %rax, %cr3
    sample cr4, movq %rax, %cr4
    sample xsetbv, xsetbv
    sample ud2, ud2
    sample invlpg, invlpg (%rdi)

/* Exception handlers that skip the two bytes of UD2, RDMSR or WRMSR and do nothing more. */
    .balign 16
    .globl skip2
skip2:
    addq $2, (%rsp)
    iretq
    .globl skip2_error
skip2_error:
    addq $8, %rsp
    addq $2, (%rsp)
    iretq

/* u64 sample_ipi(const struct sample_regs *in): from before the write that sends it to the handler's first instruction. */
.macro sample_ipi name, send:vararg
    .balign 16
    .globl sample_\name
sample_\name:
    movq 0(%rdi), %r10
    movq 8(%rdi), %rcx
    movq 16(%rdi), %r11
    movq 24(%rdi), %rdi
    movq $0, ipi_tsc(%rip)
    sti
    rdtsc
    movl %eax, %r8d
    movl %edx, %r9d
    movq %r10, %rax
    movq %r11, %rdx
    \send
1:  cmpq $0, ipi_tsc(%rip)
    je 1b
    cli
    shlq $32, %r9
    orq %r9, %r8
    movq ipi_tsc(%rip), %rax
    subq %r8, %rax
    ret
.endm

    sample_ipi ipi_mmio, movl %eax, (%rdi)
    sample_ipi ipi_msr, wrmsr

/* u64 sample_once_NAME(const struct sample_regs *in): one operation; once_tsc is from before it. */
.macro once name, operation:vararg
    .balign 16
    .globl sample_once_\name
sample_once_\name:
    movq 0(%rdi), %r10
    movq 8(%rdi), %rcx
    movq 16(%rdi), %r11
    movq 24(%rdi), %rdi
    rdtsc
    shlq $32, %rdx
    orq %rdx, %rax
    movq %rax, %r8
    movq %rax, once_tsc(%rip)
    movq %r10, %rax
    movq %r11, %rdx
    \operation
    rdtsc
    shlq $32, %rdx
    orq %rdx, %rax
    subq %r8, %rax
    ret
.endm

    once empty
    once store, movl %eax, (%rdi)
    once wrmsr, wrmsr

    .balign 16
    .globl ipi_entry
ipi_entry:
    pushq %rax
    pushq %rcx
    pushq %rdx
    rdtsc
    shlq $32, %rdx
    orq %rdx, %rax
    movq %rax, ipi_tsc(%rip)
    cmpb $0, ipi_x2apic(%rip)
    jne 1f
    rdtsc
    movl %eax, %ecx
    movl $0xfee000b0, %edx
    movl $0, (%rdx) /* EOI */
    rdtsc
    jmp 2f
1:  rdtsc
    movl %eax, %ecx
    movl %ecx, ipi_eoi_ticks(%rip)
    movl $0x80b, %ecx
    xorl %eax, %eax
    xorl %edx, %edx
    wrmsr
    rdtsc
    movl ipi_eoi_ticks(%rip), %ecx
2:  subl %ecx, %eax
    movl %eax, ipi_eoi_ticks(%rip)
    popq %rdx
    popq %rcx
    popq %rax
    iretq

    .bss
    .balign 8
    .globl ipi_tsc, once_tsc, ipi_eoi_ticks, ipi_x2apic
ipi_tsc: .skip 8
once_tsc: .skip 8
ipi_eoi_ticks: .skip 4
ipi_x2apic: .skip 1

    .section .note.GNU-stack, "", @progbits
