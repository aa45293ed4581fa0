/* SPDX-License-Identifier: MIT */
/* links: vmm/ept.c vmm/extents.c lib/frames.c */
/* Guest RAM: where it is, when it is mapped, how it goes and comes back, and that no frame is lost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define ARCH_X86_ASM_H
#define ARCH_X86_CPU_H
#include "arch/x86/layout.h"
#include "lib/types.h"
#undef VM_BASE
#define VM_BASE ((u64)ram)

#define MEMORY  MiB(11)
#define MACHINE MiB(32)

struct cpuid_regs {
    u32 eax, ebx, ecx, edx;
};
struct cpu {
    u32 id;
    void *vmm;
};

static u8 *ram;
static u64 cr2, cr3;
static struct cpu *this_cpu(void);

static u64 read_cr2(void)
{
    return cr2;
}

static void write_cr2(u64 value)
{
    cr2 = value;
}

static void write_cr3(u64 value)
{
    cr3 = value;
}

static struct cpuid_regs cpuid(u32 leaf, u32 subleaf)
{
    (void)leaf, (void)subleaf;
    return (struct cpuid_regs){.eax = 46};
}

#include "vmm/memory.c"

struct vmx_caps vmx_caps = {.ept_vpid = EPT_CAP_2M | EPT_CAP_1G};

static struct vmm_cpu state;
static struct cpu cpu = {.vmm = &state};
static struct vm vm;
static void *metadata;
static bool mapped[MEMORY / PAGE_SIZE]; /* in the host's space */
static u64 scrubbed;
static u32 tables_left; /* that there is memory for */

static struct cpu *this_cpu(void)
{
    return &cpu;
}

void *pool_alloc(struct frame_owner *owner, u32 pages)
{
    void *p;

    (void)owner;
    if (!tables_left)
        return NULL;
    tables_left--;
    p = aligned_alloc(PAGE_SIZE, pages * PAGE_SIZE);
    return memset(p, 0, pages * PAGE_SIZE);
}

void pool_free(struct frame_owner *owner, void *p, u32 pages)
{
    (void)owner, (void)pages;
    free(p);
}

paddr_t paging_new_space(struct frame_owner *owner)
{
    (void)owner;
    return 0x5000;
}

void paging_free_space(struct frame_owner *owner, paddr_t root)
{
    (void)owner, (void)root;
}

u64 paging_base_cr3(void)
{
    return 0x1000;
}

int paging_map(struct frame_owner *owner, paddr_t root, u64 va, paddr_t pa, u64 size, u64 prot)
{
    (void)owner, (void)pa, (void)prot;
    assert_int_equal(root, 0x5000);
    for (u64 at = va - VM_BASE; at < va - VM_BASE + size; at += PAGE_SIZE) {
        assert_false(mapped[at / PAGE_SIZE]);
        mapped[at / PAGE_SIZE] = true;
    }
    return OK;
}

void paging_unmap(paddr_t root, u64 va, u64 size)
{
    assert_int_equal(root, 0x5000);
    memset(&mapped[(va - VM_BASE) / PAGE_SIZE], 0, size / PAGE_SIZE);
}

void *window_open(u32 id, enum window_slot slot, paddr_t page)
{
    static u8 window[PAGE_SIZE];

    (void)id, (void)slot, (void)page;
    scrubbed += PAGE_SIZE;
    return window;
}

void window_close(u32 id, enum window_slot slot)
{
    (void)id, (void)slot;
}

static int touch(const void *guest, u64 n)
{
    u64 from = (u64)guest - VM_BASE;

    for (u64 page = from / PAGE_SIZE; page <= (from + n - 1) / PAGE_SIZE; page++) {
        if (page >= ARRAY_SIZE(mapped) || !mapped[page]) {
            cr2 = VM_BASE + page * PAGE_SIZE;
            return ERR_FAULT;
        }
    }
    return OK;
}

int user_copy(void *to, const void *from, u64 n)
{
    bool write = (u64)to - VM_BASE < MEMORY;

    if (touch(write ? to : from, n))
        return ERR_FAULT;
    memcpy(to, from, n);
    return OK;
}

int user_or_words(void *to, const void *base, const struct or_word *words, u32 n)
{
    (void)to, (void)base, (void)words, (void)n;
    return ERR_FAULT;
}

bool store_fixed(u64 *to, u64 value)
{
    u64 before = cr2;

    if (touch(to, sizeof(value))) {
        cr2 = before;
        return false;
    }
    *to = value;
    return true;
}

static int setup(void **s)
{
    (void)s;
    metadata = calloc(1, frames_metadata_size(MACHINE));
    frames_init(metadata, MACHINE);
    frames_add(0, MACHINE);
    ram = aligned_alloc(MiB(2), MiB(12));
    memset(ram, 0, MiB(12));
    memset(&vm, 0, sizeof(vm));
    memset(mapped, 0, sizeof(mapped));
    vm.memory = MEMORY;
    scrubbed = 0;
    tables_left = ~0u;
    state.space = NULL;
    cr2 = 0x77;
    assert_int_equal(vm_memory_init(&vm), OK);
    return 0;
}

static int teardown(void **s)
{
    (void)s;
    assert_int_equal(cr2, 0x77);
    vm_memory_free(&vm);
    assert_int_equal(vm.owner.pages, 0);
    assert_true(frames_available() == MACHINE);
    free(ram);
    free(metadata);
    return 0;
}

static int read_word(gpa_t gpa, u64 *value)
{
    return guest_read(&vm, gpa, value, sizeof(*value));
}

static void test_places(void **s)
{
    static const struct {
        u64 memory;
        gpa_t gpa;
        bool is;
    } rows[] = {
        {MiB(1), 0, true},
        {MiB(1), 0x9ffff, true},
        {MiB(1), 0xa0000, false},
        {MiB(1), 0xbffff, false},
        {MiB(1), 0xc0000, true},
        {MiB(1), MiB(1), false},
        {MiB(1), GiB(4), false},
        {GiB(8), GUEST_PCI_HOLE - 1, true},
        {GiB(8), GUEST_PCI_HOLE, false},
        {GiB(8), GiB(4) - 1, false},
        {GiB(8), GiB(4), true},
        {GiB(8), GiB(12) - GUEST_PCI_HOLE - 1, true},
        {GiB(8), GiB(12) - GUEST_PCI_HOLE, false},
        {GiB(8), ~0ull, false},
        {GiB(8), -VM_LIMIT, false},
    };

    (void)s;
    for (u32 i = 0; i < ARRAY_SIZE(rows); i++) {
        struct vm other = {.memory = rows[i].memory};

        assert_int_equal(vm_may_be_ram(&other, rows[i].gpa), rows[i].is);
    }
}

static void test_populate(void **s)
{
    u64 value;

    (void)s;
    assert_int_equal(scrubbed, 0);
    assert_int_equal(vm_populate(&vm, MiB(4) + 5), OK);
    assert_int_equal(vm_populate(&vm, MiB(6) - 1), OK);
    assert_true(scrubbed == MiB(2));
    assert_true(ept_lookup(&vm.ept, MiB(4), NULL) && !ept_lookup(&vm.ept, MiB(6), NULL));
    assert_int_equal(vm_populate(&vm, MiB(10) + 5), OK); /* half a piece */
    assert_true(scrubbed == MiB(3));
    assert_int_equal(vm_populate(&vm, MEMORY), ERR_RANGE);
    assert_int_equal(vm_populate(&vm, 0xa0000), ERR_RANGE);
    assert_int_equal(read_word(MEMORY - 8, &value), OK);
    assert_int_equal(read_word(MEMORY - 4, &value), ERR_RANGE);
    assert_int_equal(read_word(0xa0000 - 4, &value), ERR_RANGE);
    assert_int_equal(read_word(-VM_BASE, &value), ERR_RANGE);
    assert_int_equal(read_word(~0ull - 3, &value), ERR_RANGE);
}

static void test_device(void **s)
{
    static const struct {
        u64 pa, size;
        const char *why; /* null: none */
    } row[] = {
        {0xa0000, 0x20000, NULL},
        {MEMORY, PAGE_SIZE, NULL},
        {GiB(4) - PAGE_SIZE, 2 * PAGE_SIZE, NULL}, /* this VM has nothing above */
        {0x9f000, 0x1000, "the VM has RAM there"},
        {0, 0x100000, "the VM has RAM there"},
        {0xbf000, 0x2000, "the VM has RAM there"},
        {MEMORY - PAGE_SIZE, 2 * PAGE_SIZE, "the VM has RAM there"},
        {BIT(46) - PAGE_SIZE, 2 * PAGE_SIZE, "it is beyond the machine's physical addresses"},
    };
    struct ept_leaf leaf;

    (void)s;
    for (u32 i = 0; i < ARRAY_SIZE(row); i++) {
        const char *why = vm_map_device(&vm, row[i].pa, row[i].size);

        if (row[i].why) {
            assert_string_equal(why ? why : "nothing", row[i].why);
            continue;
        }
        assert_null(why);
        for (u64 at = row[i].pa; at < row[i].pa + row[i].size; at += PAGE_SIZE) {
            assert_true(ept_lookup(&vm.ept, at, &leaf));
            assert_int_equal(leaf.pa, at);
            assert_int_equal(leaf.entry & (EPT_RWX | 7 << EPT_TYPE_SHIFT), EPT_RW | EPT_UC << EPT_TYPE_SHIFT);
            assert_int_equal(vm_populate(&vm, at), ERR_RANGE); /* to Nidus it is no memory */
        }
    }
}

static void test_across_pieces(void **s)
{
    static u8 text[MiB(5)], back[MiB(5)];

    (void)s;
    for (u32 i = 0; i < sizeof(text); i++)
        text[i] = (u8)(i % 253);
    assert_int_equal(guest_write(&vm, MiB(3) + 7, text, sizeof(text)), OK);
    assert_int_equal(guest_read(&vm, MiB(3) + 7, back, sizeof(back)), OK);
    assert_memory_equal(text, back, sizeof(text));
    assert_true(scrubbed == MiB(8));
}

static void take(struct vm_extent *piece, bool put_back)
{
    paddr_t tables = 0;
    u64 value, free_before = frames_available();

    assert_int_equal(vm_memory_take(&vm, piece, &tables), OK);
    assert_true(frames_available() == free_before); /* not before it is settled */
    assert_false(ept_lookup(&vm.ept, piece->gpa, NULL));
    assert_int_equal(read_word(piece->gpa, &value), ERR_RANGE);
    assert_int_equal(vm_populate(&vm, piece->gpa + piece->size - 1), ERR_RANGE);
    vm_memory_settle(&vm, piece, tables, put_back);
    assert_true(frames_available() == free_before + (put_back ? 0 : piece->size));
}

static void test_release(void **s)
{
    struct vm_extent piece = {.gpa = MiB(4), .size = MiB(4)};
    u64 value = 1;
    paddr_t tables = 0;

    (void)s;
    assert_int_equal(guest_write(&vm, MiB(4), &value, 8), OK); /* the other piece is not mapped */
    assert_int_equal(guest_write(&vm, MiB(4) - 8, &value, 8), OK);
    assert_int_equal(guest_write(&vm, MiB(8), &value, 8), OK);
    take(&piece, false);
    assert_true(piece.size == MiB(4));
    assert_int_equal(read_word(MiB(4) - 8, &value), OK);
    assert_int_equal(read_word(MiB(4) - 4, &value), ERR_RANGE);
    assert_int_equal(read_word(MiB(8), &value), OK);
    piece = (struct vm_extent){.gpa = MiB(4), .size = MiB(2)};
    assert_int_equal(vm_memory_take(&vm, &piece, &tables), ERR_RANGE);
    assert_int_equal(vm_memory_add(&vm, MiB(2), MiB(4)), ERR_EXIST);
    assert_int_equal(vm_memory_add(&vm, MiB(6), MiB(4)), ERR_EXIST);
    assert_int_equal(vm_memory_add(&vm, MiB(4), MiB(4)), OK);
    scrubbed = 0;
    assert_int_equal(read_word(MiB(4), &value), OK);
    assert_true(scrubbed == MiB(2));
    assert_int_equal(vm.ram.nr, 1); /* the same frames, as nobody took them */
}

static void test_put_back(void **s)
{
    struct vm_extent piece = {.gpa = MiB(2), .size = MiB(2)};
    u64 value;

    (void)s;
    assert_int_equal(vm_populate(&vm, MiB(2)), OK);
    take(&piece, true);
    assert_int_equal(vm.ram.nr, 1);
    scrubbed = 0;
    assert_int_equal(read_word(MiB(2), &value), OK);
    assert_true(scrubbed == MiB(2));
}

/* What is there of it is given back. */
static void test_no_memory(void **s)
{
    struct vm_extent piece = {.gpa = MiB(2), .size = MiB(8)};
    struct frame_owner others = {.name = "others"};
    static paddr_t taken[MACHINE / PAGE_SIZE];
    u64 free_before;
    u32 n = 0;

    (void)s;
    take(&piece, false);
    while (frames_available() > MiB(4))
        taken[n++] = frames_alloc(&others, PAGE_SIZE, PAGE_SIZE, 0);
    free_before = frames_available();
    assert_int_equal(vm_memory_add(&vm, MiB(2), MiB(8)), ERR_NOMEM);
    assert_true(frames_available() == free_before);
    assert_int_equal(vm_populate(&vm, MiB(2)), ERR_RANGE);
    assert_int_equal(vm_memory_add(&vm, MiB(8), MiB(2)), OK);
    assert_int_equal(vm_populate(&vm, MiB(8)), OK);
    while (n)
        assert_int_equal(frames_free(&others, taken[--n], PAGE_SIZE), OK);
}

/* Neither what could not be unmapped is lost, nor the tables that were made in vain. */
static void test_no_memory_for_tables(void **s)
{
    struct vm_extent piece = {.gpa = MiB(4), .size = MiB(4)};
    paddr_t tables = 0;
    u64 before, value = 5, back = 0;

    (void)s;
    vm.ept.caps = 0; /* pages of 4 KiB, which are merged and cut */
    assert_int_equal(guest_write(&vm, MiB(4), &value, 8), OK);
    assert_int_equal(guest_write(&vm, MiB(6), &value, 8), OK);
    vm.ept.caps = vmx_caps.ept_vpid;
    assert_int_equal(ept_protect(&vm.ept, MiB(4), MiB(4), EPT_RWX), OK);
    piece = (struct vm_extent){.gpa = MiB(4) + PAGE_SIZE, .size = MiB(2)};
    before = vm.ept.nr_tables;
    for (u32 i = 0; i < 5; i++) {
        struct vm_extent attempt = piece;

        ept_reclaim(&vm.ept);
        tables_left = 1;
        assert_int_equal(vm_memory_take(&vm, &attempt, &tables), ERR_NOMEM);
        assert_int_equal(tables, 0);
    }
    ept_reclaim(&vm.ept);
    assert_true(vm.ept.nr_tables <= before);
    assert_int_equal(guest_read(&vm, MiB(4), &back, 8), OK);
    assert_int_equal(back, value);
    assert_int_equal(vm.ram.nr, 1);
}

/* What was put behind memory that lies before it, with all the extents that there may be. */
static void test_no_memory_beside_extents(void **s)
{
    struct vm_extent piece = {.gpa = MiB(4), .size = MiB(6)};
    struct frame_owner others = {.name = "others"};
    static paddr_t taken[MACHINE / PAGE_SIZE];
    paddr_t pa = vm.ram.at[0].pa + MiB(4);
    struct extents before;
    u32 n = 0;

    (void)s;
    take(&piece, false);
    /* All that is free is where it was: two pieces. */
    while ((taken[n] = frames_alloc(&others, PAGE_SIZE, PAGE_SIZE, 0)) != FRAME_NONE)
        n++;
    for (u32 i = 0; i < n; i++) {
        if (taken[i] - pa < MiB(4)) {
            assert_int_equal(frames_free(&others, taken[i], PAGE_SIZE), OK);
            taken[i--] = taken[--n];
        }
    }
    before = vm.ram;
    for (u64 i = 0; vm.ram.nr < VM_MAX_EXTENTS; i++)
        assert_int_equal(extents_add(&vm.ram, (struct vm_extent){GiB(8) + 2 * i * PIECE, GiB(9), PIECE}), OK);
    assert_int_equal(vm_memory_add(&vm, MiB(4), MiB(6)), ERR_NOMEM);
    assert_null(extents_find(&vm.ram, MiB(4)));
    assert_null(extents_find(&vm.ram, MiB(6)));
    assert_true(frames_available() == MiB(4));
    vm.ram = before;
    while (n)
        assert_int_equal(frames_free(&others, taken[--n], PAGE_SIZE), OK);
}

/* Where RAM has been touched, and nowhere else. */
static void test_quick_writes(void **state)
{
    u64 value = 0;

    (void)state;
    assert_false(guest_write_quickly(MiB(4), 7));
    assert_int_equal(vm_populate(&vm, MiB(4)), OK);
    assert_true(guest_write_quickly(MiB(4) + 8, 7));
    assert_int_equal(guest_read(&vm, MiB(4) + 8, &value, 8), OK);
    assert_int_equal(value, 7);
    assert_false(guest_write_quickly(MiB(4) + 4, 7));
    assert_false(guest_write_quickly(VM_LIMIT - VM_BASE, 7));
    assert_false(guest_write_quickly(~7ull, 7));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_places),
        cmocka_unit_test_setup_teardown(test_populate, setup, teardown),
        cmocka_unit_test_setup_teardown(test_across_pieces, setup, teardown),
        cmocka_unit_test_setup_teardown(test_device, setup, teardown),
        cmocka_unit_test_setup_teardown(test_release, setup, teardown),
        cmocka_unit_test_setup_teardown(test_put_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_memory_for_tables, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_memory_beside_extents, setup, teardown),
        cmocka_unit_test_setup_teardown(test_quick_writes, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
