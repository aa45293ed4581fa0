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

/* --- hypercalls: VMCALL with RAX = NIDUS_CALL(operation), arguments in RBX, RCX, RDX, RSI; result in RAX ---
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
    NIDUS_OP_SET_TIMER = 8,       /* time of the area's clock (0: none), vector */
    NIDUS_OP_POPULATE = 9,        /* physical address, bytes: multiples of 2 MiB; memory again, zeroed */
    NIDUS_OP_RELEASE = 10,        /* the same: no memory any more */
    NIDUS_OP_CHANNEL_OPEN = 11,   /* channel, physical address for its page, vector */
    NIDUS_OP_CHANNEL_SIGNAL = 12, /* channel */
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

/* As KVM's pvclock: time = system_time + ((TSC - tsc_timestamp) shifted left by tsc_shift) *
 * tsc_to_system_mul
 * >> 32, if version was even and the same before and after. */
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
    uint32_t polled;                            /* a CPU looks at this queue */
    uint8_t pad1[1024 - 2 * 64 - 8];
    struct nidus_slot slot[NIDUS_SLOTS];
};

_Static_assert(sizeof(struct nidus_slot) == 48, "an entry");
_Static_assert(sizeof(struct nidus_area) == 4096, "a page");

#endif
