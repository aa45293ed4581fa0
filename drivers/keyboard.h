/* SPDX-License-Identifier: MIT */
/*
 * A PS/2 keyboard, or one for which firmware stands in, with US layout: for machines whose serial port nobody
 * is at. Source: IBM Personal System/2 Hardware Interface Technical Reference, 'Keyboard and Auxiliary Device
 * Controller'.
 */
#ifndef DRIVERS_KEYBOARD_H
#define DRIVERS_KEYBOARD_H

#include "lib/types.h"

struct keyboard {
    bool shift, control, extended; /* extended: the code before was E0H */
    const char *rest;              /* of a key that is several characters */
};

/* Switches its interrupt and the translation to scan code set 1 on. False: there is no controller. */
bool keyboard_init(struct keyboard *k);
/* The next character, or -1. Cursor keys are what a terminal sends. */
int keyboard_read(struct keyboard *k);

#endif
