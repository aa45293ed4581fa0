/* SPDX-License-Identifier: MIT */
#include "vmm/string_io.h"

#include "arch/x86/regs.h"
#include "vmm/guest_access.h"
#include "vmm/mmio_host.h"

void string_io_from_exit(struct string_io *io, u64 qualification, u32 info, u32 length)
{
    io->port = qualification >> 16;
    io->size = (qualification & 7) + 1;
    io->in = qualification & BIT(3);
    io->rep = qualification & BIT(5);
    io->segment = io->in ? SEG_ES : info >> 15 & 7;
    io->addr_size = 2u << (info >> 7 & 3);
    io->length = length;
}

/* The port is read only when it is certain that memory will take the value. */
static enum emu_result one_item(struct guest_access *g, const struct string_io *io, u64 step)
{
    struct emu *e = &g->emu;
    u32 reg = io->in ? REG_RDI : REG_RSI;
    u64 offset = emu_get_reg(e, reg, io->addr_size);
    struct emu_access a;
    enum emu_result r = emu_translate(e, io->segment, offset, io->size, io->in, &a);

    if (r)
        return r;
    if (io->in)
        e->ops->store(e->ctx, &a, vcpu_port_read(g->vcpu, io->port, io->size));
    else
        vcpu_port_write(g->vcpu, io->port, io->size, e->ops->load(e->ctx, &a));
    emu_set_reg(e, reg, io->addr_size, offset + step);
    return EMU_OK;
}

static enum emu_result run(struct guest_access *g, const struct string_io *io)
{
    struct emu *e = &g->emu;
    u64 rflags = vcpu_get_rflags(g->vcpu), step = rflags & RFLAGS_DF ? -(u64)io->size : io->size;
    u64 count = io->rep ? emu_get_reg(e, REG_RCX, io->addr_size) : 1;
    u32 limit = rflags & RFLAGS_TF ? 1 : STRING_IO_MAX;

    for (u32 n = 0; n < limit && count; n++) {
        enum emu_result r = one_item(g, io, step);

        if (r && n && r != EMU_FAULT)
            return EMU_OK; /* what was done counts; the rest is tried anew */
        if (r)
            return r;
        count--;
        if (io->rep)
            emu_set_reg(e, REG_RCX, io->addr_size, count);
    }
    if (!count)
        e->rip = e->mode == 8 ? e->rip + io->length : (u32)(e->rip + io->length);
    return EMU_OK;
}

int string_io(struct vcpu *v, const struct string_io *io)
{
    struct guest_access g;

    guest_access_init(&g, v);
    return guest_access_finish(&g, run(&g, io));
}
