/* SPDX-License-Identifier: MIT */
/* links: arch/x86/decode.c arch/x86/decode_table.c */
/* First byte: the mode; then the instruction. */
#include <stdlib.h>
#include <string.h>

#include "arch/x86/decode.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

static void require(bool condition)
{
    if (!condition)
        abort();
}

static bool is_register(u8 n)
{
    return n < 16 || n == REG_NONE;
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
    struct insn insn, again;
    u32 mode, n;
    u8 *exact;
    int r;

    if (!size)
        return 0;
    mode = 2u << data[0] % 3;
    n = size - 1;
    r = decode(&insn, data + 1, n, mode);
    if (r) {
        require(r == ERR_RANGE || r == ERR_FAULT || r == ERR_INVAL || r == ERR_UNSUPP);
        require(r != ERR_RANGE || n < INSN_MAX_LENGTH);
        return 0;
    }
    require(insn.length && insn.length <= MIN(n, INSN_MAX_LENGTH));
    require(insn.op > OP_NONE && insn.op < INSN_NR_OPS && insn.form <= FORM_STRING && insn.segment < NR_SEGS);
    require(is_register(insn.base) && is_register(insn.index) && insn.scale < 4);
    require(insn.mem || insn.form == FORM_STRING || insn.rm < REG_HIGH + 4);
    /* The bytes after it have no influence, and are not touched. */
    exact = malloc(insn.length);
    memcpy(exact, data + 1, insn.length);
    require(decode(&again, exact, insn.length, mode) == OK);
    require(!memcmp(&insn, &again, sizeof(insn)));
    require(decode(&again, exact, insn.length - 1u, mode) == ERR_RANGE);
    free(exact);
    return 0;
}
