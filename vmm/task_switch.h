/* SPDX-License-Identifier: MIT */
/*
 * Hardware task switches, which always make a VM exit: SDM 325462 volume 3, chapter 'Task Management', above
 * all 'Task Switching', and 'Treatment of Task Switches'. Pure logic: registers are plain data, memory is
 * accessed by vmm/guest_access.h.
 */
#ifndef VMM_TASK_SWITCH_H
#define VMM_TASK_SWITCH_H

#include "arch/x86/gpr.h"
#include "vmm/guest_access.h"

/* As in the exit qualification for task switches. */
enum task_source { TASK_CALL, TASK_IRET, TASK_JMP, TASK_GATE };

struct task_switch {
    enum task_source source;
    u16 selector;  /* of the new TSS */
    bool external; /* the event is no INT n, INT3 or INTO: error codes have EXT */
    bool has_error;
    u32 error_code; /* of the event, for the new stack */
};

#define TASK_GPRS 8

/* What of the registers takes part. */
struct task_cpu {
    u32 gpr[TASK_GPRS];
    u32 eip; /* before: where the old task goes on */
    u32 eflags;
    u64 cr0, cr3, dr7;
    u64 pdpte[4]; /* after a change of CR3 with PAE paging */
    u16 selector[NR_ALL_SEGS];
    struct segment seg[NR_ALL_SEGS];
    u32 gdt_base, gdt_limit;
    bool debug_trap; /* after: the new TSS has T set */
};

enum task_result {
    TASK_DONE,
    TASK_FAULT_OLD, /* nothing has happened: raise g->emu.fault in the old task */
    TASK_FAULT_NEW, /* the switch is done, but for what is faulty: raise it in the new task */
    TASK_UNSUPP,    /* a TSS, a descriptor table or page tables outside of RAM */
};

/* *cpu is the old task's and becomes the new one's. */
enum task_result task_switch(struct guest_access *g, struct task_cpu *cpu, const struct task_switch *s);

#endif
