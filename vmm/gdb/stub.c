/* SPDX-License-Identifier: MIT */
/* What each packet asks for: GDB manual, 'Packets' and 'General Query Packets'. */
#include "vmm/gdb/stub.h"
#include "lib/string.h"

#define MEMORY_MAX  (GDB_PACKET_MAX / 2)
#define ERROR_FAULT 14 /* what GDB takes an error of memory for */

void gdb_reply_ok(struct gdb *g)
{
    gdb_print(&g->w, "OK");
}

void gdb_reply_error(struct gdb *g, int r)
{
    gdb_begin(&g->w);
    gdb_print(&g->w, "E%02x", r == ERR_FAULT || r == ERR_RANGE ? ERROR_FAULT : (u32)-r);
}

static void reply(struct gdb *g, int r)
{
    if (r)
        gdb_reply_error(g, r);
    else
        gdb_reply_ok(g);
}

/* --- sessions --- */

/* Whoever was there before is gone: serial lines do not tell. */
static void do_supported(struct gdb *g, const char *at)
{
    if (g->running)
        gdb_stop_all(g);
    if (g->levels)
        debug_remove_all(&g->task, g->vm, DEBUG_BY_GDB, 0);
    g->extended = g->physical = false;
    g->multiprocess = strstr(at, "multiprocess+");
    gdb_print(&g->w, "PacketSize=%x;qXfer:features:read+;multiprocess+;swbreak+;hwbreak+;vContSupported+",
              GDB_PACKET_MAX);
}

static void do_extended(struct gdb *g, const char *at)
{
    (void)at;
    g->extended = true;
    gdb_reply_ok(g);
}

static void do_why(struct gdb *g, const char *at)
{
    int process = OK;

    (void)at;
    if (!gdb_vm_runs(g)) {
        g->levels = 0;
        if (!g->extended)
            process = gdb_first_process();
        if (!process || process < 0 || gdb_attach(g, (u32)process)) {
            gdb_print(&g->w, "W00");
            return;
        }
    }
    gdb_report(g, GDB_TRAP, NULL);
}

static void do_attach(struct gdb *g, const char *at)
{
    u64 process;
    int r = ERR_INVAL;

    if (text_take_hex(&at, &process) && !*at && process < GDB_ALL) {
        if (g->levels && !gdb_vm_runs(g))
            g->levels = 0;
        r = gdb_attach(g, (u32)process);
    }
    if (r)
        gdb_reply_error(g, r);
    else
        gdb_report(g, GDB_TRAP, NULL);
}

static void do_detach(struct gdb *g, const char *at)
{
    u64 process = 0;

    if (*at && (!gdb_take(&at, ";") || !text_take_hex(&at, &process) || *at || process >= GDB_ALL)) {
        gdb_reply_error(g, ERR_INVAL);
        return;
    }
    gdb_detach(g, (u32)process);
    g->has_left = !g->levels;
    gdb_reply_ok(g);
}

static void do_kill(struct gdb *g, const char *at)
{
    u64 process;

    if (*at && (!text_take_hex(&at, &process) || *at || process >= GDB_ALL || !gdb_has(g, (u32)process))) {
        gdb_reply_error(g, ERR_NOENT);
        return;
    }
    gdb_kill(g);
    g->has_left = true;
    gdb_reply_ok(g);
}

/* --- threads --- */

static bool take_thread(struct gdb *g, const char *at, u8 *level, u32 *vcpu)
{
    struct gdb_thread id = {0, 0};

    return gdb_take_thread(&at, &id) && !*at && !gdb_find_thread(g, &id, level, vcpu);
}

/* Hc is about packets that vCont has made superfluous. */
static void do_choose(struct gdb *g, const char *at)
{
    bool general = *at == 'g';

    if (!general && *at != 'c')
        gdb_reply_error(g, ERR_INVAL);
    else if (general && g->levels && !take_thread(g, at + 1, &g->level, &g->vcpu))
        gdb_reply_error(g, ERR_NOENT);
    else
        gdb_reply_ok(g);
}

static void do_alive(struct gdb *g, const char *at)
{
    u8 level;
    u32 vcpu;

    reply(g, take_thread(g, at, &level, &vcpu) ? OK : ERR_NOENT);
}

static void do_current(struct gdb *g, const char *at)
{
    if (!g->levels || *at)
        return;
    gdb_print(&g->w, "QC");
    gdb_print_thread(g, g->level, g->vcpu);
}

static void do_threads(struct gdb *g, const char *at)
{
    (void)at;
    gdb_print_threads(g);
    if (g->w.n == 1)
        gdb_put(&g->w, 'l');
}

static void do_no_more(struct gdb *g, const char *at)
{
    (void)at;
    gdb_put(&g->w, 'l');
}

static void do_name(struct gdb *g, const char *at)
{
    u8 level;
    u32 vcpu;

    if (take_thread(g, at, &level, &vcpu))
        gdb_print_name(g, level, vcpu);
    else
        gdb_reply_error(g, ERR_NOENT);
}

static void do_was_there(struct gdb *g, const char *at)
{
    (void)at;
    gdb_put(&g->w, '1');
}

/* --- registers and memory --- */

static void do_get_all(struct gdb *g, const char *at)
{
    int r = gdb_print_regs(g, 0, GDB_G_SIZE);

    (void)at;
    if (r)
        gdb_reply_error(g, r);
}

static void do_get(struct gdb *g, const char *at)
{
    u32 offset, size;
    u64 n;
    int r = ERR_INVAL;

    if (text_take_hex(&at, &n) && !*at && gdb_reg(n, &offset, &size))
        r = gdb_print_regs(g, offset, offset + 1);
    if (r)
        gdb_reply_error(g, r);
}

static void do_set(struct gdb *g, const char *at)
{
    u8 value[16];
    u32 offset, size;
    u64 n;
    int r = ERR_INVAL;

    if (text_take_hex(&at, &n) && gdb_take(&at, "=") && gdb_reg(n, &offset, &size) &&
        gdb_take_bytes(&at, value, size) && !*at)
        r = gdb_set_reg(g, n, value);
    reply(g, r);
}

/* ADDRESS,LENGTH */
static bool take_range(const char **at, u64 *address, u64 *n)
{
    return text_take_hex(at, address) && gdb_take(at, ",") && text_take_hex(at, n);
}

static void do_read(struct gdb *g, const char *at)
{
    u8 buf[MEMORY_MAX];
    u64 address, n;
    int r = ERR_INVAL;

    if (take_range(&at, &address, &n) && !*at && n)
        r = gdb_memory(g, address, buf, (u32)MIN(n, sizeof(buf)), false);
    if (r < 0)
        gdb_reply_error(g, r);
    else
        gdb_put_hex(&g->w, buf, (u32)r);
}

static int write(struct gdb *g, u64 address, u8 *buf, u64 n)
{
    int r = n ? gdb_memory(g, address, buf, (u32)n, true) : OK;

    return MIN(r, OK);
}

static void do_write(struct gdb *g, const char *at)
{
    u8 buf[MEMORY_MAX];
    u64 address, n;
    int r = ERR_INVAL;

    if (take_range(&at, &address, &n) && gdb_take(&at, ":") && n <= sizeof(buf) &&
        gdb_take_bytes(&at, buf, (u32)n) && !*at)
        r = write(g, address, buf, n);
    reply(g, r);
}

static void do_write_binary(struct gdb *g, const char *at)
{
    u64 address, n;
    int r = ERR_INVAL;

    if (take_range(&at, &address, &n) && gdb_take(&at, ":") && n == (u64)(g->reader.data + g->reader.n - at))
        r = write(g, address, (u8 *)g->reader.data + (at - g->reader.data), n);
    reply(g, r);
}

/* --- breakpoints --- */

static void do_point(struct gdb *g, const char *at)
{
    static const u8 kinds[] = {DEBUG_SOFTWARE, DEBUG_HARDWARE, DEBUG_WATCH_WRITE, DEBUG_SOFTWARE,
                               DEBUG_WATCH_ACCESS};
    bool insert = at[-1] == 'Z';
    struct debug_point p = {.level = g->level};
    u32 type = (u32)(*at - '0');
    u64 size;
    int r = ERR_INVAL;

    /* x86 cannot watch reads alone. */
    if (type >= ARRAY_SIZE(kinds) || type == 3)
        return;
    at++;
    p.kind = kinds[type];
    if (gdb_take(&at, ",") && take_range(&at, &p.address, &size) && size <= 0xffff) {
        p.size = (u32)size;
        r = (insert ? debug_insert : debug_remove)(&g->task, g->vm, g->vcpu, DEBUG_BY_GDB, &p);
        if (!insert && r == ERR_NOENT)
            r = OK;
    }
    reply(g, r);
}

/* --- running --- */

static void do_can_continue(struct gdb *g, const char *at)
{
    (void)at;
    gdb_print(&g->w, "vCont;c;C;s;S;r");
}

static void do_continue(struct gdb *g, const char *at)
{
    int r = g->levels ? gdb_resume(g, at) : ERR_NOENT;

    if (r)
        gdb_reply_error(g, r);
}

/* --- others --- */

static void do_features(struct gdb *g, const char *at)
{
    u64 offset, n;

    if (gdb_take(&at, "target.xml:") && take_range(&at, &offset, &n) && !*at)
        gdb_describe(&g->w, offset, n);
    else
        gdb_reply_error(g, ERR_INVAL);
}

static void __printf(2, 3) say(struct gdb *g, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    gdb_print_hex(&g->w, fmt, args);
    va_end(args);
}
#define say(g, ...) say(g, PACK __VA_ARGS__)

/* What 'monitor' is followed by. */
static void do_monitor(struct gdb *g, const char *at)
{
    char text[32];
    u32 n = (u32)MIN(strlen(at) / 2, sizeof(text) - 1);

    if (!gdb_take_bytes(&at, text, n) || *at)
        n = 0;
    text[n] = 0;
    if (!strcmp(text, "vms"))
        gdb_print_vms(g);
    else if (!strcmp(text, "physical") || !strcmp(text, "linear"))
        g->physical = *text == 'p';
    else
        say(g, "vms: what there is to attach to\n"
               "physical, linear: what addresses of memory are from now on\n");
    if (g->w.n == 1)
        gdb_reply_ok(g);
}

/* The first that the packet begins with. Others have the empty reply: that is for what is not supported. */
static const struct {
    char name[22];
    bool attached; /* only while the VM that is attached runs */
    void (*fn)(struct gdb *g, const char *at);
} commands[] = {
    {"?", false, do_why},
    {"!", false, do_extended},
    {"g", true, do_get_all},
    {"p", true, do_get},
    {"P", true, do_set},
    {"m", true, do_read},
    {"M", true, do_write},
    {"X", true, do_write_binary},
    {"Z", true, do_point},
    {"z", true, do_point},
    {"H", false, do_choose},
    {"T", true, do_alive},
    {"D", false, do_detach},
    {"k", false, do_kill},
    {"vCont?", false, do_can_continue},
    {"vCont", false, do_continue},
    {"vAttach;", false, do_attach},
    {"vKill;", false, do_kill},
    {"qSupported", false, do_supported},
    {"qC", false, do_current},
    {"qfThreadInfo", false, do_threads},
    {"qsThreadInfo", false, do_no_more},
    {"qThreadExtraInfo,", true, do_name},
    {"qAttached", false, do_was_there},
    {"qXfer:features:read:", false, do_features},
    {"qRcmd,", false, do_monitor},
};

void gdb_packet(struct gdb *g)
{
    gdb_begin(&g->w);
    for (u32 i = 0; i < ARRAY_SIZE(commands); i++) {
        const char *at = g->reader.data;

        if (!gdb_take(&at, commands[i].name))
            continue;
        if (commands[i].attached && !gdb_vm_runs(g))
            gdb_reply_error(g, ERR_NOENT);
        else
            commands[i].fn(g, at);
        break;
    }
    gdb_end(&g->w);
}
