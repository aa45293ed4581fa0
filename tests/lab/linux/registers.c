/* SPDX-License-Identifier: MIT */
/* All registers hold patterns while the process is switched out and in, sleeps, and changes CPUs. */
#include <cpuid.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "stress.h"

#define LEGACY 512 /* bytes that FXSAVE writes */
#define HEADER 64
#define AREA   4096
#define X87    1u
#define SSE    2u
#define COMPONENTS \
    0xe7u /* x87, SSE, AVX and the three of AVX-512; any bits will do in them but for control words */

struct hold {
    uint64_t mask; /* XSAVE's; 0: there is only FXSAVE */
    uint8_t *before, *after;
    uint64_t loops, nr, arg1, arg2; /* nr: the system call's, or -1 */
    uint64_t in[8], out[8];
};

_Static_assert(offsetof(struct hold, in) == 56 && offsetof(struct hold, out) == 120, "as hold.S has it");

void hold(struct hold *h);

static uint8_t before[AREA] __attribute__((aligned(64))), after[AREA] __attribute__((aligned(64)));

static struct component {
    const char *name;
    uint32_t bit, offset, size;
} components[] = {
    {"x87", 0, 32, 128},         {"SSE", 1, 160, 256},           {"AVX", 2, 0, 0},
    {"AVX-512 opmask", 5, 0, 0}, {"AVX-512 ZMM_Hi256", 6, 0, 0}, {"AVX-512 Hi16_ZMM", 7, 0, 0},
};

#define NR_COMPONENTS (sizeof(components) / sizeof(components[0]))

/* What XCR0 and CPUID.0DH say. Returns the mask for XSAVE, 0 without it. */
static uint32_t find_components(void)
{
    uint32_t a, b, c, d, enabled, high;

    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE))
        return 0;
    __asm__("xgetbv" : "=a"(enabled), "=d"(high) : "c"(0));
    enabled &= COMPONENTS;
    for (size_t i = 2; i < NR_COMPONENTS; i++) {
        if (!(enabled & 1u << components[i].bit))
            continue;
        __cpuid_count(0xd, components[i].bit, a, b, c, d);
        components[i].size = a;
        components[i].offset = b;
        if (b < LEGACY + HEADER || b + a > AREA)
            fail("CPUID.0DH: component %u has %u bytes at %u", components[i].bit, a, b);
    }
    return enabled;
}

static void fill(uint32_t mask, uint64_t *state)
{
    memset(before, 0, sizeof(before));
    memset(after, 0, sizeof(after));
    before[0] = 0x7f; /* FCW: 37FH, the round-up of the next line in bits 11:10 */
    before[1] = (uint8_t)(3 | (next_random(state) & 3) << 2);
    before[4] = 0xff;  /* FTW: all valid */
    before[24] = 0x80; /* MXCSR: 1F80H and a rounding */
    before[25] = (uint8_t)(0x1f | (next_random(state) & 3) << 5);
    if (mask)
        memcpy(before + LEGACY, &(uint64_t){mask}, 8);
    for (size_t i = 0; i < NR_COMPONENTS; i++) {
        const struct component *c = &components[i];

        for (uint32_t k = 0; k < c->size && (i < 2 || mask & 1u << c->bit); k++) {
            if (i == 0 && k % 16 >= 10)
                continue; /* reserved bytes behind each ST */
            before[c->offset + k] = (uint8_t)next_random(state);
            if (i == 0 && k % 16 == 9)
                before[c->offset + k] = 0x3f; /* an exponent of a finite number, */
            if (i == 0 && k % 16 == 7)
                before[c->offset + k] |= 0x80; /* normal */
        }
    }
}

static void compare(uint32_t mask)
{
    if (memcmp(before, after, 2) || memcmp(before + 24, after + 24, 2))
        fail("FCW %02x%02x, not %02x%02x; MXCSR %02x%02x, not %02x%02x", after[1], after[0], before[1],
             before[0], after[25], after[24], before[25], before[24]);
    for (size_t i = 0; i < NR_COMPONENTS; i++) {
        const struct component *c = &components[i];

        if (i >= 2 && !(mask & 1u << c->bit))
            continue;
        for (uint32_t k = 0; k < c->size; k++) {
            if (before[c->offset + k] != after[c->offset + k])
                fail("%s, byte %u: 0x%02x, not 0x%02x", c->name, k, after[c->offset + k],
                     before[c->offset + k]);
        }
    }
}

uint64_t check_registers(const struct stress *s)
{
    struct hold h = {.mask = find_components(), .before = before, .after = after};
    uint64_t state = (uint64_t)getpid() << 32 | 0x9e3779b9, rounds = 0;
    struct timespec nap = {0, 700000};

    if (s->cpu == 0)
        printf("stress: XSAVE components 0x%lx\n", h.mask);
    for (; !over(s); rounds++) {
        fill((uint32_t)h.mask, &state);
        for (int i = 0; i < 8; i++)
            h.in[i] = next_random(&state);
        h.loops = 1 + next_random(&state) % 200000;
        h.nr = (uint64_t)-1;
        if (rounds % 3 == 1)
            h.nr = SYS_sched_yield;
        if (rounds % 3 == 2) {
            h.nr = SYS_nanosleep;
            h.arg1 = (uint64_t)&nap;
            h.arg2 = 0;
        }
        hold(&h);
        for (int i = 0; i < 8; i++) {
            if (h.in[i] != h.out[i])
                fail("general register %d of 8: 0x%lx, not 0x%lx", i, h.out[i], h.in[i]);
        }
        compare((uint32_t)h.mask);
        if (rounds % 16 == 15)
            run_on((s->cpu + (int)(rounds / 16)) % s->nr_cpus);
    }
    return rounds;
}
