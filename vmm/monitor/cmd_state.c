/* SPDX-License-Identifier: MIT */
/* Commands that show a vCPU's registers, MSRs and VMCSs. */
#include "arch/x86/vmx.h"
#include "lib/string.h"
#include "lib/text.h"
#include "vmm/fail.h"
#include "vmm/inspect.h"
#include "vmm/monitor/tables.h"
#include "vmm/msr_table.h"
#include "vmm/vmcs_dump.h"
#include "vmm/vmcs_text.h"
#include "vmm/vmm.h"

/* In the order of enum inspect_reg. */
static const char reg_names[] =
    "rax\0rcx\0rdx\0rbx\0rsp\0rbp\0rsi\0rdi\0r8\0r9\0r10\0r11\0r12\0r13\0r14\0r15\0rip\0rflags\0"
    "cr0\0cr2\0cr3\0cr4\0cr8\0efer\0xcr0\0dr0\0dr1\0dr2\0dr3\0dr6\0dr7\0"
    "es\0cs\0ss\0ds\0fs\0gs\0ldtr\0tr\0"
    "es_base\0cs_base\0ss_base\0ds_base\0fs_base\0gs_base\0ldtr_base\0tr_base\0"
    "es_limit\0cs_limit\0ss_limit\0ds_limit\0fs_limit\0gs_limit\0ldtr_limit\0tr_limit\0"
    "es_rights\0cs_rights\0ss_rights\0ds_rights\0fs_rights\0gs_rights\0ldtr_rights\0tr_rights\0"
    "gdtr_base\0gdtr_limit\0idtr_base\0idtr_limit";

const char *mon_reg_name(u32 n)
{
    return n < NR_INSPECT_REGS ? packed_nth(reg_names, n) : NULL;
}

/* Names of bits: each behind its number. */
static const struct {
    u32 reg;
    const char *bits;
} bit_names[] = {
    {IR_RFLAGS, "0CF 2PF 4AF 6ZF 7SF 8TF 9IF 10DF 11OF 14NT 16RF 17VM 18AC 19VIF 20VIP 21ID"},
    {IR_CR0, "0PE 1MP 2EM 3TS 4ET 5NE 16WP 18AM 29NW 30CD 31PG"},
    {IR_CR4, "0VME 1PVI 2TSD 3DE 4PSE 5PAE 6MCE 7PGE 8PCE 9OSFXSR 10OSXMMEXCPT 11UMIP 12LA57 13VMXE 14SMXE "
             "16FSGSBASE 17PCIDE 18OSXSAVE 20SMEP 21SMAP 22PKE 23CET 24PKS"},
    {IR_EFER, "0SCE 8LME 10LMA 11NXE"},
};

static void print_bits(struct monitor *m, const char *bits, u64 value)
{
    u64 bit;

    while (*bits) {
        u32 n = 0;

        text_take_number(&bits, &bit);
        while (bits[n] && bits[n] != ' ')
            n++;
        if (value >> bit & 1)
            mon_print(m, " %.*s", (int)n, bits);
        bits += n + (bits[n] == ' ');
    }
}

static void print_reg(struct monitor *m, const u64 *r, u32 reg)
{
    mon_print(m, "%-6s %016lx", mon_reg_name(reg), r[reg]);
    for (u32 i = 0; i < ARRAY_SIZE(bit_names); i++)
        if (bit_names[i].reg == reg)
            print_bits(m, bit_names[i].bits, r[reg]);
    mon_print(m, "\n");
}

static void print_segment(struct monitor *m, const u64 *r, u32 n)
{
    char rights[64];

    mon_print(m, "%-4s %04x base %016lx limit %08x %s\n", mon_reg_name(IR_SELECTOR + n),
              (u32)r[IR_SELECTOR + n], r[IR_BASE + n], (u32)r[IR_LIMIT + n],
              vmcs_text_rights(rights, sizeof(rights), (u32)r[IR_RIGHTS + n]));
}

static const char *mode(const u64 *r)
{
    u64 cs = r[IR_RIGHTS + 1];

    if (!(r[IR_CR0] & CR0_PE))
        return PACK "real mode";
    if (r[IR_EFER] & EFER_LMA)
        return cs & SEG_AR_L ? PACK "64-bit mode" : PACK "compatibility mode";
    if (r[IR_RFLAGS] & RFLAGS_VM)
        return PACK "virtual-8086 mode";
    return cs & SEG_AR_DB ? PACK "32-bit protected mode" : PACK "16-bit protected mode";
}

static void print_all(struct monitor *m, const struct inspect_regs *regs)
{
    const u64 *r = regs->r;

    mon_print(m, "L%u, %s, CPL %u\n", regs->level, mode(r), (u32)r[IR_RIGHTS + 2] >> 5 & 3);
    if (!regs->live)
        mon_print(m, "%s\n",
                  regs->level == 1 ? PACK
                      "L1 waits for its L2 to exit; its general registers are what L2 leaves in them"
                                   : PACK "L2 does not run; its general registers are where L1 keeps them");
    for (u32 i = 0; i < 16; i++) {
        if (regs->live || i == REG_RSP)
            mon_print(m, "%-3s %016lx%s", mon_reg_name(i), r[i], i % 4 == 3 || !regs->live ? "\n" : "  ");
    }
    print_reg(m, r, IR_RIP);
    print_reg(m, r, IR_RFLAGS);
    for (u32 i = 0; i < 8; i++)
        print_segment(m, r, i);
    mon_print(m, "gdtr      base %016lx limit %08x\n", r[IR_GDTR_BASE], (u32)r[IR_GDTR_LIMIT]);
    mon_print(m, "idtr      base %016lx limit %08x\n", r[IR_IDTR_BASE], (u32)r[IR_IDTR_LIMIT]);
    for (u32 i = IR_CR0; i < IR_SELECTOR; i++)
        if ((i != IR_CR2 || regs->live) && (i != IR_XCR0 || r[i]))
            print_reg(m, r, i);
}

static void regs(struct monitor *m, u32 argc, char **argv)
{
    struct inspect_regs *all = mon_scratch(m);
    struct mon_view view;
    u64 value;

    if (!mon_view(m, &argc, argv, &view))
        return;
    if (argc < 2 && mon_regs(m, &view, all))
        print_all(m, all);
    for (u32 i = 1; i < argc; i++)
        if (mon_address(m, &view, argv[i], &value))
            mon_print(m, "%s %016lx\n", argv[i], value);
}

/* --- MSRs --- */

#define MAX_MSRS 256

struct msrs_call {
    u64 first, last;
    u32 nr;
    struct {
        u32 msr;
        u64 value;
        const char *name;
    } found[MAX_MSRS];
};
_Static_assert(sizeof(struct msrs_call) <= MON_SCRATCH, "there is room");

/* Not by vcpu_msr_read(), which takes note of what does not exist. */
static void get_msrs(struct vcpu *v, void *arg)
{
    struct msrs_call *c = arg;

    c->nr = 0;
    for (u32 i = 0; i < msr_nr_rows; i++) {
        const struct msr_row *row = &msr_rows[i];

        if (!row->read || !msr_row_exists(row, v->cpuid))
            continue;
        for (u32 msr = row->first; msr <= row->last && c->nr < MAX_MSRS; msr++) {
            if (msr >= c->first && msr <= c->last && row->read(v, row, msr, &c->found[c->nr].value) == OK) {
                c->found[c->nr].msr = msr;
                c->found[c->nr++].name = row->name;
            }
        }
    }
}

static void msr(struct monitor *m, u32 argc, char **argv)
{
    struct msrs_call *c = mon_scratch(m);
    struct mon_view view;

    c->first = 0;
    c->last = ~0ull;
    if (!mon_view(m, &argc, argv, &view) || (argc > 1 && !mon_number(m, argv[1], &c->first)))
        return;
    if (argc > 1)
        c->last = c->first;
    if (!mon_call(m, view.vm, view.vcpu, get_msrs, c))
        return;
    for (u32 i = 0; i < c->nr; i++)
        mon_print(m, "%08x %016lx %s\n", c->found[i].msr, c->found[i].value, c->found[i].name);
    if (!c->nr)
        mon_print(m, "this VM has no MSR 0x%lx that can be read\n", c->first);
}

/* --- VMCSs --- */

struct vmcs_call {
    enum inspect_vmcs which;
    int r;
    bool checked;
    struct entry_verdict why;
    struct vmx_caps caps;
    struct vmcs_image image;
};

/* What VM entry says of it: the newest, if it has failed, or L1's next one. */
static void check(struct vcpu *v, struct vmcs_call *c)
{
    if (c->which != INSPECT_VMCS12) {
        c->checked = VMCS(&c->image, EXIT_REASON) & EXIT_REASON_ENTRY_FAILURE;
        if (c->checked)
            fail_explain(&c->image, &c->why);
        return;
    }
    c->checked = v->nested->cpu.caps;
    if (c->checked) {
        struct entry_env env = v->nested->cpu;

        env.read = NULL; /* in L1's memory there may be something else by then */
        env.msr_refused = NULL;
        entry_check(&c->image, &env, &c->why);
    }
}

static void get_vmcs(struct vcpu *v, void *arg)
{
    struct vmcs_call *c = arg;

    c->r = inspect_vmcs(v, c->which, &c->image);
    c->caps = c->which == INSPECT_VMCS12 ? v->vm->nested_caps : vmx_caps;
    if (!c->r)
        check(v, c);
}

static void print_line(void *ctx, const char *text)
{
    struct monitor *m = ctx;

    mon_print(m, "%s\n", text);
}

bool mon_which_vmcs(struct monitor *m, const char *word, enum inspect_vmcs *which)
{
    static const char *const names[] = {"01", "12", "02"};
    int i = word ? text_choose(word, names, ARRAY_SIZE(names)) : -1;

    if (i < 0) {
        mon_print(
            m, "which one? 01 is L1's, 12 the one that L1 has made for L2, 02 the one that L2 runs with\n");
        return false;
    }
    *which = (enum inspect_vmcs)i;
    return true;
}

static void vmcs(struct monitor *m, u32 argc, char **argv)
{
    struct vmcs_call *c = mon_scratch(m);
    struct mon_view view;

    if (!mon_view(m, &argc, argv, &view) || !mon_which_vmcs(m, argv[1], &c->which) ||
        !mon_call(m, view.vm, view.vcpu, get_vmcs, c))
        return;
    if (c->r)
        mon_print(m, "%s\n", mon_no_l2);
    else
        vmcs_dump(&c->image, &c->caps, c->checked ? &c->why : NULL, print_line, m);
}

const struct command monitor_state[] = {
    {"regs", PACK "[VCPU] [l1 | l2] [REGISTER...]",
     PACK
     "Registers: those of the level that runs, or of the one that is named. What belongs to L1 or L2 while the other "
     "runs is shown as far as Nidus knows it.",
     regs, "@reg l1 l2 @vcpu"},
    {"msr", PACK "[VCPU] [NUMBER]",
     PACK "Model-specific registers, as RDMSR reads them at the level that runs.", msr, "@vcpu"},
    {"vmcs", PACK "[VCPU] 01 | 12 | 02",
     PACK
     "The fields of a VMCS that this CPU has, by name, controls spelled out. 01: L1's; 12: the one that L1 has made "
     "for L2, with what VM entry's checks say of it; 02: the one that L2 runs with.",
     vmcs, "01 12 02 @vcpu"},
    {0},
};
