/* SPDX-License-Identifier: MIT */
/*
 * nidus.elf as a multiboot2 loader gets it: the image packed by lz4, and what unpacks it. The file has two segments:
 * where the image will be, which is empty, and behind it this one. The image is entered as if it had been loaded itself
 * (arch/x86/head.S), and what is here is free memory then.
 */
#include "arch/x86/layout.h"

#define HEADER_MAGIC 0xe85250d6
#define LZ4_HEADER   7  /* of a frame without size and checksums: 'LZ4 Frame Format Description' */
#define NIBBLE       15 /* a length that goes on in the bytes that follow */

    .section .head, "awx"
    .code32

/* Multiboot2 Specification 2.0, 'OS image format'. No framebuffer is asked for: GRUB 2.06 on some BIOSes crashes over
 * that; it tells of the text screen, or of UEFI's framebuffer, all the same. */
    .balign 8
header:
    .long HEADER_MAGIC, 0, header_end - header, -(HEADER_MAGIC + (header_end - header))
    .short 10, 1            /* relocatable: anywhere below 4 GiB, at 2 MiB boundaries, low preferred */
    .long 24, 0x200000, 0xfffff000, 0x200000, 1
    .balign 8
    .short 1, 0             /* information request: memory map */
    .long 12, 6
    .balign 8
    .short 6, 0             /* modules page-aligned */
    .long 8
    .balign 8
    .short 0, 0
    .long 8
header_end:

    .globl start_packed
start_packed:
    cli
    cld
    /* Find out where we are: the information structure lends four bytes of stack. */
    mov 4(%ebx), %ecx
    lea 8(%ebx), %esp
    call 1f
1:  pop %ebp
    mov %ecx, 4(%ebx)
    lea stack_top - 1b(%ebp), %esp
    push %eax               /* the loader's magic */
    lea packed - 1b(%ebp), %esi
    sub $(1b - IMAGE_LMA), %ebp /* where the image goes */
    mov %ebp, %edi

/* 'LZ4 Block Format Description'. esi: what comes next; edi: where it goes. */
block:
    lodsl                   /* size; 0: that was the last */
    test %eax, %eax
    jz unpacked
    lea (%esi,%eax), %eax
    push %eax               /* its end */
sequence:
    movzbl (%esi), %eax     /* token: how many literals, how long the match */
    inc %esi
    mov %eax, %edx
    mov %eax, %ecx
    shr $4, %ecx
    call length
    rep movsb
    cmp (%esp), %esi        /* the last sequence of a block has no match */
    je block_end
    movzwl (%esi), %eax     /* how far back */
    add $2, %esi
    mov %edx, %ecx
    and $NIBBLE, %ecx
    push %eax
    call length
    pop %eax
    add $4, %ecx
    mov %esi, %edx
    mov %edi, %esi
    sub %eax, %esi
    rep movsb
    mov %edx, %esi
    jmp sequence
block_end:
    pop %eax
    jmp block

/* ecx: what is in the token, becomes the length. */
length:
    cmp $NIBBLE, %ecx
    jne 2f
1:  movzbl (%esi), %eax
    inc %esi
    add %eax, %ecx
    cmp $255, %eax
    je 1b
2:  ret

unpacked:
    pop %eax
    lea start32 - IMAGE_BASE(%ebp), %edx
    jmp *%edx

packed:
    .incbin PACKED_IMAGE, LZ4_HEADER

    .bss
    .skip 64
stack_top:

    .section .note.GNU-stack, "", @progbits
