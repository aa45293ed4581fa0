/* SPDX-License-Identifier: MIT */
#include "vmm/audit.h"
#include "arch/x86/asm.h"
#include "arch/x86/layout.h"
#include "arch/x86/paging.h"
#include "arch/x86/pool.h"
#include "arch/x86/trap.h"
#include "lib/log.h"

struct audit {
    const struct vm *vm; /* whose space it is; null for Nidus's own */
    u64 leaves, exec, direct_bytes, ram_bytes;
};

/* SDM, 'Paging': a leaf is executable unless NX is set. */
static void check_shared(struct audit *a, u64 va, u64 entry, u64 size)
{
    bool exec = !(entry & PTE_NX);

    a->leaves++;
    a->exec += exec;
    if (entry & PTE_U)
        panic("page tables: 0x%lx is a user page", va);
    if (exec && ((entry & PTE_W) || va < IMAGE_BASE))
        panic("page tables: 0x%lx is executable and %s", va, entry & PTE_W ? "writable" : "not of the image");
    if (va < VMAP_BASE)
        a->direct_bytes += size;
}

static bool is_guest_memory(const struct vm *vm, paddr_t pa, u64 size)
{
    for (u32 i = 0; i < vm->ram.nr; i++) {
        const struct vm_extent *e = &vm->ram.at[i];

        if (pa < e->pa + e->size && e->pa < pa + size)
            return true;
    }
    return false;
}

/* In the lower half each page is the VM's RAM at its own place. */
static void check_ram(struct audit *a, u64 va, u64 entry, u64 size)
{
    const u64 wanted = PTE_U | PTE_W | PTE_NX;
    gpa_t gpa = va - VM_BASE;

    for (u32 i = 0; i < a->vm->ram.nr; i++) {
        const struct vm_extent *e = &a->vm->ram.at[i];

        if (gpa - e->gpa >= e->size)
            continue;
        if ((entry & PTE_ADDR) != e->pa + (gpa - e->gpa) || (entry & wanted) != wanted)
            break;
        a->ram_bytes += size;
        return;
    }
    panic("page tables of %s: 0x%lx maps what is not its RAM (entry 0x%lx)", a->vm->config->name, va, entry);
}

static void visit(void *ctx, u64 va, u64 entry, u64 size)
{
    struct audit *a = ctx;

    if (va < DIRECT_BASE) {
        if (!a->vm || va < VM_BASE)
            panic("page tables: 0x%lx is mapped, in the half that belongs to VMs", va);
        check_ram(a, va, entry, size);
        return;
    }
    check_shared(a, va, entry, size);
    if (a->vm && is_guest_memory(a->vm, entry & PTE_ADDR, size))
        panic("page tables: 0x%lx maps memory of %s", va, a->vm->config->name);
}

void audit_base(void)
{
    struct audit a = {0};
    u64 cr4 = read_cr4();

    paging_walk(paging_base_cr3(), visit, &a);
    if (a.direct_bytes != pool_chunk_bytes())
        panic("page tables: the direct map covers %lu KiB, the pool has %lu KiB", a.direct_bytes >> 10,
              pool_chunk_bytes() >> 10);
    log_debug(
        "page tables: %lu leaves, %lu of them executable, direct map %lu KiB, W^X kept, null page unmapped, "
        "NX%s%s%s",
        a.leaves, a.exec, a.direct_bytes >> 10, cr4 & CR4_SMEP ? ", SMEP" : "",
        cr4 & CR4_SMAP ? ", SMAP" : "", read_cr0() & CR0_WP ? ", WP" : "");
}

void audit_vm(const struct vm *vm)
{
    struct audit a = {.vm = vm};

    paging_walk(vm->space, visit, &a);
    log_debug("%s: page tables: %lu KiB of its RAM in its own space and nowhere else", vm->config->name,
              a.ram_bytes >> 10);
}
