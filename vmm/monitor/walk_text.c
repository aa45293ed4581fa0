/* SPDX-License-Identifier: MIT */
#include "vmm/monitor/walk_text.h"
#include "arch/x86/regs.h"
#include "lib/format.h"
#include "vmm/ept.h"

struct text {
    char buf[256];
    size_t n;
    void (*line)(void *ctx, const char *text);
    void *ctx;
};

static void add(struct text *t, const char *fmt, ...) __printf(2, 3);
#define add(t, ...) add(t, PACK __VA_ARGS__)

static void(add)(struct text *t, const char *fmt, ...)
{
    va_list args;
    size_t room = sizeof(t->buf) - t->n, n;

    va_start(args, fmt);
    n = format_va(t->buf + t->n, room, fmt, args);
    va_end(args);
    t->n += MIN(n, room - 1);
}

static void end_line(struct text *t)
{
    t->line(t->ctx, t->buf);
    t->n = 0;
}

struct bit_name {
    u64 bit;
    const char *name;
};

static void add_bits(struct text *t, u64 value, const struct bit_name *names, u32 nr)
{
    for (u32 i = 0; i < nr; i++)
        if (value & names[i].bit)
            add(t, ", %s", names[i].name);
}

static void add_size(struct text *t, u64 size)
{
    bool big = size >= MiB(1);
    bool huge = size >= GiB(1);

    add(t, "%lu %s", size >> (huge ? 30 : big ? 20 : 10), huge ? "GiB" : big ? "MiB" : "KiB");
}

/* The entry of a step by its name and place. */
static void add_entry(struct text *t, const struct inspect_walk *w, u32 i)
{
    static const char *const names[] = {"PTE", "PDE", "PDPTE", "PML4E", "PML5E"};
    const struct inspect_step *s = &w->step[i];

    add(t, "%-5s ", names[(w->levels - 1 - i) % ARRAY_SIZE(names)]);
    if (w->pdptes && !i)
        add(t, "in its register");
    else
        add(t, "at 0x%lx", s->at);
    if (s->at1 != s->at)
        add(t, " (in L1 0x%lx)", s->at1);
    add(t, ": %0*lx: ", 2 * (int)w->entry_size, s->entry);
}

static bool is_last(const struct inspect_walk *w, u32 i)
{
    return i + 1 == w->nr && !w->r;
}

static void add_target(struct text *t, const struct inspect_walk *w, u32 i)
{
    if (!is_last(w, i)) {
        add(t, " -> table 0x%lx", (u64)(w->step[i].entry & PTE_ADDR));
        return;
    }
    add(t, " -> ");
    add_size(t, w->size);
    add(t, " page 0x%lx", ALIGN_DOWN(w->to, w->size));
}

/* --- page tables --- */

static void add_page_bits(struct text *t, const struct inspect_walk *w, u32 i, u64 e)
{
    static const struct bit_name names[] = {
        {PTE_A, "accessed"},
        {PTE_PWT, PACK "write-through"},
        {PTE_PCD, PACK "cache-disable"},
    };
    static const struct bit_name page_names[] = {{PTE_D, "dirty"}, {PTE_G, "global"}};

    if (!(e & PTE_P)) {
        add(t, "not present");
        return;
    }
    if (!(w->levels == 3 && !i)) /* PDPTEs of PAE paging have no rights */
        add(t, "%s, %s%s", e & PTE_W ? "writable" : "read-only", e & PTE_U ? "user" : "supervisor",
            w->entry_size == 8 && (e & PTE_NX) ? PACK ", no execution" : "");
    else
        add(t, "present");
    add_bits(t, e, names, ARRAY_SIZE(names));
    if (is_last(w, i))
        add_bits(t, e, page_names, ARRAY_SIZE(page_names));
    add_target(t, w, i);
}

static void add_fault(struct text *t, const struct inspect_walk *w)
{
    if (w->r == ERR_RANGE)
        add(t, "the next entry lies where there is no RAM");
    else if (w->error_code & PF_RESERVED)
        add(t, "a reserved bit is set: page fault");
    else if (w->nr)
        add(t, "not present: page fault");
    else
        add(t, "not canonical: general protection");
}

void walk_text_pages(const struct inspect_walk *w, gva_t gva, void (*line)(void *ctx, const char *text),
                     void *ctx)
{
    static const char *const modes[] = {[0] = PACK "no paging",
                                        [2] = PACK "32-bit paging",
                                        [3] = PACK "PAE paging",
                                        [4] = PACK "4-level paging",
                                        [5] = PACK "5-level paging"};
    struct text t = {.line = line, .ctx = ctx};

    add(&t, "%s, CR3 0x%lx", modes[w->levels], w->cr3);
    end_line(&t);
    for (u32 i = 0; i < w->nr; i++) {
        add_entry(&t, w, i);
        add_page_bits(&t, w, i, w->step[i].entry);
        end_line(&t);
    }
    if (w->r) {
        add_fault(&t, w);
        end_line(&t);
        return;
    }
    add(&t, "0x%lx is 0x%lx: %s, %s, %s", gva, w->to, w->page & WALK_PAGE_WRITE ? "writable" : "read-only",
        w->page & WALK_PAGE_USER ? "user" : "supervisor",
        w->page & WALK_PAGE_NX ? PACK "no execution" : "executable");
    if (w->r1)
        add(&t, "; L1's EPT maps nothing there: see 'ept 12'");
    else if (w->to1 != w->to)
        add(&t, "; in L1 0x%lx", w->to1);
    end_line(&t);
}

/* --- EPT --- */

static void add_ept_bits(struct text *t, const struct inspect_walk *w, u32 i, u64 e)
{
    static const char *const types[8] = {"UC", "WC", "type 2", "type 3", "WT", "WP", "WB", "type 7"};
    static const struct bit_name names[] = {
        {EPT_EXEC_USER, PACK "user execution"}, {EPT_ACCESSED, "accessed"}, {EPT_DIRTY, "dirty"}};

    if (!(e & (EPT_RWX | EPT_EXEC_USER))) {
        add(t, "not present");
        return;
    }
    add(t, "%c%c%c", e & EPT_READ ? 'r' : '-', e & EPT_WRITE ? 'w' : '-', e & EPT_EXEC ? 'x' : '-');
    add_bits(t, e, names, ARRAY_SIZE(names));
    if (is_last(w, i))
        add(t, ", %s%s", types[w->type & 7], w->type & EPT_IPAT ? PACK ", PAT ignored" : "");
    add_target(t, w, i);
}

void walk_text_ept(const struct inspect_walk *w, gpa_t gpa, void (*line)(void *ctx, const char *text),
                   void *ctx)
{
    struct text t = {.line = line, .ctx = ctx};

    add(&t, "EPT, tables at 0x%lx", (u64)(w->cr3 & EPT_ADDR));
    end_line(&t);
    for (u32 i = 0; i < w->nr; i++) {
        add_entry(&t, w, i);
        add_ept_bits(&t, w, i, w->step[i].entry);
        end_line(&t);
    }
    if (!w->r)
        add(&t, "0x%lx is 0x%lx: %c%c%c", gpa, w->to, w->page & EPT_READ ? 'r' : '-',
            w->page & EPT_WRITE ? 'w' : '-', w->page & EPT_EXEC ? 'x' : '-');
    else if (w->r == ERR_FAULT)
        add(&t, "not present: EPT violation");
    else if (w->r == ERR_INVAL)
        add(&t, "malformed: EPT misconfiguration");
    else
        add(&t, "the next entry lies where there is no RAM");
    end_line(&t);
}
