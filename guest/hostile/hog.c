/* SPDX-License-Identifier: MIT */
/* Exits without end: however much of the time is spent outside of the guest, its timer must come when it is
 * due. */
#include "guest/hostile/hostile.h"
#include "guest/common/legacy.h"

#define DUE          (PIT_HZ / 500) /* 2 ms */
#define TOLERANCE    8              /* times what it takes with no exits at all */
#define UNCLAIMED    0xe0
#define STRING_COUNT BIT(30)

static volatile bool ticked, in_string;

static void tick(struct trap_frame *f)
{
    ticked = true;
    if (in_string)
        f->rcx = 0; /* nothing is left to do for it */
    pic_eoi();
}

static void spin(void)
{
    while (!ticked)
        cpu_pause();
}

static void hog_cpuid(void)
{
    while (!ticked)
        cpuid(0, 0);
}

static void hog_port(void)
{
    while (!ticked)
        inb(UNCLAIMED);
}

static void hog_mmio(void)
{
    while (!ticked)
        (void)MMIO(u32, 0xfeb00000);
}

static void hog_rdmsr(void)
{
    while (!ticked)
        rdmsr(MSR_EFER);
}

static void hog_cr8(void)
{
    while (!ticked)
        write_cr8(0);
}

static void hog_string(void)
{
    const u8 *from = image_start;
    u64 n = STRING_COUNT;

    in_string = true;
    asm volatile("rep outsb" : "+S"(from), "+c"(n) : "d"(UNCLAIMED) : "memory");
    in_string = false;
    if (!ticked)
        hostile_failed("the string instruction ended before the timer");
}

static u64 measure(void (*load)(void))
{
    u64 start;

    ticked = false;
    pit_one_shot(DUE);
    start = rdtsc();
    irq_enable();
    load();
    irq_disable();
    return rdtsc() - start;
}

/* kind=: only that one; rounds=N (1): again and again, as a load for the neighbours. */
void hostile_hog(void)
{
    static const struct {
        const char *name;
        void (*load)(void);
    } kinds[] = {
        {"cpuid", hog_cpuid}, {"port", hog_port}, {"mmio", hog_mmio},
        {"rdmsr", hog_rdmsr}, {"cr8", hog_cr8},   {"string", hog_string},
    };
    u64 rounds = option_number("rounds", 1), quiet;

    trap_set_handler(IRQ_BASE + IRQ_TIMER, tick);
    pic_unmask(IRQ_TIMER);
    quiet = measure(spin);
    printf("hostile: hog: %llu ticks without exits\n", (ull)quiet);
    for (u64 n = 0; n < rounds; n++) {
        for (u32 i = 0; i < ARRAY_SIZE(kinds); i++) {
            u64 t;

            if (option("kind") && !option_is("kind", kinds[i].name))
                continue;
            t = measure(kinds[i].load);
            if (!n)
                printf("hostile: hog: %llu ticks with %s\n", (ull)t, kinds[i].name);
            if (rounds == 1 && t > TOLERANCE * quiet)
                hostile_failed("the timer came %llu times too late under %s", (ull)(t / quiet),
                               kinds[i].name);
        }
    }
}
