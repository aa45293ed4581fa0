/* SPDX-License-Identifier: MIT */
#include "vmm/cpuid.h"
#include "arch/x86/asm.h"
#include "arch/x86/regs.h"
#include "guest/pv/nidus.h"
#include "lib/format.h"
#include "lib/string.h"
#include "vmm/config.h"
#include "vmm/cpuid_leaves.h"
#include "vmm/cpuid_table.h"

#define EXTENDED              0x80000000u
#define HYPERVISOR            0x40000000u
#define HYPERVISOR_LAST       0x4fffffffu
#define MIN_MAX_BASIC         0x16u /* up to here Nidus has leaves of its own */
#define DEFAULT_PHYSICAL_BITS 36u   /* of a CPU without leaf 0x80000008 */
#define LINEAR_BITS           48u
#define NAME_SIZE             40 /* of the longest name that hide knows, with its NUL */

/* Leaves with subleaves, or that depend on the vCPU's state. */
#define NOT_PLAIN (BIT(1) | BIT(4) | BIT(7) | BIT(0xb) | BIT(0xd) | BIT(0x1f))
#define HAS_SUB   (NOT_PLAIN & ~BIT(1))

_Static_assert(VX_NONE < 64, "guest_cpuid.nested_hidden is too small");

struct features {
    u64 bits[4];
};

static bool has(const struct features *f, u32 feature)
{
    return f->bits[feature / 64] >> (feature % 64) & 1;
}

static void add(struct features *f, u32 feature)
{
    f->bits[feature / 64] |= BIT(feature % 64);
}

static void drop(struct features *f, u32 feature)
{
    f->bits[feature / 64] &= ~BIT(feature % 64);
}

static u32 *reg_of(struct cpuid_leaf *leaf, u32 reg)
{
    u32 *const r[] = {&leaf->eax, &leaf->ebx, &leaf->ecx, &leaf->edx};

    return r[reg];
}

struct cpuid_leaf cpuid_host(const struct cpuid_env *env, u32 leaf, u32 subleaf)
{
    struct cpuid_regs r;

    if (env->host(leaf & EXTENDED, 0).eax < leaf || (leaf == 7 && env->host(7, 0).eax < subleaf))
        return (struct cpuid_leaf){0};
    r = env->host(leaf, subleaf);
    return (struct cpuid_leaf){r.eax, r.ebx, r.ecx, r.edx};
}

/* What the CPU itself has. The rows of a leaf stand together, so that each leaf is asked for once. */
static void read_features(struct features *f, const struct cpuid_env *env)
{
    const struct cpuid_feature_row *before = NULL;
    struct cpuid_leaf host = {0};

    for (u32 i = 0; i < CPUID_NR_FEATURES; i++) {
        const struct cpuid_feature_row *row = &cpuid_features[i];

        if (!before || before->leaf != row->leaf || before->subleaf != row->subleaf)
            host = cpuid_host(env, row->leaf, row->subleaf);
        before = row;
        if (*reg_of(&host, row->reg) >> row->bit & 1)
            add(f, i);
    }
}

/* --- names --- */

static char fold(char ch)
{
    if (ch >= 'a' && ch <= 'z')
        return ch - 'a' + 'A';
    return ch == '-' || ch == '.' || ch == ' ' ? '_' : ch;
}

/* The SDM itself writes both TSC-Deadline and TSC_DEADLINE, SSE4.1 and SSE4_1, x2APIC and X2APIC. */
static bool same_name(const char *a, const char *b)
{
    while (*a && fold(*a) == fold(*b)) {
        a++;
        b++;
    }
    return fold(*a) == fold(*b);
}

/* Its number among the nr names; nr if it is none of them. */
static u32 find_name(const char *name, const char *names, u32 nr)
{
    char known[NAME_SIZE];
    u32 n;

    for (n = 0; n < nr; n++) {
        format(known, sizeof(known), "%s", names);
        if (same_name(name, known))
            break;
        names = packed_nth(names, 1);
    }
    return n;
}

static u32 find_feature(const char *name)
{
    return find_name(name, cpuid_feature_names, CPUID_NR_FEATURES);
}

/* VX_NONE: it is no capability of VMX. */
static u32 find_vmx_name(const char *name)
{
    return find_name(name, cpuid_vmx_names, VX_NONE);
}

bool cpuid_feature_known(const char *name)
{
    return find_vmx_name(name) != VX_NONE || find_feature(name) < CPUID_NR_FEATURES;
}

/* --- build --- */

static void drop_dependent(struct features *f)
{
    bool again = true;

    while (again) {
        again = false;
        for (u32 i = 0; i < cpuid_nr_needs; i++)
            if (has(f, cpuid_needs[i].feature) && !has(f, cpuid_needs[i].needs)) {
                drop(f, cpuid_needs[i].feature);
                again = true;
            }
    }
}

/* What the VM has: what the tables say of this CPU, less what is hidden, less what depends on that. */
static void choose_features(struct features *f, const struct features *cpu, const struct cpuid_env *env,
                            const struct config_vm *config)
{
    for (u32 i = 0; i < CPUID_NR_FEATURES; i++) {
        u32 policy = cpuid_features[i].policy;

        if (policy == CPUID_ASK && config->nested)
            policy = CPUID_HOST;
        if (policy == CPUID_ON || policy == CPUID_RUN || (policy == CPUID_HOST && has(cpu, i)))
            add(f, i);
    }
    for (u32 i = 0; i < cpuid_nr_vmx_needs; i++)
        if (!(env->vmx_granted >> cpuid_vmx_needs[i].needs & 1))
            drop(f, cpuid_vmx_needs[i].feature);
    if (env->nr_vcpus == 1)
        drop(f, CF_HTT);
    if (!env->polled)
        drop(f, CF_PV_POLL);
    if (!config->nr_channels)
        drop(f, CF_PV_CHANNEL);
    for (u32 i = 0; i < config->nr_hide; i++) {
        u32 hidden = find_feature(config->hide[i]);

        if (hidden < CPUID_NR_FEATURES)
            drop(f, hidden);
    }
    drop_dependent(f);
}

struct cpuid_leaf *cpuid_place(struct guest_cpuid *c, u32 leaf, u32 subleaf)
{
    if (leaf & EXTENDED)
        return &c->extended[leaf - EXTENDED];
    if (leaf >= NIDUS_CPUID_BASE)
        return &c->nidus[leaf - NIDUS_CPUID_BASE];
    if (leaf >= HYPERVISOR)
        return &c->hypervisor[leaf - HYPERVISOR];
    if (!(HAS_SUB >> leaf & 1))
        return &c->basic[leaf];
    for (u32 i = 0; i < c->nr_sub; i++)
        if (c->sub[i].leaf == leaf && c->sub[i].subleaf == subleaf)
            return &c->sub[i].r;
    c->sub[c->nr_sub].leaf = leaf;
    c->sub[c->nr_sub].subleaf = subleaf;
    return &c->sub[c->nr_sub++].r;
}

static void place_values(struct guest_cpuid *c, const struct cpuid_env *env)
{
    for (u32 i = 0; i < cpuid_nr_values; i++) {
        const struct cpuid_value_row *row = &cpuid_values[i];
        struct cpuid_leaf host = cpuid_host(env, row->leaf, 0);

        *reg_of(cpuid_place(c, row->leaf, 0), row->reg) = *reg_of(&host, row->reg) & row->pass;
    }
}

/* The bits of CPUID_RUN features show that the VM can have them; queries look at the moment. */
static void place_features(struct guest_cpuid *c, const struct features *f)
{
    for (u32 i = 0; i < CPUID_NR_FEATURES; i++) {
        const struct cpuid_feature_row *row = &cpuid_features[i];

        if (has(f, i))
            *reg_of(cpuid_place(c, row->leaf, row->subleaf), row->reg) |= (u32)BIT(row->bit);
    }
}

static void allow_control_bits(struct guest_cpuid *c, const struct features *f, const struct cpuid_env *env)
{
    struct cpuid_leaf host = cpuid_host(env, 0xd, 0);

    c->cr4_allowed = CR4_PCE;
    for (u32 i = 0; i < cpuid_nr_effects; i++) {
        const struct cpuid_effect *e = &cpuid_effects[i];

        if (!has(f, e->feature))
            continue;
        c->cr4_allowed |= e->cr4;
        c->xcr0_allowed |= e->xcr0;
        c->efer_allowed |= e->efer;
        c->spec_ctrl_allowed |= e->spec_ctrl;
    }
    c->xcr0_allowed &= (u64)host.edx << 32 | host.eax;
}

static void note_features(struct guest_cpuid *c, const struct features *f)
{
    c->has_x2apic = has(f, CF_X2APIC);
    c->has_tsc_deadline = has(f, CF_TSC_DEADLINE);
    c->has_tsc_adjust = has(f, CF_TSC_ADJUST);
    c->has_rdtscp = has(f, CF_RDTSCP) || has(f, CF_RDPID);
    c->has_mtrr = has(f, CF_MTRR);
    c->has_pat = has(f, CF_PAT);
    c->has_mca = has(f, CF_MCA);
    c->has_xsaves = has(f, CF_XSAVES);
    c->has_spec_ctrl = c->spec_ctrl_allowed != 0;
    c->has_pred_cmd = has(f, CF_IBRS_IBPB);
    c->has_flush_cmd = has(f, CF_L1D_FLUSH);
    c->has_arch_capabilities = has(f, CF_ARCH_CAPABILITIES);
    c->has_umwait = has(f, CF_WAITPKG);
    c->has_vmx = has(f, CF_VMX);
    c->has_kvm_clock_old = has(f, CF_KVM_CLOCK_OLD);
    c->has_kvm_clock = has(f, CF_KVM_CLOCK);
    c->has_steal_time = has(f, CF_KVM_STEAL_TIME);
    c->has_pv_eoi = has(f, CF_KVM_PV_EOI);
    c->has_pv_calls = has(f, CF_PV_CALLS);
    c->has_pv_queue = has(f, CF_PV_QUEUE);
}

static void note_cpu(struct guest_cpuid *c, const struct features *cpu)
{
    c->cpu_tsc_aux = has(cpu, CF_RDTSCP) || has(cpu, CF_RDPID);
    c->cpu_spec_ctrl = has(cpu, CF_IBRS_IBPB) || has(cpu, CF_STIBP) || has(cpu, CF_SSBD);
    c->cpu_umwait = has(cpu, CF_WAITPKG);
}

static void note_vmx_names(struct guest_cpuid *c, const struct config_vm *config)
{
    for (u32 i = 0; i < config->nr_hide; i++) {
        u32 name = find_vmx_name(config->hide[i]);

        if (name != VX_NONE)
            c->nested_hidden |= BIT(name);
    }
}

static void note_controls(struct guest_cpuid *c, const struct features *f, u64 granted)
{
    u64 used = 0, known = 0;

    for (u32 i = 0; i < cpuid_nr_vmx_needs; i++) {
        known |= BIT(cpuid_vmx_needs[i].needs);
        if (has(f, cpuid_vmx_needs[i].feature))
            used |= BIT(cpuid_vmx_needs[i].needs);
    }
    c->vmx_granted = granted;
    c->vmx_hidden = known & ~used;
}

/* Leaf 0x80000008: without LA57 a guest has 48 bits, whatever the CPU could do. */
static void note_widths(struct guest_cpuid *c)
{
    u32 eax = c->extended[8].eax;

    c->maxphyaddr = eax & 0xff ? eax & 0xff : DEFAULT_PHYSICAL_BITS;
    c->linear_bits = LINEAR_BITS;
    c->extended[8].eax = LINEAR_BITS << 8 | c->maxphyaddr;
}

/* max: the highest leaf of this range. name: 12 characters in EBX, ECX and EDX, as a vendor's. */
static void sign(struct cpuid_leaf *r, u32 max, const char name[12])
{
    r->eax = max;
    memcpy(&r->ebx, name, 4);
    memcpy(&r->ecx, name + 4, 4);
    memcpy(&r->edx, name + 8, 4);
}

static void build_hypervisor(struct guest_cpuid *c, const struct features *f, u64 tsc_hz)
{
    static const char kvm[12] = "KVMKVMKVM", nidus[12] = NIDUS_SIGNATURE;

    if (!has(f, CF_HYPERVISOR))
        return;
    c->max_hypervisor = NIDUS_CPUID_LIMITS;
    if (has(f, CF_KVM))
        sign(&c->hypervisor[0], HYPERVISOR + 1, kvm);
    else
        sign(&c->hypervisor[0], HYPERVISOR, nidus);
    sign(&c->nidus[0], NIDUS_CPUID_LIMITS, nidus);
    c->nidus[1].ebx = NIDUS_ABI_VERSION;
    if (has(f, CF_PV_CALLS))
        c->nidus[1].ecx = NIDUS_MSR_FIRST;
    c->nidus[2] = (struct cpuid_leaf){.eax = NIDUS_SLOTS, .ebx = NIDUS_NR_OPS, .ecx = (u32)(tsc_hz / 1000)};
}

/* SDM 325383, 'CPUID', leaves 40000000H to 4FFFFFFFH: no processor uses them. */
static struct cpuid_leaf hypervisor_leaf(const struct guest_cpuid *c, u32 leaf)
{
    if (leaf - HYPERVISOR < ARRAY_SIZE(c->hypervisor))
        return c->hypervisor[leaf - HYPERVISOR];
    if (leaf - NIDUS_CPUID_BASE < ARRAY_SIZE(c->nidus))
        return c->nidus[leaf - NIDUS_CPUID_BASE];
    return (struct cpuid_leaf){0};
}

void guest_cpuid_build(struct guest_cpuid *c, const struct cpuid_env *env, const struct config_vm *config)
{
    struct features cpu = {{0}}, f = {{0}};

    memset(c, 0, sizeof(*c));
    c->max_basic = env->host(0, 0).eax >= 0x1f ? 0x1f : MIN_MAX_BASIC;
    c->max_extended = EXTENDED + CPUID_NR_EXTENDED - 1;
    c->plain = (u32)(BIT(c->max_basic) | (BIT(c->max_basic) - 1)) & (u32)~NOT_PLAIN;
    read_features(&cpu, env);
    choose_features(&f, &cpu, env, config);
    place_values(c, env);
    place_features(c, &f);
    allow_control_bits(c, &f, env);
    note_features(c, &f);
    note_cpu(c, &cpu);
    note_controls(c, &f, env->vmx_granted);
    note_vmx_names(c, config);
    note_widths(c);
    c->basic[0].eax = c->max_basic;
    c->extended[0].eax = c->max_extended;
    cpuid_place(c, 7, 0)->eax = MIN(cpuid_host(env, 7, 0).eax, 2);
    cpuid_build_topology(c, env);
    cpuid_build_xsave(c, env);
    cpuid_build_frequencies(c, env->tsc_hz);
    build_hypervisor(c, &f, env->tsc_hz);
}

/* --- query --- */

const struct cpuid_leaf *cpuid_find_sub(const struct guest_cpuid *c, u32 leaf, u32 subleaf)
{
    for (u32 i = 0; i < c->nr_sub; i++)
        if (c->sub[i].leaf == leaf && c->sub[i].subleaf == subleaf)
            return &c->sub[i].r;
    return NULL;
}

static u32 bit_if(bool set, u32 feature)
{
    return set ? (u32)BIT(cpuid_features[feature].bit) : 0;
}

/* What stands in a leaf now, and not only because of what the VM is. */
static void adjust(const struct guest_cpuid *c, const struct cpuid_dynamic *d, u32 leaf, u32 subleaf,
                   struct cpuid_leaf *r)
{
    switch (leaf) {
    case 1:
        r->ebx |= d->apic_id << 24;
        r->ecx &= ~bit_if(!(d->cr4 & CR4_OSXSAVE), CF_OSXSAVE);
        r->edx &= ~bit_if(!d->apic_enabled, CF_APIC);
        break;
    case 7:
        if (subleaf == 0)
            r->ecx &= ~bit_if(!(d->cr4 & CR4_PKE), CF_OSPKE);
        break;
    case 0xb:
    case 0x1f:
        r->ecx |= subleaf & 0xff;
        r->edx = d->apic_id;
        break;
    case 0xd:
        if (subleaf == 0 && c->xcr0_allowed)
            r->ebx = cpuid_xsave_size(c, d->xcr0);
        else if (subleaf == 1 &&
                 r->eax & (BIT(cpuid_features[CF_XSAVEC].bit) | BIT(cpuid_features[CF_XSAVES].bit)))
            r->ebx = cpuid_xsave_compacted_size(c, d->xcr0 | d->xss);
        break;
    }
}

/*
 * SDM 325383, 'CPUID': a leaf beyond the maximum gets the answer of the highest basic leaf; the range that is
 * left to hypervisors is empty where it is not ours.
 */
void guest_cpuid_query(const struct guest_cpuid *c, const struct cpuid_dynamic *d, u32 leaf, u32 subleaf,
                       struct cpuid_leaf *out)
{
    const struct cpuid_leaf *r;

    if (c->max_hypervisor && leaf >= HYPERVISOR && leaf <= HYPERVISOR_LAST) {
        *out = hypervisor_leaf(c, leaf);
        return;
    }
    if (leaf >= EXTENDED && leaf <= c->max_extended) {
        *out = c->extended[leaf - EXTENDED];
        return;
    }
    leaf = MIN(leaf, c->max_basic);
    r = HAS_SUB >> leaf & 1 ? cpuid_find_sub(c, leaf, subleaf) : &c->basic[leaf];
    *out = r ? *r : (struct cpuid_leaf){0};
    adjust(c, d, leaf, subleaf, out);
}
