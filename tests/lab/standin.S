/* SPDX-License-Identifier: MIT */
/*
 * Stands in for Nidus in the tests of scripts/run: a multiboot2 kernel that writes to COM1 the name of each of its
 * modules and the text of the first one (nidus.conf), cut at a line that starts with '=', and then does what the
 * letter after '=' says: 'o' powers off by port 0x8900, 'e' echoes what comes in, 'h' halts.
 */
.set COM1, 0x3f8
.set TAG_MODULE, 3

.section .multiboot, "a"
.balign 8
header:
    .long 0xe85250d6, 0, header_end - header, -(0xe85250d6 + (header_end - header))
    .word 0, 0
    .long 8
header_end:

.text
.code32
.globl _start
_start:
    cli
    lea stack_end, %esp
    mov $COM1 + 3, %dx          /* 8 bits, no parity */
    mov $3, %al
    out %al, %dx
    lea 8(%ebx), %edi           /* the first tag */
    xor %ebp, %ebp              /* the first module's start */
next_tag:
    mov (%edi), %eax
    test %eax, %eax
    jz tags_done
    cmp $TAG_MODULE, %eax
    jne skip_tag
    test %ebp, %ebp
    jnz not_first
    mov 8(%edi), %ebp
not_first:
    lea module_text, %esi
    call put_string
    lea 16(%edi), %esi
    call put_string
    mov $'\n', %al
    call put
skip_tag:
    mov 4(%edi), %eax
    lea 7(%edi, %eax), %edi
    and $~7, %edi
    jmp next_tag

tags_done:
    mov %ebp, %esi
    mov $'\n', %bl              /* what came before */
copy:
    lodsb
    cmp $'=', %al
    jne 1f
    cmp $'\n', %bl
    je act
1:  mov %al, %bl
    call put
    jmp copy

act:
    lodsb
    cmp $'e', %al
    je echo
    cmp $'o', %al
    jne halt
    call drain
    lea shutdown, %esi
    mov $8, %ecx
    mov $0x8900, %dx
    rep outsb
halt:
    hlt
    jmp halt

echo:
    mov $COM1 + 5, %dx
    in %dx, %al
    test $1, %al
    jz echo
    mov $COM1, %dx
    in %dx, %al
    call put
    jmp echo

put_string:                     /* ESI: text up to a NUL */
    lodsb
    test %al, %al
    jz 1f
    call put
    jmp put_string
1:  ret

put:                            /* AL */
    mov %al, %ah
    mov $COM1 + 5, %dx
1:  in %dx, %al
    test $0x20, %al
    jz 1b
    mov %ah, %al
    mov $COM1, %dx
    out %al, %dx
    ret

drain:                          /* until the last bit is out */
    mov $COM1 + 5, %dx
1:  in %dx, %al
    test $0x40, %al
    jz 1b
    ret

module_text: .asciz "module: "
shutdown: .ascii "Shutdown"

.bss
.skip 4096
stack_end:
