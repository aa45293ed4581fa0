/* SPDX-License-Identifier: MIT */
#include "arch/x86/vmx_names.h"

static const char *const reasons[VMX_NR_EXIT_REASONS] = {
#define VMX_REASON(number, name, text) [number] = text,
#include "arch/x86/vmx_reasons.def"
#undef VMX_REASON
};

const char *vmx_exit_reason_name(u32 basic_reason)
{
    if (basic_reason >= ARRAY_SIZE(reasons) || !reasons[basic_reason])
        return "unknown exit reason";
    return reasons[basic_reason];
}

/* SDM, 'VM-Instruction Error Numbers'. */
static const char *const errors[VMX_NR_INSTRUCTION_ERRORS] = {
    [1] = "VMCALL executed in VMX root operation",
    [2] = "VMCLEAR with invalid physical address",
    [3] = "VMCLEAR with VMXON pointer",
    [4] = "VMLAUNCH with non-clear VMCS",
    [5] = "VMRESUME with non-launched VMCS",
    [6] = "VMRESUME after VMXOFF",
    [7] = "VM entry with invalid control field(s)",
    [8] = "VM entry with invalid host-state field(s)",
    [9] = "VMPTRLD with invalid physical address",
    [10] = "VMPTRLD with VMXON pointer",
    [11] = "VMPTRLD with incorrect VMCS revision identifier",
    [12] = "VMREAD/VMWRITE from/to unsupported VMCS component",
    [13] = "VMWRITE to read-only VMCS component",
    [15] = "VMXON executed in VMX root operation",
    [16] = "VM entry with invalid executive-VMCS pointer",
    [17] = "VM entry with non-launched executive VMCS",
    [18] = "VM entry with executive-VMCS pointer not VMXON pointer",
    [19] = "VMCALL with non-clear VMCS",
    [20] = "VMCALL with invalid VM-exit control fields",
    [22] = "VMCALL with incorrect MSEG revision identifier",
    [23] = "VMXOFF under dual-monitor treatment of SMIs and SMM",
    [24] = "VMCALL with invalid SMM-monitor features",
    [25] = "VM entry with invalid VM-execution control fields in executive VMCS",
    [26] = "VM entry with events blocked by MOV SS",
    [28] = "invalid operand to INVEPT/INVVPID",
};

const char *vmx_instruction_error_text(u32 error)
{
    if (error >= ARRAY_SIZE(errors) || !errors[error])
        return "unknown VM-instruction error";
    return errors[error];
}

static const char *const controls[VMX_NR_WORDS][32] = {
#define VMX_CONTROL(word, bit, name, text) [VMX_WORD_##word][bit] = text,
#include "arch/x86/vmx_controls.def"
#undef VMX_CONTROL
};

const char *vmx_control_bit_name(enum vmx_word word, u32 bit)
{
    if ((u32)word >= VMX_NR_WORDS || bit >= ARRAY_SIZE(controls[0]))
        return NULL;
    return controls[word][bit];
}

const char *vmx_intr_type_name(u32 type)
{
    static const char *const names[] = {
        [INTR_TYPE_EXTERNAL] = "external interrupt",
        [INTR_TYPE_RESERVED] = "reserved type 1",
        [INTR_TYPE_NMI] = "NMI",
        [INTR_TYPE_HARDWARE_EXCEPTION] = "hardware exception",
        [INTR_TYPE_SOFTWARE_INTERRUPT] = "software interrupt",
        [INTR_TYPE_PRIVILEGED_SOFTWARE_EXCEPTION] = "privileged software exception",
        [INTR_TYPE_SOFTWARE_EXCEPTION] = "software exception",
        [INTR_TYPE_OTHER_EVENT] = "other event",
    };

    return names[type & 7];
}

const char *vmx_exception_name(u32 vector)
{
    static const char *const names[] = {
        [0] = "#DE",  [1] = "#DB",  [3] = "#BP",  [4] = "#OF",  [5] = "#BR",  [6] = "#UD",  [7] = "#NM",
        [8] = "#DF",  [10] = "#TS", [11] = "#NP", [12] = "#SS", [13] = "#GP", [14] = "#PF", [16] = "#MF",
        [17] = "#AC", [18] = "#MC", [19] = "#XM", [20] = "#VE", [21] = "#CP",
    };

    if (vector >= ARRAY_SIZE(names) || !names[vector])
        return "vector";
    return names[vector];
}

static const char *const field_names[VMCS_NR_FIELDS] = {
#define VMCS_FIELD(field, encoding, exists) #field,
#include "arch/x86/vmcs_fields.def"
#undef VMCS_FIELD
};

static const u32 field_encodings[VMCS_NR_FIELDS] = {
#define VMCS_FIELD(field, encoding, exists) encoding,
#include "arch/x86/vmcs_fields.def"
#undef VMCS_FIELD
};

const char *vmcs_field_name(enum vmcs_index index)
{
    return field_names[index];
}

u32 vmcs_field_encoding(enum vmcs_index index)
{
    return field_encodings[index];
}
