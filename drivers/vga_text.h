/* SPDX-License-Identifier: MIT */
/* EGA text mode (80 by 25, or what the boot loader left) as a mirror of the log. */
#ifndef DRIVERS_VGA_TEXT_H
#define DRIVERS_VGA_TEXT_H

#include "drivers/screen.h"
#include "lib/framebuffer.h"
#include "lib/types.h"

struct vga_text {
    struct screen screen; /* its sink mirrors the log */
    volatile u16 *cells;
    u32 stride; /* cells from one row to the next */
};

/* memory: physical 0xb8000 or fb->base, mapped; fb->pitch * fb->height bytes. Clears it. ERR_INVAL: empty. */
int vga_text_init(struct vga_text *vga, void *memory, const struct boot_framebuffer *fb);

#endif
