/* SPDX-License-Identifier: MIT */
/* What a guest sees of the CPU: a policy per leaf and register over what the CPU has. Pure logic. */
#ifndef VMM_CPUID_H
#define VMM_CPUID_H

#include "lib/types.h"

struct cpuid_regs;
struct config_vm;

#define CPUID_NR_BASIC    0x20 /* leaves 0 to 0x1f */
#define CPUID_NR_EXTENDED 0x09 /* leaves 0x80000000 to 0x80000008 */
#define CPUID_MAX_SUB     64

/* VX_*: the capabilities of VMX that `hide =` knows. VX_NONE is none of them. */
enum vmx_name {
#define VMX_NAME(name) VX_##name,
#include "vmm/vmx_names.def"
#undef VMX_NAME
    VX_NONE
};

struct cpuid_leaf {
    u32 eax, ebx, ecx, edx;
};

/* Built once per VM, then only read. */
struct guest_cpuid {
    u32 max_basic, max_extended, max_hypervisor; /* the last: 0 without any */
    u32 plain;                                   /* bitmap: basic leaves whose row is the whole answer */
    struct cpuid_leaf basic[CPUID_NR_BASIC];
    struct cpuid_leaf extended[CPUID_NR_EXTENDED];
    struct cpuid_leaf hypervisor[2]; /* 0x40000000 on: KVM's, or Nidus's name alone */
    struct cpuid_leaf nidus[3];      /* 0x40000100 on: guest/pv/nidus.h */
    u32 nr_sub;
    struct {
        u32 leaf, subleaf;
        struct cpuid_leaf r;
    } sub[CPUID_MAX_SUB]; /* leaves 4, 7, 0xb, 0xd, 0x14... with a subleaf */
    u64 cr4_allowed;      /* CR4 bits that the features above allow a guest to set */
    u64 xcr0_allowed;     /* 0: no XSAVE */
    u64 efer_allowed;
    u64 spec_ctrl_allowed; /* 0: no IA32_SPEC_CTRL */
    u64 vmx_granted;       /* as in struct cpuid_env */
    u64 vmx_hidden;        /* VMX controls off in this VM: only hidden instructions need them */
    u64 nested_hidden;     /* BIT(enum vmx_name): what `hide =` takes of the VMX that the VM is offered */
    u32 maxphyaddr, linear_bits;
    bool has_x2apic, has_tsc_deadline, has_tsc_adjust, has_rdtscp, has_mtrr, has_pat, has_mca, has_xsaves,
        has_spec_ctrl, has_pred_cmd, has_flush_cmd, has_arch_capabilities, has_umwait, has_vmx,
        has_kvm_clock_old, has_kvm_clock, has_steal_time, has_pv_eoi, has_pv_calls, has_pv_queue;
    /* The CPU has the MSR, whatever the VM sees: it is switched with vCPUs. */
    bool cpu_tsc_aux, cpu_spec_ctrl, cpu_umwait;
};

/* What the answer depends on at run time. */
struct cpuid_dynamic {
    u32 apic_id;
    u64 cr4, xcr0, xss;
    bool apic_enabled;
};

struct cpuid_env {
    struct cpuid_regs (*host)(u32 leaf, u32 subleaf);
    u64 tsc_hz;
    u64 vmx_granted; /* struct vmx_features.granted: RDTSCP, INVPCID, XSAVES need their controls */
    u32 nr_vcpus, max_apic_id;
    bool polled; /* a CPU serves the queues */
};

/* Names of all features that `hide =` knows, CPUID's and VMX's, by their SDM names (e.g. AVX2, X2APIC, VMX,
 * EPT). */
bool cpuid_feature_known(const char *name);
/* config->hide is applied; config->nested decides on VMX. */
void guest_cpuid_build(struct guest_cpuid *c, const struct cpuid_env *env, const struct config_vm *config);
/* The general answer; the exit handler takes c->basic[leaf] itself where c->plain says so. */
void guest_cpuid_query(const struct guest_cpuid *c, const struct cpuid_dynamic *d, u32 leaf, u32 subleaf,
                       struct cpuid_leaf *out);

#endif
