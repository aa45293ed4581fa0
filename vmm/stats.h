/* SPDX-License-Identifier: MIT */
/*
 * What a vCPU's exits cost, by reason and by whose they are. One writer, the CPU that runs it; who reads
 * meanwhile gets numbers that may be one exit apart. Pure logic: vmm/observe.c counts.
 */
#ifndef VMM_STATS_H
#define VMM_STATS_H

#include "arch/x86/vmx_bits.h"
#include "lib/types.h"

/* Of L1; of L2, handled by Nidus; of L2, L1's to handle. */
enum stats_level { STATS_L1, STATS_L2, STATS_REFLECTED, STATS_LEVELS };

/* Costs of 2^n to 2^(n+1) - 1 ticks; the first has those below too, the last those above. */
#define STATS_FIRST   5
#define STATS_BUCKETS 20

struct stat {
    u64 count, sum; /* of exits, of ticks */
    u64 max;
    u32 min;
    u8 level, reason;
    u32 bucket[STATS_BUCKETS];
    u64 seen_count, seen_sum; /* the reader's: as they were when it looked before */
};

/* Room for all combinations that one vCPU is likely to meet; the last has the rest, as reason STATS_REST. */
#define STATS_ROWS 60
#define STATS_REST 0xff

struct stats {
    u64 since;                                 /* host TSC */
    u32 nr;                                    /* rows in use */
    u8 row[STATS_LEVELS][VMX_NR_EXIT_REASONS]; /* and 1; 0: it has none */
    struct stat rows[STATS_ROWS];
};

void stats_count(struct stats *s, enum stats_level level, u32 reason, u64 cost);
/* In ticks: where the bucket of the median exit begins. */
u64 stats_median(const struct stat *s);
/* What has been added since this was last asked. */
struct stats_delta {
    u64 count, sum;
};
struct stats_delta stats_new(struct stat *s);

#endif
