/* SPDX-License-Identifier: MIT */
/*
 * The stub's parts. A process is a VM at one level (its number in the console, and 1 or 2), a thread a vCPU
 * there. It is attached to one VM at a time, which is stopped or runs as a whole.
 */
#ifndef VMM_GDB_STUB_H
#define VMM_GDB_STUB_H

#include "vmm/debug.h"
#include "vmm/gdb/gdb.h"
#include "vmm/gdb/packet.h"
#include "vmm/gdb/target.h"
#include "vmm/task.h"
#include "vmm/vm.h"

#define GDB_TRAP  5 /* signals, as GDB numbers them */
#define GDB_INT   2
#define GDB_ABORT 6

struct gdb {
    struct task task;
    const struct gdb_port *port;
    struct gdb_reader reader;
    struct gdb_writer w; /* the newest packet, until the next one */
    bool extended, multiprocess, has_left;
    bool has_line; /* of one that is shared */
    u8 levels;     /* bit n: attached at level n; 0: nothing is attached */
    u32 vm;
    u64 born;      /* start_tsc of that VM */
    bool running;  /* GDB waits for a stop */
    bool physical; /* addresses of memory are guest-physical */
    u8 level;      /* the thread that packets are about */
    u32 vcpu;
    u64 busy_until; /* host TSC: something has come not long ago */
    u64 stepping;   /* vCPUs */
};

/* --- stub.c --- */

void gdb_packet(struct gdb *g);
void gdb_reply_ok(struct gdb *g);
void gdb_reply_error(struct gdb *g, int r);

/* --- processes.c: what there is to debug --- */

static inline u32 gdb_process(u32 vm, u32 level)
{
    return (vm + 1) * 10 + level;
}

/* ERR_NOENT: no such VM, or no L2 there; ERR_BUSY: another VM is attached. */
int gdb_attach(struct gdb *g, u32 process);
/* Is it attached? */
bool gdb_has(const struct gdb *g, u32 process);
/* process: 0 or GDB_ALL: all. Breakpoints are gone, and the guest goes on. */
void gdb_detach(struct gdb *g, u32 process);
void gdb_kill(struct gdb *g);
/* The VM that it is attached to still runs. */
bool gdb_vm_runs(struct gdb *g);
/* The first VM that runs; ERR_NOENT. */
int gdb_first_process(void);
/* Where id means any: one that there is. ERR_NOENT. */
int gdb_find_thread(struct gdb *g, const struct gdb_thread *id, u8 *level, u32 *vcpu);
/* The thread that packets are about is of the level that runs on that vCPU, if GDB is attached there. */
void gdb_choose_running(struct gdb *g);
void gdb_print_thread(struct gdb *g, u8 level, u32 vcpu);
void gdb_print_threads(struct gdb *g);
void gdb_print_name(struct gdb *g, u8 level, u32 vcpu);
void gdb_print_vms(struct gdb *g);

/* --- resume.c --- */

void gdb_stop_all(struct gdb *g);
/* By the actions of a vCont packet. ERR_INVAL. */
int gdb_resume(struct gdb *g, const char *actions);
/* While it runs: has it stopped by itself? Then that is reported. */
void gdb_look(struct gdb *g);
/* Why it stands, to answer '?'. */
void gdb_report(struct gdb *g, u32 signal, const struct vcpu_stop *why);

/* --- regs.c, by control_call() --- */

/* The registers at offset from on, up to offset to; x where they are not known. */
int gdb_print_regs(struct gdb *g, u32 from, u32 to);
int gdb_set_reg(struct gdb *g, u64 n, const u8 *value);
/* At most one packet's worth; returns how many bytes, or an error. */
int gdb_memory(struct gdb *g, u64 address, u8 *buf, u32 n, bool write);

#endif
