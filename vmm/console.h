/* SPDX-License-Identifier: MIT */
/*
 * The console that all VMs share. With several VMs each line starts with 'NAME| '; lines are put together
 * before they are printed. With one VM, or when only one is shown, its output goes out as it comes (log_raw()
 * keeps it from passing for Nidus's own lines).
 */
#ifndef VMM_CONSOLE_H
#define VMM_CONSOLE_H

#include "lib/types.h"

struct vm;
struct vcpu;

#define CONSOLE_LINE 200

struct console_line {
    u32 n;
    char text[CONSOLE_LINE];
};

/* Only the VM of this index is shown, what others print is dropped; -1: all are. */
void console_show_only(s32 index);
/* While a person types to Nidus: whole lines, each with the name of its VM, also if there is only one. */
void console_by_lines(bool on);
/* v waits (null: the VM has ended): if no vCPU of the VM runs now, what it has printed of a line is shown. */
void vm_console_idle(struct vm *vm, const struct vcpu *v);

#endif
