/* SPDX-License-Identifier: MIT */
/*
 * How long a CPU with nothing else to do looks for an end of a vCPU's halt before it halts itself: not at
 * all, until halts are seen that end so soon that it pays. Pure logic; times in ticks.
 */
#ifndef VMM_HALT_POLL_H
#define VMM_HALT_POLL_H

#include "lib/types.h"

struct halt_poll {
    u64 window; /* 0: it does not look */
};

/* A halt has lasted that long. The window, which begins with first, never gets longer than max; max 0: there
 * is none. */
void halt_poll_learn(struct halt_poll *p, u64 lasted, u64 first, u64 max);

#endif
