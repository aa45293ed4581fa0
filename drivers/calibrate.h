/* SPDX-License-Identifier: MIT */
/*
 * How fast the TSC runs, measured against a timer of known speed. CPUID is not asked: emulators and
 * hypervisors state a speed there that is not the TSC's.
 */
#ifndef DRIVERS_CALIBRATE_H
#define DRIVERS_CALIBRATE_H

#include "lib/types.h"

struct calibrate_sources {
    volatile void *hpet; /* its registers, 1 KiB mapped uncached; null: none */
    u16 pm_timer;        /* port of the ACPI PM timer; 0: none */
    bool pm_timer_32bit;
    bool pit; /* channel 2 of the 8254, with its gate at port 0x61 */
};

struct calibration {
    u64 hz;
    const char *source; /* name of the timer it was measured against */
};

/*
 * Takes the first of HPET, PM timer and PIT that moves and whose measurements agree with each other, and
 * compares it with the next one that does. Takes about 15 ms with interrupts off. warn(text) hears of a timer
 * that is broken or that disagrees. ERR_NOENT: no timer gave a result.
 */
int calibrate_tsc(const struct calibrate_sources *s, struct calibration *out, void (*warn)(const char *text));

/* One measurement against the nth of them, in Hz; 0: it is not there, or stands still. name: null where there
 * is no nth. */
u64 calibrate_against(const struct calibrate_sources *s, u32 n, const char **name);

#endif
