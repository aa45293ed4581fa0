/* SPDX-License-Identifier: MIT */
/* Of an address like http://SERVER:PORT/DIRECTORY/FILE?QUERY, what is needed for other files beside that one.
 * RFC 3986. */
#ifndef BOOT_EFI_URL_H
#define BOOT_EFI_URL_H

#include "lib/types.h"

/* Copies what stands before the file's name, with the slash, and SERVER:PORT; both texts have room for size
 * characters. False: it is no such address, or too long. */
bool url_split(const char *url, size_t n, char *directory, char *server, size_t size);

#endif
