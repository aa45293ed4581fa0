/* SPDX-License-Identifier: MIT */
/*
 * Two bitmaps, what exists and what of it is free, and the number of free frames of each group of 512 (2
 * MiB). A search looks at whole groups by that number and at the others word by word.
 */
#include "lib/frames.h"
#include "lib/spinlock.h"
#include "lib/string.h"

#define WORD_BITS   64
#define GROUP_WORDS 8
#define GROUP_BITS  (WORD_BITS * GROUP_WORDS)

static struct {
    struct spinlock lock;
    u64 nr_frames; /* a multiple of GROUP_BITS */
    u64 *exists, *free;
    u16 *group_free;
    u64 nr_existing, nr_free;
    u64 hint; /* no frame below this one is free */
    struct frame_owner *owners;
} mem;

static u64 nr_groups(paddr_t max_pa)
{
    return max_pa / MiB(2) + (max_pa % MiB(2) != 0);
}

u64 frames_metadata_size(paddr_t max_pa)
{
    return nr_groups(max_pa) * (2 * GROUP_WORDS * sizeof(u64) + sizeof(u16));
}

void frames_init(void *metadata, paddr_t max_pa)
{
    u64 groups = nr_groups(max_pa);

    memset(metadata, 0, frames_metadata_size(max_pa));
    memset(&mem, 0, sizeof(mem));
    mem.nr_frames = groups * GROUP_BITS;
    mem.exists = metadata;
    mem.free = mem.exists + groups * GROUP_WORDS;
    mem.group_free = (u16 *)(mem.free + groups * GROUP_WORDS);
    mem.hint = mem.nr_frames;
}

static u32 count_bits(u64 x)
{
    x -= (x >> 1) & 0x5555555555555555;
    x = (x & 0x3333333333333333) + ((x >> 2) & 0x3333333333333333);
    x = (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0f;
    return (u32)((x * 0x0101010101010101) >> 56);
}

/* The bits of word w that stand for frames from first to end (exclusive); there is at least one. */
static u64 word_mask(u64 w, u64 first, u64 end)
{
    u64 base = w * WORD_BITS, mask = ~0ull;

    if (first > base)
        mask &= ~0ull << (first - base);
    if (end < base + WORD_BITS)
        mask &= ~(~0ull << (end - base));
    return mask;
}

/* Frames of the range that are free become taken; returns their number. */
static u64 take(u64 first, u64 end)
{
    u64 taken = 0;

    for (u64 w = first / WORD_BITS; w * WORD_BITS < end; w++) {
        u64 mask = word_mask(w, first, end) & mem.free[w];
        u32 n = count_bits(mask);

        mem.free[w] &= ~mask;
        mem.group_free[w / GROUP_WORDS] -= (u16)n;
        taken += n;
    }
    mem.nr_free -= taken;
    return taken;
}

/* mask holds frames of word w that are not free: now they are. */
static void release(u64 w, u64 mask)
{
    u32 n = count_bits(mask);

    mem.free[w] |= mask;
    mem.group_free[w / GROUP_WORDS] += (u16)n;
    mem.nr_free += n;
    if (n)
        mem.hint = MIN(mem.hint, w * WORD_BITS);
}

void frames_add(paddr_t base, u64 size)
{
    u64 first = MIN(base / PAGE_SIZE, mem.nr_frames);
    u64 end = first + MIN(size / PAGE_SIZE, mem.nr_frames - first);

    spin_lock(&mem.lock);
    for (u64 w = first / WORD_BITS; w * WORD_BITS < end; w++) {
        u64 mask = word_mask(w, first, end) & ~mem.exists[w];

        mem.exists[w] |= mask;
        mem.nr_existing += count_bits(mask);
        release(w, mask);
    }
    spin_unlock(&mem.lock);
}

static void charge(struct frame_owner *owner, u64 pages)
{
    if (!pages)
        return;
    if (!owner->linked) {
        owner->linked = true;
        owner->next = mem.owners;
        mem.owners = owner;
    }
    owner->pages += pages;
    owner->peak = MAX(owner->peak, owner->pages);
}

void frames_transfer(struct frame_owner *from, struct frame_owner *to, u64 pages)
{
    spin_lock(&mem.lock);
    from->pages -= pages;
    charge(to, pages);
    spin_unlock(&mem.lock);
}

void frames_reserve(struct frame_owner *owner, paddr_t base, u64 size)
{
    u64 first = MIN(base / PAGE_SIZE, mem.nr_frames);
    u64 wanted = size / PAGE_SIZE + (base % PAGE_SIZE + size % PAGE_SIZE + PAGE_SIZE - 1) / PAGE_SIZE;
    u64 end = first + MIN(wanted, mem.nr_frames - first);

    spin_lock(&mem.lock);
    charge(owner, take(first, end));
    spin_unlock(&mem.lock);
}

/*
 * Whether frames first to end are all free. If not, *next is a frame above one that is taken: no fit begins
 * below it. Looks from high to low, so as to learn the most from each frame taken.
 */
static bool all_free(u64 first, u64 end, u64 *next)
{
    u64 at = end;

    while (at > first) {
        u64 w = (at - 1) / WORD_BITS, group = w / GROUP_WORDS, mask, taken, above;

        if (mem.group_free[group] == GROUP_BITS) {
            at = group * GROUP_BITS;
            continue;
        }
        if (mem.group_free[group] == 0) {
            *next = (group + 1) * GROUP_BITS;
            return false;
        }
        mask = word_mask(w, first, at);
        taken = mask & ~mem.free[w];
        if (taken) {
            u64 highest = WORD_BITS - 1 - (u64)__builtin_clzll(taken);

            above = highest == WORD_BITS - 1 ? 0 : mem.free[w] & (~0ull << (highest + 1));
            *next = w * WORD_BITS + (above ? (u64)__builtin_ctzll(above) : WORD_BITS);
            return false;
        }
        at = w * WORD_BITS;
    }
    return true;
}

/* FRAME_NONE or a frame's number. All in frames; align is a power of 2. */
static u64 find_free(u64 n, u64 align, u64 limit)
{
    u64 at = ALIGN_UP(mem.hint, align);

    while (n <= limit && at <= limit - n) {
        u64 next;

        if (all_free(at, at + n, &next))
            return at;
        if (next > limit)
            break;
        at = ALIGN_UP(next, align);
    }
    return FRAME_NONE;
}

paddr_t frames_alloc(struct frame_owner *owner, u64 size, u64 align, paddr_t limit)
{
    u64 n = size / PAGE_SIZE, end = limit ? MIN(limit / PAGE_SIZE, mem.nr_frames) : mem.nr_frames, first;

    if (!n || size % PAGE_SIZE || align < PAGE_SIZE || (align & (align - 1)))
        return FRAME_NONE;
    spin_lock(&mem.lock);
    while (mem.hint < mem.nr_frames && !mem.group_free[mem.hint / GROUP_BITS])
        mem.hint = ALIGN_UP(mem.hint + 1, GROUP_BITS);
    first = find_free(n, align / PAGE_SIZE, end);
    if (first != FRAME_NONE) {
        take(first, first + n);
        if (n == 1 && align == PAGE_SIZE)
            mem.hint = first + 1;
        charge(owner, n);
        first *= PAGE_SIZE;
    }
    spin_unlock(&mem.lock);
    return first;
}

/* Whether every frame from first to end exists and is taken. */
static bool all_taken(u64 first, u64 end)
{
    for (u64 w = first / WORD_BITS; w * WORD_BITS < end; w++) {
        if (word_mask(w, first, end) & (mem.free[w] | ~mem.exists[w]))
            return false;
    }
    return true;
}

int frames_free(struct frame_owner *owner, paddr_t base, u64 size)
{
    u64 first = base / PAGE_SIZE, n = size / PAGE_SIZE;
    int result = ERR_INVAL;

    if (!n || base % PAGE_SIZE || size % PAGE_SIZE || first > mem.nr_frames || n > mem.nr_frames - first)
        return ERR_INVAL;
    spin_lock(&mem.lock);
    if (owner->pages >= n && all_taken(first, first + n)) {
        for (u64 w = first / WORD_BITS; w * WORD_BITS < first + n; w++)
            release(w, word_mask(w, first, first + n));
        owner->pages -= n;
        result = OK;
    }
    spin_unlock(&mem.lock);
    return result;
}

u64 frames_total(void)
{
    return mem.nr_existing * PAGE_SIZE;
}

u64 frames_available(void)
{
    return mem.nr_free * PAGE_SIZE;
}

struct frame_owner *frames_first_owner(void)
{
    return mem.owners;
}

void frames_forget_owner(struct frame_owner *owner)
{
    spin_lock(&mem.lock);
    for (struct frame_owner **at = &mem.owners; *at; at = &(*at)->next) {
        if (*at == owner) {
            *at = owner->next;
            owner->linked = false;
            break;
        }
    }
    spin_unlock(&mem.lock);
}
