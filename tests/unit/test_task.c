/* SPDX-License-Identifier: MIT */
/* Tasks: they run where they should, when they should, and go on where they waited. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/fake_asm.h"
#include "tests/unit/no_ports.h"
#include "tests/unit/two_cpus.h"

#include "vmm/task.c"

asm(".include \"arch/x86/switch.S\"\n.text");

u64 tsc_hz = 1000000;
u32 pv_poll_cpu;
u32 nr_cpus = 2;
static struct vmm_cpu state[2];
static struct cpu cpu[2] = {{.vmm = &state[0]}, {.id = 1, .apic_id = 8, .vmm = &state[1]}};
struct cpu *cpus[MAX_CPUS] = {&cpu[0], &cpu[1]};
static u64 now;
static u32 told; /* the APIC that was last sent VECTOR_TASK; ~0: none */
static bool no_memory;
static struct vcpu vcpu;
static struct nested nested;

static u64 fake_tsc(void)
{
    return now;
}

void apic_send_ipi(u32 apic_id, u8 vector)
{
    assert_int_equal(vector, VECTOR_TASK);
    told = apic_id;
}

/* More than in the image: the sanitizers' functions take some. */
u64 stack_alloc(u64 size)
{
    static u8 stacks[4][KiB(256)] __attribute__((aligned(16)));
    static u32 n;

    assert_int_equal(size, STACK_SIZE);
    return no_memory ? 0 : (u64)stacks[n++ % 4] + sizeof(stacks[0]);
}

void __noreturn(panic)(const char *fmt, ...)
{
    (void)fmt;
    abort();
}

static char trail[64];

static void mark(char c)
{
    size_t n = strlen(trail);

    assert_true(n + 1 < sizeof(trail));
    trail[n] = c;
    trail[n + 1] = 0;
}

static struct task a, b;

static void main_a(struct task *t)
{
    assert_ptr_equal(t, &a);
    for (;;) {
        mark('a');
        task_wait(t);
        mark(task_wait_until(t, 100) ? 'w' : 't');
    }
}

static void main_b(struct task *t)
{
    for (;;) {
        mark('b');
        task_give_way(t);
    }
}

static int setup(void **s)
{
    (void)s;
    vmm_tasks = NULL;
    memset(&a, 0, sizeof(a));
    memset(&b, 0, sizeof(b));
    memset(state, 0, sizeof(state));
    memset(trail, 0, sizeof(trail));
    here = &cpu[0];
    pv_poll_cpu = CPU_NONE;
    now = 1;
    told = ~0u;
    no_memory = false;
    vcpu = (struct vcpu){.slice_end = 5, .until = 6, .nested = &nested};
    nested.until01 = 7;
    return 0;
}

static void runs_until_it_waits(void **s)
{
    (void)s;
    assert_int_equal(task_start(&a, "a", main_a), OK);
    assert_string_equal(trail, "");
    assert_true(tasks_wait(now));
    assert_int_equal(tasks_run(), ~0ull);
    assert_string_equal(trail, "a");
    assert_false(tasks_wait(now));
    tasks_run();
    assert_string_equal(trail, "a"); /* nobody has woken it */
    task_wake(&a);
    assert_int_equal(tasks_run(), 100);
    assert_string_equal(trail, "a");
    task_wake(&a);
    tasks_run();
    assert_string_equal(trail, "awa");
}

static void time_wakes(void **s)
{
    (void)s;
    task_start(&a, "a", main_a);
    tasks_run();
    task_wake(&a);
    assert_int_equal(tasks_run(), 100);
    now = 99;
    assert_false(tasks_wait(now));
    tasks_run();
    assert_string_equal(trail, "a");
    now = 100;
    assert_true(tasks_wait(now));
    assert_int_equal(tasks_run(), ~0ull);
    assert_string_equal(trail, "ata");
}

static void two_take_turns(void **s)
{
    (void)s;
    task_start(&a, "a", main_a);
    task_start(&b, "b", main_b);
    assert_int_equal(tasks_run(), now + GIVE_WAY_US);
    assert_string_equal(trail, "ba");
    now += GIVE_WAY_US;
    assert_int_equal(tasks_run(), now + GIVE_WAY_US);
    assert_string_equal(trail, "bab");
}

static void a_wake_makes_the_vcpu_leave(void **s)
{
    (void)s;
    task_start(&a, "a", main_a);
    tasks_run();
    state[0].current = &vcpu;
    task_wake(&a);
    assert_int_equal(vcpu.slice_end | vcpu.until | nested.until01, 0);
    assert_int_equal(told, ~0u);
    vcpu.slice_end = 5;
    task_wake(&a); /* is ready already */
    assert_int_equal(vcpu.slice_end, 5);
}

static void other_cpus_send_an_interrupt(void **s)
{
    (void)s;
    here = &cpu[1];
    task_start(&a, "a", main_a);
    assert_int_equal(told, cpu[0].apic_id);
    assert_false(tasks_wait(now)); /* not this CPU's */
    tasks_run();
    assert_string_equal(trail, "");
    here = &cpu[0];
    state[0].current = &vcpu;
    tasks_poke(VECTOR_TASK);
    assert_int_equal(vcpu.slice_end, 0);
    tasks_run();
    assert_string_equal(trail, "a");
}

static void not_on_a_cpu_that_polls(void **s)
{
    (void)s;
    pv_poll_cpu = 0;
    task_start(&a, "a", main_a);
    assert_int_equal(told, cpu[1].apic_id);
    tasks_run();
    assert_string_equal(trail, "");
    here = &cpu[1];
    tasks_run();
    assert_string_equal(trail, "a");
}

static void without_memory(void **s)
{
    (void)s;
    no_memory = true;
    assert_int_equal(task_start(&a, "a", main_a), ERR_NOMEM);
    assert_false(tasks_wait(now));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(runs_until_it_waits, setup),
        cmocka_unit_test_setup(time_wakes, setup),
        cmocka_unit_test_setup(two_take_turns, setup),
        cmocka_unit_test_setup(a_wake_makes_the_vcpu_leave, setup),
        cmocka_unit_test_setup(other_cpus_send_an_interrupt, setup),
        cmocka_unit_test_setup(not_on_a_cpu_that_polls, setup),
        cmocka_unit_test_setup(without_memory, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
