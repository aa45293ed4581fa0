/* SPDX-License-Identifier: MIT */
/* The tables behind vmm/cpuid.c; nothing else includes this. */
#ifndef VMM_CPUID_TABLE_H
#define VMM_CPUID_TABLE_H

#include "lib/types.h"

enum cpuid_feature {
#define CPUID_FEATURE(name, leaf, subleaf, reg, bit, policy) CF_##name,
#include "vmm/cpuid_features.def"
#undef CPUID_FEATURE
    CPUID_NR_FEATURES
};

enum cpuid_reg { CPUID_EAX, CPUID_EBX, CPUID_ECX, CPUID_EDX };
enum cpuid_policy { CPUID_HOST, CPUID_ON, CPUID_RUN, CPUID_ASK, CPUID_OFF };

struct cpuid_feature_row {
    u32 leaf;
    u8 subleaf, reg, bit, policy;
};

/* Numbers and texts that pass as the CPU gives them. */
struct cpuid_value_row {
    u32 leaf;
    u8 reg;
    u32 pass;
};

/* A feature that is nothing without another one, or without a VMX control (BIT(enum vmx_feature)). */
struct cpuid_need {
    u8 feature, needs;
};

/* What a feature allows a guest to set in its control registers and in IA32_SPEC_CTRL. */
struct cpuid_effect {
    u8 feature;
    u32 cr4, xcr0, efer, spec_ctrl;
};

extern const struct cpuid_feature_row cpuid_features[CPUID_NR_FEATURES];
extern const struct cpuid_value_row cpuid_values[];
extern const struct cpuid_need cpuid_needs[], cpuid_vmx_needs[];
extern const struct cpuid_effect cpuid_effects[];
extern const u32 cpuid_nr_values, cpuid_nr_needs, cpuid_nr_vmx_needs, cpuid_nr_effects;

/* Names that 'hide' knows, for packed_nth(): of features, and of capabilities of VMX (enum vmx_name). */
extern const char cpuid_feature_names[], cpuid_vmx_names[];

#endif
