/* SPDX-License-Identifier: MIT */
/* links: vmm/emulate.c vmm/emulate_alu.c vmm/emulate_string.c vmm/emulate_wide.c */
/* links: arch/x86/decode.c arch/x86/decode_table.c tests/unit/fake_vcpu.c */
/*
 * The emulator against the CPU that runs the test: the same generated 64-bit instruction is executed on the
 * host and emulated on a copy of its memory; registers, flags and memory must be equal.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <cmocka.h>
#include <cpuid.h>

#include "arch/x86/regs.h"
#include "tests/unit/fake_vcpu.h"
#include "vmm/emulate.h"

/* Addresses that 32-bit addressing reaches too. */
#define CODE      0x10000000ull
#define DATA      0x10010000ull
#define DATA_SIZE 0x4000ull
#define MIDDLE    (DATA + DATA_SIZE / 2)
#define ROUNDS    600000

struct state {
    u64 gpr[16];
    u64 rflags;
    u64 vector[16][4]; /* the upper halves count only with AVX */
    u64 mmx[8];
};

bool host_avx;

/* Loads the registers, jumps to code, and saves them where the code jumps back to host_return. */
void host_run(struct state *s, u64 code);
extern const char host_return[];
__asm__(
    ".pushsection .bss\n"
    ".balign 8\n"
    "host_rsp: .skip 8\n"
    "host_state: .skip 8\n"
    "host_code: .skip 8\n"
    "host_rdi: .skip 8\n"
    ".popsection\n"
    ".globl host_run, host_return\n"
    "host_run:\n"
    "push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
    "mov %rsp, host_rsp(%rip); mov %rdi, host_state(%rip); mov %rsi, host_code(%rip)\n"
    "cmpb $0, host_avx(%rip); je 1f\n"
    ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15\n vmovups 136+32*\\n(%rdi), %ymm\\n\n .endr\n"
    "jmp 2f\n"
    "1: .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15\n movups 136+32*\\n(%rdi), %xmm\\n\n .endr\n"
    "2: .irp n, 0, 1, 2, 3, 4, 5, 6, 7\n movq 648+8*\\n(%rdi), %mm\\n\n .endr\n"
    "pushq 128(%rdi); popfq\n"
    "mov 0(%rdi), %rax; mov 8(%rdi), %rcx; mov 16(%rdi), %rdx; mov 24(%rdi), %rbx; mov 32(%rdi), %rsp\n"
    "mov 40(%rdi), %rbp; mov 48(%rdi), %rsi; mov 64(%rdi), %r8; mov 72(%rdi), %r9; mov 80(%rdi), %r10\n"
    "mov 88(%rdi), %r11; mov 96(%rdi), %r12; mov 104(%rdi), %r13; mov 112(%rdi), %r14; mov 120(%rdi), %r15\n"
    "mov 56(%rdi), %rdi\n"
    "jmp *host_code(%rip)\n"
    "host_return:\n"
    "mov %rdi, host_rdi(%rip); mov host_state(%rip), %rdi\n"
    "mov %rax, 0(%rdi); mov %rcx, 8(%rdi); mov %rdx, 16(%rdi); mov %rbx, 24(%rdi); mov %rsp, 32(%rdi)\n"
    "mov %rbp, 40(%rdi); mov %rsi, 48(%rdi); mov %r8, 64(%rdi); mov %r9, 72(%rdi); mov %r10, 80(%rdi)\n"
    "mov %r11, 88(%rdi); mov %r12, 96(%rdi); mov %r13, 104(%rdi); mov %r14, 112(%rdi); mov %r15, 120(%rdi)\n"
    "mov host_rdi(%rip), %rax; mov %rax, 56(%rdi)\n"
    "mov host_rsp(%rip), %rsp\n"
    "pushfq; popq 128(%rdi); cld\n"
    "cmpb $0, host_avx(%rip); je 1f\n"
    ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15\n vmovups %ymm\\n, 136+32*\\n(%rdi)\n .endr\n"
    "vzeroupper; jmp 2f\n"
    "1: .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15\n movups %xmm\\n, 136+32*\\n(%rdi)\n .endr\n"
    "2: .irp n, 0, 1, 2, 3, 4, 5, 6, 7\n movq %mm\\n, 648+8*\\n(%rdi)\n .endr\n"
    "emms\n"
    "pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
    "ret\n");

/* The emulated side: the registers are the fake vCPU's. */
static u8 shadow[DATA_SIZE];

static enum emu_result translate(void *ctx, gva_t gva, u32 size, bool write, struct emu_access *out,
                                 struct emu_fault *fault)
{
    (void)ctx, (void)write, (void)fault;
    assert_in_range(gva, DATA, DATA + DATA_SIZE - size);
    *out = (struct emu_access){{gva}, {size, 0}};
    return EMU_OK;
}

static u64 load(void *ctx, const struct emu_access *a)
{
    u64 value = 0;

    (void)ctx;
    memcpy(&value, shadow + (a->gpa[0] - DATA), a->size[0]);
    return value;
}

static void store(void *ctx, const struct emu_access *a, u64 value)
{
    (void)ctx;
    memcpy(shadow + (a->gpa[0] - DATA), &value, a->size[0]);
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

static u64 seed = 42;

static u32 next_random(void)
{
    seed = seed * 6364136223846793005ull + 1442695040888963407ull;
    return seed >> 33;
}

/* Values where something happens, besides any. */
static u64 random_value(void)
{
    static const u64 edges[] = {0,      1,          0x7f,       0x80,  0xff,    0x7fff,
                                0x8000, 0x7fffffff, 0x80000000, ~0ull, BIT(63), BIT(63) - 1};

    if (next_random() % 3)
        return (u64)next_random() << 40 ^ (u64)next_random() << 20 ^ next_random();
    return edges[next_random() % ARRAY_SIZE(edges)];
}

static const u8 one_byte[] = {
    0x00, 0x01, 0x02, 0x03, 0x08, 0x09, 0x0a, 0x0b, 0x10, 0x11, 0x12, 0x13, 0x18, 0x19, 0x1a,
    0x1b, 0x20, 0x21, 0x22, 0x23, 0x28, 0x29, 0x2a, 0x2b, 0x30, 0x31, 0x32, 0x33, 0x38, 0x39,
    0x3a, 0x3b, 0x63, 0x80, 0x81, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8b, 0x8f,
    0xa4, 0xa5, 0xa6, 0xa7, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf, 0xc0, 0xc1, 0xd0, 0xd1, 0xd2,
    0xd3, 0xc6, 0xc7, 0x69, 0x6b, 0xf6, 0xf7, 0xfe, 0xff, 0xa0, 0xa1, 0xa2, 0xa3,
};
static const u8 two_byte[] = {0xa3, 0xab, 0xb0, 0xb1, 0xb3, 0xb6, 0xb7, 0xba, 0xbb, 0xbe,
                              0xbf, 0xc0, 0xc1, 0xc3, 0xc7, 0x40, 0x4f, 0x90, 0x9f, 0xa4,
                              0xa5, 0xac, 0xad, 0xae, 0xaf, 0xb8, 0xbc, 0xbd};
static const u8 vector[] = {0x10, 0x11, 0x12, 0x13, 0x16, 0x17, 0x28, 0x29,
                            0x2b, 0x6e, 0x6f, 0x7e, 0x7f, 0xd6, 0xe7, 0xf0};

/* Can the host be asked? Without these features it takes TZCNT for BSF and LZCNT for BSR, for example. */
static bool host_has(const struct insn *insn, const u8 *bytes)
{
    switch (insn->op) {
    case OP_TZCNT:
        return __builtin_cpu_supports("bmi");
    case OP_LZCNT:
        return __builtin_cpu_supports("lzcnt");
    case OP_POPCNT:
        return __builtin_cpu_supports("popcnt");
    case OP_CLFLUSH: /* CLFLUSHOPT, CLWB */
        return !memchr(bytes, 0x66, insn->length);
    default:
        return true;
    }
}

static bool has_movbe(void)
{
    u32 a, b, c, d;

    return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_MOVBE);
}

static u8 two_byte_opcode(void)
{
    u32 r = next_random();

    if (r % 4 == 0)
        return (r & 8 ? 0x40 : 0x90) + (r >> 8) % 16;
    return r % 4 == 1 ? vector[(r >> 8) % ARRAY_SIZE(vector)] : two_byte[(r >> 8) % ARRAY_SIZE(two_byte)];
}

/* The prefix and the opcode, mostly of good ones. */
static u32 generate_vex(u8 *bytes)
{
    bool three = next_random() % 2, other_map = three && next_random() % 8 == 0;
    u32 n = 0;

    bytes[n++] = three ? 0xc4 : 0xc5;
    if (three)
        bytes[n++] = next_random() % 8 << 5 | (other_map ? 2 : 1);
    bytes[n++] = 0x78 | next_random() % 8 | next_random() % 2 << 7;
    bytes[n++] = other_map ? 0x2a : vector[next_random() % ARRAY_SIZE(vector)];
    return n;
}

static u32 generate_prefixes(u8 *bytes)
{
    u32 n = 0;

    if (next_random() % 4 == 0)
        bytes[n++] = 0x66;
    if (next_random() % 6 == 0)
        bytes[n++] = 0x67;
    if (next_random() % 6 == 0)
        bytes[n++] = next_random() % 2 ? 0xf2 : 0xf3;
    if (next_random() % 8 == 0)
        bytes[n++] = next_random() % 2 ? 0xf0 : 0x65;
    if (next_random() % 2)
        bytes[n++] = 0x40 | next_random() % 16;
    return n;
}

/* Bytes of an instruction; those after ModRM are random. Returns where ModRM (or what follows the opcode) is.
 */
static u32 generate(u8 *bytes, bool movbe)
{
    u32 n = 0, kind = next_random() % 10;

    if (kind == 9 && host_avx) {
        n = generate_vex(bytes);
    } else {
        n = generate_prefixes(bytes);
        if (kind > 3) {
            bytes[n++] = one_byte[next_random() % ARRAY_SIZE(one_byte)];
        } else {
            bytes[n++] = 0x0f;
            if (kind == 0 && movbe)
                bytes[n++] = 0x38;
            bytes[n] = kind == 0 && movbe ? 0xf0 + next_random() % 2 : two_byte_opcode();
            n++;
        }
    }
    for (u32 i = n; i < 16; i++)
        bytes[i] = next_random();
    return n;
}

/* Chooses registers and displacement so that the operand is near the middle of the data. False: that cannot
 * be. */
static bool aim(struct insn *insn, u8 *bytes, u32 modrm, struct state *s)
{
    bool aligned = (insn->prefixes & INSN_ALIGN) || insn->op == OP_CMPXCHG8B;
    u64 target = MIDDLE + next_random() % 256 / (aligned ? 32 : 1) * (aligned ? 32 : 1), index = 0;
    u32 disp_at = modrm + 1 + ((bytes[modrm] & 7) == 4);
    s32 disp;

    if (insn->form == FORM_ACC_MEM || insn->form == FORM_MEM_ACC) {
        memcpy(bytes + modrm, &target, insn->addr_size);
        return true;
    }
    if (insn->index != REG_NONE) {
        if (insn->index == insn->base || insn->index == REG_RSP)
            return false;
        s->gpr[insn->index] = next_random() % 64;
        if (insn->addr_size == 4)
            s->gpr[insn->index] |= (u64)next_random() << 32;
        index = s->gpr[insn->index] << insn->scale;
    }
    if (insn->base != REG_NONE) {
        s->gpr[insn->base] = target - index - insn->disp;
        if (insn->base == REG_RSP) /* PUSH and POP use all of it */
            s->gpr[REG_RSP] &= emu_size_mask(insn->addr_size);
        if ((insn->op == OP_POP || insn->op == OP_PUSH) && insn->base == REG_RSP)
            return (s64)(insn->disp + index) > -4096 && (s64)(insn->disp + index) < 4096;
        return true;
    }
    disp = target - (u32)index - (insn->rip_relative ? CODE + insn->length : 0);
    if (insn->index != REG_NONE && insn->addr_size == 8 && (s64)index + disp != (s64)target)
        return false;
    memcpy(bytes + disp_at, &disp, 4);
    return true;
}

static void random_state(const struct insn *insn, struct state *s)
{
    for (u32 i = 0; i < 16; i++)
        s->gpr[i] = random_value();
    for (u32 i = 0; i < 64; i++)
        s->vector[i / 4][i % 4] = host_avx || i % 4 < 2 ? random_value() : 0;
    for (u32 i = 0; i < 8; i++)
        s->mmx[i] = random_value();
    s->gpr[REG_RSP] = MIDDLE + 0x400 + next_random() % 64;
    s->rflags =
        RFLAGS_FIXED | RFLAGS_IF |
        (next_random() & (RFLAGS_CF | RFLAGS_PF | RFLAGS_AF | RFLAGS_ZF | RFLAGS_SF | RFLAGS_OF | RFLAGS_DF));
    if (insn->form == FORM_STRING) {
        u64 high = insn->addr_size == 4 ? (u64)next_random() << 32 : 0;

        s->gpr[REG_RSI] = high | (MIDDLE + next_random() % 256);
        s->gpr[REG_RDI] = high | (MIDDLE + next_random() % 256);
        s->gpr[REG_RCX] = high | next_random() % 40;
    }
    if (insn->op >= OP_BT && insn->op <= OP_BTC && insn->form == FORM_RM_REG)
        s->gpr[insn->reg] = (s64)(s32)(next_random() % 16384) - 8192;
}

static u32 shift_count(const struct insn *insn, const struct state *before)
{
    bool cl = insn->form == FORM_RM_CL || insn->form == FORM_RM_REG_CL;

    return (cl ? before->gpr[REG_RCX] : insn->imm) & (insn->size == 8 ? 63 : 31);
}

/* What the SDM leaves undefined. */
static u64 undefined_after_shift(const struct insn *insn, const struct state *before)
{
    u32 count = shift_count(insn, before);
    u64 flags = 0;

    if (!count)
        return 0;
    if (count != 1)
        flags |= RFLAGS_OF;
    if (insn->op >= OP_SHL)
        flags |= RFLAGS_AF;
    if ((insn->op == OP_SHL || insn->op == OP_SHR) && count >= 8u * insn->size)
        flags |= RFLAGS_CF;
    return flags;
}

/* Does the SDM leave the result undefined? */
static bool is_undefined(const struct insn *insn, const struct state *before, const struct state *host)
{
    if (insn->op == OP_SHLD || insn->op == OP_SHRD)
        return insn->size == 2 && shift_count(insn, before) > 16;
    return (insn->op == OP_BSF || insn->op == OP_BSR) && (host->rflags & RFLAGS_ZF);
}

static u64 undefined_flags(const struct insn *insn, const struct state *before)
{
    switch (insn->op) {
    case OP_AND:
    case OP_OR:
    case OP_XOR:
    case OP_TEST:
        return RFLAGS_AF;
    case OP_BT:
    case OP_BTS:
    case OP_BTR:
    case OP_BTC:
        return RFLAGS_OF | RFLAGS_SF | RFLAGS_AF | RFLAGS_PF;
    case OP_SHLD:
    case OP_SHRD:
        return RFLAGS_AF | (shift_count(insn, before) == 1 ? 0 : RFLAGS_OF);
    case OP_MUL:
    case OP_IMUL:
        return RFLAGS_SF | RFLAGS_ZF | RFLAGS_AF | RFLAGS_PF;
    case OP_BSF:
    case OP_BSR:
        return RFLAGS_CF | RFLAGS_OF | RFLAGS_SF | RFLAGS_AF | RFLAGS_PF;
    case OP_TZCNT:
    case OP_LZCNT:
        return RFLAGS_OF | RFLAGS_SF | RFLAGS_AF | RFLAGS_PF;
    case OP_ROL ... OP_SAR:
        return undefined_after_shift(insn, before);
    default:
        return 0;
    }
}

static void compare(const struct insn *insn, const u8 *bytes, const struct state *before,
                    const struct state *host)
{
    u64 mask = ~undefined_flags(insn, before);
    char text[64] = "";

    for (u32 i = 0; i < insn->length; i++)
        sprintf(text + 3 * i, "%02x ", bytes[i]);
    for (u32 i = 0; i < 16; i++)
        if (host->gpr[i] != fake.gpr[i])
            fail_msg("%s%s: register %u was %lx, host %lx, emulated %lx", text, insn_op_name(insn->op), i,
                     before->gpr[i], host->gpr[i], fake.gpr[i]);
    if ((host->rflags ^ fake.rflags) & mask)
        fail_msg("%s%s: rflags were %lx, host %lx, emulated %lx", text, insn_op_name(insn->op),
                 before->rflags, host->rflags, fake.rflags);
    if (memcmp(host->vector, fake.vector_reg, sizeof(fake.vector_reg)) ||
        memcmp(host->mmx, fake.mmx_reg, sizeof(fake.mmx_reg)))
        fail_msg("%s%s: vector registers differ", text, insn_op_name(insn->op));
    if (memcmp((void *)DATA, shadow, DATA_SIZE))
        fail_msg("%s%s: memory differs", text, insn_op_name(insn->op));
}

static void give(const struct state *s)
{
    memcpy(fake.gpr, s->gpr, sizeof(fake.gpr));
    memcpy(fake.vector_reg, s->vector, sizeof(fake.vector_reg));
    memcpy(fake.mmx_reg, s->mmx, sizeof(fake.mmx_reg));
    fake.rflags = s->rflags;
}

/* Emulates as often as a guest would come back. */
static void emulate(const struct insn *insn)
{
    struct emu e = {.ops = &ops, .vcpu = &fake, .mode = 8, .gva_bits = 48, .rip = CODE};
    u32 calls = 0;

    do {
        assert_int_equal(emu_run(&e, insn), EMU_OK);
        assert_true(++calls < 10);
    } while (e.rip == CODE);
    assert_int_equal(e.rip, CODE + insn->length);
}

static void map_low_memory(void)
{
    void *code = mmap((void *)CODE, 0x1000, PROT_READ | PROT_WRITE | PROT_EXEC,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    void *data = mmap((void *)DATA, DATA_SIZE, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

    assert_ptr_equal(code, (void *)CODE);
    assert_ptr_equal(data, (void *)DATA);
}

static void test_against_host(void **state)
{
    static const u8 jump[] = {0xff, 0x25, 0, 0, 0, 0}; /* jmp *(%rip) */
    const u8 *code = (const u8 *)CODE;
    u64 back = (u64)host_return;
    bool movbe = has_movbe();
    u32 count[INSN_NR_OPS] = {0};

    (void)state;
    host_avx = __builtin_cpu_supports("avx");
    map_low_memory();
    for (u64 i = 0; i < DATA_SIZE; i++)
        shadow[i] = next_random();
    memcpy((void *)DATA, shadow, DATA_SIZE);
    for (u32 round = 0; round < ROUNDS; round++) {
        u8 bytes[16];
        u32 modrm = generate(bytes, movbe);
        struct state before, host;
        struct insn insn;

        if (decode(&insn, bytes, 15, 8) || !(insn.mem || insn.form == FORM_STRING) || insn.segment == SEG_FS)
            continue;
        if (!host_has(&insn, bytes))
            continue;
        random_state(&insn, &before);
        if (insn.mem && !aim(&insn, bytes, modrm, &before))
            continue;
        /* The register with the bit number must have kept it. */
        if (insn.op >= OP_BT && insn.op <= OP_BTC && insn.form == FORM_RM_REG &&
            (insn.reg == insn.base || insn.reg == insn.index || insn.reg == REG_RSP))
            continue;
        if (insn.base != REG_RSP)
            before.gpr[REG_RSP] = MIDDLE + 0x400;
        assert_int_equal(decode(&insn, bytes, 15, 8), OK);
        /* Equal memory for CMPXCHG to succeed, now and then. */
        if ((insn.op == OP_CMPXCHG ||
             (insn.op == OP_CMPXCHG8B && insn.base != REG_RDX && insn.index != REG_RDX)) &&
            insn.base != REG_RAX && insn.index != REG_RAX && next_random() % 2) {
            before.gpr[REG_RAX] = 0;
            if (insn.op == OP_CMPXCHG8B)
                before.gpr[REG_RDX] = 0;
            memset((void *)MIDDLE, 0, 512);
            memset(shadow + (MIDDLE - DATA), 0, 512);
        }
        host = before;
        give(&before);
        memcpy((void *)CODE, bytes, insn.length);
        memcpy((void *)(CODE + insn.length), jump, sizeof(jump));
        memcpy((void *)(CODE + insn.length + sizeof(jump)), &back, 8);
        host_run(&host, CODE);
        if (is_undefined(&insn, &before, &host)) {
            memcpy(shadow, (void *)DATA, DATA_SIZE);
            continue;
        }
        emulate(&insn);
        compare(&insn, bytes, &before, &host);
        count[insn.op]++;
    }
    for (u32 op = OP_MOV; op < OP_INS; op++)
        if ((op != OP_MOVBE || movbe) && host_has(&(struct insn){.op = op}, code))
            assert_in_range(count[op], 100, ROUNDS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_against_host)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
