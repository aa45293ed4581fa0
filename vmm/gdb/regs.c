/* SPDX-License-Identifier: MIT */
/* Registers and memory of the thread that packets are about. */
#include "arch/x86/asm.h"
#include "arch/x86/vector.h"
#include "arch/x86/vmx.h"
#include "lib/string.h"
#include "vmm/gdb/stub.h"
#include "vmm/inspect.h"

/* SDM volume 1, 'Layout of the 64-bit Mode FXSAVE64 Map', as far as GDB has it. */
struct fxsave {
    u16 fcw, fsw;
    u8 ftw, reserved;
    u16 fop;
    u64 fip, fdp;
    u32 mxcsr, mxcsr_mask;
    u8 st[8][16], xmm[16][16];
    u8 rest[96];
} __aligned(16);
_Static_assert(sizeof(struct fxsave) == 512, "SDM");

/* Valid or empty, of two bits each. */
static u32 full_tags(u8 ftw)
{
    u32 tags = 0;

    for (u32 i = 0; i < 8; i++)
        tags |= (ftw >> i & 1 ? 0u : 3u) << (2 * i);
    return tags;
}

static u8 short_tags(u32 tags)
{
    u8 ftw = 0;

    for (u32 i = 0; i < 8; i++)
        ftw |= (u8)(((tags >> (2 * i) & 3) != 3) << i);
    return ftw;
}

static void pack_fpu(struct gdb_regs *r)
{
    struct fxsave f;

    vector_save(&f);
    for (u32 i = 0; i < 8; i++)
        memcpy(r->st[i], f.st[i], sizeof(r->st[i]));
    memcpy(r->xmm, f.xmm, sizeof(r->xmm));
    r->fctrl = f.fcw;
    r->fstat = f.fsw;
    r->ftag = full_tags(f.ftw);
    r->fioff = (u32)f.fip;
    r->fiseg = (u32)(f.fip >> 32);
    r->fooff = (u32)f.fdp;
    r->foseg = (u32)(f.fdp >> 32);
    r->fop = f.fop;
    r->mxcsr = f.mxcsr;
}

#define MXCSR_VALID 0xffffu

static void unpack_fpu(const struct gdb_regs *r)
{
    struct fxsave f;

    vector_save(&f);
    for (u32 i = 0; i < 8; i++)
        memcpy(f.st[i], r->st[i], sizeof(r->st[i]));
    memcpy(f.xmm, r->xmm, sizeof(f.xmm));
    f.fcw = (u16)r->fctrl;
    f.fsw = (u16)r->fstat;
    f.ftw = short_tags(r->ftag);
    f.fop = (u16)r->fop;
    f.fip = (u64)r->fiseg << 32 | r->fioff;
    f.fdp = (u64)r->foseg << 32 | r->fooff;
    f.mxcsr = r->mxcsr & MXCSR_VALID & (f.mxcsr_mask ? f.mxcsr_mask : 0xffbf);
    vector_load(&f);
}

/* GDB's numbers of the general registers. */
static const u8 gprs[] = {REG_RAX, REG_RBX, REG_RCX, REG_RDX, REG_RSI, REG_RDI, REG_RBP, REG_RSP,
                          8,       9,       10,      11,      12,      13,      14,      15};

static void pack(const struct inspect_regs *in, struct gdb_regs *out)
{
    static const u8 segments[] = {SEG_CS, SEG_SS, SEG_DS, SEG_ES, SEG_FS, SEG_GS};
    const u64 *r = in->r;
    u64 gpr[16];
    u32 selector[6];

    for (u32 i = 0; i < ARRAY_SIZE(gprs); i++)
        gpr[i] = r[IR_GPR + gprs[i]];
    memcpy(&out->rax, gpr, sizeof(gpr));
    for (u32 i = 0; i < ARRAY_SIZE(segments); i++)
        selector[i] = (u32)r[IR_SELECTOR + segments[i]];
    memcpy(&out->cs, selector, sizeof(selector));
    out->rip = r[IR_RIP];
    out->eflags = (u32)r[IR_RFLAGS];
    out->fs_base = r[IR_BASE + SEG_FS];
    out->gs_base = r[IR_BASE + SEG_GS];
    out->cr0 = r[IR_CR0];
    out->cr2 = r[IR_CR2];
    out->cr3 = r[IR_CR3];
    out->cr4 = r[IR_CR4];
    out->cr8 = r[IR_CR8];
    out->efer = r[IR_EFER];
    out->orig_rax = ~0ull;
}

struct regs_call {
    u8 level;
    int r;
    bool live;
    struct gdb_regs regs;
};

static void get_regs(struct vcpu *v, void *arg)
{
    struct regs_call *c = arg;
    struct inspect_regs in;

    c->r = inspect_regs(v, c->level, &in);
    c->live = !c->r && in.live;
    if (c->r)
        return;
    pack(&in, &c->regs);
    if (!c->live)
        return;
    pack_fpu(&c->regs);
    c->regs.k_gs_base = rdmsr(MSR_IA32_KERNEL_GS_BASE);
}

#define AT(reg) offsetof(struct gdb_regs, reg)

/* Of a level that does not run, the VMCS alone is known. */
static bool is_known(const struct regs_call *c, u32 at)
{
    if (c->r)
        return false;
    return c->live || at == AT(rsp) || (at >= AT(rip) && at < AT(st)) ||
           (at >= AT(orig_rax) && at < AT(k_gs_base)) || (at > AT(k_gs_base) && at != AT(cr2));
}

static void put_unknown(struct gdb_writer *w, u32 size)
{
    for (u32 i = 0; i < 2 * size; i++)
        gdb_put(w, 'x');
}

int gdb_print_regs(struct gdb *g, u32 from, u32 to)
{
    struct regs_call c = {.level = g->level};
    int r = control_call(&g->task, g->vm, g->vcpu, get_regs, &c);
    u32 offset, size;

    for (u64 n = 0; !r && gdb_reg(n, &offset, &size); n++) {
        if (offset < from || offset >= to)
            continue;
        if (is_known(&c, offset))
            gdb_put_hex(&g->w, (const u8 *)&c.regs + offset, size);
        else
            put_unknown(&g->w, size);
    }
    return r;
}

/* --- one is set --- */

struct set_call {
    struct regs_call now;
    u64 n;
    u32 offset, size;
    const u8 *value;
};

/* Blocking by STI may have been there for a single step, and does not go with IF = 0. */
static int set_flags(struct vcpu *v, u64 value)
{
    if (!(value & RFLAGS_IF))
        vmwrite(GUEST_INTERRUPTIBILITY_STATE,
                vmread(GUEST_INTERRUPTIBILITY_STATE) & ~(u64)INTERRUPTIBILITY_STI);
    return inspect_set_reg(v, IR_RFLAGS, value);
}

static int set_base(struct vcpu *v, u32 field, u64 value)
{
    if (!is_canonical(value, v->cpuid->linear_bits))
        return ERR_INVAL;
    vmwrite(field, value);
    return OK;
}

static int set_reg(struct vcpu *v, const struct set_call *c)
{
    u64 value = 0;

    memcpy(&value, c->value, MIN(c->size, sizeof(value)));
    if (c->n < ARRAY_SIZE(gprs))
        return inspect_set_reg(v, IR_GPR + gprs[c->n], value);
    switch (c->offset) {
    case AT(rip):
        return inspect_set_reg(v, IR_RIP, value);
    case AT(eflags):
        return set_flags(v, value);
    case AT(cr2):
        return inspect_set_reg(v, IR_CR2, value);
    case AT(fs_base):
        return set_base(v, GUEST_FS_BASE, value);
    case AT(gs_base):
        return set_base(v, GUEST_GS_BASE, value);
    case AT(orig_rax): /* there is none; Linux's debuggers write to it */
        return OK;
    default:
        return ERR_UNSUPP;
    }
}

static void set_one(struct vcpu *v, void *arg)
{
    struct set_call *c = arg;
    struct regs_call *now = &c->now;

    get_regs(v, now);
    if (now->r)
        return;
    if (!now->live) {
        now->r = ERR_UNSUPP;
    } else if (c->offset >= AT(st) && c->offset < AT(orig_rax)) {
        memcpy((u8 *)&now->regs + c->offset, c->value, c->size);
        unpack_fpu(&now->regs);
    } else if (memcmp((u8 *)&now->regs + c->offset, c->value, c->size)) {
        now->r = set_reg(v, c);
    }
}

int gdb_set_reg(struct gdb *g, u64 n, const u8 *value)
{
    struct set_call c = {.now.level = g->level, .n = n, .value = value};
    int r;

    if (!gdb_reg(n, &c.offset, &c.size))
        return ERR_NOENT;
    r = control_call(&g->task, g->vm, g->vcpu, set_one, &c);
    return r ? r : c.now.r;
}

/* --- memory --- */

struct memory_call {
    u8 level;
    bool physical, write;
    u64 address;
    u8 *buf;
    u32 n;
    int r;
};

static void access_memory(struct vcpu *v, void *arg)
{
    struct memory_call *c = arg;
    u32 done = inspect_memory(v, c->level, c->physical, c->address, c->buf, c->n, c->write, &c->r);

    if (!c->physical)
        debug_hide(v, c->level, c->address, c->buf, done, c->write);
    if (done && !(c->write && c->r))
        c->r = (int)done;
}

int gdb_memory(struct gdb *g, u64 address, u8 *buf, u32 n, bool write)
{
    struct memory_call c = {g->level, g->physical, write, address, buf, n, OK};
    int r = control_call(&g->task, g->vm, g->vcpu, access_memory, &c);

    return r ? r : c.r;
}
