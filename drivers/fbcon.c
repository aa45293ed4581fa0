/* SPDX-License-Identifier: MIT */
#include "drivers/fbcon.h"
#include "lib/string.h"

static void put_pixel(u8 *at, u32 bytes, u32 colour)
{
    switch (bytes) { /* as one write each: the framebuffer may be uncached */
    case 4:
        memcpy(at, &colour, 4);
        break;
    case 3:
        memcpy(at, &colour, 2);
        at[2] = colour >> 16;
        break;
    default:
        memcpy(at, &colour, 2);
        break;
    }
}

static void draw(struct fbcon *con, u32 row, u32 column)
{
    const u8 *glyph = font8x16[con->text[row][column] - FONT_FIRST];
    u8 *line = con->pixels + (u64)row * FONT_HEIGHT * con->pitch + column * FONT_WIDTH * con->bytes;

    for (u32 y = 0; y < FONT_HEIGHT; y++, line += con->pitch)
        for (u32 x = 0; x < FONT_WIDTH; x++)
            put_pixel(line + x * con->bytes, con->bytes, glyph[y] & (0x80 >> x) ? con->ink : con->paper);
}

static void set(struct screen *screen, u32 row, u32 column, char c)
{
    struct fbcon *con = container_of(screen, struct fbcon, screen);

    if (con->text[row][column] != c) {
        con->text[row][column] = c;
        draw(con, row, column);
    }
}

/* Only characters that differ from what was there are drawn. */
static void scroll(struct screen *screen, u32 n)
{
    const struct fbcon *con = container_of(screen, struct fbcon, screen);

    for (u32 row = 0; row < screen->rows; row++)
        for (u32 column = 0; column < screen->columns; column++)
            set(screen, row, column, row + n < screen->rows ? con->text[row + n][column] : ' ');
}

/* An intensity of 8 bits at a colour's place. Wider fields than 8 bits get it in their upper bits. */
static u32 colour(u32 value, u32 pos, u32 size)
{
    return (size >= 8 ? value << (size - 8) : value >> (8 - size)) << pos;
}

static u32 rgb(const struct boot_framebuffer *fb, u32 r, u32 g, u32 b)
{
    return colour(r, fb->red_pos, fb->red_size) | colour(g, fb->green_pos, fb->green_size) |
           colour(b, fb->blue_pos, fb->blue_size);
}

int fbcon_init(struct fbcon *con, void *pixels, const struct boot_framebuffer *fb)
{
    u8 *line = pixels;

    if (fb->type != BOOT_FB_RGB || (fb->bpp != 15 && fb->bpp != 16 && fb->bpp != 24 && fb->bpp != 32))
        return ERR_INVAL;
    memset(con, 0, sizeof(*con));
    con->bytes = (fb->bpp + 7) / 8;
    if (fb->width < FONT_WIDTH || fb->height < FONT_HEIGHT || fb->pitch < (u64)fb->width * con->bytes)
        return ERR_INVAL;
    con->pixels = pixels;
    con->pitch = fb->pitch;
    con->ink = rgb(fb, 0xd8, 0xd8, 0xd0);
    con->paper = rgb(fb, 0x10, 0x18, 0x28);
    screen_init(&con->screen, MIN(fb->width / FONT_WIDTH, FBCON_MAX_COLUMNS),
                MIN(fb->height / FONT_HEIGHT, FBCON_MAX_ROWS), set, scroll);
    memset(con->text, ' ', sizeof(con->text));
    for (u32 y = 0; y < fb->height; y++, line += con->pitch)
        for (u32 x = 0; x < fb->width; x++)
            put_pixel(line + x * con->bytes, con->bytes, con->paper);
    return OK;
}
