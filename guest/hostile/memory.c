/* SPDX-License-Identifier: MIT */
/* Writes to all physical addresses, and every kind of instruction on memory that is not there. */
#include "guest/hostile/hostile.h"
#include "guest/common/paging.h"

#define UNBACKED    0xfeb00000u
#define PATTERN(pa) ((pa) ^ 0x5a5a5a5a5a5a5a5aull)

struct access {
    u64 address;
    volatile u8 *p;
};

static void write_page(void *arg)
{
    const struct access *a = arg;

    *(volatile u64 *)a->p = PATTERN(a->address);
    *(volatile u32 *)(a->p + 0xff8) = (u32)a->address;
    *(volatile u16 *)(a->p + 0x80e) = 0xffff;
    *(a->p + 0x7ff) = 0xff;
}

static u64 faults, pages;

static void attack(u64 address)
{
    struct access a = {address, window_map(0, address, PTE_P | PTE_W | PTE_PCD | PTE_PWT)};

    if (address < 0x10000 || (address >= (u64)image_start - PAGE_SIZE && address < (u64)image_end))
        return; /* ourselves, and what the firmware left low for our end */
    pages++;
    if (try_call(write_page, &a) != X_NONE)
        faults++;
    else if (boot_page_is_free(address) && *(volatile u64 *)a.p != PATTERN(address))
        hostile_failed("RAM at 0x%llx lost a write", (ull)address);
}

static void attack_range(u64 from, u64 to, u64 stride)
{
    for (u64 address = from; address < to; address += stride)
        attack(address);
}

/* stride=: below 4 GiB outside of RAM and of the places where devices are, where it is 4 KiB. */
void hostile_wild(void)
{
    u64 stride = ALIGN_UP(option_number("stride", KiB(256)), PAGE_SIZE);
    u32 width = cpuid(0x80000008, 0).eax & 0xff;

    for (u32 i = 0; i < boot.nr_map; i++) {
        if (boot.map[i].base < GiB(512))
            attack_range(boot.map[i].base, MIN(boot.map[i].base + boot.map[i].size, GiB(512)),
                         boot.map[i].size > MiB(64) ? KiB(64) : PAGE_SIZE);
    }
    printf("hostile: map done\n");
    attack_range(0, GiB(4), stride);
    attack_range(0xa0000, MiB(1), PAGE_SIZE);
    attack_range(0xfec00000, 0xff000000, PAGE_SIZE);
    printf("hostile: 4 GiB done\n");
    attack_range(GiB(4), GiB(512), MiB(250) + PAGE_SIZE);
    for (u32 bit = 32; bit < 52; bit++) {
        attack(BIT(bit) - PAGE_SIZE);
        attack(BIT(bit));
    }
    printf("hostile: %llu pages, %llu exceptions, %u address bits\n", (ull)pages, (ull)faults, width);
}

#define MMIO_KINDS(X)                                                             \
    X(load8, "movb (%0), %%al")                                                   \
    X(load16, "movw (%0), %%ax")                                                  \
    X(load64, "movq (%0), %%rax")                                                 \
    X(store8, "movb %%al, (%0)")                                                  \
    X(store16, "movw %%ax, (%0)")                                                 \
    X(store64, "movq %%rax, (%0)")                                                \
    X(store_immediate, "movl $0x1234, (%0)")                                      \
    X(zero_extend, "movzbl (%0), %%eax")                                          \
    X(sign_extend, "movsbq (%0), %%rax")                                          \
    X(add, "addl %%eax, (%0)")                                                    \
    X(or_immediate, "orb $1, (%0)")                                               \
    X(test, "testl %%eax, (%0)")                                                  \
    X(compare, "cmpq $0, (%0)")                                                   \
    X(not, "notl (%0)")                                                           \
    X(locked_increment, "lock incl (%0)")                                         \
    X(exchange, "xchgl %%eax, (%0)")                                              \
    X(compare_exchange, "lock cmpxchgl %%ecx, (%0)")                              \
    X(compare_exchange16, "lock cmpxchg16b (%0)")                                 \
    X(bit_set, "btsl $3, (%0)")                                                   \
    X(shift_double, "shldl $3, %%eax, (%0)")                                      \
    X(multiply, "imull $3, (%0), %%eax")                                          \
    X(scan, "bsfl (%0), %%eax")                                                   \
    X(push, "pushq (%0); popq %%rax")                                             \
    X(pop, "pushq %%rax; popq (%0)")                                              \
    X(rep_stos, "movq %0, %%rdi; movl $16, %%ecx; rep stosl")                     \
    X(rep_movs, "movq %0, %%rdi; leaq 64(%0), %%rsi; movl $16, %%ecx; rep movsb") \
    X(crosses_page, "movl 0xffd(%0), %%eax; movl %%eax, 0xffd(%0)")               \
    X(invlpg, "invlpg (%0)")                                                      \
    X(prefetch, "prefetcht0 (%0)")                                                \
    X(load_gdt_limit, "lgdt (%0)")                                                \
    X(store_idt, "sidt (%0)")                                                     \
    X(clear_cache_line, "clflush (%0)")                                           \
    X(far_call, "lcall *(%0)")                                                    \
    X(stack, "movq %%rsp, %%rcx; movq %0, %%rsp; popq %%rax; movq %%rcx, %%rsp")

#define DEFINE(name, code)                                                               \
    static void mmio_##name(void *p)                                                     \
    {                                                                                    \
        asm volatile(code ::"r"(p) : "rax", "rcx", "rdx", "rsi", "rdi", "memory", "cc"); \
    }
MMIO_KINDS(DEFINE)

static const struct {
    const char *name;
    void (*fn)(void *);
} mmio_kinds[] = {
#define ROW(name, code) {#name, mmio_##name},
    MMIO_KINDS(ROW)};

extern const u8 gdt_pointer[];

/* at=: the address; by default in the PCI hole. kind=: only that one. */
void hostile_mmio(void)
{
    u64 at = option_number("at", UNBACKED);

    for (u32 i = 0; i < ARRAY_SIZE(mmio_kinds); i++) {
        int vector;

        if (option("kind") && !option_is("kind", mmio_kinds[i].name))
            continue;
        vector = try_call(mmio_kinds[i].fn, (void *)at);
        asm volatile("lgdt %0" ::"m"(*gdt_pointer));
        if (vector == X_NONE)
            printf("hostile: mmio %s\n", mmio_kinds[i].name);
        else
            printf("hostile: mmio %s: vector %d\n", mmio_kinds[i].name, vector);
    }
}
