/* SPDX-License-Identifier: MIT */
#include "vmm/load_util.h"
#include "lib/format.h"
#include "vmm/dev/host.h"

int(load_fail)(struct load_ctx *ctx, const struct load_file *file, const char *fmt, ...)
{
    size_t n = format(ctx->err, ctx->err_size, "'%s': ", file->name);
    va_list args;

    va_start(args, fmt);
    if (n < ctx->err_size)
        format_va(ctx->err + n, ctx->err_size - n, fmt, args);
    va_end(args);
    return ERR_INVAL;
}

static bool is_ram(const struct load_ctx *ctx, gpa_t base, u64 size)
{
    for (u32 i = 0; i < ctx->nr_map; i++) {
        const struct e820_entry *e = &ctx->map[i];

        if (e->type == 1 && base >= e->base && size <= e->size && base - e->base <= e->size - size)
            return true;
    }
    return false;
}

bool load_is_free(const struct load_ctx *ctx, gpa_t base, u64 size)
{
    if (!size)
        return true;
    if (!is_ram(ctx, base, size))
        return false;
    for (u32 i = 0; i < ctx->nr_used; i++)
        if (base < ctx->used[i].end && ctx->used[i].base < base + size)
            return false;
    return true;
}

int load_claim(struct load_ctx *ctx, gpa_t base, u64 size)
{
    if (!size)
        return OK;
    if (ctx->nr_used == LOAD_MAX_USED)
        return ERR_NOMEM;
    ctx->used[ctx->nr_used].base = base;
    ctx->used[ctx->nr_used++].end = base + size;
    return OK;
}

/* Tries one position; keeps it in *best if it is free and better. */
static void consider(const struct load_ctx *ctx, gpa_t base, u64 size, gpa_t min, gpa_t max, bool high,
                     gpa_t *best)
{
    if (base < min || base >= max || size > max - base || !load_is_free(ctx, base, size))
        return;
    if (*best == LOAD_NOWHERE || (high ? base > *best : base < *best))
        *best = base;
}

/* The best place touches a bound, an end of the memory map's entries, or something used. */
gpa_t load_place(struct load_ctx *ctx, u64 size, u64 align, gpa_t min, gpa_t max, bool high)
{
    gpa_t edges[2 + 2 * GUEST_MAX_E820 + 2 * LOAD_MAX_USED], best = LOAD_NOWHERE;
    u32 nr = 0;

    if (!size || size >= BIT(63))
        return LOAD_NOWHERE;
    edges[nr++] = min;
    edges[nr++] = max;
    for (u32 i = 0; i < ctx->nr_map; i++) {
        edges[nr++] = ctx->map[i].base;
        edges[nr++] = ctx->map[i].base + ctx->map[i].size;
    }
    for (u32 i = 0; i < ctx->nr_used; i++) {
        edges[nr++] = ctx->used[i].base;
        edges[nr++] = ctx->used[i].end;
    }
    for (u32 i = 0; i < nr; i++) {
        if (high && edges[i] >= size)
            consider(ctx, ALIGN_DOWN(edges[i] - size, align), size, min, max, high, &best);
        else if (!high && edges[i] <= BIT(62))
            consider(ctx, ALIGN_UP(edges[i], align), size, min, max, high, &best);
    }
    return best != LOAD_NOWHERE && load_claim(ctx, best, size) ? LOAD_NOWHERE : best;
}

gpa_t load_place_low(struct load_ctx *ctx, u64 size, u64 align)
{
    gpa_t base = load_place(ctx, size, align, LOAD_LOW_MIN, LOAD_LOW_MAX, false);

    return base != LOAD_NOWHERE ? base : load_place(ctx, size, align, MiB(1), GiB(4), false);
}

int load_copy(struct load_ctx *ctx, gpa_t to, const struct load_file *file, u64 offset, u64 size)
{
    return size ? guest_write(ctx->vm, to, file->data + offset, size) : OK;
}

int load_zero(struct load_ctx *ctx, gpa_t to, u64 size)
{
    static const u8 zeroes[512];

    while (size) {
        u64 n = MIN(size, sizeof(zeroes));
        int rc = guest_write(ctx->vm, to, zeroes, n);

        if (rc)
            return rc;
        to += n;
        size -= n;
    }
    return OK;
}
