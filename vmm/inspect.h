/* SPDX-License-Identifier: MIT */
/*
 * What a vCPU holds, for who looks at it from outside: registers, memory and translations of its guest (L1)
 * or of that one's guest (L2), without any side effect that a guest could notice. Called within
 * control_call(): the vCPU is loaded, in its slow path.
 *
 * A level is 1 or 2, or 0: the one that it runs just now. ERR_NOENT: there is no L2, since L1 has no current
 * VMCS.
 */
#ifndef VMM_INSPECT_H
#define VMM_INSPECT_H

#include "arch/x86/vmcs.h"
#include "vmm/walk.h"

struct vcpu;

/* Registers of the list below; ES, CS, SS, DS, FS, GS, LDTR, TR in this order. */
enum inspect_reg {
    IR_GPR, /* 16, as enum reg of arch/x86/gpr.h */
    IR_RIP = 16,
    IR_RFLAGS,
    IR_CR0, /* CR0 and CR4 as the guest reads them */
    IR_CR2,
    IR_CR3,
    IR_CR4,
    IR_CR8,
    IR_EFER,
    IR_XCR0, /* 0: there is none */
    IR_DR0,
    IR_DR6 = IR_DR0 + 4,
    IR_DR7,
    IR_SELECTOR,
    IR_BASE = IR_SELECTOR + 8,
    IR_LIMIT = IR_BASE + 8,
    IR_RIGHTS = IR_LIMIT + 8,
    IR_GDTR_BASE = IR_RIGHTS + 8,
    IR_GDTR_LIMIT,
    IR_IDTR_BASE,
    IR_IDTR_LIMIT,
    NR_INSPECT_REGS
};

struct inspect_regs {
    u32 level;
    /* It is this level that runs. Else its general registers but RSP, and CR2, are where the other level
     * keeps them, and read as 0. */
    bool live;
    u64 r[NR_INSPECT_REGS];
};

int inspect_regs(struct vcpu *v, u32 level, struct inspect_regs *out);
/* Of the level that runs: general registers, RIP, RFLAGS (but for TF, IF, IOPL and VM), CR2.
 * ERR_UNSUPP: another one; ERR_INVAL: RIP not canonical. */
int inspect_set_reg(struct vcpu *v, u32 reg, u64 value);

/* As the CPU has it, or vmcs12 as L1 would read it. Fields that do not exist are 0. ERR_NOENT: there is none.
 */
enum inspect_vmcs { INSPECT_VMCS01, INSPECT_VMCS12, INSPECT_VMCS02 };
int inspect_vmcs(struct vcpu *v, enum inspect_vmcs which, struct vmcs_image *out);

/*
 * Copies memory at an address of the level's, linear or physical, whatever rights a page gives. Returns how
 * many bytes; if fewer than n, *why is ERR_FAULT: its paging says that there is nothing, ERR_INVAL: L1's EPT
 * is malformed, ERR_RANGE: no RAM (devices are not touched), ERR_NOENT: no L2.
 */
u32 inspect_memory(struct vcpu *v, u32 level, bool physical, u64 address, void *buf, u32 n, bool write,
                   int *why);

/* A translation, step by step. */
#define INSPECT_STEPS 5

struct inspect_step {
    gpa_t at;  /* of the entry, as the level has it */
    gpa_t at1; /* the same in L1; equal for L1 itself */
    u64 entry;
};

struct inspect_walk {
    u32 levels;     /* that the paging mode has; 0: paging is off */
    u32 entry_size; /* 4 or 8 bytes */
    bool pdptes;    /* PAE: the first entry is a register */
    u64 cr3;        /* or the EPT pointer */
    u32 nr;
    struct inspect_step step[INSPECT_STEPS]; /* those that were read, from the top */
    /* The end: OK, or as in inspect_memory(). */
    int r;
    u32 error_code; /* ERR_FAULT of a page walk: of the page fault */
    u32 page;       /* WALK_PAGE_*; for EPT: EPT_RWX and EPT_EXEC_USER that all entries give */
    u32 type;       /* EPT: of memory, as ept_map() takes it */
    u64 size;       /* of the page */
    u64 to;         /* what the address is */
    int r1;         /* a page walk of L2: where that is in L1, by L1's EPT */
    gpa_t to1;
};

/* By the level's page tables, without a look at rights. */
int inspect_page_walk(struct vcpu *v, u32 level, gva_t gva, struct inspect_walk *out);
/* By the EPT that the VMCS names; ERR_UNSUPP: it names none (vmcs12 only). */
int inspect_ept_walk(struct vcpu *v, enum inspect_vmcs which, gpa_t gpa, struct inspect_walk *out);

#endif
