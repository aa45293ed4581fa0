/* SPDX-License-Identifier: MIT */
/* links: vmm/monitor/monitor.c vmm/monitor/edit.c vmm/monitor/command.c vmm/monitor/commands.c */
/* links: vmm/monitor/words.c vmm/monitor/cmd_vm.c vmm/monitor/cmd_state.c vmm/monitor/cmd_memory.c */
/* links: vmm/monitor/cmd_devices.c vmm/monitor/walk_text.c vmm/monitor/cmd_debug.c */
/* links: vmm/monitor/cmd_trace.c vmm/monitor/cmd_stats.c vmm/trace.c vmm/trace_text.c vmm/stats.c */
/* links: vmm/vmcs_dump.c vmm/vmcs_text.c arch/x86/vmx_names.c arch/x86/vmx_caps.c */
/* links: lib/format.c lib/text.c lib/str_copy.c */
/* A person who mashes keys, at a monitor whose vCPUs hold anything. */
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "vmm/console.h"
#include "vmm/debug.h"
#include "vmm/fail.h"
#include "vmm/dev/ioapic.h"
#include "vmm/dev/lapic_state.h"
#include "vmm/dev/pic.h"
#include "vmm/dev/platform.h"
#include "vmm/inspect.h"
#include "vmm/monitor/monitor.h"
#include "vmm/msr_table.h"
#include "vmm/observe.h"
#include "vmm/task.h"
#include "vmm/vmm.h"

static const u8 *input, *input_end;
static jmp_buf closed;
static bool stays;

static struct config_vm vms[2] = {{.name = "one", .vcpus = 2, .kernel = "k"}, {.name = "two-2", .vcpus = 64}};
static struct platform platform;
static u32 apic_regs[4 * LAPIC_NR_REGS];
static struct lapic lapic = {.regs = apic_regs};
static struct pi_desc pid;
static struct nested nested;
static struct vcpu vcpu;
static struct vm vm;

static void must(bool condition)
{
    if (!condition)
        abort();
}

/* What vCPUs hold comes from the input too, but leaves the keys where they are. */
static void anything(void *to, size_t n)
{
    for (size_t i = 0; i < n; i++)
        ((u8 *)to)[i] = input < input_end ? input[i % (size_t)(input_end - input)] : (u8)i;
}

/* --- tasks: a key whenever the monitor waits --- */

static void (*task_main)(struct task *t);
static struct task *task;

int task_start(struct task *t, const char *name, void (*main)(struct task *t))
{
    (void)name;
    task = t;
    task_main = main;
    return OK;
}

void task_wake(struct task *t)
{
    (void)t;
}

void task_wait(struct task *t)
{
    (void)t;
    if (!stays)
        longjmp(closed, 1);
    monitor_key(input < input_end ? (char)*input++ : 0x1d);
}

bool task_wait_until(struct task *t, u64 tsc)
{
    (void)tsc;
    task_wait(t);
    return true;
}

void task_give_way(struct task *t)
{
    static u32 patience;

    (void)t;
    if (input < input_end && (*input & 1))
        monitor_key((char)*input++);
    else if (!(++patience % 256)) /* a command that waits for ever */
        monitor_key(3);
}

void control_listen(struct task *t)
{
    (void)t;
}

static bool runs(void)
{
    return input == input_end || *input % 8;
}

int control_call(struct task *t, u32 index, u32 id, void (*fn)(struct vcpu *v, void *arg), void *arg)
{
    (void)t;
    must(vmm_config(index) && id < vmm_config(index)->vcpus);
    if (!runs())
        return ERR_NOENT;
    fn(&vcpu, arg);
    return OK;
}

int control_vm(struct task *t, u32 index, void (*fn)(struct vm *vm, void *arg), void *arg)
{
    (void)t;
    must(vmm_config(index));
    if (!runs())
        return ERR_NOENT;
    fn(&vm, arg);
    return OK;
}

/* --- what is seen --- */

static void printable(const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++)
        must((u8)text[i] >= ' ' || text[i] == '\n' || text[i] == 0x1b);
}

void log_raw(const char *text, size_t n)
{
    must(n && text[n - 1] == '\n' && !memchr(text, 0x1b, n));
    printable(text, n);
}

void log_prompt(const char *text, size_t n)
{
    must(n <= LOG_PROMPT_SIZE);
    printable(text, n);
}

void log_msg(enum log_level level, const char *fmt, ...)
{
    (void)level;
    (void)fmt;
}

size_t log_read(char *buf, size_t size)
{
    anything(buf, size / 2);
    return size / 2;
}

void console_by_lines(bool on)
{
    (void)on;
}

/* --- the machine --- */

u64 tsc_hz = 1000000000;
struct vmx_caps vmx_caps;
struct frame_owner pool_owner;
const char *const config_apic_names[3] = {"emulated", "apicv", "posted"};

void *pool_alloc(struct frame_owner *owner, u32 pages)
{
    (void)owner;
    return calloc(pages, PAGE_SIZE);
}

bool vmm_stay(void)
{
    stays = true;
    return true;
}

void vmm_leave(void)
{
    stays = false;
}

u32 vmm_nr_vms(void)
{
    return ARRAY_SIZE(vms);
}

const struct config_vm *vmm_config(u32 index)
{
    return index < ARRAY_SIZE(vms) ? &vms[index] : NULL;
}

bool vmm_runs(u32 index)
{
    (void)index;
    return runs();
}

bool vmm_none_left(void)
{
    return !runs();
}

int vmm_start_again(u32 index)
{
    must(vmm_config(index));
    return ERR_EXIST;
}

void vm_stop(struct vm *of, bool again, const char *why)
{
    (void)again;
    must(of == &vm && why);
}

void vcpu_hold(struct vcpu *v, u64 why)
{
    (void)why;
    must(v == &vcpu);
}

void vcpu_release(struct vcpu *v, u64 why)
{
    vcpu_hold(v, why);
}

void vcpu_nmi(struct vcpu *v)
{
    must(v == &vcpu);
}

int inspect_regs(struct vcpu *v, u32 level, struct inspect_regs *out)
{
    (void)v;
    anything(out, sizeof(*out));
    out->level = level ? level : 1;
    out->live = out->r[0] & 1;
    return out->r[1] % 8 ? OK : ERR_NOENT;
}

int inspect_vmcs(struct vcpu *v, enum inspect_vmcs which, struct vmcs_image *out)
{
    (void)v;
    (void)which;
    anything(out, sizeof(*out));
    return OK;
}

u32 inspect_memory(struct vcpu *v, u32 level, bool physical, u64 address, void *buf, u32 n, bool write,
                   int *why)
{
    u32 done = n;

    (void)v;
    (void)physical;
    (void)address;
    must(level <= 2 && n <= 256);
    if (!write)
        anything(buf, n);
    if (!runs())
        done /= 2;
    *why = done < n ? ERR_FAULT : OK;
    return done;
}

/* As inspect.c leaves it: there are as many steps as levels. */
static void some_walk(struct inspect_walk *out)
{
    anything(out, sizeof(*out));
    out->levels = out->levels % 5 ? out->levels % 5 + 1 : 0;
    out->pdptes = out->levels == 3;
    out->entry_size = out->levels == 2 ? 4 : 8;
    out->nr %= out->levels + 1;
    out->size = PAGE_SIZE << (out->size % 31);
    out->r = out->r & 1 ? ERR_FAULT : OK;
}

int inspect_page_walk(struct vcpu *v, u32 level, gva_t gva, struct inspect_walk *out)
{
    (void)v;
    (void)gva;
    must(level <= 2);
    some_walk(out);
    return OK;
}

int inspect_ept_walk(struct vcpu *v, enum inspect_vmcs which, gpa_t gpa, struct inspect_walk *out)
{
    (void)v;
    (void)gpa;
    must(which <= INSPECT_VMCS02);
    some_walk(out);
    return OK;
}

int guest_read(struct vm *of, gpa_t gpa, void *to, u64 n)
{
    (void)of;
    (void)gpa;
    anything(to, n);
    return OK;
}

u64 ioapic_entry(const struct ioapic *io, u32 pin, bool *high)
{
    u64 e;

    (void)io;
    must(pin < IOAPIC_PINS);
    anything(&e, sizeof(e));
    *high = e & 1;
    return e;
}

void pic_look(const struct pic *pic, u32 chip, struct pic_view *out)
{
    (void)pic;
    (void)chip;
    *out = (struct pic_view){0};
}

void fail_explain(const struct vmcs_image *vmcs, struct entry_verdict *why)
{
    *why = (struct entry_verdict){.row = "a row", .bits = VMCS(vmcs, GUEST_RIP), .has_bits = true};
}

enum entry_stage entry_check(const struct vmcs_image *vmcs, const struct entry_env *env,
                             struct entry_verdict *why)
{
    must(env->caps);
    fail_explain(vmcs, why);
    return ENTRY_OK;
}

u32 lapic_ppr(const struct lapic *l)
{
    (void)l;
    return 8;
}

u32 lapic_timer_current(struct lapic *l)
{
    (void)l;
    return 7;
}

static int read_msr(struct vcpu *v, const struct msr_row *row, u32 msr, u64 *value)
{
    (void)v;
    (void)row;
    *value = msr;
    return OK;
}

const struct msr_row msr_rows[] = {{.first = 0x10, .last = 0x210, .name = "some", .read = read_msr}};
const u32 msr_nr_rows = 1;

bool msr_row_exists(const struct msr_row *row, const struct guest_cpuid *c)
{
    (void)row;
    (void)c;
    return true;
}

/* --- breakpoints --- */

static struct debug_point points[2];
static u32 nr_points;

int debug_insert(struct task *t, u32 index, u32 id, enum debug_owner owner, const struct debug_point *p)
{
    (void)t;
    must(index < ARRAY_SIZE(vms) && id < vms[index].vcpus && owner == DEBUG_BY_MONITOR);
    must(p->level == 1 || p->level == 2);
    if (nr_points == ARRAY_SIZE(points))
        return ERR_NOMEM;
    points[nr_points++] = *p;
    return OK;
}

bool debug_get(u32 index, enum debug_owner owner, u32 n, struct debug_point *out)
{
    (void)owner;
    if (index || n >= nr_points)
        return false;
    *out = points[n];
    return true;
}

int debug_remove(struct task *t, u32 index, u32 id, enum debug_owner owner, const struct debug_point *p)
{
    (void)t;
    (void)index;
    (void)id;
    (void)owner;
    must(nr_points && p);
    nr_points--;
    return OK;
}

int debug_step(struct task *t, u32 index, u32 id, const struct debug_step *s)
{
    (void)t;
    must(index < ARRAY_SIZE(vms) && id < vms[index].vcpus && s->level <= 2);
    vcpu.requests = input < input_end && (*input & 2) ? REQ_STOPPED : 0;
    return OK;
}

int debug_cancel_step(struct task *t, u32 index, u32 id)
{
    (void)t;
    must(index < ARRAY_SIZE(vms) && id < vms[index].vcpus);
    return OK;
}

void debug_hide(struct vcpu *v, u8 level, u64 address, u8 *buf, u32 n, bool write)
{
    (void)address, (void)write;
    /* Code for 'step', or what 'mem' and 'write' have at once. */
    must(v == &vcpu && (level == 1 || level == 2) && buf && n <= 256);
}

/* --- statistics and trace --- */

#define NR_EVENTS 16

struct observing observing;
u64 entry_tsc;
u32 nr_cpus = 1;
static struct trace_event events[NR_EVENTS];
static struct trace_ring ring = {.mask = NR_EVENTS - 1, .events = events};
static struct observed observed;

static void some_events(void)
{
    anything(events, sizeof(events));
    for (u32 i = 0; i < NR_EVENTS; i++) {
        events[i].kind %= TRACE_KINDS;
        if (events[i].kind == TRACE_CHECK)
            events[i].b = 0; /* a text of Nidus's */
    }
    ring.head = input < input_end ? *input : 0;
}

int observe_stats(struct task *t, bool on)
{
    struct stats *s = &observed.stats;

    (void)t;
    anything(s, sizeof(*s));
    s->nr %= STATS_ROWS + 1;
    for (u32 i = 0; i < STATS_ROWS; i++) {
        s->rows[i].level %= STATS_LEVELS;
        s->rows[i].reason = i & 1 ? STATS_REST : s->rows[i].reason % VMX_NR_EXIT_REASONS;
    }
    observing.stats = on;
    return OK;
}

int observe_trace(struct task *t, u32 pages)
{
    (void)t;
    must(pages && !(pages & (pages - 1)));
    some_events();
    observing.rings = &ring;
    observing.nr_rings = 1;
    observing.pages = pages;
    return OK;
}

void observe_trace_off(struct task *t)
{
    (void)t;
    observing.rings = NULL;
}

int observe_break(struct task *t, const struct exit_break *b)
{
    u32 n = observing.nr_breaks;

    (void)t;
    if (n == OBSERVE_BREAKS)
        return ERR_NOMEM;
    observing.breaks[n] = *b;
    observing.breaks[n].used = true;
    observing.nr_breaks++;
    return OK;
}

void observe_unbreak(struct task *t, u32 n)
{
    (void)t;
    must(n < OBSERVE_BREAKS);
    observing.breaks[n].used = false;
}

void nested_sync(struct vcpu *v)
{
    (void)v;
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
    input = data;
    input_end = data + size;
    vcpu = (struct vcpu){.vm = &vm,
                         .pid = &pid,
                         .lapic = &lapic,
                         .nested = &nested,
                         .cpuid = &vm.cpuid,
                         .observed = &observed};
    vm = (struct vm){.nr_vcpus = 2, .platform = &platform};
    for (u32 i = 0; i < CONFIG_MAX_VCPUS; i++)
        vm.vcpus[i] = &vcpu;
    nested.vmx_on = true;
    nr_points = 0;
    observing = (struct observing){0};
    anything(&vmx_caps, sizeof(vmx_caps));
    anything(&nested.vmcs12, sizeof(nested.vmcs12));
    anything(apic_regs, sizeof(apic_regs));
    monitor_open(0);
    if (!setjmp(closed))
        task_main(task);
    return 0;
}
