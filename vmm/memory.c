/* SPDX-License-Identifier: MIT */
/*
 * Guest RAM. Its memory is taken when the VM starts; each piece is scrubbed, and mapped for the guest and in
 * the VM's own host address space, when it is first touched. The guest may release pieces and have new memory
 * there later.
 */
#include "arch/x86/asm.h"
#include "arch/x86/cpu.h"
#include "arch/x86/layout.h"
#include "arch/x86/paging.h"
#include "arch/x86/trap.h"
#include "arch/x86/vmx.h"
#include "lib/string.h"
#include "vmm/vmm.h"

#define PIECE MiB(2)
/* The VGA window. Behind it is RAM that no memory map tells of: software looks for ROMs there, byte by byte.
 */
#define NOT_RAM     GUEST_LOW_RAM_END
#define NOT_RAM_END 0xc0000ull
#define HIGH_START  GiB(4)

static paddr_t table_alloc(void *ctx)
{
    void *p = pool_alloc(&((struct vm *)ctx)->owner, 1);

    return p ? pool_pa(p) : EPT_NO_TABLE;
}

static void table_free(void *ctx, paddr_t pa)
{
    pool_free(&((struct vm *)ctx)->owner, pool_va(pa), 1);
}

static u64 *table_access(void *ctx, paddr_t pa)
{
    (void)ctx;
    return pool_va(pa);
}

static const struct ept_ops ept_ops = {table_alloc, table_free, table_access};

static bool add_extent(struct vm *vm, gpa_t gpa, u64 size)
{
    u64 align = size >= GiB(1) ? GiB(1) : size >= PIECE ? PIECE : PAGE_SIZE;
    paddr_t pa;

    pa = frames_alloc(&vm->owner, size, align, 0);
    if (pa == FRAME_NONE && align > PIECE)
        pa = frames_alloc(&vm->owner, size, PIECE, 0);
    if (pa == FRAME_NONE)
        return false;
    if (extents_add(&vm->ram, (struct vm_extent){gpa, pa, size}) == OK)
        return true;
    frames_free(&vm->owner, pa, size);
    return false;
}

/* As few extents as the machine's free memory allows; each but the last is a multiple of 2 MiB. */
static int add_range(struct vm *vm, gpa_t gpa, u64 size)
{
    u64 chunk = size;

    while (size) {
        chunk = MIN(chunk, size);
        if (add_extent(vm, gpa, chunk)) {
            gpa += chunk;
            size -= chunk;
        } else if (chunk > PIECE) {
            chunk = ALIGN_UP(chunk / 2, PIECE);
        } else {
            return ERR_NOMEM;
        }
    }
    return OK;
}

int vm_memory_init(struct vm *vm)
{
    u64 low = MIN(vm->memory, GUEST_PCI_HOLE);
    u32 maxphyaddr = cpuid(0x80000008, 0).eax & 0xff;

    if (add_range(vm, 0, low) || add_range(vm, HIGH_START, vm->memory - low))
        return ERR_NOMEM;
    vm->space = paging_new_space(&vm->owner);
    if (!vm->space || ept_init(&vm->ept, &ept_ops, vm, vmx_caps.ept_vpid, maxphyaddr))
        return ERR_NOMEM;
    vm->eptp = ept_pointer(&vm->ept);
    return OK;
}

void vm_memory_free(struct vm *vm)
{
    struct vmm_cpu *c = this_vmm_cpu();

    if (c->space == vm)
        vm_use_space(NULL);
    if (vm->eptp)
        ept_destroy(&vm->ept);
    paging_free_space(&vm->owner, vm->space);
    for (u32 i = 0; i < vm->ram.nr; i++)
        frames_free(&vm->owner, vm->ram.at[i].pa, vm->ram.at[i].size);
    vm->ram.nr = 0;
}

void vm_use_space(struct vm *vm)
{
    struct vmm_cpu *c = this_vmm_cpu();

    if (c->space == vm)
        return;
    c->space = vm;
    write_cr3(vm ? vm->space : paging_base_cr3());
}

/*
 * The 2 MiB around gpa, cut to the part of the configured RAM that it is in; false: it is in none. Extents
 * end where this does, or between two pieces.
 */
static bool piece_around(const struct vm *vm, gpa_t gpa, gpa_t *start, gpa_t *end)
{
    u64 low = MIN(vm->memory, GUEST_PCI_HOLE);
    gpa_t first = 0, last = NOT_RAM;

    if (gpa >= HIGH_START) {
        first = HIGH_START;
        last = HIGH_START + (vm->memory - low);
    } else if (gpa >= NOT_RAM) {
        first = NOT_RAM_END;
        last = low;
    }
    *start = MAX(ALIGN_DOWN(gpa, PIECE), first);
    *end = MIN(ALIGN_DOWN(gpa, PIECE) + PIECE, last);
    return gpa >= first && gpa < last;
}

bool vm_may_be_ram(const struct vm *vm, gpa_t gpa)
{
    gpa_t start, end;

    return piece_around(vm, gpa, &start, &end);
}

/* Through a window, page by page: the memory must be clean before anyone can reach it where it belongs. */
void vm_scrub(paddr_t pa, u64 size)
{
    u32 cpu = this_cpu()->id;

    for (u64 at = 0; at < size; at += PAGE_SIZE)
        memset(window_open(cpu, WINDOW_ZERO, pa + at), 0, PAGE_SIZE);
    window_close(cpu, WINDOW_ZERO);
}

static int map_piece(struct vm *vm, const struct vm_extent *e, gpa_t start, u64 size)
{
    paddr_t pa = e->pa + (start - e->gpa);
    int r;

    vm_scrub(pa, size);
    r = paging_map(&vm->owner, vm->space, VM_BASE + start, pa, size, MAP_WRITE | MAP_USER);
    return r ? r : ept_map(&vm->ept, start, pa, size, EPT_RWX, EPT_WB);
}

int vm_populate(struct vm *vm, gpa_t gpa)
{
    gpa_t start, end;
    int r = OK;

    if (!piece_around(vm, gpa, &start, &end))
        return ERR_RANGE;
    vm_use_space(vm);
    spin_lock(&vm->mem_lock);
    if (!ept_lookup(&vm->ept, gpa, NULL)) {
        const struct vm_extent *e = extents_find(&vm->ram, gpa);

        r = e ? map_piece(vm, e, start, end - start) : ERR_RANGE;
    }
    spin_unlock(&vm->mem_lock);
    return r;
}

/* b may be empty. */
static bool overlap(u64 a, u64 a_end, u64 b, u64 b_end)
{
    return b < b_end && a < b_end && b < a_end;
}

const char *vm_map_device(struct vm *vm, paddr_t pa, u64 size)
{
    u64 end = pa + size, low = MIN(vm->memory, GUEST_PCI_HOLE);

    if (pa < NOT_RAM || overlap(pa, end, NOT_RAM_END, low) ||
        overlap(pa, end, HIGH_START, HIGH_START + vm->memory - low))
        return "the VM has RAM there";
    switch (ept_map(&vm->ept, pa, pa, size, EPT_RW, EPT_UC)) {
    case OK:
        return NULL;
    case ERR_NOMEM:
        return "no memory";
    default:
        return "it is beyond the machine's physical addresses";
    }
}

int vm_memory_take(struct vm *vm, struct vm_extent *piece, paddr_t *tables)
{
    int r;

    spin_lock(&vm->mem_lock);
    r = extents_cut(&vm->ram, piece);
    if (r == OK) {
        r = ept_unmap(&vm->ept, piece->gpa, piece->size);
        if (r)
            extents_add(&vm->ram, *piece);
    }
    if (r == OK) {
        paging_unmap(vm->space, VM_BASE + piece->gpa, piece->size);
        *tables = ept_take_garbage(&vm->ept);
    }
    spin_unlock(&vm->mem_lock);
    return r;
}

void vm_memory_settle(struct vm *vm, const struct vm_extent *piece, paddr_t tables, bool put_back)
{
    spin_lock(&vm->mem_lock);
    ept_free_garbage(&vm->ept, tables);
    if (put_back)
        extents_add(&vm->ram, *piece);
    else
        frames_free(&vm->owner, piece->pa, piece->size);
    spin_unlock(&vm->mem_lock);
}

/* None of it has been mapped, and its end is not there: from behind no extent becomes two. */
static void drop_range(struct vm *vm, gpa_t gpa, u64 size)
{
    for (u64 at = size; at; at -= PIECE) {
        struct vm_extent piece = {.gpa = gpa + at - PIECE, .size = PIECE};

        if (extents_cut(&vm->ram, &piece) == OK)
            frames_free(&vm->owner, piece.pa, piece.size);
    }
}

int vm_memory_add(struct vm *vm, gpa_t gpa, u64 size)
{
    int r = ERR_EXIST;

    spin_lock(&vm->mem_lock);
    if (!extents_overlap(&vm->ram, gpa, size)) {
        r = add_range(vm, gpa, size);
        if (r)
            drop_range(vm, gpa, size);
    }
    spin_unlock(&vm->mem_lock);
    return r;
}

/* Copies piece by piece; a fault means that the piece has not been touched yet. CR2 is the guest's: it is put
 * back. */
static int guest_access(struct vm *vm, gpa_t gpa, void *buf, u64 n, bool write)
{
    u64 cr2 = read_cr2();

    vm_use_space(vm);
    while (n) {
        void *guest = (void *)(VM_BASE + gpa);
        gpa_t start, end;
        u64 step;

        if (!piece_around(vm, gpa, &start, &end))
            return ERR_RANGE;
        step = MIN(n, end - gpa);
        if (write ? user_copy(guest, buf, step) : user_copy(buf, guest, step)) {
            int r = vm_populate(vm, gpa);

            write_cr2(cr2);
            if (r)
                return r;
            continue;
        }
        gpa += step;
        buf = (u8 *)buf + step;
        n -= step;
    }
    return OK;
}

int guest_read(struct vm *vm, gpa_t gpa, void *to, u64 n)
{
    return guest_access(vm, gpa, to, n, false);
}

int guest_write(struct vm *vm, gpa_t gpa, const void *from, u64 n)
{
    return guest_access(vm, gpa, (void *)from, n, true);
}

/* After a fault. */
COLD static int or_words_anew(struct vm *vm, gpa_t gpa, const struct or_word *words, u32 n, void *to, u64 cr2)
{
    int r = vm_populate(vm, gpa);

    if (r == OK)
        r = user_or_words(to, (const void *)(VM_BASE + gpa), words, n);
    write_cr2(cr2);
    return r;
}

HOT int guest_or_words(struct vm *vm, gpa_t gpa, const struct or_word *words, u32 n, void *to)
{
    u64 cr2 = read_cr2();

    vm_use_space(vm);
    if (likely(!user_or_words(to, (const void *)(VM_BASE + gpa), words, n)))
        return OK;
    return or_words_anew(vm, gpa, words, n, to, cr2);
}

HOT bool guest_write_quickly(gpa_t gpa, u64 value)
{
    if (unlikely(gpa % sizeof(value) || gpa >= VM_LIMIT - VM_BASE))
        return false;
    return store_fixed((u64 *)(VM_BASE + gpa), value);
}
