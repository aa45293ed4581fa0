/* SPDX-License-Identifier: MIT */
#include "vmm/halt_poll.h"

void halt_poll_learn(struct halt_poll *p, u64 lasted, u64 first, u64 max)
{
    if (lasted <= p->window)
        return;
    if (lasted <= max)
        p->window = MIN(MAX(2 * p->window, first), max);
    else
        p->window = p->window / 2 >= first ? p->window / 2 : 0;
}
