/* SPDX-License-Identifier: MIT */
#ifndef GUEST_SMP_H
#define GUEST_SMP_H

#define TRAMPOLINE 0x8000 /* a SIPI's vector is its page number */

#endif
