/* SPDX-License-Identifier: MIT */
#include "arch/x86/random.h"
#include "arch/x86/asm.h"
#include "lib/chacha.h"
#include "lib/spinlock.h"
#include "lib/string.h"

#define RDRAND_ECX BIT(30) /* CPUID 1 */
#define RDSEED_EBX BIT(18) /* CPUID 7.0 */
#define TRIES      10      /* SDM volume 1 (253665), 'RDRAND': so often before giving up */
#define SAMPLES    64

static struct spinlock lock;
static u32 key[CHACHA_KEY_WORDS];

static bool rdseed(u64 *value)
{
    bool ok;

    asm volatile("rdseed %0" : "=r"(*value), "=@ccc"(ok));
    return ok;
}

static bool rdrand(u64 *value)
{
    bool ok;

    asm volatile("rdrand %0" : "=r"(*value), "=@ccc"(ok));
    return ok;
}

/* 0 when the CPU has none to give. */
static u64 hardware(void)
{
    bool has_seed = cpuid(0, 0).eax >= 7 && (cpuid(7, 0).ebx & RDSEED_EBX);
    bool has_rand = cpuid(1, 0).ecx & RDRAND_ECX;
    u64 value;

    for (u32 i = 0; has_seed && i < TRIES; i++) {
        if (rdseed(&value))
            return value;
    }
    for (u32 i = 0; has_rand && i < TRIES; i++) {
        if (rdrand(&value))
            return value;
    }
    return 0;
}

/* Time stamps around flushed memory accesses, folded together. */
static u64 jitter(void)
{
    static volatile u64 place;
    u64 folded = 0;

    for (u32 i = 0; i < SAMPLES; i++) {
        asm volatile("clflush %0" : "+m"(place));
        place = place + folded;
        folded = (folded << 7 | folded >> 57) ^ rdtsc();
    }
    return folded;
}

static void next_block(u64 count, u32 out[16])
{
    const u32 counter_and_nonce[4] = {(u32)count, (u32)(count >> 32), 0, 0};

    chacha20_block(key, counter_and_nonce, out);
}

void random_bytes(void *to, size_t n)
{
    u8 *bytes = to;
    u32 block[16];
    size_t step;

    spin_lock(&lock);
    for (u32 i = 0; i < CHACHA_KEY_WORDS; i += 2) {
        u64 fresh = hardware() ^ jitter();

        key[i] ^= (u32)fresh;
        key[i + 1] ^= (u32)(fresh >> 32);
    }
    for (u64 count = 1; n; count++) {
        next_block(count, block);
        step = MIN(n, sizeof(block));
        memcpy(bytes, block, step);
        bytes += step;
        n -= step;
    }
    next_block(0, block); /* what was given cannot be found from the new key */
    memcpy(key, block, sizeof(key));
    spin_unlock(&lock);
}
