/* SPDX-License-Identifier: MIT */
/*
 * Extended page tables (4 levels) as plain data behind a seam: nothing here runs INVEPT or knows where tables
 * lie. SDM 326019, 'The Extended Page Table Mechanism (EPT)'. The caller holds a lock of its own around every
 * call; other CPUs may translate through the tables meanwhile.
 */
#ifndef VMM_EPT_H
#define VMM_EPT_H

#include "lib/types.h"
#include "arch/x86/vmx_bits.h"

#define EPT_READ  BIT(0)
#define EPT_WRITE BIT(1)
#define EPT_EXEC  BIT(2)
#define EPT_RW    (EPT_READ | EPT_WRITE)
#define EPT_RWX   (EPT_READ | EPT_WRITE | EPT_EXEC)
/* With mode-based execute control: fetches from user-mode linear addresses. EPT_EXEC is for the others then.
 */
#define EPT_EXEC_USER BIT(10)

/* Memory type of a leaf, as ept_map() takes it; EPT_IPAT may be added (the guest's PAT is then ignored). */
#define EPT_UC   0u
#define EPT_WC   1u
#define EPT_WT   4u
#define EPT_WP   5u
#define EPT_WB   6u
#define EPT_IPAT 8u

/* Bits of an entry. */
#define EPT_TYPE_SHIFT 3
#define EPT_LARGE      BIT(7)
#define EPT_ACCESSED   BIT(8)
#define EPT_DIRTY      BIT(9)
#define EPT_ADDR       BITS(51, 12)

#define EPT_NO_TABLE (~(paddr_t)0)
#define EPT_GPA_BITS 48

struct ept_ops {
    paddr_t (*alloc)(void *ctx);           /* a zeroed frame, not frame 0; EPT_NO_TABLE if there is none */
    void (*free)(void *ctx, paddr_t pa);   /* one that alloc gave */
    u64 *(*access)(void *ctx, paddr_t pa); /* its 512 entries; valid until the next call of any of these */
};

struct ept {
    paddr_t root;
    const struct ept_ops *ops;
    void *ctx;
    u64 caps;
    u32 maxphyaddr;
    bool mode_based; /* EPT_EXEC_USER is a right; not to change while anything is mapped */
    u64 nr_tables;   /* frames held, the root and those that wait for ept_reclaim() included */
    /*
     * Something that a CPU may have cached has changed. Run INVEPT for eptp on every CPU that used it, and
     * then call ept_reclaim(), before counting on the change.
     */
    bool stale;
    paddr_t garbage; /* tables no longer linked, which a CPU's paging-structure caches may still point to */
};

struct ept_leaf {
    gpa_t gpa;  /* start of the page */
    paddr_t pa; /* where the page starts (ept_lookup: where the address asked for lies) */
    u64 size;   /* 4 KiB, 2 MiB or 1 GiB */
    u64 entry;  /* as it is in the table */
    u32 level;  /* 1, 2 or 3 */
};

/* caps: IA32_VMX_EPT_VPID_CAP, of which EPT_CAP_EXECUTE_ONLY, _2M, _1G and _ACCESSED_DIRTY count; maxphyaddr:
 * physical address width, 32 to 52 bits. ERR_NOMEM. */
int ept_init(struct ept *ept, const struct ept_ops *ops, void *ctx, u64 caps, u32 maxphyaddr);
/* Frees every table. No CPU may be using them. */
void ept_destroy(struct ept *ept);

/*
 * Maps size bytes at gpa to pa with the largest pages possible, then merges with neighbours where a whole
 * aligned run is contiguous with equal rights and type. ERR_INVAL: not page-aligned, empty, or rights or type
 * that the CPU cannot have (EPT misconfiguration); ERR_RANGE: beyond 48 bits of gpa or the physical address
 * width; ERR_EXIST: a part is mapped already; ERR_NOMEM. After an error the mapping is what it was before.
 */
int ept_map(struct ept *ept, gpa_t gpa, paddr_t pa, u64 size, u64 rights, u32 type);

/*
 * Unmaps, or gives other rights to, what is mapped in the range; holes in it are no error. Large pages that
 * are partly in it are split. Errors as of ept_map(); after one the mapping is what it was before.
 */
int ept_unmap(struct ept *ept, gpa_t gpa, u64 size);
int ept_protect(struct ept *ept, gpa_t gpa, u64 size, u64 rights);

/* False where nothing is mapped. out may be null. */
bool ept_lookup(const struct ept *ept, gpa_t gpa, struct ept_leaf *out);
/* In order of gpa. */
void ept_for_each_leaf(const struct ept *ept, void (*fn)(void *ctx, const struct ept_leaf *leaf), void *ctx);

/* After INVEPT: frees the tables that were waiting for it and clears stale. */
void ept_reclaim(struct ept *ept);
/* The same in two steps, for where the EPT may change before INVEPT is done: the tables, taken before it, and
 * freed afterwards. */
paddr_t ept_take_garbage(struct ept *ept);
void ept_free_garbage(struct ept *ept, paddr_t tables);

/* The value of the VMCS field EPT pointer: write-back tables, accessed and dirty flags if the CPU has them.
 */
u64 ept_pointer(const struct ept *ept);

#endif
