/* SPDX-License-Identifier: MIT */
#include "tests/unit/load_test.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <elf.h>
#include <stdlib.h>
#include <string.h>

struct load_test *load_test_new(void)
{
    struct load_test *t = calloc(1, sizeof(*t));

    t->vm = fake_vm(1, MiB(64));
    t->rq.kernel = (struct load_file){.name = "k.elf", .data = t->image, .size = IMAGE_MAX};
    t->rq.cmdline = "a=1 b";
    t->rq.memory = MiB(64);
    t->rq.modules = t->modules;
    return t;
}

void load_test_free(struct load_test *t)
{
    fake_vm_free(t->vm);
    free(t);
}

void put32(struct load_test *t, u32 offset, u32 value)
{
    memcpy(t->image + offset, &value, 4);
}

u32 ram32(struct load_test *t, gpa_t at)
{
    u32 value;

    assert_int_equal(guest_read(t->vm, at, &value, 4), 0);
    return value;
}

void load_ok(struct load_test *t, u64 size)
{
    if (size)
        t->rq.kernel.size = size;
    t->err[0] = 0;
    if (load_guest(t->vm, &t->rq, &t->start, t->err, sizeof(t->err)))
        fail_msg("does not load: %s", t->err);
}

void load_fails(struct load_test *t, u64 size, const char *text)
{
    if (size)
        t->rq.kernel.size = size;
    t->err[0] = 0;
    assert_int_not_equal(load_guest(t->vm, &t->rq, &t->start, t->err, sizeof(t->err)), 0);
    if (!strstr(t->err, text))
        fail_msg("'%s' is not in: %s", text, t->err);
}

void load_truncated(struct load_test *t, u64 min_size)
{
    u64 whole = t->rq.kernel.size;

    for (u64 size = 0; size < whole; size++) {
        u8 *copy = malloc(size + !size);

        memcpy(copy, t->image, size);
        t->rq.kernel.data = copy;
        t->rq.kernel.size = size;
        t->err[0] = 0;
        if (load_guest(t->vm, &t->rq, &t->start, t->err, sizeof(t->err)))
            assert_true(t->err[0]);
        else
            assert_true(size >= min_size);
        free(copy);
    }
    t->rq.kernel.data = t->image;
    t->rq.kernel.size = whole;
}

void put_elf32(struct load_test *t, u32 offset, u32 paddr, u32 size, u32 memory)
{
    Elf32_Ehdr h = {
        .e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS32, ELFDATA2LSB, EV_CURRENT},
        .e_type = ET_EXEC,
        .e_machine = EM_386,
        .e_version = EV_CURRENT,
        .e_entry = paddr + 0x10,
        .e_phoff = sizeof(h),
        .e_ehsize = sizeof(h),
        .e_phentsize = sizeof(Elf32_Phdr),
        .e_phnum = 1,
    };
    Elf32_Phdr p = {PT_LOAD, offset, paddr, paddr, size, memory, PF_R | PF_X, 0x1000};

    memcpy(t->image, &h, sizeof(h));
    memcpy(t->image + sizeof(h), &p, sizeof(p));
}
