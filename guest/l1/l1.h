/* SPDX-License-Identifier: MIT */
/*
 * A hypervisor whose guests are a few instructions each. It and its guest, L2, share one address space:
 * linear and guest-physical addresses are L1's, so that L1 sees what L2 did.
 */
#ifndef GUEST_L1_L1_H
#define GUEST_L1_L1_H

#include "guest/common/test.h"
#include "guest/l1/vmx.h"

/* --- vmcs.c: VMX operation, and the VMCS that every test begins with --- */

struct l1_caps {
    u64 basic, misc, ept_vpid;
    u32 must[VMX_NR_WORDS], may[VMX_NR_WORDS]; /* allowed-0 and allowed-1 settings */
    u64 physical;                              /* first address that is too wide */
};
extern struct l1_caps caps;

extern u8 vmxon_region[4096], vmcs_region[2][4096];

/* With the option 'bare', for the bare emulated CPU, which does it otherwise than the manual: skips the test.
 */
bool lab_lacks(const char *how);
/* False: this machine has no VMX for us, and why. */
bool vmx_available(const char **why);
void vmx_start(void); /* VMXON, when VMX operation is off */
void vmx_stop(void);
bool vmx_can(enum vmx_word word, u64 controls);
/* Sets controls of the VMCS; false, and the test is skipped, where the CPU has not got them. */
bool need(enum vmx_word word, u64 controls);

/* --- L2 --- */

#define NO_ENTRY       0x1000000u /* from l2_run(): and the VM-instruction error */
#define NO_ENTRY_EMPTY 0x2000000u /* VMfailInvalid */
#define ENTRY_FAILURE  0x80000000u

struct l2 {
    u64 gpr[NR_REGS];
    bool launched;
};
extern struct l2 l2;

/* A fresh VMCS, current, and L2 at code with its stack and interrupts off. With EPT, unless ept=off. */
void l2_new(const void *code);
/* Enters L2: its exit reason with bit 31, NO_ENTRY | error, or NO_ENTRY_EMPTY. */
u32 l2_run(void);
/* Behind the instruction that exited; what blocked events for it is over. */
void l2_skip(void);
/* expect() that L2 exits with that reason. */
void l2_expect(u32 reason, const char *what);
/* That reason; then L2 goes on behind the instruction. */
void l2_expect_and_skip(u32 reason, const char *what);
bool l2_has_ept(void);

/* L2's IDT: each vector's entry is a VMCALL of 16 bytes. The vector whose entry L2 is at, or -1. */
int l2_vector(void);
void l2_expect_vector(int vector, const char *what);
/* From now on another one, with interrupts off. */
void l2_set_entry(u32 vector, const void *code);

/* L2's code: assembly with the label name in front. */
#define L2_CODE(name, text) \
    extern const u8 name[]; \
    asm(".pushsection .text." #name ", \"ax\"\n" #name ":\n" text "\nvmcall\nud2\n.code64\n.popsection")

/* --- ept.c --- */

#define EPT_R     BIT(0)
#define EPT_W     BIT(1)
#define EPT_X     BIT(2)
#define EPT_RWX   7ull
#define EPT_WB    (6ull << 3)
#define EPT_LARGE BIT(7)
#define EPT_A     BIT(8)
#define EPT_D     BIT(9)

/* One to one below 4 GiB; the tests' page is mapped by 4 KiB. Every l2_new() makes it anew. */
u64 ept_build(void);
/* The entry that maps the tests' page, of 4 KiB; of the 2 MiB around it; of its GiB. */
u64 *ept_entry(u32 level);
/* Two pages of RAM for the tests, in 2 MiB of their own: what a test does to their mapping cannot hit L2's
 * code. */
#define TEST_PAGES MiB(8)
extern u8 *const page;
void ept_flush(void);

extern const struct test instruction_tests[], entry_tests[], guest_state_tests[], exit_tests[],
    bitmap_tests[], control_tests[], exception_tests[], event_tests[], injection_tests[], msr_tests[],
    apic_tests[], ept_tests[], mode_tests[], again_tests[];
extern const struct test feature_tests[]; /* features.c */
extern const struct test pml_tests[];
extern const struct test mode_based_tests[];
extern const struct test apicv_tests[];
extern const struct test hypercall_tests[];
extern const struct test ipiv_tests[];
void ipiv_bench(void);
void bench_run(void);
void stay(bool in_l2);
void debugged_run(void);
/* count VMCSs from number from on, of the series of that seed. */
void verdicts_run(u64 seed, u64 from, u64 count);

#endif
