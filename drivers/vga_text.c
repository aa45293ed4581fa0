/* SPDX-License-Identifier: MIT */
#include "drivers/vga_text.h"

#define LIGHT_GREY 0x0700 /* attribute in the upper byte: on black */

static void set(struct screen *screen, u32 row, u32 column, char c)
{
    struct vga_text *vga = container_of(screen, struct vga_text, screen);

    vga->cells[row * vga->stride + column] = LIGHT_GREY | (u8)c;
}

static void clear_row(struct screen *screen, u32 row)
{
    for (u32 x = 0; x < screen->columns; x++)
        set(screen, row, x, ' ');
}

static void scroll(struct screen *screen, u32 n)
{
    struct vga_text *vga = container_of(screen, struct vga_text, screen);

    for (u32 y = 0; y < screen->rows - n; y++)
        for (u32 x = 0; x < screen->columns; x++)
            vga->cells[y * vga->stride + x] = vga->cells[(y + n) * vga->stride + x];
    for (u32 y = screen->rows - n; y < screen->rows; y++)
        clear_row(screen, y);
}

int vga_text_init(struct vga_text *vga, void *memory, const struct boot_framebuffer *fb)
{
    if (fb->type != BOOT_FB_EGA_TEXT || !fb->width || !fb->height || fb->pitch / 2 < fb->width)
        return ERR_INVAL;
    vga->cells = memory;
    vga->stride = fb->pitch / 2;
    screen_init(&vga->screen, fb->width, fb->height, set, scroll);
    for (u32 y = 0; y < vga->screen.rows; y++)
        clear_row(&vga->screen, y);
    return OK;
}
