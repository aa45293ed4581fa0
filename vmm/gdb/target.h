/* SPDX-License-Identifier: MIT */
/*
 * What GDB is told of the target: the registers, in the order in which packets number them, and the XML that
 * says so (GDB manual, appendix 'Target Descriptions', 'i386 Features'). Pure logic.
 */
#ifndef VMM_GDB_TARGET_H
#define VMM_GDB_TARGET_H

#include "vmm/gdb/packet.h"

/* Registers as packets have them: one behind the other. */
struct gdb_regs {
    u64 rax, rbx, rcx, rdx, rsi, rdi, rbp, rsp, r8[8], rip;
    u32 eflags, cs, ss, ds, es, fs, gs;
    u8 st[8][10];
    u32 fctrl, fstat, ftag, fiseg, fioff, foseg, fooff, fop;
    u8 xmm[16][16];
    u32 mxcsr;
    u64 orig_rax, fs_base, gs_base;
    u64 k_gs_base, cr0, cr2, cr3, cr4, cr8, efer;
} __packed;

/* What a g packet has; all others GDB asks for one by one when somebody looks at them. */
#define GDB_G_SIZE offsetof(struct gdb_regs, st)

/* Where number n is in struct gdb_regs, and its size; false: there is none. */
bool gdb_reg(u64 n, u32 *offset, u32 *size);

#define GDB_REG_RSP 7
#define GDB_REG_RIP 16

/* 'm' or 'l', and the part of the description from offset on, of at most n bytes. */
void gdb_describe(struct gdb_writer *w, u64 offset, u64 n);

#endif
