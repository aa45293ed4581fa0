/* SPDX-License-Identifier: MIT */
/* Clocks go on, forwards, and agree with each other roughly. */
#include "guest/smoke/smoke.h"
#include "guest/common/legacy.h"

#define GATE2    0x01
#define SPEAKER  0x02
#define OUT2     0x20
#define TEN_MS   (PIT_HZ / 100)
#define PATIENCE 1000000000ull /* in TSC ticks */

static void test_tsc(void)
{
    u64 last = rdtsc();

    for (u32 i = 0; i < 10000; i++) {
        u64 now = rdtsc();

        expect(now > last, "0x%llx after 0x%llx", (ull)now, (ull)last);
        last = now;
    }
}

/* TSC ticks until channel 2 has counted down; 0: never. */
static u64 channel2(u16 ticks)
{
    u64 start;

    outb(PORT_B, (inb(PORT_B) & (u8) ~(SPEAKER | GATE2)));
    outb(PIT_COMMAND, 0xb0); /* channel 2, both bytes, mode 0 */
    outb(PIT_CHANNEL2, (u8)ticks);
    outb(PIT_CHANNEL2, (u8)(ticks >> 8));
    outb(PORT_B, inb(PORT_B) | GATE2);
    start = rdtsc();
    while (!(inb(PORT_B) & OUT2)) {
        if (rdtsc() - start > PATIENCE)
            return 0;
    }
    return rdtsc() - start;
}

static void test_channel2(void)
{
    u64 ten = channel2(TEN_MS), forty = channel2(4 * TEN_MS);

    expect(ten && forty, "the output never goes high");
    expect(forty > 2 * ten && forty < 8 * ten, "10 ms take %llu ticks, 40 ms %llu", (ull)ten, (ull)forty);
}

static void test_gate2(void)
{
    u8 low;

    if (skip_on_tcg())
        return;
    outb(PORT_B, (inb(PORT_B) & (u8) ~(SPEAKER | GATE2)));
    outb(PIT_COMMAND, 0xb0);
    outb(PIT_CHANNEL2, 16);
    outb(PIT_CHANNEL2, 0);
    low = inb(PORT_B);
    expect(!(low & OUT2), "output is high at the start");
    for (u64 start = rdtsc(); rdtsc() - start < 100000;)
        ;
    expect(!(inb(PORT_B) & OUT2), "it counts without its gate");
}

static void test_channel0(void)
{
    u32 passed = 0;
    u16 last;

    pit_periodic(0);
    last = pit_read();
    for (u64 start = rdtsc(); passed < 10000 && rdtsc() - start < PATIENCE;) {
        u16 now = pit_read();

        expect((u16)(last - now) < 0x8000, "count goes up: 0x%x after 0x%x", now, last);
        passed += (u16)(last - now);
        last = now;
    }
    expect(passed >= 10000, "%u counts", passed);
}

/* Read-back: status says mode and access as programmed. */
static void test_read_back(void)
{
    u8 status;

    pit_periodic(5000);
    for (u64 start = rdtsc(); rdtsc() - start < 100000;)
        ;
    outb(PIT_COMMAND, 0xe2); /* status of channel 0 */
    status = inb(PIT_CHANNEL0);
    expect((status & 0x3f) == 0x34, "status 0x%x", status);
}

static void test_rtc(void)
{
    u8 a = rtc_read(0x0a), b = rtc_read(0x0b), d = rtc_read(0x0d), seconds;

    expect((a & 0x70) == 0x20, "register A 0x%x", a);
    expect(d & 0x80, "register D 0x%x", d);
    seconds = rtc_read(0);
    expect(b & 4 ? seconds < 60 : (seconds & 15) < 10 && seconds < 0x60, "seconds 0x%x", seconds);
}

static void test_rtc_goes_on(void)
{
    u8 first = rtc_read(0);
    u32 tries = 0;

    while (rtc_read(0) == first && ++tries < 250)
        channel2(TEN_MS);
    expect(tries < 250, "the seconds do not change in 2.5 s");
}

const struct smoke_test time_tests[] = {
    {"time-tsc", test_tsc},
    {"time-pit-channel2", test_channel2},
    {"time-pit-gate", test_gate2},
    {"time-pit-channel0", test_channel0},
    {"time-pit-read-back", test_read_back},
    {"time-rtc", test_rtc},
    {"time-rtc-goes-on", test_rtc_goes_on},
    {NULL, NULL},
};
