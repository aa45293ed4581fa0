/* SPDX-License-Identifier: MIT */
/* A vCPU's registers and linear memory (RAM or devices) for the emulator. */
#ifndef VMM_GUEST_ACCESS_H
#define VMM_GUEST_ACCESS_H

#include "arch/x86/trap.h"
#include "vmm/emulate.h"
#include "vmm/walk.h"

struct vcpu;

/* For the time of one exit. */
struct guest_access {
    struct vcpu *vcpu;
    struct walk_ctx walk;
    /* A page whose translation the exit has told; what lies there is a device. */
    bool known, known_write;
    gva_t known_gva;
    gpa_t known_gpa;
    /* The paging-structure entries that walks have read, as far as there is room; may be null. */
    struct word_match *trace;
    u32 nr_trace, max_trace; /* nr_trace goes on beyond max_trace */
    /* A breakpoint is enabled; what accesses have matched. */
    bool watched;
    u64 matched;
    struct emu emu; /* with its ctx pointing back here */
};

/* rip and mode of g->emu are those of the instruction at CS:RIP. */
void guest_access_init(struct guest_access *g, struct vcpu *v);

/* Translates an address within one page. access: WALK_*. */
enum emu_result guest_translate(struct guest_access *g, gva_t gva, u32 access, gpa_t *out,
                                struct emu_fault *fault);

/* The fault goes to the vCPU. */
void guest_raise(struct vcpu *v, const struct emu_fault *f);

/*
 * After the emulation: RIP, or the fault, goes to the vCPU. OK; ERR_UNSUPP: result was EMU_UNSUPP, nothing is
 * done.
 */
int guest_access_finish(struct guest_access *g, enum emu_result result);

#endif
