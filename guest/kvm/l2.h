/* SPDX-License-Identifier: MIT */
/* What l2 and its guest agree on. */
#ifndef GUEST_KVM_L2_H
#define GUEST_KVM_L2_H

#define L2_START     0x8000   /* where the guest is loaded, and where every vCPU starts in real mode */
#define L2_STACKS    0x60000  /* above the image: 4 KiB for each vCPU */
#define L2_AREAS     0x400000 /* 2 MiB for each vCPU */
#define L2_RAM       0x1800000
#define L2_MAX_VCPUS 8

#define L2_PORT_CONSOLE 0x3f8
#define L2_PORT_END     0xf4
#define L2_PORT_VCPUS   0xf5 /* reads as the number of vCPUs */

#endif
