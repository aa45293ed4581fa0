/* SPDX-License-Identifier: MIT */
/*
 * Nested VMX: what a vCPU needs to be a CPU with VMX to its guest, L1, and to run L1's guest, L2. Names are
 * the field's: vmcs12 is what L1 wrote for L2, vmcs01 the VMCS that L1 runs with, vmcs02 the one that L2 runs
 * with; ept12 is L1's EPT for L2, and the tables that vmcs02 uses are the shadow EPT. An address 'gpa1' is
 * guest-physical to L1, 'gpa2' to L2.
 */
#ifndef VMM_NESTED_NESTED_H
#define VMM_NESTED_NESTED_H

#include "arch/x86/vmcs.h"
#include "arch/x86/vmx_caps.h"
#include "lib/types.h"
#include "vmm/entry_check.h"
#include "vmm/dev/host.h"
#include "vmm/pv/pv.h"

struct vcpu;
struct vm;
struct guest_cpuid;

/* IA32_VMX_BASIC of L1. */
#define VMCS12_REVISION 0x4e440001u /* "ND", format 1 */
#define VMCS12_SIZE     4096u

#define NO_VMCS (~0ull) /* as current-VMCS pointer or VMXON pointer */

/* A VMCS region as it lies in L1's memory while it is not current; L1 may scribble on it: what is read back
 * is checked by VM entry like any other. */
struct vmcs12 {
    u32 revision; /* bit 31: shadow-VMCS indicator */
    u32 abort;    /* VMX-abort indicator */
    u32 launched; /* launch state */
    u32 reserved;
    struct vmcs_image image;
};
_Static_assert(sizeof(struct vmcs12) <= VMCS12_SIZE, "a VMCS region is a page");

/* What stands in a VMCS that is not loaded, and in struct vcpu for the one that is. */
struct vmcs_ref {
    void *region;
    u64 launched, host_rsp;
    u32 cpu; /* whose host state it has; CPU_NONE */
    union {
        struct {
            bool irq_window, nmi_window;
        };
        u16 windows;
    };
};

/* VMCSs of L1's that a vCPU has at hand, each with a vmcs02 and a VPID of its own. */
#define NESTED_SLOTS 4

/* What is not in vmcs02's own exit information, when an exit is made by Nidus. */
struct nested_exit_info {
    u32 reason;
    u64 qualification;
    u32 interruption_info, interruption_error;
    u32 idt_info, idt_error;
    u64 guest_physical, guest_linear;
    u32 instruction_length, instruction_info;
};

/* The registers that an exit gives L1, worked out once: SDM, 'Loading Host State'. *_kept: the bits that stay
 * as L2 has them. */
struct nested_host {
    u64 cr0, cr4, real_cr4; /* as L1 sees them, and as the CPU has CR4 */
    u64 efer, efer_kept, pat, pat_kept, entry_controls;
    u64 cs_rights, es_rights, ss_rights, ds_rights, fs_rights, gs_rights;
};

#define NESTED_STANDS_IN 1ull

/* Of a vCPU whose VM has nested = on; null in the others. */
struct nested {
    bool vmx_on; /* in VMX operation */
    bool in_l2;  /* in VMX non-root operation: vmcs02 is the one that is loaded */
    gpa_t vmxon_pointer;
    u64 fields[(VMCS_NR_FIELDS + 63) / 64]; /* that exist for L1: bit enum vmcs_index; since VMXON */
    u64 until01;   /* struct vcpu's until, less what L2's preemption timer makes of it */
    u32 *region01; /* vmcs01's */
    paddr_t pa01;
    struct shadow_ept *shadow;   /* shadow_ept.c */
    void *none;                  /* nested_page_or_none()'s, once it was needed */
    u64 stand_in;                /* gpa1 that it is mapped at for L2, and NESTED_STANDS_IN; or 0 */
    bool injects;                /* the coming entry delivers an event that L1 injects */
    bool own_event;              /* Nidus has injected one: L1's fields for that are in vmcs12 only */
    bool exit_soon;              /* ...and an exit to L1 is due right behind it */
    struct nested_exit_info due; /* an exit that the emulation of an instruction has met, if is_due */
    bool is_due;
    bool tsc_moved;           /* L2 or its entry has written the VM's TSC: vmcs01's offset is out of date */
    struct vtimer halt_timer; /* ends the halt of an L2 whose preemption timer runs */
    bool mtf;                 /* L1 has injected a pending MTF VM exit */
    u64 exit_tsc;             /* host TSC at the newest exit that stores MSRs */
    u64 timer_end;            /* host TSC at which L2's preemption timer ends; ~0: it has none */
    u32 slot;                 /* slots.c: where what follows is kept while another vmcs12 is current */
    struct nested_slot *slots[NESTED_SLOTS];

    /* --- from here on: of the current vmcs12 and its vmcs02 --- */

    gpa_t current;
    /* The contents of the current VMCS: while it is current the copy in L1's memory is out of date. */
    struct vmcs12 vmcs12;
    /*
     * What the newest exit left of L2 stays in vmcs02 until somebody asks: vmcs12 has it if synced. checked:
     * vmcs12 has passed all checks and vmcs02 has what it says; only fields of nested_quick[] may have
     * changed since. shadowing: vmcs02 is L1's shadow VMCS, which L1 reads and writes without exits; fields
     * of nested_quick[] are then newer in it.
     */
    bool synced, checked, shadowing;
    struct nested_host host; /* by vmcs12 as it was at the newest whole entry */
    u64 always_l1;           /* exit reasons below 64 that are L1's by a look at vmcs12's controls */
    bool quick_icr;          /* nested_has_own_icr(), and all else about L2's WRMSR is in L1's MSR bitmap */
    bool plain_exit;         /* an exit has no MSRs to move, and a 64-bit L1 that shadows to go to */
    struct entry_env cpu;    /* as L1 believes it to be, at the newest whole entry */
    bool inherits;           /* vmcs02_inherit() has something to do on each entry */
    bool linked;             /* vmcs12 refers to another VMCS */
    u8 quick;                /* entry.c: which of those L1 has written by way of an exit */
    u64 eptp02;              /* as vmcs02 has it */
    u64 tsc_offset01;        /* Nidus's offset when vmcs02 was filled */
    struct vmcs_ref other;   /* vmcs01 while L2 runs, else vmcs02 */
    u32 *region02;           /* vmcs02's */
    paddr_t pa02;
    bool vmcs02_made;      /* it has been set up once */
    bool x2apic_virtual;   /* its MSR bitmap's bits for L2's x2APIC are as vmcs12 had them */
    bool plain_bitmap;     /* vmcs12 has a bitmap, and L2's x2APIC is not in it */
    void *msr_bitmap;      /* of vmcs02 */
    u16 vpid12;            /* whose translations vmcs02's VPID holds */
    bool flush_vpid;       /* they are to be dropped before the next entry */
    bool stale_ept;        /* the shadow EPT must be looked up again before the next entry */
    bool serves_l2;        /* NIDUS_OP_NESTED: L2's hypercalls are Nidus's, where it has them for L2 */
    struct pv_queue queue; /* L2's, in L1's memory */
};

/* --- nested.c: the two VMCSs --- */

/* ERR_NOMEM. */
int nested_create(struct vcpu *v);
void nested_destroy(struct vcpu *v);
/* Loads vmcs02 (l2) or vmcs01. Where the CPU has VMCS shadowing, vmcs02 can be entered while it is loaded,
 * and be L1's shadow VMCS while it is not. */
void nested_switch(struct vcpu *v, bool l2);
/* The vCPU leaves the CPU: VMCSs that are not loaded must not stay in it. */
void nested_unload(struct vcpu *v);
void nested_unload_vmcs(struct vmcs_ref *ref);
/* A vmcs02 that was never used, and no vmcs12: in the part of n that is about them. ERR_NOMEM: it is to be
 * freed. */
int nested_init_vmcs02(struct vcpu *v, struct nested *n);
void nested_free_vmcs02(struct vcpu *v, struct nested *n);

/* --- slots.c: several vmcs12 --- */

/* The one at address is current again, if it is at hand. The one before stays at hand. */
bool nested_recall(struct vcpu *v, gpa_t address);
/* There is no current VMCS; the one before stays at hand. */
void nested_put_aside(struct vcpu *v);
/* All that are at hand go back into L1's memory. */
void nested_release_all(struct vcpu *v);
/* The one at address, which is not current, goes back into L1's memory and is clear. false: it is not at
 * hand. */
bool nested_clear_aside(struct vcpu *v, gpa_t address);
/* Translations of L2 are to be dropped, whichever vmcs12 it runs with. */
void nested_flush_all(struct nested *n);
/* Parts of nested_unload() and nested_destroy(). */
void nested_slots_unload(struct nested *n);
void nested_slots_destroy(struct vcpu *v);

/* --- sync.c: vmcs12 and vmcs02 --- */

/* Fields that L1 writes on almost every entry: RIP, RSP, RFLAGS, interruptibility, event injection and, where
 * the CPU has it, guest interrupt status. */
#define NESTED_NR_QUICK 8
extern const u16 nested_quick[NESTED_NR_QUICK]; /* enum vmcs_index */
bool nested_is_quick(u32 index);
/* Does an L1 of this CPU read vmcs02 as its shadow VMCS? */
extern bool nested_shadows;
static inline bool nested_can_shadow(void)
{
    return nested_shadows;
}
/* ERR_NOMEM; once. */
int nested_shadow_init(void);
/* vmcs02, which is not loaded, is L1's shadow VMCS from now on, or no longer. vmcs01 is loaded. */
void nested_shadow(struct vcpu *v, bool on);
/* Everything of L2 that is in vmcs02 only goes to vmcs12. */
void nested_sync(struct vcpu *v);
/* vmcs12's exit information is of Nidus's making: vmcs02, which is loaded, gets it too, for L1 to read there.
 */
void nested_publish(struct vcpu *v);
/* Nidus is about to inject an event into L2, whose VMCS is loaded. L1 is to find its own fields for that. */
void nested_before_injection(struct vcpu *v);
void nested_quick_written(struct nested *n, u32 index);
/* L1 has written a field of vmcs12 by a VMWRITE that made an exit. */
void nested_written(struct vcpu *v, u32 index);

/* --- caps.c: what L1 is offered --- */

/*
 * The capability MSRs that L1 reads and that VM entry is checked against: the table there, intersected with
 * the CPU's (host) and less what hide = takes away. Of cpuid count what is hidden (nested_hidden, vmx_hidden)
 * and the bits of CR4 that L1 may set.
 */
void nested_caps_build(struct vmx_caps *out, const struct vmx_caps *host, const struct guest_cpuid *cpuid);

/* --- instructions.c: VMXON to VMFUNC, executed by L1 --- */

/* After the exit of one in VMX root operation, or outside of VMX operation. As exit handlers: true to go on
 * at once. */
bool nested_instruction(struct vcpu *v);
/* VMRESUME, of any vCPU. */
bool nested_vmresume(struct vcpu *v);
/* Puts the cached vmcs12 back into L1's memory; there is no current VMCS afterwards. */
void nested_vmcs12_release(struct vcpu *v);

/* RFLAGS and, with a current VMCS, the VM-instruction error field: 'Conventions', chapter 'VMX Instruction
 * Reference'. */
void nested_vmsucceed(struct vcpu *v);
void nested_vmfail_invalid(struct vcpu *v);
void nested_vmfail(struct vcpu *v, enum vmx_instruction_error error);

/* --- vmcs02.c: the merge --- */

/* Fields that L2 has if vmcs12 does not say otherwise; read from vmcs01. */
struct vmcs01_state {
    u64 efer, pat, dr7, debugctl;
};
/* State of L2 that is the same in vmcs12 and vmcs02: enum vmcs_index. */
extern const u16 vmcs02_same[];
extern const u32 vmcs02_nr_same;
/* With vmcs02 loaded: everything that vmcs12 says. */
void vmcs02_fill(struct vcpu *v, const struct vmcs01_state *l1);
/* With vmcs02 loaded: what vmcs12 leaves to L1. */
void vmcs02_inherit(struct vcpu *v, const struct vmcs01_state *l1);
/* With vmcs02 loaded, after a whole entry: what may be different though vmcs12 is the same. */
void vmcs02_refresh(struct vcpu *v);
/* With vmcs02 loaded: L2's state as it is into vmcs12. */
void vmcs02_save(struct vcpu *v);
u64 vmcs02_tsc_offset(struct vcpu *v);
/* With vmcs02 loaded: the EPT that vmcs12 names. */
void vmcs02_use_ept(struct vcpu *v);
/* With vmcs02 loaded, after a write to IA32_TSC or IA32_TSC_ADJUST, which knows of one VMCS and its own
 * offset only. */
void vmcs02_follow_tsc(struct vcpu *v);
/* L2's CR0 and CR4 as vmcs12 has them. */
u64 vmcs02_cr0(struct vcpu *v);
u64 vmcs02_cr4(struct vcpu *v);
void vmcs02_set_cr0(struct vcpu *v, u64 cr0);
void vmcs02_set_cr4(struct vcpu *v, u64 cr4);
/* The host-physical page behind gpa1, for a field of vmcs02; false: no RAM. */
bool nested_page(struct vcpu *v, gpa_t gpa1, paddr_t *pa);
/* The same, but where there is no RAM it is a page that nothing else uses: all ones at first, as L1 would
 * read there. false: no memory for it. */
bool nested_page_or_none(struct vcpu *v, gpa_t gpa1, paddr_t *pa);

/* --- entry.c: VMLAUNCH and VMRESUME after the checks of the instruction itself --- */

/*
 * L1 is at the instruction, whose privilege, MOV SS blocking, current VMCS and launch state are good: checks
 * vmcs12 and enters L2, or fails as the SDM says. Like an exit handler: true to go on at once, with whoever
 * is current.
 */
bool nested_enter(struct vcpu *v);

/* --- exit12.c: VM exits from L2 to L1 --- */

/* L2 exits to L1 as the CPU's exit just now says. true: L1 can go on at once. */
bool nested_reflect(struct vcpu *v);
/* The same, but for the exit qualification. */
bool nested_reflect_as(struct vcpu *v, u64 qualification);
/* L2 exits to L1 with this. */
void nested_exit_with(struct vcpu *v, const struct nested_exit_info *x);
/* Loads L1's host state into vmcs01, which is loaded: the end of an entry that fails late. efer, pat: as they
 * are then, for what the exit controls leave alone. */
void nested_load_host(struct vcpu *v, u64 efer, u64 pat);
/* vmcs12 has passed all checks: what every exit by it needs. */
void nested_prepare_exit(struct vcpu *v);
/* VMX abort: L1's CPU shuts down. indicator: 'VMX Aborts'. */
void nested_abort(struct vcpu *v, u32 indicator);

/* --- route.c: exits of L2 --- */

/* vmcs12 has passed all checks: which exits are L1's. */
void nested_prepare_routes(struct vcpu *v);
/* Called by entry.S in place of vmx_exit(). */
bool nested_l2_exit(struct vcpu *v);

/* What vcpu_physical() of vmm/mmio_host.h is to L2. */
int nested_physical(struct vcpu *v, gpa_t *gpa, u32 access);

/* --- pml.c: L1's page-modification log, with vmcs02 loaded and EPT --- */

/* Nothing can be logged: no flag of ept12 may be set. */
bool nested_pml_full(struct vcpu *v);
/* A dirty flag of ept12 was set for an access to gpa2, and the log was not full. */
void nested_pml_log(struct vcpu *v, gpa_t gpa2);

/* --- vmfunc.c: VMFUNC executed by L2, as an exit handler --- */

bool nested_vmfunc(struct vcpu *v);

/* --- pending.c: what may be an exit to L1 between two entries --- */

/* Without the device lock, before vcpu_deliver_events(): L2 exits to L1 if something that waits is for it. */
void nested_before_entry(struct vcpu *v);
/* With the device lock: L2 is halted, and must be woken when its preemption timer ends. */
void nested_before_halt(struct vcpu *v);

/* --- apicv.c: L2's virtual APIC, where the CPU does not see to it --- */

/* SDM, 'VM Exits Induced by the TPR Threshold'. */
bool nested_tpr_below_threshold(struct vcpu *v);
/* L2 is halted. SDM, 'Virtual-Interrupt Delivery': is there one that ends it? */
bool nested_virtual_interrupt(struct vcpu *v);
/* After an EPT violation: the IDT-vectoring information of a virtual interrupt. */
void nested_correct_vectoring(struct vcpu *v);

/* --- posted.c: posted interrupts --- */

/* An interrupt of L1's has been acknowledged while L2 runs. true: it was the notification of posted ones,
 * and they are in L2's virtual APIC now. */
bool nested_posted_interrupt(struct vcpu *v, u32 vector);

/* --- ipi.c: IPIs of L2 that are no exits to L1 --- */

/* Does vmcs12 say so? */
bool nested_virtualizes_ipis(struct vcpu *v);
/* After an APIC-write VM exit. true: it was L2's ICR, and the IPI is sent. */
bool nested_ipi_written(struct vcpu *v);
/* Does vmcs12 give L2 an ICR of its own by WRMSR to IA32_X2APIC_ICR? */
bool nested_has_own_icr(struct vcpu *v);
/* L2 is at one. asked: L1's MSR bitmap makes no exit of it. true: the instruction is done; always if asked.
 */
bool nested_ipi_msr(struct vcpu *v, bool asked);

/* --- cr.c: L2's accesses to control registers, for route.c --- */

bool nested_wants_cr(struct vcpu *v);
bool nested_own_cr(struct vcpu *v);

/* --- bitmaps.c: L1's bitmaps. Reading L1's memory is their only side effect; a page that cannot be read
 * means 'exit' --- */

/* Would the access exit by vmcs12's controls? msr: RDMSR or WRMSR. port: size 1, 2 or 4 bytes. */
bool nested_msr_exits(struct vcpu *v, u32 msr, bool write);
bool nested_port_exits(struct vcpu *v, u16 port, u32 size);
/* Once the VM has its own MSR bitmap. */
void nested_bitmaps_init(struct vm *vm);
/* Fills vmcs02's MSR bitmap, which begins with all ones: an access exits if L1's or the VM's own bitmap says
 * so. With 'virtualize x2APIC mode' in vmcs12 L1's alone speaks of what the CPU then virtualizes: vmcs02 is
 * to have its controls for that too. */
void nested_merge_msr_bitmap(struct vcpu *v);
/* The same, for a vmcs12 with the same controls: L1's bitmap may be another. */
void nested_merge_again(struct vcpu *v);

/* --- msr_lists.c: MSR-load and MSR-store areas in L1's memory. They move the VM's MSRs, and fields of the
 * current VMCS: after one that was loaded IA32_TSC may have moved v->tsc_offset, from which the TSC offsets
 * of vmcs01 and vmcs02 follow --- */

/* VM entry's MSR-load area, once vmcs02 is current and holds L2's state. All rows of it have passed the
 * checks but for what WRMSR says: 0, or the number of the entry (from 1) that fails. */
u32 nested_load_entry_msrs(struct vcpu *v);
/* VM exit's areas; false: VMX abort. The first while vmcs02 is still current, the second once vmcs01 is and
 * holds L1's host state. */
bool nested_store_exit_msrs(struct vcpu *v);
bool nested_load_exit_msrs(struct vcpu *v);

/* --- shadow_ept.c: a vCPU's shadow EPT, which is to ept12 what a TLB is to page tables --- */

enum shadow_result {
    SHADOW_OK,        /* filled: L2 may go on */
    SHADOW_VIOLATION, /* L1's: reflect an EPT violation with *qualification */
    SHADOW_MISCONFIG, /* L1's: reflect an EPT misconfiguration */
    SHADOW_LOG_FULL,  /* L1's: reflect a page-modification log-full event */
    SHADOW_DEVICE,    /* L1 maps it to *gpa1, which is no RAM of L1's */
    SHADOW_NO_MEMORY, /* Nidus has no memory for tables, even after dropping all */
};

/* Allocates; a VM without memory for it is ERR_NOMEM. */
int shadow_ept_create(struct vcpu *v);
void shadow_ept_destroy(struct vcpu *v);
/* With an EPTP of L1's: mode-based execute control. VM entry takes none with this bit. */
#define SHADOW_MODE_BASED BIT(63)
/* The EPT pointer for vmcs02 when L1 enters with ept12 as given; what was cached for that pointer is still
 * good. */
u64 shadow_ept_use(struct vcpu *v, u64 eptp12);
/* L2 met an EPT violation at gpa2 (qualification: the exit's, of vmcs02). */
enum shadow_result shadow_ept_fill(struct vcpu *v, gpa_t gpa2, u64 qualification, gpa_t *gpa1, u64 *reflect);
/* The vCPU has come to another CPU, where translations of before may be cached. */
void shadow_ept_moved(struct vcpu *v);
/* INVEPT by L1: single context (eptp12 bits 51:12 count), or all. */
void shadow_ept_invalidate(struct vcpu *v, u64 eptp12);
void shadow_ept_invalidate_all(struct vcpu *v);
/* Translation of L2's physical address through the ept12 in use, for emulation: access is EPT_READ,
 * EPT_WRITE, EPT_EXEC, with EPT12_PAGING (ept12.h) if it is to L2's paging structures, EPT12_USER if it is by
 * a user-mode linear address. */
enum shadow_result shadow_ept_translate(struct vcpu *v, gpa_t gpa2, u64 access, gpa_t *gpa1, u64 *reflect);

#endif
