/* SPDX-License-Identifier: MIT */
/* Tables of VMCSs that VM entry must refuse: each row spoils a good one. */
#ifndef GUEST_L1_SPOIL_H
#define GUEST_L1_SPOIL_H

#include "guest/l1/l1.h"

struct change {
    u64 field, keep, set; /* field becomes (field & keep) | set */
};

#define SET(field, bits)   \
    {                      \
        field, ~0ull, bits \
    }
#define CLEAR(field, bits)     \
    {                          \
        field, ~(u64)(bits), 0 \
    }
#define PUT(field, value) \
    {                     \
        field, 0, value   \
    }

#define NON_CANONICAL 0x800000000000ull

struct spoil {
    const char *what;
    bool applies; /* to this CPU */
    struct change changes[4];
    u64 qualification; /* of a failure due to guest state */
};

/* Each row must end like that: ENTRY_FAILURE | reason, or NO_ENTRY | error. */
void spoil_all(const struct spoil *rows, u32 n, u32 wanted);

#endif
