/* SPDX-License-Identifier: MIT */
/* What the tests of the loaders share: a VM, one kernel image that they put together, and one request. */
#ifndef TESTS_UNIT_LOAD_TEST_H
#define TESTS_UNIT_LOAD_TEST_H

#include "tests/unit/fake_host.h"
#include "vmm/load.h"

#define IMAGE_MAX 0x20000

struct load_test {
    struct vm *vm;
    u8 image[IMAGE_MAX];
    struct load_request rq;
    struct load_file modules[32];
    struct load_file initrd;
    struct start_state start;
    char err[200];
};

/* 64 MiB of RAM, an empty image named 'k.elf', command line "a=1 b". */
struct load_test *load_test_new(void);
void load_test_free(struct load_test *t);

void put32(struct load_test *t, u32 offset, u32 value);
u32 ram32(struct load_test *t, gpa_t at);

/* The image of the given size (0: as it was) loads, or fails with a message that has text in it. */
void load_ok(struct load_test *t, u64 size);
void load_fails(struct load_test *t, u64 size, const char *text);
/* Loads with every size up to the image's, each in memory of just that size; none may load before min_size.
 */
void load_truncated(struct load_test *t, u64 min_size);

/* An ELF file with one segment: size bytes of the file from offset at physical address paddr, memory bytes
 * long. */
void put_elf32(struct load_test *t, u32 offset, u32 paddr, u32 size, u32 memory);

#endif
