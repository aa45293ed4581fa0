/* SPDX-License-Identifier: MIT */
#include "arch/x86/vmx_names.h"
#include "lib/packed.h"

/* The text whose key is the nth of the keys is the nth of the texts; null if no key is it. */
static const char *text_of(u32 key, const u8 *keys, u32 nr, const char *texts)
{
    for (u32 n = 0; n < nr; n++)
        if (keys[n] == key)
            return packed_nth(texts, n);
    return NULL;
}

#define VMX_REASON(number, name, text) number,
static const u8 reasons[] = {
#include "arch/x86/vmx_reasons.def"
};
#undef VMX_REASON

#define VMX_REASON(number, name, text) text "\0"
static const char reason_texts[] = PACK
#include "arch/x86/vmx_reasons.def"
    ;
#undef VMX_REASON

const char *vmx_exit_reason_name(u32 basic_reason)
{
    const char *text = text_of(basic_reason, reasons, ARRAY_SIZE(reasons), reason_texts);

    return text ? text : "unknown exit reason";
}

/* SDM, 'VM-Instruction Error Numbers'. */
/* clang-format off */
static const char errors[] = PACK
    /*  1 */ "VMCALL executed in VMX root operation\0"
    /*  2 */ "VMCLEAR with invalid physical address\0"
    /*  3 */ "VMCLEAR with VMXON pointer\0"
    /*  4 */ "VMLAUNCH with non-clear VMCS\0"
    /*  5 */ "VMRESUME with non-launched VMCS\0"
    /*  6 */ "VMRESUME after VMXOFF\0"
    /*  7 */ "VM entry with invalid control field(s)\0"
    /*  8 */ "VM entry with invalid host-state field(s)\0"
    /*  9 */ "VMPTRLD with invalid physical address\0"
    /* 10 */ "VMPTRLD with VMXON pointer\0"
    /* 11 */ "VMPTRLD with incorrect VMCS revision identifier\0"
    /* 12 */ "VMREAD/VMWRITE from/to unsupported VMCS component\0"
    /* 13 */ "VMWRITE to read-only VMCS component\0"
    /* 14 */ "\0"
    /* 15 */ "VMXON executed in VMX root operation\0"
    /* 16 */ "VM entry with invalid executive-VMCS pointer\0"
    /* 17 */ "VM entry with non-launched executive VMCS\0"
    /* 18 */ "VM entry with executive-VMCS pointer not VMXON pointer\0"
    /* 19 */ "VMCALL with non-clear VMCS\0"
    /* 20 */ "VMCALL with invalid VM-exit control fields\0"
    /* 21 */ "\0"
    /* 22 */ "VMCALL with incorrect MSEG revision identifier\0"
    /* 23 */ "VMXOFF under dual-monitor treatment of SMIs and SMM\0"
    /* 24 */ "VMCALL with invalid SMM-monitor features\0"
    /* 25 */ "VM entry with invalid VM-execution control fields in executive VMCS\0"
    /* 26 */ "VM entry with events blocked by MOV SS\0"
    /* 27 */ "\0"
    /* 28 */ "invalid operand to INVEPT/INVVPID\0"
;
/* clang-format on */

const char *vmx_instruction_error_text(u32 error)
{
    const char *text = error && error < VMX_NR_INSTRUCTION_ERRORS ? packed_nth(errors, error - 1) : "";

    return *text ? text : "unknown VM-instruction error";
}

#define CONTROL_KEY(word, bit) ((word) << 5 | (bit))
_Static_assert(CONTROL_KEY(VMX_NR_WORDS, 0) <= 256, "controls[]");

#define VMX_CONTROL(word, bit, name, text) CONTROL_KEY(VMX_WORD_##word, bit),
static const u8 controls[] = {
#include "arch/x86/vmx_controls.def"
};
#undef VMX_CONTROL

#define VMX_CONTROL(word, bit, name, text) text "\0"
static const char control_texts[] = PACK
#include "arch/x86/vmx_controls.def"
    ;
#undef VMX_CONTROL

const char *vmx_control_bit_name(enum vmx_word word, u32 bit)
{
    return bit < 32 ? text_of(CONTROL_KEY((u32)word, bit), controls, ARRAY_SIZE(controls), control_texts)
                    : NULL;
}

#define CAPABILITY_KEY(place, bit) (((place)-VMX_NR_WORDS) << 6 | (bit))
_Static_assert(CAPABILITY_KEY(VMX_NR_PLACES, 0) <= 256, "capabilities[]");

#define VMX_CAPABILITY(place, bit, text) CAPABILITY_KEY(VMX_CAP_##place, bit),
static const u8 capabilities[] = {
#include "arch/x86/vmx_capabilities.def"
};
#undef VMX_CAPABILITY

#define VMX_CAPABILITY(place, bit, text) text "\0"
static const char capability_texts[] = PACK
#include "arch/x86/vmx_capabilities.def"
    ;
#undef VMX_CAPABILITY

const char *vmx_capability_name(u32 place, u32 bit)
{
    if (place < VMX_NR_WORDS)
        return vmx_control_bit_name(place, bit);
    return text_of(CAPABILITY_KEY(place, bit), capabilities, ARRAY_SIZE(capabilities), capability_texts);
}

/* 'Interruption type', from 0 on. */
static const char types[] = PACK "external interrupt\0"
                                 "reserved type 1\0"
                                 "NMI\0"
                                 "hardware exception\0"
                                 "software interrupt\0"
                                 "privileged software exception\0"
                                 "software exception\0"
                                 "other event\0";

const char *vmx_intr_type_name(u32 type)
{
    return packed_nth(types, type & 7);
}

const char *vmx_exception_name(u32 vector)
{
    static const char names[][4] = {
        [0] = "#DE",  [1] = "#DB",  [3] = "#BP",  [4] = "#OF",  [5] = "#BR",  [6] = "#UD",  [7] = "#NM",
        [8] = "#DF",  [10] = "#TS", [11] = "#NP", [12] = "#SS", [13] = "#GP", [14] = "#PF", [16] = "#MF",
        [17] = "#AC", [18] = "#MC", [19] = "#XM", [20] = "#VE", [21] = "#CP",
    };

    return vector < ARRAY_SIZE(names) && *names[vector] ? names[vector] : "vector";
}

#define VMCS_FIELD(field, encoding, exists) #field "\0"
static const char field_names[] = PACK
#include "arch/x86/vmcs_fields.def"
    ;
#undef VMCS_FIELD

static const u16 field_encodings[VMCS_NR_FIELDS] = {
#define VMCS_FIELD(field, encoding, exists) encoding,
#include "arch/x86/vmcs_fields.def"
#undef VMCS_FIELD
};

const char *vmcs_field_name(enum vmcs_index index)
{
    return packed_nth(field_names, index);
}

u32 vmcs_field_encoding(enum vmcs_index index)
{
    return field_encodings[index];
}
