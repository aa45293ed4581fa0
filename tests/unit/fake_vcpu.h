/* SPDX-License-Identifier: MIT */
/* vmm/mmio_host.h for tests: one vCPU, some RAM with page tables in it, a device that keeps a list of
 * accesses. */
#ifndef TESTS_UNIT_FAKE_VCPU_H
#define TESTS_UNIT_FAKE_VCPU_H

#include "arch/x86/gpr.h"
#include "vmm/mmio_fast.h"
#include "vmm/mmio_host.h"

#define FAKE_RAM    0x20000ull /* bytes from 0; the tables are at the end of it */
#define FAKE_DEVICE 0xfee00000ull
#define FAKE_EVENTS 1024

enum fake_kind { FAKE_MMIO_READ, FAKE_MMIO_WRITE, FAKE_PORT_READ, FAKE_PORT_WRITE };

struct fake_event {
    enum fake_kind kind;
    u64 address;
    u32 size;
    u64 value;
};

struct vcpu {
    u64 gpr[16], rip, rflags, cr0, cr3, cr4, efer;
    struct segment seg[NR_SEGS];
    u32 cpl;
    u64 vector_reg[16][4], mmx_reg[8], xcr0;
    bool x87_error;
    u64 device_value; /* what reads of the device and of ports give */
    /* What the last exit says. */
    bool linear_known, linear_write;
    gva_t linear;
    /* What happened. */
    u32 nr_events, nr_reads, nr_reports;
    struct fake_event events[FAKE_EVENTS];
    bool advanced;
    /* What mmio_learn() was told; how often. */
    u64 learned_rip;
    gpa_t learned_gpa;
    struct word_match learned[MMIO_MAX_MATCHES];
    u32 nr_learned, nr_calls;
    u64 watched, debug_trap; /* an address with a breakpoint; what vcpu_debug_trap() was told */
    s32 vector;              /* -1: none injected */
    u32 error_code;
    u64 cr2;
};

extern struct vcpu fake;
extern u8 fake_ram[FAKE_RAM];

/* 64-bit mode at CPL 0 with 4-level paging and nothing mapped, RIP 0. */
void fake_start(void);
/* Flat 32-bit protected mode without paging. */
void fake_start32(void);
/* Maps a page, writable, for the supervisor. */
void fake_map(gva_t gva, gpa_t gpa);
/* The entry of a mapped page. */
u64 *fake_pte(gva_t gva);
void fake_expect(u32 n, enum fake_kind kind, u64 address, u32 size, u64 value);

#endif
