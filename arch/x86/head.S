/* SPDX-License-Identifier: MIT */
/*
 * The two ways in: start32 from boot/packed/, which a multiboot2 loader has entered (32-bit protected mode, paging
 * off), start64 from the UEFI application (boot/efi/). The image may lie at any 2 MiB boundary.
 */
#include "arch/x86/layout.h"
#include "arch/x86/regs.h"

#define PHYS(sym)    ((sym) - IMAGE_BASE)(%ebp) /* ebp: physical address of the image */

    .section .head, "ax"
    .code32

/* For the UEFI application: how to enter in 64-bit mode. */
    .ascii "NIDUS64\0"
    .quad start64
    .quad _image_size

    .globl start32
start32:
    cli
    cld
    /* Find out where we are: the information structure lends four bytes of stack. */
    mov %eax, %esi
    mov 4(%ebx), %ecx
    lea 8(%ebx), %esp
    call 1f
1:  pop %ebp
    mov %ecx, 4(%ebx)
    sub $(1b - IMAGE_BASE), %ebp
    lea PHYS(boot_stack_top), %esp

    mov $0x80000000, %eax
    push %ebx
    cpuid
    cmp $0x80000001, %eax
    jb no_long_mode
    mov $0x80000001, %eax
    cpuid
    pop %ebx
    bt $29, %edx
    jnc no_long_mode

    /* Identity and direct map of the first 4 GiB, and the image at its virtual address: 2 MiB pages. */
    lea PHYS(early_pd), %edi
    mov $(PTE_P | PTE_W | PTE_PS), %eax
    xor %ecx, %ecx
1:  mov %eax, (%edi, %ecx, 8)
    add $0x200000, %eax
    inc %ecx
    cmp $2048, %ecx
    jb 1b
    lea PHYS(early_pd), %eax
    or $(PTE_P | PTE_W), %eax
    lea PHYS(early_pdpt), %edi
    xor %ecx, %ecx
1:  mov %eax, (%edi, %ecx, 8)
    add $0x1000, %eax
    inc %ecx
    cmp $4, %ecx
    jb 1b
    lea (PTE_P | PTE_W | PTE_PS)(%ebp), %eax
    lea PHYS(early_pd_image), %edi
    xor %ecx, %ecx
1:  mov %eax, (%edi, %ecx, 8)
    add $0x200000, %eax
    inc %ecx
    cmp $(IMAGE_MAX / 0x200000), %ecx
    jb 1b
    lea PHYS(early_pd_image), %eax
    or $(PTE_P | PTE_W), %eax
    mov %eax, PHYS(early_pdpt_image + 510 * 8)
    lea PHYS(early_pdpt_image), %eax
    or $(PTE_P | PTE_W), %eax
    mov %eax, PHYS(early_pml4 + 511 * 8)
    lea PHYS(early_pdpt), %eax
    or $(PTE_P | PTE_W), %eax
    mov %eax, PHYS(early_pml4)

    mov %cr4, %eax
    or $CR4_PAE, %eax
    mov %eax, %cr4
    lea PHYS(early_pml4), %eax
    mov %eax, %cr3
    mov $MSR_IA32_EFER, %ecx
    rdmsr
    or $EFER_LME, %eax
    wrmsr
    mov %cr0, %eax
    or $(CR0_PG | CR0_PE), %eax
    mov %eax, %cr0

    /* A GDT with our physical address in its pointer, then a far return into 64-bit mode. */
    lea PHYS(early_gdt), %eax
    sub $8, %esp
    movw $(3 * 8 - 1), (%esp)
    mov %eax, 2(%esp)
    lgdt (%esp)
    lea PHYS(enter64), %eax
    push $SEL_CODE
    push %eax
    lret

no_long_mode:
    mov $(no_long_mode_text - IMAGE_BASE), %esi
    add %ebp, %esi
1:  lodsb (%esi), %al
    test %al, %al
    jz 3f
    mov %al, %bl
    mov $0x3fd, %dx
    mov $100000, %ecx
2:  in %dx, %al
    test $0x20, %al
    loopz 2b
    mov $0x3f8, %dx
    mov %bl, %al
    out %al, %dx
    jmp 1b
3:  hlt
    jmp 3b

no_long_mode_text:
    .asciz "nidus: panic: this CPU has no 64-bit mode\r\n"

    .code64
enter64:
    movabs $1f, %rax
    jmp *%rax
1:  mov $SEL_DATA, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    xor %eax, %eax
    mov %eax, %fs
    mov %eax, %gs
    lea boot_stack_top(%rip), %rsp
    mov %esi, %edi              /* loader's magic */
    mov %ebx, %esi              /* its information structure */
    mov %ebp, %edx              /* our physical address */
    xor %ebp, %ebp
    call share_identity_map
    call boot_from_multiboot2
    ud2

/* rdi: struct boot_info; see boot/efi/ for the state of the machine. */
    .globl start64
start64:
    cli
    cld
    lea boot_stack_top(%rip), %rsp
    xor %ebp, %ebp
    call share_identity_map
    call boot_from_efi
    ud2

/* The direct map starts as an alias of the identity map. Keeps rdi, rsi, rdx. */
share_identity_map:
    mov %cr3, %rax
    and $~0xfff, %rax
    mov (%rax), %rcx
    mov %rcx, 256 * 8(%rax)
    ret

    .balign 8
early_gdt:
    .quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff

    .bss
    .balign 4096
early_pml4:       .skip 4096
early_pdpt:       .skip 4096
early_pd:         .skip 4 * 4096
early_pdpt_image: .skip 4096
early_pd_image:   .skip 4096
boot_stack:       .skip 16384
boot_stack_top:

    .section .note.GNU-stack, "", @progbits
