/* SPDX-License-Identifier: MIT */
/* The monitor's task: keys, prompt, output. */
#include "arch/x86/time.h"
#include "arch/x86/asm.h"
#include "lib/format.h"
#include "lib/log.h"
#include "lib/string.h"
#include "vmm/console.h"
#include "vmm/monitor/command.h"
#include "vmm/task.h"
#include "vmm/vmm.h"

#define NR_KEYS 256
#define CTRL_C  3
#define COLUMNS 79
#define LINE    256

struct monitor {
    struct task task;
    bool started, open, closing;
    bool stopped; /* by Ctrl-C */
    u32 vm, vcpu; /* selected */
    struct edit edit;
    u32 typed, taken; /* keys, ever; who types writes the first, the task the second */
    char keys[NR_KEYS];
    char line[LINE]; /* of output */
    u32 n;
    u64 began; /* host TSC: since then it has not given way */
    void *scratch;
};

static struct monitor monitor;

/* --- keys --- */

bool monitor_key(char key)
{
    struct monitor *m = &monitor;

    if (!__atomic_load_n(&m->open, __ATOMIC_ACQUIRE))
        return false;
    if (m->typed - __atomic_load_n(&m->taken, __ATOMIC_ACQUIRE) < NR_KEYS) {
        m->keys[m->typed % NR_KEYS] = key;
        __atomic_store_n(&m->typed, m->typed + 1, __ATOMIC_RELEASE);
    }
    task_wake(&m->task);
    return true;
}

static bool take_key(struct monitor *m, char *key)
{
    if (m->taken == __atomic_load_n(&m->typed, __ATOMIC_ACQUIRE))
        return false;
    *key = m->keys[m->taken % NR_KEYS];
    __atomic_store_n(&m->taken, m->taken + 1, __ATOMIC_RELEASE);
    return true;
}

bool mon_stopped(struct monitor *m)
{
    u32 typed = __atomic_load_n(&m->typed, __ATOMIC_ACQUIRE);

    /* What was typed before it is forgotten too. */
    for (u32 i = m->taken; i != typed; i++) {
        if (m->keys[i % NR_KEYS] != CTRL_C)
            continue;
        m->stopped = true;
        __atomic_store_n(&m->taken, i + 1, __ATOMIC_RELEASE);
    }
    return m->stopped;
}

bool mon_pause(struct monitor *m, u64 us)
{
    u64 until = rdtsc() + us_to_ticks(us);
    char key;

    do {
        if (mon_stopped(m) || take_key(m, &key))
            return false;
    } while (task_wait_until(&m->task, until));
    m->began = rdtsc();
    return true;
}

/* --- output --- */

#define GIVE_WAY_US 500

static void end_line(struct monitor *m)
{
    m->line[m->n++] = '\n';
    if (!mon_stopped(m))
        log_raw(m->line, m->n);
    m->n = 0;
    if (rdtsc() - m->began < us_to_ticks(GIVE_WAY_US))
        return;
    task_give_way(&m->task);
    m->began = rdtsc();
}

static void put(void *ctx, const char *text, size_t n)
{
    struct monitor *m = ctx;

    for (size_t i = 0; i < n; i++) {
        if (text[i] == '\n' || m->n == LINE - 1)
            end_line(m);
        if (text[i] != '\n')
            m->line[m->n++] = (u8)text[i] < ' ' || text[i] == 0x7f ? '?' : text[i];
    }
}

void(mon_print)(struct monitor *m, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    format_to(put, m, fmt, args);
    va_end(args);
}

static u32 prompt(const struct monitor *m, char *text, size_t size)
{
    return (u32)format(text, size, "%s.%u> ", vmm_config(m->vm)->name, m->vcpu);
}

static void draw(struct monitor *m)
{
    char text[LOG_PROMPT_SIZE];
    u32 n = prompt(m, text, sizeof(text)), width = COLUMNS - n, seen, column;
    const char *from;

    column = edit_view(&m->edit, width, &from, &seen);
    memcpy(text + n, from, seen);
    n += seen;
    if (column < seen)
        n += (u32)format(text + n, sizeof(text) - n, "\x1b[%uD", seen - column);
    log_prompt(text, n);
}

/* The line as it was typed stays on the screen. */
static void leave_line(struct monitor *m)
{
    char text[64];

    log_prompt("", 0);
    m->stopped = false;
    m->began = rdtsc();
    prompt(m, text, sizeof(text));
    mon_print(m, "%s%s\n", text, m->edit.line);
}

/* --- lines --- */

static void expand(struct completion *c, const char *class, u32 n)
{
    const struct config_vm *vm;
    char name[CONFIG_NAME_MAX + 4];
    const char *reg;

    for (u32 i = 0; n == 3 && *class == 'r' && (reg = mon_reg_name(i)); i++)
        completion_offer(c, reg);
    for (u32 i = 0; *class == 'v' && (vm = vmm_config(i)); i++) {
        if (n == 2)
            completion_offer(c, vm->name);
        for (u32 v = 0; n == 4 && v < vm->vcpus; v++) {
            format(name, sizeof(name), "%s.%u", vm->name, v);
            completion_offer(c, name);
        }
    }
}

static void list_word(void *ctx, const char *word)
{
    struct monitor *m = ctx;

    if (m->n + strlen(word) + 2 > COLUMNS)
        mon_print(m, "\n");
    mon_print(m, "%s  ", word);
}

static void complete(struct monitor *m)
{
    struct edit *e = &m->edit;
    struct completion c = {0};
    u32 n;

    command_complete(&c, e->line, e->at, expand);
    n = (u32)strlen(c.common);
    if (n > c.n)
        edit_insert(e, c.common + c.n, n - c.n);
    if (c.nr == 1)
        edit_insert(e, " ", 1);
    if (c.nr < 2 || n > c.n)
        return;
    leave_line(m);
    c.each = list_word;
    c.ctx = m;
    command_complete(&c, e->line, e->at, expand);
    mon_print(m, "\n");
}

static void execute(struct monitor *m, char *line)
{
    char *argv[MONITOR_MAX_WORDS + 1];
    u32 argc = command_split(line, argv), nr;
    const struct command *c;

    if (!argc)
        return;
    if (argc > MONITOR_MAX_WORDS) {
        mon_print(m, "too many words: up to %u\n", MONITOR_MAX_WORDS);
        return;
    }
    c = command_find(argv[0], &nr);
    if (c)
        c->run(m, argc, argv);
    else if (nr)
        mon_print(m, "'%s' is not clear: Tab shows what begins so\n", argv[0]);
    else
        mon_print(m, "there is no command '%s'; 'help' lists them\n", argv[0]);
    if (m->n)
        mon_print(m, "\n");
}

static void enter(struct monitor *m)
{
    char line[EDIT_SIZE];

    leave_line(m);
    memcpy(line, m->edit.line, EDIT_SIZE);
    edit_begin(&m->edit);
    execute(m, line);
}

static void handle(struct monitor *m, char key)
{
    switch (edit_key(&m->edit, key)) {
    case EDIT_NONE:
        return;
    case EDIT_CHANGED:
        break;
    case EDIT_LINE:
        enter(m);
        break;
    case EDIT_COMPLETE:
        complete(m);
        break;
    case EDIT_CANCEL:
        leave_line(m);
        m->edit.n = 0; /* not for the history */
        edit_begin(&m->edit);
        break;
    case EDIT_CLOSE:
        leave_line(m);
        m->closing = true;
        break;
    }
    if (!m->closing)
        draw(m);
}

/* --- open and closed --- */

void mon_close(struct monitor *m)
{
    m->closing = true;
}

void mon_selected(const struct monitor *m, u32 *vm, u32 *vcpu)
{
    *vm = m->vm;
    *vcpu = m->vcpu;
}

void mon_select(struct monitor *m, u32 vm, u32 vcpu)
{
    m->vm = vm;
    m->vcpu = vcpu;
}

bool mon_call(struct monitor *m, u32 vm, u32 vcpu, void (*fn)(struct vcpu *v, void *arg), void *arg)
{
    if (control_call(&m->task, vm, vcpu, fn, arg) == OK)
        return true;
    mon_print(m, "%s does not run\n", vmm_config(vm)->name);
    return false;
}

struct task *mon_task(struct monitor *m)
{
    return &m->task;
}

void *mon_scratch(struct monitor *m)
{
    return m->scratch;
}

static void session(struct monitor *m)
{
    char key;

    console_by_lines(true);
    m->closing = m->stopped = false;
    edit_begin(&m->edit);
    mon_print(m, "The monitor: guests go on. 'help' lists the commands; 'quit' or Ctrl-] closes it.\n");
    draw(m);
    while (!m->closing) {
        mon_news(m);
        if (take_key(m, &key))
            handle(m, key);
        else
            task_wait(&m->task);
    }
    log_prompt("", 0);
    console_by_lines(false);
    log_info("console: the monitor is closed");
}

static void task_main(struct task *t)
{
    struct monitor *m = container_of(t, struct monitor, task);

    control_listen(t);
    for (;;) {
        while (!__atomic_load_n(&m->open, __ATOMIC_ACQUIRE))
            task_wait(t);
        session(m);
        m->taken = m->typed;
        __atomic_store_n(&m->open, false, __ATOMIC_RELEASE);
        vmm_leave();
    }
}

static bool start(struct monitor *m, u32 vm)
{
    if (m->started)
        return true;
    if (!m->scratch)
        m->scratch = pool_alloc(&pool_owner, MON_SCRATCH / PAGE_SIZE);
    mon_select(m, vmm_config(vm) ? vm : 0, 0);
    m->started = m->scratch && task_start(&m->task, "monitor", task_main) == OK;
    return m->started;
}

void monitor_open(u32 vm)
{
    struct monitor *m = &monitor;

    if (!vmm_stay())
        return;
    if (!start(m, vm)) {
        log_error("no memory for the monitor");
        vmm_leave();
        return;
    }
    __atomic_store_n(&m->open, true, __ATOMIC_RELEASE);
    task_wake(&m->task);
}
