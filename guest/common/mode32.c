/* SPDX-License-Identifier: MIT */
#include "guest/common/mode32.h"
#include "guest/common/segments.h"

u64 idt32[32] __aligned(16);
extern u8 idt32_entries[32][16];
void mode32_enter(struct mode32 *m);

void mode32_run(struct mode32 *m)
{
    for (u32 v = 0; v < 32; v++) {
        u64 entry = (u64)idt32_entries[v];

        /* 32-bit interrupt gate, DPL 0 */
        idt32[v] = (entry & 0xffff) | SEL_CODE32 << 16 | 0x8eull << 40 | (entry & 0xffff0000) << 32;
    }
    mode32_enter(m);
}
