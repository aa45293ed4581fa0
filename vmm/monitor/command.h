/* SPDX-License-Identifier: MIT */
/* Lines that were typed: their words, which command is meant, how a word may go on. Pure logic. */
#ifndef VMM_MONITOR_COMMAND_H
#define VMM_MONITOR_COMMAND_H

#include "vmm/monitor/edit.h"
#include "vmm/monitor/monitor.h"

/* Cuts line into words, in place; argv[their number] is null. More than MONITOR_MAX_WORDS: that many plus 1.
 */
u32 command_split(char *line, char *argv[MONITOR_MAX_WORDS + 1]);

/* The command of this name, or the only one whose name begins so. Null: *nr (0 or more) begin so. */
const struct command *command_find(const char *word, u32 *nr);
/* The nth of all commands; null: there are fewer. */
const struct command *command_nth(u32 n);

/* How the word before the cursor may go on. */
struct completion {
    const char *word; /* as far as it is typed, of this length */
    u32 n;
    u32 nr;                                    /* words that begin so */
    char common[EDIT_SIZE];                    /* what they all begin with */
    void (*each)(void *ctx, const char *word); /* called for each that begins so; may be null */
    void *ctx;
};

/* One that might be meant. */
void completion_offer(struct completion *c, const char *word);
/* Offers all that fit to the line up to the cursor. word, n, nr and common are filled. expand: offers the
 * members of a class like "@vm", whose name is n characters without the "@". */
void command_complete(struct completion *c, const char *line, u32 at,
                      void (*expand)(struct completion *c, const char *class, u32 n));

#endif
