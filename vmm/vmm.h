/* SPDX-License-Identifier: MIT */
/* The VMM as a whole: what boot/ calls, and the VMM's state per physical CPU. */
#ifndef VMM_VMM_H
#define VMM_VMM_H

#include "arch/x86/cpu.h"
#include "vmm/vm.h"

/* A file from the boot loader, mapped read-only. */
struct vmm_file {
    const char *name;
    const u8 *data;
    u64 size;
};

/* The VMM's part of a physical CPU. */
struct vmm_cpu {
    struct spinlock lock;       /* of the lists, current, and the scheduling state of vCPUs at home here */
    struct list queue;          /* ready */
    struct list sleepers;       /* blocked, at home here */
    struct vcpu *current;       /* the one that has the CPU */
    struct vcpu *loaded;        /* whose registers are in the CPU; stays after it has left */
    struct vm *space;           /* whose memory is mapped */
    u32 idle;                   /* halted, or about to: wants an IPI when there is work */
    u64 flush_seen;             /* value of vmm_flush_wanted at the last flush of EPT and VPID caches */
    u32 nr_home;                /* vCPUs at home here */
    u64 idle_ticks, idle_since; /* 0: not idle now */
};

static inline struct vmm_cpu *this_vmm_cpu(void)
{
    return this_cpu()->vmm;
}

/* Bumped when translations of memory that a VM has no more may still be cached: each CPU flushes before its
 * next entry, */
extern u64 vmm_flush_wanted;
/* with this. A CPU that uses a VM's memory without entering it calls it whenever nobody waits for it. */
void vmm_flush_if_wanted(void);

/* The longest time that a CPU looks for the end of a halt, in us: halt_poll.h. */
extern u32 vmm_halt_poll_us;

/* A VM that crashes stays, for who wants to look at it. */
extern bool vmm_keep_crashed;

/* For the test of what is printed then: the first VM entry of each VM is refused by the CPU. */
extern bool vmm_refuse_entry;

/* State of each CPU; before any CPU calls vmm_cpu_main(). ERR_NOMEM. */
int vmm_prepare_cpu(struct cpu *c);
/*
 * Starts the VMs of the configuration. files: what the boot loader brought. problems: how many errors the
 * configuration had. utc: seconds since 1970, now. Then every CPU may call vmm_cpu_main().
 */
void vmm_start(const struct config *config, u32 problems, const struct vmm_file *files, u32 nr_files,
               u64 utc);
u64 vmm_utc_now(void); /* seconds since 1970 */
const struct vmm_file *vmm_find_file(const char *name);
/* The VM of this number has ended for good. */
void vmm_vm_ended(u32 index, enum vm_end how);
/* The machine stays on though no VM runs, until vmm_leave(). false: too late. */
bool vmm_stay(void);
void vmm_leave(void);
/* Starts one that has ended. ERR_EXIST: it has not; ERR_NOENT: there is none of this number, or it is wrong;
 * ERR_INVAL: logged. By who stays. */
int vmm_start_again(u32 index);
u32 vmm_nr_vms(void);
/* The VM of this number runs, or (null) is about to be destroyed. */
void vmm_set_running(u32 index, struct vm *vm);
/* The VM of this number, if it runs and nobody else holds it: it is not destroyed before vmm_let_go(). */
struct vm *vmm_hold(u32 index);
void vmm_let_go(struct vm *vm);
bool vmm_runs(u32 index);
/* Every VM of the configuration has ended, and none is being started again. */
bool vmm_none_left(void);
/* Null: there is no VM of this number in the configuration. */
const struct config_vm *vmm_config(u32 index);
/* Called when the last VM has ended, with the exit status of the whole (documented in the README). */
extern void (*vmm_all_ended)(u32 status);

/* Keys typed at the physical console: for the VM that has them, or for Nidus (console_keys.h). */
void vmm_console_input(const char *data, size_t n);
/* Passes on what was typed; null where an interrupt does. CPU 0 calls it 100 times a second. */
extern void (*vmm_look_at_keys)(void);

#endif
