/* SPDX-License-Identifier: MIT */
/* links: vmm/emulate.c vmm/emulate_alu.c vmm/emulate_string.c vmm/emulate_wide.c */
/* links: arch/x86/decode.c arch/x86/decode_table.c tests/unit/fake_vcpu.c */
/* What cannot be tried on the host: 16-bit and 32-bit code, segmentation, faults, restarting. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86/regs.h"
#include "tests/unit/fake_vcpu.h"
#include "vmm/emulate.h"

#define MEMORY 0x4000u
#define DATA32 (SEG_AR_DB | 0x93)
#define DATA16 0x93u
#define RODATA (SEG_AR_DB | 0x91)
#define DOWN   (SEG_AR_DB | 0x97)
#define CODE32 (SEG_AR_DB | 0x9b)
#define XOCODE (SEG_AR_DB | 0x99)

static u8 memory[MEMORY];
static u32 accesses;
static gva_t no_page; /* the page at this address is not present */
static gva_t seen_gva;
static enum emu_result translate_result; /* EMU_OK: by the rules */

static enum emu_result translate(void *ctx, gva_t gva, u32 size, bool write, struct emu_access *out,
                                 struct emu_fault *fault)
{
    (void)ctx;
    seen_gva = gva;
    if (translate_result)
        return translate_result;
    if (gva / PAGE_SIZE == no_page / PAGE_SIZE || (gva + size - 1) / PAGE_SIZE == no_page / PAGE_SIZE) {
        *fault = (struct emu_fault){VEC_PF, write ? 2 : 0, no_page};
        return EMU_FAULT;
    }
    *out = (struct emu_access){{gva % MEMORY}, {size, 0}};
    return EMU_OK;
}

static u64 load(void *ctx, const struct emu_access *a)
{
    u64 value = 0;

    (void)ctx;
    accesses++;
    memcpy(&value, memory + a->gpa[0], a->size[0]);
    return value;
}

static void store(void *ctx, const struct emu_access *a, u64 value)
{
    (void)ctx;
    accesses++;
    memcpy(memory + a->gpa[0], &value, a->size[0]);
}

static enum emu_result vector_usable(void *ctx, enum emu_vector kind, struct emu_fault *fault)
{
    (void)kind, (void)fault;
    assert_null(ctx);
    return EMU_OK;
}

static const struct emu_ops ops = {
    .vector_usable = vector_usable,
    .translate = translate,
    .load = load,
    .store = store,
};

static struct emu start(u32 mode)
{
    memset(&fake, 0, sizeof(fake));
    memset(memory, 0, sizeof(memory));
    for (u32 i = 0; i < NR_SEGS; i++)
        fake.seg[i] = (struct segment){0, mode == 2 ? 0xffff : ~0u, mode == 2 ? DATA16 : DATA32};
    fake.rflags = RFLAGS_FIXED;
    accesses = 0;
    no_page = seen_gva = BIT(60);
    translate_result = EMU_OK;
    return (struct emu){.ops = &ops, .vcpu = &fake, .mode = mode, .gva_bits = 48, .rip = 0x100};
}

static enum emu_result run(struct emu *e, const u8 *bytes, u32 n)
{
    struct insn insn;

    assert_int_equal(decode(&insn, bytes, n, e->mode), OK);
    assert_int_equal(insn.length, n);
    return emu_run(e, &insn);
}

#define RUN(e, ...) run(e, (const u8[]){__VA_ARGS__}, sizeof((const u8[]){__VA_ARGS__}))

static void expect_fault(const struct emu *e, u32 vector)
{
    assert_int_equal(e->fault.vector, vector);
    assert_int_equal(e->fault.error_code, 0);
    assert_int_equal(e->rip, 0x100);
    assert_int_equal(accesses, 0);
}

static void test_16bit_addressing(void **state)
{
    struct emu e = start(2);

    (void)state;
    fake.gpr[REG_RBX] = 0xfff0;
    fake.gpr[REG_RSI] = 0xdead0020;
    fake.gpr[REG_RAX] = 0x1122334455667788;
    fake.seg[SEG_DS].base = 0x1000;
    /* mov [bx+si+4], ax: the offset wraps at 64 KiB */
    assert_int_equal(RUN(&e, 0x89, 0x40, 0x04), EMU_OK);
    assert_int_equal(seen_gva, 0x1014);
    assert_int_equal(memory[0x1014], 0x88);
    assert_int_equal(memory[0x1015], 0x77);
    assert_int_equal(memory[0x1016], 0);
    assert_int_equal(e.rip, 0x103);
    /* mov eax, ss:[bp] with the default segment */
    fake.seg[SEG_SS].base = 0x2000;
    fake.gpr[REG_RBP] = 0x10;
    memcpy(memory + 0x2010, "\x01\x02\x03\x04", 4);
    assert_int_equal(RUN(&e, 0x66, 0x8b, 0x46, 0x00), EMU_OK);
    assert_int_equal(fake.gpr[REG_RAX], 0x04030201);
    /* mov ah, es:[0x30] */
    fake.seg[SEG_ES].base = 0x3000;
    memory[0x3030] = 0x99;
    assert_int_equal(RUN(&e, 0x26, 0x8a, 0x26, 0x30, 0x00), EMU_OK);
    assert_int_equal(fake.gpr[REG_RAX], 0x04039901);
}

static void test_limits(void **state)
{
    static const struct {
        u32 limit, access;
        u64 offset; /* of 4 bytes */
        bool reads, writes;
    } row[] = {
        {0xfff, DATA32, 0xffc, true, true},
        {0xfff, DATA32, 0xffd, false, false},
        {0xfff, DATA32, 0x1000, false, false},
        {~0u, DATA32, 0xfffffffc, true, true},
        {~0u, DATA32, 0xfffffffd, false, false},
        {0xfff, RODATA, 0x10, true, false},
        {0xfff, CODE32, 0x10, true, false},
        {0xfff, XOCODE, 0x10, false, false},
        {0xfff, DATA32 | SEG_AR_UNUSABLE, 0x10, false, false},
        {0xfff, DOWN, 0x1000, true, true},
        {0xfff, DOWN, 0xfff, false, false},
        {0xfff, DOWN, 0xfffffffc, true, true},
        {0xfff, DOWN, 0xfffffffd, false, false},
        {0xfff, DOWN & ~SEG_AR_DB, 0xfffc, true, true},
        {0xfff, DOWN & ~SEG_AR_DB, 0xfffd, false, false},
        {0xfff, CODE32 | SEG_TYPE_DOWN, 0x10, true, false}, /* conforming: that bit means another thing */
    };

    (void)state;
    for (u32 i = 0; i < ARRAY_SIZE(row); i++) {
        struct emu e = start(4);

        fake.seg[SEG_DS] = fake.seg[SEG_SS] = (struct segment){0x300, row[i].limit, row[i].access};
        fake.gpr[REG_RCX] = fake.gpr[REG_RBP] = row[i].offset;
        if (row[i].reads) {
            assert_int_equal(RUN(&e, 0x8b, 0x01), EMU_OK); /* mov eax, [ecx] */
            assert_int_equal(seen_gva, (u32)(0x300 + row[i].offset));
        } else {
            assert_int_equal(RUN(&e, 0x8b, 0x01), EMU_FAULT);
            expect_fault(&e, VEC_GP);
        }
        e.rip = 0x100;
        accesses = 0;
        if (row[i].writes) {
            assert_int_equal(RUN(&e, 0x89, 0x45, 0x00), EMU_OK); /* mov [ebp], eax */
        } else {
            assert_int_equal(RUN(&e, 0x89, 0x45, 0x00), EMU_FAULT);
            expect_fault(&e, VEC_SS);
        }
    }
}

static void test_real_mode_has_no_types(void **state)
{
    struct emu e = start(2);

    (void)state;
    e.real = true;
    fake.seg[SEG_CS] = (struct segment){0, 0xffff, 0x9b};
    assert_int_equal(RUN(&e, 0x2e, 0xa2, 0x10, 0x00), EMU_OK); /* mov cs:[0x10], al */
    fake.gpr[REG_RBX] = 0xffff;
    e.rip = 0x100;
    accesses = 0;
    assert_int_equal(RUN(&e, 0x89, 0x07), EMU_FAULT); /* mov [bx], ax */
    expect_fault(&e, VEC_GP);
}

static void test_canonical(void **state)
{
    static const struct {
        u64 address;
        u32 bits;
        bool good;
    } row[] = {
        {0x00007ffffffffff8, 48, true}, {0x00007ffffffffff9, 48, false}, {0x0000800000000000, 48, false},
        {0xffff800000000000, 48, true}, {0xffff7fffffffffff, 48, false}, {0x0000800000000000, 57, true},
        {0x00fffffffffffff8, 57, true}, {0x00fffffffffffffc, 57, false}, {0xff00000000000000, 57, true},
        {0xfffffffffffffff8, 48, true},
    };

    (void)state;
    for (u32 i = 0; i < ARRAY_SIZE(row); i++) {
        for (u32 stack = 0; stack < 2; stack++) {
            struct emu e = start(8);
            u8 bytes[] = {0x48, 0x8b, stack ? 0x45 : 0x41, 0x00}; /* mov rax, [rbp] or [rcx] */

            fake.seg[SEG_DS].access = fake.seg[SEG_DS].limit = 0; /* not looked at */
            e.gva_bits = row[i].bits;
            fake.gpr[REG_RCX] = fake.gpr[REG_RBP] = row[i].address;
            assert_int_equal(run(&e, bytes, 4), row[i].good ? EMU_OK : EMU_FAULT);
            if (!row[i].good)
                expect_fault(&e, stack ? VEC_SS : VEC_GP);
            else
                assert_int_equal(seen_gva, row[i].address);
        }
    }
}

static void test_fs_and_gs_base(void **state)
{
    struct emu e = start(8);

    (void)state;
    fake.seg[SEG_GS].base = 0xffff888000001000;
    fake.seg[SEG_DS].base = 0x5000;                                           /* ignored */
    assert_int_equal(RUN(&e, 0x65, 0x8b, 0x04, 0x25, 0x40, 0, 0, 0), EMU_OK); /* mov eax, gs:[0x40] */
    assert_int_equal(seen_gva, 0xffff888000001040);
    assert_int_equal(RUN(&e, 0x8b, 0x04, 0x25, 0x40, 0, 0, 0), EMU_OK);
    assert_int_equal(seen_gva, 0x40);
    /* 32-bit addresses are cut before the base is added. */
    fake.gpr[REG_RCX] = 0xfffffffff0;
    assert_int_equal(RUN(&e, 0x65, 0x67, 0x8b, 0x41, 0x20), EMU_OK); /* mov eax, gs:[ecx+0x20] */
    assert_int_equal(seen_gva, 0xffff888000001010);
    /* RIP-relative: from the next instruction */
    e.rip = 0x1234;
    assert_int_equal(RUN(&e, 0xc6, 0x05, 0x10, 0, 0, 0, 0x55), EMU_OK); /* mov byte [rip+0x10], 0x55 */
    assert_int_equal(seen_gva, 0x1234 + 7 + 0x10);
    assert_int_equal(e.rip, 0x123b);
}

/* Nothing may have changed when an access faults or is to be tried again. */
static void test_fault_changes_nothing(void **state)
{
    static const struct {
        u32 n;
        u8 bytes[8];
    } row[] = {
        {2, {0x8b, 0x01}},             /* mov eax, [ecx] */
        {2, {0x89, 0x01}},             /* mov [ecx], eax */
        {2, {0x01, 0x01}},             /* add [ecx], eax */
        {2, {0x03, 0x01}},             /* add eax, [ecx] */
        {2, {0x39, 0x01}},             /* cmp [ecx], eax */
        {2, {0xff, 0x01}},             /* inc [ecx] */
        {2, {0x87, 0x01}},             /* xchg [ecx], eax */
        {3, {0x0f, 0xc1, 0x01}},       /* xadd [ecx], eax */
        {3, {0x0f, 0xb1, 0x01}},       /* cmpxchg [ecx], eax */
        {3, {0x0f, 0xab, 0x01}},       /* bts [ecx], eax */
        {2, {0xff, 0x31}},             /* push [ecx] */
        {2, {0x8f, 0x01}},             /* pop [ecx] */
        {1, {0xa5}},                   /* movs */
        {2, {0xf3, 0xab}},             /* rep stos */
        {2, {0xf3, 0xa7}},             /* repe cmps */
        {4, {0x0f, 0x38, 0xf0, 0x01}}, /* movbe eax, [ecx] */
        {3, {0xc1, 0x21, 0x03}},       /* shl [ecx], 3 */
        {4, {0x0f, 0xa4, 0x01, 0x03}}, /* shld [ecx], eax, 3 */
        {3, {0x6b, 0x01, 0x03}},       /* imul eax, [ecx], 3 */
        {2, {0xf7, 0x21}},             /* mul [ecx] */
        {3, {0x0f, 0xbc, 0x01}},       /* bsf eax, [ecx] */
        {4, {0x0f, 0xae, 0x79, 0x02}}, /* clflush [ecx+2] */
        {3, {0x0f, 0x16, 0x01}},       /* movhps xmm0, [ecx] */
        {3, {0x0f, 0x6f, 0x01}},       /* movq mm0, [ecx] */
        {4, {0x0f, 0x90, 0x41, 0x02}}, /* seto [ecx+2] */
        {3, {0x0f, 0x42, 0x01}},       /* cmovb eax, [ecx] */
        {3, {0x0f, 0xc7, 0x09}},       /* cmpxchg8b [ecx] */
        {3, {0x0f, 0x10, 0x01}},       /* movups xmm0, [ecx] */
        {3, {0x0f, 0x11, 0x01}},       /* movups [ecx], xmm0 */
    };

    (void)state;
    for (u32 i = 0; i < ARRAY_SIZE(row); i++) {
        for (u32 result = EMU_FAULT; result <= EMU_UNSUPP; result++) {
            struct emu e = start(4);
            u64 before[16];

            for (u32 n = 0; n < 16; n++)
                fake.gpr[n] = before[n] = 0x1ffe;
            no_page = 0x2000;
            if (result != EMU_FAULT)
                translate_result = result;
            fake.rflags = RFLAGS_FIXED | RFLAGS_CF | RFLAGS_AF;
            assert_int_equal(run(&e, row[i].bytes, row[i].n), result);
            assert_int_equal(e.rip, 0x100);
            assert_int_equal(fake.rflags, RFLAGS_FIXED | RFLAGS_CF | RFLAGS_AF);
            assert_memory_equal(fake.gpr, before, sizeof(fake.gpr));
            assert_int_equal(accesses, 0);
            if (result == EMU_FAULT)
                assert_int_equal(e.fault.cr2, 0x2000);
        }
    }
}

/* PUSH and POP with one good and one bad side: the stack pointer stays. */
static void test_stack_faults(void **state)
{
    struct emu e = start(4);

    (void)state;
    no_page = 0x2000;
    fake.gpr[REG_RCX] = 0x800;
    fake.gpr[REG_RSP] = 0x2002;
    assert_int_equal(RUN(&e, 0xff, 0x31), EMU_FAULT);
    assert_int_equal(e.fault.error_code, 2);
    assert_int_equal(fake.gpr[REG_RSP], 0x2002);
    assert_int_equal(RUN(&e, 0x8f, 0x01), EMU_FAULT);
    assert_int_equal(e.fault.error_code, 0);
    assert_int_equal(fake.gpr[REG_RSP], 0x2002);
    /* A 16-bit stack in 32-bit code wraps, and the upper half of ESP stays. */
    fake.seg[SEG_SS].access = DATA16;
    fake.gpr[REG_RSP] = 0xabcd0002;
    memory[0x800] = 0x77;
    assert_int_equal(RUN(&e, 0x66, 0xff, 0x31), EMU_OK);
    assert_int_equal(fake.gpr[REG_RSP], 0xabcd0000);
    assert_int_equal(memory[0], 0x77);
    assert_int_equal(RUN(&e, 0x66, 0xff, 0x31), EMU_OK);
    assert_int_equal(fake.gpr[REG_RSP], 0xabcdfffe);
    assert_int_equal(RUN(&e, 0x66, 0x8f, 0x01), EMU_OK);
    assert_int_equal(fake.gpr[REG_RSP], 0xabcd0000);
}

static void test_rep(void **state)
{
    struct emu e = start(8);

    (void)state;
    /* rep stosd over more items than one call does */
    fake.gpr[REG_RAX] = 0xa1b2c3d4;
    fake.gpr[REG_RCX] = EMU_REP_MAX + 10;
    fake.gpr[REG_RDI] = 0x100;
    assert_int_equal(RUN(&e, 0xf3, 0xab), EMU_OK);
    assert_int_equal(e.rip, 0x100);
    assert_int_equal(fake.gpr[REG_RCX], 10);
    assert_int_equal(fake.gpr[REG_RDI], 0x100 + 4 * EMU_REP_MAX);
    assert_int_equal(RUN(&e, 0xf3, 0xab), EMU_OK);
    assert_int_equal(e.rip, 0x102);
    assert_int_equal(fake.gpr[REG_RCX], 0);
    assert_int_equal(accesses, EMU_REP_MAX + 10);
    for (u32 i = 0; i < EMU_REP_MAX + 10; i++)
        assert_memory_equal(memory + 0x100 + 4 * i, "\xd4\xc3\xb2\xa1", 4);
    assert_int_equal(memory[0x100 + 4 * (EMU_REP_MAX + 10)], 0);

    /* Exactly as many as one call does. */
    e = start(8);
    fake.gpr[REG_RCX] = EMU_REP_MAX;
    assert_int_equal(RUN(&e, 0xf3, 0xaa), EMU_OK);
    assert_int_equal(e.rip, 0x102);

    /* A count of 0 does nothing. */
    e = start(8);
    assert_int_equal(RUN(&e, 0xf3, 0xa4), EMU_OK);
    assert_int_equal(e.rip, 0x102);
    assert_int_equal(accesses, 0);

    /* One item with TF; the instruction is over with the last one. */
    e = start(8);
    fake.rflags |= RFLAGS_TF;
    fake.gpr[REG_RCX] = 2;
    assert_int_equal(RUN(&e, 0xf3, 0xa4), EMU_OK);
    assert_int_equal(e.rip, 0x100);
    assert_int_equal(RUN(&e, 0xf3, 0xa4), EMU_OK);
    assert_int_equal(e.rip, 0x102);
}

static void test_rep_fault_in_the_middle(void **state)
{
    struct emu e = start(8);

    (void)state;
    no_page = 0x2000;
    fake.gpr[REG_RSI] = 0x1004;
    fake.gpr[REG_RDI] = 0x1ffc;
    fake.gpr[REG_RCX] = 5;
    fake.rflags |= RFLAGS_DF;
    fake.seg[SEG_ES].base = 0x7777;                /* ignored in 64-bit mode */
    assert_int_equal(RUN(&e, 0xf3, 0xa5), EMU_OK); /* downwards, away from the hole */
    assert_int_equal(fake.gpr[REG_RDI], 0x1ffc - 5 * 4);
    assert_int_equal(fake.gpr[REG_RSI], 0x1004 - 5 * 4);

    e = start(8);
    no_page = 0x2000;
    fake.gpr[REG_RSI] = 0x1000;
    fake.gpr[REG_RDI] = 0x1ff8;
    fake.gpr[REG_RCX] = 5;
    assert_int_equal(RUN(&e, 0xf3, 0xa5), EMU_FAULT);
    assert_int_equal(e.rip, 0x100);
    assert_int_equal(fake.gpr[REG_RCX], 3);
    assert_int_equal(fake.gpr[REG_RSI], 0x1008);
    assert_int_equal(fake.gpr[REG_RDI], 0x2000);
    assert_int_equal(e.fault.error_code, 2);
    no_page = BIT(60);
    assert_int_equal(RUN(&e, 0xf3, 0xa5), EMU_OK);
    assert_int_equal(e.rip, 0x102);
}

static void test_string_16bit(void **state)
{
    struct emu e = start(2);

    (void)state;
    fake.seg[SEG_FS].base = 0x1000;
    fake.seg[SEG_ES].base = 0x2000;
    fake.gpr[REG_RDI] = 0xbbbb00000001;
    fake.gpr[REG_RCX] = 0xcccc00000002;
    fake.rflags |= RFLAGS_DF;
    fake.gpr[REG_RSI] = 0xaaaa00000001;
    memory[0x1001] = 0x11;
    memory[0x1000] = 0x22;
    assert_int_equal(RUN(&e, 0xf3, 0x64, 0xa4), EMU_OK); /* rep movsb es:[di], fs:[si] */
    assert_int_equal(memory[0x2001], 0x11);
    assert_int_equal(memory[0x2000], 0x22);
    assert_int_equal(fake.gpr[REG_RSI], 0xaaaa0000ffff);
    assert_int_equal(fake.gpr[REG_RDI], 0xbbbb0000ffff);
    assert_int_equal(fake.gpr[REG_RCX], 0xcccc00000000);
    assert_int_equal(e.rip, 0x103);
}

/* Halves of RAM and of a device: the parts of wide operands go where they belong. */
static void test_parts(void **state)
{
    const struct emu_access a = {{0x1ffb, 0x8000}, {5, 27}};
    struct emu_access part = emu_part(&a, 0, 8);

    (void)state;
    assert_memory_equal(&part, (&(struct emu_access){{0x1ffb, 0x8000}, {5, 3}}), sizeof(part));
    part = emu_part(&a, 8, 8);
    assert_int_equal(part.gpa[0], 0x8003);
    assert_int_equal(part.size[0], 8);
    assert_int_equal(part.size[1], 0);
    part = emu_part(&a, 24, 8);
    assert_int_equal(part.gpa[0], 0x8013);
    part = emu_part(&(struct emu_access){{0x100, 0}, {16, 0}}, 8, 8);
    assert_int_equal(part.gpa[0], 0x108);
    assert_int_equal(part.size[0], 8);
    assert_int_equal(part.size[1], 0);
}

static void test_alignment(void **state)
{
    struct emu e = start(8);

    (void)state;
    fake.gpr[REG_RCX] = 0x108;
    assert_int_equal(RUN(&e, 0x48, 0x0f, 0xc7, 0x09), EMU_FAULT); /* cmpxchg16b [rcx] */
    expect_fault(&e, VEC_GP);
    assert_int_equal(RUN(&e, 0xc5, 0xfc, 0x29, 0x01), EMU_FAULT); /* vmovaps [rcx], ymm0 */
    expect_fault(&e, VEC_GP);
    fake.gpr[REG_RCX] = 0x110;
    assert_int_equal(RUN(&e, 0xc5, 0xfc, 0x29, 0x01), EMU_FAULT);
    expect_fault(&e, VEC_GP);
    assert_int_equal(RUN(&e, 0xc5, 0xf8, 0x29, 0x01), EMU_OK); /* vmovaps [rcx], xmm0 */
    assert_int_equal(RUN(&e, 0xc5, 0xfc, 0x11, 0x01), EMU_OK); /* vmovups [rcx], ymm0 */
    assert_int_equal(accesses, 2 + 4);
}

/* What the host does not say: the undefined results are those of Intel's CPUs. */
static void test_undefined_results(void **state)
{
    struct emu e = start(4);

    (void)state;
    fake.gpr[REG_RCX] = 0x100;
    fake.gpr[REG_RAX] = 0x1234;
    assert_int_equal(RUN(&e, 0x0f, 0xbc, 0x01), EMU_OK); /* bsf eax, [ecx] */
    assert_int_equal(fake.gpr[REG_RAX], 0x1234);
    assert_true(fake.rflags & RFLAGS_ZF);
    memcpy(memory + 0x100, "\xcd\xab", 2);
    assert_int_equal(RUN(&e, 0x66, 0x0f, 0xa4, 0x01, 20), EMU_OK); /* shld [ecx], ax, 20 */
    assert_memory_equal(memory + 0x100, "\x4a\x23", 2);
    assert_true(fake.rflags & RFLAGS_CF);
    accesses = 0;
    assert_int_equal(RUN(&e, 0x0f, 0xae, 0x39), EMU_OK); /* clflush [ecx] touches nothing */
    assert_int_equal(accesses, 0);
}

static void test_unsupported(void **state)
{
    struct emu e = start(8);

    (void)state;
    assert_int_equal(RUN(&e, 0x89, 0xc8), EMU_UNSUPP); /* mov eax, ecx */
    assert_int_equal(RUN(&e, 0x6c), EMU_UNSUPP);       /* insb */
    assert_int_equal(RUN(&e, 0x6e), EMU_UNSUPP);       /* outsb */
    assert_int_equal(e.rip, 0x100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_16bit_addressing),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_real_mode_has_no_types),
        cmocka_unit_test(test_canonical),
        cmocka_unit_test(test_fs_and_gs_base),
        cmocka_unit_test(test_fault_changes_nothing),
        cmocka_unit_test(test_stack_faults),
        cmocka_unit_test(test_rep),
        cmocka_unit_test(test_rep_fault_in_the_middle),
        cmocka_unit_test(test_string_16bit),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_alignment),
        cmocka_unit_test(test_undefined_results),
        cmocka_unit_test(test_unsupported),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
