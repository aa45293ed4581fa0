/* SPDX-License-Identifier: MIT */
/* The VMM's two main objects, a VM and its vCPUs, and what the parts of the VMM's core ask of each other. */
#ifndef VMM_VM_H
#define VMM_VM_H

#include "arch/x86/gpr.h"
#include "arch/x86/pool.h"
#include "arch/x86/trap.h"
#include "arch/x86/vmcs.h"
#include "lib/packed.h"
#include "lib/spinlock.h"
#include "vmm/bus.h"
#include "vmm/config.h"
#include "vmm/console.h"
#include "vmm/cpuid.h"
#include "vmm/dev/host.h"
#include "vmm/ept.h"
#include "vmm/event.h"
#include "vmm/halt_poll.h"
#include "vmm/extents.h"
#include "vmm/control.h"
#include "vmm/debug.h"
#include "vmm/load.h"
#include "vmm/mmio_fast.h"
#include "vmm/msr.h"
#include "vmm/nested/nested.h"
#include "vmm/pi_desc.h"
#include "vmm/pv/pv.h"

/* Bits of vcpu->requests: something to look at before the next entry. */
enum {
    REQ_KICK = BIT(0), /* look again: interrupt, timer, end of the VM, schedule */
    REQ_INIT = BIT(1),
    REQ_SIPI = BIT(2), /* vector in sipi_vector */
    REQ_NMI = BIT(3),
    REQ_QUEUE =
        BIT(4), /* the queue of its area has not been served yet: soon, but not before the next entry */
    REQ_NMI2 = BIT(5),  /* a second NMI is latched behind the first */
    REQ_POLL = BIT(6),  /* platform_poll() */
    REQ_FLUSH = BIT(7), /* drop the translations of its own page tables */
    REQ_CALL = BIT(8),  /* control_call() */
    /* These two stay until they are taken back: it does not enter its guest. */
    REQ_HELD = BIT(9),     /* by a person */
    REQ_STOPPED = BIT(10), /* by itself: vcpu_stop() */
    REQ_DEBUG = BIT(11),   /* stays too: debug_before_entry() each time */
};

#define REQ_HOLDS (REQ_HELD | REQ_STOPPED)

/* What the vCPU would do if it were given a CPU. */
enum vcpu_activity { VCPU_ACTIVE, VCPU_HALTED, VCPU_WAIT_SIPI };

/* Where the scheduler has it; changed under its home CPU's lock. */
enum vcpu_sched { SCHED_NEW, SCHED_QUEUED, SCHED_RUNNING, SCHED_BLOCKED, SCHED_DEAD };

/* An access to a port, to be made again in the same way. */
struct port_access {
    u32 qualification, size; /* of the exit */
    u64 seq;                 /* of the bus; 0: nothing is remembered here */
    const struct bus_ops *ops;
    void *dev;
    struct spinlock *lock;
    u64 offset;
    u64 mask; /* of the size's bits */
    u64 kept; /* what IN leaves of RAX */
};

#define VCPU_PORTS_SHIFT 4

struct vcpu {
    u64 gpr[NR_REGS]; /* first: entry.S knows the offsets; RSP lives in the VMCS */
    u64 launched;     /* next entry by VMRESUME; entry.S */
    u64 host_rsp;     /* as it stands in the VMCS */
    bool (*on_exit)(struct vcpu *v), (*on_l2_exit)(struct vcpu *v); /* whom entry.S calls */
    u64 (*enter)(struct vcpu *v);                                   /* vmx_enter(), as a rule */
    u64 requests;                                                   /* REQ_*, atomic */
    struct vm *vm;
    u32 id;
    enum vcpu_activity activity;
    struct events events;
    const struct guest_cpuid *cpuid;
    struct vcpu_msrs msrs;
    union {
        void *apic_pages;
        struct pi_desc *pid; /* which they begin with */
    };
    struct lapic *lapic;      /* in these pages; null at first */
    u64 apicv_mode;           /* what vmcs01 is for; 0: nothing yet */
    u64 eoi_exits[PIR_WORDS]; /* as vmcs01 has them */
    bool posted;              /* what is posted is notified by its descriptor */
    u64 tsc_offset;           /* guest TSC = host TSC + this */

    void *vmcs;
    u32 vmcs_cpu; /* the physical CPU where the VMCS is active; CPU_NONE */
    u32 tlb_cpu;  /* the physical CPU where it ran last: only there its cached translations are of today */
    u8 sipi_vector;
    union {
        struct {
            bool irq_window, nmi_window; /* as the VMCS has them */
        };
        u16 windows; /* both */
    };

    /* Registers that stay in the CPU while other exits are handled, saved when another vCPU comes. */
    void *fpu; /* XSAVE area */
    u64 xcr0;
    u64 cr2;
    u64 dr[4], dr6;

    enum vcpu_sched sched;
    u32 home;         /* physical CPU that runs it or looks after its timers */
    s32 pin;          /* CONFIG_PIN_ANY or the only CPU */
    struct list node; /* run queue or sleepers of its home */
    u64 ready_since;  /* host TSC when it was last put into a queue */
    u64 waited;       /* ticks that it has been ready and had no CPU */
    u64 slice_end;    /* host TSC */
    u64 until;        /* host TSC: when the slow path must look at timers and at the slice's end */

    struct list timers; /* armed vtimers, earliest first */
    u64 deadline; /* of the first, host TSC; ~0: none. Written with the device lock held, read anywhere */

    u64 pdpte[4];  /* copy of the PDPTE registers, for a walk */
    u64 exits[80]; /* by reason */
    struct mmio_move moves[MMIO_MOVES];
    struct port_access ports[1 << VCPU_PORTS_SHIFT]; /* exit_io.c */

    struct nested *nested; /* null: this VM has no VMX */

    struct bus own_pio, own_mmio; /* devices that only this vCPU sees */
    struct bus_view pio, mmio;    /* its accesses, to these and to the VM's */

    struct halt_poll halt;
    bool polling;     /* its CPU looks at its requests in a loop */
    u64 halted_since; /* host TSC; 0: it is not halted, or has not blocked yet */
    u64 polled;       /* halts that ended while its CPU looked */
    u64 turn;         /* odd: its guest may be running, and has not seen requests that came meanwhile */
    struct pv_vcpu pv;
    struct observed *observed; /* observe.h; null: it is not */
    struct vcpu_call *call;
    struct vcpu_stop stop; /* the newest */
    struct vcpu_debug debug;
};

#define CPU_NONE (~0u)

static inline bool vcpu_is_held(const struct vcpu *v)
{
    return __atomic_load_n(&v->requests, __ATOMIC_RELAXED) & REQ_HOLDS;
}

/* In VMX operation as the guest sees it. */
static inline bool vcpu_in_vmx(const struct vcpu *v)
{
    return v->nested && v->nested->vmx_on;
}

/* In VMX non-root operation: its guest runs. */
static inline bool vcpu_in_l2(const struct vcpu *v)
{
    return v->nested && v->nested->in_l2;
}

/* 1, or 2 in L2. */
static inline u8 vcpu_level(const struct vcpu *v)
{
    return vcpu_in_l2(v) ? 2 : 1;
}

static inline bool vcpu_has_vmcs12(const struct vcpu *v)
{
    return vcpu_in_vmx(v) && v->nested->current != NO_VMCS;
}

/* In VMX root operation. */
static inline bool vcpu_in_vmx_root(const struct vcpu *v)
{
    return vcpu_in_vmx(v) && !v->nested->in_l2;
}

/*
 * Before its requests are looked at, and once its guest runs no more: who has asked something of v, and then
 * finds v->turn even or changed, knows that its guest does not run before it is done. v's own CPU only.
 */
static inline void vcpu_step_in(struct vcpu *v)
{
    __atomic_store_n(&v->turn, (v->turn + 1) | 1, __ATOMIC_SEQ_CST);
}

static inline void vcpu_step_out(struct vcpu *v)
{
    __atomic_store_n(&v->turn, (v->turn | 1) + 1, __ATOMIC_RELEASE);
}

#define VM_MSR_WORDS (11 * OR_WORDS_STEP)

struct vm {
    const struct config_vm *config;
    u32 index;
    struct frame_owner owner;
    u64 start_tsc; /* host TSC at VM time 0 */
    u64 memory;

    struct spinlock mem_lock; /* RAM and its population, EPT, host space */
    struct extents ram;
    struct ept ept;
    u64 eptp;
    paddr_t space; /* HOST_CR3 */
    u16 vpid_base;

    struct spinlock dev_lock;
    struct bus_domain buses; /* its own and its vCPUs' */
    struct bus pio, mmio;
    struct platform *platform;
    u8 *arena; /* of vm_alloc: the current page run and how much of it is left */
    size_t arena_left;
    struct arena_run *runs;

    u8 *io_bitmaps; /* null: all ports exit */
    u8 *msr_bitmap;
    u8 *msr_bitmap_x2; /* with what APICv does in x2APIC mode; null: it does not */
    enum config_apic apic;
    u64 *pid_pointers;     /* IPI virtualization's table; null: there is none */
    void *access_page;     /* where APIC accesses are virtualized, */
    bool access_page_used; /* while the EPT has it */
    u32 nr_msr_words;      /* 64-bit words of it that let something through */
    struct or_word msr_words[VM_MSR_WORDS];
    struct vmx_caps nested_caps; /* what L1 is offered, where nested = on */
    struct console_line line;
    struct guest_cpuid cpuid;
    struct msr_refused msr_refused;
    struct pv_vm pv;
    u32 nr_vcpus, live_vcpus;
    struct vcpu *vcpus[CONFIG_MAX_VCPUS];

    struct spinlock held; /* by who needs it to stay, vmm_hold(), and by who destroys it */
    u32 ending;           /* set once */
    u32 crashed;          /* set once, with crash = keep */
    bool again;           /* it is to be started again in any case */
    enum vm_end how;
    char why[96];
    u32 restarts;
    u32 reports; /* made of instructions that cannot be emulated */
};

/* For control_vm(): *born tells it from others that have its number before or after. */
static inline void vm_get_born(struct vm *vm, void *born)
{
    *(u64 *)born = vm->start_tsc;
}

/* --- vm.c: life of a VM --- */

/* Builds the VM, loads its kernel and queues its vCPUs. false: the reason is logged. */
bool vm_start(const struct config_vm *config, u32 index, u32 restarts);
/* Stops the VM because of something that it did or that Nidus cannot go on with: crash, with a line in the
 * log. */
void vm_crash(struct vcpu *vcpu, const char *fmt, ...) __printf(2, 3);
#define vm_crash(vcpu, ...) vm_crash(vcpu, PACK __VA_ARGS__)

/* A person ends it; again: to start it anew. While it is held. */
void vm_stop(struct vm *vm, bool again, const char *why);
/* A vCPU has left its CPU for good; with the last one the VM ends. */
void vm_vcpu_left(struct vm *vm);

/* --- memory.c --- */

int vm_memory_init(struct vm *vm);
void vm_memory_free(struct vm *vm);
/* Gives the RAM at gpa its (scrubbed) memory, if there is RAM. ERR_RANGE: there is none; ERR_NOMEM. */
int vm_populate(struct vm *vm, gpa_t gpa);
/* Whether there is RAM as the VM is configured, or nothing as long as it has released it. */
bool vm_may_be_ram(const struct vm *vm, gpa_t gpa);
/*
 * For ballooning: pieces of 2 MiB above the first, by one vCPU of the VM at a time. vm_memory_take() unmaps
 * what piece->gpa and size say, or less of it, and tells what that was; *tables are unlinked tables of the
 * EPT. When no CPU can have any of it cached vm_memory_settle() frees it all, or puts the memory back, empty.
 * ERR_RANGE: no RAM; ERR_NOMEM.
 */
int vm_memory_take(struct vm *vm, struct vm_extent *piece, paddr_t *tables);
void vm_memory_settle(struct vm *vm, const struct vm_extent *piece, paddr_t tables, bool put_back);
/* New memory. ERR_EXIST: a part is RAM; ERR_NOMEM. */
int vm_memory_add(struct vm *vm, gpa_t gpa, u64 size);
/* Zeroes frames that are to be a guest's. */
void vm_scrub(paddr_t pa, u64 size);
/* The VM's own device, at the same address; mapped for the guest only. Null, or why that cannot be. */
const char *vm_map_device(struct vm *vm, paddr_t pa, u64 size);
/* Makes this CPU see vm's memory at VM_BASE (null: no VM's). */
void vm_use_space(struct vm *vm);

/* --- vcpu.c --- */

struct vcpu *vcpu_create(struct vm *vm, u32 id);
void vcpu_destroy(struct vcpu *v);
/* Registers as after RESET# (vCPU 0) or INIT: real mode, or the state that a boot protocol asks for. */
void vcpu_reset(struct vcpu *v);
void vcpu_set_start(struct vcpu *v, const struct start_state *s);
/* Makes its VMCS current on this CPU and loads the registers that are not in it. */
void vcpu_load(struct vcpu *v);
/* Its VMCS is current. What this CPU has cached of its page tables is forgotten, as by a new CR3. */
void vcpu_flush_tlb(struct vcpu *v);
/* The same, but never those of L2. */
void vcpu_flush_own_tlb(struct vcpu *v);
/* The opposite: registers saved, VMCS cleared so that another CPU may take it. */
void vcpu_unload(struct vcpu *v);
/* vcpu_step_in() in the middle of an exit: what others have asked of it since vcpu_step_out() is looked at
 * before its guest goes on, and a flush is made at once, since the exit may still use the VM's memory. */
void vcpu_step_back_in(struct vcpu *v);

#define VCPU_VPIDS (1 + NESTED_SLOTS)

/* The VPID of its own translations, and those of what it runs with the VMCSs of struct nested's slots. */
static inline u16 vcpu_vpid(const struct vcpu *v, u32 n)
{
    return (u16)(v->vm->vpid_base + VCPU_VPIDS * v->id + n);
}

static inline u16 nested_vpid02(const struct vcpu *v)
{
    return vcpu_vpid(v, 1 + v->nested->slot);
}

/* --- entry.S --- */

/* Enters the guest again and again until vmx_exit() returns false. Returns 0, or RFLAGS of a VMfail (CF or
 * ZF). */
u64 vmx_enter(struct vcpu *v);
/* --- exit.c --- */
bool vmx_exit(struct vcpu *v);

/* --- exit_cr.c --- */

/* Bits of CR0 that the guest cannot change without an exit: the guest/host mask of vmcs01. */
u64 vcpu_cr0_mask(const struct vcpu *v);
/* v->nested->vmx_on has changed, vmcs01 is current: the mask follows. */
void vcpu_vmx_operation_changed(struct vcpu *v);

/* --- run.c, sched.c --- */

/* The CPU's main loop: runs vCPUs, idles. */
void __noreturn vmm_cpu_main(void);
/* Sets REQ_KICK and other bits of v->requests: it leaves its guest, or wakes, to look at them. */
void vcpu_request(struct vcpu *v, u64 bits);
/* v's REQ_KICK has just been set: it leaves its guest, or wakes. */
void sched_tell(struct vcpu *v);

/* vcpu_kick(), inline. */
static inline void vcpu_kick_quickly(struct vcpu *v)
{
    if (!(__atomic_fetch_or(&v->requests, (u64)REQ_KICK, __ATOMIC_SEQ_CST) & REQ_KICK) &&
        __atomic_load_n(&v->sched, __ATOMIC_ACQUIRE) != SCHED_QUEUED)
        sched_tell(v);
}

/* posted.c: the notification that is due when ON has been set. */
void posted_notify(struct vcpu *v);

/* vcpu_notify(), inline. */
static inline void vcpu_notify_quickly(struct vcpu *v)
{
    if (likely(v->posted))
        posted_notify(v);
    else
        vcpu_kick_quickly(v);
}

/* A new vCPU is ready. */
void sched_add(struct vcpu *v);
/* v leaves its CPU, which is this one, to others that wait for it, to (may be null) before them. false: none
 * waits. */
bool sched_give_way(struct vcpu *v, struct vcpu *to);
/*
 * What has been asked of the vCPUs in mask (bit: number), in memory that they look at before they enter the
 * guest: returns once none of their guests runs that has not seen it. self: the vCPU that waits, whose own
 * guest does not run either then; null: the caller is none. Its CPU holds no lock that one of them may want.
 */
void vm_wait_until_seen(struct vm *vm, struct vcpu *self, u64 mask);

#endif
