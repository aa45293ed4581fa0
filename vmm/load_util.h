/* SPDX-License-Identifier: MIT */
/* What the loaders share: where things may go in guest memory, and bounds-checked copies. Internal to
 * vmm/load*.c. */
#ifndef VMM_LOAD_UTIL_H
#define VMM_LOAD_UTIL_H

#include "lib/packed.h"
#include "vmm/load.h"

#define LOAD_MAX_USED 32
#define LOAD_NOWHERE  (~0ull)
#define LOAD_LOW_MIN  0x10000ull /* boot structures: above what a BIOS or an AP trampoline uses, */
#define LOAD_LOW_MAX  0x90000ull /* and below where Linux puts its own (0x9d000) */

struct load_ctx {
    struct vm *vm;
    const struct load_request *rq;
    struct e820_entry map[GUEST_MAX_E820];
    u32 nr_map;
    struct {
        gpa_t base, end;
    } used[LOAD_MAX_USED];
    u32 nr_used;
    char *err;
    size_t err_size;
};

/* Puts "'FILE': what is wrong" into err and gives ERR_INVAL. */
int load_fail(struct load_ctx *ctx, const struct load_file *file, const char *fmt, ...) __printf(3, 4);
#define load_fail(ctx, file, ...) load_fail(ctx, file, PACK __VA_ARGS__)

static inline bool in_file(const struct load_file *file, u64 offset, u64 size)
{
    return offset <= file->size && size <= file->size - offset;
}

/* Whether all of it is RAM and nothing has been put there. Empty ranges are. */
bool load_is_free(const struct load_ctx *ctx, gpa_t base, u64 size);
/* Marks a range as used. */
int load_claim(struct load_ctx *ctx, gpa_t base, u64 size);
/* Claims size bytes of free RAM in [min, max), aligned to a power of 2; the lowest place, or the highest.
 * LOAD_NOWHERE: there is none. */
gpa_t load_place(struct load_ctx *ctx, u64 size, u64 align, gpa_t min, gpa_t max, bool high);
/* For boot structures: low memory if it has room, else anywhere below 4 GiB. */
gpa_t load_place_low(struct load_ctx *ctx, u64 size, u64 align);

/* Copies part of a file, which must lie in it, to guest RAM. */
int load_copy(struct load_ctx *ctx, gpa_t to, const struct load_file *file, u64 offset, u64 size);
int load_zero(struct load_ctx *ctx, gpa_t to, u64 size);

#endif
