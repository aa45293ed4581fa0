/* SPDX-License-Identifier: MIT */
#include "vmm/dev/cow.h"
#include "lib/string.h"
#include "vmm/dev/host.h"

#define LEAF_PAGES 512
#define SLAB_PAGES 63 /* with what the allocator keeps for itself: 64 pages */

int cow_init(struct cow *c, struct vm *vm, const void *data, u64 size, u64 length)
{
    u64 pages = (length + PAGE_SIZE - 1) / PAGE_SIZE;

    *c = (struct cow){.vm = vm, .data = data, .size = size};
    c->leaves = vm_alloc(vm, MAX((pages + LEAF_PAGES - 1) / LEAF_PAGES, 1u) * sizeof(c->leaves[0]));
    return c->leaves ? OK : ERR_NOMEM;
}

static void read_original(const struct cow *c, u64 offset, u8 *to, u64 n)
{
    u64 have = offset < c->size ? MIN(n, c->size - offset) : 0;

    if (have)
        memcpy(to, c->data + offset, have);
    memset(to + have, 0, n - have);
}

void cow_read(const struct cow *c, u64 offset, void *to, u64 n)
{
    u64 page = offset / PAGE_SIZE;
    u8 *const *leaf = c->leaves[page / LEAF_PAGES];

    if (leaf && leaf[page % LEAF_PAGES])
        memcpy(to, leaf[page % LEAF_PAGES] + offset % PAGE_SIZE, n);
    else
        read_original(c, offset, to, n);
}

static u8 *new_page(struct cow *c)
{
    u8 *page;

    if (!c->slab_left) {
        c->slab = vm_alloc(c->vm, SLAB_PAGES * PAGE_SIZE);
        if (!c->slab)
            return NULL;
        c->slab_left = SLAB_PAGES;
    }
    page = c->slab;
    c->slab += PAGE_SIZE;
    c->slab_left--;
    return page;
}

u8 *cow_page(struct cow *c, u64 offset)
{
    u64 n = offset / PAGE_SIZE;
    u8 ***leaf = &c->leaves[n / LEAF_PAGES], **page;

    if (!*leaf)
        *leaf = vm_alloc(c->vm, LEAF_PAGES * sizeof(**leaf));
    if (!*leaf)
        return NULL;
    page = &(*leaf)[n % LEAF_PAGES];
    if (!*page) {
        *page = new_page(c);
        if (*page)
            read_original(c, ALIGN_DOWN(offset, PAGE_SIZE), *page, PAGE_SIZE);
    }
    return *page;
}
