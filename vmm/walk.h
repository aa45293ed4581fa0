/* SPDX-License-Identifier: MIT */
/*
 * Linear to guest-physical translation as the guest's CPU does it: 32-bit, PAE, 4-level and 5-level paging.
 * SDM 325462, chapter 'Paging'. Pure logic: page tables are read and their flags set through callbacks.
 */
#ifndef VMM_WALK_H
#define VMM_WALK_H

#include "lib/types.h"

struct walk_ctx {
    u64 cr0, cr3, cr4, efer;
    u32 pkru, pkrs;   /* looked at only with CR4.PKE and CR4.PKS */
    u32 cpl;          /* 0 to 3 */
    u32 maxphyaddr;   /* the guest's, 32 to 52 bits */
    bool ac;          /* RFLAGS.AC */
    bool page1g;      /* the guest's CPUID has 1 GiB pages */
    const u64 *pdpte; /* the four PDPTE registers; null: PAE paging reads them from memory */
    void *ctx;        /* for the callbacks */
    /* size: 4 or 8 bytes, aligned; the value is zero-extended. Not OK: there is no memory. */
    int (*read)(void *ctx, gpa_t gpa, u32 size, u64 *value);
    /*
     * Sets an entry to new if it still is old (as one atomic access); OK, ERR_BUSY when it is not, or what
     * read gives. May be null: then accessed and dirty flags stay as they are.
     */
    int (*update)(void *ctx, gpa_t gpa, u32 size, u64 old, u64 new);
};

/* Kind of access. */
#define WALK_READ     0u
#define WALK_WRITE    BIT(0)
#define WALK_FETCH    BIT(1)
#define WALK_TABLE    BIT(3) /* for vcpu_physical() of vmm/mmio_host.h: to a paging-structure entry */
#define WALK_IMPLICIT BIT(2) /* an implicit supervisor access (descriptor tables, TSS), whatever the CPL */

/* What the translation is, also to be told to vcpu_physical(). The bits are those of the exit qualification
 * for EPT violations. Without paging: user mode, writable. */
#define WALK_PAGE_USER  BIT(9)
#define WALK_PAGE_WRITE BIT(10)
#define WALK_PAGE_NX    BIT(11)

/* Error code of a page fault. */
#define PF_PRESENT  BIT(0)
#define PF_WRITE    BIT(1)
#define PF_USER     BIT(2)
#define PF_RESERVED BIT(3)
#define PF_FETCH    BIT(4)
#define PF_KEY      BIT(5)

struct walk_result {
    gpa_t gpa;      /* of the address asked for; after ERR_RANGE, of the entry */
    u64 page_size;  /* 4 KiB, 2 MiB, 4 MiB or 1 GiB; 4 KiB without paging */
    u32 error_code; /* after ERR_FAULT */
    u32 page;       /* WALK_PAGE_* */
};

/*
 * ERR_FAULT: page fault. ERR_RANGE: a paging-structure entry lies where read or update finds no memory.
 * ERR_BUSY: entries kept changing under it. gva must be canonical with 4-level and 5-level paging, and is
 * taken modulo 4 GiB otherwise. Flags are set only when the access is allowed.
 */
int walk(const struct walk_ctx *w, gva_t gva, u32 access, struct walk_result *out);

/* Whether the CPU takes these PDPTEs: SDM, 'Loading Paging-Structure Entries for PAE Paging'. */
bool walk_pdptes_good(const u64 pdpte[4], u32 maxphyaddr);

#endif
