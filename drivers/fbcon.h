/* SPDX-License-Identifier: MIT */
/* Text on a framebuffer, as a mirror of the log. */
#ifndef DRIVERS_FBCON_H
#define DRIVERS_FBCON_H

#include "drivers/screen.h"
#include "lib/framebuffer.h"
#include "lib/types.h"

#define FONT_FIRST  32 /* space */
#define FONT_GLYPHS 95
#define FONT_WIDTH  8
#define FONT_HEIGHT 16

extern const u8 font8x16[FONT_GLYPHS][FONT_HEIGHT];

#define FBCON_MAX_COLUMNS 240
#define FBCON_MAX_ROWS    80

struct fbcon {
    struct screen screen; /* its sink mirrors the log */
    u8 *pixels;
    u32 pitch, bytes;                             /* of a line; of a pixel */
    u32 ink, paper;                               /* in the framebuffer's format */
    char text[FBCON_MAX_ROWS][FBCON_MAX_COLUMNS]; /* what is shown: the framebuffer itself is slow to read */
};

/*
 * pixels: the framebuffer mapped for writing (write-combining is best), fb->pitch * fb->height bytes. Clears
 * it. ERR_INVAL: not 15, 16, 24 or 32 bits of RGB, or too small for one character.
 */
int fbcon_init(struct fbcon *con, void *pixels, const struct boot_framebuffer *fb);

#endif
