/* SPDX-License-Identifier: MIT */
#ifndef ARCH_X86_BACKTRACE_H
#define ARCH_X86_BACKTRACE_H

#include "lib/types.h"

/* Prints which functions are running: rip is in the innermost, or 0; rsp is where its stack ends. */
void backtrace(u64 rip, u64 rsp);

#endif
