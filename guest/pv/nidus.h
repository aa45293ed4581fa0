/* SPDX-License-Identifier: MIT */
/*
 * The paravirtual interface of Nidus, version 1, for guests: docs/pv.md tells how it works. This file needs
 * nothing else and may be copied into any guest; nidus.c beside it is a library that may be too.
 */
#ifndef NIDUS_H
#define NIDUS_H

#include <stdint.h>

#define NIDUS_ABI_VERSION 1

/* --- CPUID: always at this base; another hypervisor's name may stand at 0x40000000 --- */

#define NIDUS_SIGNATURE      "NidusNidus" /* EBX, ECX, EDX of the base, padded with zeros; EAX: the last leaf */
#define NIDUS_CPUID_BASE     0x40000100u
#define NIDUS_CPUID_FEATURES 0x40000101u /* EAX: NIDUS_HAS_*; EBX: version; ECX: the first MSR */
#define NIDUS_CPUID_LIMITS   0x40000102u /* EAX: slots of a queue; EBX: operations; ECX: TSC in kHz */

#define NIDUS_HAS_KVM     (1u << 0) /* KVM's ABI at 0x40000000 */
#define NIDUS_HAS_CALLS   (1u << 1) /* hypercalls and the hypercall page */
#define NIDUS_HAS_QUEUE   (1u << 2) /* the vCPU's area with its queue and control registers */
#define NIDUS_HAS_CLOCK   (1u << 3) /* the clock there */
#define NIDUS_HAS_MEMORY  (1u << 4) /* NIDUS_OP_POPULATE, NIDUS_OP_RELEASE */
#define NIDUS_HAS_CHANNEL (1u << 5) /* NIDUS_OP_CHANNEL_*: the configuration names a channel */
#define NIDUS_HAS_POLL    (1u << 6) /* a CPU serves the queues without exits */
#define NIDUS_HAS_NESTED  (1u << 7) /* NIDUS_OP_NESTED */

/* --- MSRs, from the first on that CPUID tells --- */

#define NIDUS_MSR_FIRST          0x40004e00u
#define NIDUS_MSR_HYPERCALL_PAGE (NIDUS_MSR_FIRST + 0) /* the VM's: address of a page | NIDUS_MSR_ENABLE */
#define NIDUS_MSR_AREA           (NIDUS_MSR_FIRST + 1) /* the vCPU's: the same, of a struct nidus_area */
#define NIDUS_MSR_ENABLE         1u

/* --- hypercalls --- */

/*
 * VMCALL with RAX = NIDUS_CALL(operation), arguments in RBX, RCX, RDX, RSI. The result is in RAX. An
 * operation that takes long is interrupted, and goes on with the same instruction and what is left to do in
 * the registers: those of its arguments are not what they were afterwards. All others are.
 */

#define NIDUS_CALL(op) (0x4e490000u + (op))

enum nidus_op {
    NIDUS_OP_NOP = 0,
    NIDUS_OP_FLUSH_QUEUE = 1,   /* runs this vCPU's queue; result: entries that are still in it */
    NIDUS_OP_SET_CR = 2,        /* register (0, 3, 4), value */
    NIDUS_OP_WRITE_ENTRY = 3,   /* physical address of a paging-structure entry, value */
    NIDUS_OP_WRITE_ENTRIES = 4, /* physical address of struct nidus_write[], how many (to NIDUS_MAX_WRITES) */
    NIDUS_OP_FLUSH_LOCAL = 5,   /* linear address, pages; 0 pages: all */
    NIDUS_OP_FLUSH_TLB = 6,     /* mask of vCPUs, number of its bit 0, linear address, pages; 0 pages: all */
    NIDUS_OP_SEND_IPI =
        7, /* mask of vCPUs, number of its bit 0, low half of the ICR: vector, delivery mode */
    NIDUS_OP_SET_TIMER = 8, /* time of the area's clock (0: none), vector */
    /*
     * Physical address, bytes: multiples of 2 MiB, of the VM's memory from 2 MiB on. POPULATE: memory again,
     * zeroed (EEXIST: a part is there; ENOMEM). RELEASE: none any more, as if nothing were at the addresses
     * (EFAULT: a part is gone already; EBUSY: it has a hypercall page or an area, or a vCPU is in VMX
     * operation; what it held may be lost then). A call with more than 1 GiB is not undone where it fails.
     */
    NIDUS_OP_POPULATE = 9,
    NIDUS_OP_RELEASE = 10,
    /*
     * Channel, physical address for its page, vector (16 to 255) that this vCPU gets when another member
     * signals. The page is memory for the CPU, without execution, that the other members see too: not for
     * page tables, nor for Nidus or a device to use. The address has to be free: EBUSY: RAM, also if
     * released, or a device; EEXIST: another channel's. The page stays there as long as the VM runs. Again
     * with the same address: another vector or vCPU; with another one: EEXIST.
     */
    NIDUS_OP_CHANNEL_OPEN = 11,
    NIDUS_OP_CHANNEL_SIGNAL = 12, /* channel; result: how many others that have it open were told */
    NIDUS_OP_CONSOLE = 13,        /* physical address of text, bytes (to NIDUS_MAX_TEXT) */
    NIDUS_OP_YIELD = 14,          /* vCPU that should run, or NIDUS_ANY_VCPU */
    NIDUS_OP_NESTED = 15, /* serve the L2 of the current VMCS: 0 or 1, physical address of its area or 0 */
    NIDUS_NR_OPS = 16,
};

#define NIDUS_MAX_WRITES 512u
#define NIDUS_MAX_TEXT   4096u
#define NIDUS_ANY_VCPU   (~(uint64_t)0)

struct nidus_write {
    uint64_t address, value;
};

/* Results below 0, as a 64-bit number. */
#define NIDUS_EPERM     1    /* not at this privilege level, or not for this VM */
#define NIDUS_ENOENT    2    /* no such vCPU, channel or area */
#define NIDUS_ENOMEM    12   /* Nidus has no memory */
#define NIDUS_EFAULT    14   /* an address that is not the guest's memory */
#define NIDUS_EBUSY     16   /* in use */
#define NIDUS_EEXIST    17   /* is so already */
#define NIDUS_EINVAL    22   /* an argument */
#define NIDUS_ERANGE    34   /* too many, or a queue's indices */
#define NIDUS_ECANCELED 125  /* this entry cannot be in a queue */
#define NIDUS_ENOSYS    1000 /* unknown, or switched off */

/* --- the area: a page of each vCPU's --- */

/* As KVM's pvclock: time = system_time + (((TSC - tsc_timestamp) << tsc_shift) * tsc_to_system_mul >> 32),
 * if version was even and the same before and after. */
struct nidus_clock {
    uint32_t version, pad0;
    uint64_t tsc_timestamp;
    uint64_t system_time; /* ns since the VM started */
    uint32_t tsc_to_system_mul;
    int8_t tsc_shift; /* below 0: to the right */
    uint8_t flags;    /* bit 0: the clocks of all vCPUs are one */
    uint8_t pad[2];
};

#define NIDUS_SLOTS 64u

/* Of struct nidus_slot. READY is written last, by the guest; Nidus takes it away and sets DONE. */
#define NIDUS_READY         1u
#define NIDUS_DONE          2u
#define NIDUS_STOP_ON_ERROR 4u /* the entries behind it stay in the queue if it fails */
#define NIDUS_NOTIFY        8u /* notify_vector comes when it is done */

struct nidus_slot {
    uint32_t op, flags;
    uint64_t arg[4];
    int64_t result;
};

#define NIDUS_POLLED 1u /* a CPU looks at the queue */
#define NIDUS_STOPPED                                                                    \
    2u /* it would, but for an error with NIDUS_STOP_ON_ERROR, or indices: until a flush \
        */

struct nidus_area {
    struct nidus_clock clock; /* Nidus writes it */
    uint64_t cr0, cr3, cr4;   /* as last set through Nidus, or by the guest itself here */
    uint32_t vcpu;            /* its number */
    uint32_t pad0;
    /* Written by the guest: */
    uint32_t tail
        __attribute__((aligned(64))); /* entries queued, ever: the next one's slot is tail % NIDUS_SLOTS */
    uint32_t notify_vector;
    /* Written by Nidus: */
    uint32_t head __attribute__((aligned(64))); /* entries done, ever */
    uint32_t polled; /* NIDUS_POLLED, NIDUS_STOPPED; 0: no CPU looks at this queue */
    uint8_t pad1[1024 - 2 * 64 - 8];
    struct nidus_slot slot[NIDUS_SLOTS];
};

_Static_assert(sizeof(struct nidus_slot) == 48, "an entry");
_Static_assert(sizeof(struct nidus_area) == 4096, "a page");

/*
 * --- library: the part that is inline; for kernels in 64-bit mode without a red zone ---
 *
 * A queue belongs to a vCPU. An interrupt handler may use the one that it has interrupted the use of, and a
 * thread may go on on another vCPU between its steps: a slot is reserved by a compare-exchange, then filled,
 * then published by one store. Only operations that act on the vCPU itself, and nidus_batch_*(), ask that the
 * thread stays where it is.
 */
#ifdef __x86_64__

struct nidus_queue {
    struct nidus_area *area;
    uint64_t kept;  /* slots, as bits, whose results somebody still wants */
    uint32_t batch; /* nidus_batch_begin() without its end, how often */
};

/* Registers of arguments may come back changed: POPULATE and RELEASE say by them how far they are. */
static inline int64_t nidus_call(uint32_t op, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    int64_t result = NIDUS_CALL(op);

    __asm__ volatile("vmcall" : "+a"(result), "+b"(a), "+c"(b), "+d"(c), "+S"(d) : : "memory", "cc");
    return result;
}

/* The same by the hypercall page, wherever it is mapped. */
static inline int64_t nidus_call_page(const void *page, uint32_t op, uint64_t a, uint64_t b, uint64_t c,
                                      uint64_t d)
{
    int64_t result = NIDUS_CALL(op);

    __asm__ volatile("call *%5"
                     : "+a"(result), "+b"(a), "+c"(b), "+d"(c), "+S"(d)
                     : "r"(page)
                     : "memory", "cc");
    return result;
}

static inline struct nidus_slot *nidus_slot(const struct nidus_queue *q, uint32_t index)
{
    return &q->area->slot[index % NIDUS_SLOTS];
}

/* The slots of n entries (to NIDUS_SLOTS) as bits. */
static inline uint64_t nidus_bits(uint32_t index, uint32_t n)
{
    uint64_t ones = n ? ~0ull >> (64 - n) : 0;

    index %= NIDUS_SLOTS;
    return ones << index | ones >> (-index % NIDUS_SLOTS);
}

/*
 * Reserves n slots in a row and returns the index of the first, or -NIDUS_EBUSY: there are not so many. With
 * keep nobody else gets them, once they are done, before nidus_release().
 */
static inline int64_t nidus_reserve(struct nidus_queue *q, uint32_t n, int keep)
{
    struct nidus_area *a = q->area;
    uint32_t tail = __atomic_load_n(&a->tail, __ATOMIC_ACQUIRE);

    for (;;) {
        uint32_t was = tail;

        if (tail + n - __atomic_load_n(&a->head, __ATOMIC_ACQUIRE) > NIDUS_SLOTS ||
            __atomic_load_n(&q->kept, __ATOMIC_ACQUIRE) & nidus_bits(tail, n)) {
            /* So it is, unless others have used the queue in between. */
            tail = __atomic_load_n(&a->tail, __ATOMIC_ACQUIRE);
            if (tail == was)
                return -NIDUS_EBUSY;
        } else if (__atomic_compare_exchange_n(&a->tail, &tail, tail + n, 0, __ATOMIC_ACQ_REL,
                                               __ATOMIC_ACQUIRE)) {
            break;
        }
    }
    /* In time: the slots cannot be done, and so not be had by others, before they are published. */
    if (keep)
        __atomic_or_fetch(&q->kept, nidus_bits(tail, n), __ATOMIC_ACQ_REL);
    return tail;
}

static inline void nidus_release(struct nidus_queue *q, uint32_t index, uint32_t n)
{
    __atomic_and_fetch(&q->kept, ~nidus_bits(index, n), __ATOMIC_ACQ_REL);
}

static inline void nidus_fill(struct nidus_slot *slot, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    slot->arg[0] = a;
    slot->arg[1] = b;
    slot->arg[2] = c;
    slot->arg[3] = d;
}

/* A reserved slot, whose arguments are there, is for Nidus from now on. flags: NIDUS_STOP_ON_ERROR,
 * NIDUS_NOTIFY. Reserved slots must be published, and soon: all behind them waits. */
static inline void nidus_publish(struct nidus_slot *slot, uint32_t op, uint32_t flags)
{
    __atomic_store_n((uint64_t __attribute__((may_alias)) *)slot, (uint64_t)(flags | NIDUS_READY) << 32 | op,
                     __ATOMIC_RELEASE);
}

/* A published slot: is its result there? */
static inline int nidus_is_done(const struct nidus_slot *slot)
{
    return (__atomic_load_n(&slot->flags, __ATOMIC_ACQUIRE) & NIDUS_DONE) != 0;
}

/* Runs the queue of the vCPU that this runs on, in order, to its first slot that is not published. Returns
 * how many are left, or an error. */
static inline int64_t nidus_flush(void)
{
    return nidus_call(NIDUS_OP_FLUSH_QUEUE, 0, 0, 0, 0);
}

/* The same, without an exit where a CPU of Nidus's polls the queue: that one is waited for, and after long
 * the queue is flushed. */
int64_t nidus_drain(struct nidus_queue *q);

/* Between them nidus_do() only queues. They nest, and an interrupt handler may have its own pairs inside. */
static inline void nidus_batch_begin(struct nidus_queue *q)
{
    q->batch++;
}

/* What nidus_drain() returns. */
static inline int64_t nidus_batch_end(struct nidus_queue *q)
{
    return --q->batch ? 0 : nidus_drain(q);
}

/* No batch, or a full queue. */
int64_t nidus_do_slowly(struct nidus_queue *q, uint32_t op, uint64_t a, uint64_t b, uint64_t c, uint64_t d);

/* Outside of a batch the operation itself, and its result. In one it is queued, and the result lost: 0, or
 * -NIDUS_EBUSY if the next slot cannot be had after a flush either: who is interrupted has not published it,
 * or not gathered its result. */
static inline int64_t nidus_do(struct nidus_queue *q, uint32_t op, uint64_t a, uint64_t b, uint64_t c,
                               uint64_t d)
{
    int64_t index = q->batch ? nidus_reserve(q, 1, 0) : -NIDUS_EBUSY;

    if (index < 0)
        return nidus_do_slowly(q, op, a, b, c, d);
    nidus_fill(nidus_slot(q, (uint32_t)index), a, b, c, d);
    nidus_publish(nidus_slot(q, (uint32_t)index), op, 0);
    return 0;
}

static inline uint64_t nidus_clock_at(const struct nidus_clock *clock, uint64_t tsc)
{
    uint64_t ticks = tsc - clock->tsc_timestamp;

    ticks = clock->tsc_shift < 0 ? ticks >> -clock->tsc_shift : ticks << clock->tsc_shift;
    return clock->system_time + (uint64_t)((unsigned __int128)ticks * clock->tsc_to_system_mul >> 32);
}

/* ns since the VM started. The clock is that of the vCPU that this runs on, unless clock->flags has bit 0. */
static inline uint64_t nidus_clock_ns(const struct nidus_clock *clock)
{
    uint32_t version, low, high;
    uint64_t ns;

    do {
        version = __atomic_load_n(&clock->version, __ATOMIC_ACQUIRE);
        __asm__ volatile("lfence; rdtsc" : "=a"(low), "=d"(high)::"memory");
        ns = nidus_clock_at(clock, (uint64_t)high << 32 | low);
        __asm__ volatile("" ::: "memory");
    } while (version & 1 || version != __atomic_load_n(&clock->version, __ATOMIC_ACQUIRE));
    return ns;
}

/* --- the rest of it is nidus.c --- */

struct nidus_info {
    uint32_t features, version, first_msr;
    uint32_t slots, operations, tsc_khz;
};

/* 1: this is Nidus, with an interface of this version. */
int nidus_discover(struct nidus_info *info);

/* This vCPU's area, and the VM's hypercall page, at that physical address: RAM of the guest's that stays in
 * place. An address that is none, or in use, raises #GP. -NIDUS_ENOSYS: there is none here. */
int64_t nidus_register_area(const struct nidus_info *info, struct nidus_queue *q, struct nidus_area *mapped,
                            uint64_t physical);
int64_t nidus_register_page(const struct nidus_info *info, uint64_t physical);
/* Gives it up; what is queued is lost. */
void nidus_unregister_area(const struct nidus_info *info, struct nidus_queue *q);

/* n entries (1 to NIDUS_SLOTS) whose results are wanted: reserved, filled and published. The index of the
 * first, or -NIDUS_EBUSY. */
int64_t nidus_put(struct nidus_queue *q, const struct nidus_slot *entries, uint32_t n);
/* How many of them are not done yet. 0: flags and results are in entries, and the slots are free. */
uint32_t nidus_gather(struct nidus_queue *q, uint32_t index, struct nidus_slot *entries, uint32_t n);

/* Control register 0, 3 or 4, by nidus_do(). area->cr0, cr3 and cr4 are what it was last set to; in a batch
 * also if that fails later. */
int64_t nidus_set_cr(struct nidus_queue *q, uint32_t number, uint64_t value);

#endif
#endif
