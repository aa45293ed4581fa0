/* SPDX-License-Identifier: MIT */
#include "guest/common/mode32.h"
#include "guest/common/segments.h"

extern u64 gdt[];
u64 idt32[32] __aligned(16);
extern u8 idt32_entries[32][16];
void mode32_enter(struct mode32 *m);

static u16 task_gates[32];

/* SDM, 'IDT Descriptors': a task gate, or a 32-bit interrupt gate; both of DPL 0. */
static u64 gate(u32 vector)
{
    u64 entry = (u64)idt32_entries[vector];

    if (task_gates[vector])
        return (u64)task_gates[vector] << 16 | 0x85ull << 40;
    return (entry & 0xffff) | SEL_CODE32 << 16 | 0x8eull << 40 | (entry & 0xffff0000) << 32;
}

void mode32_descriptor(u16 selector, const void *base, u32 limit, u8 access)
{
    u64 b = (u64)base;

    gdt[selector >> 3] = limit | (b & 0xffffff) << 16 | (u64)access << 40 | (b >> 24 & 0xff) << 56;
}

void mode32_task_gate(u8 vector, u16 selector)
{
    task_gates[vector] = selector;
}

void mode32_run(struct mode32 *m)
{
    for (u32 v = 0; v < 32; v++)
        idt32[v] = gate(v);
    mode32_enter(m);
}
