/* SPDX-License-Identifier: MIT */
/* links: vmm/pv/result.c lib/frames.c lib/str_copy.c lib/string.c */
/* Channels: who is a member, who is told, when the page comes and goes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "vmm/pv/channel.c"

#define VMS    3
#define PLACE  0xc0000000u /* free in all of them */
#define DEVICE 0xfec00000u
#define RAM    0x1000u
#define VECTOR 0x40

static struct config_vm config[VMS];
static struct vm vm[VMS];
static struct vcpu vcpu[VMS][2];
static u32 told[VMS][2], vector, scrubbed;
static paddr_t mapped[VMS];
static int map_error;
static void *metadata;

bool vm_may_be_ram(const struct vm *m, gpa_t gpa)
{
    (void)m;
    return gpa < MiB(16);
}

bool bus_find(struct bus_view *v, u64 addr, struct bus_slot *out)
{
    (void)v;
    *out = (struct bus_slot){.first = 0, .span = DEVICE - 0x801};
    if (addr < DEVICE)
        return false;
    *out = (struct bus_slot){.first = DEVICE, .span = 0xfff};
    return true;
}

int ept_map(struct ept *ept, gpa_t gpa, paddr_t pa, u64 size, u64 rights, u32 type)
{
    u32 i = (u32)(container_of(ept, struct vm, ept) - vm);

    assert_int_equal(size, PAGE_SIZE);
    assert_int_equal(rights, EPT_RW);
    assert_int_equal(type, EPT_WB);
    assert_false(spin_trylock(&vm[i].mem_lock));
    assert_true(gpa == PLACE || gpa == PLACE + PAGE_SIZE);
    if (!map_error)
        mapped[i] = pa;
    return map_error;
}

void vm_scrub(paddr_t pa, u64 size)
{
    (void)pa;
    assert_int_equal(size, PAGE_SIZE);
    scrubbed++;
}

void lapic_post(struct lapic *l, u8 v, bool level)
{
    u32 n = (u32)((u64)l - 1);

    assert_false(level);
    told[n / 2][n % 2]++;
    vector = v;
}

static void name(u32 i, u32 n, const char *channel)
{
    str_copy(config[i].channels[n], channel, CONFIG_NAME_MAX);
    config[i].nr_channels = n + 1;
}

static int setup(void **state)
{
    (void)state;
    metadata = calloc(1, frames_metadata_size(MiB(2)));
    frames_init(metadata, MiB(2));
    frames_add(0, MiB(2));
    memset(&owner, 0, sizeof(owner));
    memset(channels, 0, sizeof(channels));
    memset(config, 0, sizeof(config));
    memset(vm, 0, sizeof(vm));
    memset(told, 0, sizeof(told));
    memset(mapped, 0, sizeof(mapped));
    scrubbed = 0;
    map_error = OK;
    for (u32 i = 0; i < VMS; i++) {
        vm[i].config = &config[i];
        name(i, 0, "ring");
        for (u64 k = 0; k < 2; k++) {
            vcpu[i][k].vm = &vm[i];
            vcpu[i][k].lapic = (struct lapic *)(2 * i + k + 1);
        }
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (u32 i = 0; i < VMS; i++)
        pv_channels_leave(&vm[i]);
    assert_int_equal(owner.pages, 0);
    free(metadata);
    return 0;
}

static s64 open_at(u32 i, u32 k, u64 channel, gpa_t gpa, u64 v)
{
    struct pv_call c = {.v = &vcpu[i][k], .arg = {channel, gpa, v}};

    return pv_channel_open(&c);
}

static s64 open_it(u32 i)
{
    return open_at(i, 0, 0, PLACE, VECTOR + i);
}

static s64 signal_by(u32 i, u64 channel)
{
    struct pv_call c = {.v = &vcpu[i][1], .arg = {channel}};

    return pv_channel_signal(&c);
}

static void restart(u32 i)
{
    pv_channels_leave(&vm[i]);
    memset(&vm[i].pv, 0, sizeof(vm[i].pv));
    mapped[i] = 0;
}

static void test_share(void **state)
{
    (void)state;
    assert_int_equal(open_it(0), 0);
    assert_int_equal(signal_by(0, 0), 0);
    assert_int_equal(open_it(1), 0);
    assert_true(mapped[0] == mapped[1]);
    assert_int_equal(scrubbed, 1);
    assert_int_equal(owner.pages, 1);
    assert_int_equal(signal_by(0, 0), 1);
    assert_int_equal(vector, VECTOR + 1);
    assert_int_equal(told[1][0], 1);
    assert_int_equal(told[0][0], 0);
    assert_int_equal(open_it(2), 0);
    assert_int_equal(signal_by(1, 0), 2);
    assert_true(told[0][0] == 1 && told[2][0] == 1 && told[1][0] == 1);
}

static void test_arguments(void **state)
{
    (void)state;
    assert_int_equal(open_at(0, 0, 1, PLACE, VECTOR), -NIDUS_ENOENT);
    assert_int_equal(open_at(0, 0, ~0ull, PLACE, VECTOR), -NIDUS_ENOENT);
    assert_int_equal(open_at(0, 0, 0, PLACE + 8, VECTOR), -NIDUS_EINVAL);
    assert_int_equal(open_at(0, 0, 0, PLACE, 15), -NIDUS_EINVAL);
    assert_int_equal(open_at(0, 0, 0, PLACE, 256), -NIDUS_EINVAL);
    assert_int_equal(open_at(0, 0, 0, RAM, VECTOR), -NIDUS_EBUSY);
    assert_int_equal(open_at(0, 0, 0, DEVICE, VECTOR), -NIDUS_EBUSY);
    assert_int_equal(open_at(0, 0, 0, DEVICE - PAGE_SIZE, VECTOR), -NIDUS_EBUSY); /* its last part is taken */
    assert_int_equal(signal_by(0, 0), -NIDUS_ENOENT);
    assert_int_equal(signal_by(0, 1), -NIDUS_ENOENT);
    assert_int_equal(owner.pages, 0);
}

static void test_map_fails(void **state)
{
    static const struct {
        int error;
        s64 result;
    } rows[] = {{ERR_EXIST, -NIDUS_EEXIST}, {ERR_RANGE, -NIDUS_EFAULT}, {ERR_NOMEM, -NIDUS_ENOMEM}};

    (void)state;
    for (u32 i = 0; i < ARRAY_SIZE(rows); i++) {
        map_error = rows[i].error;
        assert_int_equal(open_it(0), rows[i].result);
        assert_int_equal(owner.pages, 0);
        assert_int_equal(signal_by(0, 0), -NIDUS_ENOENT);
    }
    map_error = OK;
    assert_int_equal(open_it(1), 0);
    map_error = ERR_EXIST;
    assert_int_equal(open_it(0), -NIDUS_EEXIST);
    assert_int_equal(owner.pages, 1);
    assert_int_equal(signal_by(1, 0), 0);
}

static void test_no_memory(void **state)
{
    struct frame_owner all = {0};

    (void)state;
    assert_true(frames_alloc(&all, MiB(2), PAGE_SIZE, 0) != FRAME_NONE);
    assert_int_equal(open_it(0), -NIDUS_ENOMEM);
    frames_free(&all, 0, MiB(2));
    assert_int_equal(open_it(0), 0);
}

static void test_again(void **state)
{
    (void)state;
    open_it(0);
    open_it(1);
    assert_int_equal(open_at(0, 1, 0, PLACE + PAGE_SIZE, VECTOR), -NIDUS_EEXIST);
    assert_int_equal(open_at(0, 1, 0, PLACE, 0x99), 0);
    assert_int_equal(signal_by(1, 0), 1);
    assert_int_equal(told[0][1], 1);
    assert_int_equal(vector, 0x99);
    assert_int_equal(told[0][0], 0);
}

static void test_restart(void **state)
{
    paddr_t page;

    (void)state;
    for (u32 i = 0; i < VMS; i++)
        open_it(i);
    page = mapped[0];
    restart(1);
    assert_int_equal(signal_by(0, 0), 1);
    assert_int_equal(told[1][0], 0);
    assert_int_equal(signal_by(1, 0), -NIDUS_ENOENT);
    assert_int_equal(open_it(1), 0);
    assert_true(mapped[1] == page);
    assert_int_equal(scrubbed, 1);
    for (u32 i = 0; i < VMS; i++)
        restart(i);
    assert_int_equal(owner.pages, 0);
    assert_int_equal(open_it(2), 0);
    assert_int_equal(scrubbed, 2);
}

/* Other channels, and one that a VM names twice. */
static void test_several(void **state)
{
    (void)state;
    name(0, 1, "bell");
    name(1, 1, "gong");
    name(2, 1, "ring");
    assert_int_equal(open_it(0), 0);
    assert_int_equal(open_at(0, 1, 1, PLACE + PAGE_SIZE, 0x50), 0);
    assert_int_equal(open_at(1, 0, 1, PLACE + PAGE_SIZE, 0x51), 0);
    assert_int_equal(owner.pages, 3);
    assert_int_equal(signal_by(1, 1), 0);
    assert_int_equal(open_it(2), 0);
    assert_int_equal(open_at(2, 1, 1, PLACE + PAGE_SIZE, 0x52), 0);
    assert_int_equal(owner.pages, 3);
    assert_int_equal(signal_by(2, 1), 2);
    assert_true(told[2][0] == 1 && told[0][0] == 1 && told[2][1] == 0);
    assert_int_equal(signal_by(0, 0), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_share, setup, teardown),
        cmocka_unit_test_setup_teardown(test_arguments, setup, teardown),
        cmocka_unit_test_setup_teardown(test_map_fails, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(test_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_restart, setup, teardown),
        cmocka_unit_test_setup_teardown(test_several, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
