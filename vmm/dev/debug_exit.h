/* SPDX-License-Identifier: MIT */
/*
 * Ports by which a guest ends its VM. A write to 0xf4: 0 is a normal end, anything else a crash that names
 * the value. The characters 'Shutdown' written to 0x8900: power off.
 */
#ifndef VMM_DEV_DEBUG_EXIT_H
#define VMM_DEV_DEBUG_EXIT_H

struct vm;
struct debug_exit;

struct debug_exit *debug_exit_create(struct vm *vm);

#endif
