/* SPDX-License-Identifier: MIT */
#include "vmm/trace.h"
#include "arch/x86/vmx.h"
#include "arch/x86/vmx_names.h"
#include "lib/format.h"
#include "lib/string.h"
#include "lib/text.h"

static const char *const kinds[TRACE_KINDS] = {"exit",  "entry", "inject", "nested",
                                               "check", "ipi",   "port",   "mmio"};

const char *trace_kind_name(u32 kind)
{
    return kind < TRACE_KINDS ? kinds[kind] : "?";
}

u32 trace_kind_of(const char *name)
{
    int n = text_choose(name, kinds, TRACE_KINDS);

    return n < 0 ? TRACE_KINDS : (u32)n;
}

static char plain(char c)
{
    if (c >= 'A' && c <= 'Z')
        return (char)(c - 'A' + 'a');
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || !c ? c : '-';
}

/* Does name begin with text, or (whole) is it text? */
static bool begins(const char *name, const char *text, bool whole)
{
    for (; *text; text++, name++) {
        if (plain(*text) != plain(*name))
            return false;
    }
    return !whole || !*name;
}

static bool has(const char *name, const char *text)
{
    for (; *name; name++) {
        if (begins(name, text, false))
            return true;
    }
    return false;
}

int trace_reason_of(const char *text)
{
    int best = ERR_NOENT, how_good = 0;
    char name[64];
    u64 number;

    if (text_take_number(&text, &number))
        return !*text && number < VMX_NR_EXIT_REASONS ? (int)number : ERR_NOENT;
    for (u32 i = 0; i < VMX_NR_EXIT_REASONS && *text; i++) {
        int how;

        format(name, sizeof(name), "%s", vmx_exit_reason_name(i));
        how = begins(name, text, true) ? 3 : begins(name, text, false) ? 2 : has(name, text);
        if (how > how_good) {
            best = (int)i;
            how_good = how;
        }
    }
    return best;
}

/* --- events --- */

struct line {
    char *at;
    size_t left;
};

static void say(struct line *l, const char *fmt, ...) __printf(2, 3);
static void say(struct line *l, const char *fmt, ...)
{
    va_list args;
    size_t n;

    va_start(args, fmt);
    n = format_va(l->at, l->left, fmt, args);
    va_end(args);
    n = MIN(n, l->left - 1);
    l->at += n;
    l->left -= n;
}
#define say(l, ...) say(l, PACK __VA_ARGS__)

static void say_access(struct line *l, u64 qualification)
{
    say(l, " %s%s%s", qualification & 1 ? "r" : "", qualification & 2 ? "w" : "",
        qualification & 4 ? "x" : "");
}

static void say_port(struct line *l, u64 b)
{
    bool in = b >> 20 & 1;

    say(l, "%s%s 0x%lx", b >> 21 & 1 ? "string " : "", in ? "in" : "out", b & 0xffff);
    if (!(b >> 21 & 1))
        say(l, " %s 0x%0*lx", in ? "->" : "<-", (int)(2 * (b >> 16 & 7)), b >> 32);
}

static void say_address(struct line *l, u64 b)
{
    say(l, " 0x%lx", (u64)(b & BITS(51, 0)));
    say_access(l, b >> 52);
}

static void say_event(struct line *l, u32 info)
{
    u32 type = info >> 8 & 7, vector = info & 0xff;

    if (type == INTR_TYPE_HARDWARE_EXCEPTION)
        say(l, " %s", vmx_exception_name(vector));
    else
        say(l, " %s", vmx_intr_type_name(type));
    say(l, " %u", vector);
}

static void say_exit(struct line *l, const struct trace_event *e)
{
    say(l, "L%u exit: %s", e->level, vmx_exit_reason_name(e->reason));
    switch (e->reason) {
    case EXIT_REASON_EPT_VIOLATION:
        say_address(l, e->b);
        break;
    case EXIT_REASON_IO_INSTRUCTION:
        say(l, " %s 0x%lx", e->b >> 20 & 1 ? "in" : "out", e->b & 0xffff);
        break;
    case EXIT_REASON_EXTERNAL_INTERRUPT:
        say(l, " %u", (u32)e->b & 0xff);
        break;
    case EXIT_REASON_EXCEPTION_OR_NMI:
        say_event(l, (u32)e->b);
        break;
    case EXIT_REASON_RDMSR:
    case EXIT_REASON_WRMSR:
        say(l, " 0x%x", (u32)e->b);
        if (e->reason == EXIT_REASON_WRMSR)
            say(l, " <- ...%08x", (u32)(e->b >> 32));
        break;
    default:
        if (e->b || e->reason == EXIT_REASON_CPUID)
            say(l, " 0x%lx", e->b);
    }
    say(l, " at 0x%lx, %u ticks%s%s", e->a, e->cost, e->reflected ? ", to L1" : "", e->slow ? ", slow" : "");
}

void trace_text(char *buf, size_t size, const struct trace_event *e)
{
    struct line line = {buf, size}, *l = &line;

    *buf = 0;
    switch (e->kind) {
    case TRACE_EXIT:
        say_exit(l, e);
        break;
    case TRACE_ENTRY:
        say(l, "L%u entry at 0x%lx", e->level, e->a);
        break;
    case TRACE_INJECT:
        say(l, "L%u gets", e->level);
        say_event(l, (u32)e->b);
        if (e->b & INTR_INFO_DELIVER_ERROR)
            say(l, ", error 0x%lx", e->b >> 32);
        break;
    case TRACE_NESTED:
        if (e->level == 2)
            say(l, "L1 enters L2, VMCS 0x%lx, at 0x%lx", e->b, e->a);
        else
            say(l, "L2 exits to L1, VMCS 0x%lx: %s; at 0x%lx", e->b, vmx_exit_reason_name(e->reason), e->a);
        break;
    case TRACE_CHECK:
        say(l, "L%u entry fails at 0x%lx: %s", e->level, e->a,
            e->b                                    ? (const char *)e->b
            : e->reason < VMX_NR_INSTRUCTION_ERRORS ? vmx_instruction_error_text(e->reason)
                                                    : vmx_exit_reason_name(e->reason));
        break;
    case TRACE_IPI:
        say(l, "L%u IPI 0x%x to 0x%lx", e->level, (u32)e->b, e->b >> 32);
        break;
    case TRACE_PORT:
        say(l, "L%u ", e->level);
        say_port(l, e->b);
        break;
    case TRACE_MMIO:
        say(l, "L%u device", e->level);
        say_address(l, e->b);
        break;
    }
}
