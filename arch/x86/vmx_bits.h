/* SPDX-License-Identifier: MIT */
/* Bits and numbers of VMX, by the SDM's names (order number 326019, chapters on VMX and appendices A and C).
 */
#ifndef ARCH_X86_VMX_BITS_H
#define ARCH_X86_VMX_BITS_H

#include "lib/types.h"

/* The words that hold VMX controls. PROC3 and EXIT2 have 64 bits, the others 32. */
enum vmx_word {
    VMX_WORD_PIN,
    VMX_WORD_PROC,
    VMX_WORD_PROC2,
    VMX_WORD_PROC3,
    VMX_WORD_EXIT,
    VMX_WORD_EXIT2,
    VMX_WORD_ENTRY,
    VMX_NR_WORDS
};

/* Where the bit of a capability is: the words, and MSRs whose bits are capabilities themselves. */
enum vmx_place {
    VMX_CAP_BASIC = VMX_NR_WORDS,
    VMX_CAP_MISC,
    VMX_CAP_EPT_VPID,
    VMX_CAP_VMFUNC,
    VMX_NR_PLACES
};

/* PIN_*, PROC_*, PROC2_*, PROC3_*, EXITCTL_*, EXITCTL2_*, ENTRYCTL_*: each control as a mask for its word. */
enum vmx_control {
#define VMX_CONTROL(word, bit, name, text) name = BIT(bit),
#include "arch/x86/vmx_controls.def"
#undef VMX_CONTROL
};

/* Reserved bits of the default1 class: they must be 1 and mean nothing. Bits that have a name by now are left
 * out. */
#define PIN_DEFAULT1      0x00000016u
#define PROC_DEFAULT1     0x04006172u
#define EXITCTL_DEFAULT1  0x00036dfbu
#define ENTRYCTL_DEFAULT1 0x000011fbu

/* EXIT_REASON_* */
enum vmx_exit_reason {
#define VMX_REASON(number, name, text) EXIT_REASON_##name = number,
#include "arch/x86/vmx_reasons.def"
#undef VMX_REASON
    VMX_NR_EXIT_REASONS = 80
};

/* The EXIT_REASON field beside its low 16 bits: 'Basic VM-Exit Information'. */
#define EXIT_REASON_BASIC(reason) ((u32)(reason)&0xffff)
#define EXIT_REASON_SHADOW_STACK  BIT(25)
#define EXIT_REASON_BUS_LOCK_FLAG BIT(26)
#define EXIT_REASON_ENCLAVE       BIT(27)
#define EXIT_REASON_PENDING_MTF   BIT(28)
#define EXIT_REASON_FROM_ROOT     BIT(29)
#define EXIT_REASON_ENTRY_FAILURE BIT(31)

/* 'VM-Instruction Error Numbers': the ones that code asks for. Texts: vmx_instruction_error_text(). */
enum vmx_instruction_error {
    VMX_ERROR_VMCALL_IN_ROOT = 1,
    VMX_ERROR_VMCLEAR_ADDRESS = 2,
    VMX_ERROR_VMCLEAR_VMXON_POINTER = 3,
    VMX_ERROR_VMLAUNCH_NOT_CLEAR = 4,
    VMX_ERROR_VMRESUME_NOT_LAUNCHED = 5,
    VMX_ERROR_VMRESUME_AFTER_VMXOFF = 6,
    VMX_ERROR_ENTRY_CONTROLS = 7,
    VMX_ERROR_ENTRY_HOST_STATE = 8,
    VMX_ERROR_VMPTRLD_ADDRESS = 9,
    VMX_ERROR_VMPTRLD_VMXON_POINTER = 10,
    VMX_ERROR_VMPTRLD_REVISION = 11,
    VMX_ERROR_UNSUPPORTED_COMPONENT = 12,
    VMX_ERROR_VMWRITE_READ_ONLY = 13,
    VMX_ERROR_VMXON_IN_ROOT = 15,
    VMX_ERROR_EVENTS_BLOCKED_BY_MOV_SS = 26,
    VMX_ERROR_INVEPT_INVVPID_OPERAND = 28,
    VMX_NR_INSTRUCTION_ERRORS = 29
};

/* Qualification of an exit with reason 33: 'VM-Entry Failures During or After Loading Guest State'. */
#define ENTRY_FAIL_DEFAULT      0
#define ENTRY_FAIL_PDPTE        2
#define ENTRY_FAIL_NMI          3
#define ENTRY_FAIL_LINK_POINTER 4

/* Interruption information (VM entry, VM exit and IDT-vectoring have the same lay-out). */
#define INTR_INFO_VECTOR(info)    ((u32)(info)&0xff)
#define INTR_INFO_TYPE(info)      (((u32)(info) >> 8) & 7)
#define INTR_INFO_DELIVER_ERROR   BIT(11)
#define INTR_INFO_UNBLOCKING_IRET BIT(12) /* VM-exit information only: NMI unblocking due to IRET */
#define INTR_INFO_VALID           BIT(31)
#define INTR_INFO(type, vector)   ((u32)(INTR_INFO_VALID | (u32)(type) << 8 | (vector)))

enum intr_type {
    INTR_TYPE_EXTERNAL = 0,
    INTR_TYPE_RESERVED = 1,
    INTR_TYPE_NMI = 2,
    INTR_TYPE_HARDWARE_EXCEPTION = 3,
    INTR_TYPE_SOFTWARE_INTERRUPT = 4,
    INTR_TYPE_PRIVILEGED_SOFTWARE_EXCEPTION = 5,
    INTR_TYPE_SOFTWARE_EXCEPTION = 6,
    INTR_TYPE_OTHER_EVENT = 7, /* VM entry: pending MTF VM exit, with vector 0 */
};

/* Guest non-register state. */
enum vmx_activity { ACTIVITY_ACTIVE, ACTIVITY_HLT, ACTIVITY_SHUTDOWN, ACTIVITY_WAIT_FOR_SIPI };

/* 'Exit Qualification for EPT Violations' */
#define EPT_QUAL_READ          BIT(0)
#define EPT_QUAL_WRITE         BIT(1)
#define EPT_QUAL_FETCH         BIT(2)
#define EPT_QUAL_RIGHTS_SHIFT  3      /* what all entries allow: read, write, execute */
#define EPT_QUAL_EXEC_USER     BIT(6) /* the fourth of them, with mode-based execute control */
#define EPT_QUAL_LINEAR_VALID  BIT(7)
#define EPT_QUAL_TRANSLATION   BIT(8)      /* the access was to the linear address's translation */
#define EPT_QUAL_ADVANCED      BITS(11, 9) /* of the linear address's page, with EPT_CAP_ADVANCED_EXIT_INFO */
#define EPT_QUAL_USER          BIT(9)      /* of them: it is a user-mode address */
#define EPT_QUAL_UNBLOCKED_NMI BIT(12)     /* an IRET had ended blocking by NMI */

#define INTERRUPTIBILITY_STI     BIT(0)
#define INTERRUPTIBILITY_MOV_SS  BIT(1)
#define INTERRUPTIBILITY_SMI     BIT(2)
#define INTERRUPTIBILITY_NMI     BIT(3)
#define INTERRUPTIBILITY_ENCLAVE BIT(4)

#define PENDING_DEBUG_B0_B3   0xfull
#define PENDING_DEBUG_BLD     BIT(11) /* detection of a bus lock */
#define PENDING_DEBUG_ENABLED BIT(12)
#define PENDING_DEBUG_BS      BIT(14)
#define PENDING_DEBUG_RTM     BIT(16)

/* Segment access rights in the VMCS. */
#define SEG_AR_TYPE(ar) ((u32)(ar)&0xf)
#define SEG_AR_S        BIT(4)
#define SEG_AR_DPL(ar)  (((u32)(ar) >> 5) & 3)
#define SEG_AR_P        BIT(7)
#define SEG_AR_AVL      BIT(12)
#define SEG_AR_L        BIT(13)
#define SEG_AR_DB       BIT(14)
#define SEG_AR_G        BIT(15)
#define SEG_AR_UNUSABLE BIT(16)
#define SEG_AR_RESERVED 0xfffe0f00u

/* Extended-page-table pointer. */
#define EPTP_MEMORY_TYPE(eptp) ((eptp)&7)
#define EPTP_WALK_LENGTH(eptp) ((((eptp) >> 3) & 7) + 1)
#define EPTP_WB                6ull
#define EPTP_WALK_4            (3ull << 3)
#define EPTP_WALK_5            (4ull << 3)
#define EPTP_ACCESSED_DIRTY    BIT(6)
#define EPTP_SHADOW_STACK      BIT(7)

/* 'Format of an MSR Entry': of the MSR-load and MSR-store areas. */
struct vmx_msr_entry {
    u32 index, reserved;
    u64 value;
};

/* Capability MSRs ('VMX Capability Reporting Facility'). */
#define MSR_IA32_FEATURE_CONTROL         0x3a
#define MSR_IA32_VMX_BASIC               0x480
#define MSR_IA32_VMX_PINBASED_CTLS       0x481
#define MSR_IA32_VMX_PROCBASED_CTLS      0x482
#define MSR_IA32_VMX_EXIT_CTLS           0x483
#define MSR_IA32_VMX_ENTRY_CTLS          0x484
#define MSR_IA32_VMX_MISC                0x485
#define MSR_IA32_VMX_CR0_FIXED0          0x486
#define MSR_IA32_VMX_CR0_FIXED1          0x487
#define MSR_IA32_VMX_CR4_FIXED0          0x488
#define MSR_IA32_VMX_CR4_FIXED1          0x489
#define MSR_IA32_VMX_VMCS_ENUM           0x48a
#define MSR_IA32_VMX_PROCBASED_CTLS2     0x48b
#define MSR_IA32_VMX_EPT_VPID_CAP        0x48c
#define MSR_IA32_VMX_TRUE_PINBASED_CTLS  0x48d
#define MSR_IA32_VMX_TRUE_PROCBASED_CTLS 0x48e
#define MSR_IA32_VMX_TRUE_EXIT_CTLS      0x48f
#define MSR_IA32_VMX_TRUE_ENTRY_CTLS     0x490
#define MSR_IA32_VMX_VMFUNC              0x491
#define MSR_IA32_VMX_PROCBASED_CTLS3     0x492
#define MSR_IA32_VMX_EXIT_CTLS2          0x493

#define FEATURE_CONTROL_LOCKED          BIT(0)
#define FEATURE_CONTROL_VMX_INSIDE_SMX  BIT(1)
#define FEATURE_CONTROL_VMX_OUTSIDE_SMX BIT(2)

#define VMX_BASIC_REVISION(basic)    ((u32)(basic)&0x7fffffff)
#define VMX_BASIC_REGION_SIZE(basic) ((u32)((basic) >> 32) & 0x1fff)
#define VMX_BASIC_32BIT_ADDRESSES    BIT(48)
#define VMX_BASIC_DUAL_MONITOR       BIT(49)
#define VMX_BASIC_MEMORY_TYPE(basic) ((u32)((basic) >> 50) & 0xf)
#define VMX_BASIC_INS_OUTS           BIT(54)
#define VMX_BASIC_TRUE_CONTROLS      BIT(55)
#define VMX_BASIC_ANY_ERROR_CODE     BIT(56)

#define VMX_MISC_TIMER_SHIFT(misc)  ((u32)(misc)&0x1f)
#define VMX_MISC_STORE_LMA          BIT(5)
#define VMX_MISC_ACTIVITY_HLT       BIT(6)
#define VMX_MISC_ACTIVITY_SHUTDOWN  BIT(7)
#define VMX_MISC_ACTIVITY_SIPI      BIT(8)
#define VMX_MISC_INTEL_PT           BIT(14)
#define VMX_MISC_CR3_TARGETS(misc)  ((u32)((misc) >> 16) & 0x1ff)
#define VMX_MISC_MSR_LIST_MAX(misc) (512 * (((u32)((misc) >> 25) & 7) + 1))
#define VMX_MISC_VMWRITE_ANY        BIT(29)
#define VMX_MISC_ZERO_LENGTH        BIT(30)

#define EPT_CAP_EXECUTE_ONLY         BIT(0)
#define EPT_CAP_WALK_4               BIT(6)
#define EPT_CAP_WALK_5               BIT(7)
#define EPT_CAP_UC                   BIT(8)
#define EPT_CAP_WB                   BIT(14)
#define EPT_CAP_2M                   BIT(16)
#define EPT_CAP_1G                   BIT(17)
#define EPT_CAP_INVEPT               BIT(20)
#define EPT_CAP_ACCESSED_DIRTY       BIT(21)
#define EPT_CAP_ADVANCED_EXIT_INFO   BIT(22)
#define EPT_CAP_SHADOW_STACK         BIT(23)
#define EPT_CAP_INVEPT_SINGLE        BIT(25)
#define EPT_CAP_INVEPT_ALL           BIT(26)
#define VPID_CAP_INVVPID             BIT(32)
#define VPID_CAP_INVVPID_ADDRESS     BIT(40)
#define VPID_CAP_INVVPID_SINGLE      BIT(41)
#define VPID_CAP_INVVPID_ALL         BIT(42)
#define VPID_CAP_INVVPID_KEEP_GLOBAL BIT(43)

#define VMFUNC_EPTP_SWITCHING BIT(0)

#endif
