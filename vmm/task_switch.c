/* SPDX-License-Identifier: MIT */
#include "vmm/task_switch.h"

#include "arch/x86/regs.h"
#include "lib/string.h"
#include "vmm/mmio_host.h"

#define MAX_RETRIES 1000

#define EFLAGS_DEFINED 0x3f7fd7u
#define DR7_LOCAL      0x155u /* L0 to L3, LE */
#define TSS_T          1u     /* debug trap flag */
#define AR_ACCESSED    1u
#define AR_BUSY        2u
#define AR_CONFORMING  SEG_TYPE_DOWN
#define AR_V86         0xf3u
#define AR_DPL(n)      ((u32)(n) << 5)
#define AR_ANY_CODE    (u32)(SEG_AR_G | SEG_AR_DB | 0x9b)

enum { SYSTEM_TSS16 = 1, SYSTEM_LDT = 2, SYSTEM_TSS32 = 9 }; /* types; a busy TSS has AR_BUSY too */

#define SEL_RPL(s)  ((s)&3u)
#define SEL_TI      4u
#define SEL_MASK(s) ((s)&0xfffcu)

/* Where a TSS has what: SDM, '32-Bit Task-State Segment (TSS)' and '16-Bit Task-State Segment (TSS)'. */
struct layout {
    u8 size;                                           /* of a register, in bytes; selectors take as much */
    u8 cr3, eip, eflags, gpr, seg, nr_segs, ldt, trap; /* cr3, trap: 0, there is none */
    u8 length;                                         /* at least */
};

/* clang-format off */
static const struct layout
    layout16 = {.size = 2, .eip = 14, .eflags = 16, .gpr = 18, .seg = 34, .nr_segs = 4, .ldt = 42, .length = 44},
    layout32 = {.size = 4, .cr3 = 28, .eip = 32, .eflags = 36, .gpr = 40, .seg = 72, .nr_segs = 6, .ldt = 96,
                .trap = 100, .length = 104};
/* clang-format on */

#define MAX_TSS 104

/* A piece of linear memory (up to two pages) whose accesses cannot fail any more, and what is there. */
struct piece {
    struct emu_access at;
    u8 bytes[MAX_TSS];
};

struct descriptor {
    struct piece piece;
    struct segment seg;
};

/* One switch on its way. */
struct task {
    struct guest_access *g;
    struct task_cpu *cpu;
    const struct task_switch *s;
    const struct layout *from, *to;
    u32 ext; /* bit of error codes */
    u32 cpl; /* of the new task */
    struct descriptor old_desc, new_desc;
    struct piece old_tss, new_tss, link;
};

static enum emu_result fault(struct task *t, u32 vector, u32 error_code)
{
    t->g->emu.fault = (struct emu_fault){.vector = vector, .error_code = error_code | t->ext};
    return EMU_FAULT;
}

static enum emu_result selector_fault(struct task *t, u32 vector, u16 selector)
{
    return fault(t, vector, SEL_MASK(selector));
}

/* --- Linear memory --- */

static enum emu_result translate_page(struct task *t, u32 linear, u32 access, gpa_t *gpa)
{
    enum emu_result r = EMU_RETRY;

    /* Another vCPU changes the page tables at the same time. */
    for (u32 i = 0; i < MAX_RETRIES && r == EMU_RETRY; i++)
        r = guest_translate(t->g, linear, access, gpa, &t->g->emu.fault);
    return r == EMU_RETRY ? EMU_UNSUPP : r;
}

static enum emu_result read_again(struct task *t, struct piece *p)
{
    struct vm *vm = vcpu_vm(t->g->vcpu);

    if (guest_read(vm, p->at.gpa[0], p->bytes, p->at.size[0]) ||
        (p->at.size[1] && guest_read(vm, p->at.gpa[1], p->bytes + p->at.size[0], p->at.size[1])))
        return EMU_UNSUPP;
    return EMU_OK;
}

/* Translates, for reading or for writing, and reads n bytes. */
static enum emu_result get(struct task *t, u32 linear, u32 n, u32 access, struct piece *p)
{
    u32 room = PAGE_SIZE - linear % PAGE_SIZE;
    enum emu_result r = translate_page(t, linear, access, &p->at.gpa[0]);

    p->at.size[0] = MIN(n, room);
    p->at.size[1] = n - p->at.size[0];
    if (!r && p->at.size[1])
        r = translate_page(t, linear + room, access, &p->at.gpa[1]);
    return r ? r : read_again(t, p);
}

/* What has been read was RAM, and stays so. */
static void put(struct task *t, const struct piece *p)
{
    struct vm *vm = vcpu_vm(t->g->vcpu);

    (void)guest_write(vm, p->at.gpa[0], p->bytes, p->at.size[0]);
    if (p->at.size[1])
        (void)guest_write(vm, p->at.gpa[1], p->bytes + p->at.size[0], p->at.size[1]);
}

static u32 field(const u8 *p, u32 size)
{
    return size == 4 ? p[0] | p[1] << 8 | p[2] << 16 | (u32)p[3] << 24 : (u32)(p[0] | p[1] << 8);
}

static void set_field(u8 *p, u32 size, u32 value)
{
    for (u32 i = 0; i < size; i++)
        p[i] = (u8)(value >> (8 * i));
}

/* --- Descriptors --- */

static bool in_table(u16 selector, u32 limit)
{
    return (selector | 7u) <= limit;
}

/* 'Segment Descriptors' */
static void parse(struct descriptor *d)
{
    u32 low = field(d->piece.bytes, 4), high = field(d->piece.bytes + 4, 4);
    u32 limit = (low & 0xffff) | (high & 0xf0000);

    d->seg.base = low >> 16 | (high & 0xff) << 16 | (high & 0xff000000);
    d->seg.access = high >> 8 & 0xf0ff;
    d->seg.limit = d->seg.access & SEG_AR_G ? limit << 12 | 0xfff : limit;
}

/* access: WALK_*, besides WALK_IMPLICIT. outside: the vector if there is no such descriptor. */
static enum emu_result get_descriptor(struct task *t, u16 selector, u32 access, u32 outside,
                                      struct descriptor *d)
{
    const struct task_cpu *cpu = t->cpu;
    const struct segment *ldt = &cpu->seg[SEG_LDTR];
    u32 base = cpu->gdt_base, limit = cpu->gdt_limit;
    enum emu_result r;

    if (selector & SEL_TI) {
        if (ldt->access & SEG_AR_UNUSABLE)
            return selector_fault(t, outside, selector);
        base = (u32)ldt->base;
        limit = ldt->limit;
    }
    if (!in_table(selector, limit))
        return selector_fault(t, outside, selector);
    r = get(t, base + (selector & ~7u), 8, access | (u32)WALK_IMPLICIT, &d->piece);
    if (!r)
        parse(d);
    return r;
}

/* The access byte in the table; it has been translated for writing. */
static void put_access(struct task *t, struct descriptor *d, u32 set, u32 clear)
{
    d->piece.bytes[5] = (u8)((d->piece.bytes[5] | set) & ~clear);
    put(t, &d->piece);
    parse(d);
}

static u32 system_type(const struct descriptor *d)
{
    return d->seg.access & SEG_AR_S ? 0 : SEG_AR_TYPE(d->seg.access);
}

/* --- Before the switch: what faults here leaves everything as it was --- */

/* Table 'Exception Conditions Checked During a Task Switch', its first rows. The CPU has made these checks;
 * but another vCPU may have changed the descriptor since. */
static enum emu_result check_new_descriptor(struct task *t)
{
    bool iret = t->s->source == TASK_IRET;
    u32 bad = iret ? VEC_TS : VEC_GP, type;
    u16 selector = t->s->selector;
    enum emu_result r;

    if (selector & SEL_TI)
        return selector_fault(t, bad, selector);
    r = get_descriptor(t, selector, iret ? WALK_READ : (u32)WALK_WRITE, bad, &t->new_desc);
    if (r)
        return r;
    type = system_type(&t->new_desc) & ~AR_BUSY;
    if ((type != SYSTEM_TSS16 && type != SYSTEM_TSS32) || !(t->new_desc.seg.access & AR_BUSY) == iret)
        return selector_fault(t, bad, selector);
    if (!(t->new_desc.seg.access & SEG_AR_P))
        return selector_fault(t, VEC_NP, selector);
    t->to = type == SYSTEM_TSS32 ? &layout32 : &layout16;
    if (t->new_desc.seg.limit < t->to->length - 1u)
        return selector_fault(t, VEC_TS, selector);
    return EMU_OK;
}

static bool leaves_for_good(const struct task *t)
{
    return t->s->source == TASK_JMP || t->s->source == TASK_IRET;
}

/* The old TSS, from EIP on to the last selector, and its descriptor. */
static enum emu_result get_old(struct task *t)
{
    const struct segment *tr = &t->cpu->seg[SEG_TR];
    const struct layout *from = SEG_AR_TYPE(tr->access) & 8 ? &layout32 : &layout16;
    u32 end = from->seg + from->nr_segs * from->size;
    enum emu_result r;

    t->from = from;
    if (tr->limit < end - 1)
        return selector_fault(t, VEC_TS, t->cpu->selector[SEG_TR]);
    r = get(t, (u32)tr->base + from->eip, end - from->eip, WALK_WRITE | WALK_IMPLICIT, &t->old_tss);
    if (!r && leaves_for_good(t))
        r = get_descriptor(t, t->cpu->selector[SEG_TR], WALK_WRITE, VEC_TS, &t->old_desc);
    return r;
}

static enum emu_result get_new(struct task *t)
{
    u32 base = (u32)t->new_desc.seg.base;
    enum emu_result r = get(t, base, t->to->length, WALK_READ | WALK_IMPLICIT, &t->new_tss);

    if (!r && !leaves_for_good(t))
        r = get(t, base, 2, WALK_WRITE | WALK_IMPLICIT, &t->link);
    return r;
}

static bool changes_cr3(const struct task *t, u64 cr3)
{
    return t->to->cr3 && (t->cpu->cr0 & CR0_PG) && cr3 != t->cpu->cr3;
}

static enum emu_result get_pdptes(struct task *t)
{
    const struct walk_ctx *w = &t->g->walk;
    u32 cr3 = field(t->new_tss.bytes + layout32.cr3, 4);
    u64 pdpte[4];

    if (!changes_cr3(t, cr3) || !(w->cr4 & CR4_PAE))
        return EMU_OK;
    if (guest_read(vcpu_vm(t->g->vcpu), cr3 & 0xffffffe0, pdpte, sizeof(pdpte)))
        return EMU_UNSUPP;
    if (!walk_pdptes_good(pdpte, w->maxphyaddr))
        return fault(t, VEC_GP, 0);
    memcpy(t->cpu->pdpte, pdpte, sizeof(pdpte));
    return EMU_OK;
}

/* --- The switch, which cannot fail --- */

static void save_old(struct task *t)
{
    const struct layout *from = t->from;
    const struct task_cpu *cpu = t->cpu;
    u8 *tss = t->old_tss.bytes - from->eip;
    u32 eflags = cpu->eflags;

    if (t->s->source == TASK_IRET)
        eflags &= ~(u32)RFLAGS_NT;
    if (t->s->source != TASK_GATE) /* the instruction is done */
        eflags &= ~(u32)RFLAGS_RF;
    set_field(tss + from->eip, from->size, cpu->eip);
    set_field(tss + from->eflags, from->size, eflags);
    for (u32 i = 0; i < TASK_GPRS; i++)
        set_field(tss + from->gpr + i * from->size, from->size, cpu->gpr[i]);
    for (u32 i = 0; i < from->nr_segs; i++)
        set_field(tss + from->seg + i * from->size, 2, cpu->selector[i]);
    put(t, &t->old_tss);
    if (leaves_for_good(t)) {
        put_access(t, &t->old_desc, 0, AR_BUSY);
    } else {
        set_field(t->link.bytes, 2, cpu->selector[SEG_TR]);
        put(t, &t->link);
    }
}

static void load_cr3(struct task *t, u64 cr3)
{
    struct walk_ctx *w = &t->g->walk;

    if (!changes_cr3(t, cr3))
        return;
    t->cpu->cr3 = w->cr3 = cr3;
    if (w->cr4 & CR4_PAE)
        w->pdpte = t->cpu->pdpte;
}

/* Registers that need no descriptors. Of a 16-bit TSS the upper halves are all ones, as Intel's CPUs do. */
static void load_plain(struct task *t)
{
    const struct layout *to = t->to;
    struct task_cpu *cpu = t->cpu;
    const u8 *tss = t->new_tss.bytes;

    cpu->cr0 |= CR0_TS;
    cpu->dr7 &= ~(u64)DR7_LOCAL;
    load_cr3(t, field(tss + to->cr3, 4));
    cpu->eip = field(tss + to->eip, to->size);
    cpu->eflags = (field(tss + to->eflags, to->size) & EFLAGS_DEFINED) | RFLAGS_FIXED;
    if (!leaves_for_good(t))
        cpu->eflags |= RFLAGS_NT;
    for (u32 i = 0; i < TASK_GPRS; i++)
        cpu->gpr[i] = field(tss + to->gpr + i * to->size, to->size) | (to->size == 2 ? 0xffff0000 : 0);
    for (u32 i = 0; i < NR_SEGS; i++)
        cpu->selector[i] = i < to->nr_segs ? (u16)field(tss + to->seg + i * to->size, 2) : 0;
    cpu->selector[SEG_LDTR] = (u16)field(tss + to->ldt, 2);
    cpu->debug_trap = to->trap && (tss[to->trap] & TSS_T);
}

static void load_v86(struct task_cpu *cpu)
{
    for (u32 i = 0; i < NR_SEGS; i++)
        cpu->seg[i] = (struct segment){(u32)cpu->selector[i] << 4, 0xffff, AR_V86};
}

/*
 * Segments before their descriptors are looked at: when one is faulty, the exception finds it, and those
 * behind it, so. Of CS only the selector counts then, but VM entry asks for one that can be used. Until there
 * is a stack, CPL is 3: an exception takes the stack that the TSS has for its handler's privilege level.
 */
static void start_segments(struct task *t)
{
    struct task_cpu *cpu = t->cpu;

    t->cpl = cpu->eflags & RFLAGS_VM ? 3 : SEL_RPL(cpu->selector[SEG_CS]);
    t->g->walk.cpl = t->cpl;
    t->g->walk.ac = cpu->eflags & RFLAGS_AC;
    for (u32 i = 0; i <= SEG_LDTR; i++)
        cpu->seg[i] = (struct segment){.access = (u32)SEG_AR_UNUSABLE};
    if (cpu->eflags & RFLAGS_VM) {
        load_v86(cpu);
        return;
    }
    cpu->seg[SEG_SS].access |= AR_DPL(3);
    cpu->seg[SEG_CS] = (struct segment){.limit = ~0u, .access = AR_ANY_CODE | AR_DPL(3)};
}

static void commit(struct task *t)
{
    struct task_cpu *cpu = t->cpu;

    save_old(t);
    (void)read_again(t, &t->new_tss); /* in case that the two have memory in common */
    if (t->s->source != TASK_IRET)
        put_access(t, &t->new_desc, AR_BUSY, 0);
    cpu->selector[SEG_TR] = t->s->selector;
    cpu->seg[SEG_TR] = t->new_desc.seg;
    load_plain(t);
    start_segments(t);
}

/* --- In the new task: the other rows of the table --- */

static enum emu_result load_ldt(struct task *t)
{
    u16 selector = t->cpu->selector[SEG_LDTR];
    struct descriptor d;
    enum emu_result r;

    if (!SEL_MASK(selector))
        return EMU_OK;
    if (selector & SEL_TI)
        return selector_fault(t, VEC_TS, selector);
    r = get_descriptor(t, selector, WALK_READ, VEC_TS, &d);
    if (r)
        return r;
    if (system_type(&d) != SYSTEM_LDT || !(d.seg.access & SEG_AR_P))
        return selector_fault(t, VEC_TS, selector);
    t->cpu->seg[SEG_LDTR] = d.seg;
    return EMU_OK;
}

static bool code_is_good(const struct task *t, const struct segment *s)
{
    if (!(s->access & SEG_AR_S) || !(s->access & SEG_TYPE_CODE))
        return false;
    return s->access & AR_CONFORMING ? SEG_AR_DPL(s->access) <= t->cpl : SEG_AR_DPL(s->access) == t->cpl;
}

static bool stack_is_good(const struct task *t, const struct segment *s, u16 selector)
{
    if (!(s->access & SEG_AR_S) || (s->access & SEG_TYPE_CODE) || !(s->access & SEG_TYPE_WRITE))
        return false;
    return SEG_AR_DPL(s->access) == t->cpl && SEL_RPL(selector) == t->cpl;
}

static bool data_is_good(const struct task *t, const struct segment *s, u16 selector)
{
    bool code = s->access & SEG_TYPE_CODE;

    if (!(s->access & SEG_AR_S) || (code && !(s->access & SEG_TYPE_WRITE)))
        return false;
    return (code && (s->access & AR_CONFORMING)) || SEG_AR_DPL(s->access) >= MAX(t->cpl, SEL_RPL(selector));
}

/* absent: the vector if the segment is not present. */
static enum emu_result load_segment(struct task *t, u32 seg, u32 absent)
{
    u16 selector = t->cpu->selector[seg];
    struct descriptor d;
    enum emu_result r;
    bool good;

    if (!SEL_MASK(selector))
        return seg == SEG_CS || seg == SEG_SS ? fault(t, VEC_TS, 0) : EMU_OK;
    r = get_descriptor(t, selector, WALK_READ, VEC_TS, &d);
    if (r)
        return r;
    if (seg == SEG_CS)
        good = code_is_good(t, &d.seg);
    else if (seg == SEG_SS)
        good = stack_is_good(t, &d.seg, selector);
    else
        good = data_is_good(t, &d.seg, selector);
    if (!good)
        return selector_fault(t, VEC_TS, selector);
    if (!(d.seg.access & SEG_AR_P))
        return selector_fault(t, absent, selector);
    if (!(d.seg.access & AR_ACCESSED)) {
        r = get_descriptor(t, selector, WALK_WRITE, VEC_TS, &d);
        if (r)
            return r;
        put_access(t, &d, AR_ACCESSED, 0);
    }
    t->cpu->seg[seg] = d.seg;
    if (seg == SEG_SS)
        t->cpu->seg[SEG_CS].access = AR_ANY_CODE | AR_DPL(t->cpl);
    return EMU_OK;
}

static enum emu_result load_segments(struct task *t)
{
    static const struct {
        u8 seg, absent;
    } order[] = {{SEG_SS, VEC_SS}, {SEG_CS, VEC_NP}, {SEG_DS, VEC_NP},
                 {SEG_ES, VEC_NP}, {SEG_FS, VEC_NP}, {SEG_GS, VEC_NP}};
    enum emu_result r = load_ldt(t);

    if (t->cpu->eflags & RFLAGS_VM)
        return r;
    for (u32 i = 0; !r && i < ARRAY_SIZE(order); i++)
        r = load_segment(t, order[i].seg, order[i].absent);
    return r;
}

static enum emu_result push_error_code(struct task *t)
{
    const struct segment *ss = &t->cpu->seg[SEG_SS];
    u32 size = t->to->size, mask = ss->access & SEG_AR_DB ? ~0u : 0xffff, *esp = &t->cpu->gpr[REG_RSP];
    u32 sp = (*esp - size) & mask;
    struct piece p;
    enum emu_result r;

    if (!emu_segment_allows(false, ss, sp, size, true))
        return fault(t, VEC_SS, 0);
    r = get(t, (u32)ss->base + sp, size, WALK_WRITE, &p);
    if (r)
        return r;
    set_field(p.bytes, size, t->s->error_code);
    put(t, &p);
    *esp = (*esp & ~mask) | sp;
    return EMU_OK;
}

/* SDM volume 2, INT n, 'Operation', TASK-GATE; the limit check is of all task switches. */
static enum emu_result begin_new(struct task *t)
{
    enum emu_result r = load_segments(t);

    if (!r && t->s->has_error)
        r = push_error_code(t);
    if (!r && t->cpu->eip > t->cpu->seg[SEG_CS].limit)
        r = fault(t, VEC_GP, 0);
    return r;
}

enum task_result task_switch(struct guest_access *g, struct task_cpu *cpu, const struct task_switch *s)
{
    struct task t = {.g = g, .cpu = cpu, .s = s, .ext = s->external};
    enum emu_result r = check_new_descriptor(&t);

    cpu->debug_trap = false;
    if (!r)
        r = get_old(&t);
    if (!r)
        r = get_new(&t);
    if (!r)
        r = get_pdptes(&t);
    if (r)
        return r == EMU_FAULT ? TASK_FAULT_OLD : TASK_UNSUPP;
    commit(&t);
    r = begin_new(&t);
    if (r)
        return r == EMU_FAULT ? TASK_FAULT_NEW : TASK_UNSUPP;
    return TASK_DONE;
}
