/* SPDX-License-Identifier: MIT */
/* The word 'self-test' of the command line: what this machine is and whether it does what Nidus needs, on a
 * page. */
#ifndef BOOT_SELF_TEST_H
#define BOOT_SELF_TEST_H

#include "boot/boot_info.h"
#include "vmm/config.h"

/* On the boot CPU, before the others; has_vmx: it is in VMX operation. */
void self_test_begin(const struct boot_info *bi, const struct config *config, bool has_vmx);
/* On each of the others, one at a time. */
void self_test_cpu(void);
/* The page. How many checks failed. */
u32 self_test(void);

#endif
