/* SPDX-License-Identifier: MIT */
/* links: boot/efi/dhcp.c boot/efi/url.c */
#include <stdlib.h>
#include <string.h>

#include "boot/efi/dhcp.h"
#include "boot/efi/url.h"

#define FIXED 240 /* of a DHCP packet, which ends in the number that makes it one */

static void packet(const uint8_t *data, size_t size)
{
    u8 *copy = malloc(size);
    struct dhcp_boot boot;
    size_t n;

    memcpy(copy, data, size);
    memcpy(copy + FIXED - 4, "\x63\x82\x53\x63", 4);
    if (dhcp_boot_read(&boot, copy, size)) {
        n = strnlen(boot.directory, sizeof(boot.directory));
        if (n == sizeof(boot.directory) ||
            (n && boot.directory[n - 1] != '/' && boot.directory[n - 1] != '\\'))
            abort();
    }
    free(copy);
}

static void address(const uint8_t *data, size_t size)
{
    char directory[64], server[64];

    if (url_split((const char *)data, size, directory, server, sizeof(server)) &&
        (!server[0] || directory[strlen(directory) - 1] != '/' || !strstr(directory, server)))
        abort();
}

/* What the network says of where the UEFI application came from. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size >= FIXED)
        packet(data, size);
    address(data, size);
    return 0;
}
