/* SPDX-License-Identifier: MIT */
#include "guest/common/guest.h"

extern u32 mb_magic, mb_info;

void guest_start(void);
void guest_start(void)
{
    boot_parse(mb_magic, (const void *)(u64)mb_info);
    trap_init();
    console_init();
    guest_main();
    power_off();
}
