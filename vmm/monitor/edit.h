/* SPDX-License-Identifier: MIT */
/*
 * A line that a person edits at a terminal, and those typed before. Pure logic: keys come in, what is to be
 * seen comes out; nothing here draws.
 */
#ifndef VMM_MONITOR_EDIT_H
#define VMM_MONITOR_EDIT_H

#include "lib/types.h"

#define EDIT_SIZE    128 /* of a line, with its NUL */
#define EDIT_HISTORY 16

enum edit_event {
    EDIT_NONE,     /* nothing to be seen has changed */
    EDIT_CHANGED,  /* draw it again */
    EDIT_LINE,     /* Enter: take e->line, then edit_begin() */
    EDIT_COMPLETE, /* Tab */
    EDIT_CANCEL,   /* Ctrl-C */
    EDIT_CLOSE,    /* Ctrl-], or Ctrl-D on an empty line */
};

struct edit {
    char line[EDIT_SIZE]; /* always ends with NUL; printable ASCII */
    u32 n, at;            /* its length, and where the cursor stands: 0 to n */
    u32 first;            /* the first character that is seen */
    u8 escape;  /* an escape sequence on its way: 1 behind ESC, 2 behind what it begins with; 0: none */
    u8 number;  /* its parameter */
    bool ended; /* the last key was CR: a LF behind it is the same Enter */
    /* Lines taken, the newest at (taken - 1) % EDIT_HISTORY. */
    u32 taken;
    u32 back;             /* how far the person has gone back; 0: not at all */
    char kept[EDIT_SIZE]; /* the line that was typed when the person went back */
    char history[EDIT_HISTORY][EDIT_SIZE];
};

enum edit_event edit_key(struct edit *e, char key);
/* An empty line. The one before goes to the history unless it is empty or was the newest there. */
void edit_begin(struct edit *e);
/* Inserts n characters at the cursor, as far as there is room. */
void edit_insert(struct edit *e, const char *text, u32 n);
/*
 * What is seen of the line in width columns (2 or more): n characters from *text on, with the cursor at the
 * column that is returned, below width. It follows the cursor.
 */
u32 edit_view(struct edit *e, u32 width, const char **text, u32 *n);

#endif
