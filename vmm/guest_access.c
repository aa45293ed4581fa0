/* SPDX-License-Identifier: MIT */
#include "vmm/guest_access.h"

#include "arch/x86/regs.h"
#include "arch/x86/vector.h"
#include "vmm/mmio_host.h"

#define PAGE_OFFSET(x) ((x) & (PAGE_SIZE - 1))

/* SDM 325462 volume 2, 'Instruction Exception Specification', types 1 to 5, as far as they have these in
 * common, and volume 3, 'Exceptions That Can Occur When Executing MMX Instructions'. */
static enum emu_result vector_usable(void *ctx, enum emu_vector kind, struct emu_fault *fault)
{
    struct guest_access *g = ctx;
    u64 cr0 = g->walk.cr0, cr4 = g->walk.cr4;
    bool defined;

    if (kind == EMU_AVX)
        defined = !g->emu.real && !(vcpu_get_rflags(g->vcpu) & RFLAGS_VM) && (cr4 & CR4_OSXSAVE) &&
                  !(~vector_xcr0() & (XCR0_SSE | XCR0_AVX));
    else
        defined = !(cr0 & CR0_EM) && (kind == EMU_MMX || (cr4 & CR4_OSFXSR));
    if (!defined)
        *fault = (struct emu_fault){.vector = VEC_UD};
    else if (cr0 & CR0_TS)
        *fault = (struct emu_fault){.vector = VEC_NM};
    else if (kind == EMU_MMX && vector_x87_error())
        *fault = (struct emu_fault){.vector = VEC_MF};
    else
        return EMU_OK;
    return EMU_FAULT;
}

static int walk_read(void *ctx, gpa_t gpa, u32 size, u64 *value)
{
    struct guest_access *g = ctx;
    u32 shift = 8 * (gpa % 8);

    *value = 0;
    if (vcpu_physical(g->vcpu, &gpa, WALK_READ | WALK_TABLE))
        return ERR_BUSY;
    if (guest_read(vcpu_vm(g->vcpu), gpa, value, size))
        return ERR_RANGE;
    if (g->trace && g->nr_trace < g->max_trace)
        g->trace[g->nr_trace] =
            (struct word_match){gpa - gpa % 8, *value << shift, emu_size_mask(size) << shift};
    g->nr_trace++;
    return OK;
}

static int walk_update(void *ctx, gpa_t gpa, u32 size, u64 old, u64 new)
{
    struct guest_access *g = ctx;

    if (vcpu_physical(g->vcpu, &gpa, WALK_WRITE | WALK_TABLE))
        return ERR_BUSY;
    return guest_update(vcpu_vm(g->vcpu), gpa, size, old, new);
}

enum emu_result guest_translate(struct guest_access *g, gva_t gva, u32 access, gpa_t *out,
                                struct emu_fault *fault)
{
    struct walk_result w;

    if (g->known && !((gva ^ g->known_gva) >> PAGE_SHIFT) &&
        (access == WALK_READ || (access == WALK_WRITE && g->known_write))) {
        *out = ALIGN_DOWN(g->known_gpa, PAGE_SIZE) | PAGE_OFFSET(gva);
        return EMU_OK;
    }
    switch (walk(&g->walk, gva, access, &w)) {
    case OK:
        *out = w.gpa;
        return vcpu_physical(g->vcpu, out, access | w.page) ? EMU_RETRY : EMU_OK;
    case ERR_FAULT:
        *fault = (struct emu_fault){VEC_PF, w.error_code, gva};
        return EMU_FAULT;
    case ERR_BUSY:
        return EMU_RETRY;
    default: /* page tables where there is no memory */
        return EMU_UNSUPP;
    }
}

static enum emu_result translate(void *ctx, gva_t gva, u32 size, bool write, struct emu_access *out,
                                 struct emu_fault *fault)
{
    struct guest_access *g = ctx;
    u32 access = write ? WALK_WRITE : WALK_READ, room = PAGE_SIZE - PAGE_OFFSET(gva);
    enum emu_result r = guest_translate(g, gva, access, &out->gpa[0], fault);
    gva_t second = gva + room;

    if (unlikely(g->watched))
        g->matched |= vcpu_breakpoints(g->vcpu, gva, size, write ? DEBUG_WRITE : DEBUG_READ);
    out->size[0] = MIN(size, room);
    out->size[1] = size - out->size[0];
    if (likely(r || !out->size[1]))
        return r;
    return guest_translate(g, g->emu.mode == 8 ? second : (u32)second, access, &out->gpa[1], fault);
}

static bool is_device(const struct guest_access *g, gpa_t gpa)
{
    return g->known && !((gpa ^ g->known_gpa) >> PAGE_SHIFT);
}

/* Devices are accessed by 1, 2, 4 or 8 aligned bytes: the largest such part at gpa of what is left. */
static u32 device_step(gpa_t gpa, u32 left)
{
    u32 step = left >= 8 ? 8 : left >= 4 ? 4 : left >= 2 ? 2 : 1;

    while (gpa & (step - 1))
        step /= 2;
    return step;
}

static u64 load_piece(struct guest_access *g, gpa_t gpa, u32 size)
{
    u64 value = 0;
    u32 step;

    if (!is_device(g, gpa) && guest_read(vcpu_vm(g->vcpu), gpa, &value, size) == OK)
        return value;
    value = 0;
    for (u32 done = 0; done < size; done += step) {
        step = device_step(gpa + done, size - done);
        value |= (vcpu_mmio_read(g->vcpu, gpa + done, step) & emu_size_mask(step)) << (8 * done);
    }
    return value;
}

static void store_piece(struct guest_access *g, gpa_t gpa, u32 size, u64 value)
{
    u32 step;

    if (!is_device(g, gpa) && guest_write(vcpu_vm(g->vcpu), gpa, &value, size) == OK)
        return;
    for (u32 done = 0; done < size; done += step) {
        step = device_step(gpa + done, size - done);
        vcpu_mmio_write(g->vcpu, gpa + done, step, value >> (8 * done) & emu_size_mask(step));
    }
}

static u64 load(void *ctx, const struct emu_access *a)
{
    u64 value = load_piece(ctx, a->gpa[0], a->size[0]);

    if (unlikely(a->size[1]))
        value |= load_piece(ctx, a->gpa[1], a->size[1]) << (8 * a->size[0]);
    return value;
}

static void store(void *ctx, const struct emu_access *a, u64 value)
{
    store_piece(ctx, a->gpa[0], a->size[0], value);
    if (unlikely(a->size[1]))
        store_piece(ctx, a->gpa[1], a->size[1], value >> (8 * a->size[0]));
}

static const struct emu_ops emu_ops = {
    .vector_usable = vector_usable,
    .translate = translate,
    .load = load,
    .store = store,
};

static u32 mode_of(const struct walk_ctx *w, const struct segment *cs)
{
    if ((w->efer & EFER_LMA) && (cs->access & SEG_AR_L))
        return 8;
    return cs->access & SEG_AR_DB ? 4 : 2;
}

void guest_access_init(struct guest_access *g, struct vcpu *v)
{
    struct segment cs;

    g->vcpu = v;
    g->known = false;
    g->trace = NULL;
    g->watched = vcpu_has_breakpoints(v);
    g->matched = 0;
    vcpu_paging(v, &g->walk);
    g->walk.ctx = g;
    g->walk.read = walk_read;
    g->walk.update = walk_update;
    vcpu_segment(v, SEG_CS, &cs);
    g->emu.ops = &emu_ops;
    g->emu.ctx = g;
    g->emu.vcpu = v;
    g->emu.mode = mode_of(&g->walk, &cs);
    g->emu.gva_bits = g->walk.cr4 & CR4_LA57 ? 57 : 48;
    g->emu.real = !(g->walk.cr0 & CR0_PE);
    g->emu.rip = vcpu_get_rip(v);
}

void guest_raise(struct vcpu *v, const struct emu_fault *f)
{
    if (f->vector == VEC_PF)
        vcpu_inject_page_fault(v, f->error_code, f->cr2);
    else
        vcpu_inject_exception_error(v, f->vector, f->error_code);
}

int guest_access_finish(struct guest_access *g, enum emu_result result)
{
    switch (result) {
    case EMU_OK:
        vcpu_advance(g->vcpu, g->emu.rip);
        if (unlikely(g->matched))
            vcpu_debug_trap(g->vcpu, g->matched);
        return OK;
    case EMU_FAULT:
        guest_raise(g->vcpu, &g->emu.fault);
        return OK;
    case EMU_RETRY:
        return OK;
    default:
        return ERR_UNSUPP;
    }
}
