/* SPDX-License-Identifier: MIT */
/*
 * The posted-interrupt descriptor: SDM 325462 volume 3, 'Posted-Interrupt Processing', and what posts to one:
 * 'IPI Virtualization'. Whoever posts sets the vector's bit in PIR, then ON unless SN is set, and who has set
 * ON sends the notification. Its owner clears ON, then empties PIR.
 */
#ifndef VMM_PI_DESC_H
#define VMM_PI_DESC_H

#include "lib/types.h"

#define PIR_WORDS 4

struct pi_desc {
    u64 pir[PIR_WORDS];
    union {
        u64 control;
        struct {
            u8 flags, reserved, nv, reserved_too;
            u32 ndst;
        };
    };
    u64 software[3];
};

/* Its control word */
#define PID_ON      BIT(0)
#define PID_SN      BIT(1)
#define PID_NV(w)   ((u8)((w) >> 16))
#define PID_NDST(w) ((u32)((w) >> 32))

/* True: the caller has to notify. */
static inline bool pi_post(struct pi_desc *d, u8 vector)
{
    bool was_on;

    asm volatile("lock btsq %1, %0" : "+m"(d->pir) : "r"((u64)vector) : "memory", "cc");
    if (__atomic_load_n(&d->control, __ATOMIC_RELAXED) & (PID_ON | PID_SN))
        return false;
    asm volatile("lock btsq $0, %1" : "=@ccc"(was_on), "+m"(d->control) : : "memory");
    return !was_on;
}

/* The PID-pointer table, by APIC ids: a page. An entry is a descriptor's physical address. */
#define PID_POINTERS      (PAGE_SIZE / sizeof(u64))
#define PID_POINTER_VALID BIT(0)

static inline bool pi_is_on(const struct pi_desc *d)
{
    return __atomic_load_n(&d->control, __ATOMIC_ACQUIRE) & PID_ON;
}

#endif
