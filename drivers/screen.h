/* SPDX-License-Identifier: MIT */
/* A text screen: where the next character goes. What draws it is below. */
#ifndef DRIVERS_SCREEN_H
#define DRIVERS_SCREEN_H

#include "lib/log.h"
#include "lib/types.h"

struct screen {
    struct log_sink sink;
    u32 columns, rows, column, row;
    bool pending; /* the line is full: the next character goes to a new one */
    void (*set)(struct screen *screen, u32 row, u32 column, char c); /* c: printable ASCII */
    void (*scroll)(struct screen *screen, u32 n); /* up by n rows; the last n become blank */
};

/* A blank screen with its cursor at the top. It understands CR, LF (with an implied CR), BS and TAB; other
 * control characters have no effect, what is not ASCII becomes '?'. A full screen moves up by a quarter at
 * once: moving is the slow part. */
void screen_init(struct screen *screen, u32 columns, u32 rows,
                 void (*set)(struct screen *screen, u32 row, u32 column, char c),
                 void (*scroll)(struct screen *screen, u32 n));

#endif
