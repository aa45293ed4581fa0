/* SPDX-License-Identifier: MIT */
/*
 * L1's EPT for L2, walked as a CPU does it: 4 levels. SDM 326019, 'The Extended Page Table Mechanism (EPT)'.
 * Pure logic: entries are read and their flags set through callbacks.
 */
#ifndef VMM_NESTED_EPT12_H
#define VMM_NESTED_EPT12_H

#include "lib/types.h"
#include "vmm/ept.h"

struct ept12 {
    u64 eptp;       /* that is good for VM entry; bits 51:12 and bit 6 count */
    u64 caps;       /* L1's IA32_VMX_EPT_VPID_CAP, of which EPT_CAP_EXECUTE_ONLY, _2M and _1G count */
    u32 maxphyaddr; /* L1's, 32 to 52 bits */
    void *ctx;      /* for the callbacks */
    /* An aligned entry of L1's memory. Not OK: there is none, and the entry reads as all ones. */
    int (*read)(void *ctx, gpa_t gpa1, u64 *entry);
    /* Sets an entry to new if it still is old (as one atomic access); ERR_BUSY when it is not. */
    int (*update)(void *ctx, gpa_t gpa1, u64 old, u64 new);
};

/* Kind of access: EPT_READ, EPT_WRITE, EPT_EXEC, one of them at least, and with EPT_READ perhaps: */
#define EPT12_PAGING BIT(3) /* to a guest paging-structure entry */

enum ept12_outcome { EPT12_OK, EPT12_VIOLATION, EPT12_MISCONFIG };

struct ept12_result {
    gpa_t gpa1;        /* of the address asked for */
    u64 size;          /* of the page: 4 KiB, 2 MiB or 1 GiB */
    u64 rights;        /* EPT_READ, EPT_WRITE, EPT_EXEC: what all entries have */
    u64 qualification; /* of an EPT violation: bits 5:0 */
    u32 level;         /* 1 to 3; where it ends otherwise, 4 to 1 */
    u8 type;           /* memory type, as ept_map() takes it */
    bool dirty;        /* the leaf's dirty flag is 1, or there are none: EPTP bit 6 is 0 */
};

/* Flags are set only when the access is allowed. After an EPT violation, level, rights and qualification
 * count, after an EPT misconfiguration level alone. */
enum ept12_outcome ept12_walk(const struct ept12 *t, gpa_t gpa2, u64 access, struct ept12_result *out);

#endif
