/* SPDX-License-Identifier: MIT */
#ifndef GUEST_BENCH_SAMPLES_H
#define GUEST_BENCH_SAMPLES_H

#define SAMPLE_LOOPS 16

#endif
