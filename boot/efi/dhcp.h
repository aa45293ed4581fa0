/* SPDX-License-Identifier: MIT */
/* What DHCP said of the file that the machine was booted from. Sources: RFC 2131, RFC 2132. */
#ifndef BOOT_EFI_DHCP_H
#define BOOT_EFI_DHCP_H

#include "lib/types.h"

#define DHCP_FILE_MAX 256

struct dhcp_boot {
    u8 server[4];                  /* of TFTP */
    char directory[DHCP_FILE_MAX]; /* of the boot file: empty, or with a slash at its end */
};

/* Reads a packet of size bytes, which the network may have made up. False: it names no boot file or no
 * server, or a file that TFTP cannot fetch. */
bool dhcp_boot_read(struct dhcp_boot *b, const u8 *packet, size_t size);

#endif
