/* SPDX-License-Identifier: MIT */
/*
 * Entry from a multiboot 1 or 2 loader: 32-bit protected mode, paging off, EAX the magic, EBX the information. Xen's
 * PVH ABI is the same but for EAX. Goes to 64-bit mode with the first 4 GiB mapped one to one by 2 MiB pages, and calls
 * guest_start().
 */
#include "guest/common/segments.h"

#define MB1_MAGIC 0x1badb002
#define MB1_FLAGS 0x3 /* modules page-aligned, memory map wanted */
#define MB2_MAGIC 0xe85250d6

    .section .multiboot, "a"
    .balign 8
mb1:
    .long MB1_MAGIC, MB1_FLAGS, -(MB1_MAGIC + MB1_FLAGS)
    .balign 8
mb2:
    .long MB2_MAGIC, 0, mb2_end - mb2, -(MB2_MAGIC + mb2_end - mb2)
    .short 6, 0 /* modules page-aligned */
    .long 8
    .short 0, 0
    .long 8
mb2_end:

#define XEN_ELFNOTE_PHYS32_ENTRY 18

    .section .note.xen, "a", @note
    .balign 4
    .long 4, 4, XEN_ELFNOTE_PHYS32_ENTRY
    .asciz "Xen"
    .long pvh_start32

    .text
    .code32
pvh_start32:
    movl (%ebx), %eax /* its information begins with a magic */
    .globl start32
start32:
    cli
    cld
    movl $boot_stack_top, %esp
    movl %eax, mb_magic
    movl %ebx, mb_info

    /* page tables: PML4[0] -> 4 PDPTEs -> 2048 PDEs of 2 MiB */
    movl $boot_pdpt + 3, boot_pml4
    movl $boot_pd + 3, %eax
    movl $boot_pdpt, %edi
    movl $4, %ecx
1:  movl %eax, (%edi)
    addl $4096, %eax
    addl $8, %edi
    loop 1b
    movl $0x83, %eax
    movl $boot_pd, %edi
    movl $2048, %ecx
2:  movl %eax, (%edi)
    addl $0x200000, %eax
    addl $8, %edi
    loop 2b

    .globl enter_long32
enter_long32: /* APs come here with their stack set */
    movl $0x20, %eax /* CR4.PAE */
    movl %eax, %cr4
    movl $boot_pml4, %eax
    movl %eax, %cr3
    movl $0xc0000080, %ecx
    rdmsr
    orl $0x100, %eax /* EFER.LME */
    wrmsr
    movl %cr0, %eax
    andl $0x9fffffff, %eax /* caches on */
    orl $0x80010021, %eax  /* PG, WP, NE, PE */
    movl %eax, %cr0
    lgdt gdt_pointer
    ljmp $SEL_CODE64, $enter64

    .code64
enter64:
    movl $SEL_DATA, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    xorl %eax, %eax
    movl %eax, %fs
    movl %eax, %gs
    movl %esp, %esp
    xorl %ebp, %ebp
    callq *start_c(%rip)
3:  hlt
    jmp 3b

    .data
    .balign 8
    .globl start_c
start_c: /* an AP's start replaces it */
    .quad guest_start
    .globl gdt
    .balign 16
gdt:
    .quad 0
    .quad 0x00af9b000000ffff
    .quad 0x00cf93000000ffff
    .quad 0x00cf9b000000ffff
    .quad 0x00009b000000ffff
    .quad 0x000093000000ffff
    .quad 0x00cff3000000ffff
    .quad 0x00affb000000ffff
    .fill 2 * MAX_CPUS, 8, 0
gdt_end:
    .globl gdt_pointer
    .short 0
gdt_pointer:
    .short gdt_end - gdt - 1
    .quad gdt

    .bss
    .balign 4096
    .globl boot_pml4
boot_pml4: .skip 4096
    .globl boot_pdpt
boot_pdpt: .skip 4096
boot_pd: .skip 4 * 4096
boot_stack: .skip BOOT_STACK_SIZE
    .globl boot_stack_top
boot_stack_top:
    .globl mb_magic, mb_info
mb_magic: .skip 4
mb_info: .skip 4

    .section .note.GNU-stack, "", @progbits
