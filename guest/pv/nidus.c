/* SPDX-License-Identifier: MIT */
/* The library for guests, beside what is inline in nidus.h: it needs nothing else, and may be copied. */
#include "nidus.h"

struct leaf {
    uint32_t eax, ebx, ecx, edx;
};

static struct leaf cpuid(uint32_t number)
{
    struct leaf l = {.eax = number};

    __asm__ volatile("cpuid" : "+a"(l.eax), "=b"(l.ebx), "+c"(l.ecx), "=d"(l.edx));
    return l;
}

static void wrmsr(uint32_t msr, uint64_t value)
{
    __asm__ volatile("wrmsr" ::"c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)) : "memory");
}

/* Of the name, which is padded to 12 characters. */
static uint32_t four(uint32_t at)
{
    static const char name[12] = NIDUS_SIGNATURE;
    uint32_t word = 0;

    for (uint32_t i = 0; i < 4; i++)
        word |= (uint32_t)(uint8_t)name[at + i] << 8 * i;
    return word;
}

int nidus_discover(struct nidus_info *info)
{
    struct leaf l = cpuid(1);

    if (!(l.ecx >> 31)) /* no hypervisor: those leaves are another one's data */
        return 0;
    l = cpuid(NIDUS_CPUID_BASE);
    if (l.ebx != four(0) || l.ecx != four(4) || l.edx != four(8) || l.eax < NIDUS_CPUID_LIMITS)
        return 0;
    l = cpuid(NIDUS_CPUID_FEATURES);
    info->features = l.eax;
    info->version = l.ebx;
    info->first_msr = l.ecx;
    l = cpuid(NIDUS_CPUID_LIMITS);
    info->slots = l.eax;
    info->operations = l.ebx;
    info->tsc_khz = l.ecx;
    return info->version >= NIDUS_ABI_VERSION && info->slots == NIDUS_SLOTS;
}

int64_t nidus_register_area(const struct nidus_info *info, struct nidus_queue *q, struct nidus_area *mapped,
                            uint64_t physical)
{
    if (!(info->features & NIDUS_HAS_QUEUE))
        return -NIDUS_ENOSYS;
    wrmsr(info->first_msr + (NIDUS_MSR_AREA - NIDUS_MSR_FIRST), physical | NIDUS_MSR_ENABLE);
    q->area = mapped;
    q->kept = 0;
    q->batch = 0;
    return 0;
}

void nidus_unregister_area(const struct nidus_info *info, struct nidus_queue *q)
{
    q->area = 0;
    wrmsr(info->first_msr + (NIDUS_MSR_AREA - NIDUS_MSR_FIRST), 0);
}

int64_t nidus_register_page(const struct nidus_info *info, uint64_t physical)
{
    if (!(info->features & NIDUS_HAS_CALLS))
        return -NIDUS_ENOSYS;
    wrmsr(info->first_msr + (NIDUS_MSR_HYPERCALL_PAGE - NIDUS_MSR_FIRST), physical | NIDUS_MSR_ENABLE);
    return 0;
}

/* How often one looks for what the CPU that polls does, before it is asked by a hypercall. */
#define MAX_LOOKS 10000u

int64_t nidus_drain(struct nidus_queue *q)
{
    const struct nidus_area *a = q->area;
    uint32_t tail = __atomic_load_n(&a->tail, __ATOMIC_ACQUIRE);

    if (!__atomic_load_n(&a->polled, __ATOMIC_RELAXED))
        return nidus_flush();
    for (uint32_t i = 0; i < MAX_LOOKS; i++) {
        if (__atomic_load_n(&a->polled, __ATOMIC_ACQUIRE) == NIDUS_STOPPED)
            return (int64_t)(uint32_t)(tail - a->head);
        /* An interrupt handler may have gone beyond it. */
        if ((int32_t)(tail - __atomic_load_n(&a->head, __ATOMIC_ACQUIRE)) <= 0)
            return 0;
        __asm__ volatile("pause");
    }
    return nidus_flush();
}

int64_t nidus_do_slowly(struct nidus_queue *q, uint32_t op, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    int64_t index;

    if (!q->batch)
        return nidus_call(op, a, b, c, d);
    nidus_drain(q);
    index = nidus_reserve(q, 1, 0);
    if (index < 0)
        return index;
    nidus_fill(nidus_slot(q, (uint32_t)index), a, b, c, d);
    nidus_publish(nidus_slot(q, (uint32_t)index), op, 0);
    return 0;
}

int64_t nidus_put(struct nidus_queue *q, const struct nidus_slot *entries, uint32_t n)
{
    int64_t index = nidus_reserve(q, n, 1);

    if (index < 0)
        return index;
    for (uint32_t i = 0; i < n; i++) {
        struct nidus_slot *slot = nidus_slot(q, (uint32_t)index + i);

        nidus_fill(slot, entries[i].arg[0], entries[i].arg[1], entries[i].arg[2], entries[i].arg[3]);
        nidus_publish(slot, entries[i].op, entries[i].flags);
    }
    return index;
}

uint32_t nidus_gather(struct nidus_queue *q, uint32_t index, struct nidus_slot *entries, uint32_t n)
{
    uint32_t done = 0;

    while (done < n && nidus_is_done(nidus_slot(q, index + done)))
        done++;
    if (done < n)
        return n - done;
    for (uint32_t i = 0; i < n; i++) {
        const struct nidus_slot *slot = nidus_slot(q, index + i);

        entries[i].flags = slot->flags;
        entries[i].result = slot->result;
    }
    nidus_release(q, index, n);
    return 0;
}

/* The copy is set at once: what is queued before it is done cannot look at the register. */
static void set_copy(struct nidus_area *a, uint64_t number, uint64_t value)
{
    if (number == 0)
        a->cr0 = value;
    else if (number == 3)
        a->cr3 = value;
    else if (number == 4)
        a->cr4 = value;
}

int64_t nidus_set_cr(struct nidus_queue *q, uint32_t number, uint64_t value)
{
    int64_t result = nidus_do(q, NIDUS_OP_SET_CR, number, value, 0, 0);

    if (result == 0)
        set_copy(q->area, number, value);
    return result;
}
