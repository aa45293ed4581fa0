/* SPDX-License-Identifier: MIT */
#ifndef GUEST_HOSTILE_TASKS_H
#define GUEST_HOSTILE_TASKS_H

#include "guest/common/segments.h"

#define SEL_TSS_A   (SEL_TSS + 16 * (MAX_CPUS - 1))
#define SEL_TSS_B   (SEL_TSS + 16 * (MAX_CPUS - 2))
#define TASK_ANSWER 0x7461736b

#endif
