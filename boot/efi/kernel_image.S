/* SPDX-License-Identifier: MIT */
/* The kernel, as a file in the application. KERNEL_ELF: its path, from efi.mk. */
    .section .rodata
    .balign 16
    .globl kernel_elf, kernel_elf_end
kernel_elf:
    .incbin KERNEL_ELF
kernel_elf_end:
    .byte 0

    .section .note.GNU-stack, "", @progbits
