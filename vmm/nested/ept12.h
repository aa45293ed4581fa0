/* SPDX-License-Identifier: MIT */
/*
 * Walk of the EPT that L1 made for L2 (4 levels), as L1's CPU would do it. SDM 326019, 'The Extended Page
 * Table Mechanism (EPT)'. Pure logic: entries are read, and their flags set, through callbacks.
 */
#ifndef VMM_NESTED_EPT12_H
#define VMM_NESTED_EPT12_H

#include "vmm/ept.h"

/* Kind of access: EPT_READ, EPT_WRITE, EPT_EXEC, and with them */
#define EPT12_USER   BIT(12) /* a fetch from a user-mode linear address */
#define EPT12_PAGING BIT(13) /* made by the CPU to L2's paging structures */

struct ept12_ctx {
    u64 eptp;        /* has passed the checks of VM entry */
    u64 caps;        /* L1's IA32_VMX_EPT_VPID_CAP, of which EPT_CAP_EXECUTE_ONLY, _2M and _1G count */
    u32 maxphyaddr;  /* L1's, 32 to 52 bits */
    bool mode_based; /* mode-based execute control for EPT */
    bool log_full;   /* flags cannot be set */
    void *ctx;       /* for the callbacks */
    /* ERR_RANGE: there is no memory, which reads as all ones. Other errors are the walk's result. */
    int (*read)(void *ctx, gpa_t gpa1, u64 *entry);
    /* Sets an entry to new if it still is old, atomically; ERR_BUSY if it is not. Errors as of read. */
    int (*update)(void *ctx, gpa_t gpa1, u64 old, u64 new);
};

struct ept12_result {
    /* 'Exit Qualification for EPT Violations', bits 6:0; bits 2:0, the kind of access, are always there. */
    u64 qualification;
    gpa_t gpa1;
    u64 page_size; /* 4 KiB, 2 MiB or 1 GiB */
    u64 rights;    /* that all entries give */
    u32 type;      /* of memory, with EPT_IPAT, as ept_map() takes it */
    bool dirty;    /* the leaf's flag; true where flags are not enabled */
    bool marked;   /* it has just become 1 */
};

/*
 * ERR_FAULT: EPT violation. ERR_INVAL: EPT misconfiguration. ERR_BUSY: entries kept changing under it.
 * ERR_NOENT: a flag would have to be set, and log_full. What the callbacks return otherwise. Flags are set
 * only when the access is allowed.
 */
int ept12_walk(const struct ept12_ctx *w, gpa_t gpa2, u64 access, struct ept12_result *out);

#endif
