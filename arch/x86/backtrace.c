/* SPDX-License-Identifier: MIT */
/*
 * Backtraces without frame pointers, which would cost three instructions in each function: what lies on the
 * stack and stands behind a call in the text is a return address, of a function that is running or that has
 * returned and left it. It is certain, and shown without '?', if that call is to the function found before.
 */
#include "arch/x86/backtrace.h"
#include "lib/log.h"
#include "lib/symbols.h"

#define MAX_FRAMES 24
#define MAX_WORDS  1024 /* of stack */
#define CALL_BYTES 7    /* of the longest call */

extern u8 _image_start[], _text_end[];
int copy_fixed(void *to, const void *from, u64 n);

static bool in_text(u64 addr)
{
    return addr - (u64)_image_start < (u64)_text_end - (u64)_image_start;
}

/* CALL r/m64: FF /2 with its ModRM byte, SIB byte and displacement. */
static bool is_indirect_call(const u8 *end)
{
    for (u32 n = 2; n <= CALL_BYTES; n++) {
        if (end[-(s32)n] == 0xff && (end[1 - (s32)n] >> 3 & 7) == 2)
            return true;
    }
    return false;
}

/* Is there a call before addr? *target: of what; 0 where that is not in the instruction. */
static bool follows_call(u64 addr, u64 *target)
{
    u8 code[CALL_BYTES];
    s32 distance;

    if (!in_text(addr) || !in_text(addr - CALL_BYTES) ||
        copy_fixed(code, (const void *)(addr - CALL_BYTES), sizeof(code)))
        return false;
    __builtin_memcpy(&distance, &code[3], sizeof(distance));
    *target = code[2] == 0xe8 ? addr + (u64)(s64)distance : 0;
    return (*target && in_text(*target)) || is_indirect_call(code + CALL_BYTES);
}

/* The start of the function that addr is in; 0 if that is not known. */
static u64 print_frame(u64 addr, bool certain)
{
    char name[SYMBOL_NAME_SIZE];
    u64 offset;

    if (!symbol_name(addr, name, &offset)) {
        log_error("%s %016lx", certain ? " " : "?", addr);
        return 0;
    }
    log_error("%s %016lx %s+0x%lx", certain ? " " : "?", addr, name, offset);
    return addr - offset;
}

void backtrace(u64 rip, u64 rsp)
{
    u64 function = 0, word, target, start;
    bool certain;
    u32 frames = 0;

    log_error("backtrace (?: may be left from an earlier call):");
    if (rip)
        function = print_frame(rip, true);
    for (u32 i = 0; i < MAX_WORDS && frames < MAX_FRAMES; i++, rsp += sizeof(word)) {
        if (copy_fixed(&word, (const void *)rsp, sizeof(word)))
            break;
        if (!follows_call(word, &target))
            continue;
        frames++;
        /* Within the call: what follows may be another function. */
        certain = target && target == function;
        start = print_frame(word - 1, certain);
        if (certain || !target || !function)
            function = start;
    }
}
