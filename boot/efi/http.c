/* SPDX-License-Identifier: MIT */
/* Files of the HTTP server that the application came from (UEFI's HTTP boot). Source: UEFI
 * Specification 2.10, 29.6. */
#include "boot/efi/source.h"
#include "boot/efi/url.h"
#include "lib/string.h"
#include "lib/text.h"

#define WAIT_SECONDS 30
#define CHUNK        MiB(1)
/* Without the padding that C puts behind it. */
#define IPV4_NODE_SIZE (int)(offsetof(IPv4_DEVICE_PATH, SubnetMask) + sizeof(EFI_IPv4_ADDRESS))

enum { HTTP_GET = 0, HTTP_OK = 3, HTTP_VERSION_11 = 1 };

struct http_access_point {
    BOOLEAN use_default;
    EFI_IPv4_ADDRESS local, subnet;
    UINT16 port;
};

struct http_config {
    u32 version;
    UINT32 timeout_ms;
    BOOLEAN ipv6;
    struct http_access_point *access_point;
};

struct http_header {
    CHAR8 *name, *value;
};

struct http_request {
    u32 method;
    CHAR16 *url;
};

struct http_message {
    union {
        struct http_request *request;
        u32 *status;
    };
    UINTN nr_headers;
    struct http_header *headers;
    UINTN body_size;
    void *body;
};

struct http_token {
    EFI_EVENT event;
    EFI_STATUS status;
    struct http_message *message;
};

struct http {
    void *get_mode_data;
    EFI_STATUS(EFIAPI *configure)(struct http *h, struct http_config *config);
    EFI_STATUS(EFIAPI *request)(struct http *h, struct http_token *token);
    EFI_STATUS(EFIAPI *cancel)(struct http *h, struct http_token *token);
    EFI_STATUS(EFIAPI *response)(struct http *h, struct http_token *token);
    EFI_STATUS(EFIAPI *poll)(struct http *h);
};

static EFI_GUID binding_guid = {0xbdc8e6af, 0xd9bc, 0x4379, {0xa7, 0x2a, 0xe0, 0xc4, 0xe7, 0x5d, 0xae, 0x1c}};
static EFI_GUID http_guid = {0x7a59b29b, 0x910b, 0x4171, {0x82, 0x42, 0xa8, 0x5a, 0x0d, 0xf2, 0x5b, 0x5b}};
static EFI_GUID device_path_guid = DEVICE_PATH_PROTOCOL;

static void EFIAPI note(EFI_EVENT event, void *done)
{
    (void)event;
    *(volatile bool *)done = true;
}

/* Starts one of the two operations and waits for its end. */
static bool carry_out(struct source *s, EFI_STATUS(EFIAPI *what)(struct http *, struct http_token *),
                      struct http_message *message)
{
    EFI_BOOT_SERVICES *services = s->app->services;
    struct http_token token = {.status = EFI_NOT_READY, .message = message};
    volatile bool done = false;
    bool good;

    if (services->CreateEvent(EVT_NOTIFY_SIGNAL, TPL_CALLBACK, note, (void *)&done, &token.event) !=
        EFI_SUCCESS)
        return false;
    good = what(s->http, &token) == EFI_SUCCESS;
    for (u32 i = 0; good && !done && i < WAIT_SECONDS * 1000; i++) {
        if (s->http->poll(s->http) != EFI_SUCCESS) /* nothing came meanwhile */
            services->Stall(1000);
    }
    if (good && !done)
        s->http->cancel(s->http, &token);
    services->CloseEvent(token.event);
    return good && done && token.status == EFI_SUCCESS;
}

static bool send_request(struct source *s, const char *url)
{
    CHAR16 wide[PATH_MAX] = {0};
    struct http_request request = {.method = HTTP_GET, .url = wide};
    struct http_header headers[] = {{(CHAR8 *)"Host", (CHAR8 *)s->host}, {(CHAR8 *)"Accept", (CHAR8 *)"*/*"}};
    struct http_message message = {
        .request = &request, .nr_headers = ARRAY_SIZE(headers), .headers = headers};

    for (u32 i = 0; url[i]; i++)
        wide[i] = (u8)url[i];
    return carry_out(s, s->http->request, &message);
}

static bool same_name(const CHAR8 *a, const char *b)
{
    while (*a && (*a | 0x20) == (u8)*b) {
        a++;
        b++;
    }
    return !*a && !*b;
}

/* The head of the answer: whether the file is there, and its size. */
static bool receive_head(struct source *s, u64 *size)
{
    u32 status = 0;
    struct http_message message = {.status = &status};
    bool found = false;

    if (!carry_out(s, s->http->response, &message))
        return false;
    for (UINTN i = 0; i < message.nr_headers; i++) {
        const char *value = (const char *)message.headers[i].value;

        if (same_name(message.headers[i].name, "content-length"))
            found = text_take_number(&value, size);
    }
    if (message.headers)
        s->app->services->FreePool(message.headers);
    return found && status == HTTP_OK;
}

static bool configure(struct source *s)
{
    struct http_access_point point = {.local = s->address->LocalIpAddress, .subnet = s->address->SubnetMask};
    struct http_config config = {HTTP_VERSION_11, WAIT_SECONDS * 1000, FALSE, &point};

    return s->http->configure(s->http, &config) == EFI_SUCCESS;
}

static void close(struct source *s)
{
    s->http->configure(s->http, NULL);
    s->binding->DestroyChild(s->binding, s->child);
}

/* A connection of its own for each file: what follows a refusal need not be read. */
static bool open(struct source *s, const char *path, u64 *size)
{
    s->child = NULL;
    if (s->binding->CreateChild(s->binding, &s->child) != EFI_SUCCESS)
        return false;
    if (s->app->services->HandleProtocol(s->child, &http_guid, (void **)&s->http) != EFI_SUCCESS) {
        s->binding->DestroyChild(s->binding, s->child);
        return false;
    }
    if (configure(s) && send_request(s, path) && receive_head(s, size))
        return true;
    close(s);
    return false;
}

static bool read(struct source *s, u8 *to, u64 size)
{
    while (size) {
        struct http_message message = {.body_size = MIN(size, CHUNK), .body = to};

        if (!carry_out(s, s->http->response, &message) || !message.body_size || message.body_size > size)
            return false;
        to += message.body_size;
        size -= message.body_size;
    }
    return true;
}

/* HTTP boot notes its own address and the file's in the device path. */
static bool find_server(struct source *s)
{
    const EFI_DEVICE_PATH *node;

    if (s->app->services->HandleProtocol(s->app->self->DeviceHandle, &device_path_guid, (void **)&node) !=
        EFI_SUCCESS)
        return false;
    for (; !IsDevicePathEnd(node); node = NextDevicePathNode(node)) {
        const char *url = (const char *)(node + 1);

        if (DevicePathType(node) != MESSAGING_DEVICE_PATH)
            continue;
        if (DevicePathSubType(node) == MSG_IPv4_DP && DevicePathNodeLength(node) >= IPV4_NODE_SIZE)
            s->address = (const IPv4_DEVICE_PATH *)node;
        if (DevicePathSubType(node) == MSG_URI_DP && s->address)
            return url_split(url, DevicePathNodeLength(node) - sizeof(*node), s->own, s->host,
                             sizeof(s->host));
    }
    return false;
}

bool http_source(struct source *s, struct app *app)
{
    EFI_DEVICE_PATH *path;
    EFI_HANDLE card;

    *s = (struct source){.app = app, .what = "HTTP server", .open = open, .read = read, .close = close};
    s->root = s->own;
    return find_server(s) &&
           app->services->HandleProtocol(app->self->DeviceHandle, &device_path_guid, (void **)&path) ==
               EFI_SUCCESS &&
           app->services->LocateDevicePath(&binding_guid, &path, &card) == EFI_SUCCESS &&
           app->services->HandleProtocol(card, &binding_guid, (void **)&s->binding) == EFI_SUCCESS;
}
