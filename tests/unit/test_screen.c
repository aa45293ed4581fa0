/* SPDX-License-Identifier: MIT */
/* links: drivers/screen.c drivers/fbcon.c drivers/font8x16.c drivers/vga_text.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "drivers/fbcon.h"
#include "drivers/vga_text.h"

#define W 80
#define H 25

static u16 cells[H][W + 4]; /* rows wider than what is shown */
static struct vga_text vga;

static void vga_start(void)
{
    struct boot_framebuffer fb = {
        .base = 0xb8000, .type = BOOT_FB_EGA_TEXT, .pitch = sizeof(cells[0]), .width = W, .height = H};

    memset(cells, 0xaa, sizeof(cells));
    assert_int_equal(vga_text_init(&vga, cells, &fb), 0);
}

static void say(const char *text)
{
    vga.screen.sink.write(&vga.screen.sink, text, strlen(text));
}

/* Row y begins with text, and the rest of it is blank. */
static void shows(u32 y, const char *text)
{
    for (u32 x = 0; x < W; x++)
        assert_int_equal(cells[y][x], 0x0700 | (x < strlen(text) ? text[x] : ' '));
    for (u32 x = W; x < W + 4; x++)
        assert_int_equal(cells[y][x], 0xaaaa);
}

static void text_and_controls(void **state)
{
    (void)state;
    vga_start();
    for (u32 y = 0; y < H; y++)
        shows(y, "");
    say("nidus: one\nnidus: two\r\nab\tc\bd\rA\n");
    shows(0, "nidus: one");
    shows(1, "nidus: two");
    shows(2, "Ab      d");
    say("\x1b\x01\x7f\xc3\xa4\n\b\bx");
    shows(3, "???");
    shows(4, "x");
}

static void wrapping(void **state)
{
    char line[W + 1];

    (void)state;
    memset(line, '#', W);
    line[W] = 0;
    vga_start();
    say(line); /* a full line, then its LF: no empty line follows */
    say("\nnext");
    shows(0, line);
    shows(1, "next");
    vga_start();
    say(line);
    say("\b!x");
    line[W - 1] = '!';
    shows(0, line);
    shows(1, "x");
}

static void scrolling(void **state)
{
    char text[32];
    u32 top;

    (void)state;
    vga_start();
    for (u32 i = 0; i < 1000; i++) {
        snprintf(text, sizeof(text), "%sline %u", i ? "\n" : "", i);
        say(text);
        snprintf(text, sizeof(text), "line %u", i);
        shows(vga.screen.row, text);
    }
    assert_true(vga.screen.row >= H - H / 4 - 1);
    top = 999 - vga.screen.row;
    for (u32 y = 0; y < H; y++) {
        snprintf(text, sizeof(text), "line %u", top + y);
        shows(y, y <= vga.screen.row ? text : "");
    }
}

static void vga_arguments(void **state)
{
    struct boot_framebuffer good = {.type = BOOT_FB_EGA_TEXT, .pitch = 160, .width = 80, .height = 25}, fb;

    (void)state;
    fb = good, fb.type = BOOT_FB_RGB;
    assert_int_equal(vga_text_init(&vga, cells, &fb), ERR_INVAL);
    fb = good, fb.pitch = 158;
    assert_int_equal(vga_text_init(&vga, cells, &fb), ERR_INVAL);
    fb = good, fb.width = 0;
    assert_int_equal(vga_text_init(&vga, cells, &fb), ERR_INVAL);
    fb = good, fb.height = 0;
    assert_int_equal(vga_text_init(&vga, cells, &fb), ERR_INVAL);
}

static const struct boot_framebuffer formats[] = {
    {.bpp = 15, .red_pos = 10, .red_size = 5, .green_pos = 5, .green_size = 5, .blue_pos = 0, .blue_size = 5},
    {.bpp = 16, .red_pos = 11, .red_size = 5, .green_pos = 5, .green_size = 6, .blue_pos = 0, .blue_size = 5},
    {.bpp = 24, .red_pos = 16, .red_size = 8, .green_pos = 8, .green_size = 8, .blue_pos = 0, .blue_size = 8},
    {.bpp = 32, .red_pos = 0, .red_size = 8, .green_pos = 8, .green_size = 8, .blue_pos = 16, .blue_size = 8},
    {.bpp = 32,
     .red_pos = 20,
     .red_size = 10,
     .green_pos = 10,
     .green_size = 10,
     .blue_pos = 0,
     .blue_size = 10},
};

static struct fbcon con;

static struct boot_framebuffer sized(const struct boot_framebuffer *format, u32 width, u32 height, u32 extra)
{
    struct boot_framebuffer fb = *format;

    fb.type = BOOT_FB_RGB;
    fb.width = width;
    fb.height = height;
    fb.pitch = width * ((fb.bpp + 7) / 8) + extra;
    return fb;
}

static u32 pixel(const u8 *memory, const struct boot_framebuffer *fb, u32 x, u32 y)
{
    u32 bytes = (fb->bpp + 7) / 8, v = 0;

    memcpy(&v, memory + (u64)y * fb->pitch + x * bytes, bytes);
    return v;
}

/* All of the screen is text drawn with the font, the rest of it is background. */
static void expect_screen(const u8 *memory, const struct boot_framebuffer *fb, char rows[][W + 1], u32 n)
{
    u32 paper = pixel(memory, fb, fb->width - 1, fb->height - 1), ink = 0;

    for (u32 y = 0; y < fb->height; y++) {
        for (u32 x = 0; x < fb->width; x++) {
            u32 row = y / 16, column = x / 8, v = pixel(memory, fb, x, y);
            char c = row < n && column < strlen(rows[row]) && row < fb->height / 16 ? rows[row][column] : ' ';
            bool on = font8x16[c - 32][y % 16] & (0x80 >> x % 8);

            if (on && !ink)
                ink = v;
            assert_int_equal(v, on ? ink : paper);
        }
        for (u32 x = fb->width * ((fb->bpp + 7) / 8); x < fb->pitch; x++)
            assert_int_equal(memory[(u64)y * fb->pitch + x], 0x55);
    }
    assert_int_not_equal(ink, paper);
}

static void every_format(void **state)
{
    char expected[][W + 1] = {"nidus: #1", " ~gjpqy|", ""};

    (void)state;
    for (u32 i = 0; i < ARRAY_SIZE(formats); i++) {
        struct boot_framebuffer fb = sized(&formats[i], 8 * 10 + 3, 16 * 3 + 5, 12);
        u8 *memory = malloc(fb.pitch * fb.height); /* the sanitizer watches its ends */

        memset(memory, 0x55, fb.pitch * fb.height);
        assert_int_equal(fbcon_init(&con, memory, &fb), 0);
        con.screen.sink.write(&con.screen.sink, "nidus: #1\n ~gjpqy|\n", 19);
        expect_screen(memory, &fb, expected, 3);
        free(memory);
    }
}

/* Shadow and pixels stay the same thing, whatever is written. */
static void framebuffer_scrolling(void **state)
{
    struct boot_framebuffer fb = sized(&formats[3], 8 * 20, 16 * 9, 0);
    static char rows[9][W + 1];
    u8 *memory = malloc(fb.pitch * fb.height);

    (void)state;
    assert_int_equal(fbcon_init(&con, memory, &fb), 0);
    srand(1);
    for (u32 i = 0; i < 5000; i++) {
        char c = rand() % 12 ? 32 + rand() % 95 : '\n';

        con.screen.sink.write(&con.screen.sink, &c, 1);
        if (i % 500 == 499) {
            for (u32 y = 0; y < 9; y++)
                memcpy(rows[y], con.text[y], 20);
            expect_screen(memory, &fb, rows, 9);
        }
    }
    free(memory);
}

static void framebuffer_limits(void **state)
{
    struct boot_framebuffer fb = sized(&formats[3], 7, 16, 0);
    u8 *memory;

    (void)state;
    assert_int_equal(fbcon_init(&con, NULL, &fb), ERR_INVAL);
    fb = sized(&formats[3], 8, 15, 0);
    assert_int_equal(fbcon_init(&con, NULL, &fb), ERR_INVAL);
    fb = sized(&formats[3], 64, 64, 0), fb.pitch--;
    assert_int_equal(fbcon_init(&con, NULL, &fb), ERR_INVAL);
    fb = sized(&formats[3], 64, 64, 0), fb.bpp = 8;
    assert_int_equal(fbcon_init(&con, NULL, &fb), ERR_INVAL);
    fb = sized(&formats[3], 64, 64, 0), fb.type = BOOT_FB_EGA_TEXT;
    assert_int_equal(fbcon_init(&con, NULL, &fb), ERR_INVAL);

    /* one character; and more of them than there is room to remember */
    for (u32 big = 0; big < 2; big++) {
        fb = big ? sized(&formats[0], 8 * 250, 16 * 90, 0) : sized(&formats[0], 8, 16, 0);
        memory = malloc((u64)fb.pitch * fb.height);
        assert_int_equal(fbcon_init(&con, memory, &fb), 0);
        assert_int_equal(con.screen.columns, big ? FBCON_MAX_COLUMNS : 1);
        assert_int_equal(con.screen.rows, big ? FBCON_MAX_ROWS : 1);
        for (u32 i = 0; i < 300; i++)
            con.screen.sink.write(&con.screen.sink, "\nabc", 4);
        free(memory);
    }
}

/* No two characters look alike, and all but the space look like something. */
static void font(void **state)
{
    static const u8 blank[FONT_HEIGHT];

    (void)state;
    for (u32 a = 0; a < FONT_GLYPHS; a++) {
        for (u32 b = 0; b < a; b++)
            assert_int_not_equal(memcmp(font8x16[a], font8x16[b], FONT_HEIGHT), 0);
        for (u32 y = 0; y < FONT_HEIGHT; y++)
            assert_int_equal(font8x16[a][y] & 1, 0); /* a gap between characters */
    }
    assert_memory_equal(font8x16[0], blank, FONT_HEIGHT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_and_controls),  cmocka_unit_test(wrapping),
        cmocka_unit_test(scrolling),          cmocka_unit_test(vga_arguments),
        cmocka_unit_test(every_format),       cmocka_unit_test(framebuffer_scrolling),
        cmocka_unit_test(framebuffer_limits), cmocka_unit_test(font),
    };

    return cmocka_run_group_tests_name("screen", tests, NULL, NULL);
}
