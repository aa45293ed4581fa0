/* SPDX-License-Identifier: MIT */
/* Capabilities of a CPU that has every control. */
#ifndef TESTS_UNIT_GOOD_CAPS_H
#define TESTS_UNIT_GOOD_CAPS_H

#include "arch/x86/regs.h"
#include "arch/x86/vmx_caps.h"

#define REVISION 0x12345

static u64 known_controls(enum vmx_word word)
{
    u64 known[VMX_NR_WORDS] = {0};

#define VMX_CONTROL(w, bit, name, text) known[VMX_WORD_##w] |= name;
#include "arch/x86/vmx_controls.def"
#undef VMX_CONTROL
    return known[word];
}

static u64 control_msr(enum vmx_word word, u32 default1)
{
    return (known_controls(word) | default1) << 32 | default1;
}

static void good_caps(struct vmx_caps *c)
{
    *c = (struct vmx_caps){
        .feature_control = FEATURE_CONTROL_LOCKED | FEATURE_CONTROL_VMX_OUTSIDE_SMX,
        .basic = REVISION | 0x1000ull << 32 | 6ull << 50 | VMX_BASIC_INS_OUTS | VMX_BASIC_TRUE_CONTROLS,
        .pin = control_msr(VMX_WORD_PIN, PIN_DEFAULT1),
        .proc = control_msr(VMX_WORD_PROC, PROC_DEFAULT1 | PROC_CR3_LOAD_EXITING | PROC_CR3_STORE_EXITING),
        .exit = control_msr(VMX_WORD_EXIT, EXITCTL_DEFAULT1 | EXITCTL_SAVE_DEBUG_CONTROLS),
        .entry = control_msr(VMX_WORD_ENTRY, ENTRYCTL_DEFAULT1 | ENTRYCTL_LOAD_DEBUG_CONTROLS),
        .misc = 4 << 16 | VMX_MISC_ACTIVITY_HLT | VMX_MISC_ACTIVITY_SHUTDOWN | VMX_MISC_ACTIVITY_SIPI,
        .cr0_fixed0 = CR0_PE | CR0_NE | (u64)CR0_PG,
        .cr0_fixed1 = 0xffffffff,
        .cr4_fixed0 = CR4_VMXE,
        .cr4_fixed1 = 0x1ff7fff & ~BIT(15),
        .proc2 = known_controls(VMX_WORD_PROC2) << 32,
        .ept_vpid = EPT_CAP_WALK_4 | EPT_CAP_UC | EPT_CAP_WB | EPT_CAP_2M | EPT_CAP_1G | EPT_CAP_INVEPT |
                    EPT_CAP_ACCESSED_DIRTY | EPT_CAP_SHADOW_STACK | EPT_CAP_EXECUTE_ONLY |
                    EPT_CAP_ADVANCED_EXIT_INFO | EPT_CAP_INVEPT_SINGLE | EPT_CAP_INVEPT_ALL |
                    VPID_CAP_INVVPID | VPID_CAP_INVVPID_ADDRESS | VPID_CAP_INVVPID_SINGLE |
                    VPID_CAP_INVVPID_ALL | VPID_CAP_INVVPID_KEEP_GLOBAL,
        .true_pin = control_msr(VMX_WORD_PIN, PIN_DEFAULT1),
        .true_proc = control_msr(VMX_WORD_PROC, PROC_DEFAULT1),
        .true_exit = control_msr(VMX_WORD_EXIT, EXITCTL_DEFAULT1),
        .true_entry = control_msr(VMX_WORD_ENTRY, ENTRYCTL_DEFAULT1),
        .vmfunc = VMFUNC_EPTP_SWITCHING,
        .proc3 = known_controls(VMX_WORD_PROC3),
        .exit2 = known_controls(VMX_WORD_EXIT2),
    };
}

#endif
