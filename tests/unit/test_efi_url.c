/* SPDX-License-Identifier: MIT */
/* links: boot/efi/url.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "boot/efi/url.h"

static char directory[32], server[32];

static bool split(const char *url)
{
    size_t n = strlen(url);
    char *copy = malloc(n + !n); /* ends where the text ends */
    bool good;

    memcpy(copy, url, n);
    good = url_split(copy, n, directory, server, sizeof(server));
    free(copy);
    return good;
}

static void good(void **state)
{
    static const struct {
        const char *url, *directory, *server;
    } rows[] = {
        {"http://10.0.2.2/nidus.efi", "http://10.0.2.2/", "10.0.2.2"},
        {"http://boot:8080/a/b/nidus.efi", "http://boot:8080/a/b/", "boot:8080"},
        {"https://boot/a/", "https://boot/a/", "boot"},
        {"http://b/a/n.efi?from=/x/y", "http://b/a/", "b"},
        {"http://b/n.efi#/x", "http://b/", "b"},
        {"http://b/n.efi\n/x", "http://b/", "b"},
        {"http://a/23456789012345678901/x", "http://a/23456789012345678901/", "a"},
    };

    (void)state;
    for (u32 i = 0; i < ARRAY_SIZE(rows); i++) {
        assert_true(split(rows[i].url));
        assert_string_equal(directory, rows[i].directory);
        assert_string_equal(server, rows[i].server);
    }
}

static void bad(void **state)
{
    static const char *const rows[] = {
        "",
        "h",
        "http",
        "http:/",
        "http://",
        "https://",
        "httpx://b/x",
        "ftp://b/x",
        "tftp://b/x",
        "http:///x",
        "http://b",
        "http://b?/x",
        "nidus.efi",
        "http://a/2345678901234567890123/x",
        "http://a234567890123456789012345678901/x",
    };

    (void)state;
    for (u32 i = 0; i < ARRAY_SIZE(rows); i++)
        if (split(rows[i]))
            fail_msg("'%s' passes", rows[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(good), cmocka_unit_test(bad)};

    return cmocka_run_group_tests_name("efi_url", tests, NULL, NULL);
}
