/* SPDX-License-Identifier: MIT */
#include "arch/x86/smp.h"
#include "arch/x86/apic.h"
#include "arch/x86/asm.h"
#include "arch/x86/cpu.h"
#include "arch/x86/paging.h"
#include "arch/x86/pool.h"
#include "arch/x86/time.h"
#include "lib/log.h"
#include "lib/string.h"

/* The words that the trampoline reads, at its end; see trampoline.S. */
struct trampoline_args {
    u64 cr3, stack, entry;
};

extern u8 trampoline_start[], trampoline_end[], trampoline_args[];

static struct cpu *starting;
static bool (*ap_prepare)(void);
static void (*ap_main)(void);

enum { OFFLINE, ONLINE, OF_NO_USE };

/* First C code of an application processor, on its own stack with the trampoline's tables. */
static void __noreturn ap_entry(void)
{
    struct cpu *c = starting;

    paging_init_cpu();
    cpu_load(c);
    apic_init_cpu();
    if (!ap_prepare()) {
        __atomic_store_n(&c->online, OF_NO_USE, __ATOMIC_RELEASE);
        for (;;)
            cpu_halt();
    }
    __atomic_store_n(&c->online, ONLINE, __ATOMIC_RELEASE);
    ap_main();
    __builtin_unreachable();
}

static u32 wait_online(struct cpu *c, u64 us)
{
    u64 from = rdtsc();
    u32 online;

    while (!(online = __atomic_load_n(&c->online, __ATOMIC_ACQUIRE)) && rdtsc() - from <= us_to_ticks(us))
        cpu_pause();
    return online;
}

/* One that is not ONLINE then leaves its struct to the next only if it is OFFLINE. */
static u32 start_one(struct cpu *c, bool sure, paddr_t low_page, struct trampoline_args *args)
{
    u32 apic = c->apic_id;

    args->stack = c->stack_top;
    starting = c;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    apic_send_init(apic);
    delay_us(10000);
    for (u32 try = 0; try < 2; try++) {
        apic_send_startup(apic, (u8)(low_page >> PAGE_SHIFT));
        u32 online = wait_online(c, !try ? 1000 : sure ? 1000000 : 20000);

        if (online == ONLINE) {
            cpus[c->id] = c;
            __atomic_store_n(&nr_cpus, c->id + 1, __ATOMIC_RELEASE);
        }
        if (online)
            return online;
    }
    if (sure)
        log_warn("the CPU with APIC id %u does not start; going on without it", apic);
    return OFFLINE;
}

u32 smp_start(const u32 *apic_ids, u32 nr, bool sure, paddr_t low_page, bool (*prepare)(void),
              void (*fn)(void))
{
    /* The trampoline's tables: ours, and the trampoline's own page where it is, executable while it is
     * needed. */
    paddr_t root = paging_new_space(&pool_owner);
    u8 *page = vmap(low_page, PAGE_SIZE, MAP_WRITE);
    struct trampoline_args *args = (void *)(page + (trampoline_args - trampoline_start));
    struct cpu *c = NULL;
    u32 id = 1;

    if (!root || !page ||
        paging_map(&pool_owner, root, low_page, low_page, PAGE_SIZE, MAP_WRITE | MAP_EXEC)) {
        log_error("no memory for the start of other CPUs");
        return 1;
    }
    memcpy(page, trampoline_start, (size_t)(trampoline_end - trampoline_start));
    args->cr3 = root;
    args->entry = (u64)ap_entry;
    ap_prepare = prepare;
    ap_main = fn;
    for (u32 i = 0; i < nr && id < MAX_CPUS; i++) {
        if (apic_ids[i] == cpus[0]->apic_id)
            continue;
        if (!c)
            c = pool_alloc(&pool_owner, (sizeof(*c) + PAGE_SIZE - 1) / PAGE_SIZE);
        if (!c || (!c->stack_top && cpu_prepare(c, id, apic_ids[i]))) {
            log_error("no memory for cpu %u", id);
            break;
        }
        c->apic_id = apic_ids[i];
        switch (start_one(c, sure, low_page, args)) {
        case ONLINE:
            id++;
            /* fall through */
        case OF_NO_USE:
            c = NULL;
        }
    }
    memset(page, 0, PAGE_SIZE);
    paging_free_space(&pool_owner, root); /* every CPU that runs has left it */
    return id;
}
