/* SPDX-License-Identifier: MIT */
/* VMREAD and VMWRITE, the exits that L1 makes most. */
#include "arch/x86/vmx.h"
#include "vmm/mmio_host.h"
#include "vmm/nested/instructions.h"
#include "vmm/nested/operand.h"
#include "vmm/vm.h"

#define TYPE_READ_ONLY 1
#define TYPE_GUEST     2
#define WIDTH_64       1

/* An encoding without the bits that are 0 in all of them: width, type and 6 bits of index. */
#define SLOT(e)   (((e) >> 1 & 0x3f) | ((e) >> 4 & 0xc0) | ((e) >> 5 & 0x300))
#define SLOT_BITS (VMCS_ENC_HIGH | 0x6c7e)
#define NR_SLOTS  0x400

/* By slot: enum vmcs_index plus 1; 0: there is no such field. */
static const u8 slots[NR_SLOTS] = {
#define VMCS_FIELD(name, encoding, exists) [SLOT(encoding)] = VI_##name + 1,
#include "arch/x86/vmcs_fields.def"
#undef VMCS_FIELD
};
_Static_assert(VMCS_NR_FIELDS < 256, "a slot is a byte");
#define VMCS_FIELD(name, encoding, exists) _Static_assert(!((encoding) & ~SLOT_BITS), #name " has a slot");
#include "arch/x86/vmcs_fields.def"
#undef VMCS_FIELD

static const u8 widths[VMCS_NR_FIELDS] = {
#define VMCS_FIELD(name, encoding, exists) VMCS_ENC_WIDTH(encoding),
#include "arch/x86/vmcs_fields.def"
#undef VMCS_FIELD
};

/* By width: 16, 64, 32 bits, natural. */
static const u64 width_mask[] = {0xffff, ~0ull, 0xffffffff, ~0ull};

void nested_fields_build(struct nested *n, const struct vmx_caps *caps)
{
    for (u32 i = 0; i < VMCS_NR_FIELDS; i++) {
        if (vmcs_field_exists(caps, i))
            n->fields[i / 64] |= BIT(i % 64);
        else
            n->fields[i / 64] &= ~BIT(i % 64);
    }
}

static inline bool exists(const struct nested *n, u32 index)
{
    return n->fields[index / 64] >> index % 64 & 1;
}

void nested_fields_clean(struct nested *n)
{
    for (u32 i = 0; i < VMCS_NR_FIELDS; i++)
        n->vmcs12.image.f[i] &= exists(n, i) ? width_mask[widths[i]] : 0;
}

/* Guest state, exit information, and the VM-entry controls, of which an exit changes some. */
static inline bool exit_changes(u64 encoding)
{
    u32 type = VMCS_ENC_TYPE(encoding);

    return type == TYPE_READ_ONLY || type == TYPE_GUEST || encoding == ENTRY_CONTROLS ||
           encoding == ENTRY_INTERRUPTION_INFO;
}

static inline void fresh(struct vcpu *v, u64 encoding)
{
    if (unlikely(!v->nested->synced) && exit_changes(encoding))
        nested_sync(v);
}

/* What an entry injects: L1's shadow VMCS may have newer values. */
static inline bool is_event(u32 index)
{
    return index == VI_ENTRY_INTERRUPTION_INFO || index == VI_ENTRY_EXCEPTION_ERROR_CODE ||
           index == VI_ENTRY_INSTRUCTION_LENGTH;
}

/* What the exit has saved is known by the controls that vmcs12 has now. The fields here are no part of that,
 * and vmcs02 does not have them. */
static inline void fresh_for_write(struct vcpu *v, u32 index)
{
    if (unlikely(!v->nested->synced) && index != VI_PREEMPTION_TIMER_VALUE && index != VI_HOST_RSP &&
        !is_event(index))
        nested_sync(v);
}

/* Null: L1 has no such field. Only 64-bit fields have a high half. */
static inline u64 *find(struct nested *n, struct vmcs_image *image, u64 encoding)
{
    u32 slot;

    if (encoding & ~(u64)SLOT_BITS || ((encoding & VMCS_ENC_HIGH) && VMCS_ENC_WIDTH(encoding) != WIDTH_64))
        return NULL;
    slot = slots[SLOT(encoding)];
    return slot && exists(n, slot - 1) ? &image->f[slot - 1] : NULL;
}

u64 *nested_field(struct nested *n, struct vmcs_image *image, u64 encoding)
{
    return find(n, image, encoding);
}

static inline u64 get(struct vcpu *v, u32 n, u32 size)
{
    u64 value = likely(n != REG_RSP) ? v->gpr[n] : vcpu_get_reg(v, n);

    return size == 8 ? value : (u32)value;
}

static inline void set(struct vcpu *v, u32 n, u64 value)
{
    if (likely(n != REG_RSP))
        v->gpr[n] = value;
    else
        vcpu_set_reg(v, n, value);
}

/* A field that is narrower than the operand is zero-extended, of a wider one the low part is read. */
HOT bool nested_vmread(struct vcpu *v)
{
    u32 size = nested_permitted(v), info;
    u64 encoding, value;
    const u64 *field;
    int r;

    if (unlikely(!size))
        return false;
    if (unlikely(v->nested->current == NO_VMCS))
        return nested_fail_invalid(v);
    info = (u32)vmread(EXIT_INSTRUCTION_INFO);
    encoding = get(v, OPERAND_REG2(info), size);
    field = find(v->nested, &v->nested->vmcs12.image, encoding);
    if (unlikely(!field))
        return nested_fail(v, VMX_ERROR_UNSUPPORTED_COMPONENT);
    fresh(v, encoding);
    value = encoding & VMCS_ENC_HIGH ? *field >> 32 : *field;
    if (unlikely(!(info & OPERAND_REGISTER))) {
        r = nested_operand_write(v, &value, size);
        if (r)
            return nested_stop(v, r);
    } else {
        set(v, OPERAND_REG1(info), size == 8 ? value : (u32)value);
    }
    return nested_succeed(v);
}

bool nested_field_writable(const struct vcpu *v, u64 encoding)
{
    return VMCS_ENC_TYPE(encoding) != TYPE_READ_ONLY || (v->vm->nested_caps.misc & VMX_MISC_VMWRITE_ANY);
}

static inline u64 with(u64 field, u64 encoding, u64 value)
{
    if (encoding & VMCS_ENC_HIGH)
        return (u32)field | value << 32;
    return value & width_mask[VMCS_ENC_WIDTH(encoding)];
}

u64 nested_field_with(u64 field, u64 encoding, u64 value)
{
    return with(field, encoding, value);
}

/* A memory operand is read before the field is looked at: the SDM does not say which comes first. A field
 * that is wider than the operand is filled up with zeros. */
HOT bool nested_vmwrite(struct vcpu *v)
{
    u32 size = nested_permitted(v), info, index;
    u64 encoding, value = 0, *field;
    int r;

    if (unlikely(!size))
        return false;
    if (unlikely(v->nested->current == NO_VMCS))
        return nested_fail_invalid(v);
    info = (u32)vmread(EXIT_INSTRUCTION_INFO);
    if (unlikely(!(info & OPERAND_REGISTER))) {
        r = nested_operand_read(v, &value, size);
        if (r)
            return nested_stop(v, r);
    } else {
        value = get(v, OPERAND_REG1(info), size);
    }
    encoding = get(v, OPERAND_REG2(info), size);
    field = find(v->nested, &v->nested->vmcs12.image, encoding);
    if (unlikely(!field))
        return nested_fail(v, VMX_ERROR_UNSUPPORTED_COMPONENT);
    if (!nested_field_writable(v, encoding))
        return nested_fail(v, VMX_ERROR_VMWRITE_READ_ONLY);
    index = (u32)(field - v->nested->vmcs12.image.f);
    /* Some set controls before every entry to what they are: it need not check them again. */
    if (with(*field, encoding, value) == *field && !exit_changes(encoding) && !is_event(index))
        return nested_succeed(v);
    fresh_for_write(v, index);
    *field = with(*field, encoding, value);
    nested_written(v, index);
    return nested_succeed(v);
}
