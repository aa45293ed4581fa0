/* SPDX-License-Identifier: MIT */
/*
 * Motorola MC146818 data sheet; the century byte 0x32 and the memory sizes are a PC's convention. The time
 * registers are computed from VM time when they are read. While SET (register B) is on, or the divider chain
 * stands, they stand still and hold what is written.
 */
#include "vmm/dev/rtc.h"
#include "vmm/bus.h"
#include "vmm/dev/host.h"
#include "vmm/dev/irq.h"
#include "vmm/dev/scale.h"

#define RTC_PORT    0x70
#define RTC_IRQ     8
#define SECONDS_DAY 86400ull
#define PERIODIC_HZ 32768u

enum {
    SECONDS,
    SECONDS_ALARM,
    MINUTES,
    MINUTES_ALARM,
    HOURS,
    HOURS_ALARM,
    WEEKDAY,
    DAY,
    MONTH,
    YEAR,
    REG_A,
    REG_B,
    REG_C,
    REG_D,
    MEM_BASE = 0x15, /* KiB below 640 KiB, 16 bits */
    MEM_EXT = 0x17,  /* KiB from 1 MiB, 16 bits; again at 0x30 */
    MEM_EXT2 = 0x30,
    CENTURY = 0x32,
    MEM_16M = 0x34, /* 64 KiB units from 16 MiB, 16 bits */
    MEM_4G = 0x5b,  /* 64 KiB units from 4 GiB, 24 bits */
};

#define A_UIP     0x80
#define A_DV      0x70
#define DV_RUN    0x20 /* with a PC's 32768 Hz; the other time bases it has not */
#define DV_RESET  0x60 /* with any bit 4 */
#define B_SET     0x80
#define B_PIE     0x40
#define B_AIE     0x20
#define B_UIE     0x10
#define B_BINARY  0x04
#define B_24H     0x02
#define C_IRQF    0x80
#define C_PF      0x40
#define C_AF      0x20
#define C_UF      0x10
#define D_VALID   0x80
#define HOUR_PM   0x80
#define ALARM_ANY 0xc0 /* an alarm register with both bits set matches everything */

struct rtc {
    struct vm *vm;
    u64 base; /* the clock, in seconds since 1970, at VM time base_time */
    u64 base_time;
    u64 chain;      /* VM time at which the divider chain was 0; taps for PF are counted from there */
    u64 phase;      /* how far in its second it is while it stands */
    u64 seen;       /* the second up to which UF and AF have been worked out */
    u64 seen_ticks; /* the same for PF, in 1/32768 s of the chain */
    u8 index;
    u8 reg[128];
    struct vtimer timer;
};

struct date {
    u32 year, month, day, weekday; /* month and day from 1; weekday 0 is Sunday */
    u32 hour, minute, second;
};

static const u8 time_registers[] = {SECONDS, MINUTES, HOURS, WEEKDAY, DAY, MONTH, YEAR, CENTURY};

static u32 days_before_month(u32 year, u32 month)
{
    static const u16 days[12] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

    return days[(month - 1) % 12] + (leap && month > 2);
}

/* Days from 1970 to the start of year. */
static u64 days_before_year(u32 year)
{
    u64 y = year - 1;

    return y * 365 + y / 4 - y / 100 + y / 400 - 719162;
}

static void to_date(u64 utc, struct date *d)
{
    u64 day = utc / SECONDS_DAY;
    u32 second = utc % SECONDS_DAY;

    d->year = 1970 + day / 366;
    while (days_before_year(d->year + 1) <= day)
        d->year++;
    d->weekday = (day + 4) % 7; /* 1 January 1970 was a Thursday */
    day -= days_before_year(d->year);
    d->month = 12;
    while (days_before_month(d->year, d->month) > day)
        d->month--;
    d->day = day - days_before_month(d->year, d->month) + 1;
    d->hour = second / 3600;
    d->minute = second / 60 % 60;
    d->second = second % 60;
}

static u8 encode(const struct rtc *rtc, u32 value)
{
    return rtc->reg[REG_B] & B_BINARY ? value : value / 10 << 4 | value % 10;
}

static u32 decode(const struct rtc *rtc, u8 value)
{
    return rtc->reg[REG_B] & B_BINARY ? value : (value >> 4) * 10 + (value & 15);
}

static u8 encode_hour(const struct rtc *rtc, u32 hour)
{
    if (rtc->reg[REG_B] & B_24H)
        return encode(rtc, hour);
    return encode(rtc, hour % 12 ? hour % 12 : 12) | (hour >= 12 ? HOUR_PM : 0);
}

static u32 decode_hour(const struct rtc *rtc, u8 value)
{
    if (rtc->reg[REG_B] & B_24H)
        return decode(rtc, value);
    return decode(rtc, value & ~HOUR_PM) % 12 + (value & HOUR_PM ? 12 : 0);
}

static bool chain_runs(const struct rtc *rtc)
{
    return (rtc->reg[REG_A] & A_DV) == DV_RUN;
}

/* There are no updates: the time registers are what was written to them. */
static bool stands(const struct rtc *rtc)
{
    return (rtc->reg[REG_B] & B_SET) || !chain_runs(rtc);
}

static u64 clock_now(struct rtc *rtc)
{
    return rtc->base + (vm_now(rtc->vm) - rtc->base_time) / vm_hz(rtc->vm);
}

static void clock_to_registers(struct rtc *rtc)
{
    struct date d;

    to_date(clock_now(rtc), &d);
    rtc->reg[SECONDS] = encode(rtc, d.second);
    rtc->reg[MINUTES] = encode(rtc, d.minute);
    rtc->reg[HOURS] = encode_hour(rtc, d.hour);
    rtc->reg[WEEKDAY] = encode(rtc, d.weekday + 1);
    rtc->reg[DAY] = encode(rtc, d.day);
    rtc->reg[MONTH] = encode(rtc, d.month);
    rtc->reg[YEAR] = encode(rtc, d.year % 100);
    rtc->reg[CENTURY] = encode(rtc, d.year / 100);
}

/* The clock goes on from what the registers say, in the middle of a second as the divider chain is. Dates
 * before 1970 become 1970. */
static void registers_to_clock(struct rtc *rtc)
{
    u32 year = decode(rtc, rtc->reg[CENTURY]) * 100 + decode(rtc, rtc->reg[YEAR]);
    u32 month = decode(rtc, rtc->reg[MONTH]), day = decode(rtc, rtc->reg[DAY]);
    u64 now = vm_now(rtc->vm), hz = vm_hz(rtc->vm);

    year = MAX(year, 1970u);
    month = MIN(MAX(month, 1u), 12u);
    rtc->base = (days_before_year(year) + days_before_month(year, month) + MAX(day, 1u) - 1) * SECONDS_DAY +
                decode_hour(rtc, rtc->reg[HOURS]) * 3600 + decode(rtc, rtc->reg[MINUTES]) * 60 +
                decode(rtc, rtc->reg[SECONDS]);
    rtc->base_time = now - (now - rtc->base_time) % hz;
    rtc->seen = rtc->base;
}

static bool alarm_matches(const struct rtc *rtc, u32 reg, u8 value)
{
    return (rtc->reg[reg] & ALARM_ANY) == ALARM_ANY || rtc->reg[reg] == value;
}

static bool alarm_at(const struct rtc *rtc, u64 second_of_day)
{
    return alarm_matches(rtc, SECONDS_ALARM, encode(rtc, second_of_day % 60)) &&
           alarm_matches(rtc, MINUTES_ALARM, encode(rtc, second_of_day / 60 % 60)) &&
           alarm_matches(rtc, HOURS_ALARM, encode_hour(rtc, second_of_day / 3600));
}

/* Period of PF in 1/32768 s by register A; 0: none. */
static u64 period(const struct rtc *rtc)
{
    u32 rate = rtc->reg[REG_A] & 15;

    if (!rate || !chain_runs(rtc))
        return 0;
    return rate <= 2 ? 1ull << (rate + 6) : 1ull << (rate - 1);
}

static u64 periodic_ticks(struct rtc *rtc)
{
    return scale_down(vm_now(rtc->vm) - rtc->chain, PERIODIC_HZ, vm_hz(rtc->vm));
}

/* When the next event comes that is to raise the interrupt. */
static void schedule(struct rtc *rtc)
{
    u64 hz = vm_hz(rtc->vm), when = ~0ull, p = period(rtc);

    if ((rtc->reg[REG_B] & (B_AIE | B_UIE)) && !stands(rtc))
        when = rtc->base_time + (clock_now(rtc) + 1 - rtc->base) * hz;
    if ((rtc->reg[REG_B] & B_PIE) && p)
        when = MIN(when, rtc->chain + scale_up((periodic_ticks(rtc) / p + 1) * p, hz, PERIODIC_HZ));
    if (when != ~0ull)
        vtimer_set(&rtc->timer, when);
    else
        vtimer_cancel(&rtc->timer);
}

/* Brings register C up to date. */
static void update(struct rtc *rtc)
{
    u64 ticks = periodic_ticks(rtc), p = period(rtc), now;
    u8 flags;

    if (p && ticks / p != rtc->seen_ticks / p)
        rtc->reg[REG_C] |= C_PF;
    rtc->seen_ticks = ticks;
    if (!stands(rtc)) {
        now = clock_now(rtc);
        if (now != rtc->seen)
            rtc->reg[REG_C] |= C_UF;
        if (now - rtc->seen > SECONDS_DAY)
            rtc->seen = now - SECONDS_DAY; /* an alarm repeats every day at the latest */
        while (rtc->seen < now)
            if (alarm_at(rtc, ++rtc->seen % SECONDS_DAY))
                rtc->reg[REG_C] |= C_AF;
    }
    flags = rtc->reg[REG_C] & rtc->reg[REG_B] & (C_PF | C_AF | C_UF);
    rtc->reg[REG_C] = (rtc->reg[REG_C] & ~C_IRQF) | (flags ? C_IRQF : 0);
    vm_set_irq(rtc->vm, RTC_IRQ, flags);
}

static void fire(struct vtimer *timer)
{
    struct rtc *rtc = container_of(timer, struct rtc, timer);

    update(rtc);
    schedule(rtc);
}

/* UIP is on from 244 us before an update until its end 1984 us later: here, the last part of the second. */
static bool updating(struct rtc *rtc)
{
    u64 hz = vm_hz(rtc->vm);

    return !stands(rtc) && (vm_now(rtc->vm) - rtc->base_time) % hz >= hz - hz / 1000000 * 2228;
}

static bool is_time_register(u32 reg)
{
    for (u32 i = 0; i < sizeof(time_registers); i++)
        if (reg == time_registers[i])
            return true;
    return false;
}

static u8 read_register(struct rtc *rtc, u32 reg)
{
    u8 value;

    if (is_time_register(reg) && !stands(rtc))
        clock_to_registers(rtc);
    if (reg == REG_A)
        return rtc->reg[REG_A] | (updating(rtc) ? A_UIP : 0);
    if (reg != REG_C)
        return rtc->reg[reg];
    update(rtc);
    value = rtc->reg[REG_C];
    rtc->reg[REG_C] = 0;
    vm_set_irq(rtc->vm, RTC_IRQ, false);
    return value;
}

/* 'Register A': the first update comes half a second after the chain's reset ends. */
static void write_register_a(struct rtc *rtc, u8 value)
{
    u64 now = vm_now(rtc->vm), hz = vm_hz(rtc->vm);
    bool ran = chain_runs(rtc);

    if (ran)
        rtc->phase = (now - rtc->base_time) % hz;
    rtc->reg[REG_A] = value & ~A_UIP;
    if ((value & DV_RESET) == DV_RESET)
        rtc->phase = hz - hz / 2;
    if (ran || !chain_runs(rtc))
        return;
    rtc->base_time = rtc->chain = now - rtc->phase;
    rtc->seen_ticks = periodic_ticks(rtc);
}

/* Of what turns the clock on and off. */
static void write_control(struct rtc *rtc, u32 reg, u8 value)
{
    bool stood = stands(rtc);

    if (!stood)
        clock_to_registers(rtc); /* in the format that holds so far */
    if (reg == REG_A)
        write_register_a(rtc, value);
    else
        rtc->reg[REG_B] = value & B_SET ? value & ~B_UIE : value;
    if (stood && !stands(rtc))
        registers_to_clock(rtc);
}

static void write_register(struct rtc *rtc, u32 reg, u8 value)
{
    update(rtc);
    if (reg == REG_A || reg == REG_B) {
        write_control(rtc, reg, value);
    } else if (is_time_register(reg)) {
        if (!stands(rtc))
            clock_to_registers(rtc);
        rtc->reg[reg] = value;
        if (!stands(rtc))
            registers_to_clock(rtc);
    } else if (reg != REG_C && reg != REG_D) {
        rtc->reg[reg] = value;
    }
    update(rtc);
    schedule(rtc);
}

static u64 rtc_read(void *dev, struct vcpu *vcpu, u64 offset, u32 size)
{
    struct rtc *rtc = dev;

    (void)vcpu, (void)size;
    return offset == 1 ? read_register(rtc, rtc->index) : 0xff; /* the index port is write-only */
}

static void rtc_write(void *dev, struct vcpu *vcpu, u64 offset, u32 size, u64 value)
{
    struct rtc *rtc = dev;

    (void)vcpu;
    if (offset == 0)
        rtc->index = value & 0x7f; /* bit 7 is the NMI mask */
    if (offset == 1 || size > 1)
        write_register(rtc, rtc->index, offset == 1 ? value : value >> 8);
}

static void put_memory(struct rtc *rtc, u32 reg, u64 value, u32 size)
{
    value = MIN(value, BITS(8 * size - 1, 0));
    for (u32 i = 0; i < size; i++)
        rtc->reg[reg + i] = value >> 8 * i;
}

struct rtc *rtc_create(struct vm *vm, u64 utc, u64 memory)
{
    static const struct bus_ops ops = {.read = rtc_read, .write = rtc_write};
    struct rtc *rtc = vm_alloc(vm, sizeof(*rtc));
    u64 low = MIN(memory, GiB(3)); /* the rest is above 4 GiB */

    if (!rtc || bus_add(vm_pio_bus(vm), RTC_PORT, 2, &ops, rtc))
        return NULL;
    rtc->vm = vm;
    rtc->base = rtc->seen = utc;
    rtc->reg[REG_A] = 0x26; /* 32768 Hz time base, 1024 Hz rate */
    rtc->reg[REG_B] = B_24H;
    rtc->reg[REG_D] = D_VALID;
    put_memory(rtc, MEM_BASE, MIN(memory / KiB(1), 640), 2);
    put_memory(rtc, MEM_EXT, low > MiB(1) ? (low - MiB(1)) / KiB(1) : 0, 2);
    put_memory(rtc, MEM_EXT2, low > MiB(1) ? (low - MiB(1)) / KiB(1) : 0, 2);
    put_memory(rtc, MEM_16M, low > MiB(16) ? (low - MiB(16)) / KiB(64) : 0, 2);
    put_memory(rtc, MEM_4G, (memory - low) / KiB(64), 3);
    vtimer_init(&rtc->timer, vm_vcpu(vm, 0), fire);
    return rtc;
}
