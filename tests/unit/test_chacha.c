/* SPDX-License-Identifier: MIT */
/* links: lib/chacha.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "lib/chacha.h"

/* RFC 8439, 'Test Vector for the ChaCha20 Block Function'. */
static void test_vector(void **state)
{
    static const u32 expected[16] = {0xe4e7f110, 0x15593bd1, 0x1fdd0f50, 0xc47120a3, 0xc7f4d1c7, 0x0368c033,
                                     0x9aaa2204, 0x4e6cd4c3, 0x466482d2, 0x09aa9f07, 0x05d7c214, 0xa2028bd9,
                                     0xd19c12b5, 0xb94e16de, 0xe883d0cb, 0x4e3c50a2};
    static const u32 counter_and_nonce[4] = {1, 0x09000000, 0x4a000000, 0};
    u32 key[CHACHA_KEY_WORDS], out[16];

    (void)state;
    for (u32 i = 0; i < 8; i++)
        key[i] = 0x03020100 + 0x04040404 * i;
    chacha20_block(key, counter_and_nonce, out);
    assert_memory_equal(out, expected, sizeof(expected));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_vector)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
