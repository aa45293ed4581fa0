/* SPDX-License-Identifier: MIT */
/* What each guest kernel is: a main() in 64-bit mode, interrupts off, console ready, `boot` filled. */
#ifndef GUEST_GUEST_H
#define GUEST_GUEST_H

#include "guest/common/console.h"
#include "guest/common/cpu.h"
#include "guest/common/exit.h"
#include "guest/common/mb.h"
#include "guest/common/trap.h"

typedef unsigned long long ull; /* for printf() */

void guest_main(void); /* the power goes off when it returns */

extern u8 image_start[], image_end[];

#endif
