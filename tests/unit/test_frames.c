/* SPDX-License-Identifier: MIT */
/* links: lib/frames.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "lib/frames.h"

static void *metadata;

static void init(paddr_t max_pa)
{
    free(metadata);
    metadata = malloc(frames_metadata_size(max_pa)); /* exactly: what lies beyond is guarded */
    memset(metadata, 0xa5, frames_metadata_size(max_pa));
    frames_init(metadata, max_pa);
}

static int cleanup(void **state)
{
    (void)state;
    free(metadata);
    metadata = NULL;
    return 0;
}

static void empty(void **state)
{
    struct frame_owner o = {.name = "o"};

    (void)state;
    assert_int_equal(frames_metadata_size(0), 0);
    assert_int_equal(frames_metadata_size(1), frames_metadata_size(MiB(2)));
    init(GiB(1));
    assert_int_equal(frames_total(), 0);
    assert_int_equal(frames_alloc(&o, PAGE_SIZE, PAGE_SIZE, 0), FRAME_NONE);
    assert_int_equal(frames_free(&o, 0, PAGE_SIZE), ERR_INVAL);
    frames_reserve(&o, 0, GiB(4));
    assert_null(frames_first_owner());
    assert_int_equal(o.pages, 0);
}

static void add(void **state)
{
    struct frame_owner o = {.name = "o"};

    (void)state;
    init(MiB(16));
    frames_add(MiB(1), MiB(1));
    frames_add(MiB(1), MiB(1)); /* once more: nothing new */
    assert_int_equal(frames_total(), MiB(1));
    frames_add(MiB(15), MiB(100)); /* beyond the end: cut off */
    frames_add(MiB(16), MiB(1));
    frames_add(GiB(64), MiB(1));
    assert_int_equal(frames_total(), MiB(2));
    assert_int_equal(frames_available(), MiB(2));
    assert_int_equal(frames_alloc(&o, PAGE_SIZE, PAGE_SIZE, 0), MiB(1));
    frames_add(MiB(1), MiB(1)); /* what is taken stays so */
    assert_int_equal(frames_available(), MiB(2) - PAGE_SIZE);
    frames_add(0, MiB(1)); /* below all that was there */
    assert_int_equal(frames_alloc(&o, PAGE_SIZE, PAGE_SIZE, 0), 0);
}

static void bad_requests(void **state)
{
    struct frame_owner o = {.name = "o"};

    (void)state;
    init(MiB(16));
    frames_add(0, MiB(16));
    assert_int_equal(frames_alloc(&o, 0, PAGE_SIZE, 0), FRAME_NONE);
    assert_int_equal(frames_alloc(&o, 100, PAGE_SIZE, 0), FRAME_NONE);
    assert_int_equal(frames_alloc(&o, PAGE_SIZE, 0, 0), FRAME_NONE);
    assert_int_equal(frames_alloc(&o, PAGE_SIZE, 2048, 0), FRAME_NONE);
    assert_int_equal(frames_alloc(&o, PAGE_SIZE, 3 * PAGE_SIZE, 0), FRAME_NONE);
    assert_int_equal(frames_alloc(&o, MiB(17), PAGE_SIZE, 0), FRAME_NONE);
    assert_int_equal(frames_alloc(&o, ~0ull & ~(PAGE_SIZE - 1), PAGE_SIZE, 0), FRAME_NONE);
    assert_int_equal(frames_alloc(&o, MiB(2), PAGE_SIZE, MiB(1)), FRAME_NONE);
    assert_int_equal(frames_alloc(&o, PAGE_SIZE, PAGE_SIZE, 100), FRAME_NONE);
    assert_int_equal(frames_available(), MiB(16));
    assert_null(frames_first_owner());
    assert_int_equal(frames_alloc(&o, MiB(1) + PAGE_SIZE, PAGE_SIZE, MiB(1)), FRAME_NONE);
    assert_int_equal(frames_alloc(&o, MiB(1), BIT(63), MiB(1)), 0);
    assert_int_equal(frames_alloc(&o, MiB(1), BIT(63), 0), FRAME_NONE);
    assert_int_equal(frames_alloc(&o, MiB(15), PAGE_SIZE, 0), MiB(1)); /* to the last frame */
    assert_int_equal(frames_available(), 0);
}

static void bad_frees(void **state)
{
    struct frame_owner o = {.name = "o"}, other = {.name = "other"};
    paddr_t pa;

    (void)state;
    init(MiB(16));
    frames_add(MiB(2), MiB(2));
    pa = frames_alloc(&o, 4 * PAGE_SIZE, PAGE_SIZE, 0);
    assert_int_equal(pa, MiB(2));
    assert_int_equal(frames_free(&o, pa, 0), ERR_INVAL);
    assert_int_equal(frames_free(&o, pa + 1, PAGE_SIZE), ERR_INVAL);
    assert_int_equal(frames_free(&o, pa, 5 * PAGE_SIZE), ERR_INVAL);         /* the last one is free */
    assert_int_equal(frames_free(&o, pa - PAGE_SIZE, PAGE_SIZE), ERR_INVAL); /* does not exist */
    assert_int_equal(frames_free(&o, GiB(1), PAGE_SIZE), ERR_INVAL);
    assert_int_equal(frames_free(&o, pa, ~0ull & ~(PAGE_SIZE - 1)), ERR_INVAL);
    assert_int_equal(frames_free(&other, pa, PAGE_SIZE), ERR_INVAL); /* holds nothing */
    assert_int_equal(o.pages, 4);
    assert_int_equal(frames_available(), MiB(2) - 4 * PAGE_SIZE);
    assert_int_equal(frames_free(&o, pa + PAGE_SIZE, PAGE_SIZE), OK);
    assert_int_equal(frames_free(&o, pa + PAGE_SIZE, PAGE_SIZE), ERR_INVAL); /* twice */
    assert_int_equal(frames_free(&o, pa, 4 * PAGE_SIZE), ERR_INVAL);
    assert_int_equal(o.pages, 3);
}

static void reserve(void **state)
{
    struct frame_owner image = {.name = "image"}, o = {.name = "o"};

    (void)state;
    init(MiB(16));
    frames_add(MiB(1), MiB(8));
    frames_reserve(&image, MiB(1) + 100, 2 * PAGE_SIZE); /* touches three frames */
    assert_int_equal(image.pages, 3);
    frames_reserve(&image, MiB(1), 4 * PAGE_SIZE);
    assert_int_equal(image.pages, 4);
    frames_reserve(&image, 0, MiB(1) + 1); /* all there is of it is taken already */
    frames_reserve(&image, MiB(2), 0);
    assert_int_equal(image.pages, 4);
    frames_reserve(&image, MiB(9) - 1, ~0ull - MiB(9));
    assert_int_equal(image.pages, 5);
    assert_int_equal(frames_alloc(&o, PAGE_SIZE, PAGE_SIZE, 0), MiB(1) + 4 * PAGE_SIZE);
    assert_int_equal(frames_free(&image, MiB(1), 4 * PAGE_SIZE),
                     OK); /* what was reserved can be given back */
    assert_int_equal(frames_alloc(&o, PAGE_SIZE, PAGE_SIZE, 0), MiB(1));
}

static void owners(void **state)
{
    struct frame_owner a = {.name = "a"}, b = {.name = "b"};
    paddr_t pa;

    (void)state;
    init(MiB(16));
    frames_add(0, MiB(16));
    pa = frames_alloc(&a, MiB(1), PAGE_SIZE, 0);
    assert_ptr_equal(frames_first_owner(), &a);
    assert_null(a.next);
    frames_alloc(&b, PAGE_SIZE, PAGE_SIZE, 0);
    frames_alloc(&a, PAGE_SIZE, PAGE_SIZE, 0);
    assert_ptr_equal(frames_first_owner(), &b);
    assert_ptr_equal(b.next, &a);
    assert_null(a.next);
    assert_int_equal(a.pages, 257);
    assert_int_equal(frames_free(&a, pa, MiB(1)), OK);
    assert_int_equal(a.pages, 1);
    assert_int_equal(a.peak, 257);
    frames_transfer(&a, &b, 1);
    assert_int_equal(a.pages, 0);
    assert_int_equal(b.pages, 2);
    assert_int_equal(b.peak, 2);
    frames_forget_owner(&a);
    assert_ptr_equal(frames_first_owner(), &b);
    assert_null(b.next);
    assert_false(a.linked);
    frames_forget_owner(&a); /* twice is harmless */
    frames_alloc(&a, PAGE_SIZE, PAGE_SIZE, 0);
    assert_ptr_equal(frames_first_owner(), &a);
    frames_forget_owner(&b);
    assert_null(a.next);
}

/* A large memory: sums beyond 32 bits, and a search that need not look at every frame. */
static void large(void **state)
{
    struct frame_owner o = {.name = "o"};

    (void)state;
    init(GiB(512));
    frames_add(0, GiB(512));
    assert_int_equal(frames_available(), GiB(512));
    assert_int_equal(frames_alloc(&o, GiB(511), GiB(1), 0), 0);
    assert_int_equal(frames_alloc(&o, PAGE_SIZE, PAGE_SIZE, 0), GiB(511));
    assert_int_equal(frames_free(&o, 0, PAGE_SIZE), OK);
    for (int i = 0; i < 10000; i++) {
        paddr_t pa = frames_alloc(&o, MiB(2), MiB(2), 0);

        assert_int_equal(pa, GiB(511) + MiB(2));
        assert_int_equal(frames_free(&o, pa, MiB(2)), OK);
    }
    assert_int_equal(o.pages, (GiB(511)) / PAGE_SIZE);
    assert_int_equal(o.peak, GiB(511) / PAGE_SIZE + 512);
}

/* The model: a byte for each frame. */
#define MODEL_FRAMES 6000u
enum { NOTHING, FREE, TAKEN }; /* TAKEN + i: by owner i */

static u8 model[MODEL_FRAMES];

static u32 random_below(u32 n)
{
    static u64 x = 88172645463325252ull;

    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return (u32)(x >> 20) % n;
}

/* Mostly small, now and then large. */
static u32 random_size(void)
{
    return 1 + random_below(random_below(8) ? 20 : 1500);
}

static u64 model_alloc(u64 n, u64 align, u64 limit)
{
    for (u64 at = 0; at + n <= limit; at += align) {
        u64 i = 0;

        while (i < n && model[at + i] == FREE)
            i++;
        if (i == n)
            return at;
    }
    return FRAME_NONE;
}

static void model_count(const struct frame_owner *o, u32 nr_owners)
{
    u64 total = 0, available = 0, held[4] = {0};

    for (u32 i = 0; i < MODEL_FRAMES; i++) {
        total += model[i] != NOTHING;
        available += model[i] == FREE;
        if (model[i] >= TAKEN)
            held[model[i] - TAKEN]++;
    }
    assert_int_equal(frames_total(), total * PAGE_SIZE);
    assert_int_equal(frames_available(), available * PAGE_SIZE);
    for (u32 i = 0; i < nr_owners; i++)
        assert_int_equal(o[i].pages, held[i]);
}

static void step_alloc(struct frame_owner *o, u32 who)
{
    u64 n = random_size(), align = 1ull << random_below(random_below(4) ? 3 : 11);
    u64 limit = random_below(3) ? 0 : 1 + random_below(2 * MODEL_FRAMES);
    u64 want = model_alloc(n, align, limit ? MIN(limit, MODEL_FRAMES) : MODEL_FRAMES);
    paddr_t got = frames_alloc(&o[who], n * PAGE_SIZE, align * PAGE_SIZE, limit * PAGE_SIZE);

    assert_int_equal(got, want == FRAME_NONE ? FRAME_NONE : want * PAGE_SIZE);
    if (want != FRAME_NONE)
        memset(model + want, (int)(TAKEN + who), n);
}

/* Only ranges all of whose frames are this owner's are freed; anything with a gap in it is refused. */
static void step_free(struct frame_owner *o)
{
    u32 first = random_below(MODEL_FRAMES), n = 1, who;
    bool gap = false;

    for (u32 tries = 0; model[first] < TAKEN && tries < MODEL_FRAMES; tries++)
        first = (first + 1) % MODEL_FRAMES;
    if (model[first] < TAKEN)
        return;
    who = model[first] - TAKEN;
    for (u32 most = random_size(); n < most && first + n < MODEL_FRAMES; n++) {
        if (model[first + n] >= TAKEN && model[first + n] != TAKEN + who)
            break;
        gap |= model[first + n] < TAKEN;
    }
    assert_int_equal(frames_free(&o[who], first * PAGE_SIZE, n * PAGE_SIZE), gap ? ERR_INVAL : OK);
    if (!gap)
        memset(model + first, FREE, n);
}

static void step_reserve(struct frame_owner *o, u32 who)
{
    u32 first = random_below(MODEL_FRAMES), n = random_size();

    frames_reserve(&o[who], first * PAGE_SIZE, n * PAGE_SIZE);
    for (u32 i = first; i < MIN(first + n, MODEL_FRAMES); i++) {
        if (model[i] == FREE)
            model[i] = (u8)(TAKEN + who);
    }
}

static void step_add(void)
{
    u32 first = random_below(MODEL_FRAMES), n = random_size();

    n = MIN(n, MODEL_FRAMES - first);
    frames_add(first * PAGE_SIZE, n * PAGE_SIZE);
    for (u32 i = first; i < first + n; i++) {
        if (model[i] == NOTHING)
            model[i] = FREE;
    }
}

static void against_model(void **state)
{
    (void)state;
    for (u32 round = 0; round < 8; round++) {
        struct frame_owner o[3] = {{.name = "a"}, {.name = "b"}, {.name = "c"}};

        memset(model, NOTHING, sizeof(model));
        init(MODEL_FRAMES * PAGE_SIZE);
        for (u32 i = 0; i < 3000; i++) {
            u32 who = random_below(3), what = random_below(100);

            if (what < 6 + 2 * round)
                step_add();
            else if (what < 60)
                step_alloc(o, who);
            else if (what < 98)
                step_free(o);
            else
                step_reserve(o, who);
            if (i % 16 == 0)
                model_count(o, 3);
        }
        model_count(o, 3);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty),     cmocka_unit_test(add),           cmocka_unit_test(bad_requests),
        cmocka_unit_test(bad_frees), cmocka_unit_test(reserve),       cmocka_unit_test(owners),
        cmocka_unit_test(large),     cmocka_unit_test(against_model),
    };

    return cmocka_run_group_tests(tests, NULL, cleanup);
}
