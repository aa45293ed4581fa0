/* SPDX-License-Identifier: MIT */
#include "arch/x86/trap.h"
#include "arch/x86/apic.h"
#include "arch/x86/asm.h"
#include "arch/x86/backtrace.h"
#include "arch/x86/cpu.h"
#include "arch/x86/trap_stubs.h"
#include "lib/format.h"
#include "lib/log.h"

#define GATE_INTERRUPT 0x8e

struct gate {
    u16 offset0, selector;
    u8 ist, type;
    u16 offset1;
    u32 offset2, reserved;
};

struct ex_entry {
    u64 insn, fixup;
};

extern u8 trap_stubs[];
extern const struct ex_entry _ex_table[], _ex_table_end[];
int copy_fixed(void *to, const void *from, u64 n);
int cmpxchg_fixed(void *p, u64 old, u64 new, u64 is64);
int or_words_fixed(void *to, const void *base, const struct or_word *words, u32 n);
bool matches_fixed(const void *base, const struct word_match *words, u32 n);
void trap_dispatch(struct trap_frame *f);

/* Written once at start, read-only afterwards. */
static struct gate idt[256] __attribute__((section(".bss.sealed"), aligned(4096)));
static void (*irq_handler[256])(u8 vector);
static void (*nmi_handler)(void);
bool have_smap;

/* From vector 0 on. */
static const char exception_names[] = PACK "#DE divide error\0"
                                           "#DB debug\0"
                                           "NMI\0"
                                           "#BP breakpoint\0"
                                           "#OF overflow\0"
                                           "#BR bound\0"
                                           "#UD invalid opcode\0"
                                           "#NM no device\0"
                                           "#DF double fault\0"
                                           "coprocessor overrun\0"
                                           "#TS invalid TSS\0"
                                           "#NP segment not present\0"
                                           "#SS stack fault\0"
                                           "#GP protection\0"
                                           "#PF page fault\0"
                                           "reserved\0"
                                           "#MF x87\0"
                                           "#AC alignment\0"
                                           "#MC machine check\0"
                                           "#XM SIMD\0"
                                           "#VE virtualization\0"
                                           "#CP control protection\0";
#define NR_EXCEPTION_NAMES 22

COLD void idt_init(void)
{
    for (u32 v = 0; v < 256; v++) {
        u64 stub = (u64)trap_stubs + v / TRAP_GROUP * TRAP_GROUP_SIZE + v % TRAP_GROUP * TRAP_STUB_SIZE;

        idt[v] = (struct gate){
            .offset0 = (u16)stub,
            .offset1 = (u16)(stub >> 16),
            .offset2 = (u32)(stub >> 32),
            .selector = SEL_CODE,
            .type = GATE_INTERRUPT,
            .ist = v == VEC_NMI  ? IST_NMI
                   : v == VEC_DF ? IST_DF
                   : v == VEC_MC ? IST_MC
                                 : IST_NONE,
        };
    }
    have_smap = cpuid(0, 0).eax >= 7 && (cpuid(7, 0).ebx & BIT(20));
}

void idt_load(void)
{
    struct {
        u16 limit;
        u64 base;
    } __packed idtr = {sizeof(idt) - 1, (u64)idt};

    asm volatile("lidt %0" : : "m"(idtr));
}

void irq_set_handler(u8 vector, void (*fn)(u8 vector))
{
    irq_handler[vector] = fn;
}

void nmi_set_handler(void (*fn)(void))
{
    nmi_handler = fn;
}

void irq_dispatch(u8 vector)
{
    if (irq_handler[vector])
        irq_handler[vector](vector);
    else
        log_debug("cpu %u: interrupt with no handler, vector 0x%x", this_cpu()->id, vector);
    if (vector != VECTOR_SPURIOUS)
        apic_eoi();
}

void nmi_dispatch(void)
{
    this_cpu()->nmi_count++;
    if (nmi_handler)
        nmi_handler();
}

static bool fix_up(struct trap_frame *f)
{
    for (const struct ex_entry *e = _ex_table; e < _ex_table_end; e++) {
        if (e->insn == f->rip) {
            f->rip = e->fixup;
            return true;
        }
    }
    return false;
}

static void __noreturn stop_machine(void)
{
    apic_stop_others();
    for (;;) {
        irq_disable();
        cpu_halt();
    }
}

static u32 panicking;

/* Only the first CPU to fail tells; the others wait to be stopped. */
static void panic_begin(void)
{
    if (__atomic_exchange_n(&panicking, 1, __ATOMIC_SEQ_CST)) {
        for (;;) {
            irq_disable();
            cpu_halt();
        }
    }
    apic_stop_others();
    log_break_lock();
}

void __noreturn(panic)(const char *fmt, ...)
{
    char text[256];
    va_list args;

    va_start(args, fmt);
    format_va(text, sizeof(text), fmt, args);
    va_end(args);
    panic_begin();
    log_panic("%s (cpu %u)", text, this_cpu()->id);
    backtrace((u64)panic, (u64)__builtin_frame_address(0));
    stop_machine();
}

static void __noreturn die(struct trap_frame *f)
{
    panic_begin();
    log_panic("exception %lu %s, error code 0x%lx (cpu %u)", f->vector,
              f->vector < NR_EXCEPTION_NAMES ? packed_nth(exception_names, (u32)f->vector) : "",
              f->error_code, this_cpu()->id);
    log_error("rip %016lx cs %04lx rflags %08lx rsp %016lx ss %04lx", f->rip, f->cs, f->rflags, f->rsp,
              f->ss);
    log_error("rax %016lx rbx %016lx rcx %016lx rdx %016lx", f->rax, f->rbx, f->rcx, f->rdx);
    log_error("rsi %016lx rdi %016lx rbp %016lx r8  %016lx", f->rsi, f->rdi, f->rbp, f->r8);
    log_error("r9  %016lx r10 %016lx r11 %016lx r12 %016lx", f->r9, f->r10, f->r11, f->r12);
    log_error("r13 %016lx r14 %016lx r15 %016lx", f->r13, f->r14, f->r15);
    log_error("cr0 %08lx cr2 %016lx cr3 %016lx cr4 %08lx", read_cr0(), read_cr2(), read_cr3(), read_cr4());
    backtrace(f->rip, f->rsp);
    stop_machine();
}

/* What came between idle_halt()'s STI and HLT must not be slept over. */
static void leave_halt(struct trap_frame *f)
{
    extern const char idle_halt_hlt[], idle_halt_end[];

    if (f->rip == (u64)idle_halt_hlt)
        f->rip = (u64)idle_halt_end;
}

void trap_dispatch(struct trap_frame *f)
{
    if (f->vector == VEC_NMI || f->vector >= 32)
        leave_halt(f);
    if (f->vector == VEC_NMI) {
        nmi_dispatch();
        return;
    }
    if (f->vector >= 32) {
        irq_dispatch((u8)f->vector);
        return;
    }
    if (!fix_up(f))
        die(f);
}

int user_copy(void *to, const void *from, u64 n)
{
    int r;

    if (have_smap)
        stac();
    r = copy_fixed(to, from, n);
    if (have_smap)
        clac();
    return r;
}

int user_cmpxchg(void *p, u32 size, u64 old, u64 new)
{
    int r;

    if (have_smap)
        stac();
    r = cmpxchg_fixed(p, old, new, size == 8);
    if (have_smap)
        clac();
    return r;
}

int user_or_words(void *to, const void *base, const struct or_word *words, u32 n)
{
    int r;

    if (have_smap)
        stac();
    r = or_words_fixed(to, base, words, n);
    if (have_smap)
        clac();
    return r;
}

bool user_matches(const void *base, const struct word_match *words, u32 n)
{
    bool r;

    if (have_smap)
        stac();
    r = matches_fixed(base, words, n);
    if (have_smap)
        clac();
    return r;
}
