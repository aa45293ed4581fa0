/* SPDX-License-Identifier: MIT */
#include "vmm/events_record.h"
#include "lib/string.h"

/* The header: version, bytes in all, oldest version that may read it, 0; u16 each. */
enum { AT_VERSION = 0, AT_SIZE = 2, AT_OLDEST = 4 };

#define FIELD(at, member)                                                         \
    {                                                                             \
        at, offsetof(struct events, member), sizeof(((struct events *)0)->member) \
    }

static const struct field {
    u16 at;           /* in the record */
    u16 offset, size; /* of the member */
} fields[] = {
    FIELD(8, exception_stage),
    FIELD(9, exception.vector),
    FIELD(10, exception.type),
    FIELD(11, exception.length),
    FIELD(12, exception.has_error),
    FIELD(13, exception.has_payload),
    FIELD(14, triple_fault),
    FIELD(15, nmi_injected),
    FIELD(16, exception.error_code),
    FIELD(20, interrupt_stage),
    FIELD(21, interrupt_type),
    FIELD(22, interrupt_vector),
    FIELD(23, interrupt_length),
    FIELD(24, exception.payload),
    FIELD(32, pending_debug),
    FIELD(40, interruptibility),
    FIELD(44, nmi_pending),
    FIELD(45, init),
    FIELD(46, sipi),
    FIELD(47, sipi_vector),
    /* 48 to 55: 0, room for flags of this version */
};

#define FLAGS_AT   48
#define PAYLOAD_AT 24

static void put(u8 *p, u64 value, u32 size)
{
    for (u32 i = 0; i < size; i++)
        p[i] = (u8)(value >> (8 * i));
}

static u64 get(const u8 *p, u32 size)
{
    u64 value = 0;

    for (u32 i = 0; i < size; i++)
        value |= (u64)p[i] << (8 * i);
    return value;
}

int events_save(const struct events *ev, void *record, size_t room)
{
    u8 *r = record;

    if (room < EVENTS_RECORD_SIZE)
        return ERR_RANGE;
    memset(r, 0, EVENTS_RECORD_SIZE);
    put(r + AT_VERSION, EVENTS_RECORD_VERSION, 2);
    put(r + AT_SIZE, EVENTS_RECORD_SIZE, 2);
    put(r + AT_OLDEST, EVENTS_RECORD_VERSION, 2);
    /* The CPU that runs Nidus is little-endian. */
    for (u32 i = 0; i < ARRAY_SIZE(fields); i++)
        memcpy(r + fields[i].at, (const u8 *)ev + fields[i].offset, fields[i].size);
    return OK;
}

/* Values by which a bool would become another thing than a bool are refused before they are one. */
static bool bools_ok(const u8 *r, size_t size)
{
    static const u8 at[] = {12, 13, 14, 15, 45, 46};

    for (u32 i = 0; i < ARRAY_SIZE(at); i++) {
        if (at[i] < size && r[at[i]] > 1)
            return false;
    }
    return true;
}

static bool length_ok(bool software, u8 length)
{
    return software ? length >= 1 && length <= 15 : length == 0;
}

static bool exception_ok(const struct events *ev)
{
    const struct event_exception *x = &ev->exception;
    bool hardware = x->type == INTR_TYPE_HARDWARE_EXCEPTION;

    if (ev->exception_stage == EVENT_NONE)
        return true;
    return ev->exception_stage <= EVENT_INJECTED && x->vector < 32 &&
           (hardware || x->type == INTR_TYPE_SOFTWARE_EXCEPTION ||
            x->type == INTR_TYPE_PRIVILEGED_SOFTWARE_EXCEPTION) &&
           length_ok(!hardware, x->length);
}

static bool interrupt_ok(const struct events *ev)
{
    bool software = ev->interrupt_type == INTR_TYPE_SOFTWARE_INTERRUPT;

    if (ev->interrupt_stage == EVENT_NONE)
        return true;
    return ev->interrupt_stage <= EVENT_INJECTED && (software || ev->interrupt_type == INTR_TYPE_EXTERNAL) &&
           !(software && ev->interrupt_stage == EVENT_PENDING) && length_ok(software, ev->interrupt_length);
}

static bool state_ok(const struct events *ev)
{
    const u64 debug = PENDING_DEBUG_B0_B3 | PENDING_DEBUG_BLD | PENDING_DEBUG_ENABLED | PENDING_DEBUG_BS |
                      PENDING_DEBUG_RTM;
    const u32 both = INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS;

    return exception_ok(ev) && interrupt_ok(ev) && ev->nmi_pending <= 2 && !(ev->pending_debug & ~debug) &&
           !(ev->interruptibility & ~(both | INTERRUPTIBILITY_NMI)) && (ev->interruptibility & both) != both;
}

/* In the record of any later version: flags of this one's room must be understood. */
static bool flags_known(const u8 *r, size_t size)
{
    for (size_t i = FLAGS_AT; i < MIN(size, EVENTS_RECORD_SIZE); i++) {
        if (r[i])
            return false;
    }
    return true;
}

int events_restore(struct events *ev, const void *record, size_t size)
{
    const u8 *r = record;
    struct events new;
    size_t length;

    if (size < EVENTS_RECORD_MIN)
        return ERR_RANGE;
    length = get(r + AT_SIZE, 2);
    if (size < length)
        return ERR_RANGE;
    if (!get(r + AT_VERSION, 2) || length < EVENTS_RECORD_MIN || !bools_ok(r, length))
        return ERR_INVAL;
    if (get(r + AT_OLDEST, 2) > EVENTS_RECORD_VERSION || !flags_known(r, length))
        return ERR_UNSUPP;
    events_reset(&new);
    for (u32 i = 0; i < ARRAY_SIZE(fields); i++) {
        const struct field *f = &fields[i];

        if (f->at + f->size <= length)
            memcpy((u8 *)&new + f->offset, r + f->at, f->size);
    }
    /* A payload that was cut off cannot be made up. */
    if (!state_ok(&new) || (new.exception.has_payload &&length < PAYLOAD_AT + sizeof(new.exception.payload)))
        return ERR_INVAL;
    *ev = new;
    return OK;
}
