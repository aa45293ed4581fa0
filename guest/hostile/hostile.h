/* SPDX-License-Identifier: MIT */
#ifndef GUEST_HOSTILE_H
#define GUEST_HOSTILE_H

#include "guest/common/guest.h"

struct hostile {
    const char *name;
    void (*run)(void);
};

/* xorshift; the seed is the option seed=, so that a run can be repeated. */
u64 random64(void);

/* Ends the guest with a failure, saying why. */
void __noreturn hostile_failed(const char *fmt, ...) __printf(1, 2);

/* Ports whose write ends or resets the machine. */
bool port_ends_machine(u32 port, u32 size);

void hostile_triple(void);
void hostile_idt(void);
void hostile_stack(void);
void hostile_cr3(void);
void hostile_edge(void);
void hostile_nowhere(void);
void hostile_wild(void);
void hostile_mmio(void);
void hostile_msrs(void);
void hostile_ports(void);
void hostile_vmx(void);
void hostile_vmcall(void);
void hostile_insns(void);
void hostile_cr(void);
void hostile_tss(void);
void hostile_int1(void);
void hostile_pfloop(void);
void hostile_irqstorm(void);
void hostile_hog(void);
void hostile_halt(void);

#endif
