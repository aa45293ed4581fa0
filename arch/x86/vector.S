/* SPDX-License-Identifier: MIT */
/* An instruction names its register: there is one for each, 16 bytes apart. */
    .text

#define ALL 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15

.macro moves name, insn, reg, load, list:vararg
\name:
    .irp n, \list
    .balign 16
    .if \load
    \insn (%rdx), %\reg\n
    .else
    \insn %\reg\n, (%rdx)
    .endif
    ret
    .endr
.endm

    .balign 16
    moves get_sse, movups, xmm, 0, ALL
    .balign 16
    moves get_avx, vmovups, ymm, 0, ALL
    .balign 16
    moves set_sse, movups, xmm, 1, ALL
    .balign 16
    moves set_vex, vmovups, xmm, 1, ALL
    .balign 16
    moves set_avx, vmovups, ymm, 1, ALL

    .balign 16
    moves get_mmx, movq, mm, 0, 0, 1, 2, 3, 4, 5, 6, 7
    .balign 16
    moves set_mmx, movq, mm, 1, 0, 1, 2, 3, 4, 5, 6, 7

/* void vector_get(u32 n, u32 size, u64 value[4]) */
    .globl vector_get
    .balign 16
vector_get:
    mov $get_sse, %rax
    mov $get_avx, %rcx
    cmp $32, %esi
    cmove %rcx, %rax
    mov $get_mmx, %rcx
    cmp $8, %esi
    cmove %rcx, %rax
    jmp move

/* void vector_set(u32 n, u32 size, bool vex, const u64 value[4]) */
    .globl vector_set
    .balign 16
vector_set:
    mov $set_sse, %rax
    mov $set_vex, %r8
    test %dl, %dl
    cmovne %r8, %rax
    mov $set_avx, %r8
    cmp $32, %esi
    cmove %r8, %rax
    mov $set_mmx, %r8
    cmp $8, %esi
    cmove %r8, %rax
    mov %rcx, %rdx
move:
    and $15, %edi
    shl $4, %edi
    add %rdi, %rax
    jmp *%rax

/* bool vector_x87_error(void) */
    .globl vector_x87_error
vector_x87_error: /* the status word's ES */
    xor %eax, %eax
    fnstsw %ax
    shr $7, %eax
    and $1, %eax
    ret

/* void vector_save(void *area) */
    .globl vector_save
vector_save:
    fxsave64 (%rdi)
    ret

/* void vector_load(const void *area) */
    .globl vector_load
vector_load:
    fxrstor64 (%rdi)
    ret

/* u64 vector_xcr0(void) */
    .globl vector_xcr0
vector_xcr0:
    xor %ecx, %ecx
    xgetbv
    shl $32, %rdx
    or %rdx, %rax
    ret

    .section .note.GNU-stack, "", @progbits
