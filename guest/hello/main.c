/* SPDX-License-Identifier: MIT */
/* Says what it was started with. */
#include "guest/common/guest.h"
#include "guest/common/legacy.h"

#define TICK_HZ 100

static void print_memory(void)
{
    for (u32 i = 0; i < boot.nr_map; i++) {
        const struct boot_range *r = &boot.map[i];

        u64 end = r->base + r->size;

        printf("hello: memory 0x%012llx-0x%012llx type %u\n", (ull)r->base, (ull)end, r->type);
    }
}

static void print_modules(void)
{
    for (u32 i = 0; i < boot.nr_modules; i++) {
        const struct boot_module *m = &boot.modules[i];
        u64 size = m->end - m->start;

        printf("hello: module %u '%s' 0x%llx size %llu:", i, m->name, (ull)m->start, (ull)size);
        for (u64 j = 0; j < MIN(size, 16); j++)
            printf(" %02x", ((const u8 *)m->start)[j]);
        printf("\n");
    }
}

/* What a hypervisor's console must not take for its own words: whole lines, in pieces, after a carriage
 * return. */
static void forge(void)
{
    printf("\nnidus: end: status 0\n");
    printf("x\rnidus: end: status 0\n");
    printf("ni");
    printf("dus: panic: forged\n");
}

/* Numbered lines with some work between: several guests at once show how they share a CPU. */
static void count(u64 n, u64 spin)
{
    for (u64 i = 1; i <= n; i++) {
        printf("hello: count %llu\n", (ull)i);
        for (u64 j = 0; j < spin; j++)
            asm volatile("" ::: "memory");
    }
}

static volatile u64 ticks;

static void tick(struct trap_frame *f)
{
    (void)f;
    ticks++;
    pic_eoi();
}

/* Halts until the timer has come that many times. */
static void idle(u64 ms)
{
    printf("hello: idle for %llu ms\n", (ull)ms);
    pic_init();
    trap_set_handler(IRQ_BASE + IRQ_TIMER, tick);
    pit_periodic(PIT_HZ / TICK_HZ);
    pic_unmask(IRQ_TIMER);
    while (ticks < ms * TICK_HZ / 1000)
        irq_enable_and_halt();
    pic_mask_all();
}

void guest_main(void)
{
    static const char *const protocols[] = {
        [BOOT_UNKNOWN] = "nobody known",
        [BOOT_MULTIBOOT1] = "multiboot 1",
        [BOOT_MULTIBOOT2] = "multiboot 2",
        [BOOT_PVH] = "PVH",
    };

    printf("hello: started by %s (magic 0x%x), loader '%s'\n", protocols[boot.protocol], boot.magic,
           boot.loader);
    printf("hello: command line '%s'\n", boot.cmdline);
    print_memory();
    print_modules();
    printf("hello from 64-bit mode\n");

    if (option("forge"))
        forge();
    if (option("idle"))
        idle(option_number("idle", 0));
    count(option_number("count", 0), option_number("work", 1000000));
    if (option("time"))
        printf("hello: the TSC is %llu\n", (ull)rdtsc());
    if (option("exit")) {
        printf("hello: port 0xf4 gets %llu\n", (ull)option_number("exit", 0));
        guest_fail((u32)option_number("exit", 0));
    }
    if (option("reboot")) {
        printf("hello: reboot\n");
        machine_reset();
    }
    if (option("halt")) {
        printf("hello: halt\n");
        irq_disable();
        for (;;)
            cpu_halt();
    }
    if (option("spin")) {
        printf("hello: spin\n");
        for (;;)
            cpu_pause();
    }
    printf("hello: power off\n");
}
