/* SPDX-License-Identifier: MIT */
/* L2 in 64-bit mode: says hello, and checks on every vCPU what it needs of the hypervisors below. */
#include "arch/x86/asm.h"
#include "l2.h"
#include "lib/types.h"

#define MSR_APIC_BASE      0x1b
#define MSR_PAT            0x277
#define MSR_EFER           0xc0000080u
#define MSR_KERNEL_GS_BASE 0xc0000102u
#define MSR_UNKNOWN        0x12345u
#define PAT_AT_RESET       0x0007040600070406ull

#define APIC(reg)     (*(volatile u32 *)(0xfee00000ull + (reg)))
#define APIC_ID       0x20
#define APIC_EOI      0xb0
#define APIC_SVR      0xf0
#define APIC_ICR      0x300
#define APIC_ICR_HIGH 0x310
#define APIC_TIMER    0x320
#define APIC_INITIAL  0x380
#define APIC_DIVIDE   0x3e0
#define ICR_INIT      0x4500u
#define ICR_STARTUP   0x4600u
#define TIMER_VECTOR  0x40
#define DONE_VECTOR   0x41
#define TIMER_COUNT   1000000 /* 1 ms in KVM */
#define TIMER_ROUNDS  5

#define WINDOW(id) (GiB(4) + MiB(2) * (id)) /* the area of a vCPU, its pages in reverse order */
#define NOWHERE    GiB(5)

struct frame {
    u64 rip, cs, rflags, rsp, ss;
};
struct gate {
    u16 offset0, selector, type;
    u16 offset1;
    u32 offset2, reserved;
};

void l2_main(u32 id);
extern volatile u32 l2_started;
extern u64 l2_pdpt[512];

static u64 window_pd[512] __aligned(4096), window_pt[L2_MAX_VCPUS][512] __aligned(4096);
static struct gate idt[256] __aligned(16);
static volatile u32 ticks[L2_MAX_VCPUS], done, exception[L2_MAX_VCPUS];
static volatile bool printing;

static void print(const char *text)
{
    size_t n = 0;

    while (text[n])
        n++;
    while (__atomic_exchange_n(&printing, true, __ATOMIC_ACQUIRE))
        cpu_pause();
    asm volatile("rep outsb" : "+S"(text), "+c"(n) : "d"(L2_PORT_CONSOLE) : "memory");
    __atomic_store_n(&printing, false, __ATOMIC_RELEASE);
}

static void __noreturn end(u8 status)
{
    for (;;)
        outb(L2_PORT_END, status);
}

static void check(bool good, const char *what)
{
    if (good)
        return;
    print("L2: FAIL ");
    print(what);
    print("\n");
    end(1);
}

static u32 this_cpu(void)
{
    return APIC(APIC_ID) >> 24;
}

/* All exceptions that are provoked here come from instructions of 2 bytes. */
static void note_exception(struct frame *f, u32 vector)
{
    exception[this_cpu()] = vector;
    f->rip += 2;
}

#define HANDLER __attribute__((interrupt)) static void

HANDLER on_ud(struct frame *f)
{
    note_exception(f, 6);
}

HANDLER on_gp(struct frame *f, u64 error)
{
    note_exception(f, error ? 0 : 13);
}

HANDLER on_pf(struct frame *f, u64 error)
{
    note_exception(f, error == 2 && read_cr2() == NOWHERE ? 14 : 0);
}

HANDLER on_timer(struct frame *f)
{
    (void)f;
    ticks[this_cpu()]++;
    APIC(APIC_EOI) = 0;
}

HANDLER on_done(struct frame *f)
{
    (void)f;
    done++;
    APIC(APIC_EOI) = 0;
}

static void set_gate(u8 vector, const void *handler)
{
    u64 a = (u64)handler;

    idt[vector] = (struct gate){(u16)a, 8, 0x8e00, (u16)(a >> 16), (u32)(a >> 32), 0};
}

static void load_idt(void)
{
    struct __packed {
        u16 limit;
        u64 base;
    } pointer = {sizeof(idt) - 1, (u64)idt};

    set_gate(6, on_ud);
    set_gate(13, on_gp);
    set_gate(14, on_pf);
    set_gate(TIMER_VECTOR, on_timer);
    set_gate(DONE_VECTOR, on_done);
    asm volatile("lidt %0" ::"m"(pointer));
}

static void check_identity(u32 id)
{
    struct cpuid_regs r = cpuid(0x40000000, 0);

    check(cpuid(1, 0).ecx & BIT(31), "CPUID: no hypervisor");
    check(r.ebx == 0x4b4d564b && r.ecx == 0x564b4d56 && r.edx == 0x4d, "CPUID: not KVM");
    check(cpuid(1, 0).ebx >> 24 == id && this_cpu() == id, "APIC id");
}

static void check_msrs(u32 id)
{
    u64 value = 0xffff800012345678ull + id, t = rdtsc();

    check(!(rdmsr(MSR_APIC_BASE) & BIT(8)) == (id != 0), "IA32_APIC_BASE: BSP");
    check(rdmsr(MSR_EFER) & BIT(10), "IA32_EFER: LMA");
    check(rdmsr(MSR_PAT) == PAT_AT_RESET, "IA32_PAT");
    wrmsr(MSR_KERNEL_GS_BASE, value);
    check(rdmsr(MSR_KERNEL_GS_BASE) == value, "IA32_KERNEL_GS_BASE");
    check(rdtsc() > t, "the TSC stands still");
}

static void check_exceptions(u32 id)
{
    asm volatile("ud2" ::: "memory");
    check(exception[id] == 6, "#UD");
    asm volatile("rdmsr" ::"c"(MSR_UNKNOWN) : "rax", "rdx", "memory");
    check(exception[id] == 13, "#GP of RDMSR");
    asm volatile("movb %%al, (%%rdx)" ::"d"(NOWHERE) : "memory");
    check(exception[id] == 14, "#PF");
}

/* What is written by the window is read where it lies, and the other way round after the pages have changed
 * places. */
static void check_memory(u32 id)
{
    volatile u64 *window = (volatile u64 *)WINDOW(id), *area = (volatile u64 *)(L2_AREAS + MiB(2) * id);
    u64 *pt = window_pt[id];

    for (u32 i = 0; i < 512; i++)
        pt[i] = ((u64)area + PAGE_SIZE * (511 - i)) | 7;
    __atomic_store_n(&window_pd[id], (u64)pt | 7, __ATOMIC_SEQ_CST);
    __atomic_store_n(&l2_pdpt[4], (u64)window_pd | 7, __ATOMIC_SEQ_CST);
    for (u32 i = 0; i < 512 * 512; i += 64)
        window[i] = (u64)id << 32 | i;
    for (u32 i = 0; i < 512 * 512; i += 64)
        check(area[(511 - i / 512) * 512 + i % 512] == ((u64)id << 32 | i), "memory by the window");
    for (u32 i = 0; i < 512; i++) {
        pt[i] = ((u64)area + PAGE_SIZE * i) | 7;
        invlpg((void *)(window + 512 * i));
    }
    for (u32 i = 0; i < 512 * 512; i += 64)
        check(window[i] == area[i], "memory by the changed window");
    check((pt[511] & 0x60) == 0x20, "accessed and dirty bits");
}

static void halt_until(volatile u32 *count, u32 wanted)
{
    while (*count < wanted)
        irq_enable_and_halt();
}

static void check_timer(u32 id)
{
    APIC(APIC_SVR) = 0x1ff;
    APIC(APIC_DIVIDE) = 0xb; /* by 1 */
    APIC(APIC_TIMER) = TIMER_VECTOR;
    for (u32 i = 1; i <= TIMER_ROUNDS; i++) {
        APIC(APIC_INITIAL) = TIMER_COUNT;
        halt_until(&ticks[id], i);
    }
}

static void start_others(u32 n)
{
    for (u32 id = 1; id < n; id++) {
        APIC(APIC_ICR_HIGH) = id << 24;
        APIC(APIC_ICR) = ICR_INIT;
        APIC(APIC_ICR) = ICR_STARTUP | L2_START >> 12;
        while (l2_started <= id)
            cpu_pause();
    }
}

void l2_main(u32 id)
{
    u32 n = inb(L2_PORT_VCPUS);

    if (id == 0)
        print("Hello from L2\n");
    load_idt();
    check_identity(id);
    check_msrs(id);
    check_exceptions(id);
    check_memory(id);
    check_timer(id);
    if (id) {
        APIC(APIC_ICR_HIGH) = 0;
        APIC(APIC_ICR) = 0x4000 | DONE_VECTOR;
        return;
    }
    start_others(n);
    halt_until(&done, n - 1);
    print("L2: all vCPUs: ok\n");
    end(0);
}
