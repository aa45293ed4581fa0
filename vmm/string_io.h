/* SPDX-License-Identifier: MIT */
#ifndef VMM_STRING_IO_H
#define VMM_STRING_IO_H

#include "lib/types.h"

struct vcpu;

/* INS or OUTS, as an exit describes it. */
struct string_io {
    u16 port;
    u32 size; /* 1, 2 or 4 bytes */
    bool in, rep;
    u32 segment;   /* SEG_*; ES for INS */
    u32 addr_size; /* 2, 4 or 8 bytes */
    u32 length;    /* of the instruction, bytes */
};

/*
 * From the exit qualification, VM-exit instruction information and VM-exit instruction length. SDM 326019,
 * 'Exit Qualification for I/O Instructions' and 'Format of the VM-Exit Instruction-Information Field as Used
 * for INS and OUTS'.
 */
void string_io_from_exit(struct string_io *io, u64 qualification, u32 info, u32 length);

/* Of a repeated one at most this many items are done in a call; then the guest comes again. */
#define STRING_IO_MAX 256

/* OK: the guest goes on. ERR_UNSUPP: page tables outside of RAM. */
int string_io(struct vcpu *v, const struct string_io *io);

#endif
