/* SPDX-License-Identifier: MIT */
/* links: vmm/events.c */
/* Breakpoints and single steps on a VMCS that is only memory: what the CPU is told, and that nothing of it is
 * left. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/fake_vmx.h"
#include "tests/unit/fake_asm.h"
#include "tests/unit/no_ports.h"
#include "arch/x86/vmx_caps.h"
#include "vmm/task.h"

static struct vmx_features vmx_features;

static unsigned long dr[8];

#define DR(n)                                    \
    static unsigned long read_dr##n(void)        \
    {                                            \
        return dr[n];                            \
    }                                            \
    static void write_dr##n(unsigned long value) \
    {                                            \
        dr[n] = value;                           \
    }
DR(0)
DR(1)
DR(2)
DR(3)
DR(6)

#include "vmm/debug.c"
#include "vmm/debug_dr.c"
#include "vmm/debug_run.c"

#define VM       3
#define FIELDS   0x7000u
#define OFFSET   0x1000u /* from linear to physical addresses */
#define BITMAP   (BIT(VEC_DB) | BIT(VEC_AC))
#define CONTROLS 0x12340000ull
#define HERE     0x2000ull

static u64 field[FIELDS], before[FIELDS];
static u8 ram[0x4000];
static struct vm vm;
static struct vcpu vcpus[2], *const v = &vcpus[0];
static struct nested nested;
static struct task task;
static bool vm_runs;
static u32 stops, handled, faults;
static u64 shadow_seen; /* by who handles an exit */
static u64 executes;    /* what the fake handler adds to RIP */

static u64 fake_tsc(void)
{
    return 0;
}

static u64 vmread(u32 encoding)
{
    assert_true(encoding < FIELDS);
    return field[encoding];
}

static void vmwrite(u32 encoding, u64 value)
{
    assert_true(encoding < FIELDS);
    field[encoding] = value;
}

/* --- what lies below --- */

int control_vm(struct task *t, u32 index, void (*fn)(struct vm *vm, void *arg), void *arg)
{
    assert_ptr_equal(t, &task);
    if (!vm_runs || index != VM)
        return ERR_NOENT;
    fn(&vm, arg);
    return OK;
}

int control_call(struct task *t, u32 index, u32 vcpu, void (*fn)(struct vcpu *v, void *arg), void *arg)
{
    assert_ptr_equal(t, &task);
    if (!vm_runs || index != VM || vcpu >= vm.nr_vcpus)
        return ERR_NOENT;
    fn(vm.vcpus[vcpu], arg);
    return OK;
}

void vcpu_stop(struct vcpu *of, const struct vcpu_stop *why)
{
    of->stop = *why;
    stops++;
}

static u64 moved; /* what its page tables give is elsewhere by that */

int inspect_page_walk(struct vcpu *of, u32 level, gva_t gva, struct inspect_walk *out)
{
    (void)of;
    if (level == 2 && !nested.vmx_on)
        return ERR_NOENT;
    *out = (struct inspect_walk){.r = gva < OFFSET ? ERR_FAULT : OK, .to1 = gva - OFFSET + moved};
    return OK;
}

int guest_read(struct vm *of, gpa_t gpa, void *to, u64 n)
{
    assert_ptr_equal(of, &vm);
    if (gpa + n > sizeof(ram))
        return ERR_RANGE;
    memcpy(to, ram + gpa, n);
    return OK;
}

int guest_write(struct vm *of, gpa_t gpa, const void *from, u64 n)
{
    assert_ptr_equal(of, &vm);
    if (gpa + n > sizeof(ram))
        return ERR_RANGE;
    memcpy(ram + gpa, from, n);
    return OK;
}

u64 vcpu_get_reg(struct vcpu *of, u32 n)
{
    return of->gpr[n];
}

void vcpu_set_reg(struct vcpu *of, u32 n, u64 value)
{
    of->gpr[n] = value;
}

void vcpu_skip_instruction(struct vcpu *of)
{
    (void)of;
    field[GUEST_RIP] += 3;
}

void vcpu_requeue_event(struct vcpu *of, bool unblocked_nmi)
{
    (void)of, (void)unblocked_nmi;
}

void vcpu_inject_exception(struct vcpu *of, u8 vector)
{
    events_raise_hardware(&of->events, vector, 0);
}

void vcpu_inject_exception_error(struct vcpu *of, u8 vector, u32 error_code)
{
    events_raise_hardware(&of->events, vector, error_code);
    faults++;
}

/* A handler finds the VMCS, the debug registers and its own pointers as if nobody debugged. */
static bool handler(struct vcpu *of)
{
    assert_ptr_equal(of, v);
    assert_ptr_equal(v->on_exit, handler);
    assert_ptr_equal(v->on_l2_exit, handler);
    assert_int_equal(field[EXCEPTION_BITMAP], before[EXCEPTION_BITMAP]);
    assert_int_equal(field[PRIMARY_CONTROLS], before[PRIMARY_CONTROLS]);
    assert_int_equal(field[GUEST_DR7], before[GUEST_DR7]);
    shadow_seen = field[GUEST_INTERRUPTIBILITY_STATE];
    handled++;
    field[GUEST_RIP] += executes;
    return true;
}

/* --- the guest --- */

static int start(void **state)
{
    (void)state;
    memset(field, 0, sizeof(field));
    memset(debug_points, 0, sizeof(debug_points));
    memset(&nested, 0, sizeof(nested));
    for (u32 i = 0; i < sizeof(ram); i++)
        ram[i] = (u8)(i ^ i >> 8);
    vm = (struct vm){.index = VM, .nr_vcpus = 2, .start_tsc = 77, .vcpus = {&vcpus[0], &vcpus[1]}};
    for (u32 i = 0; i < 2; i++)
        vcpus[i] =
            (struct vcpu){.vm = &vm, .id = i, .on_exit = handler, .on_l2_exit = handler, .nested = &nested};
    for (u32 i = 0; i < 4; i++)
        dr[i] = 0x111 * (i + 1);
    dr[6] = DR6_INIT;
    vmx_features.granted = BIT(VF_MONITOR_TRAP_FLAG);
    field[EXCEPTION_BITMAP] = BITMAP;
    field[PRIMARY_CONTROLS] = CONTROLS;
    field[GUEST_DR7] = DR7_INIT;
    field[GUEST_RIP] = HERE;
    field[GUEST_RFLAGS] = RFLAGS_FIXED | RFLAGS_IF;
    field[GUEST_CS_ACCESS_RIGHTS] = SEG_AR_L;
    vm_runs = true;
    nested.vmx_on = true;
    stops = handled = faults = 0;
    executes = 0;
    return 0;
}

static void enter(void)
{
    assert_true(v->requests & REQ_DEBUG);
    memcpy(before, field, sizeof(field));
    debug_before_entry(v);
}

/* By way of entry.S: whom it would call. */
static bool leave(u32 reason)
{
    field[EXIT_REASON] = reason;
    return (nested.in_l2 ? v->on_l2_exit : v->on_exit)(v);
}

/* All but what the exit itself has written. */
static void nothing_is_left(void)
{
    assert_ptr_equal(v->on_exit, handler);
    assert_ptr_equal(v->on_l2_exit, handler);
    for (u32 f = 0x4400; f < 0x4412; f += 2) /* the exit's own: read-only data of 32 bits */
        field[f] = before[f];
    assert_memory_equal(field, before, sizeof(field));
    for (u32 i = 0; i < 4; i++)
        assert_int_equal(dr[i], 0x111 * (i + 1));
    assert_int_equal(dr[6], DR6_INIT);
}

static int insert(u8 kind, u8 level, u64 address, u32 size)
{
    return debug_insert(&task, VM, 0, DEBUG_BY_GDB, &(struct debug_point){kind, level, size, address});
}

static int take_out(u8 kind, u8 level, u64 address, u32 size)
{
    return debug_remove(&task, VM, 0, DEBUG_BY_GDB, &(struct debug_point){kind, level, size, address});
}

static void int3(void)
{
    field[EXIT_INTERRUPTION_INFO] = INTR_INFO(INTR_TYPE_SOFTWARE_EXCEPTION, VEC_BP);
    field[EXIT_INSTRUCTION_LENGTH] = 1;
    leave(EXIT_REASON_EXCEPTION_OR_NMI);
}

static void debug_exception(u64 happened)
{
    field[EXIT_INTERRUPTION_INFO] = INTR_INFO(INTR_TYPE_HARDWARE_EXCEPTION, VEC_DB);
    field[EXIT_QUALIFICATION] = happened;
    leave(EXIT_REASON_EXCEPTION_OR_NMI);
}

static void stopped(u8 kind, u64 address, u64 more)
{
    assert_int_equal(stops, 1);
    assert_int_equal(v->stop.kind, kind);
    assert_int_equal(v->stop.data[0], address);
    assert_int_equal(v->stop.data[1], more);
    stops = 0;
}

static int step(u8 level, u64 from, u64 to)
{
    return debug_step(&task, VM, 0, &(struct debug_step){level, from, to});
}

/* --- software breakpoints --- */

static void a_breakpoint_stops_and_is_gone(void **state)
{
    u8 was = ram[HERE - OFFSET];

    (void)state;
    assert_int_equal(insert(DEBUG_SOFTWARE, 1, HERE, 1), OK);
    assert_int_equal(insert(DEBUG_SOFTWARE, 1, HERE, 1), OK);
    assert_int_equal(ram[HERE - OFFSET], INT3);
    assert_true(vcpus[1].requests & REQ_DEBUG);
    enter();
    assert_int_equal(field[EXCEPTION_BITMAP], BITMAP | BIT(VEC_BP));
    assert_int_equal(field[PRIMARY_CONTROLS], CONTROLS);
    int3();
    stopped(STOP_BREAKPOINT, HERE, DEBUG_SOFTWARE);
    assert_int_equal(handled, 0);
    assert_int_equal(field[EXCEPTION_BITMAP], BITMAP);
    assert_int_equal(take_out(DEBUG_SOFTWARE, 1, HERE, 1), OK);
    assert_int_equal(take_out(DEBUG_SOFTWARE, 1, HERE, 1), ERR_NOENT);
    assert_int_equal(ram[HERE - OFFSET], was);
    enter();
    assert_false(v->requests & REQ_DEBUG);
    nothing_is_left();
}

static void other_exits_are_as_ever(void **state)
{
    (void)state;
    insert(DEBUG_SOFTWARE, 1, HERE, 1);
    insert(DEBUG_HARDWARE, 1, HERE, 1);
    insert(DEBUG_WATCH_WRITE, 1, HERE, 8);
    for (u32 level = 1; level <= 2; level++) {
        nested.in_l2 = level == 2;
        enter();
        assert_false(leave(EXIT_REASON_CPUID));
        nothing_is_left();
    }
    assert_int_equal(handled, 2);
    assert_int_equal(stops, 0);
}

static void what_the_guest_has_written_since_is_its_own(void **state)
{
    (void)state;
    insert(DEBUG_SOFTWARE, 1, HERE, 1);
    ram[HERE - OFFSET] = 0x90;
    take_out(DEBUG_SOFTWARE, 1, HERE, 1);
    assert_int_equal(ram[HERE - OFFSET], 0x90);
}

static void two_owners_at_one_place(void **state)
{
    const struct debug_point p = {DEBUG_SOFTWARE, 1, 1, HERE};
    u8 was = ram[HERE - OFFSET];

    (void)state;
    for (u32 first = 0; first < 2; first++) {
        assert_int_equal(debug_insert(&task, VM, 0, DEBUG_BY_GDB, &p), OK);
        assert_int_equal(debug_insert(&task, VM, 1, DEBUG_BY_MONITOR, &p), OK);
        debug_remove_all(&task, VM, first ? DEBUG_BY_GDB : DEBUG_BY_MONITOR, 0);
        assert_int_equal(ram[HERE - OFFSET], INT3);
        debug_remove_all(&task, VM, first ? DEBUG_BY_MONITOR : DEBUG_BY_GDB, 0);
        assert_int_equal(ram[HERE - OFFSET], was);
    }
}

static void where_none_can_be(void **state)
{
    (void)state;
    assert_int_equal(insert(DEBUG_SOFTWARE, 1, 0x10, 1), ERR_FAULT);
    assert_int_equal(insert(DEBUG_SOFTWARE, 1, sizeof(ram) + OFFSET, 1), ERR_RANGE);
    nested.vmx_on = false;
    assert_int_equal(insert(DEBUG_SOFTWARE, 2, HERE, 1), ERR_NOENT);
    assert_int_equal(
        debug_insert(&task, VM, 2, DEBUG_BY_GDB, &(struct debug_point){DEBUG_SOFTWARE, 1, 1, HERE}),
        ERR_NOENT);
    vm_runs = false;
    assert_int_equal(insert(DEBUG_SOFTWARE, 1, HERE, 1), ERR_NOENT);
    assert_false(debug_get(VM, DEBUG_BY_GDB, 0, &(struct debug_point){0}));
}

static void the_table_has_an_end(void **state)
{
    struct debug_point p;

    (void)state;
    for (u32 i = 0; i < DEBUG_MAX_POINTS; i++)
        assert_int_equal(insert(DEBUG_SOFTWARE, 1, HERE + i, 1), OK);
    assert_int_equal(insert(DEBUG_SOFTWARE, 1, HERE + 0x100, 1), ERR_NOMEM);
    assert_true(debug_get(VM, DEBUG_BY_GDB, DEBUG_MAX_POINTS - 1, &p));
    assert_int_equal(p.address, HERE + DEBUG_MAX_POINTS - 1);
    /* The VM ends, and its points with it; another has that number. */
    debug_vm_ends(&vm);
    assert_false(debug_get(VM, DEBUG_BY_GDB, 0, &p));
    vm.start_tsc++;
    assert_int_equal(insert(DEBUG_SOFTWARE, 1, HERE + 0x100, 1), OK);
    enter();
    field[GUEST_RIP] = before[GUEST_RIP] = HERE + 5;
    int3();
    assert_int_equal(stops, 0);
}

static void int3_of_the_guest_is_its_own(void **state)
{
    (void)state;
    insert(DEBUG_SOFTWARE, 1, HERE + 1, 1);
    ram[HERE - OFFSET] = INT3;
    enter();
    int3();
    assert_int_equal(stops, 0);
    assert_int_equal(handled, 0);
    assert_int_equal(v->events.exception_stage, EVENT_PENDING);
    assert_int_equal(v->events.exception.vector, VEC_BP);
    assert_int_equal(v->events.exception.type, INTR_TYPE_SOFTWARE_EXCEPTION);
    assert_int_equal(v->events.exception.length, 1);
}

/* While another CPU's vCPU has just met it. */
static void a_breakpoint_that_is_gone_is_nobodys(void **state)
{
    (void)state;
    insert(DEBUG_SOFTWARE, 1, HERE, 1);
    insert(DEBUG_SOFTWARE, 1, HERE + 1, 1);
    enter();
    take_out(DEBUG_SOFTWARE, 1, HERE, 1);
    int3();
    assert_int_equal(stops, 0);
    assert_int_equal(handled, 0);
    assert_int_equal(v->events.exception_stage, EVENT_NONE);
    nothing_is_left();
}

static void int3_of_l2_is_l1s_if_it_wants(void **state)
{
    (void)state;
    nested.in_l2 = true;
    insert(DEBUG_SOFTWARE, 2, HERE + 1, 1);
    ram[HERE - OFFSET] = INT3;
    field[EXCEPTION_BITMAP] |= BIT(VEC_BP);
    enter();
    int3();
    assert_int_equal(handled, 1);
    insert(DEBUG_SOFTWARE, 2, HERE, 1);
    enter();
    int3();
    assert_int_equal(handled, 1);
    stopped(STOP_BREAKPOINT, HERE, DEBUG_SOFTWARE);
}

/* An L2 that is in L1's own memory. */
static void a_breakpoint_of_the_other_level_is_passed(void **state)
{
    u8 was = ram[HERE - OFFSET];

    (void)state;
    insert(DEBUG_SOFTWARE, 2, HERE, 1);
    step(1, 0, 0);
    enter();
    int3();
    assert_int_equal(stops, 0);
    enter();
    assert_int_equal(ram[HERE - OFFSET], was);
    assert_true(field[PRIMARY_CONTROLS] & PROC_MONITOR_TRAP_FLAG);
    field[GUEST_RIP]++;
    leave(EXIT_REASON_MONITOR_TRAP_FLAG);
    assert_int_equal(ram[HERE - OFFSET], INT3);
    stopped(STOP_STEP, HERE + 1, 0);
    assert_int_equal(handled, 0);
    nested.in_l2 = true;
    field[GUEST_RIP] = HERE;
    enter();
    int3();
    stopped(STOP_BREAKPOINT, HERE, DEBUG_SOFTWARE);
    insert(DEBUG_SOFTWARE, 1, HERE, 1);
    nested.in_l2 = false;
    enter();
    int3();
    stopped(STOP_BREAKPOINT, HERE, DEBUG_SOFTWARE);
}

static void memory_shows_what_is_under_breakpoints(void **state)
{
    u8 was = ram[HERE - OFFSET], buf[4] = {INT3, 1, 2, 3};

    (void)state;
    insert(DEBUG_SOFTWARE, 1, HERE, 1);
    debug_hide(v, 1, HERE - 1, buf + 1, 1, false);
    debug_hide(v, 2, HERE, buf, 4, false);
    assert_int_equal(buf[0], INT3);
    debug_hide(v, 1, HERE, buf, 4, false);
    assert_int_equal(buf[0], was);
    assert_int_equal(buf[1], 1);
    buf[1] = ram[HERE - OFFSET] = 0x42;
    debug_hide(v, 1, HERE - 1, buf, 4, true);
    assert_int_equal(ram[HERE - OFFSET], INT3);
    /* Other page tables: other memory is at that address. */
    buf[1] = 0x43;
    moved = 1;
    debug_hide(v, 1, HERE - 1, buf, 4, true);
    moved = 0;
    take_out(DEBUG_SOFTWARE, 1, HERE, 1);
    assert_int_equal(ram[HERE - OFFSET], 0x42);
}

/* --- debug registers --- */

static void debug_registers_while_the_guest_runs(void **state)
{
    (void)state;
    field[GUEST_DR7] = DR7_INIT | 0x3 | 0xd0000; /* the guest's own in DR0 */
    assert_int_equal(insert(DEBUG_HARDWARE, 1, 0xa000, 1), OK);
    assert_int_equal(insert(DEBUG_WATCH_WRITE, 1, 0xb000, 8), OK);
    assert_int_equal(insert(DEBUG_WATCH_ACCESS, 1, 0xc002, 2), OK);
    assert_int_equal(insert(DEBUG_WATCH_ACCESS, 2, 0xd000, 4), OK);
    enter();
    assert_int_equal(dr[3], 0xa000);
    assert_int_equal(dr[2], 0xb000);
    assert_int_equal(dr[1], 0xc002);
    assert_int_equal(dr[0], 0x111);
    assert_int_equal(field[GUEST_DR7], DR7_INIT | 0x3 | 0xd0000 | 0x80 | 0x20 | 0x9000000 | 0x8 | 0x700000);
    assert_int_equal(field[PRIMARY_CONTROLS], CONTROLS | PROC_MOV_DR_EXITING);
    leave(EXIT_REASON_CPUID);
    nothing_is_left();
    nested.in_l2 = true;
    enter();
    assert_int_equal(dr[3], 0xd000);
    assert_int_equal(dr[2], 0x333);
    assert_int_equal(field[GUEST_DR7], DR7_INIT | 0x3 | 0xd0000 | 0x80 | 0xf0000000);
    leave(EXIT_REASON_CPUID);
    nothing_is_left();
}

static void debug_exceptions_are_told_apart(void **state)
{
    (void)state;
    insert(DEBUG_HARDWARE, 1, 0xa000, 1);
    insert(DEBUG_WATCH_WRITE, 1, 0xb000, 8);
    insert(DEBUG_WATCH_ACCESS, 1, 0xc002, 2);
    enter();
    debug_exception(BIT(3));
    stopped(STOP_BREAKPOINT, 0xa000, DEBUG_HARDWARE);
    enter();
    debug_exception(BIT(2));
    stopped(STOP_WATCH, 0xb000, 1);
    enter();
    debug_exception(BIT(1));
    stopped(STOP_WATCH, 0xc002, 3);
    assert_int_equal(handled, 0);
    enter();
    debug_exception(BIT(0));
    enter();
    debug_exception(PENDING_DEBUG_BS);
    assert_int_equal(handled, 2);
    assert_int_equal(stops, 0);
    /* Both at once: it stops, and the guest has its own as soon as it goes on. */
    enter();
    debug_exception(BIT(2) | BIT(0) | PENDING_DEBUG_BS);
    stopped(STOP_WATCH, 0xb000, 1);
    assert_int_equal(v->events.exception.vector, VEC_DB);
    assert_int_equal(v->events.exception.payload, BIT(0) | PENDING_DEBUG_BS);
    /* And if the point was taken out while the guest ran, too. */
    memset(&v->events, 0, sizeof(v->events));
    stops = 0;
    enter();
    take_out(DEBUG_WATCH_WRITE, 1, 0xb000, 8);
    debug_exception(BIT(2) | PENDING_DEBUG_BS);
    assert_int_equal(stops, 0);
    assert_int_equal(v->events.exception.vector, VEC_DB);
    assert_int_equal(v->events.exception.payload, PENDING_DEBUG_BS);
}

static void what_one_register_cannot_watch(void **state)
{
    struct debug_point p;

    (void)state;
    assert_int_equal(insert(DEBUG_WATCH_WRITE, 1, 0xb007, 13), OK); /* 1, 8 and 4 */
    assert_true(debug_get(VM, DEBUG_BY_GDB, 1, &p));
    assert_int_equal(p.address, 0xb008);
    assert_int_equal(p.size, 8);
    assert_true(debug_get(VM, DEBUG_BY_GDB, 2, &p));
    assert_int_equal(p.size, 4);
    assert_int_equal(insert(DEBUG_WATCH_WRITE, 1, 0xc001, 2), ERR_NOMEM);
    assert_false(debug_get(VM, DEBUG_BY_GDB, 3, &p));
    assert_int_equal(take_out(DEBUG_WATCH_WRITE, 1, 0xb007, 13), OK);
    assert_false(debug_get(VM, DEBUG_BY_GDB, 0, &p));
    assert_int_equal(insert(DEBUG_WATCH_WRITE, 1, 0xb000, 33), ERR_NOMEM);
    assert_int_equal(insert(DEBUG_WATCH_WRITE, 1, 0xb000, 0), ERR_NOMEM);
    assert_int_equal(insert(DEBUG_WATCH_WRITE, 1, 0xb000, 32), OK);
}

/* --- MOV to and from debug registers --- */

static void mov_dr(u32 n, bool read, u32 gpr)
{
    v->requests |= REQ_DEBUG;
    enter();
    field[EXIT_QUALIFICATION] = n | (read ? BIT(4) : 0) | gpr << 8;
    leave(EXIT_REASON_MOV_DR);
}

static void the_guest_has_its_own_debug_registers(void **state)
{
    (void)state;
    insert(DEBUG_WATCH_WRITE, 1, 0xb000, 8);
    insert(DEBUG_WATCH_WRITE, 1, 0xb008, 8);
    insert(DEBUG_WATCH_WRITE, 1, 0xb010, 8);
    insert(DEBUG_WATCH_WRITE, 1, 0xb018, 8);
    for (u32 n = 0; n < 4; n++) {
        mov_dr(n, true, 9);
        assert_int_equal(v->gpr[9], 0x111 * (n + 1));
        v->gpr[10] = ~0ull - n;
        mov_dr(n, false, 10);
        assert_true(dr[n] == ~0ull - n);
        mov_dr(n, true, 11);
        assert_true(v->gpr[11] == ~0ull - n);
    }
    v->gpr[1] = 0xffffffff;
    mov_dr(6, false, 1);
    assert_int_equal(dr[6], DR6_INIT | 0xe00f);
    mov_dr(4, true, 2); /* without CR4.DE it is DR6 */
    assert_int_equal(v->gpr[2], DR6_INIT | 0xe00f);
    v->gpr[1] = 0x0000d3ff;
    mov_dr(7, false, 1);
    assert_int_equal(field[GUEST_DR7], 0x7ff & ~0x800);
    mov_dr(5, true, 3);
    assert_int_equal(v->gpr[3], field[GUEST_DR7]);
    assert_int_equal(field[GUEST_RIP], HERE + 16 * 3);
    assert_int_equal(handled, 0);
}

static void what_mov_dr_does_not_do(void **state)
{
    (void)state;
    insert(DEBUG_WATCH_WRITE, 1, 0xb000, 8);
    v->gpr[1] = BIT(32);
    mov_dr(7, false, 1);
    mov_dr(6, false, 1);
    assert_int_equal(faults, 2);
    assert_int_equal(field[GUEST_DR7], DR7_INIT);
    field[GUEST_CS_ACCESS_RIGHTS] = 0;
    mov_dr(7, false, 1); /* 32 bits: 0 */
    assert_int_equal(faults, 2);
    assert_int_equal(field[GUEST_RIP], HERE + 3);
    v->events.exception_stage = EVENT_NONE;
    field[GUEST_CR4] = CR4_DE;
    mov_dr(4, true, 1);
    assert_int_equal(v->events.exception.vector, VEC_UD);
    v->events.exception_stage = EVENT_NONE;
    field[GUEST_DR7] |= BIT(13);
    mov_dr(0, true, 1);
    assert_int_equal(v->events.exception.vector, VEC_DB);
    assert_int_equal(v->events.exception.payload, BIT(13));
    /* An L1 that wants to have them has them. */
    nested.in_l2 = true;
    insert(DEBUG_WATCH_WRITE, 2, 0xb000, 8);
    field[PRIMARY_CONTROLS] |= PROC_MOV_DR_EXITING;
    mov_dr(0, true, 1);
    assert_int_equal(handled, 1);
}

/* --- single steps --- */

static void one_instruction(void **state)
{
    (void)state;
    assert_int_equal(step(1, 0, 0), OK);
    assert_int_equal(field[GUEST_INTERRUPTIBILITY_STATE], INTERRUPTIBILITY_STI);
    enter();
    assert_int_equal(field[PRIMARY_CONTROLS], CONTROLS | PROC_MONITOR_TRAP_FLAG);
    leave(EXIT_REASON_EXTERNAL_INTERRUPT); /* not yet */
    assert_int_equal(stops, 0);
    assert_int_equal(shadow_seen, 0); /* nor is it to be seen by L1 */
    assert_int_equal(field[GUEST_INTERRUPTIBILITY_STATE], INTERRUPTIBILITY_STI);
    enter();
    field[GUEST_RIP] = HERE + 2;
    field[GUEST_INTERRUPTIBILITY_STATE] = 0; /* the CPU does that */
    leave(EXIT_REASON_MONITOR_TRAP_FLAG);
    stopped(STOP_STEP, HERE + 2, 0);
    assert_int_equal(handled, 1);
    enter();
    assert_false(v->requests & REQ_DEBUG);
    assert_int_equal(field[PRIMARY_CONTROLS], CONTROLS);
}

static void an_instruction_that_nidus_executes(void **state)
{
    (void)state;
    step(1, 0, 0);
    executes = 2;
    enter();
    assert_false(leave(EXIT_REASON_CPUID));
    stopped(STOP_STEP, HERE + 2, 0);
    assert_int_equal(handled, 1);
}

static void through_a_range(void **state)
{
    (void)state;
    step(1, HERE, HERE + 5);
    for (u32 i = 1; i <= 5; i++) {
        assert_int_equal(stops, 0);
        assert_int_equal(field[GUEST_INTERRUPTIBILITY_STATE], INTERRUPTIBILITY_STI);
        enter();
        assert_true(field[PRIMARY_CONTROLS] & PROC_MONITOR_TRAP_FLAG);
        field[GUEST_RIP]++;
        field[GUEST_INTERRUPTIBILITY_STATE] = 0;
        leave(EXIT_REASON_MONITOR_TRAP_FLAG);
    }
    stopped(STOP_STEP, HERE + 5, 0);
}

static void only_where_interrupts_could_come(void **state)
{
    (void)state;
    field[GUEST_RFLAGS] = RFLAGS_FIXED;
    step(1, 0, 0);
    assert_int_equal(field[GUEST_INTERRUPTIBILITY_STATE], 0);
    /* It steps itself: VM entry would demand a pending BS in the shadow. */
    field[GUEST_RFLAGS] = RFLAGS_FIXED | RFLAGS_IF | RFLAGS_TF;
    step(1, 0, 0);
    assert_int_equal(field[GUEST_INTERRUPTIBILITY_STATE], 0);
    field[GUEST_RFLAGS] = RFLAGS_FIXED | RFLAGS_IF;
    field[GUEST_INTERRUPTIBILITY_STATE] = INTERRUPTIBILITY_MOV_SS;
    step(1, 0, 0);
    assert_int_equal(field[GUEST_INTERRUPTIBILITY_STATE], INTERRUPTIBILITY_MOV_SS);
    field[GUEST_INTERRUPTIBILITY_STATE] = 0;
    v->activity = VCPU_HALTED;
    step(0, 0, 0);
    assert_int_equal(field[GUEST_INTERRUPTIBILITY_STATE], 0);
    v->activity = VCPU_ACTIVE;
    step(2, 0, 0);
    assert_int_equal(field[GUEST_INTERRUPTIBILITY_STATE], 0);
    v->events.due = 1;
    step(1, 0, 0);
    assert_int_equal(field[GUEST_INTERRUPTIBILITY_STATE], 0);
}

static void what_was_not_executed_leaves_no_trace(void **state)
{
    (void)state;
    step(1, 0, 0);
    assert_int_equal(debug_cancel_step(&task, VM, 0), OK);
    assert_int_equal(field[GUEST_INTERRUPTIBILITY_STATE], 0);
    enter();
    assert_int_equal(field[PRIMARY_CONTROLS], CONTROLS);
    insert(DEBUG_SOFTWARE, 1, HERE, 1);
    step(1, 0, 0);
    enter();
    int3();
    stopped(STOP_BREAKPOINT, HERE, DEBUG_SOFTWARE);
    assert_int_equal(field[GUEST_INTERRUPTIBILITY_STATE], 0);
    assert_false(v->debug.stepping);
    vmx_features.granted = 0;
    assert_int_equal(step(1, 0, 0), ERR_UNSUPP);
}

static bool to_l2(struct vcpu *of)
{
    (void)of;
    nested.in_l2 = true;
    field[GUEST_RIP] = 0x9000;
    return true;
}

static bool to_l1(struct vcpu *of)
{
    (void)of;
    nested.in_l2 = false;
    field[GUEST_RIP] = 0x8000;
    return true;
}

static void a_level_is_stepped_past_the_other(void **state)
{
    (void)state;
    step(1, 0, 0);
    v->on_exit = to_l2;
    enter();
    leave(EXIT_REASON_VMRESUME);
    assert_int_equal(stops, 0);
    v->on_exit = handler;
    v->on_l2_exit = to_l1;
    enter();
    assert_false(field[PRIMARY_CONTROLS] & PROC_MONITOR_TRAP_FLAG);
    leave(EXIT_REASON_CPUID);
    stopped(STOP_STEP, 0x8000, 0);
    step(2, 0, 0);
    v->on_exit = to_l2;
    enter();
    assert_false(field[PRIMARY_CONTROLS] & PROC_MONITOR_TRAP_FLAG);
    leave(EXIT_REASON_VMRESUME);
    stopped(STOP_STEP, 0x9000, 0);
}

static void l1s_own_monitor_trap_flag(void **state)
{
    (void)state;
    nested.in_l2 = true;
    field[PRIMARY_CONTROLS] |= PROC_MONITOR_TRAP_FLAG;
    step(2, 0, 0);
    enter();
    leave(EXIT_REASON_MONITOR_TRAP_FLAG);
    assert_int_equal(handled, 1);
    stopped(STOP_STEP, HERE, 0);
}

/* --- the monitor's breakpoints are passed when the guest goes on --- */

static void a_breakpoint_of_the_monitors_is_stepped_over(void **state)
{
    const struct debug_point p = {DEBUG_SOFTWARE, 1, 1, HERE}, h = {DEBUG_HARDWARE, 1, 1, HERE};
    u8 was = ram[HERE - OFFSET];

    (void)state;
    debug_insert(&task, VM, 0, DEBUG_BY_MONITOR, &p);
    enter();
    int3();
    stopped(STOP_BREAKPOINT, HERE, DEBUG_SOFTWARE);
    for (u32 i = 0; i < 2; i++) {
        enter();
        assert_int_equal(ram[HERE - OFFSET], was);
        assert_true(field[PRIMARY_CONTROLS] & PROC_MONITOR_TRAP_FLAG);
        field[GUEST_RIP] += i;
        leave(i ? EXIT_REASON_MONITOR_TRAP_FLAG : EXIT_REASON_EXTERNAL_INTERRUPT);
        assert_int_equal(ram[HERE - OFFSET], INT3);
    }
    assert_int_equal(stops, 0);
    assert_int_equal(handled, 1);
    field[GUEST_RIP] = HERE;
    enter();
    assert_int_equal(ram[HERE - OFFSET], INT3);
    int3();
    stopped(STOP_BREAKPOINT, HERE, DEBUG_SOFTWARE);
    debug_remove(&task, VM, 0, DEBUG_BY_MONITOR, &p);
    debug_insert(&task, VM, 0, DEBUG_BY_MONITOR, &h);
    enter();
    debug_exception(BIT(3));
    stopped(STOP_BREAKPOINT, HERE, DEBUG_HARDWARE);
    enter();
    assert_true(field[GUEST_RFLAGS] & RFLAGS_RF);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_breakpoint_stops_and_is_gone, start),
        cmocka_unit_test_setup(other_exits_are_as_ever, start),
        cmocka_unit_test_setup(what_the_guest_has_written_since_is_its_own, start),
        cmocka_unit_test_setup(two_owners_at_one_place, start),
        cmocka_unit_test_setup(where_none_can_be, start),
        cmocka_unit_test_setup(the_table_has_an_end, start),
        cmocka_unit_test_setup(int3_of_the_guest_is_its_own, start),
        cmocka_unit_test_setup(a_breakpoint_that_is_gone_is_nobodys, start),
        cmocka_unit_test_setup(int3_of_l2_is_l1s_if_it_wants, start),
        cmocka_unit_test_setup(a_breakpoint_of_the_other_level_is_passed, start),
        cmocka_unit_test_setup(memory_shows_what_is_under_breakpoints, start),
        cmocka_unit_test_setup(debug_registers_while_the_guest_runs, start),
        cmocka_unit_test_setup(debug_exceptions_are_told_apart, start),
        cmocka_unit_test_setup(what_one_register_cannot_watch, start),
        cmocka_unit_test_setup(the_guest_has_its_own_debug_registers, start),
        cmocka_unit_test_setup(what_mov_dr_does_not_do, start),
        cmocka_unit_test_setup(one_instruction, start),
        cmocka_unit_test_setup(an_instruction_that_nidus_executes, start),
        cmocka_unit_test_setup(through_a_range, start),
        cmocka_unit_test_setup(only_where_interrupts_could_come, start),
        cmocka_unit_test_setup(what_was_not_executed_leaves_no_trace, start),
        cmocka_unit_test_setup(a_level_is_stepped_past_the_other, start),
        cmocka_unit_test_setup(l1s_own_monitor_trap_flag, start),
        cmocka_unit_test_setup(a_breakpoint_of_the_monitors_is_stepped_over, start),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
