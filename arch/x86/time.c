/* SPDX-License-Identifier: MIT */
#include "arch/x86/time.h"

u64 tsc_hz, entry_tsc;
