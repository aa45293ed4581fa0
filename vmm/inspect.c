/* SPDX-License-Identifier: MIT */
#include "vmm/inspect.h"
#include "arch/x86/asm.h"
#include "arch/x86/vmx.h"
#include "arch/x86/vmx_names.h"
#include "vmm/dev/lapic.h"
#include "vmm/nested/ept12.h"
#include "vmm/vm.h"

/* Where the fields of a level are: in the VMCS that is loaded, in the one that is not, or in vmcs12. */
struct source {
    struct vcpu *v;
    const struct vmcs_image *image; /* null: loaded */
    bool other;
};

/* To be ended by close_source() before anything else is done with the vCPU. */
static int open_source(struct vcpu *v, enum inspect_vmcs which, struct source *s)
{
    *s = (struct source){.v = v};
    if (which == INSPECT_VMCS12) {
        if (!vcpu_has_vmcs12(v))
            return ERR_NOENT;
        nested_sync(v);
        s->image = &v->nested->vmcs12.image;
        return OK;
    }
    if (which == INSPECT_VMCS02 && !(vcpu_has_vmcs12(v) && v->nested->vmcs02_made))
        return ERR_NOENT;
    s->other = vcpu_in_l2(v) != (which == INSPECT_VMCS02);
    if (s->other)
        vmptrld(pool_pa(v->nested->other.region));
    return OK;
}

static void close_source(const struct source *s)
{
    if (s->other)
        vmptrld(pool_pa(s->v->vmcs));
}

static u64 get(const struct source *s, u32 index)
{
    return s->image ? s->image->f[index] : vmread(vmcs_field_encoding(index));
}

#define GET(s, name) get(s, VI_##name)

/* Of a level; *level becomes 1 or 2. */
static int open_level(struct vcpu *v, u32 *level, struct source *s)
{
    if (!*level)
        *level = vcpu_level(v);
    return open_source(v, *level == 1 ? INSPECT_VMCS01 : vcpu_in_l2(v) ? INSPECT_VMCS02 : INSPECT_VMCS12, s);
}

int inspect_vmcs(struct vcpu *v, enum inspect_vmcs which, struct vmcs_image *out)
{
    const struct vmx_caps *caps = which == INSPECT_VMCS12 ? &v->vm->nested_caps : &vmx_caps;
    struct source s;
    int r = open_source(v, which, &s);

    for (u32 i = 0; !r && i < VMCS_NR_FIELDS; i++)
        out->f[i] = vmcs_field_exists(caps, i) ? get(&s, i) : 0;
    close_source(&s);
    return r;
}

/* --- registers --- */

static const struct {
    u8 reg, nr;
    u16 index; /* enum vmcs_index of the first */
} in_vmcs[] = {
    {IR_GPR + REG_RSP, 1, VI_GUEST_RSP},
    {IR_RIP, 1, VI_GUEST_RIP},
    {IR_RFLAGS, 1, VI_GUEST_RFLAGS},
    {IR_CR3, 1, VI_GUEST_CR3},
    {IR_DR7, 1, VI_GUEST_DR7},
    {IR_SELECTOR, 8, VI_GUEST_ES_SELECTOR},
    {IR_BASE, 8, VI_GUEST_ES_BASE},
    {IR_LIMIT, 8, VI_GUEST_ES_LIMIT},
    {IR_RIGHTS, 8, VI_GUEST_ES_ACCESS_RIGHTS},
    {IR_GDTR_BASE, 1, VI_GUEST_GDTR_BASE},
    {IR_GDTR_LIMIT, 1, VI_GUEST_GDTR_LIMIT},
    {IR_IDTR_BASE, 1, VI_GUEST_IDTR_BASE},
    {IR_IDTR_LIMIT, 1, VI_GUEST_IDTR_LIMIT},
};

static u64 as_read(u64 value, u64 mask, u64 shadow)
{
    return (value & ~mask) | (shadow & mask);
}

/* vmcs12 has EFER only if L1 has it saved there; the mode is always known. */
static u64 efer_of(const struct source *s)
{
    if (s->image && !(GET(s, PRIMARY_EXIT_CONTROLS) & EXITCTL_SAVE_EFER))
        return EFER_NXE | (GET(s, ENTRY_CONTROLS) & ENTRYCTL_IA32E_MODE_GUEST ? EFER_LME | EFER_LMA : 0);
    return GET(s, GUEST_IA32_EFER);
}

static void live_registers(struct vcpu *v, u64 *r)
{
    for (u32 i = 0; i < NR_REGS; i++)
        if (i != REG_RSP)
            r[IR_GPR + i] = v->gpr[i];
    r[IR_CR2] = read_cr2();
}

int inspect_regs(struct vcpu *v, u32 level, struct inspect_regs *out)
{
    u64 *r = out->r;
    struct source s;
    int error = open_level(v, &level, &s);

    if (error)
        return error;
    *out = (struct inspect_regs){.level = level, .live = vcpu_in_l2(v) == (level == 2)};
    for (u32 i = 0; i < ARRAY_SIZE(in_vmcs); i++)
        for (u32 n = 0; n < in_vmcs[i].nr; n++)
            r[in_vmcs[i].reg + n] = get(&s, in_vmcs[i].index + n);
    r[IR_CR0] = as_read(GET(&s, GUEST_CR0), GET(&s, CR0_GUEST_HOST_MASK), GET(&s, CR0_READ_SHADOW));
    r[IR_CR4] = as_read(GET(&s, GUEST_CR4), GET(&s, CR4_GUEST_HOST_MASK), GET(&s, CR4_READ_SHADOW));
    r[IR_EFER] = efer_of(&s);
    close_source(&s);
    r[IR_CR8] = lapic_tpr(v->lapic) >> 4;
    r[IR_XCR0] = v->cpuid->xcr0_allowed ? v->xcr0 : 0;
    r[IR_DR0] = read_dr0();
    r[IR_DR0 + 1] = read_dr1();
    r[IR_DR0 + 2] = read_dr2();
    r[IR_DR0 + 3] = read_dr3();
    r[IR_DR6] = read_dr6();
    if (out->live)
        live_registers(v, r);
    return OK;
}

/* Those that VM entry has no conditions for. */
#define RFLAGS_MINE                                                                                  \
    (RFLAGS_CF | RFLAGS_PF | RFLAGS_AF | RFLAGS_ZF | RFLAGS_SF | RFLAGS_DF | RFLAGS_OF | RFLAGS_NT | \
     RFLAGS_RF | RFLAGS_AC)

int inspect_set_reg(struct vcpu *v, u32 reg, u64 value)
{
    switch (reg) {
    case IR_GPR + REG_RSP:
        vmwrite(GUEST_RSP, value);
        return OK;
    case IR_RIP:
        if (!is_canonical(value, v->cpuid->linear_bits))
            return ERR_INVAL;
        vmwrite(GUEST_RIP, value);
        return OK;
    case IR_RFLAGS:
        vmwrite(GUEST_RFLAGS, (value & RFLAGS_MINE) | (vmread(GUEST_RFLAGS) & ~(u64)RFLAGS_MINE));
        return OK;
    case IR_CR2:
        write_cr2(value);
        return OK;
    default:
        if (reg >= IR_GPR + NR_REGS)
            return ERR_UNSUPP;
        v->gpr[reg] = value;
        return OK;
    }
}

/* --- memory --- */

/* A level's address space. */
struct space {
    struct vm *vm;
    u32 level;
    bool has_ept; /* L2's, by L1 */
    struct walk_ctx walk;
    struct ept12_ctx ept;
    u64 pdpte[4];
    struct inspect_walk *trace; /* may be null */
};

static void note(struct inspect_walk *t, gpa_t at, gpa_t at1, u64 entry)
{
    if (t && t->nr < INSPECT_STEPS)
        t->step[t->nr++] = (struct inspect_step){at, at1, entry};
}

static int read_ept12(void *ctx, gpa_t gpa1, u64 *entry)
{
    return guest_read(ctx, gpa1, entry, sizeof(*entry));
}

static u32 secondary12(const struct vcpu *v)
{
    const struct vmcs_image *image = &v->nested->vmcs12.image;

    return VMCS(image, PRIMARY_CONTROLS) & PROC_ACTIVATE_SECONDARY ? (u32)VMCS(image, SECONDARY_CONTROLS) : 0;
}

/* Without accessed and dirty flags none is set. */
static void use_ept12(struct vcpu *v, struct ept12_ctx *w)
{
    *w = (struct ept12_ctx){.eptp = VMCS(&v->nested->vmcs12.image, EPT_POINTER) & ~EPTP_ACCESSED_DIRTY,
                            .caps = v->vm->nested_caps.ept_vpid,
                            .maxphyaddr = v->cpuid->maxphyaddr,
                            .mode_based = secondary12(v) & PROC2_MODE_BASED_EXECUTE,
                            .ctx = v->vm,
                            .read = read_ept12};
}

/* Where the level's physical address is in L1. */
static int to_l1(const struct space *s, gpa_t gpa, gpa_t *gpa1)
{
    struct ept12_result t;
    int r = OK;

    *gpa1 = gpa;
    if (!s->has_ept)
        return OK;
    r = ept12_walk(&s->ept, gpa, 0, &t);
    *gpa1 = t.gpa1;
    return r;
}

static int read_entry(void *ctx, gpa_t gpa, u32 size, u64 *value)
{
    struct space *s = ctx;
    gpa_t gpa1;

    *value = 0;
    if (to_l1(s, gpa, &gpa1) || guest_read(s->vm, gpa1, value, size))
        return ERR_RANGE;
    note(s->trace, gpa, gpa1, *value);
    return OK;
}

static int open_space(struct vcpu *v, u32 level, struct space *s)
{
    struct source from;
    int r = open_level(v, &level, &from);

    if (r)
        return r;
    s->vm = v->vm;
    s->level = level;
    s->trace = NULL;
    s->has_ept = level == 2 && secondary12(v) & PROC2_ENABLE_EPT;
    /* Rights are nobody's business here. */
    s->walk =
        (struct walk_ctx){.cr0 = GET(&from, GUEST_CR0) & ~(u64)CR0_WP,
                          .cr3 = GET(&from, GUEST_CR3),
                          .cr4 = GET(&from, GUEST_CR4) & ~(u64)(CR4_SMEP | CR4_SMAP | CR4_PKE | CR4_PKS),
                          .efer = efer_of(&from),
                          .maxphyaddr = v->cpuid->maxphyaddr,
                          .page1g = v->cpuid->extended[1].edx & BIT(26),
                          .ctx = s,
                          .read = read_entry};
    for (u32 i = 0; i < 4; i++)
        s->pdpte[i] = GET(&from, GUEST_PDPTE0 + i);
    close_source(&from);
    /* vmcs12 has them only where L1 uses EPT. */
    if ((s->walk.cr4 & CR4_PAE) && !(s->walk.efer & EFER_LMA) && (level == 1 || s->has_ept))
        s->walk.pdpte = s->pdpte;
    if (s->has_ept)
        use_ept12(v, &s->ept);
    return OK;
}

static int to_physical(const struct space *s, gva_t gva, struct walk_result *out)
{
    if ((s->walk.efer & EFER_LMA) && !is_canonical(gva, s->walk.cr4 & CR4_LA57 ? 57 : 48))
        return ERR_FAULT;
    return walk(&s->walk, gva, WALK_READ, out);
}

/* Within a page. */
static int copy(const struct space *s, bool physical, u64 address, void *buf, u32 n, bool write)
{
    struct walk_result w = {.gpa = address};
    gpa_t gpa1;
    int r = physical ? OK : to_physical(s, address, &w);

    if (!r)
        r = to_l1(s, w.gpa, &gpa1);
    if (r)
        return r;
    return write ? guest_write(s->vm, gpa1, buf, n) : guest_read(s->vm, gpa1, buf, n);
}

u32 inspect_memory(struct vcpu *v, u32 level, bool physical, u64 address, void *buf, u32 n, bool write,
                   int *why)
{
    struct space s;
    u32 done = 0;

    *why = open_space(v, level, &s);
    while (!*why && done < n) {
        u32 step = MIN(n - done, (u32)(PAGE_SIZE - address % PAGE_SIZE));

        *why = copy(&s, physical, address, (u8 *)buf + done, step, write);
        if (*why)
            break;
        done += step;
        address += step;
    }
    return done;
}

/* --- translations --- */

static void name_mode(const struct space *s, gva_t gva, struct inspect_walk *out)
{
    const struct walk_ctx *w = &s->walk;

    *out = (struct inspect_walk){.entry_size = w->cr4 & CR4_PAE ? 8 : 4, .cr3 = w->cr3};
    if (!(w->cr0 & CR0_PG))
        return;
    out->levels = !(w->cr4 & CR4_PAE) ? 2 : !(w->efer & EFER_LMA) ? 3 : w->cr4 & CR4_LA57 ? 5 : 4;
    if (out->levels == 3 && w->pdpte) {
        out->pdptes = true;
        note(out, 0, 0, w->pdpte[(u32)gva >> 30]);
    }
}

int inspect_page_walk(struct vcpu *v, u32 level, gva_t gva, struct inspect_walk *out)
{
    struct space s;
    struct walk_result w = {0};
    int r = open_space(v, level, &s);

    if (r)
        return r;
    name_mode(&s, gva, out);
    s.trace = out;
    out->r = to_physical(&s, gva, &w);
    out->error_code = w.error_code;
    out->page = w.page;
    out->size = w.page_size;
    out->to = out->to1 = w.gpa;
    if (!out->r)
        out->r1 = to_l1(&s, w.gpa, &out->to1);
    return OK;
}

/* What an EPT walk reads from. */
struct tables {
    struct vm *vm; /* null: Nidus's own */
    struct inspect_walk *trace;
};

static int read_ept(void *ctx, gpa_t at, u64 *entry)
{
    struct tables *t = ctx;
    int r = OK;

    if (t->vm)
        r = guest_read(t->vm, at, entry, sizeof(*entry));
    else
        *entry = __atomic_load_n((const u64 *)pool_va(at), __ATOMIC_RELAXED);
    if (!r)
        note(t->trace, at, at, *entry);
    return r;
}

static int find_ept(struct vcpu *v, enum inspect_vmcs which, struct ept12_ctx *w)
{
    struct vm *vm = v->vm;

    if (which != INSPECT_VMCS01 && !vcpu_has_vmcs12(v))
        return ERR_NOENT;
    if (which == INSPECT_VMCS12) {
        use_ept12(v, w);
        return secondary12(v) & PROC2_ENABLE_EPT ? OK : ERR_UNSUPP;
    }
    *w = (struct ept12_ctx){.eptp = vm->eptp, .caps = vm->ept.caps, .maxphyaddr = vm->ept.maxphyaddr};
    if (which == INSPECT_VMCS02) {
        if (!v->nested->vmcs02_made)
            return ERR_NOENT;
        w->eptp = v->nested->eptp02;
        w->mode_based = w->eptp != vm->eptp && secondary12(v) & PROC2_MODE_BASED_EXECUTE;
    }
    w->eptp &= ~EPTP_ACCESSED_DIRTY;
    return OK;
}

int inspect_ept_walk(struct vcpu *v, enum inspect_vmcs which, gpa_t gpa, struct inspect_walk *out)
{
    struct ept12_ctx w;
    struct ept12_result t = {0};
    struct tables from = {which == INSPECT_VMCS12 ? v->vm : NULL, out};
    int r = find_ept(v, which, &w);

    if (r)
        return r;
    *out = (struct inspect_walk){.levels = 4, .entry_size = 8, .cr3 = w.eptp};
    w.ctx = &from;
    w.read = read_ept;
    if (!from.vm)
        spin_lock(&v->vm->mem_lock); /* the VM's own may change on other CPUs */
    out->r = ept12_walk(&w, gpa, 0, &t);
    if (!from.vm)
        spin_unlock(&v->vm->mem_lock);
    out->page = (u32)t.rights;
    out->type = t.type;
    out->size = t.page_size;
    out->to = out->to1 = t.gpa1;
    return OK;
}
