/* SPDX-License-Identifier: MIT */
/* Guest images: told apart by content, put into guest memory, and the state that the boot vCPU starts with.
 */
#ifndef VMM_LOAD_H
#define VMM_LOAD_H

#include "lib/types.h"

struct vm;

struct load_file {
    const char *name; /* as the configuration has it; for messages */
    const char *args;
    const u8 *data; /* readable, not writable, stays as it is */
    u64 size;
};

struct load_request {
    struct load_file kernel;
    const char *cmdline;
    const struct load_file *modules;
    u32 nr_modules;
    const struct load_file *initrd; /* null if none */
    u64 memory;                     /* bytes of guest RAM */
    gpa_t rsdp;                     /* guest ACPI RSDP; 0: none */
};

enum start_mode { START_REAL, START_PROT32, START_LONG64 };

/*
 * PROT32: paging off, flat 4 GiB segments, CS 0x10/0x8 as the protocol wants is set by cs and ds (the GDT
 * itself is at gdt_base, limit gdt_limit). LONG64: paging on with cr3, EFER.LMA.
 */
struct start_state {
    enum start_mode mode;
    u64 rip, rsp, cr3;
    u64 rax, rbx, rsi;
    u16 cs, ds;
    gpa_t gdt_base;
    u16 gdt_limit;
};

/* RAM layout: below 640 KiB, 1 MiB up to the PCI hole at 3 GiB, the rest from 4 GiB. */
#define GUEST_LOW_RAM_END 0xa0000ull
#define GUEST_PCI_HOLE    0xc0000000ull
#define GUEST_BIOS_AREA   0xe0000ull /* reserved RAM up to 1 MiB: ACPI tables go here, */
#define GUEST_BIOS_CODE   0xfff00ull /* and behind them what real-mode vectors lead to */

struct e820_entry {
    u64 base, size;
    u32 type; /* 1 RAM, 2 reserved, 3 ACPI reclaimable */
};

#define GUEST_MAX_E820 8
u32 guest_e820(u64 memory, struct e820_entry out[GUEST_MAX_E820]);

/* Loads; on failure one line in err says what is wrong with which file. */
int load_guest(struct vm *vm, const struct load_request *rq, struct start_state *out, char *err,
               size_t err_size);

#endif
