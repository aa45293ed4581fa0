/* SPDX-License-Identifier: MIT */
/* The ports that end or reset a VM. */
/* links: vmm/dev/reset.c vmm/dev/debug_exit.c vmm/bus.c lib/format.c tests/unit/fake_host.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "tests/unit/fake_host.h"
#include "vmm/dev/debug_exit.h"
#include "vmm/dev/reset.h"

static struct vm *vm;
static struct reset *reset;

static int setup(void **state)
{
    (void)state;
    vm = fake_vm(1, 0);
    reset = reset_create(vm);
    return !reset || !debug_exit_create(vm);
}

static int teardown(void **state)
{
    (void)state;
    fake_vm_free(vm);
    return 0;
}

static void assert_end(u32 number, enum vm_end how, const char *why)
{
    assert_int_equal(vm->ends, number);
    assert_int_equal(vm->how, how);
    assert_string_equal(vm->why, why);
}

static void say(const char *text)
{
    while (*text)
        fake_out(vm, 0x8900, *text++);
}

static void test_exit_port(void **state)
{
    (void)state;
    fake_out(vm, 0xf4, 0);
    assert_end(1, VM_END_POWEROFF, "wrote 0 to port 0xf4");
    fake_out(vm, 0xf4, 7);
    assert_end(2, VM_END_CRASH, "wrote 7 to port 0xf4");
    bus_write(&vm->vcpu[0].pio, 0xf4, 4, 0xdeadbeef);
    assert_end(3, VM_END_CRASH, "wrote 3735928559 to port 0xf4");
    assert_int_equal(fake_in(vm, 0xf4), 0xff);
}

static void test_shutdown_word(void **state)
{
    (void)state;
    say("shutdown Shut down Shutdow");
    assert_int_equal(vm->ends, 0);
    say("n");
    assert_end(1, VM_END_POWEROFF, "wrote 'Shutdown' to port 0x8900");
    say("ShutShutdown"); /* the word starts again in the middle */
    assert_int_equal(vm->ends, 2);
    say("n");
    assert_int_equal(vm->ends, 2);
}

static void test_reset_control(void **state)
{
    (void)state;
    reset_control_write(reset, 0x02);
    assert_int_equal(vm->ends, 0);
    assert_int_equal(reset_control_read(reset), 0x02);
    reset_control_write(reset, 0x06);
    assert_end(1, VM_END_RESET, "reset by port 0xcf9");
}

static void test_port_a(void **state)
{
    (void)state;
    assert_int_equal(fake_in(vm, 0x92), 0x02); /* A20 is on */
    fake_out(vm, 0x92, 0x02);
    assert_int_equal(vm->ends, 0);
    fake_out(vm, 0x92, 0x03);
    assert_end(1, VM_END_RESET, "reset by port 0x92");
}

static void test_keyboard_controller(void **state)
{
    (void)state;
    assert_int_equal(fake_in(vm, 0x64), 0); /* input buffer empty, nothing to read */
    fake_out(vm, 0x64, 0xd1);
    fake_out(vm, 0x60, 0xfe);
    fake_out(vm, 0x64, 0xff); /* pulses none of the lines */
    assert_int_equal(vm->ends, 0);
    fake_out(vm, 0x64, 0xfe);
    assert_end(1, VM_END_RESET, "reset by the keyboard controller");
}

static void test_creation_fails(void **state)
{
    (void)state;
    assert_null(reset_create(vm));
    assert_null(debug_exit_create(vm));
    vm->allocs_left = 0;
    fake_remove_devices(vm);
    assert_null(reset_create(vm));
    assert_null(debug_exit_create(vm));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_exit_port), T(test_shutdown_word),       T(test_reset_control),
        T(test_port_a),    T(test_keyboard_controller), T(test_creation_fails),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
