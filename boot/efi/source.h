/* SPDX-License-Identifier: MIT */
/* Where the UEFI application gets files from: the volume, or the server, that it came from. */
#ifndef BOOT_EFI_SOURCE_H
#define BOOT_EFI_SOURCE_H

#include "boot/efi/app.h"
#include "boot/efi/dhcp.h"

#define PATH_MAX 256

struct source {
    struct app *app;
    const char *what;   /* "volume" or "server" */
    char own[PATH_MAX]; /* directory of the application, with a slash at its end unless it is empty */
    const char *root;   /* the other directory to look in */

    /* Opens a file and tells its size, -1: it is none. False: there is nothing of that name. */
    bool (*open)(struct source *s, const char *path, u64 *size);
    /* Reads all of the file that is open. */
    bool (*read)(struct source *s, u8 *to, u64 size);
    void (*close)(struct source *s);

    union {
        struct {
            EFI_FILE_PROTOCOL *volume, *file;
        };
        struct {
            EFI_PXE_BASE_CODE *pxe;
            EFI_IP_ADDRESS server;
            char path[PATH_MAX];
        };
        struct {
            EFI_SERVICE_BINDING *binding;
            struct http *http; /* of the file that is open */
            EFI_HANDLE child;
            const IPv4_DEVICE_PATH *address;
            char host[PATH_MAX];
        };
    };
};

/* Each makes a source of what the application came from; false, without a message: it came from elsewhere. */
bool volume_source(struct source *s, struct app *app);
bool network_source(struct source *s, struct app *app); /* TFTP */
bool http_source(struct source *s, struct app *app);

#endif
