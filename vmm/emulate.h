/* SPDX-License-Identifier: MIT */
/*
 * Carries out one decoded instruction with a memory operand, with the effects that SDM 325462 volume 2
 * describes. Pure logic: registers are asked for by vmm/mmio_host.h and arch/x86/vector.h, memory is behind
 * struct emu_ops.
 */
#ifndef VMM_EMULATE_H
#define VMM_EMULATE_H

#include "lib/types.h"
#include "arch/x86/decode.h"
#include "vmm/segment.h"

struct vcpu;

enum emu_result {
    EMU_OK,     /* done: go on at emu.rip (a repeated string instruction may have to go on at itself) */
    EMU_FAULT,  /* raise emu.fault; registers are as the CPU leaves them */
    EMU_RETRY,  /* nothing happened: let the guest run it again */
    EMU_UNSUPP, /* cannot be emulated; nothing happened */
};

struct emu_fault {
    u32 vector; /* VEC_*; the error code counts where the vector has one */
    u32 error_code;
    gva_t cr2; /* for VEC_PF */
};

/* Memory that was checked and translated: one or two pieces. */
struct emu_access {
    gpa_t gpa[2];
    u32 size[2]; /* bytes; size[1] is 0 unless it crosses a page */
};

/* Whose registers an instruction uses; EMU_AVX: it has a VEX prefix. */
enum emu_vector { EMU_MMX, EMU_SSE, EMU_AVX };

struct emu_ops {
    /* Whether the guest may use vector registers now: EMU_OK, or EMU_FAULT and *fault: #UD, #NM or #MF. */
    enum emu_result (*vector_usable)(void *ctx, enum emu_vector kind, struct emu_fault *fault);
    /* Checks and translates size (1 to 32) bytes, for writing (and reading) or for reading. On a fault fills
     * *fault. */
    enum emu_result (*translate)(void *ctx, gva_t gva, u32 size, bool write, struct emu_access *out,
                                 struct emu_fault *fault);
    /* These, of 1 to 8 bytes, cannot fail any more. Values are little-endian, zero-extended. */
    u64 (*load)(void *ctx, const struct emu_access *a);
    void (*store)(void *ctx, const struct emu_access *a, u64 value);
};

struct emu {
    const struct emu_ops *ops;
    void *ctx;
    struct vcpu *vcpu;
    u32 mode;     /* as for decode(): 2, 4 or 8 */
    u32 gva_bits; /* in 64-bit mode: 48, or 57 with CR4.LA57 */
    bool real;    /* CR0.PE = 0: segments have limits but no rights */
    u64 rip;      /* of the instruction; after EMU_OK where to go on */
    struct emu_fault fault;
};

/* A repeated string instruction does at most this many items in a call, and one with RFLAGS.TF. */
#define EMU_REP_MAX 64

enum emu_result emu_run(struct emu *e, const struct insn *insn);

/* The parts that string instructions and string I/O have in common with the rest. */

/* Registers with operand sizes: 1, 2 and 4-byte values; 4-byte writes clear the upper half. n may be REG_HIGH
 * + x. */
u64 emu_get_reg(struct emu *e, u32 n, u32 size);
void emu_set_reg(struct emu *e, u32 n, u32 size, u64 value);
u64 emu_size_mask(u32 size);

/* Segmentation's checks outside of 64-bit mode; real: as in struct emu. */
bool emu_segment_allows(bool real, const struct segment *s, u64 offset, u32 size, bool write);

/* Segmentation, then translation, of size bytes at seg:offset. EMU_OK, EMU_FAULT, EMU_RETRY or EMU_UNSUPP. */
enum emu_result emu_translate(struct emu *e, u32 seg, u64 offset, u32 size, bool write,
                              struct emu_access *out);

u64 emu_offset(struct emu *e, const struct insn *insn); /* of the memory operand in its segment */
/* The n bytes from byte `at` on. */
struct emu_access emu_part(const struct emu_access *a, u32 at, u32 n);

/* CMPXCHG8B, CMPXCHG16B and moves of vector registers. */
enum emu_result emu_cmpxchg_pair(struct emu *e, const struct insn *insn);
enum emu_result emu_vector(struct emu *e, const struct insn *insn);
/* MOVS, CMPS, STOS, LODS, SCAS. */
enum emu_result emu_string(struct emu *e, const struct insn *insn);

#endif
