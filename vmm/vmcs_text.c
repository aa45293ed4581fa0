/* SPDX-License-Identifier: MIT */
#include "vmm/vmcs_text.h"
#include "arch/x86/vmx_caps.h"
#include "arch/x86/vmx_names.h"
#include "lib/format.h"
#include "lib/packed.h"

struct text {
    char *buf;
    size_t size, length;
};

static void add(struct text *t, const char *fmt, ...) __printf(2, 3);
#define add(t, ...) add(t, PACK __VA_ARGS__)

/* What does not fit is cut off. */
static void(add)(struct text *t, const char *fmt, ...)
{
    va_list args;
    size_t n;

    va_start(args, fmt);
    n = format_va(t->buf + t->length, t->size - t->length, fmt, args);
    va_end(args);
    t->length = MIN(t->length + n, t->size - 1);
}

static struct text start(char *buf, size_t size)
{
    buf[0] = 0;
    return (struct text){buf, size, 0};
}

/* Texts for bits, each after a separator. */
struct bit_text {
    u64 bit;
    const char *text;
};

static void add_bits(struct text *t, u64 value, const char *separator, const struct bit_text *bits, size_t nr)
{
    for (size_t i = 0; i < nr; i++)
        if ((value & bits[i].bit) == bits[i].bit)
            add(t, "%s%s", separator, bits[i].text);
}

/* 'System- and Gate-Descriptor Types', for what may be in LDTR and TR. */
static const char *system_type(u32 type)
{
    static const char *const names[16] = {
        [1] = "tss16", [2] = "ldt", [3] = PACK "tss16-busy", [9] = "tss", [11] = PACK "tss-busy",
    };

    return names[type] ? names[type] : "system";
}

static void add_code_or_data(struct text *t, u32 rights)
{
    u32 type = SEG_AR_TYPE(rights);

    if (type & 8) {
        add(t, " code%s", rights & SEG_AR_L ? "64" : rights & SEG_AR_DB ? "32" : "16");
        add(t, "%s%s", type & 4 ? " conforming" : "", type & 2 ? "" : " execute-only");
    } else {
        add(t, " data%s", rights & SEG_AR_DB ? "32" : "16");
        add(t, "%s%s", type & 4 ? " expand-down" : "", type & 2 ? "" : " read-only");
    }
    add(t, "%s", type & 1 ? "" : " not-accessed");
}

char *vmcs_text_rights(char *buf, size_t size, u32 rights)
{
    struct text t = start(buf, size);

    if (rights & SEG_AR_UNUSABLE) {
        add(&t, "unusable");
        return buf;
    }
    add(&t, "%s", rights & SEG_AR_P ? "present" : "absent");
    if (rights & SEG_AR_S)
        add_code_or_data(&t, rights);
    else
        add(&t, " %s", system_type(SEG_AR_TYPE(rights)));
    add(&t, " dpl%u", SEG_AR_DPL(rights));
    return buf;
}

char *vmcs_text_event(char *buf, size_t size, u32 info, u32 error_code)
{
    struct text t = start(buf, size);
    u32 type = INTR_INFO_TYPE(info), vector = INTR_INFO_VECTOR(info);
    bool exception = type == INTR_TYPE_HARDWARE_EXCEPTION || type == INTR_TYPE_SOFTWARE_EXCEPTION ||
                     type == INTR_TYPE_PRIVILEGED_SOFTWARE_EXCEPTION;

    if (!(info & INTR_INFO_VALID)) {
        add(&t, "none");
        return buf;
    }
    add(&t, "%s", vmx_intr_type_name(type));
    if (exception)
        add(&t, " %s", vmx_exception_name(vector));
    if (!exception || vmx_exception_name(vector)[0] != '#')
        add(&t, " %u", vector);
    if (info & INTR_INFO_DELIVER_ERROR)
        add(&t, ", error code 0x%x", error_code);
    if (info & INTR_INFO_UNBLOCKING_IRET)
        add(&t, ", NMI unblocking due to IRET");
    return buf;
}

/* 'Exit Qualification for EPT Violations'. */
static void add_ept_violation(struct text *t, u64 q)
{
    static const struct bit_text access[] = {
        {BIT(0), "read"},
        {BIT(1), PACK "write"},
        {BIT(2), PACK "instruction fetch"},
    };

    add_bits(t, q, " ", access, ARRAY_SIZE(access));
    add(t, ", page is %c%c%c", q & BIT(3) ? 'r' : '-', q & BIT(4) ? 'w' : '-', q & BIT(5) ? 'x' : '-');
    if (q & BIT(7))
        add(t, ", %s",
            q & BIT(8) ? PACK "at the linear address's translation" : PACK "during the guest's page walk");
    else
        add(t, ", no linear address");
}

/* 'Exit Qualification for Control-Register Accesses'. */
static void add_cr_access(struct text *t, u64 q)
{
    static const char *const regs[] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                       "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};
    u32 cr = q & 15;
    const char *reg = regs[q >> 8 & 15];

    switch (q >> 4 & 3) {
    case 0:
        add(t, " mov cr%u, %s", cr, reg);
        return;
    case 1:
        add(t, " mov %s, cr%u", reg, cr);
        return;
    case 2:
        add(t, " clts");
        return;
    default:
        add(t, " lmsw 0x%x", (u32)(q >> 16) & 0xffff);
    }
}

static void add_mov_dr(struct text *t, u64 q)
{
    add(t, " %s dr%u", q & BIT(4) ? "read of" : "write to", (u32)q & 7);
}

/* 'Exit Qualification for I/O Instructions'. */
static void add_io(struct text *t, u64 q)
{
    u32 bytes = (q & 7) + 1;

    add(t, " %s%s%s port 0x%x, %u byte%s", q & BIT(5) ? "rep " : "", q & BIT(3) ? "in" : "out",
        q & BIT(4) ? "s" : "", (u32)(q >> 16) & 0xffff, bytes, bytes == 1 ? "" : "s");
}

/* 'Exit Qualification for Task Switches'. */
static void add_task_switch(struct text *t, u64 q)
{
    static const char *const sources[] = {"CALL", "IRET", "JMP", "task gate"};

    add(t, " to selector 0x%x by %s", (u32)q & 0xffff, sources[q >> 30 & 3]);
}

/* 'Exit Qualification for APIC-Access VM Exits from Linear Accesses and Guest-Physical Accesses'. */
static void add_apic_access(struct text *t, u64 q)
{
    static const char *const types[16] = {
        [0] = PACK "linear read",
        [1] = PACK "linear write",
        [2] = PACK "linear instruction fetch",
        [3] = PACK "linear access during event delivery",
        [4] = PACK "linear access for monitoring",
        [10] = PACK "guest-physical access during event delivery",
        [11] = PACK "guest-physical access for monitoring or trace",
        [15] = PACK "guest-physical access for an instruction",
    };
    const char *type = types[q >> 12 & 15];

    add(t, " %s at offset 0x%x", type ? type : "access", (u32)q & 0xfff);
}

static void add_guest_state(struct text *t, u64 q)
{
    static const char *const reasons[] = {
        [ENTRY_FAIL_PDPTE] = " loading the PDPTEs",
        [ENTRY_FAIL_NMI] = " NMI into a guest that blocks by STI",
        [ENTRY_FAIL_LINK_POINTER] = " VMCS link pointer",
    };

    if (q < ARRAY_SIZE(reasons) && reasons[q])
        add(t, "%s", reasons[q]);
    else
        add(t, " qualification %llu", (unsigned long long)q);
}

static void add_msr_entry(struct text *t, u64 q)
{
    add(t, " entry %llu", (unsigned long long)q);
}

static void add_vector(struct text *t, u64 q)
{
    add(t, " vector %u", (u32)q & 0xff);
}

static void add_offset(struct text *t, u64 q)
{
    add(t, " offset 0x%x", (u32)q & 0xfff);
}

static void add_linear_address(struct text *t, u64 q)
{
    add(t, " linear address 0x%llx", (unsigned long long)q);
}

/* Reasons whose qualification says something. */
static const struct {
    u32 reason;
    void (*describe)(struct text *t, u64 qualification);
} qualifications[] = {
    {EXIT_REASON_SIPI, add_vector},
    {EXIT_REASON_TASK_SWITCH, add_task_switch},
    {EXIT_REASON_INVLPG, add_linear_address},
    {EXIT_REASON_CR_ACCESS, add_cr_access},
    {EXIT_REASON_MOV_DR, add_mov_dr},
    {EXIT_REASON_IO_INSTRUCTION, add_io},
    {EXIT_REASON_ENTRY_FAILURE_GUEST_STATE, add_guest_state},
    {EXIT_REASON_ENTRY_FAILURE_MSR_LOADING, add_msr_entry},
    {EXIT_REASON_APIC_ACCESS, add_apic_access},
    {EXIT_REASON_VIRTUALIZED_EOI, add_vector},
    {EXIT_REASON_EPT_VIOLATION, add_ept_violation},
    {EXIT_REASON_APIC_WRITE, add_offset},
};

char *vmcs_text_exit(char *buf, size_t size, u32 reason, u64 qualification)
{
    static const struct bit_text flags[] = {
        {EXIT_REASON_SHADOW_STACK, PACK "shadow stack prematurely busy"},
        {EXIT_REASON_BUS_LOCK_FLAG, PACK "bus lock"},
        {EXIT_REASON_ENCLAVE, PACK "in an enclave"},
        {EXIT_REASON_PENDING_MTF, PACK "MTF pending"},
        {EXIT_REASON_FROM_ROOT, PACK "from VMX root operation"},
        {EXIT_REASON_ENTRY_FAILURE, PACK "at VM entry"},
    };
    struct text t = start(buf, size);
    u32 basic = EXIT_REASON_BASIC(reason);

    add(&t, "%s", vmx_exit_reason_name(basic));
    add_bits(&t, reason, ", ", flags, ARRAY_SIZE(flags));
    for (size_t i = 0; i < ARRAY_SIZE(qualifications); i++) {
        if (qualifications[i].reason == basic) {
            add(&t, ":");
            qualifications[i].describe(&t, qualification);
        }
    }
    return buf;
}

char *vmcs_text_controls(char *buf, size_t size, enum vmx_word word, u64 value)
{
    struct text t = start(buf, size);

    for (value &= ~vmx_default1(word); value; value &= value - 1) {
        u32 bit = __builtin_ctzll(value);
        const char *name = vmx_control_bit_name(word, bit);

        add(&t, "%s", t.length ? ", " : "");
        if (name)
            add(&t, "%s", name);
        else
            add(&t, "reserved bit %u", bit);
    }
    return buf;
}
