/* SPDX-License-Identifier: MIT */
/* The physical local APIC: x2APIC where there is, else xAPIC. SDM, 'Advanced Programmable Interrupt
 * Controller'. */
#ifndef ARCH_X86_APIC_H
#define ARCH_X86_APIC_H

#include "lib/types.h"

#define APIC_XAPIC_IDS 255 /* ids from here on exist in x2APIC mode only; 255 addresses all */

/* Finds and maps it (boot CPU). ERR_UNSUPP without one, ERR_NOMEM. */
int apic_init(void);
/* Puts this CPU's APIC into use: mode, spurious vector, error vector, everything else masked. */
void apic_init_cpu(void);
u32 apic_id(void);
bool apic_is_x2apic(void);
void apic_eoi(void);
/* Handles VECTOR_SPURIOUS and VECTOR_ERROR: counts them. */
void apic_count(u8 vector);

void apic_send_ipi(u32 apic_id, u8 vector);
void apic_send_init(u32 apic_id);
void apic_send_startup(u32 apic_id, u8 page);
/* An NMI to every other CPU, whose handler stops for ever once this has been called. */
void apic_stop_others(void);
bool apic_stopping(void);

/* Timer: VECTOR_TIMER at the TSC value, or none. Where there is no TSC-deadline mode it may come a little
 * late. */
void apic_timer_calibrate(u64 tsc_hz);
void apic_timer_set(u64 tsc_deadline);
void apic_timer_stop(void);

#endif
