/* SPDX-License-Identifier: MIT */
/* Files of the TFTP server that the application came from, by the PXE code that fetched it. */
#include "boot/efi/source.h"
#include "lib/string.h"

#define BLOCK \
    1428 /* bytes in a packet, less than Ethernet's largest by what tunnels add; servers may take less */

static EFI_GUID pxe_guid = EFI_PXE_BASE_CODE_PROTOCOL_GUID;

static bool fetch(struct source *s, EFI_PXE_BASE_CODE_TFTP_OPCODE what, u8 *to, UINT64 *size)
{
    UINTN block = BLOCK;

    return s->pxe->Mtftp(s->pxe, what, to, FALSE, size, &block, &s->server, (UINT8 *)s->path, NULL, FALSE) ==
           EFI_SUCCESS;
}

static bool open(struct source *s, const char *path, u64 *size)
{
    UINT64 told = 0;

    str_copy(s->path, path, sizeof(s->path));
    if (!fetch(s, EFI_PXE_BASE_CODE_TFTP_GET_FILE_SIZE, NULL, &told))
        return false;
    *size = told;
    return true;
}

static bool read(struct source *s, u8 *to, u64 size)
{
    UINT64 room = size;

    return !size || (fetch(s, EFI_PXE_BASE_CODE_TFTP_READ_FILE, to, &room) && room == size);
}

static void close(struct source *s)
{
    (void)s;
}

/* The last packet of those that may name the boot file is the one that counted. */
static bool find_server(struct source *s)
{
    const EFI_PXE_BASE_CODE_MODE *m = s->pxe->Mode;
    const struct {
        bool there;
        const EFI_PXE_BASE_CODE_PACKET *packet;
    } packets[] = {
        {m->PxeReplyReceived, &m->PxeReply},
        {m->ProxyOfferReceived, &m->ProxyOffer},
        {m->DhcpAckReceived, &m->DhcpAck},
    };
    struct dhcp_boot boot;

    for (u32 i = 0; i < ARRAY_SIZE(packets); i++) {
        if (packets[i].there &&
            dhcp_boot_read(&boot, packets[i].packet->Raw, sizeof(packets[i].packet->Raw))) {
            memcpy(&s->server.v4, boot.server, sizeof(boot.server));
            str_copy(s->own, boot.directory, sizeof(s->own));
            s->root = s->own;
            return true;
        }
    }
    return false;
}

bool network_source(struct source *s, struct app *app)
{
    *s = (struct source){.app = app, .what = "TFTP server", .open = open, .read = read, .close = close};
    if (app->services->HandleProtocol(app->self->DeviceHandle, &pxe_guid, (void **)&s->pxe) != EFI_SUCCESS ||
        !s->pxe->Mode || !s->pxe->Mode->Started)
        return false;
    if (s->pxe->Mode->UsingIpv6)
        return fail(app, "files come by IPv4 only: switch network boot to IPv4");
    return find_server(s);
}
