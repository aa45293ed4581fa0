/* SPDX-License-Identifier: MIT */
/* Code that runs in user mode, at another address than it is linked for; INT3 is its end. */
    .text
    .code64
.macro user name, code:vararg
    .globl user_\name
user_\name:
    \code
    int3
.endm

    user nothing, nop
    user cli, cli
    user hlt, hlt
    user rdmsr, rdmsr
    user wrmsr, wrmsr
    user cr0, movq %cr0, %rax
    user cr3, movq %rax, %cr3
    user dr7, movq %dr7, %rax
    user lgdt, lgdt (%rsp)
    user ltr, ltr %ax
    user invlpg, invlpg (%rsp)
    user wbinvd, wbinvd
    user clts, clts
    user lmsw, lmsw %ax
    user in, inb $0x71, %al
    user out, outb %al, $0x80
    user swapgs, swapgs
    user sysret, sysretq
    user rdtsc, rdtsc
    user sgdt, sgdt -16(%rsp)
    user int80, int $0x80
    user into_kernel, movb $0, (%rax)
    user cpuid, cpuid

    .globl user_misaligned
user_misaligned: /* with EFLAGS.AC */
    pushfq
    orq $0x40000, (%rsp)
    popfq
    movl -7(%rsp), %eax
    int3

    .globl user_xsetbv
user_xsetbv: /* what kernel mode may set */
    xorl %ecx, %ecx
    xorl %edx, %edx
    movl $3, %eax
    xsetbv
    int3

    .globl user_vmcall
user_vmcall:
    vmcall
    int3

    .section .note.GNU-stack, "", @progbits
