/* SPDX-License-Identifier: MIT */
/* What Nidus wants of VMX, as a table, and its intersection with what the CPU has. */
#include "arch/x86/vmx_caps.h"
#include "arch/x86/vmx_names.h"
#include "lib/format.h"

enum need { REQUIRED, WANTED };
enum use {
    SET,   /* in the control words to start from, once granted */
    LATER, /* only known to be there; what uses it sets it */
    KNOWN, /* Nidus makes no use of it by itself */
};

struct want {
    u8 feature, need, use, source; /* enum vmx_place */
    u64 bit;
    const char *name; /* null: the SDM's */
};

#define CTL(word) VMX_WORD_##word
#define EPT       VMX_CAP_EPT_VPID
#define MISC      VMX_CAP_MISC

static const struct want wants[] = {
    {VF_EXTERNAL_INTERRUPT_EXITING, REQUIRED, SET, CTL(PIN), PIN_EXTERNAL_INTERRUPT_EXITING, NULL},
    {VF_NMI_EXITING, REQUIRED, SET, CTL(PIN), PIN_NMI_EXITING, NULL},
    {VF_VIRTUAL_NMIS, REQUIRED, SET, CTL(PIN), PIN_VIRTUAL_NMIS, NULL},
    {VF_VIRTUAL_NMIS, REQUIRED, LATER, CTL(PROC), PROC_NMI_WINDOW_EXITING, NULL},
    {VF_INTERRUPT_WINDOW_EXITING, REQUIRED, LATER, CTL(PROC), PROC_INTERRUPT_WINDOW_EXITING, NULL},
    {VF_HLT_EXITING, REQUIRED, SET, CTL(PROC), PROC_HLT_EXITING, NULL},
    {VF_TSC_OFFSETTING, REQUIRED, SET, CTL(PROC), PROC_USE_TSC_OFFSETTING, NULL},
    {VF_CR8_EXITING, REQUIRED, SET, CTL(PROC), PROC_CR8_LOAD_EXITING, NULL},
    {VF_CR8_EXITING, REQUIRED, SET, CTL(PROC), PROC_CR8_STORE_EXITING, NULL},
    {VF_MWAIT_EXITING, REQUIRED, SET, CTL(PROC), PROC_MWAIT_EXITING, NULL},
    {VF_MWAIT_EXITING, REQUIRED, SET, CTL(PROC), PROC_MONITOR_EXITING, NULL},
    {VF_RDPMC_EXITING, REQUIRED, SET, CTL(PROC), PROC_RDPMC_EXITING, NULL},
    {VF_MSR_BITMAPS, REQUIRED, SET, CTL(PROC), PROC_USE_MSR_BITMAPS, NULL},
    {VF_IO_BITMAPS, REQUIRED, SET, CTL(PROC), PROC_USE_IO_BITMAPS, NULL},
    {VF_SECONDARY_CONTROLS, REQUIRED, SET, CTL(PROC), PROC_ACTIVATE_SECONDARY, NULL},
    {VF_EPT, REQUIRED, SET, CTL(PROC2), PROC2_ENABLE_EPT, NULL},
    {VF_EPT, REQUIRED, LATER, EPT, EPT_CAP_WALK_4, NULL},
    {VF_EPT, REQUIRED, LATER, EPT, EPT_CAP_WB, NULL},
    {VF_EPT, REQUIRED, LATER, EPT, EPT_CAP_INVEPT, NULL},
    {VF_EPT, REQUIRED, LATER, EPT, EPT_CAP_INVEPT_ALL, NULL},
    {VF_UNRESTRICTED_GUEST, REQUIRED, SET, CTL(PROC2), PROC2_UNRESTRICTED_GUEST, NULL},
    {VF_HOST_64BIT, REQUIRED, SET, CTL(EXIT), EXITCTL_HOST_ADDRESS_SPACE_SIZE, NULL},
    {VF_ACK_INTERRUPT_ON_EXIT, REQUIRED, SET, CTL(EXIT), EXITCTL_ACK_INTERRUPT_ON_EXIT, NULL},
    {VF_EFER, REQUIRED, SET, CTL(EXIT), EXITCTL_SAVE_EFER, NULL},
    {VF_EFER, REQUIRED, SET, CTL(EXIT), EXITCTL_LOAD_EFER, NULL},
    {VF_EFER, REQUIRED, SET, CTL(ENTRY), ENTRYCTL_LOAD_EFER, NULL},
    {VF_IA32E_MODE_GUEST, REQUIRED, LATER, CTL(ENTRY), ENTRYCTL_IA32E_MODE_GUEST, NULL},

    {VF_PREEMPTION_TIMER, WANTED, SET, CTL(PIN), PIN_PREEMPTION_TIMER, NULL},
    {VF_PREEMPTION_TIMER, WANTED, SET, CTL(EXIT), EXITCTL_SAVE_PREEMPTION_TIMER, NULL},
    {VF_VPID, WANTED, SET, CTL(PROC2), PROC2_ENABLE_VPID, NULL},
    {VF_VPID, WANTED, LATER, EPT, VPID_CAP_INVVPID, NULL},
    {VF_VPID, WANTED, LATER, EPT, VPID_CAP_INVVPID_SINGLE, NULL},
    {VF_VPID, WANTED, LATER, EPT, VPID_CAP_INVVPID_ALL, NULL},
    {VF_RDTSCP, WANTED, SET, CTL(PROC2), PROC2_ENABLE_RDTSCP, NULL},
    {VF_INVPCID, WANTED, SET, CTL(PROC2), PROC2_ENABLE_INVPCID, NULL},
    {VF_XSAVES, WANTED, SET, CTL(PROC2), PROC2_ENABLE_XSAVES, NULL},
    {VF_WBINVD_EXITING, WANTED, SET, CTL(PROC2), PROC2_WBINVD_EXITING, NULL},
    {VF_TSC_SCALING, WANTED, KNOWN, CTL(PROC2), PROC2_USE_TSC_SCALING, NULL},
    {VF_PAT, WANTED, SET, CTL(EXIT), EXITCTL_SAVE_PAT, PACK "IA32_PAT"},
    {VF_PAT, WANTED, SET, CTL(EXIT), EXITCTL_LOAD_PAT, NULL},
    {VF_PAT, WANTED, SET, CTL(ENTRY), ENTRYCTL_LOAD_PAT, NULL},
    {VF_DEBUG_CONTROLS, WANTED, SET, CTL(EXIT), EXITCTL_SAVE_DEBUG_CONTROLS, NULL},
    {VF_DEBUG_CONTROLS, WANTED, SET, CTL(ENTRY), ENTRYCTL_LOAD_DEBUG_CONTROLS, NULL},
    {VF_USER_WAIT, WANTED, SET, CTL(PROC2), PROC2_USER_WAIT_AND_PAUSE, NULL},

    {VF_TPR_SHADOW, WANTED, LATER, CTL(PROC), PROC_USE_TPR_SHADOW, NULL},
    {VF_VIRTUALIZE_APIC_ACCESSES, WANTED, LATER, CTL(PROC2), PROC2_VIRTUALIZE_APIC_ACCESSES, NULL},
    {VF_VIRTUALIZE_X2APIC, WANTED, LATER, CTL(PROC2), PROC2_VIRTUALIZE_X2APIC, NULL},
    {VF_APIC_REGISTER_VIRTUALIZATION, WANTED, LATER, CTL(PROC2), PROC2_APIC_REGISTER_VIRTUALIZATION, NULL},
    {VF_VIRTUAL_INTERRUPT_DELIVERY, WANTED, LATER, CTL(PROC2), PROC2_VIRTUAL_INTERRUPT_DELIVERY, NULL},
    {VF_POSTED_INTERRUPTS, WANTED, LATER, CTL(PIN), PIN_POSTED_INTERRUPTS, NULL},
    {VF_IPI_VIRTUALIZATION, WANTED, LATER, CTL(PROC3), PROC3_IPI_VIRTUALIZATION, NULL},
    {VF_PML, WANTED, KNOWN, CTL(PROC2), PROC2_ENABLE_PML, NULL},
    {VF_PAUSE_LOOP_EXITING, WANTED, SET, CTL(PROC2), PROC2_PAUSE_LOOP_EXITING, NULL},
    {VF_MONITOR_TRAP_FLAG, WANTED, LATER, CTL(PROC), PROC_MONITOR_TRAP_FLAG, NULL},
    {VF_VMCS_SHADOWING, WANTED, LATER, CTL(PROC2), PROC2_VMCS_SHADOWING, NULL},
    {VF_DESCRIPTOR_TABLE_EXITING, WANTED, KNOWN, CTL(PROC2), PROC2_DESCRIPTOR_TABLE_EXITING, NULL},
    {VF_ENCLS_EXITING, WANTED, KNOWN, CTL(PROC2), PROC2_ENABLE_ENCLS_EXITING, NULL},
    {VF_MODE_BASED_EXECUTE, WANTED, KNOWN, CTL(PROC2), PROC2_MODE_BASED_EXECUTE, NULL},
    {VF_EPT_2M, WANTED, LATER, EPT, EPT_CAP_2M, NULL},
    {VF_EPT_1G, WANTED, LATER, EPT, EPT_CAP_1G, NULL},
    {VF_EPT_ACCESSED_DIRTY, WANTED, LATER, EPT, EPT_CAP_ACCESSED_DIRTY, NULL},
    {VF_EPT_EXECUTE_ONLY, WANTED, KNOWN, EPT, EPT_CAP_EXECUTE_ONLY, NULL},
    {VF_EPT_ADVANCED_EXIT_INFO, WANTED, KNOWN, EPT, EPT_CAP_ADVANCED_EXIT_INFO, NULL},
    {VF_INVEPT_SINGLE, WANTED, LATER, EPT, EPT_CAP_INVEPT_SINGLE, NULL},
    {VF_INVVPID_ADDRESS, WANTED, LATER, EPT, VPID_CAP_INVVPID_ADDRESS, NULL},
    {VF_INVVPID_KEEP_GLOBAL, WANTED, KNOWN, EPT, VPID_CAP_INVVPID_KEEP_GLOBAL, NULL},
    {VF_HLT_ACTIVITY, WANTED, KNOWN, MISC, VMX_MISC_ACTIVITY_HLT, NULL},
    {VF_WAIT_FOR_SIPI_ACTIVITY, WANTED, KNOWN, MISC, VMX_MISC_ACTIVITY_SIPI, NULL},
};

_Static_assert(VMX_NR_FEATURES < 64, "the bitmap of features is too small");

/* Features that are of no use without another one; those above come first. */
static const struct {
    u8 feature, without;
} dependencies[] = {
    {VF_VIRTUALIZE_X2APIC, VF_TPR_SHADOW},
    {VF_APIC_REGISTER_VIRTUALIZATION, VF_TPR_SHADOW},
    {VF_VIRTUAL_INTERRUPT_DELIVERY, VF_TPR_SHADOW},
    {VF_POSTED_INTERRUPTS, VF_VIRTUAL_INTERRUPT_DELIVERY},
    {VF_IPI_VIRTUALIZATION, VF_POSTED_INTERRUPTS},
    {VF_PML, VF_EPT_ACCESSED_DIRTY},
    {VF_INVVPID_ADDRESS, VF_VPID},
    {VF_INVVPID_KEEP_GLOBAL, VF_VPID},
};

struct reporter {
    void (*report)(void *ctx, const char *line);
    void *ctx;
    bool ok;
};

static void refuse(struct reporter *r, const char *fmt, ...) __printf(2, 3);

static void refuse(struct reporter *r, const char *fmt, ...)
{
    char line[160];
    va_list args;

    va_start(args, fmt);
    format_va(line, sizeof(line), fmt, args);
    va_end(args);
    r->ok = false;
    r->report(r->ctx, line);
}

static const char *want_name(const struct want *w)
{
    return w->name ? w->name : vmx_capability_name(w->source, __builtin_ctzll(w->bit));
}

/* What is of no use without EPT, or has its bits in an MSR that does not exist: the reason has been named. */
static bool named_before(const struct vmx_caps *caps, const struct want *w)
{
    if (w->source == EPT || w->feature == VF_UNRESTRICTED_GUEST)
        return !(vmx_allowed1(caps, VMX_WORD_PROC2) & PROC2_ENABLE_EPT);
    return w->source == VMX_WORD_PROC2 && !(vmx_allowed1(caps, VMX_WORD_PROC) & PROC_ACTIVATE_SECONDARY);
}

static void report_missing(struct reporter *r, const struct vmx_caps *caps, const struct want *w)
{
    u32 bit = __builtin_ctzll(w->bit);

    if (named_before(caps, w))
        return;
    if (w->source == EPT)
        refuse(r, PACK "needs %s: IA32_VMX_EPT_VPID_CAP[%u]", want_name(w), bit);
    else
        refuse(r, PACK "needs %s: %s[%u]", want_name(w), vmx_word_msr(caps, w->source), 32 + bit);
}

/* A control that cannot be 0 changes what the guest may do: unless Nidus sets it anyway, it would not be
 * ready. */
static void check_forced(struct reporter *r, const struct vmx_caps *caps, const struct vmx_features *f)
{
    for (u32 word = 0; word < VMX_NR_WORDS; word++) {
        u64 forced = vmx_allowed0(caps, word) & ~f->word[word] & ~vmx_default1(word);

        for (; forced; forced &= forced - 1) {
            u32 bit = __builtin_ctzll(forced);
            const char *name = vmx_control_bit_name(word, bit);

            if (name)
                refuse(r, PACK "cannot leave %s off: %s[%u]", name, vmx_word_msr(caps, word), bit);
            else
                refuse(r, PACK "does not know bit %u, which must be 1: %s[%u]", bit, vmx_word_msr(caps, word),
                       bit);
        }
    }
}

static void check_feature_control(struct reporter *r, const struct vmx_caps *caps)
{
    if (caps->feature_control & FEATURE_CONTROL_LOCKED &&
        !(caps->feature_control & FEATURE_CONTROL_VMX_OUTSIDE_SMX))
        refuse(r, PACK "needs VT-x, which the firmware has locked off: IA32_FEATURE_CONTROL[2]; "
                       "enable VT-x (Intel Virtualization Technology) in the firmware's setup");
}

bool vmx_negotiate(const struct vmx_caps *caps, struct vmx_features *out,
                   void (*report)(void *ctx, const char *line), void *ctx)
{
    struct reporter r = {report, ctx, true};

    check_feature_control(&r, caps);
    *out = (struct vmx_features){.granted = BIT(VMX_NR_FEATURES) - 1};
    for (size_t i = 0; i < ARRAY_SIZE(wants); i++) {
        const struct want *w = &wants[i];

        if (vmx_available(caps, w->source) & w->bit)
            continue;
        out->granted &= ~BIT(w->feature);
        if (w->need == REQUIRED)
            report_missing(&r, caps, w);
    }
    for (size_t i = 0; i < ARRAY_SIZE(dependencies); i++)
        if (!vmx_has(out, dependencies[i].without))
            out->granted &= ~BIT(dependencies[i].feature);
    for (size_t i = 0; i < ARRAY_SIZE(wants); i++)
        if (wants[i].use == SET && vmx_has(out, wants[i].feature))
            out->word[wants[i].source] |= wants[i].bit;
    check_forced(&r, caps, out);
    for (u32 word = 0; word < VMX_NR_WORDS; word++)
        out->word[word] |= vmx_allowed0(caps, word);
    return r.ok;
}

u64 vmx_used(const struct vmx_features *f, u32 place)
{
    u64 used = 0;

    for (size_t i = 0; i < ARRAY_SIZE(wants); i++)
        if (wants[i].source == place && wants[i].use != KNOWN && vmx_has(f, wants[i].feature))
            used |= wants[i].bit;
    return used;
}

const char *vmx_feature_name(enum vmx_feature feature)
{
    for (size_t i = 0; i < ARRAY_SIZE(wants); i++)
        if (wants[i].feature == feature)
            return want_name(&wants[i]);
    return "unknown feature";
}
