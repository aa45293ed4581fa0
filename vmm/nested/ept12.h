/* SPDX-License-Identifier: MIT */
/*
 * L1's EPT for L2 as a CPU walks it: SDM 326019, 'The Extended Page Table Mechanism (EPT)'. Pure logic:
 * entries are read, and their flags set, through callbacks.
 */
#ifndef VMM_NESTED_EPT12_H
#define VMM_NESTED_EPT12_H

#include "lib/types.h"

struct ept12 {
    u64 eptp; /* as VM entry has accepted it: 4 levels */
    u64 caps; /* IA32_VMX_EPT_VPID_CAP of the CPU that L1 sees */
    u32 maxphyaddr;
    void *ctx;
    /* An entry in L1's memory; where there is none it reads as ones. */
    u64 (*read)(void *ctx, gpa_t gpa1);
    /* Sets an entry to new if it still is old, atomically; ERR_BUSY when it is not. */
    int (*update)(void *ctx, gpa_t gpa1, u64 old, u64 new);
};

enum ept12_outcome {
    EPT12_OK,
    EPT12_VIOLATION,
    EPT12_MISCONFIG,
    EPT12_BUSY, /* entries kept changing under it: repeat */
};

struct ept12_result {
    gpa_t gpa1; /* of the address asked for */
    u64 size;   /* of the page: 4 KiB, 2 MiB or 1 GiB */
    u64 rights; /* EPT_READ, EPT_WRITE, EPT_EXEC: those that all entries on the way give */
    bool ipat;  /* the leaf says that the guest's PAT is ignored */
    bool clean; /* the leaf's dirty flag is on, and counts, and is 0 */
};

/*
 * access: EPT_READ, EPT_WRITE, EPT_EXEC, one or more. After EPT12_VIOLATION rights are those of the exit
 * qualification, bits 5:3. Accessed and dirty flags are set if the EPT pointer asks for them and the access
 * is allowed.
 */
enum ept12_outcome ept12_walk(const struct ept12 *e, gpa_t gpa2, u64 access, struct ept12_result *out);

#endif
