/* SPDX-License-Identifier: MIT */
/* Bytes that can be written over a read-only original: pages are copied when they are first written. */
#ifndef VMM_DEV_COW_H
#define VMM_DEV_COW_H

#include "lib/types.h"

struct vm;

struct cow {
    struct vm *vm;
    const u8 *data;
    u64 size;     /* of data; zeroes follow */
    u8 ***leaves; /* one for each 512 pages: pointers to the written ones; null where there are none */
    u8 *slab;     /* memory for pages to come */
    u32 slab_left;
};

/* length: of the whole in bytes. ERR_NOMEM. */
int cow_init(struct cow *c, struct vm *vm, const void *data, u64 size, u64 length);
/* n bytes at offset, that lie within one page of 4 KiB and within the length. */
void cow_read(const struct cow *c, u64 offset, void *to, u64 n);
/* The whole page that has offset, to write to; null when there is no memory. */
u8 *cow_page(struct cow *c, u64 offset);

#endif
