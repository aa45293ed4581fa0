/* SPDX-License-Identifier: MIT */
/* A linear framebuffer or text screen, as a boot loader left it. */
#ifndef LIB_FRAMEBUFFER_H
#define LIB_FRAMEBUFFER_H

#include "lib/types.h"

enum boot_fb_type { BOOT_FB_NONE, BOOT_FB_RGB, BOOT_FB_EGA_TEXT };

struct boot_framebuffer {
    u64 base;
    u32 type, pitch, width, height; /* pitch in bytes; width and height in pixels (characters for EGA text) */
    u8 bpp, red_pos, red_size, green_pos, green_size, blue_pos, blue_size, reserved;
};

#endif
