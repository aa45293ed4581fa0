/* SPDX-License-Identifier: MIT */
#include "vmm/events.h"
#include "arch/x86/regs.h"
#include "lib/string.h"

#define NMI_LATCHES      2
#define SHADOWS          ((u32)(INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS))
#define DR6_B0_B3        0xfull
#define DR6_BLD          BIT(11)
#define DR6_RTM          BIT(16)
#define DR6_LOW          (DR6_BLD | DR6_RTM) /* these say that something happened by being 0 */
#define DR6_HIGH         (DR6_B0_B3 | BIT(13) | BIT(14) | BIT(15))
#define DEBUGCTL_LBR_BTF (BIT(0) | BIT(1))
#define DR7_GD           BIT(13)
#define DR7_ON(n)        (3ull << (2 * (n))) /* Ln, Gn */
#define DR7_RW(d, n)     ((u32)((d) >> (16 + 4 * (n))) & 3)
#define DR7_LEN(d, n)    ((u32)((d) >> (18 + 4 * (n))) & 3)

#define VEC_VE 20
#define VEC_CP 21

/* Table 'Interrupt and Exception Classes'. */
enum class { BENIGN, CONTRIBUTORY, PAGE_FAULT, DOUBLE_FAULT, NR_CLASSES };

static const u8 class_of[32] = {
    [VEC_DE] = CONTRIBUTORY, [VEC_DF] = DOUBLE_FAULT, [VEC_TS] = CONTRIBUTORY,
    [VEC_NP] = CONTRIBUTORY, [VEC_SS] = CONTRIBUTORY, [VEC_GP] = CONTRIBUTORY,
    [VEC_PF] = PAGE_FAULT,   [VEC_VE] = PAGE_FAULT,   [VEC_CP] = CONTRIBUTORY,
};

/* Table 'Conditions for Generating a Double Fault', and for the first a double fault: shutdown. */
enum outcome { SERIALLY, DOUBLE, SHUTDOWN };

static const u8 outcomes[NR_CLASSES][NR_CLASSES] = {
    /* second:       benign, contributory, page fault, double fault */
    [BENIGN] = {SERIALLY, SERIALLY, SERIALLY, SERIALLY},
    [CONTRIBUTORY] = {SERIALLY, DOUBLE, SERIALLY, SERIALLY},
    [PAGE_FAULT] = {SERIALLY, DOUBLE, DOUBLE, SERIALLY},
    [DOUBLE_FAULT] = {SERIALLY, SHUTDOWN, SHUTDOWN, SHUTDOWN},
};

#define ERROR_CODES                                                                                    \
    (BIT(VEC_DF) | BIT(VEC_TS) | BIT(VEC_NP) | BIT(VEC_SS) | BIT(VEC_GP) | BIT(VEC_PF) | BIT(VEC_AC) | \
     BIT(VEC_CP))

bool events_has_error_code(u8 vector)
{
    return vector < 32 && (ERROR_CODES >> vector & 1);
}

void events_reset(struct events *ev)
{
    memset(ev, 0, sizeof(*ev));
}

/* What was being delivered meets an exception: interrupts are kept for later, INT n comes again by itself. */
static void put_behind(struct events *ev)
{
    if (ev->nmi_injected) {
        ev->nmi_injected = false;
        ev->nmi_pending = MIN(ev->nmi_pending + 1, NMI_LATCHES);
    }
    if (ev->interrupt_stage == EVENT_INJECTED)
        ev->interrupt_stage = ev->interrupt_type == INTR_TYPE_EXTERNAL ? EVENT_PENDING : EVENT_NONE;
}

static enum outcome combine(const struct events *ev, const struct event_exception *x)
{
    if (ev->exception_stage == EVENT_NONE || ev->exception.type != INTR_TYPE_HARDWARE_EXCEPTION ||
        x->type != INTR_TYPE_HARDWARE_EXCEPTION)
        return SERIALLY;
    return outcomes[class_of[ev->exception.vector & 31]][class_of[x->vector & 31]];
}

/* Two debug traps at the same boundary are one. */
static bool is_pending_debug(const struct events *ev)
{
    return ev->exception_stage == EVENT_PENDING && ev->exception.vector == VEC_DB &&
           ev->exception.has_payload;
}

void events_shut_down(struct events *ev)
{
    ev->exception_stage = EVENT_NONE;
    ev->nmi_injected = false;
    if (ev->interrupt_stage == EVENT_INJECTED)
        ev->interrupt_stage = EVENT_NONE;
    ev->triple_fault = true;
}

void events_raise(struct events *ev, const struct event_exception *x)
{
    enum outcome outcome = combine(ev, x);
    u64 before = is_pending_debug(ev) && x->vector == VEC_DB && x->has_payload ? ev->exception.payload : 0;

    put_behind(ev);
    if (outcome == SHUTDOWN) {
        events_shut_down(ev);
        return;
    }
    if (outcome == DOUBLE)
        ev->exception = (struct event_exception){
            .vector = VEC_DF, .type = INTR_TYPE_HARDWARE_EXCEPTION, .has_error = true};
    else
        ev->exception = *x;
    ev->exception.payload |= before;
    ev->exception_stage = EVENT_PENDING;
}

void events_raise_hardware(struct events *ev, u8 vector, u32 error_code)
{
    bool has_error = events_has_error_code(vector);

    events_raise(ev, &(struct event_exception){.vector = vector,
                                               .type = INTR_TYPE_HARDWARE_EXCEPTION,
                                               .has_error = has_error,
                                               .error_code = has_error ? error_code : 0});
}

void events_raise_page_fault(struct events *ev, u32 error_code, gva_t address)
{
    events_raise(ev, &(struct event_exception){.vector = VEC_PF,
                                               .type = INTR_TYPE_HARDWARE_EXCEPTION,
                                               .has_error = true,
                                               .error_code = error_code,
                                               .has_payload = true,
                                               .payload = address});
}

void events_raise_debug(struct events *ev, u64 happened)
{
    events_raise(ev, &(struct event_exception){.vector = VEC_DB,
                                               .type = INTR_TYPE_HARDWARE_EXCEPTION,
                                               .has_payload = true,
                                               .payload = happened & (DR6_HIGH | DR6_LOW)});
}

void events_request_nmi(struct events *ev, u32 count)
{
    bool handled = ev->nmi_injected || (ev->interruptibility & INTERRUPTIBILITY_NMI);
    u32 limit = handled ? NMI_LATCHES - 1 : NMI_LATCHES;

    if (ev->nmi_pending < limit)
        ev->nmi_pending = (u8)MIN(ev->nmi_pending + count, limit);
}

void events_acknowledge(struct events *ev, u8 vector)
{
    ev->interrupt_stage = EVENT_PENDING;
    ev->interrupt_type = INTR_TYPE_EXTERNAL;
    ev->interrupt_vector = vector;
    ev->interrupt_length = 0;
}

void events_software_interrupt(struct events *ev, u8 vector, u8 length)
{
    ev->interrupt_stage = EVENT_INJECTED;
    ev->interrupt_type = INTR_TYPE_SOFTWARE_INTERRUPT;
    ev->interrupt_vector = vector;
    ev->interrupt_length = length;
}

void events_debug_trap(struct events *ev, u64 breakpoints)
{
    ev->pending_debug |= breakpoints & (PENDING_DEBUG_B0_B3 | PENDING_DEBUG_ENABLED);
}

void events_skip(struct events *ev, bool single_step)
{
    ev->interruptibility &= ~SHADOWS;
    if (single_step)
        ev->pending_debug |= PENDING_DEBUG_BS;
}

static void exception_back(struct events *ev, u32 info, const struct events_exit *x)
{
    u32 type = INTR_INFO_TYPE(info);

    ev->exception_stage = EVENT_INJECTED;
    ev->exception = (struct event_exception){
        .vector = INTR_INFO_VECTOR(info) & 31,
        .type = (u8)type,
        .has_error = info & INTR_INFO_DELIVER_ERROR,
        .error_code = info & INTR_INFO_DELIVER_ERROR ? x->idt_error_code : 0,
        .length = type == INTR_TYPE_HARDWARE_EXCEPTION ? 0 : (u8)x->instruction_length,
    };
}

static void interrupt_back(struct events *ev, u32 info, const struct events_exit *x)
{
    ev->interrupt_stage = EVENT_INJECTED;
    ev->interrupt_type = (u8)INTR_INFO_TYPE(info);
    ev->interrupt_vector = (u8)INTR_INFO_VECTOR(info);
    ev->interrupt_length = INTR_INFO_TYPE(info) == INTR_TYPE_EXTERNAL ? 0 : (u8)x->instruction_length;
}

/* SDM, 'Information for VM Exits That Occur During Event Delivery' and 'Resuming Guest Software after
 * Handling an Exception'. */
void events_after_exit(struct events *ev, const struct events_exit *x)
{
    u32 info = x->idt_info;

    if (!(info & INTR_INFO_VALID)) {
        /* The IRET did not end: it will be repeated, and unblock then. */
        if (x->unblocked_nmi)
            ev->interruptibility |= INTERRUPTIBILITY_NMI;
        return;
    }
    switch (INTR_INFO_TYPE(info)) {
    case INTR_TYPE_NMI:
        ev->nmi_injected = true;
        /* Not delivered, it does not block itself. */
        ev->interruptibility &= ~(u32)INTERRUPTIBILITY_NMI;
        break;
    case INTR_TYPE_EXTERNAL:
    case INTR_TYPE_SOFTWARE_INTERRUPT:
        interrupt_back(ev, info, x);
        break;
    case INTR_TYPE_HARDWARE_EXCEPTION:
    case INTR_TYPE_SOFTWARE_EXCEPTION:
    case INTR_TYPE_PRIVILEGED_SOFTWARE_EXCEPTION:
        exception_back(ev, info, x);
        break;
    }
}

static bool has_triple_fault(const struct events *ev, const struct events_cpu *cpu)
{
    (void)cpu;
    return ev->triple_fault;
}

static bool has_init(const struct events *ev, const struct events_cpu *cpu)
{
    return ev->init && !cpu->init_blocked;
}

static bool has_exception(const struct events *ev, const struct events_cpu *cpu)
{
    (void)cpu;
    return ev->exception_stage != EVENT_NONE;
}

static bool nmi_under_way(const struct events *ev, const struct events_cpu *cpu)
{
    (void)cpu;
    return ev->nmi_injected;
}

static bool interrupt_under_way(const struct events *ev, const struct events_cpu *cpu)
{
    (void)cpu;
    return ev->interrupt_stage == EVENT_INJECTED;
}

/* MOV SS holds them back: SDM, 'Masking Exceptions and Interrupts When Switching Stacks'. */
static bool has_debug_trap(const struct events *ev, const struct events_cpu *cpu)
{
    (void)cpu;
    return (ev->pending_debug & (PENDING_DEBUG_BS | PENDING_DEBUG_ENABLED)) &&
           !(ev->interruptibility & INTERRUPTIBILITY_MOV_SS);
}

/* The CPU may ask that STI blocks NMIs too: SDM, 'Checks on Guest Non-Register State'. */
static bool can_take_nmi(const struct events *ev, const struct events_cpu *cpu)
{
    (void)cpu;
    return ev->nmi_pending && !(ev->interruptibility & (SHADOWS | INTERRUPTIBILITY_NMI));
}

static bool can_take_interrupt(const struct events *ev, const struct events_cpu *cpu)
{
    return (ev->interrupt_stage == EVENT_PENDING || cpu->interrupt) && cpu->interrupts_enabled &&
           !(ev->interruptibility & SHADOWS);
}

/*
 * SDM, 'Prioritization of Concurrent Events', table 'Priority Among Concurrent Events', for a boundary
 * between two instructions: X(priority from 1, the highest, to 10; what it is; whether it is next). No row:
 * nothing of it can wait here. Priority 0 is an exception of the instruction under way, or a delivery that
 * has begun: past the boundary that the table speaks of, and before the next one.
 */
#define PRIORITIES(X)                                                                                \
    /* Hardware reset and machine checks. Shutdown is a kind of reset. */                            \
    X(1, EVENT_TRIPLE_FAULT, has_triple_fault)                                                       \
    /* Trap on task switch (2): is one of the debug traps. */                                        \
    /* External hardware interventions (FLUSH, STOPCLK, SMI, INIT). INIT ends what is under way. */  \
    X(3, EVENT_INIT, has_init)                                                                       \
    X(0, EVENT_EXCEPTION, has_exception)                                                             \
    X(0, EVENT_NMI, nmi_under_way)                                                                   \
    X(0, EVENT_INTERRUPT, interrupt_under_way)                                                       \
    /* Traps on the previous instruction: breakpoints, debug traps (TF, data and I/O breakpoints) */ \
    X(4, EVENT_DEBUG_TRAP, has_debug_trap)                                                           \
    /* Nonmaskable interrupts */                                                                     \
    X(5, EVENT_NMI, can_take_nmi)                                                                    \
    /* Maskable hardware interrupts */                                                               \
    X(6, EVENT_INTERRUPT, can_take_interrupt)                                                        \
    /* Code breakpoint fault (7), faults from fetching (8), decoding (9), executing (10) the next    \
     * instruction: the CPU finds them after the entry. Those that Nidus finds are under way. */

enum event_kind events_next(const struct events *ev, const struct events_cpu *cpu)
{
#define ROW(priority, kind, is_next) \
    if (is_next(ev, cpu))            \
        return kind;
    PRIORITIES(ROW)
#undef ROW
    return EVENT_NOTHING;
}

u64 events_dr6(u64 dr6, u64 happened)
{
    dr6 = (dr6 & ~DR6_B0_B3) | DR6_INIT | (happened & DR6_HIGH);
    return dr6 & ~(happened & DR6_LOW);
}

/* CR2, DR6 and DR7 change when the exception can no longer be intercepted: SDM, 'Exit Qualification'. */
static void deliver_payload(const struct event_exception *x, struct events_regs *regs)
{
    if (x->vector == VEC_DB && x->type == INTR_TYPE_HARDWARE_EXCEPTION) {
        regs->dr7 &= ~DR7_GD;
        regs->debugctl &= ~DEBUGCTL_LBR_BTF;
    }
    if (!x->has_payload)
        return;
    if (x->vector == VEC_PF)
        regs->cr2 = x->payload;
    else if (x->vector == VEC_DB)
        regs->dr6 = events_dr6(regs->dr6, x->payload);
}

static void commit_exception(struct events *ev, const struct events_cpu *cpu, struct events_regs *regs,
                             struct events_entry *entry)
{
    const struct event_exception *x = &ev->exception;

    if (ev->exception_stage == EVENT_PENDING)
        deliver_payload(x, regs);
    entry->info = INTR_INFO(x->type, x->vector);
    entry->length = x->length;
    if (x->has_error && cpu->protected_mode) {
        entry->info |= INTR_INFO_DELIVER_ERROR;
        entry->error_code = x->error_code;
    }
    ev->exception_stage = EVENT_NONE;
}

static void commit_nmi(struct events *ev, struct events_entry *entry)
{
    if (ev->nmi_injected)
        ev->nmi_injected = false;
    else
        ev->nmi_pending--;
    entry->info = INTR_INFO(INTR_TYPE_NMI, VEC_NMI);
}

static void commit_interrupt(struct events *ev, struct events_entry *entry)
{
    entry->info = INTR_INFO(ev->interrupt_type, ev->interrupt_vector);
    entry->length = ev->interrupt_length;
    ev->interrupt_stage = EVENT_NONE;
}

/* SDM, 'Delivery of Pending Debug Exceptions after VM Entry': of the injected events only INT n, INT3 and
 * INTO in the shadow of MOV SS leave them pending. */
static bool keeps_pending_debug(const struct events *ev, u32 info)
{
    u32 type = INTR_INFO_TYPE(info);

    return (ev->interruptibility & INTERRUPTIBILITY_MOV_SS) &&
           (type == INTR_TYPE_SOFTWARE_INTERRUPT || type == INTR_TYPE_SOFTWARE_EXCEPTION);
}

void events_commit(struct events *ev, enum event_kind kind, const struct events_cpu *cpu,
                   struct events_regs *regs, struct events_entry *entry)
{
    *entry = (struct events_entry){0};
    switch (kind) {
    case EVENT_DEBUG_TRAP:
        events_raise_debug(ev, ev->pending_debug);
        commit_exception(ev, cpu, regs, entry);
        break;
    case EVENT_EXCEPTION:
        commit_exception(ev, cpu, regs, entry);
        break;
    case EVENT_NMI:
        commit_nmi(ev, entry);
        break;
    case EVENT_INTERRUPT:
        commit_interrupt(ev, entry);
        break;
    default:
        return;
    }
    if (!keeps_pending_debug(ev, entry->info))
        ev->pending_debug = 0;
}

void events_surrender(struct events *ev, struct events_entry *idt)
{
    static const struct events_cpu any = {.protected_mode = true};

    *idt = (struct events_entry){0};
    if (ev->exception_stage == EVENT_INJECTED)
        commit_exception(ev, &any, NULL, idt);
    else if (ev->nmi_injected)
        commit_nmi(ev, idt);
    else if (ev->interrupt_stage == EVENT_INJECTED)
        commit_interrupt(ev, idt);
    ev->exception_stage = EVENT_NONE;
}

bool events_wants_nmi_window(const struct events *ev)
{
    return ev->nmi_pending;
}

bool events_wants_interrupt_window(const struct events *ev, const struct events_cpu *cpu)
{
    return ev->interrupt_stage == EVENT_PENDING || cpu->interrupt;
}

bool events_wake(const struct events *ev, const struct events_cpu *cpu)
{
    return events_next(ev, cpu) != EVENT_NOTHING;
}

bool events_take_init(struct events *ev)
{
    bool sipi = ev->sipi;
    u8 vector = ev->sipi_vector;

    if (!ev->init)
        return false;
    events_reset(ev);
    ev->sipi = sipi;
    ev->sipi_vector = vector;
    return true;
}

int events_take_sipi(struct events *ev, bool waiting)
{
    bool sipi = ev->sipi;

    ev->sipi = false;
    return sipi && waiting ? ev->sipi_vector : -1;
}

u64 events_breakpoints(const u64 dr[4], u64 dr7, u64 address, u32 size, enum debug_access access)
{
    static const u8 length[4] = {1, 2, 8, 4};
    u64 matched = 0;

    for (u32 n = 0; n < 4; n++) {
        u32 rw = DR7_RW(dr7, n), len = length[DR7_LEN(dr7, n)];
        u64 start = dr[n] & ~(u64)(len - 1);
        bool kind =
            access == DEBUG_IO ? rw == DEBUG_IO : rw == DEBUG_READ || (rw == DEBUG_WRITE && access == rw);

        if (!kind || (address - start >= len && start - address >= size))
            continue;
        matched |= BIT(n) | (dr7 & DR7_ON(n) ? PENDING_DEBUG_ENABLED : 0);
    }
    return matched;
}
