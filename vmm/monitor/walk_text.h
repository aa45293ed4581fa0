/* SPDX-License-Identifier: MIT */
/* Translations in words: a line for each entry, and one for what comes of it. Pure logic. */
#ifndef VMM_MONITOR_WALK_TEXT_H
#define VMM_MONITOR_WALK_TEXT_H

#include "vmm/inspect.h"

void walk_text_pages(const struct inspect_walk *w, gva_t gva, void (*line)(void *ctx, const char *text),
                     void *ctx);
void walk_text_ept(const struct inspect_walk *w, gpa_t gpa, void (*line)(void *ctx, const char *text),
                   void *ctx);

#endif
