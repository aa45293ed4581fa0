/* SPDX-License-Identifier: MIT */
#include "drivers/cmos.h"
#include "arch/x86/asm.h"

#define PORT_INDEX 0x70
#define PORT_DATA  0x71
#define READ_TRIES 100000

enum { REG_SECONDS, REG_MINUTES = 2, REG_HOURS = 4, REG_DAY = 7, REG_MONTH, REG_YEAR, REG_A, REG_B };
#define A_UPDATING BIT(7)
#define B_24_HOURS BIT(1)
#define B_BINARY   BIT(2)
#define HOUR_PM    BIT(7)

static u8 reg_read(u8 reg)
{
    outb(PORT_INDEX, reg);
    return inb(PORT_DATA);
}

static u32 number(u8 value, bool binary)
{
    return binary ? value : (value >> 4) * 10u + (value & 15);
}

/* Days from 1970-01-01; year from 1970, month 1 to 12. */
static u64 days(u32 year, u32 month, u32 day)
{
    static const u16 before[12] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    u64 leap = (year - 1) / 4 - (year - 1) / 100 + (year - 1) / 400 - 477; /* 477: those before 1970 */
    bool is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    return (year - 1970) * 365ull + leap + before[month - 1] + (is_leap && month > 2) + day - 1;
}

u64 cmos_utc(void)
{
    u8 raw[6], again[6];
    static const u8 regs[6] = {REG_SECONDS, REG_MINUTES, REG_HOURS, REG_DAY, REG_MONTH, REG_YEAR};
    u32 v[6], tries = 0;
    bool same, binary, pm;
    u8 b = reg_read(REG_B);

    /* The same values twice, outside of an update. */
    do {
        if (++tries > READ_TRIES)
            return 0;
        while ((reg_read(REG_A) & A_UPDATING) && ++tries < READ_TRIES)
            ;
        same = true;
        for (u32 i = 0; i < 6; i++)
            raw[i] = reg_read(regs[i]);
        for (u32 i = 0; i < 6; i++) {
            again[i] = reg_read(regs[i]);
            same &= raw[i] == again[i];
        }
    } while (!same);
    binary = b & B_BINARY;
    pm = !(b & B_24_HOURS) && (raw[2] & HOUR_PM);
    if (!(b & B_24_HOURS))
        raw[2] &= (u8)~HOUR_PM;
    for (u32 i = 0; i < 6; i++)
        v[i] = number(raw[i], binary);
    if (!(b & B_24_HOURS))
        v[2] = v[2] % 12 + (pm ? 12 : 0);
    if (v[0] > 59 || v[1] > 59 || v[2] > 23 || v[3] < 1 || v[3] > 31 || v[4] < 1 || v[4] > 12 || v[5] > 99)
        return 0;
    return ((days(2000 + v[5], v[4], v[3]) * 24 + v[2]) * 60 + v[1]) * 60 + v[0];
}
