/* SPDX-License-Identifier: MIT */
#include "boot/efi/dhcp.h"
#include "lib/string.h"

/* The packet, up to its options. */
enum {
    AT_NEXT_SERVER = 20,
    AT_SERVER_NAME = 44,
    AT_FILE = 108,
    AT_MAGIC = 236,
    AT_OPTIONS = 240,
};

enum option {
    OPTION_PAD = 0,
    OPTION_OVERLOAD = 52, /* server name and file hold options, too */
    OPTION_SERVER_ID = 54,
    OPTION_FILE = 67,
    OPTION_END = 255,
};

enum { OVERLOAD_FILE = 1, OVERLOAD_SERVER_NAME = 2 };

static const u8 magic[4] = {99, 130, 83, 99};

struct bytes {
    const u8 *at;
    size_t n;
};

/* The value of an option in a field of options; at is null if there is none that is all inside the field. */
static struct bytes option_in(struct bytes field, enum option code)
{
    for (size_t i = 0; i + 1 < field.n && field.at[i] != OPTION_END;) {
        size_t n = field.at[i + 1];

        if (field.at[i] == OPTION_PAD) {
            i++;
            continue;
        }
        if (n > field.n - i - 2)
            break;
        if (field.at[i] == code)
            return (struct bytes){field.at + i + 2, n};
        i += 2 + n;
    }
    return (struct bytes){0};
}

static u32 overload(const u8 *packet, size_t size)
{
    struct bytes value = option_in((struct bytes){packet + AT_OPTIONS, size - AT_OPTIONS}, OPTION_OVERLOAD);

    return value.at && value.n == 1 ? value.at[0] : 0;
}

static struct bytes option(const u8 *packet, size_t size, enum option code)
{
    u32 also = overload(packet, size);
    struct bytes value = option_in((struct bytes){packet + AT_OPTIONS, size - AT_OPTIONS}, code);

    if (!value.at && also & OVERLOAD_FILE)
        value = option_in((struct bytes){packet + AT_FILE, AT_MAGIC - AT_FILE}, code);
    if (!value.at && also & OVERLOAD_SERVER_NAME)
        value = option_in((struct bytes){packet + AT_SERVER_NAME, AT_FILE - AT_SERVER_NAME}, code);
    return value;
}

static struct bytes boot_file(const u8 *packet, size_t size)
{
    struct bytes value = option(packet, size, OPTION_FILE);

    if (!value.at && !(overload(packet, size) & OVERLOAD_FILE))
        value = (struct bytes){packet + AT_FILE, AT_MAGIC - AT_FILE};
    return value;
}

/* The name's directory. False: an address with a protocol, or what is no text. */
static bool read_directory(struct dhcp_boot *b, struct bytes name)
{
    size_t end = 0, n = 0;

    for (; n < name.n && name.at[n] && name.at[n] != OPTION_END; n++) {
        if (name.at[n] < ' ' || name.at[n] > '~' ||
            (name.at[n] == ':' && n + 1 < name.n && name.at[n + 1] == '/'))
            return false;
        if (name.at[n] == '/' || name.at[n] == '\\')
            end = n + 1;
    }
    if (!n || end >= sizeof(b->directory))
        return false;
    memcpy(b->directory, name.at, end);
    b->directory[end] = 0;
    return true;
}

static bool read_server(struct dhcp_boot *b, const u8 *packet, size_t size)
{
    static const u8 none[4];
    struct bytes id = option(packet, size, OPTION_SERVER_ID);

    memcpy(b->server, packet + AT_NEXT_SERVER, sizeof(b->server));
    if (!memcmp(b->server, none, sizeof(none)) && id.at && id.n == sizeof(b->server))
        memcpy(b->server, id.at, sizeof(b->server));
    return memcmp(b->server, none, sizeof(none));
}

bool dhcp_boot_read(struct dhcp_boot *b, const u8 *packet, size_t size)
{
    if (size < AT_OPTIONS || memcmp(packet + AT_MAGIC, magic, sizeof(magic)) != 0)
        return false;
    return read_directory(b, boot_file(packet, size)) && read_server(b, packet, size);
}
