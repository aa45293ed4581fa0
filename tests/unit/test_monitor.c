/* SPDX-License-Identifier: MIT */
/* links: vmm/monitor/monitor.c vmm/monitor/edit.c vmm/monitor/command.c vmm/monitor/words.c */
/* links: lib/format.c lib/text.c lib/str_copy.c */
/* A session from key to output, with commands of the test's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "lib/log.h"
#include "vmm/console.h"
#include "vmm/inspect.h"
#include "vmm/monitor/monitor.h"
#include "vmm/task.h"
#include "vmm/vmm.h"

static const char *keys;
static char seen[8192], prompt[LOG_PROMPT_SIZE + 1];
static jmp_buf closed;
static u32 stays, gives_way, by_lines;
static bool gone; /* VM "two" */
static void (*task_main)(struct task *t);
static struct task *task;
static struct config_vm vms[] = {{.name = "one", .vcpus = 2}, {.name = "two", .vcpus = 12}};

/* --- below the monitor --- */

int task_start(struct task *t, const char *name, void (*main)(struct task *t))
{
    assert_string_equal(name, "monitor");
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
    assert_ptr_equal(t, task);
    if (!stays)
        longjmp(closed, 1);
    monitor_key(*keys ? *keys++ : 0x1d);
}

bool task_wait_until(struct task *t, u64 tsc)
{
    (void)tsc;
    if (*keys == '!') /* a key that comes while a command waits */
        task_wait(t);
    return false;
}

void task_give_way(struct task *t)
{
    assert_ptr_equal(t, task);
    gives_way++;
    if (*keys == '\x03')
        task_wait(t);
}

void control_listen(struct task *t)
{
    (void)t;
}

int control_call(struct task *t, u32 vm, u32 vcpu, void (*fn)(struct vcpu *v, void *arg), void *arg)
{
    static struct vcpu v;

    (void)t;
    assert_true(vm < ARRAY_SIZE(vms) && vcpu < vms[vm].vcpus);
    if (gone && vm == 1)
        return ERR_NOENT;
    v.id = vcpu;
    fn(&v, arg);
    return OK;
}

int inspect_regs(struct vcpu *v, u32 level, struct inspect_regs *out)
{
    *out = (struct inspect_regs){.level = level};
    out->r[0] = 0x1000 * (v->id + 1) + level;
    return OK;
}

const char *mon_reg_name(u32 n)
{
    static const char *const names[] = {"rax", "rip"};

    return n < ARRAY_SIZE(names) ? names[n] : NULL;
}

void mon_news(struct monitor *m)
{
    (void)m;
}

void log_raw(const char *text, size_t n)
{
    assert_int_equal(text[n - 1], '\n');
    assert_true(strlen(seen) + n < sizeof(seen));
    strncat(seen, text, n);
}

void log_prompt(const char *text, size_t n)
{
    assert_true(n <= LOG_PROMPT_SIZE);
    memcpy(prompt, text, n);
    prompt[n] = 0;
}

void log_msg(enum log_level level, const char *fmt, ...)
{
    (void)level;
    (void)fmt;
}

void console_by_lines(bool on)
{
    by_lines += on ? 1 : 0x100;
}

u64 tsc_hz = 1;
struct frame_owner pool_owner;

void *pool_alloc(struct frame_owner *owner, u32 pages)
{
    static u8 scratch[MON_SCRATCH];

    (void)owner;
    assert_int_equal(pages * PAGE_SIZE, sizeof(scratch));
    return scratch;
}

bool vmm_stay(void)
{
    stays++;
    return true;
}

void vmm_leave(void)
{
    stays--;
}

const struct config_vm *vmm_config(u32 index)
{
    return index < ARRAY_SIZE(vms) ? &vms[index] : NULL;
}

/* --- commands --- */

static void view(struct monitor *m, u32 argc, char **argv)
{
    struct mon_view w;

    if (!mon_view(m, &argc, argv, &w))
        return;
    mon_print(m, "%u.%u L%u %s:", w.vm, w.vcpu, w.level, w.physical ? "gpa" : "gva");
    for (u32 i = 1; i < argc; i++)
        mon_print(m, " %s", argv[i]);
    assert_null(argv[argc]);
}

static void address(struct monitor *m, u32 argc, char **argv)
{
    struct mon_view w;
    u64 value;

    if (mon_view(m, &argc, argv, &w) && mon_address(m, &w, argv[1], &value))
        mon_print(m, "0x%lx\n", value);
}

static void choose(struct monitor *m, u32 argc, char **argv)
{
    u32 vm, vcpu;

    (void)argc;
    if (mon_vcpu(m, argv[1], &vm, &vcpu))
        mon_select(m, vm, vcpu);
}

static void lines(struct monitor *m, u32 argc, char **argv)
{
    u64 n;

    (void)argc;
    if (!mon_number(m, argv[1], &n))
        return;
    for (u64 i = 0; i < n && !mon_stopped(m); i++)
        mon_print(m, "line %lu\n", i);
}

static void live(struct monitor *m, u32 argc, char **argv)
{
    u32 n = 0;

    (void)argc;
    (void)argv;
    while (mon_pause(m, 1000) && n < 3)
        n++;
    mon_print(m, "%u times\n", n);
}

static void quit(struct monitor *m, u32 argc, char **argv)
{
    (void)argc;
    (void)argv;
    mon_close(m);
}

static const struct command table[] = {
    {"view", NULL, "", view, "@vcpu l1 l2"},
    {"address", NULL, "", address, "@reg"},
    {"select", NULL, "", choose, "@vm"},
    {"lines", NULL, "", lines, NULL},
    {"live", NULL, "", live, NULL},
    {"quit", NULL, "", quit, NULL},
    {0},
};
const struct command *const monitor_tables[] = {table};
const u32 monitor_nr_tables = 1;

/* --- sessions --- */

static void session(const char *typed)
{
    keys = typed;
    seen[0] = 0;
    by_lines = gives_way = 0;
    assert_false(monitor_key('x'));
    monitor_open(0);
    if (!setjmp(closed))
        task_main(task);
    assert_int_equal(stays, 0);
    assert_int_equal(by_lines, 0x101);
    assert_string_equal(prompt, "");
    assert_false(monitor_key('x'));
}

/* One line, and what comes of it. */
static void says(const char *line, const char *expected)
{
    char typed[200], *from, *end;

    strcpy(typed, "select one.0\r");
    strcat(strcat(typed, line), "\r");
    session(typed);
    from = strstr(seen, "one.0> select one.0\n");
    assert_non_null(from);
    from = strstr(from, line);
    assert_non_null(from);
    from += strlen(line) + 1;
    end = strrchr(from, '>'); /* of the prompt that was left with Ctrl-] */
    assert_non_null(end);
    while (end > from && end[-1] != '\n')
        end--;
    *end = 0;
    assert_string_equal(from, expected);
}

static void test_views(void **state)
{
    (void)state;
    says("view", "0.0 L0 gva:\n");
    says("view a l2 b gpa", "0.0 L2 gpa: a b\n");
    says("view two.11 0x10 l1", "1.11 L1 gva: 0x10\n");
    says("view two gva", "1.0 L0 gva:\n");
    says("view 2.3", "1.3 L0 gva:\n"); /* the VM's number */
    says("view 2", "0.0 L0 gva: 2\n"); /* a number */
    says("view .1", "0.1 L0 gva:\n");
    says("view .2", "one has no vCPU '2'; it has 2\n");
    says("view one.x", "one has no vCPU 'x'; it has 2\n");
    says("view three.0", "there is no VM 'three'; 'vms' lists them\n");
    says("view 3.0", "there is no VM '3'; 'vms' lists them\n");
    says("view three", "0.0 L0 gva: three\n");
}

static void test_addresses(void **state)
{
    (void)state;
    says("address 16", "0x10\n");
    says("address 0x10+0x20-1", "0x2f\n");
    says("address rax", "0x1000\n");
    says("address rax+0x10 l2", "0x1012\n");
    says("address two.1 0-rax", "0xffffffffffffe000\n");
    says("address rax-", "'' is neither a number nor a register; say 0x1000, rsp or rsp+8\n");
    says("address ra", "'ra' is neither a number nor a register; say 0x1000, rsp or rsp+8\n");
    says("address raxx", "'raxx' is neither a number nor a register; say 0x1000, rsp or rsp+8\n");
    says("address 12z", "what is 'z'?\n");
    gone = true;
    says("address two rax", "two does not run\n");
    gone = false;
}

static void test_lines(void **state)
{
    (void)state;
    says("nothing", "there is no command 'nothing'; 'help' lists them\n");
    says("li", "'li' is not clear: Tab shows what begins so\n");
    says("a 5", "0x5\n");
    says("lines what", "'what' is not a number; say 16 or 0x10\n");
    says("view 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16", "too many words: up to 16\n");
    says("lines 2", "line 0\nline 1\n");
    assert_true(gives_way >= 2);
}

static void test_keys(void **state)
{
    (void)state;
    session("vi\tt\t1\t\r");
    assert_non_null(strstr(seen, "one.0> view two.1\ntwo.1  two.10  two.11  \n")); /* what fits */
    assert_non_null(strstr(seen, "one.0> view two.1\n1.1 L0 gva:\n"));
    session("view x\r\x1b[A y\r");
    assert_non_null(strstr(seen, "gva: x y\n"));
    session("view junk\x03view z\r");
    assert_non_null(strstr(seen, "one.0> view junk\none.0> view z\n0.0 L0 gva: z\n"));
    session("select two.3\rview\rselect one.0\r");
    assert_non_null(strstr(seen, "two.3> view\n1.3 L0"));
    session("quit\rview\r");
    assert_null(strstr(seen, "L0"));
}

static void test_commands_that_take_long(void **state)
{
    (void)state;
    session("lines 100\r\x03view\r");
    assert_non_null(strstr(seen, "one.0> lines 100\none.0> view\n0.0 L0"));
    says("live", "3 times\n");
    session("live\r!view\r");
    assert_non_null(strstr(seen, "1 times\none.0> view\n"));
}

static void test_no_control_characters_in_output(void **state)
{
    (void)state;
    vms[1].name[1] = 0x1b;
    session("select 2.0\rselect one.0\r");
    assert_non_null(strstr(seen, "t?o.0> select one.0\n"));
    vms[1].name[1] = 'w';
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_views),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_commands_that_take_long),
        cmocka_unit_test(test_no_control_characters_in_output),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
