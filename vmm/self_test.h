/* SPDX-License-Identifier: MIT */
/* What the self-test says of VMX: before any VM, on the boot CPU unless said. */
#ifndef VMM_SELF_TEST_H
#define VMM_SELF_TEST_H

#include "vmm/config.h"

/* How many checks ended in which way. */
enum self_result { SELF_OK, SELF_FAILED, SELF_ABSENT, SELF_NR_RESULTS };
extern u32 self_results[SELF_NR_RESULTS];

/* Counts a check, and says how it ended. detail: packed, or null; for SELF_ABSENT it is not wanted. */
void self_say(enum self_result result, const char *what, const char *detail);

/* Items one behind the other in lines of a page's width, continued lines set in; text: packed. */
struct self_paragraph {
    u32 n, items;
    char line[100];
};

void self_begin(struct self_paragraph *p, const char *title);
void self_add(struct self_paragraph *p, const char *text);
void self_end(struct self_paragraph *p);

/* Every capability: whether the CPU has it, Nidus uses it, and a VM with nested = on is offered it. */
void self_show_capabilities(void);

/* Before the others. any: a VM's configuration. False: no memory. */
bool self_check_begin(const struct config_vm *any);
/* On each CPU, in VMX operation, one at a time: enters a guest. */
bool self_check_cpu(void);
void self_check_vmx(const struct config_vm *any);

#endif
