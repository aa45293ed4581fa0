/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/fake_asm.h"
#include "drivers/keyboard.c"

/* A controller, and what waits in it. */
static struct {
    bool absent, busy, mute;
    u8 mode, command, queue[256];
    u32 from, to, reads;
    bool mouse;
} hw;

static u32 fake_in(u16 port, u32 size)
{
    assert_int_equal(size, 1);
    hw.reads++;
    if (hw.absent)
        return 0xff;
    if (port == 0x64)
        return (hw.from < hw.to) | hw.busy << 1 | (hw.mouse && hw.from < hw.to) << 5;
    assert_int_equal(port, 0x60);
    return hw.from < hw.to ? hw.queue[hw.from++] : 0;
}

static void fake_out(u16 port, u32 size, u32 value)
{
    assert_int_equal(size, 1);
    assert_false(hw.busy);
    if (port == 0x64) {
        hw.command = value;
        if (value == 0x20 && !hw.mute)
            hw.queue[hw.to++] = hw.mode;
    } else if (hw.command == 0x60) {
        hw.mode = value;
    }
}

static u64 fake_tsc(void)
{
    return 0;
}

static struct keyboard keyboard;

static int setup(void **state)
{
    (void)state;
    memset(&hw, 0, sizeof(hw));
    hw.mode = 0x30; /* as firmware may leave it: off */
    hw.queue[hw.to++] = 0x1c;
    assert_true(keyboard_init(&keyboard));
    assert_int_equal(hw.mode, 0x61);
    assert_int_equal(hw.command, 0xae);
    return 0;
}

static void types(const char *codes, size_t n, const char *text)
{
    char got[128];
    u32 k = 0;
    int c;

    hw.from = hw.to = 0;
    memcpy(hw.queue, codes, n);
    hw.to = n;
    while ((c = keyboard_read(&keyboard)) >= 0)
        got[k++] = (char)c;
    got[k] = 0;
    assert_string_equal(got, text);
    assert_int_equal(hw.from, hw.to);
}

#define TYPES(codes, text) types(codes, sizeof(codes) - 1, text)

static void keys(void **state)
{
    (void)state;
    TYPES("\x1e\x9e\x30\xb0\x02\x82\x39\xb9\x1c\x9c\x0e\x8e", "ab1 \r\177");
    TYPES("\x2a\x1e\x9e\x02\x82\xaa\x1e\x9e", "A!a");
    TYPES("\x36\x28\xa8\xb6\x28\xa8", "\"'");
    TYPES("\x1d\x1b\x9b\x9d\x31\xb1", "\x1dn"); /* Ctrl-], n */
    TYPES("\x1d\x2e\xae\x9d\x2e\xae", "\x03"
                                      "c");
    TYPES("\x1d\x02\x82\x9d", "1");                         /* not a control character */
    TYPES("\x3b\xbb\x38\x1e\x9e\xb8\x57\x7f\xff\x00", "a"); /* F1, Alt, F11, and no keys */
    TYPES("\xe0\x48\xe0\xc8\xe0\x2a\xe0\x53\xe0\xd3\xe0\xaa\xe0\x1c\xe0\x5b", "\033[A\033[3~\r");
    TYPES("\xe0\x1d\x1b\xe0\x9d", "\x1d"); /* the right Ctrl */
}

static void others_bytes(void **state)
{
    (void)state;
    hw.mouse = true;
    TYPES("\x1e\x1e", "");
    hw.mouse = false;
    hw.absent = true; /* it is gone */
    hw.reads = 0;
    assert_int_equal(keyboard_read(&keyboard), -1);
    assert_int_equal(hw.reads, 1);
}

static void no_controller(void **state)
{
    struct keyboard k;

    (void)state;
    hw.absent = true;
    hw.reads = 0;
    assert_false(keyboard_init(&k));
    assert_int_equal(hw.reads, 1);
    hw.absent = false;
    hw.busy = true;
    assert_false(keyboard_init(&k));
    hw.busy = false;
    hw.mute = true;
    hw.reads = 0;
    assert_false(keyboard_init(&k));
    assert_true(hw.reads < 2 * WAIT_READS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup(keys, setup),
                                       cmocka_unit_test_setup(others_bytes, setup),
                                       cmocka_unit_test_setup(no_controller, setup)};

    return cmocka_run_group_tests_name("keyboard", tests, NULL, NULL);
}
