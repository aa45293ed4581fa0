/* SPDX-License-Identifier: MIT */
/* The keys by which the person at the console speaks to Nidus rather than to a VM: Ctrl-] and one more. */
#ifndef VMM_CONSOLE_KEYS_H
#define VMM_CONSOLE_KEYS_H

#include "lib/types.h"

#define CONSOLE_PREFIX 0x1d /* Ctrl-] */

enum console_action {
    CONSOLE_PASS,    /* the key is the VM's */
    CONSOLE_NONE,    /* the prefix: wait for the next key */
    CONSOLE_NEXT,    /* n: the keys go to the next VM */
    CONSOLE_NUMBER,  /* 1 to 9: to the VM of that number */
    CONSOLE_ALONE,   /* a: show only the VM that has the keys, or all */
    CONSOLE_MONITOR, /* m: open the monitor */
    CONSOLE_GDB,     /* g: the line is GDB's */
    CONSOLE_HELP,    /* any other key */
};

struct console_keys {
    bool prefixed;
};

/* The next key, in the order typed. Ctrl-] twice is one Ctrl-] for the VM. */
enum console_action console_key(struct console_keys *k, char key);

#endif
