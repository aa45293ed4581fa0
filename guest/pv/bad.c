/* SPDX-License-Identifier: MIT */
/* What no guest should do. Everything must give an error, and nothing else. */
#include "guest/common/apic.h"
#include "guest/common/mode32.h"
#include "guest/common/paging.h"
#include "guest/common/segments.h"
#include "guest/pv/tests.h"

struct msr_write {
    u32 msr;
    u64 value;
};

static void write_msr(void *arg)
{
    const struct msr_write *w = arg;

    wrmsr(w->msr, w->value);
}

static u64 ram_end(void)
{
    u64 end = 0;

    for (u32 i = 0; i < boot.nr_map; i++) {
        if (boot.map[i].type == MEMORY_RAM && boot.map[i].base + boot.map[i].size > end)
            end = boot.map[i].base + boot.map[i].size;
    }
    return ALIGN_DOWN(end, PAGE_SIZE);
}

static void expect_refused(u32 msr, u64 value)
{
    struct msr_write w = {msr, value};
    u64 before = rdmsr(msr);
    int vector = try_call(write_msr, &w);

    expect(vector == X_GP, "MSR 0x%x = 0x%llx: vector %d (256: none)", msr, (ull)value, vector);
    expect(rdmsr(msr) == before, "MSR 0x%x = 0x%llx: it has changed", msr, (ull)value);
}

/* Of both MSRs: neither may be set to these. */
static void test_msrs(void)
{
    const u64 bad[] = {
        2,
        MiB(8), /* without the bit that enables it */
        MiB(8) | 2,
        MiB(8) | 3,
        (MiB(8) + 1) << 1 | 1,
        MiB(8) + 2048 + 1, /* misaligned */
        0xfee00001,        /* local APIC */
        0xfec00001,        /* I/O APIC */
        0xfed00001,        /* HPET */
        0xa0001,           /* the hole below 1 MiB */
        0xfffff001,
        ram_end() | 1, /* the first that is not there */
        GiB(4) | 1,
        1ull << 40 | 1,
        1ull << 51 | 1,
        1ull << 52 | 1,
        1ull << 63 | MiB(8) | 1,
        ~0ull,
        ~0ull << 12 | 1,
        (u64)queues[0].area | 1,
        (u64)queues[nr_cpus - 1].area | 1,
    };
    u32 area = info.first_msr + 1, page = info.first_msr;

    nidus_register_page(&info, (u64)hypercall_page);
    for (u32 i = 0; i < ARRAY_SIZE(bad) && !test_over(); i++) {
        expect_refused(page, bad[i]);
        if (bad[i] != ((u64)queues[0].area | 1))
            expect_refused(area, bad[i]);
    }
    /* Twice, before the first is given up; and the one where the other is. */
    expect_refused(page, MiB(8) | 1);
    expect_refused(area, MiB(8) | 1);
    expect_refused(area, (u64)hypercall_page | 1);
    wrmsr(page, 0);
    wrmsr(area, 0);
    for (u32 i = 0; i < ARRAY_SIZE(bad) && !test_over(); i++) {
        if (bad[i] == ((u64)queues[0].area | 1))
            continue;
        expect_refused(page, bad[i]);
        expect_refused(area, bad[i]);
    }
    expect_vector(X_GP, write_msr, &(struct msr_write){info.first_msr + 2, 0}, "the MSR behind them");
    wrmsr(area, (u64)queues[0].area | 1);
    expect_result(nidus_flush(), 0, "a flush at the end");
}

/* --- indices --- */

static void test_tail(void)
{
    static const u32 far[] = {NIDUS_SLOTS + 1, 1000, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff};
    struct nidus_area *a = queues[0].area;
    u32 head = a->head;

    for (u32 i = 0; i < ARRAY_SIZE(far); i++) {
        a->tail = head + far[i];
        expect(nidus_flush() == -NIDUS_ERANGE, "tail %u from head", far[i]);
    }
    a->tail = head;
    expect_result(nidus_flush(), 0, "in order again");
    /* Nidus has its own head. */
    for (u32 i = 0; i < ARRAY_SIZE(far); i++) {
        a->head = head + far[i];
        expect_result(nidus_flush(), 0, "a head that the guest has changed");
    }
    new_area();
}

/* --- another CPU writes into the queue while it is used --- */

static u32 scribbling;

static void scribble(u32 cpu)
{
    u32 *words = (u32 *)queues[0].area;

    (void)cpu;
    for (u32 i = 0; __atomic_load_n(&scribbling, __ATOMIC_ACQUIRE); i++) {
        u64 r = cpu_random();
        struct nidus_slot *slot = &queues[0].area->slot[r % NIDUS_SLOTS];

        if (i % 64 == 0)
            words[r >> 32 & 255] = (u32)r;                  /* clock, registers, head, tail */
        slot->op = (u32)(r >> 32 & 3 ? 999 : NIDUS_OP_NOP); /* and nothing that would hurt the guest */
        slot->flags = (u32)(r >> 40);
        if (i % 4 == 0)
            queues[0].area->tail = queues[0].area->head + (u32)(r >> 48 & 63);
    }
}

static void test_scribble(void)
{
    u32 odd = 0;

    if (!need_cpus(2))
        return;
    __atomic_store_n(&scribbling, 1, __ATOMIC_RELEASE);
    start_on(1, scribble);
    irq_enable(); /* notifications, by whatever vector */
    for (u32 i = 0; i < 3000; i++) {
        s64 left = nidus_flush();

        odd += left != -NIDUS_ERANGE && (left > 0xffffffffll || left < 0);
        (void)nidus_clock_at(&queues[0].area->clock, rdtsc());
        if (i % 100 == 0)
            new_area();
    }
    irq_disable();
    __atomic_store_n(&scribbling, 0, __ATOMIC_RELEASE);
    finish(1);
    new_area();
    expect_equal(odd, 0, "odd results");
    expect_result(nidus_flush(), 0, "in order again");
}

/* --- a random stream of entries --- */

/* Where a test may have things written: memory that nothing is in, or none. */
static u64 random_address(void)
{
    u64 r = cpu_random();

    switch (r >> 60 & 7) {
    case 0:
        return ram_end() + (r & 0xfffffff8);
    case 1:
        return r | 1ull << 53;
    case 2:
        return 0xfee00000 + (r & 0xfff);
    case 3:
        return GiB(3) + (r & 0x3fffffff);
    case 4:
        return ~0ull - (r & 0xffff);
    default:
        return TEST_FROM + MiB(4) + (r & 0xfffff);
    }
}

/* What is harmless to this kernel, of each operation. */
static void random_entry(struct nidus_slot *e)
{
    u64 r = cpu_random();

    e->op = (u32)(r & 7 ? r >> 8 & 31 : r >> 8);
    e->flags = (u32)(r & 0x300 ? 0 : cpu_random() & ~(u64)(NIDUS_READY | NIDUS_STOP_ON_ERROR));
    for (u32 i = 0; i < 4; i++)
        e->arg[i] = cpu_random() >> (cpu_random() & 63);
    switch (e->op) {
    case NIDUS_OP_SET_CR:
        e->arg[1] |= 1ull << 58; /* reserved in all */
        break;
    case NIDUS_OP_WRITE_ENTRY:
    case NIDUS_OP_WRITE_ENTRIES:
    case NIDUS_OP_CONSOLE:
        e->arg[0] = random_address();
        break;
    case NIDUS_OP_SEND_IPI:
        e->arg[2] |= 0x40;
        break;
    case NIDUS_OP_SET_TIMER:
        e->arg[1] |= 0x40;
        break;
    case NIDUS_OP_POPULATE:
    case NIDUS_OP_RELEASE:
        e->arg[0] |= ram_end();
        break;
    case NIDUS_OP_CHANNEL_OPEN:
        e->arg[1] = random_address() | 1;
        break;
    default:
        break;
    }
    if (e->op == NIDUS_OP_CONSOLE && e->arg[0] < ram_end())
        e->arg[1] |= 1ull << 40;
}

static bool is_result(s64 result)
{
    static const s64 errors[] = {NIDUS_EPERM,  NIDUS_ENOENT, NIDUS_ENOMEM, NIDUS_EFAULT,    NIDUS_EBUSY,
                                 NIDUS_EEXIST, NIDUS_EINVAL, NIDUS_ERANGE, NIDUS_ECANCELED, NIDUS_ENOSYS};

    for (u32 i = 0; i < ARRAY_SIZE(errors); i++) {
        if (result == -errors[i])
            return true;
    }
    return result >= 0 && result <= MAX_CPUS;
}

static u32 strange;
static s64 strange_result;
static u32 strange_op;

static void check_result(const struct nidus_slot *e)
{
    if (is_result(e->result))
        return;
    strange_op = e->op;
    strange_result = e->result;
    __atomic_fetch_add(&strange, 1, __ATOMIC_ACQ_REL);
}

static void random_stream(u32 cpu)
{
    struct nidus_queue *q = &queues[cpu];
    u32 count = (u32)option_number("count", 4000) / nr_cpus;

    q->area->notify_vector = 0x80;
    irq_enable();
    for (u32 i = 0; i < count;) {
        struct nidus_slot entries[16];
        u32 n = 1 + (u32)(cpu_random() % 16);
        s64 index;

        for (u32 j = 0; j < n; j++)
            random_entry(&entries[j]);
        if (i % 8 == 0) {
            struct nidus_slot *e = &entries[0];

            e->result = call(e->op, e->arg[0], e->arg[1], e->arg[2], e->arg[3]);
            check_result(e);
        }
        index = nidus_put(q, entries, n);
        nidus_drain(q);
        if (index < 0 || nidus_gather(q, (u32)index, entries, n)) {
            strange_op = NIDUS_OP_FLUSH_QUEUE;
            __atomic_fetch_add(&strange, 1, __ATOMIC_ACQ_REL);
            break;
        }
        for (u32 j = 0; j < n; j++)
            check_result(&entries[j]);
        i += n;
    }
    irq_disable();
}

static void test_random(void)
{
    strange = 0;
    on_all(random_stream);
    expect(!strange, "%u strange results; operation %u: %lld", strange, strange_op,
           (long long)strange_result);
    expect_result(call(NIDUS_OP_SET_TIMER, 0, 0, 0, 0), 0, "the timer is stopped");
}

/* --- numbers that are no operation's --- */

static void test_numbers(void)
{
    static const u64 numbers[] = {0,
                                  1,
                                  0xffff,
                                  NIDUS_CALL(0) - 1,
                                  NIDUS_CALL(NIDUS_NR_OPS),
                                  NIDUS_CALL(31),
                                  NIDUS_CALL(0xffff),
                                  0xffffffff,
                                  0x80000000};

    for (u32 i = 0; i < ARRAY_SIZE(numbers); i++) {
        s64 result = (s64)numbers[i];

        if ((info.features & NIDUS_HAS_KVM) && numbers[i] < 16)
            continue;
        asm volatile("vmcall" : "+a"(result) : "b"(0), "c"(0), "d"(0), "S"(0) : "memory", "cc");
        expect(result == -NIDUS_ENOSYS, "0x%llx: %lld", (ull)numbers[i], (long long)result);
    }
}

/* --- at other privilege levels and in other modes --- */

extern void user_call_nop(void), mode32_call(void);
extern u64 user_result;

/* The image appears again at WINDOW(1) for user mode; there is no need of a stack. */
static void enter_user(void *unused)
{
    u64 rip = (u64)user_call_nop + WINDOW(1);

    (void)unused;
    asm volatile("movl %k1, %%ds; movl %k1, %%es\n\t"
                 "pushq %q1; pushq $0; pushq $2; pushq %q2; pushq %0\n\t"
                 "iretq" ::"r"(rip),
                 "r"((u64)SEL_USER_DATA | 3), "r"((u64)SEL_USER_CODE64 | 3)
                 : "memory");
}

static void test_user(void)
{
    int vector;

    window_map(1, 0, PTE_P | PTE_W | PTE_U);
    user_result = 1;
    vector = try_call(enter_user, NULL);
    asm volatile("movl %0, %%ds; movl %0, %%es" ::"r"(SEL_DATA));
    expect_equal(vector, X_BP, "vector");
    expect_result((s64)user_result, -NIDUS_EPERM, "a call from user mode");
}

static void test_mode32(void)
{
    static const struct {
        u32 number;
        s32 result;
    } rows[] = {
        {NIDUS_CALL(NIDUS_OP_NOP), 0},
        {NIDUS_CALL(NIDUS_NR_OPS), -NIDUS_ENOSYS},
        {NIDUS_CALL(NIDUS_OP_FLUSH_QUEUE), 0},
        {NIDUS_CALL(NIDUS_OP_FLUSH_LOCAL), 0},
        {NIDUS_CALL(NIDUS_OP_YIELD),
         -NIDUS_ENOENT}, /* EBX is all ones: not NIDUS_ANY_VCPU, which has 64 bits */
        {NIDUS_CALL(NIDUS_OP_SET_CR), -NIDUS_EINVAL},
        {NIDUS_CALL(NIDUS_OP_SEND_IPI), -NIDUS_ENOENT},
    };

    for (u32 i = 0; i < ARRAY_SIZE(rows); i++) {
        struct mode32 m = {.cr0 = CR0_PE | CR0_NE, .fn = mode32_call, .arg = rows[i].number};

        mode32_run(&m);
        expect_equal(m.vector, X_NONE, "vector");
        expect((s32)m.result == rows[i].result, "call 0x%x: %d", rows[i].number, (s32)m.result);
    }
}

const struct test bad_tests[] = {
    {"bad-msrs", test_msrs},         {"bad-tail", test_tail},
    {"bad-scribble", test_scribble}, {"bad-numbers", test_numbers},
    {"bad-user", test_user},         {"bad-mode32", test_mode32},
    {"bad-random", test_random},     {NULL, NULL},
};
