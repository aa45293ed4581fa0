/* SPDX-License-Identifier: MIT */
/* A walk over the live page tables: does what they map keep the promises of arch/x86/layout.h? */
#ifndef BOOT_AUDIT_H
#define BOOT_AUDIT_H

/* Logs one line at debug level with what was found, and panics where a promise is broken. */
void audit_report(void);

#endif
