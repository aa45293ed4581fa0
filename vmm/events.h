/* SPDX-License-Identifier: MIT */
/*
 * What a vCPU takes before its next instruction: the state and the decisions, without a CPU. The seam to the
 * VMCS is vmm/event.c. SDM 325462 volume 3, chapters 'Interrupt and Exception Handling', 'VM Entries' (event
 * injection) and 'VM Exits' (IDT-vectoring information).
 *
 * An event is here only while the CPU does not have it: events_commit() gives it to the CPU, and what was not
 * delivered comes back by events_after_exit(). An exception is first pending: whoever runs the guest may
 * still intercept it, CR2 and DR6 are as they were. Committed, and when it comes back, it is injected: its
 * payload is delivered, nobody intercepts it again.
 */
#ifndef VMM_EVENTS_H
#define VMM_EVENTS_H

#include "arch/x86/vmx_bits.h"
#include "lib/types.h"

enum event_stage {
    EVENT_NONE,
    EVENT_PENDING,  /* exception: may be intercepted. Interrupt: acknowledged, waits until it can be taken */
    EVENT_INJECTED, /* its delivery has begun, and goes on with the next entry */
};

struct event_exception {
    u8 vector; /* 0 to 31 */
    u8 type;   /* INTR_TYPE_HARDWARE_EXCEPTION, _SOFTWARE_EXCEPTION, _PRIVILEGED_SOFTWARE_EXCEPTION (INT1) */
    u8 length; /* of the instruction, 1 to 15; 0 for hardware exceptions */
    bool has_error, has_payload;
    u32 error_code;
    u64 payload; /* #PF: for CR2. #DB: what happened, as in the exit qualification for debug exceptions */
};

struct events {
    union {
        struct {
            u8 exception_stage; /* enum event_stage */
            u8 interrupt_stage;
            bool nmi_injected;
            bool triple_fault;
        };
        u32 due; /* not 0: the next entry has to see to it */
    };
    bool init, sipi; /* INIT and start-up IPI, not yet taken */
    u8 sipi_vector;
    u8 nmi_pending;    /* 0 to 2: one is taken, one is latched behind it */
    u8 interrupt_type; /* INTR_TYPE_EXTERNAL or _SOFTWARE_INTERRUPT */
    u8 interrupt_vector, interrupt_length;
    struct event_exception exception;
    /* As in the VMCS fields of these names, which are newer while the guest runs. SMIs do not exist: Nidus
     * gives a VM no system management mode, and the real ones are the firmware's. */
    u32 interruptibility;
    u64 pending_debug;
};

/* No events, no shadows, as after RESET. */
void events_reset(struct events *ev);

/* --- Raising --- */

/*
 * An exception met by the instruction, or by the delivery, that is under way. With one that is there already
 * it makes a double fault or a triple fault where the SDM says so ('Interrupt 8: Double Fault Exception',
 * tables 'Interrupt and Exception Classes' and 'Conditions for Generating a Double Fault'); else it is taken
 * first. The first then comes again by itself when its instruction is repeated; an external interrupt or NMI
 * is taken later.
 */
void events_raise(struct events *ev, const struct event_exception *x);
/* The CPU is about to shut down; what was being delivered is lost. */
void events_shut_down(struct events *ev);
/* A hardware exception without payload; error_code is used where the vector has one. */
void events_raise_hardware(struct events *ev, u8 vector, u32 error_code);
void events_raise_page_fault(struct events *ev, u32 error_code, gva_t address);
/* happened: as in the exit qualification. A second one that is pending adds to the first. */
void events_raise_debug(struct events *ev, u64 happened);
/* count (0 to 2) more NMIs have arrived. One is latched while another is handled; two while none is, since
 * the first would have been taken at once by a CPU. */
void events_request_nmi(struct events *ev, u32 count);
/* An interrupt controller has been acknowledged. Only when events_next() said EVENT_INTERRUPT and none is
 * here. */
void events_acknowledge(struct events *ev, u8 vector);
/* An instruction that was emulated matched breakpoints, as events_breakpoints() says. */
void events_debug_trap(struct events *ev, u64 breakpoints);
/* INT n is emulated: length in bytes. */
void events_software_interrupt(struct events *ev, u8 vector, u8 length);

/* Has the vector an error code? (Table 'Protected-Mode Exceptions and Interrupts'.) */
bool events_has_error_code(u8 vector);

/* --- Around an exit --- */

struct events_exit {
    u32 idt_info, idt_error_code; /* IDT-vectoring information */
    u32 instruction_length;
    /* Bit 12 of the exit's interruption information or, after an EPT violation and its like, of the exit
     * qualification: an IRET had ended blocking by NMI before it was interrupted. */
    bool unblocked_nmi;
};

/* What the CPU was delivering, or had unblocked, is as before. ev->interruptibility is the VMCS's. */
void events_after_exit(struct events *ev, const struct events_exit *x);
/* An instruction was emulated: shadows end, and with RFLAGS.TF (and not DEBUGCTL.BTF) a single step is due.
 */
void events_skip(struct events *ev, bool single_step);

/* --- Before an entry --- */

enum event_kind {
    EVENT_NOTHING,
    EVENT_TRIPLE_FAULT,
    EVENT_INIT,
    EVENT_EXCEPTION,  /* pending or injected */
    EVENT_DEBUG_TRAP, /* the pending debug exceptions become #DB */
    EVENT_NMI,
    EVENT_INTERRUPT, /* the one that is here, else acknowledge one */
};

struct events_cpu {
    bool interrupts_enabled; /* RFLAGS.IF */
    bool interrupt;          /* an interrupt controller asks */
    bool protected_mode;     /* CR0.PE: exceptions have error codes */
    bool init_blocked;       /* in VMX root operation INIT stays pending */
};

/* The event that is to be taken now. Changes nothing but that EVENT_DEBUG_TRAP is announced, not made. */
enum event_kind events_next(const struct events *ev, const struct events_cpu *cpu);

/* Where exceptions leave their payload. */
struct events_regs {
    u64 cr2, dr6, dr7, debugctl;
};

/* The fields for event injection; info is 0 when nothing is injected. */
struct events_entry {
    u32 info, error_code, length;
};

/*
 * Carries out what events_next() said: EVENT_EXCEPTION, EVENT_DEBUG_TRAP, EVENT_NMI or EVENT_INTERRUPT (which
 * must be here). *regs must hold the guest's values and has them as the handler will
 * see them; for NMIs and interrupts it may be null.
 */
void events_commit(struct events *ev, enum event_kind kind, const struct events_cpu *cpu,
                   struct events_regs *regs, struct events_entry *entry);
/*
 * Whoever runs the guest gets it instead of the CPU: the event that was under way when the guest exited, as
 * IDT-vectoring information (info is 0 when there is none). Exceptions that were only pending are gone: their
 * instruction will meet them again.
 */
void events_surrender(struct events *ev, struct events_entry *idt);
/* Which windows the entry has to ask for, after events_commit(). */
bool events_wants_nmi_window(const struct events *ev);
bool events_wants_interrupt_window(const struct events *ev, const struct events_cpu *cpu);
/* Does anything end a HLT? */
bool events_wake(const struct events *ev, const struct events_cpu *cpu);

/* Takes INIT, false: there is none. All other events are gone; a start-up IPI that came behind it stays. */
bool events_take_init(struct events *ev);
/* Takes a start-up IPI: its vector; -1: none, or the vCPU does not wait for one, and it is lost. */
int events_take_sipi(struct events *ev, bool waiting);

/* DR6 after a debug exception. */
u64 events_dr6(u64 dr6, u64 happened);

/* --- Debug breakpoints of emulated accesses --- */

enum debug_access { DEBUG_WRITE = 1, DEBUG_IO = 2, DEBUG_READ = 3 };

/* What an access to size (1 or more) bytes matches of DR0 to DR3, as in the pending debug exceptions: bits
 * 3:0, and bit 12 if one of them is enabled. SDM, 'Debug Control Register (DR7)' and 'Breakpoint Field
 * Recognition'. */
u64 events_breakpoints(const u64 dr[4], u64 dr7, u64 address, u32 size, enum debug_access access);

#endif
