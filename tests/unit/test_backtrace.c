/* SPDX-License-Identifier: MIT */
/* links: arch/x86/backtrace.c lib/format.c */
/* Which words of a stack are taken for return addresses, and which of them for certain. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86/backtrace.h"
#include "lib/format.h"
#include "lib/log.h"
#include "lib/symbols.h"

/* Functions of 32 bytes, named 0 to 7. */
asm(".data\n.globl _image_start, _text_end\n_image_start: .skip 256\n_text_end:\n.text");
extern u8 _image_start[], _text_end[];

#define F(n) ((u64)_image_start + 32 * (n))

static u64 stack[64];
static char text[2000];
static size_t length;

int copy_fixed(void *to, const void *from, u64 n)
{
    const u8 *at = from;
    bool on_stack = at >= (u8 *)stack && at + n <= (u8 *)(stack + 64);

    if (!on_stack && !(at >= _image_start && at + n <= _text_end))
        return ERR_FAULT;
    memcpy(to, from, n);
    return OK;
}

bool symbol_name(u64 addr, char name[SYMBOL_NAME_SIZE], u64 *offset)
{
    *offset = (addr - F(0)) % 32;
    format(name, SYMBOL_NAME_SIZE, "f%lu", (addr - F(0)) / 32);
    return true;
}

/* All but the address. */
void log_msg(enum log_level level, const char *fmt, ...)
{
    char line[160], *name;
    va_list args;

    (void)level;
    va_start(args, fmt);
    format_va(line, sizeof(line), fmt, args);
    va_end(args);
    name = strstr(line, " f");
    if (name && line[0] != 'b')
        length += format(text + length, sizeof(text) - length, "%c%s|", line[0], name + 1);
}

/* A call in function from, 16 bytes behind its start; the return address. */
static u64 direct_call(u32 from, u64 to)
{
    u8 *end = (u8 *)F(from) + 16;
    s32 distance = (s32)(to - (u64)end);

    end[-5] = 0xe8;
    memcpy(end - 4, &distance, 4);
    return (u64)end;
}

static u64 indirect_call(u32 from, u32 size)
{
    u8 *end = (u8 *)F(from) + 16;

    end[-(s32)size] = 0xff;
    end[1 - (s32)size] = 2 << 3 | 0xc0;
    return (u64)end;
}

static int start(void **state)
{
    (void)state;
    memset(_image_start, 0x90, 256);
    memset(stack, 0, sizeof(stack));
    memset(text, 0, sizeof(text));
    length = 0;
    return 0;
}

static void expect(u64 rip, const char *wanted)
{
    backtrace(rip, (u64)stack);
    assert_string_equal(text, wanted);
}

static void test_chain(void **state)
{
    (void)state;
    stack[3] = direct_call(2, F(1));
    stack[4] = 0x1234;
    stack[9] = direct_call(3, F(2));
    stack[63] = direct_call(4, F(3));
    expect(F(1) + 5, " f1+0x5| f2+0xf| f3+0xf| f4+0xf|");
}

/* A word that an earlier call left, and one that is no return address at all. */
static void test_left_over(void **state)
{
    (void)state;
    stack[1] = direct_call(5, F(6));
    stack[2] = F(7) + 3;
    stack[3] = direct_call(2, F(1));
    expect(F(1), " f1+0x0|?f5+0xf| f2+0xf|");
}

static void test_indirect(void **state)
{
    static const u32 sizes[] = {2, 3, 4, 6, 7};

    for (u32 i = 0; i < ARRAY_SIZE(sizes); i++) {
        start(state);
        stack[0] = indirect_call(2, sizes[i]);
        stack[1] = direct_call(3, F(2));
        expect(F(1), " f1+0x0|?f2+0xf| f3+0xf|");
    }
}

static void test_without_rip(void **state)
{
    (void)state;
    stack[0] = direct_call(2, F(1));
    stack[1] = direct_call(3, F(2));
    expect(0, "?f2+0xf| f3+0xf|");
}

/* Calls to where no text is, an address at the very start, one outside. */
static void test_no_calls(void **state)
{
    (void)state;
    stack[0] = direct_call(2, F(100));
    stack[1] = F(0) + 2;
    stack[2] = (u64)stack;
    stack[3] = ~0ull;
    expect(0, "");
}

static void test_many(void **state)
{
    u32 frames = 0;

    (void)state;
    for (u32 i = 0; i < 64; i++)
        stack[i] = direct_call(2, F(2));
    backtrace(F(2), (u64)stack);
    for (const char *at = text; *at; at++)
        frames += *at == '|';
    assert_int_equal(frames, 1 + 24);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_chain, start),    cmocka_unit_test_setup(test_left_over, start),
        cmocka_unit_test_setup(test_indirect, start), cmocka_unit_test_setup(test_without_rip, start),
        cmocka_unit_test_setup(test_no_calls, start), cmocka_unit_test_setup(test_many, start),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
