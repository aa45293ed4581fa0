/* SPDX-License-Identifier: MIT */
/* links: vmm/pv/result.c */
/* Hypercalls that write entries and text: bounds, the first bad entry, one read of each word. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "vmm/pv/ops_memory.c"

#define RAM  0x10000u
#define LIST 0x8000u

static struct vm vm;
static struct vcpu vcpu = {.vm = &vm};
static u8 ram[RAM] __attribute__((aligned(8)));
static bool no_memory, locked, touched;
static u32 reads, read_bytes, populated;
static char console[NIDUS_MAX_TEXT];
static size_t console_size;

static int check(gpa_t gpa, u64 n)
{
    if (!n)
        return OK;
    if (no_memory)
        return ERR_NOMEM;
    return gpa >= RAM || n > RAM - gpa ? ERR_RANGE : OK;
}

int guest_read(struct vm *m, gpa_t gpa, void *to, u64 n)
{
    int r = check(gpa, n);

    assert_ptr_equal(m, &vm);
    reads++;
    read_bytes += (u32)n;
    if (r == OK)
        memcpy(to, ram + gpa, n);
    return r;
}

bool have_smap;

/* Here: what has been touched, and is no write of 0. */
bool guest_write_quickly(gpa_t gpa, u64 value)
{
    if (gpa % sizeof(value) || check(gpa, sizeof(value)) || (!value && !touched))
        return false;
    memcpy(ram + gpa, &value, sizeof(value));
    touched = false;
    return true;
}

int vm_populate(struct vm *m, gpa_t gpa)
{
    assert_ptr_equal(m, &vm);
    touched = true;
    populated++;
    return check(gpa, 1);
}

void vm_lock(struct vm *m)
{
    assert_ptr_equal(m, &vm);
    assert_false(locked);
    locked = true;
}

void vm_unlock(struct vm *m)
{
    assert_ptr_equal(m, &vm);
    assert_true(locked);
    locked = false;
}

void vm_console_put(struct vm *m, const char *text, size_t n)
{
    assert_ptr_equal(m, &vm);
    assert_true(locked);
    memcpy(console + console_size, text, n);
    console_size += n;
}

/* As often as it wants; each time it does one thing that takes long. */
static s64 call(s64 (*op)(struct pv_call *), u64 a, u64 b)
{
    struct pv_call c = {.v = &vcpu, .arg = {a, b}};
    s64 r;

    do {
        size_t before = console_size;

        populated = 0;
        r = op(&c);
        assert_in_range(populated, 0, 1);
        assert_in_range(console_size - before, 0, TEXT_PIECE);
    } while (r == PV_AGAIN);
    return r;
}

static int setup(void **state)
{
    (void)state;
    memset(ram, 0, sizeof(ram));
    no_memory = locked = false;
    reads = read_bytes = 0;
    console_size = 0;
    return 0;
}

static u64 word(gpa_t gpa)
{
    return *(u64 *)(ram + gpa);
}

static void put(u32 i, u64 address, u64 value)
{
    *(struct nidus_write *)(ram + LIST + i * sizeof(struct nidus_write)) =
        (struct nidus_write){address, value};
}

static void test_write_entry(void **state)
{
    (void)state;
    assert_int_equal(call(pv_write_entry, 0x1008, 0x1122334455667788), 0);
    assert_true(word(0x1008) == 0x1122334455667788);
    assert_int_equal(call(pv_write_entry, 0x1004, 1), -NIDUS_EINVAL);
    assert_int_equal(call(pv_write_entry, RAM - 8, 1), 0);
    assert_int_equal(call(pv_write_entry, RAM, 1), -NIDUS_EFAULT);
    assert_int_equal(call(pv_write_entry, ~0ull - 7, 1), -NIDUS_EFAULT);
    no_memory = true;
    assert_int_equal(call(pv_write_entry, 0, 1), -NIDUS_ENOMEM);
}

static void test_write_entries(void **state)
{
    (void)state;
    for (u32 i = 0; i < NIDUS_MAX_WRITES; i++)
        put(i, 8 * i, i + 1);
    assert_int_equal(call(pv_write_entries, LIST, NIDUS_MAX_WRITES), 0);
    for (u32 i = 0; i < NIDUS_MAX_WRITES; i++)
        assert_true(word(8 * i) == i + 1);
    assert_int_equal(read_bytes, NIDUS_MAX_WRITES * sizeof(struct nidus_write));
    assert_int_equal(reads, NIDUS_MAX_WRITES / LIST_PIECE);
    assert_int_equal(call(pv_write_entries, LIST, NIDUS_MAX_WRITES + 1), -NIDUS_ERANGE);
    assert_int_equal(call(pv_write_entries, LIST, ~0ull), -NIDUS_ERANGE);
    assert_int_equal(call(pv_write_entries, ~0ull, 0), 0);
}

/* What stands before it is done, what stands behind it is not. */
static void test_first_bad_entry(void **state)
{
    (void)state;
    for (u32 i = 0; i < LIST_PIECE + 4; i++)
        put(i, 8 * i, 1);
    put(LIST_PIECE + 1, 4, 1);
    assert_int_equal(call(pv_write_entries, LIST, LIST_PIECE + 4), -NIDUS_EINVAL);
    assert_true(word(8 * LIST_PIECE) == 1 && word(8 * (LIST_PIECE + 2)) == 0);
    put(1, RAM, 1);
    put(0, 0, 2);
    assert_int_equal(call(pv_write_entries, LIST, 3), -NIDUS_EFAULT);
    assert_true(word(0) == 2 && word(16) == 1);
}

/* An entry of a piece that has been read stays as it was read. */
static void test_list_that_changes(void **state)
{
    (void)state;
    put(0, LIST + 16, RAM);
    put(1, 0x10, 5);
    assert_int_equal(call(pv_write_entries, LIST, 2), 0);
    assert_true(word(0x10) == 5);
}

/* A list with memory in it that has not been touched is done in steps, and not from the beginning. */
static void test_untouched(void **state)
{
    struct pv_call c = {.v = &vcpu, .arg = {LIST, 40}};

    (void)state;
    for (u32 i = 0; i < 40; i++)
        put(i, 8 * i, i == 20 || i == 21 ? 0 : i + 1);
    assert_int_equal(pv_write_entries(&c), PV_AGAIN);
    assert_int_equal(c.arg[0], LIST + 21 * sizeof(struct nidus_write));
    assert_int_equal(c.arg[1], 19);
    assert_true(word(8 * 19) == 20 && word(8 * 22) == 0);
    assert_int_equal(pv_write_entries(&c), PV_AGAIN);
    assert_int_equal(pv_write_entries(&c), 0);
    assert_true(word(8 * 39) == 40);
    /* The last one: there is nothing left. */
    assert_int_equal(call(pv_write_entries, LIST + 20 * sizeof(struct nidus_write), 1), 0);
}

static void test_list_outside(void **state)
{
    (void)state;
    assert_int_equal(call(pv_write_entries, RAM, 1), -NIDUS_EFAULT);
    assert_int_equal(call(pv_write_entries, RAM - 16, 2), -NIDUS_EFAULT);
    assert_int_equal(call(pv_write_entries, RAM - 16, 1), 0);
}

static void test_console(void **state)
{
    (void)state;
    for (u32 i = 0; i < NIDUS_MAX_TEXT; i++)
        ram[i] = (u8)(i % 251);
    assert_int_equal(call(pv_console, 0, NIDUS_MAX_TEXT), 0);
    assert_int_equal(console_size, NIDUS_MAX_TEXT);
    assert_memory_equal(console, ram, NIDUS_MAX_TEXT);
    console_size = 0;
    assert_int_equal(call(pv_console, 1, TEXT_PIECE + 1), 0);
    assert_int_equal(console_size, TEXT_PIECE + 1);
    console_size = 0;
    assert_int_equal(call(pv_console, 0, NIDUS_MAX_TEXT + 1), -NIDUS_ERANGE);
    assert_int_equal(call(pv_console, RAM - 4, 5), -NIDUS_EFAULT);
    assert_int_equal(call(pv_console, RAM, 0), 0);
    assert_int_equal(console_size, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_write_entry, setup),
        cmocka_unit_test_setup(test_write_entries, setup),
        cmocka_unit_test_setup(test_first_bad_entry, setup),
        cmocka_unit_test_setup(test_list_that_changes, setup),
        cmocka_unit_test_setup(test_untouched, setup),
        cmocka_unit_test_setup(test_list_outside, setup),
        cmocka_unit_test_setup(test_console, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
