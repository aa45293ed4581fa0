/* SPDX-License-Identifier: MIT */
/* Stands in for arch/x86/user.h: a test that includes this before a source has the guest's memory, and CR2.
 */
#ifndef TESTS_UNIT_FAKE_USER_H
#define TESTS_UNIT_FAKE_USER_H
#define ARCH_X86_USER_H

#include "arch/x86/layout.h"
#include "lib/types.h"

/* The test's own. Null: it is not mapped. */
static u64 *fake_word(gpa_t at);
/* Another CPU may be first: the word is about to be changed. */
static void fake_race(u64 *word);

static bool smap_lifted;
static u64 fake_cr2;

static inline u64 read_cr2(void)
{
    return fake_cr2;
}

static inline void write_cr2(u64 value)
{
    fake_cr2 = value;
}

static inline void user_begin(void)
{
    smap_lifted = true;
}

static inline void user_end(void)
{
    smap_lifted = false;
}

static inline u64 *user_word(const u64 *p)
{
    u64 *word;

    assert_true(smap_lifted);
    assert_int_equal((u64)p % sizeof(*p), 0);
    word = fake_word((u64)p - VM_BASE);
    if (!word)
        fake_cr2 = (u64)p;
    return word;
}

static inline bool user_load(const u64 *p, u64 *value)
{
    u64 *word = user_word(p);

    if (word)
        *value = *word;
    return word;
}

/* *was: what it was. */
static inline bool user_change(u64 *p, u64 keep, u64 set, u64 *was)
{
    u64 *word = user_word(p);

    if (!word)
        return false;
    fake_race(word);
    *was = *word;
    *word = (*word & keep) | set;
    return true;
}

static inline bool user_store(u64 *p, u64 value)
{
    u64 was;

    return user_change(p, 0, value, &was);
}

static inline bool user_or(u64 *p, u64 bits)
{
    u64 was;

    return user_change(p, ~0ull, bits, &was);
}

static inline bool user_and(u64 *p, u64 bits)
{
    u64 was;

    return user_change(p, bits, 0, &was);
}

static inline bool user_take(u64 *p, u64 *was)
{
    return user_change(p, 0, 0, was);
}

static inline bool user_replace(u64 *p, u64 *was, u64 new)
{
    u64 *word = user_word(p), old = *was;

    if (!word)
        return false;
    fake_race(word);
    *was = *word;
    if (*was == old)
        *word = new;
    return true;
}

#endif
