/* SPDX-License-Identifier: MIT */
/*
 * The posted-interrupt descriptor and the virtual-APIC page: SDM, 'Posted-Interrupt Processing'. They are in
 * L1's memory and change at any time; each word is used in place. An access whose memory is not mapped yet
 * comes again once it is.
 */
#ifndef VMM_NESTED_POSTED_H
#define VMM_NESTED_POSTED_H

#include "arch/x86/layout.h"
#include "arch/x86/user.h"
#include "vmm/nested/nested.h"
#include "vmm/pi_desc.h"

/* Behind a bit for each vector (PIR): the word of the notification. */
#define POSTED_NOTIFY 32

#define NO_VECTOR (-1)

/* Around all that follows; returns what is to be given back. CR2 is the guest's. */
static inline u64 words_begin(void)
{
    u64 cr2 = read_cr2();

    user_begin();
    return cr2;
}

static inline void words_end(u64 cr2)
{
    user_end();
    if (unlikely(read_cr2() != cr2))
        write_cr2(cr2);
}

/* Has the word's memory mapped; false: there is none. */
bool nested_reach(struct vcpu *v, const u64 *word);

/* At an aligned address below L1's physical-address width: beyond its RAM nothing is mapped. false: there is
 * no memory. */
#define TRY_WORD(v, at, access, ...)               \
    do {                                           \
        u64 *word = (u64 *)(VM_BASE + (at));       \
                                                   \
        do {                                       \
            if (likely(access(word, __VA_ARGS__))) \
                return true;                       \
        } while (nested_reach((v), word));         \
        return false;                              \
    } while (0)

static inline bool word_load(struct vcpu *v, gpa_t at, u64 *value)
{
    TRY_WORD(v, at, user_load, value);
}

static inline bool word_store(struct vcpu *v, gpa_t at, u64 value)
{
    TRY_WORD(v, at, user_store, value);
}

static inline bool word_or(struct vcpu *v, gpa_t at, u64 bits)
{
    TRY_WORD(v, at, user_or, bits);
}

static inline bool word_and(struct vcpu *v, gpa_t at, u64 bits)
{
    TRY_WORD(v, at, user_and, bits);
}

static inline bool word_replace(struct vcpu *v, gpa_t at, u64 *was, u64 new)
{
    TRY_WORD(v, at, user_replace, was, new);
}

static inline bool word_take(struct vcpu *v, gpa_t at, u64 *was)
{
    TRY_WORD(v, at, user_take, was);
}

/* What has been posted for L2, and more (a vector or NO_VECTOR), is requested of its virtual APIC. */
void nested_take_posted(struct vcpu *v, int more);

#endif
