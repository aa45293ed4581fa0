/* SPDX-License-Identifier: MIT */
#include "vmm/mmio.h"

#include "arch/x86/regs.h"
#include "lib/format.h"
#include "lib/log.h"
#include "vmm/guest_access.h"
#include "vmm/mmio_fast.h"
#include "vmm/mmio_host.h"

/* The bytes at CS:RIP, as far as they have been needed. */
struct fetch {
    u8 bytes[INSN_MAX_LENGTH];
    u32 n;
    gva_t gva; /* of the first */
    gpa_t gpa;
    /* The paging-structure entries on the way there, and behind them room for the bytes. */
    struct word_match match[MMIO_MAX_MATCHES];
};

#define MAX_ENTRIES (MMIO_MAX_MATCHES - 3) /* 15 bytes lie in up to three aligned words */

/* Reads on up to the end of a page. */
static enum emu_result fetch_more(struct guest_access *g, struct fetch *f)
{
    gva_t gva = f->gva + f->n;
    u32 room;
    gpa_t gpa;
    enum emu_result r;

    if (g->emu.mode != 8)
        gva = (u32)gva;
    room = MIN(PAGE_SIZE - gva % PAGE_SIZE, INSN_MAX_LENGTH - f->n);
    r = guest_translate(g, gva, WALK_FETCH, &gpa, &g->emu.fault);
    if (r)
        return r;
    if (guest_read(vcpu_vm(g->vcpu), gpa, f->bytes + f->n, room))
        return EMU_UNSUPP;
    if (!f->n)
        f->gpa = gpa;
    f->n += room;
    return EMU_OK;
}

/* Fetches and decodes. *decoded: what decode() says, if EMU_OK is returned. */
static enum emu_result fetch_insn(struct guest_access *g, struct fetch *f, struct insn *insn, int *decoded)
{
    struct segment cs = {0};
    enum emu_result r;

    if (g->emu.mode != 8)
        vcpu_segment(g->vcpu, SEG_CS, &cs);
    f->gva = cs.base + g->emu.rip;
    f->n = 0;
    g->trace = f->match;
    g->nr_trace = 0;
    g->max_trace = MAX_ENTRIES;
    do {
        r = fetch_more(g, f);
        if (r)
            return r;
        *decoded = decode(insn, f->bytes, f->n, g->emu.mode);
    } while (*decoded == ERR_RANGE);
    g->trace = NULL;
    return EMU_OK;
}

/* What the instruction was fetched from: to the entries come its own bytes, by aligned words. */
static u32 add_bytes(struct fetch *f, u32 n, u32 length)
{
    gpa_t word = ~0ull;

    for (u32 i = 0; i < length; i++) {
        gpa_t gpa = f->gpa + i;
        u32 shift = 8 * (gpa % 8);

        if (gpa - gpa % 8 != word) {
            word = gpa - gpa % 8;
            f->match[n++] = (struct word_match){.offset = word};
        }
        f->match[n - 1].value |= (u64)f->bytes[i] << shift;
        f->match[n - 1].mask |= 0xffull << shift;
    }
    return n;
}

/* After it was carried out; rip: of the instruction. */
static void learn(struct guest_access *g, struct fetch *f, const struct insn *insn, u64 rip, u32 entries)
{
    bool one_page = f->gpa % PAGE_SIZE + insn->length <= PAGE_SIZE;

    if (g->emu.mode == 8 && g->known && one_page && entries <= MAX_ENTRIES)
        mmio_learn(g->vcpu, insn, rip, g->known_gpa, f->match, add_bytes(f, entries, insn->length));
}

static void report(struct guest_access *g, const struct fetch *f, gpa_t gpa)
{
    const char *vm = vcpu_may_report(g->vcpu);
    char text[3 * INSN_MAX_LENGTH + 1] = "";
    size_t n = 0;

    if (!vm)
        return;
    for (u32 i = 0; i < f->n; i++)
        n += format(text + n, sizeof(text) - n, " %02x", f->bytes[i]);
    log_error(
        "%s.%u: cannot emulate the instruction at 0x%llx that accesses guest-physical 0x%llx (%u-bit code):%s",
        vm, vcpu_id(g->vcpu), (unsigned long long)g->emu.rip, (unsigned long long)gpa, 8 * g->emu.mode,
        f->n ? text : " it is not in RAM");
}

int mmio_emulate(struct vcpu *v, gpa_t fault_gpa)
{
    struct guest_access g;
    struct fetch f;
    struct insn insn;
    enum emu_result r;
    u32 entries;
    int decoded;
    u64 rip;

    guest_access_init(&g, v);
    rip = g.emu.rip;
    r = fetch_insn(&g, &f, &insn, &decoded);
    entries = g.nr_trace;
    if (r == EMU_OK) {
        if (decoded == ERR_INVAL) {
            vcpu_inject_exception(v, VEC_UD);
            return OK;
        }
        if (decoded == ERR_FAULT) {
            vcpu_inject_exception_error(v, VEC_GP, 0);
            return OK;
        }
        g.known_gpa = fault_gpa;
        g.known = vcpu_fault_linear(v, &g.known_gva, &g.known_write);
        r = decoded ? EMU_UNSUPP : emu_run(&g.emu, &insn);
    }
    if (r == EMU_OK)
        learn(&g, &f, &insn, rip, entries);
    else if (r == EMU_UNSUPP)
        report(&g, &f, fault_gpa);
    return guest_access_finish(&g, r);
}
