/* SPDX-License-Identifier: MIT */
/*
 * What a multiboot kernel may expect a PC's BIOS to have left: the vectors of real mode, with code behind
 * them, and the BIOS data area. Xen takes the size of conventional memory from there, for its trampoline, and
 * asks by INT for disks, memory and the screen. There is no BIOS: all services but one say that they are not
 * there.
 */
#include "vmm/dev/host.h"
#include "vmm/load_kinds.h"

#define CODE_SEG    0xf000u
#define IGNORE      0xff53u /* where a PC's BIOS has its IRET */
#define UNSUPPORTED 0xff60u
#define MEMORY_SIZE 0xff70u

#define NR_VECTORS      256u
#define VECTOR_SERVICES 0x10u /* from here on services, but for the second interrupt controller's */
#define VECTOR_MEMORY   0x12u
#define VECTOR_IRQ8     0x70u
#define VECTOR_IRQ15    0x77u

#define BDA         0x400u
#define BDA_END     0x500u
#define BDA_COM1    0x00u /* in it: a port, and KiB */
#define BDA_LOW_KIB 0x13u
#define COM1        0x3f8u
#define LOW_KIB     (GUEST_LOW_RAM_END / KiB(1))

static u16 handler(u32 vector)
{
    if (vector == VECTOR_MEMORY)
        return MEMORY_SIZE;
    if (vector < VECTOR_SERVICES || (vector >= VECTOR_IRQ8 && vector <= VECTOR_IRQ15))
        return IGNORE;
    return UNSUPPORTED;
}

int bios_place(struct load_ctx *ctx)
{
    static const u8 ignore[] = {0xcf}; /* iret */
    static const u8 unsupported[] = {
        0x55,                   /* push bp */
        0x89, 0xe5,             /* mov bp, sp */
        0x80, 0x4e, 0x06, 0x01, /* or byte [bp + 6], 1: CF */
        0x5d,                   /* pop bp */
        0xb4, 0x86,             /* mov ah, 86h */
        0xcf,                   /* iret */
    };
    static const u8 memory_size[] = {0xb8, LOW_KIB & 0xff, LOW_KIB >> 8, 0xcf}; /* mov ax, LOW_KIB; iret */
    struct {
        u16 offset, segment;
    } vectors[NR_VECTORS];
    static const u8 data[BDA_END - BDA] = {
        [BDA_COM1] = COM1 & 0xff,
        [BDA_COM1 + 1] = COM1 >> 8,
        [BDA_LOW_KIB] = LOW_KIB & 0xff,
        [BDA_LOW_KIB + 1] = LOW_KIB >> 8,
    };
    int rc;

    _Static_assert(sizeof(vectors) == BDA, "the vectors end where the data begin");
    if (!load_is_free(ctx, 0, BDA_END))
        return OK; /* the kernel's own is there */
    for (u32 i = 0; i < NR_VECTORS; i++) {
        vectors[i].offset = handler(i);
        vectors[i].segment = CODE_SEG;
    }
    rc = guest_write(ctx->vm, 0, vectors, sizeof(vectors));
    if (!rc)
        rc = guest_write(ctx->vm, BDA, data, sizeof(data));
    if (!rc)
        rc = guest_write(ctx->vm, (CODE_SEG << 4) + IGNORE, ignore, sizeof(ignore));
    if (!rc)
        rc = guest_write(ctx->vm, (CODE_SEG << 4) + UNSUPPORTED, unsupported, sizeof(unsupported));
    if (!rc)
        rc = guest_write(ctx->vm, (CODE_SEG << 4) + MEMORY_SIZE, memory_size, sizeof(memory_size));
    return rc;
}
