/* SPDX-License-Identifier: MIT */
/* Port I/O: single and string instructions, claimed and unclaimed ports. */
#include "guest/smoke/smoke.h"
#include "lib/string.h"

#define UNCLAIMED 0xe0
#define COM1_LSR  (COM1 + 5)
#define COM1_SCR  (COM1 + 7)

static void test_unclaimed(void)
{
    expect_equal(inb(UNCLAIMED), 0xff, "8 bits");
    expect_equal(inw(UNCLAIMED), 0xffff, "16 bits");
    expect_equal(inl(UNCLAIMED), 0xffffffff, "32 bits");
    outb(UNCLAIMED, 0);
    outw(UNCLAIMED, 0);
    outl(UNCLAIMED, 0);
    expect_equal(inl(UNCLAIMED), 0xffffffff, "after writes");
}

/* Of RAX only AL or AX changes; EAX clears the upper half. */
static void test_width(void)
{
    u64 rax = 0x1122334455667788;

    asm volatile("inb %w1, %b0" : "+a"(rax) : "d"(UNCLAIMED));
    expect_equal(rax, 0x11223344556677ff, "RAX after INB");
    asm volatile("inw %w1, %w0" : "+a"(rax) : "d"(UNCLAIMED));
    expect_equal(rax, 0x112233445566ffff, "RAX after INW");
    asm volatile("inl %w1, %k0" : "+a"(rax) : "d"(UNCLAIMED));
    expect_equal(rax, 0xffffffff, "RAX after INL");
}

static void test_immediate(void)
{
    u8 v = 0;

    asm volatile("inb $0xe0, %0; outb %0, $0xe0" : "+a"(v));
    expect_equal(v, 0xff, "INB with an immediate port");
}

static void test_scratch(void)
{
    for (u32 v = 0; v < 256; v++) {
        outb(COM1_SCR, (u8)v);
        expect_equal(inb(COM1_SCR), v, "scratch register of the serial port");
    }
}

static void wait_for_empty(void)
{
    for (u32 i = 0; i < 100000 && !(inb(COM1_LSR) & 0x20); i++)
        cpu_pause();
}

static void test_string_out(void)
{
    static const char text[] = "smoke: OUTSB\r\n";
    const char *p = text;
    u64 n = sizeof(text) - 1;

    wait_for_empty();
    asm volatile("rep outsb" : "+S"(p), "+c"(n) : "d"(COM1) : "memory");
    expect(n == 0 && p == text + sizeof(text) - 1, "RCX %llu, RSI at +%d", (ull)n, (int)(p - text));
    wait_for_empty();
}

static void test_string_in(void)
{
    u8 buffer[24];
    u32 *p = (u32 *)buffer;
    u8 *b = buffer + 20;
    u64 n = 3;

    memset(buffer, 0, sizeof(buffer));
    asm volatile("rep insl" : "+D"(p), "+c"(n) : "d"(UNCLAIMED) : "memory");
    expect(n == 0 && (u8 *)p == buffer + 12, "RCX %llu, RDI at +%d", (ull)n, (int)((u8 *)p - buffer));
    for (u32 i = 0; i < sizeof(buffer); i++)
        expect(buffer[i] == (i < 12 ? 0xff : 0), "byte %u is 0x%x", i, buffer[i]);
    n = 4;
    asm volatile("std; rep insb; cld" : "+D"(b), "+c"(n) : "d"(UNCLAIMED) : "memory");
    expect(n == 0 && b == buffer + 16, "backwards: RCX %llu, RDI at +%d", (ull)n, (int)(b - buffer));
    for (u32 i = 12; i < sizeof(buffer); i++)
        expect(buffer[i] == (i >= 17 && i <= 20 ? 0xff : 0), "backwards: byte %u is 0x%x", i, buffer[i]);
    b = buffer + 22;
    asm volatile("rep insb" : "+D"(b), "+c"(n) : "d"(UNCLAIMED) : "memory");
    expect(n == 0 && b == buffer + 22 && buffer[22] == 0, "RCX 0 did something");
}

/* The buffer of a string instruction is not mapped: #PF, with the registers as before the instruction. */
DEFINE_ATTEMPT(insb_unmapped, asm volatile("insb" ::"D"(GiB(600)), "d"(UNCLAIMED) : "memory"))

static void test_string_fault(void)
{
    expect_vector(X_PF, insb_unmapped, NULL, "INSB to unmapped memory");
    expect_equal(last_trap.cr2, GiB(600), "CR2");
    expect_equal(last_trap.error, 2, "error code");
}

const struct smoke_test port_tests[] = {
    {"port-unclaimed", test_unclaimed},       {"port-width", test_width},
    {"port-immediate", test_immediate},       {"port-scratch", test_scratch},
    {"port-string-out", test_string_out},     {"port-string-in", test_string_in},
    {"port-string-fault", test_string_fault}, {NULL, NULL},
};
