/* SPDX-License-Identifier: MIT */
#include "vmm/vmcs_dump.h"
#include "vmm/vmcs_text.h"
#include "arch/x86/vmx_names.h"
#include "lib/format.h"
#include "lib/string.h"

struct dump {
    const struct vmcs_image *v;
    const struct vmx_caps *caps;
    void (*line)(void *ctx, const char *text);
    void *ctx;
    char text[VMCS_DUMP_WIDTH + 1]; /* the line being filled */
    size_t length;
};

static void flush(struct dump *d)
{
    if (d->length)
        d->line(d->ctx, d->text);
    d->length = 0;
}

/* Puts text on the line, or, if it does not fit any more, on a new one that starts with indent spaces. */
static void put(struct dump *d, const char *text, u32 indent)
{
    if (d->length && d->length + 1 + strlen(text) > VMCS_DUMP_WIDTH)
        flush(d);
    if (!d->length)
        d->length = format(d->text, sizeof(d->text), "%*s%s", (int)indent, "", text);
    else
        d->length += format(d->text + d->length, sizeof(d->text) - d->length, " %s", text);
    d->length = MIN(d->length, (size_t)VMCS_DUMP_WIDTH);
}

/* A text of any length as lines of its own, broken at spaces, all but the first of them indented. */
static void put_wrapped(struct dump *d, const char *text)
{
    char word[VMCS_DUMP_WIDTH];
    u32 indent = 0;

    flush(d);
    while (*text) {
        size_t n = 0;

        while (text[n] && text[n] != ' ')
            n++;
        memcpy(word, text, MIN(n, sizeof(word) - 1));
        word[MIN(n, sizeof(word) - 1)] = 0;
        put(d, word, indent);
        indent = 4;
        text += n + (text[n] == ' ');
    }
    flush(d);
}

/* How many hexadecimal digits a field has, by the width in its encoding. */
static int digits(enum vmcs_index index)
{
    static const u8 by_width[] = {4, 16, 8, 16};

    return by_width[VMCS_ENC_WIDTH(vmcs_field_encoding(index))];
}

static void put_field(struct dump *d, enum vmcs_index index)
{
    char text[80];

    format(text, sizeof(text), "%s %0*llx", vmcs_field_name(index), digits(index),
           (unsigned long long)d->v->f[index]);
    put(d, text, 0);
}

/* Fields that get a line with their meaning. */
static const struct {
    u16 index;
    u8 word;
} control_words[] = {
    {VI_PIN_BASED_CONTROLS, VMX_WORD_PIN},     {VI_PRIMARY_CONTROLS, VMX_WORD_PROC},
    {VI_SECONDARY_CONTROLS, VMX_WORD_PROC2},   {VI_TERTIARY_CONTROLS, VMX_WORD_PROC3},
    {VI_PRIMARY_EXIT_CONTROLS, VMX_WORD_EXIT}, {VI_SECONDARY_EXIT_CONTROLS, VMX_WORD_EXIT2},
    {VI_ENTRY_CONTROLS, VMX_WORD_ENTRY},
};

static const struct {
    u16 info, error_code;
} events[] = {
    {VI_ENTRY_INTERRUPTION_INFO, VI_ENTRY_EXCEPTION_ERROR_CODE},
    {VI_EXIT_INTERRUPTION_INFO, VI_EXIT_INTERRUPTION_ERROR_CODE},
    {VI_IDT_VECTORING_INFO, VI_IDT_VECTORING_ERROR_CODE},
};

static void put_meaning(struct dump *d, enum vmcs_index index, const char *meaning)
{
    char text[1200];

    format(text, sizeof(text), "%s %0*llx: %s", vmcs_field_name(index), digits(index),
           (unsigned long long)d->v->f[index], meaning);
    put_wrapped(d, text);
}

/* A field whose value has a meaning beyond a number gets its own line; returns false for the others. */
static bool put_decoded(struct dump *d, enum vmcs_index index)
{
    u64 value = d->v->f[index];
    char meaning[1100];

    for (size_t i = 0; i < ARRAY_SIZE(control_words); i++) {
        if (control_words[i].index == index) {
            put_meaning(d, index, vmcs_text_controls(meaning, sizeof(meaning), control_words[i].word, value));
            return true;
        }
    }
    for (size_t i = 0; i < ARRAY_SIZE(events); i++) {
        if (events[i].info == index) {
            put_meaning(d, index,
                        vmcs_text_event(meaning, sizeof(meaning), value, d->v->f[events[i].error_code]));
            return true;
        }
    }
    if (index == VI_VM_INSTRUCTION_ERROR) {
        put_meaning(d, index, value ? vmx_instruction_error_text(value) : "none");
        return true;
    }
    if (index == VI_EXIT_REASON) {
        put_meaning(d, index,
                    vmcs_text_exit(meaning, sizeof(meaning), value, VMCS(d->v, EXIT_QUALIFICATION)));
        return true;
    }
    return false;
}

/* Segment registers in the order of their fields: the guest has LDTR, the host has no bases for most. */
static bool is_guest_segment_field(enum vmcs_index index)
{
    return (index >= VI_GUEST_ES_SELECTOR && index <= VI_GUEST_TR_SELECTOR) ||
           (index >= VI_GUEST_ES_BASE && index <= VI_GUEST_TR_BASE) ||
           (index >= VI_GUEST_ES_LIMIT && index <= VI_GUEST_TR_LIMIT) ||
           (index >= VI_GUEST_ES_ACCESS_RIGHTS && index <= VI_GUEST_TR_ACCESS_RIGHTS);
}

static void put_guest_segments(struct dump *d)
{
    static const char *const names[] = {"es", "cs", "ss", "ds", "fs", "gs", "ldtr", "tr"};
    char rights[64], text[VMCS_DUMP_WIDTH + 1];

    for (u32 i = 0; i < ARRAY_SIZE(names); i++) {
        u32 ar = d->v->f[VI_GUEST_ES_ACCESS_RIGHTS + i];

        format(text, sizeof(text), "%s %04x base %016llx limit %08x ar %04x %s", names[i],
               (u32)d->v->f[VI_GUEST_ES_SELECTOR + i], (unsigned long long)d->v->f[VI_GUEST_ES_BASE + i],
               (u32)d->v->f[VI_GUEST_ES_LIMIT + i], ar, vmcs_text_rights(rights, sizeof(rights), ar));
        put_wrapped(d, text);
    }
}

/* All fields of one type, in the order of their encodings. */
static void put_type(struct dump *d, u32 type)
{
    for (u32 i = 0; i < VMCS_NR_FIELDS; i++) {
        if (VMCS_ENC_TYPE(vmcs_field_encoding(i)) != type || !vmcs_field_exists(d->caps, i))
            continue;
        if (is_guest_segment_field(i) || put_decoded(d, i))
            continue;
        put_field(d, i);
    }
    flush(d);
}

enum field_type { TYPE_CONTROL, TYPE_DATA, TYPE_GUEST, TYPE_HOST };

char *entry_verdict_text(char *buf, size_t size, const struct entry_verdict *why,
                         const struct vmcs_image *vmcs)
{
    size_t n;

    if (!why->row) {
        format(buf, size, "all checks of VM entry pass");
        return buf;
    }
    n = format(buf, size, "%s", why->row);
    if (why->stage == ENTRY_MSR_LOADING && n < size)
        n += format(buf + n, size - n, ", entry %u", why->qualification);
    if (n < size)
        n += format(buf + n, size - n, ": %s 0x%llx", vmcs_field_name(why->field),
                    (unsigned long long)vmcs->f[why->field]);
    if (why->has_bits && n < size)
        format(buf + n, size - n, ", wrong bits 0x%llx", (unsigned long long)why->bits);
    return buf;
}

void vmcs_dump(const struct vmcs_image *vmcs, const struct vmx_caps *caps, const struct entry_verdict *why,
               void (*line)(void *ctx, const char *text), void *ctx)
{
    /* Not packed: put_wrapped() looks into them. */
    static const char *const headings[] = {
        [TYPE_CONTROL] = "VMCS control fields:",
        [TYPE_DATA] = "VMCS read-only data fields:",
        [TYPE_GUEST] = "VMCS guest-state area:",
        [TYPE_HOST] = "VMCS host-state area:",
    };
    static const u8 order[] = {TYPE_DATA, TYPE_GUEST, TYPE_CONTROL, TYPE_HOST};
    struct dump d = {.v = vmcs, .caps = caps, .line = line, .ctx = ctx};
    char text[320];

    if (why) {
        put(&d, "VM entry's checks:", 0);
        put_wrapped(&d, entry_verdict_text(text, sizeof(text), why, vmcs));
    }
    for (size_t i = 0; i < ARRAY_SIZE(order); i++) {
        put_wrapped(&d, headings[order[i]]);
        if (order[i] == TYPE_GUEST)
            put_guest_segments(&d);
        put_type(&d, order[i]);
    }
}
