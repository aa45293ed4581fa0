/* SPDX-License-Identifier: MIT */
#include "boot/audit.h"
#include "arch/x86/asm.h"
#include "arch/x86/layout.h"
#include "arch/x86/paging.h"
#include "arch/x86/pool.h"
#include "arch/x86/trap.h"
#include "lib/log.h"

struct audit {
    u64 leaves, exec, direct_bytes;
};

/* SDM, 'Paging': a leaf is executable unless NX is set. */
static void visit(void *ctx, u64 va, u64 entry, u64 size)
{
    struct audit *a = ctx;
    bool write = entry & PTE_W, exec = !(entry & PTE_NX);

    a->leaves++;
    a->exec += exec;
    if (write && exec)
        panic("page tables: 0x%lx is writable and executable", va);
    if (va < DIRECT_BASE)
        panic("page tables: 0x%lx is mapped, in the half that belongs to VMs", va);
    if (entry & PTE_U)
        panic("page tables: 0x%lx is a user page", va);
    if (va < VMAP_BASE)
        a->direct_bytes += size;
    if (exec && va < IMAGE_BASE)
        panic("page tables: 0x%lx is executable and not of the image", va);
}

void audit_report(void)
{
    struct audit a = {0};
    u64 cr4 = read_cr4();

    paging_walk(paging_base_cr3(), visit, &a);
    if (a.direct_bytes > pool_owner.peak * PAGE_SIZE)
        panic("page tables: the direct map covers %lu KiB, Nidus's own pages are %lu KiB", a.direct_bytes >> 10,
              pool_owner.peak * PAGE_SIZE >> 10);
    log_debug("page tables: %lu leaves, %lu of them executable, direct map %lu KiB, W^X kept, null page unmapped, "
              "NX%s%s%s",
              a.leaves, a.exec, a.direct_bytes >> 10, cr4 & CR4_SMEP ? ", SMEP" : "", cr4 & CR4_SMAP ? ", SMAP" : "",
              read_cr0() & CR0_WP ? ", WP" : "");
}
