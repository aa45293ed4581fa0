/* SPDX-License-Identifier: MIT */
#include "vmm/nested/operand.h"
#include "arch/x86/vmcs.h"
#include "lib/string.h"
#include "vmm/guest_access.h"
#include "vmm/mmio_host.h"
#include "vmm/msr.h"

#define INFO_SCALE(info)     ((info)&3)
#define INFO_ADDR_SIZE(info) (2u << ((info) >> 7 & 3)) /* bytes */
#define INFO_SEGMENT(info)   ((info) >> 15 & 7)
#define INFO_INDEX(info)     ((info) >> 18 & 15)
#define INFO_NO_INDEX        BIT(22)
#define INFO_BASE(info)      ((info) >> 23 & 15)
#define INFO_NO_BASE         BIT(27)

/* In its segment. SDM, 'Basic VM-Exit Information': the qualification is the displacement, and with
 * RIP-relative addressing the sum already; what is beyond the address size is undefined. */
static u64 offset_of(struct vcpu *v, u32 info)
{
    u64 offset = vcpu_vmread(v, EXIT_QUALIFICATION);

    if (!(info & INFO_NO_BASE))
        offset += vcpu_get_reg(v, INFO_BASE(info));
    if (!(info & INFO_NO_INDEX))
        offset += vcpu_get_reg(v, INFO_INDEX(info)) << INFO_SCALE(info);
    return offset & emu_size_mask(INFO_ADDR_SIZE(info));
}

static enum emu_result translate(struct guest_access *g, u32 size, bool write, struct emu_access *out)
{
    u32 info = (u32)vcpu_vmread(g->vcpu, EXIT_INSTRUCTION_INFO);

    guest_access_init(g, g->vcpu);
    return emu_translate(&g->emu, INFO_SEGMENT(info), offset_of(g->vcpu, info), size, write, out);
}

/* The instruction goes on, and will be done whatever it finds in the operand, unless the result is not OK. */
static int finish(struct guest_access *g, enum emu_result r)
{
    if (likely(r == EMU_OK)) {
        if (unlikely(g->matched))
            vcpu_debug_trap(g->vcpu, g->matched);
        return OK;
    }
    return guest_access_finish(g, r) ? ERR_UNSUPP : ERR_FAULT;
}

int nested_operand_read(struct vcpu *v, void *to, u32 size)
{
    struct guest_access g = {.vcpu = v};
    struct emu_access a;
    enum emu_result r = translate(&g, size, false, &a);

    for (u32 at = 0, n = MIN(size, 8u); r == EMU_OK && at < size; at += n) {
        struct emu_access part = emu_part(&a, at, n);
        u64 value = g.emu.ops->load(&g, &part);

        memcpy((u8 *)to + at, &value, n);
    }
    return finish(&g, r);
}

int nested_operand_write(struct vcpu *v, const void *from, u32 size)
{
    struct guest_access g = {.vcpu = v};
    struct emu_access a;
    enum emu_result r = translate(&g, size, true, &a);

    for (u32 at = 0, n = MIN(size, 8u); r == EMU_OK && at < size; at += n) {
        struct emu_access part = emu_part(&a, at, n);
        u64 value = 0;

        memcpy(&value, (const u8 *)from + at, n);
        g.emu.ops->store(&g, &part, value);
    }
    return finish(&g, r);
}
