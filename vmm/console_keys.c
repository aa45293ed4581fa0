/* SPDX-License-Identifier: MIT */
#include "vmm/console_keys.h"

enum console_action console_key(struct console_keys *k, char key)
{
    if (!k->prefixed) {
        k->prefixed = key == CONSOLE_PREFIX;
        return k->prefixed ? CONSOLE_NONE : CONSOLE_PASS;
    }
    k->prefixed = false;
    if (key >= '1' && key <= '9')
        return CONSOLE_NUMBER;
    switch (key) {
    case CONSOLE_PREFIX:
        return CONSOLE_PASS;
    case 'n':
        return CONSOLE_NEXT;
    case 'a':
        return CONSOLE_ALONE;
    case 'm':
        return CONSOLE_MONITOR;
    case 'g':
        return CONSOLE_GDB;
    default:
        return CONSOLE_HELP;
    }
}
