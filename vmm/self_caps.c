/* SPDX-License-Identifier: MIT */
#include "arch/x86/asm.h"
#include "arch/x86/time.h"
#include "arch/x86/vmx.h"
#include "arch/x86/vmx_names.h"
#include "lib/format.h"
#include "lib/log.h"
#include "lib/string.h"
#include "vmm/nested/nested.h"
#include "vmm/self_test.h"
#include "vmm/vm.h"

#define WIDTH  92 /* and Nidus's own prefix */
#define INDENT "  "

void self_begin(struct self_paragraph *p, const char *title)
{
    p->items = 0;
    p->n = (u32)format(p->line, sizeof(p->line), "%s:", title);
}

void self_end(struct self_paragraph *p)
{
    log_info("%s", p->line);
}

void self_add(struct self_paragraph *p, const char *text)
{
    char item[64];
    u32 n = (u32)format(item, sizeof(item), "%s", text);

    if (p->items++)
        p->line[p->n++] = ',';
    p->line[p->n] = 0;
    if (p->n + n + 2 > WIDTH) {
        self_end(p);
        p->n = (u32)format(p->line, sizeof(p->line), INDENT);
    }
    p->n += (u32)format(p->line + p->n, sizeof(p->line) - p->n, " %s", item);
}

enum { HAS = 1, USED = 2, OFFERED = 4, WANTED = 8 };

/* What Nidus uses, and offers to a VM from which nothing is hidden; and what of both it would on a CPU that
 * had all. */
static struct known {
    struct vmx_caps offered, would_offer;
    struct vmx_features would_use;
    struct vmx_caps all;
    struct guest_cpuid cpuid;
    struct config_vm vm;
} * known;

static bool find_out(void)
{
    struct cpuid_env env = {
        .host = cpuid, .tsc_hz = tsc_hz, .vmx_granted = vmx_features.granted, .nr_vcpus = 1};

    known = pool_alloc(&pool_owner, (sizeof(*known) + PAGE_SIZE - 1) / PAGE_SIZE);
    if (!known)
        return false;
    known->vm.nested = true;
    guest_cpuid_build(&known->cpuid, &env, &known->vm);
    nested_caps_build(&known->offered, &vmx_caps, &known->cpuid);
    memset(&known->all, 0xff, sizeof(known->all));
    nested_caps_build(&known->would_offer, &known->all, &known->cpuid);
    known->would_use.granted = ~0ull;
    return true;
}

static u32 state_of(u32 place, u64 bit)
{
    if (vmx_available(&vmx_caps, place) & bit)
        return HAS | (vmx_used(&vmx_features, place) & bit ? USED : 0) |
               (vmx_available(&known->offered, place) & bit ? OFFERED : 0);
    if (vmx_available(&known->offered, place) & bit)
        return OFFERED;
    return (vmx_used(&known->would_use, place) | vmx_available(&known->would_offer, place)) & bit ? WANTED
                                                                                                  : 0;
}

static void show(u32 state, const char *title)
{
    struct self_paragraph p;

    self_begin(&p, title);
    for (u32 place = 0; place < VMX_NR_PLACES; place++) {
        for (u32 bit = 0; bit < 64; bit++) {
            const char *name = vmx_capability_name(place, bit);

            if (name && state_of(place, BIT(bit)) == state)
                self_add(&p, name);
        }
    }
    if (p.items)
        self_end(&p);
}

static void show_msrs(void)
{
    struct self_paragraph p;
    u64 value;

    self_begin(&p, PACK "MSRs");
    for (u32 msr = MSR_IA32_FEATURE_CONTROL; msr <= MSR_IA32_VMX_EXIT_CTLS2; msr++) {
        char item[32];

        if (!vmx_caps_get(&vmx_caps, msr, &value))
            continue;
        format(item, sizeof(item), "%x=%lx", msr, value);
        self_add(&p, item);
    }
    self_end(&p);
}

void self_show_capabilities(void)
{
    static const struct {
        u8 state;
        const char *title;
    } states[] = {
        {HAS | USED | OFFERED, PACK "VMX: used by Nidus, and offered to L1"},
        {HAS | USED, PACK "VMX: used, not offered"},
        {HAS | OFFERED, PACK "VMX: offered, not used by Nidus itself"},
        {OFFERED, PACK "VMX: offered, although the CPU has it not"},
        {WANTED, PACK "VMX: of use elsewhere, not on this CPU"},
        {HAS, PACK "VMX: on this CPU, neither used nor offered"},
    };

    for (u32 i = 0; i < ARRAY_SIZE(states) && (known || find_out()); i++)
        show(states[i].state, states[i].title);
    show_msrs();
}
