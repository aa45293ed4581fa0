/* SPDX-License-Identifier: MIT */
#include "drivers/ioapic.h"

/* Two windows in memory (as indices of 32-bit words), and the registers behind them. */
#define IOREGSEL 0
#define IOWIN    4

#define IOAPICID        0x00
#define IOAPICVER       0x01
#define IOREDTBL(n, hi) (0x10 + 2 * (n) + (hi))

#define REDIR_LOW_ACTIVE BIT(13)
#define REDIR_LEVEL      BIT(15)
#define REDIR_MASK       BIT(16)
#define REDIR_DEST_SHIFT 24 /* in the high word */

static u32 reg_read(struct ioapic *io, u32 reg)
{
    io->regs[IOREGSEL] = reg;
    return io->regs[IOWIN];
}

static void reg_write(struct ioapic *io, u32 reg, u32 value)
{
    io->regs[IOREGSEL] = reg;
    io->regs[IOWIN] = value;
}

static bool has(const struct ioapic *io, u32 gsi)
{
    return gsi >= io->gsi_base && gsi - io->gsi_base < io->entries;
}

void ioapic_mask_all(struct ioapic *io)
{
    for (u32 n = 0; n < io->entries; n++)
        reg_write(io, IOREDTBL(n, 0), REDIR_MASK);
}

int ioapic_init(struct ioapic *io, volatile void *mapped, u32 gsi_base)
{
    u32 version;

    *io = (struct ioapic){.regs = mapped, .gsi_base = gsi_base};
    version = reg_read(io, IOAPICVER);
    if (version == 0xffffffff || !version)
        return ERR_NOENT;
    io->version = version & 0xff;
    io->entries = (version >> 16 & 0xff) + 1;
    io->id = reg_read(io, IOAPICID) >> 24;
    ioapic_mask_all(io);
    return OK;
}

int ioapic_route(struct ioapic *io, u32 gsi, u8 vector, u32 apic_id, bool level, bool active_low)
{
    u32 n = gsi - io->gsi_base, low = vector;

    if (!has(io, gsi))
        return ERR_RANGE;
    if (vector < 16 || vector == 255)
        return ERR_INVAL;
    if (apic_id > 254)
        return ERR_UNSUPP;
    low |= (level ? REDIR_LEVEL : 0) | (active_low ? REDIR_LOW_ACTIVE : 0);
    /* Masked while the two halves do not belong together. */
    reg_write(io, IOREDTBL(n, 0), REDIR_MASK);
    reg_write(io, IOREDTBL(n, 1), apic_id << REDIR_DEST_SHIFT);
    reg_write(io, IOREDTBL(n, 0), low);
    return OK;
}

int ioapic_mask(struct ioapic *io, u32 gsi, bool masked)
{
    u32 reg = IOREDTBL(gsi - io->gsi_base, 0), low;

    if (!has(io, gsi))
        return ERR_RANGE;
    low = reg_read(io, reg);
    reg_write(io, reg, masked ? low | REDIR_MASK : low & ~(u32)REDIR_MASK);
    return OK;
}
