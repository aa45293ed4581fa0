/* SPDX-License-Identifier: MIT */
/* Commands about memory and translations. */
#include "lib/format.h"
#include "lib/string.h"
#include "lib/text.h"
#include "vmm/debug.h"
#include "vmm/inspect.h"
#include "vmm/monitor/tables.h"
#include "vmm/monitor/walk_text.h"
#include "vmm/vmm.h"

#define CHUNK      256 /* that is read at once */
#define MAX_BYTES  MiB(1)
#define LINE_BYTES 16

struct memory_call {
    struct mon_view view;
    u64 address;
    u32 n, done;
    bool write;
    int why;
    u8 data[CHUNK];
};

static void access_memory(struct vcpu *v, void *arg)
{
    struct memory_call *c = arg;

    c->done =
        inspect_memory(v, c->view.level, c->view.physical, c->address, c->data, c->n, c->write, &c->why);
    if (!c->view.physical)
        debug_hide(v, c->view.level ? (u8)c->view.level : vcpu_level(v), c->address, c->data, c->done,
                   c->write);
}

static const char *why_not(int r)
{
    switch (r) {
    case ERR_FAULT:
        return PACK "its paging maps nothing there: see 'walk'";
    case ERR_INVAL:
        return PACK "L1's EPT is malformed there: see 'ept 12'";
    case ERR_NOENT:
        return mon_no_l2;
    default:
        return PACK "there is no RAM";
    }
}

/* Width of the items: b, w, d, q. */
static bool take_width(const char *word, u32 *width)
{
    static const char *const names[] = {"b", "w", "d", "q"};
    int i = text_choose(word, names, ARRAY_SIZE(names));

    if (i >= 0)
        *width = 1u << i;
    return i >= 0;
}

static void print_line(struct monitor *m, u64 address, const u8 *data, u32 n, u32 width)
{
    char text[LINE_BYTES + 1];

    mon_print(m, "%016lx ", address);
    for (u32 i = 0; i < LINE_BYTES; i += width) {
        u64 item = 0;

        if (i + width <= n)
            memcpy(&item, data + i, width);
        if (i + width <= n)
            mon_print(m, " %0*lx", 2 * (int)width, item);
        else
            mon_print(m, " %*s", 2 * (int)width, "");
    }
    for (u32 i = 0; i < n; i++)
        text[i] = data[i] >= ' ' && data[i] < 0x7f ? (char)data[i] : '.';
    text[n] = 0;
    mon_print(m, "  |%s|\n", text);
}

static void print_chunk(struct monitor *m, const struct memory_call *c, u32 width)
{
    for (u32 at = 0; at < c->done; at += LINE_BYTES)
        print_line(m, c->address + at, c->data + at, MIN(c->done - at, (u32)LINE_BYTES), width);
}

static void read_memory(struct monitor *m, struct memory_call *c, u64 bytes, u32 width)
{
    while (bytes && !mon_stopped(m)) {
        c->n = (u32)MIN(bytes, (u64)CHUNK);
        if (!mon_call(m, c->view.vm, c->view.vcpu, access_memory, c))
            return;
        print_chunk(m, c, width);
        if (c->done < c->n) {
            mon_print(m, "%016lx  %s\n", c->address + c->done, why_not(c->why));
            return;
        }
        c->address += c->n;
        bytes -= c->n;
    }
}

/* Behind the last word there is a null. */
static bool take_address(struct monitor *m, const struct mon_view *view, const char *word, u64 *address)
{
    if (!word)
        mon_print(m, "which address?\n");
    return word && mon_address(m, view, word, address);
}

static void mem(struct monitor *m, u32 argc, char **argv)
{
    struct memory_call *c = mon_scratch(m);
    struct mon_view view;
    u64 address, bytes = 64;
    u32 width = 1;

    if (!mon_view(m, &argc, argv, &view))
        return;
    if (argc > 2 && take_width(argv[argc - 1], &width))
        argc--;
    if (!take_address(m, &view, argv[1], &address) || (argc > 2 && !mon_number(m, argv[2], &bytes)))
        return;
    c->view = view;
    c->address = address;
    c->write = false;
    read_memory(m, c, MIN(bytes, MAX_BYTES), width);
}

static void write(struct monitor *m, u32 argc, char **argv)
{
    struct memory_call *c = mon_scratch(m);
    struct mon_view view;
    u64 address, value;
    u32 width = 1, n = 0;
    u8 data[MONITOR_MAX_WORDS * 8];

    if (!mon_view(m, &argc, argv, &view))
        return;
    if (argc > 2 && take_width(argv[argc - 1], &width))
        argc--;
    if (argc < 3) {
        mon_print(m, "which address and which values?\n");
        return;
    }
    for (u32 i = 2; i < argc; i++, n += width) {
        if (!mon_number(m, argv[i], &value))
            return;
        if (width < 8 && value >> (8 * width)) {
            mon_print(m, "0x%lx does not fit into %u byte%s; say w, d or q at the end for 2, 4 or 8\n", value,
                      width, width > 1 ? "s" : "");
            return;
        }
        memcpy(data + n, &value, width);
    }
    if (!mon_address(m, &view, argv[1], &address))
        return;
    c->view = view;
    c->address = address;
    c->write = true;
    c->n = n;
    memcpy(c->data, data, n);
    if (mon_call(m, view.vm, view.vcpu, access_memory, c) && c->done < n)
        mon_print(m, "%u bytes are written; at 0x%lx %s\n", c->done, address + c->done, why_not(c->why));
}

/* --- translations --- */

struct walk_call {
    struct mon_view view;
    u64 address;
    enum inspect_vmcs which;
    int r;
    struct inspect_walk walk;
};

static void walk_pages(struct vcpu *v, void *arg)
{
    struct walk_call *c = arg;

    c->r = inspect_page_walk(v, c->view.level, c->address, &c->walk);
}

static void walk_ept(struct vcpu *v, void *arg)
{
    struct walk_call *c = arg;

    c->r = inspect_ept_walk(v, c->which, c->address, &c->walk);
}

static void print_text(void *ctx, const char *text)
{
    struct monitor *m = ctx;

    mon_print(m, "%s\n", text);
}

static void page_walk(struct monitor *m, u32 argc, char **argv)
{
    struct walk_call *c = mon_scratch(m);
    struct mon_view view;
    u64 address;

    if (!mon_view(m, &argc, argv, &view) || !take_address(m, &view, argv[1], &address))
        return;
    c->view = view;
    c->address = address;
    if (!mon_call(m, view.vm, view.vcpu, walk_pages, c))
        return;
    if (c->r)
        mon_print(m, "%s\n", why_not(c->r));
    else
        walk_text_pages(&c->walk, address, print_text, m);
}

static void ept(struct monitor *m, u32 argc, char **argv)
{
    struct walk_call *c = mon_scratch(m);
    struct mon_view view;
    u64 address;
    enum inspect_vmcs which;

    if (!mon_view(m, &argc, argv, &view) || !mon_which_vmcs(m, argv[1], &which) ||
        !take_address(m, &view, argv[2], &address))
        return;
    c->which = which;
    c->address = address;
    if (!mon_call(m, view.vm, view.vcpu, walk_ept, c))
        return;
    if (c->r == ERR_UNSUPP)
        mon_print(m, "L1 uses no EPT for its L2\n");
    else if (c->r)
        mon_print(m, "%s\n", why_not(c->r));
    else
        walk_text_ept(&c->walk, address, print_text, m);
}

const struct command monitor_memory[] = {
    {"mem", PACK "[VCPU] [l1 | l2] [gva | gpa] ADDRESS [BYTES] [b | w | d | q]",
     PACK
     "Memory at a linear (gva) or physical (gpa) address of the level that runs, or of the one that is named, in items "
     "of 1, 2, 4 or 8 bytes. An address may be a sum: rsp+0x40. Devices are not read.",
     mem, "gva gpa l1 l2 @reg @vcpu"},
    {"write", PACK "[VCPU] [l1 | l2] [gva | gpa] ADDRESS VALUE... [b | w | d | q]",
     PACK "Writes values there, whatever rights the page gives.", write, "gva gpa l1 l2 @reg @vcpu"},
    {"walk", PACK "[VCPU] [l1 | l2] ADDRESS",
     PACK "What the page tables make of a linear address, level by level.", page_walk, "l1 l2 @reg @vcpu"},
    {"ept", PACK "[VCPU] 01 | 12 | 02 ADDRESS",
     PACK
     "What an EPT makes of a guest-physical address, level by level. 01: the VM's; 12: the one that L1 has made for "
     "L2; 02: the two together, as far as L2 has touched it.",
     ept, "01 12 02 @reg @vcpu"},
    {0},
};
