/* SPDX-License-Identifier: MIT */
#include "arch/x86/paging.h"
#include "arch/x86/asm.h"
#include "arch/x86/cpu.h"
#include "arch/x86/layout.h"
#include "arch/x86/pool.h"
#include "lib/spinlock.h"
#include "lib/string.h"

#define ENTRIES      512
#define UPPER        256 /* first PML4 entry of the shared half */
#define TABLE_ENTRY  (PTE_P | PTE_W)
#define WINDOW_PAGES 16 /* virtual pages per CPU, so that a window's neighbours are never mapped */

extern u8 _image_start[], _text_end[], _rodata_end[], _image_end[];
extern u8 _sealed_start[], _sealed_end[];

static paddr_t base_root;
static struct spinlock lock; /* of the shared half and its two bump pointers */
static u64 vmap_next = VMAP_BASE, stack_next = STACK_BASE;
static u8 first_spare[PAGE_SIZE] __aligned(4096);
static void *spare = first_spare;
static paddr_t image_pa;

static u32 index_at(u64 va, u32 level)
{
    return (va >> (PAGE_SHIFT + 9 * (level - 1))) & (ENTRIES - 1);
}

/* A table may lie in the pool or, the spare one at first, in the image. */
static u64 *table_va(u64 entry)
{
    paddr_t pa = entry & PTE_ADDR;

    if (pa >= image_pa && pa < image_pa + (u64)(_image_end - _image_start))
        return (u64 *)(IMAGE_BASE + (pa - image_pa));
    return pool_va(pa);
}

static paddr_t table_pa(const void *table)
{
    if ((u64)table >= IMAGE_BASE)
        return (u64)table - IMAGE_BASE + image_pa;
    return pool_pa(table);
}

/* The table of the given level (1: page table) that covers va, made where it is missing (without an owner it
 * is not: null). User is allowed in every table of the lower half: the leaf decides. */
static u64 *walk_alloc(struct frame_owner *owner, paddr_t root, u64 va, u32 level)
{
    u64 *table = pool_va(root);

    for (u32 l = 4; l > level; l--) {
        u64 *entry = &table[index_at(va, l)];

        if (!(*entry & PTE_P)) {
            void *new = owner ? pool_alloc(owner, 1) : NULL;

            if (!new)
                return NULL;
            *entry = pool_pa(new) | TABLE_ENTRY | (va < VM_LIMIT ? PTE_U : 0);
        }
        table = table_va(*entry);
    }
    return table;
}

static u64 leaf_bits(u64 prot)
{
    u64 bits = PTE_P | PTE_A | PTE_D | (prot & ~MAP_EXEC);

    return prot & MAP_EXEC ? bits : bits | PTE_NX;
}

int paging_map(struct frame_owner *owner, paddr_t root, u64 va, paddr_t pa, u64 size, u64 prot)
{
    u64 global = root ? 0 : PTE_G;

    if (!root)
        root = base_root;
    while (size) {
        bool large = IS_ALIGNED(va | pa, MiB(2)) && size >= MiB(2);
        u32 level = large ? 2 : 1;
        u64 *table = walk_alloc(owner, root, va, level);
        u64 step = large ? MiB(2) : PAGE_SIZE;

        if (!table)
            return ERR_NOMEM;
        table[index_at(va, level)] = pa | leaf_bits(prot) | global | (large ? PTE_PS : 0);
        va += step;
        pa += step;
        size -= step;
    }
    return OK;
}

void paging_unmap(paddr_t root, u64 va, u64 size)
{
    for (; size; va += MiB(2), size -= MiB(2)) {
        u64 *table = walk_alloc(NULL, root, va, 2);

        if (table)
            table[index_at(va, 2)] = 0;
    }
}

/* The image, by its sections. .text is RX, .rodata R, the rest RW. */
static int map_image(paddr_t image_base)
{
    const struct {
        u8 *start, *end;
        u64 prot;
    } part[] = {
        {_image_start, _text_end, MAP_EXEC},
        {_text_end, _rodata_end, 0},
        {_rodata_end, _image_end, MAP_WRITE},
    };

    for (u32 i = 0; i < ARRAY_SIZE(part); i++) {
        u64 offset = part[i].start - _image_start;

        for (u64 at = 0; at < (u64)(part[i].end - part[i].start); at += PAGE_SIZE) {
            int r = paging_map(&pool_owner, 0, IMAGE_BASE + offset + at, image_base + offset + at, PAGE_SIZE,
                               part[i].prot);
            if (r)
                return r;
        }
    }
    return OK;
}

bool paging_map_chunk(paddr_t base)
{
    u64 va = DIRECT_BASE + base;
    u64 *pml4 = pool_va(base_root);
    u64 *pdpt = table_va(pml4[index_at(va, 4)]);
    u64 *entry = &pdpt[index_at(va, 3)];
    bool used = !(*entry & PTE_P);

    if (used) {
        memset(spare, 0, PAGE_SIZE);
        *entry = table_pa(spare) | TABLE_ENTRY;
    }
    table_va(*entry)[index_at(va, 2)] = base | leaf_bits(MAP_WRITE) | PTE_PS | PTE_G;
    return used;
}

void paging_set_spare(void *page)
{
    spare = page;
}

void paging_init(paddr_t image_base, paddr_t early_base, u64 early_size)
{
    u64 *pml4 = pool_alloc(&pool_owner, 1);
    static const u64 shared_slots[] = {DIRECT_BASE, VMAP_BASE, STACK_BASE, WINDOW_BASE, IMAGE_BASE};

    image_pa = image_base;
    base_root = pool_pa(pml4);
    /* The shared half's PDPTs exist from the start, so that every VM's root can copy them once. */
    for (u32 i = 0; i < ARRAY_SIZE(shared_slots); i++) {
        u64 *entry = &pml4[index_at(shared_slots[i], 4)];

        if (!*entry)
            *entry = pool_pa(pool_alloc(&pool_owner, 1)) | TABLE_ENTRY;
    }
    for (u64 at = 0; at < early_size; at += POOL_CHUNK) {
        if (paging_map_chunk(early_base + at))
            paging_set_spare(pool_alloc(&pool_owner, 1));
    }
    map_image(image_base);
    paging_init_cpu();
    write_cr3(base_root);
}

void paging_seal(void)
{
    for (u8 *va = _sealed_start; va < _sealed_end; va += PAGE_SIZE) {
        u64 *table = walk_alloc(&pool_owner, base_root, (u64)va, 1);

        table[index_at((u64)va, 1)] &= ~(u64)PTE_W;
        invlpg(va);
    }
}

void paging_init_cpu(void)
{
    struct cpuid_regs leaf7 = cpuid(0, 0).eax >= 7 ? cpuid(7, 0) : (struct cpuid_regs){0};
    u64 cr4 = CR4_PAE | CR4_PGE | CR4_MCE | CR4_OSFXSR | CR4_OSXMMEXCPT;

    if (cpuid(1, 0).ecx & BIT(26))
        cr4 |= CR4_OSXSAVE;
    if (leaf7.ebx & BIT(7))
        cr4 |= CR4_SMEP;
    if (leaf7.ebx & BIT(20))
        cr4 |= CR4_SMAP;
    wrmsr(MSR_IA32_EFER, (rdmsr(MSR_IA32_EFER) & EFER_LMA) | EFER_LME | EFER_NXE);
    write_cr4(cr4 & ~(u64)(CR4_SMEP | CR4_SMAP)); /* the early tables may be user pages of a firmware */
    write_cr0(CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG);
    if (base_root)
        write_cr3(base_root);
    write_cr4(cr4);
}

u64 paging_base_cr3(void)
{
    return base_root;
}

paddr_t paging_new_space(struct frame_owner *owner)
{
    u64 *root = pool_alloc(owner, 1);

    if (!root)
        return 0;
    memcpy(root + UPPER, (u64 *)pool_va(base_root) + UPPER, UPPER * sizeof(u64));
    return pool_pa(root);
}

static void free_tables(struct frame_owner *owner, u64 *table, u32 level, u32 nr)
{
    for (u32 i = 0; level > 1 && i < nr; i++) {
        if ((table[i] & PTE_P) && !(table[i] & PTE_PS))
            free_tables(owner, table_va(table[i]), level - 1, ENTRIES);
    }
    pool_free(owner, table, 1);
}

void paging_free_space(struct frame_owner *owner, paddr_t root)
{
    if (root)
        free_tables(owner, pool_va(root), 4, UPPER);
}

void *vmap(paddr_t pa, u64 size, u64 prot)
{
    paddr_t first = ALIGN_DOWN(pa, PAGE_SIZE);
    u64 bytes = ALIGN_UP(pa + size, PAGE_SIZE) - first;
    u64 va;
    int r;

    spin_lock(&lock);
    /* Large pages where the offsets within 2 MiB agree; one page left unmapped between two ranges. */
    va = vmap_next;
    if (bytes >= MiB(2))
        va = ALIGN_UP(va, MiB(2)) + (first & (MiB(2) - 1));
    r = paging_map(&pool_owner, 0, va, first, bytes, prot);
    vmap_next = va + bytes + PAGE_SIZE;
    spin_unlock(&lock);
    return r ? NULL : (void *)(va + (pa - first));
}

u64 stack_alloc(u64 size)
{
    void *pages = pool_alloc(&pool_owner, size / PAGE_SIZE);
    u64 va;
    int r;

    if (!pages)
        return 0;
    spin_lock(&lock);
    va = stack_next + PAGE_SIZE;
    stack_next = va + size;
    r = paging_map(&pool_owner, 0, va, pool_pa(pages), size, MAP_WRITE);
    spin_unlock(&lock);
    return r ? 0 : va + size;
}

static u64 window_va(u32 cpu, u32 slot)
{
    return WINDOW_BASE + ((u64)cpu * WINDOW_PAGES + 2 * slot) * PAGE_SIZE;
}

int window_init_cpu(u32 cpu)
{
    u64 *table;

    spin_lock(&lock);
    table = walk_alloc(&pool_owner, base_root, window_va(cpu, 0), 1);
    spin_unlock(&lock);
    return table ? OK : ERR_NOMEM;
}

static void window_set(u32 cpu, enum window_slot slot, u64 entry)
{
    u64 va = window_va(cpu, slot);
    u64 *table = walk_alloc(&pool_owner, base_root, va, 1);

    table[index_at(va, 1)] = entry;
    invlpg((void *)va);
}

void *window_open(u32 cpu, enum window_slot slot, paddr_t page)
{
    window_set(cpu, slot, (page & PTE_ADDR) | leaf_bits(MAP_WRITE));
    return (void *)window_va(cpu, slot);
}

void window_close(u32 cpu, enum window_slot slot)
{
    window_set(cpu, slot, 0);
}

static void visit_table(u64 *table, u32 level, u64 va, paging_visit *visit, void *ctx)
{
    u64 step = BIT(PAGE_SHIFT + 9 * (level - 1));

    for (u32 i = 0; i < ENTRIES; i++) {
        u64 at = va + i * step;

        if (level == 4 && i >= UPPER)
            at |= 0xffff000000000000;
        if (!(table[i] & PTE_P))
            continue;
        if (level == 1 || (table[i] & PTE_PS))
            visit(ctx, at, table[i], step);
        else
            visit_table(table_va(table[i]), level - 1, at, visit, ctx);
    }
}

void paging_walk(paddr_t root, paging_visit *visit, void *ctx)
{
    visit_table(pool_va(root), 4, 0, visit, ctx);
}
