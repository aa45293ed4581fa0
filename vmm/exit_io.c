/* SPDX-License-Identifier: MIT */
/* Exits for ports. Who serves an access is remembered under the exit qualification, which says all of it. */
#include "arch/x86/vmx.h"
#include "vmm/exit.h"
#include "vmm/fail.h"
#include "vmm/skip.h"
#include "vmm/string_io.h"

/* SDM, 'Exit Qualification for I/O Instructions'. */
#define IO_SIZE(q) (((q)&7) + 1)
#define IO_IN      BIT(3)
#define IO_STRING  BIT(4)
#define IO_PORT(q) ((u16)((q) >> 16))

/* The port that was accessed; out of the way of the usual case. */
COLD static void watch_port(struct vcpu *v)
{
    u64 q = vmread(EXIT_QUALIFICATION);

    vcpu_watch_port(v, IO_PORT(q), IO_SIZE(q));
}

COLD static bool string_exit(struct vcpu *v, u32 q)
{
    struct string_io io;

    string_io_from_exit(&io, q, (u32)vmread(EXIT_INSTRUCTION_INFO), (u32)vmread(EXIT_INSTRUCTION_LENGTH));
    if (string_io(v, &io))
        fail_guest(v, "string I/O with page tables outside of RAM");
    else if (has_breakpoints())
        watch_port(v);
    return vcpu_can_resume(v);
}

static inline struct port_access *remembered(struct vcpu *v, u32 q)
{
    return &v->ports[q * 0x9e3779b1u >> (32 - VCPU_PORTS_SHIFT)];
}

/* After a look-up of the bus, which may still not know of it: it was split, or has holes. */
static void remember(struct vcpu *v, u32 q)
{
    u32 size = IO_SIZE(q);
    const struct bus_hot *h = bus_hot_at(&v->pio, IO_PORT(q));

    if (h->key == BUS_KEY(IO_PORT(q), size))
        *remembered(v, q) = (struct port_access){.qualification = q,
                                                 .size = size,
                                                 .seq = h->seq,
                                                 .ops = h->ops,
                                                 .dev = h->dev,
                                                 .lock = h->lock,
                                                 .offset = h->offset,
                                                 .mask = h->mask,
                                                 .kept = size == 4 ? 0 : ~h->mask};
}

/* By way of the bus. */
static void access_anew(struct vcpu *v, u32 q)
{
    u32 size = IO_SIZE(q);
    u64 mask = BIT(8 * size) - 1, *rax = &v->gpr[REG_RAX];

    if (q & IO_IN)
        *rax = bus_read(&v->pio, IO_PORT(q), size) | (size == 4 ? 0 : *rax & ~mask);
    else
        bus_write(&v->pio, IO_PORT(q), size, *rax);
    remember(v, q);
}

static inline __attribute__((always_inline)) bool port_done(struct vcpu *v)
{
    skip_instruction();
    if (has_breakpoints())
        watch_port(v);
    return vcpu_can_resume(v);
}

COLD static bool look_up(struct vcpu *v, u32 q)
{
    if (q & IO_STRING)
        return string_exit(v, q);
    access_anew(v, q);
    return port_done(v);
}

/* With true p's lock is held, and the bus as it was. */
static inline bool enter(const struct vcpu *v, const struct port_access *p)
{
    if (p->lock)
        spin_lock(p->lock);
    if (likely(bus_seq(&v->pio) == p->seq))
        return true;
    bus_leave(p->lock);
    return false;
}

HOT bool exit_io(struct vcpu *v)
{
    u32 q = (u32)vmread(EXIT_QUALIFICATION);
    const struct port_access *p = remembered(v, q);
    u64 *rax = &v->gpr[REG_RAX];

    asm("" : "+r"(p)); /* else the compiler works it out again for each field */
    if (unlikely(p->qualification != q || !enter(v, p)))
        return look_up(v, q);
    if (q & IO_IN)
        *rax = (p->ops->read(p->dev, v, p->offset, p->size) & p->mask) | (*rax & p->kept);
    else
        p->ops->write(p->dev, v, p->offset, p->size, *rax & p->mask);
    bus_leave(p->lock);
    return port_done(v);
}
