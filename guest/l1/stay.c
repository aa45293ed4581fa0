/* SPDX-License-Identifier: MIT */
/* An L2 that stays, for who looks at it from outside: from Nidus's monitor, or with a debugger. */
#include "guest/l1/l1.h"
#include "lib/string.h"

/* R15 says that it is L2; R14 counts. */
L2_CODE(l2_stays, "mov $0x12121212, %r15d\nxor %r14d, %r14d\nvmcall\n1: pause\ninc %r14\njmp 1b");

/* To L2 the first of the tests' pages is what L1 has in the second. */
static void move_page(void)
{
    static const char first[] = "this is L1's", second[] = "and this is L2's";

    memcpy(page, first, sizeof(first));
    memcpy(page + PAGE_SIZE, second, sizeof(second));
    if (l2_has_ept())
        *ept_entry(1) += PAGE_SIZE;
    ept_flush();
}

void stay(bool in_l2)
{
    l2_new(l2_stays);
    move_page();
    l2_run(); /* up to its VMCALL */
    l2_skip();
    printf("l1: %s stays\n", in_l2 ? "L2" : "L1");
    if (in_l2)
        l2_run();
    for (;;)
        cpu_pause();
}
