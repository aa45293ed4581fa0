/* SPDX-License-Identifier: MIT */
#include "arch/x86/pool.h"
#include "arch/x86/paging.h"
#include "lib/spinlock.h"
#include "lib/string.h"

#define CHUNK_PAGES (POOL_CHUNK / PAGE_SIZE)

/* In the first page of each chunk. */
struct chunk {
    struct chunk *next;
    u64 nr_free;
    u64 used[CHUNK_PAGES / 64];
};

struct frame_owner pool_owner = {.name = "nidus"};
static struct chunk *chunks;
static u64 chunk_bytes;
static struct spinlock lock;

static bool is_used(const struct chunk *c, u32 page)
{
    return c->used[page / 64] & BIT(page % 64);
}

static void set_used(struct chunk *c, u32 first, u32 pages, bool used)
{
    for (u32 i = first; i < first + pages; i++) {
        if (used)
            c->used[i / 64] |= BIT(i % 64);
        else
            c->used[i / 64] &= ~BIT(i % 64);
    }
    c->nr_free += used ? -(u64)pages : pages;
}

static void add_chunk(paddr_t base, u32 used)
{
    struct chunk *c = pool_va(base);

    memset(c, 0, PAGE_SIZE);
    c->nr_free = CHUNK_PAGES;
    set_used(c, 0, MAX(used, 1), true);
    c->next = chunks;
    chunks = c;
}

u64 pool_chunk_bytes(void)
{
    return chunk_bytes;
}

void pool_init(paddr_t base, u64 size, u64 used)
{
    u64 end = size - used;

    chunk_bytes = size;
    for (u64 at = 0; at < end; at += POOL_CHUNK) {
        add_chunk(base + at, 1);
        if (at + POOL_CHUNK > end)
            set_used(chunks, (u32)((end - at) / PAGE_SIZE), (u32)((at + POOL_CHUNK - end) / PAGE_SIZE), true);
    }
}

static int find_run(const struct chunk *c, u32 pages)
{
    u32 run = 0;

    for (u32 i = 1; i < CHUNK_PAGES; i++) {
        if (c->used[i / 64] == ~0ull) {
            run = 0;
            i |= 63;
            continue;
        }
        run = is_used(c, i) ? 0 : run + 1;
        if (run == pages)
            return i + 1 - pages;
    }
    return -1;
}

static struct chunk *find_chunk(u32 pages, int *first)
{
    for (struct chunk *c = chunks; c; c = c->next) {
        if (c->nr_free < pages)
            continue;
        *first = find_run(c, pages);
        if (*first >= 0)
            return c;
    }
    return NULL;
}

static bool grow(void)
{
    paddr_t base = frames_alloc(&pool_owner, POOL_CHUNK, POOL_CHUNK, GiB(512));

    if (base == FRAME_NONE)
        return false;
    chunk_bytes += POOL_CHUNK;
    if (paging_map_chunk(base)) {
        /* It took the spare table: the new chunk's second page is the next. */
        add_chunk(base, 2);
        paging_set_spare(pool_va(base + PAGE_SIZE));
    } else {
        add_chunk(base, 1);
    }
    return true;
}

void *pool_alloc(struct frame_owner *owner, u32 pages)
{
    struct chunk *c;
    int first = -1;
    void *p;

    if (pages == 0 || pages >= CHUNK_PAGES)
        return NULL;
    spin_lock(&lock);
    c = find_chunk(pages, &first);
    if (!c && grow())
        c = find_chunk(pages, &first);
    if (c)
        set_used(c, first, pages, true);
    spin_unlock(&lock);
    if (!c)
        return NULL;
    frames_transfer(&pool_owner, owner, pages);
    p = (u8 *)c + (u64)first * PAGE_SIZE;
    memset(p, 0, pages * PAGE_SIZE);
    return p;
}

void pool_free(struct frame_owner *owner, void *p, u32 pages)
{
    struct chunk *c = (struct chunk *)ALIGN_DOWN((u64)p, POOL_CHUNK);
    u32 first = ((u64)p - (u64)c) / PAGE_SIZE;

    if (!p)
        return;
    frames_transfer(owner, &pool_owner, pages);
    spin_lock(&lock);
    set_used(c, first, pages, false);
    spin_unlock(&lock);
}
