/* SPDX-License-Identifier: MIT */
#include "guest/common/trap.h"
#include "guest/common/console.h"
#include "guest/common/cpu.h"
#include "guest/common/exit.h"
#include "guest/common/segments.h"

struct idt_gate {
    u16 offset0, selector;
    u8 ist, type;
    u16 offset1;
    u32 offset2, reserved;
};

struct trap_record last_trap;
bool (*trap_hook)(struct trap_frame *f);

extern u8 trap_entries[256][16];
extern u8 try_recover[], idle_halt_hlt[], idle_halt_end[];
extern u64 try_rsp;
extern u64 gdt[];

static struct idt_gate idt[256] __aligned(16);
static void (*handlers[256])(struct trap_frame *f);
static struct tss64 tss[MAX_CPUS] __aligned(16);
static u8 exception_stack[MAX_CPUS][4096] __aligned(16);

void trap_set_handler(u8 vector, void (*handler)(struct trap_frame *f))
{
    handlers[vector] = handler;
}

void trap_set_ist(u8 vector, u8 ist)
{
    idt[vector].ist = ist;
}

struct tss64 *trap_tss(u32 cpu)
{
    return &tss[cpu];
}

void trap_load_idt(void)
{
    struct __packed {
        u16 limit;
        u64 base;
    } pointer = {sizeof(idt) - 1, (u64)idt};

    asm volatile("lidt %0" ::"m"(pointer));
}

void trap_set_entry(u8 v, void (*entry_point)(void))
{
    u64 entry = (u64)entry_point;

    /* DPL 3 for #BP and #OF, so that they can be raised from user mode */
    idt[v] = (struct idt_gate){.offset0 = (u16)entry,
                               .selector = SEL_CODE64,
                               .ist = v < 32 ? 1 : 0,
                               .type = v == X_BP || v == X_OF ? 0xee : 0x8e,
                               .offset1 = (u16)(entry >> 16),
                               .offset2 = (u32)(entry >> 32)};
}

void trap_init(void)
{
    for (u32 v = 0; v < 256; v++)
        trap_set_entry((u8)v, (void (*)(void))trap_entries[v]);
    trap_init_cpu(0);
}

void trap_init_cpu(u32 cpu)
{
    u64 base = (u64)&tss[cpu];
    u64 *descriptor = &gdt[(SEL_TSS >> 3) + 2 * cpu];

    tss[cpu].ist[0] = (u64)exception_stack[cpu] + sizeof(exception_stack[cpu]);
    tss[cpu].iomap = sizeof(tss[cpu]);
    descriptor[0] =
        (sizeof(tss[cpu]) - 1) | (base & 0xffffff) << 16 | 0x89ull << 40 | (base >> 24 & 0xff) << 56;
    descriptor[1] = base >> 32;
    asm volatile("ltr %w0" ::"r"(SEL_TSS + 16 * cpu) : "memory");
    trap_load_idt();
}

static void __noreturn die(const struct trap_frame *f)
{
    printf("guest: unexpected vector %u error 0x%llx rip 0x%llx cr2 0x%llx rsp 0x%llx\n", (u32)f->vector,
           (unsigned long long)f->error, (unsigned long long)f->rip, (unsigned long long)read_cr2(),
           (unsigned long long)f->rsp);
    guest_fail(1);
}

void trap_handle(struct trap_frame *f);
void trap_handle(struct trap_frame *f)
{
    if (f->vector >= 32) {
        if (!handlers[f->vector])
            die(f);
        if (f->rip == (u64)idle_halt_hlt)
            f->rip = (u64)idle_halt_end;
        handlers[f->vector](f);
        return;
    }
    if (trap_hook && trap_hook(f))
        return;
    if (!try_rsp)
        die(f);
    last_trap = (struct trap_record){
        .vector = f->vector, .error = f->error, .cr2 = read_cr2(), .rip = f->rip, .rflags = f->rflags};
    if (f->vector == X_DB)
        last_trap.dr6 = read_dr6();
    f->rip = (u64)try_recover;
    f->cs = SEL_CODE64;
    f->ss = SEL_DATA;
    f->rsp = try_rsp;
    f->rflags = 2;
    f->rax = f->vector;
}
