/* SPDX-License-Identifier: MIT */
#include "arch/x86/apic.h"
#include "arch/x86/asm.h"
#include "arch/x86/cpu.h"
#include "arch/x86/paging.h"
#include "arch/x86/time.h"
#include "arch/x86/trap.h"

/* Register offsets of the xAPIC; the x2APIC's MSR is 0x800 + offset / 16. */
enum {
    REG_ID = 0x20,
    REG_TPR = 0x80,
    REG_EOI = 0xb0,
    REG_SVR = 0xf0,
    REG_ESR = 0x280,
    REG_ICR = 0x300,
    REG_ICR2 = 0x310,
    REG_LVT_TIMER = 0x320,
    REG_LVT_THERMAL = 0x330,
    REG_LVT_PERF = 0x340,
    REG_LVT_LINT0 = 0x350,
    REG_LVT_LINT1 = 0x360,
    REG_LVT_ERROR = 0x370,
    REG_TIMER_INITIAL = 0x380,
    REG_TIMER_CURRENT = 0x390,
    REG_TIMER_DIVIDE = 0x3e0,
};

#define APIC_BASE_X2APIC  BIT(10)
#define APIC_BASE_ENABLE  BIT(11)
#define SVR_ENABLE        BIT(8)
#define LVT_MASKED        BIT(16)
#define LVT_TSC_DEADLINE  (2u << 17)
#define ICR_NMI           (4u << 8)
#define ICR_INIT          (5u << 8)
#define ICR_STARTUP       (6u << 8)
#define ICR_PENDING       BIT(12)
#define ICR_ASSERT        BIT(14)
#define ICR_ALL_BUT_SELF  (3u << 18)
#define DIVIDE_BY_1       0xb
#define CALIBRATION_TICKS 0xffffffffu

static volatile u8 *mmio;
static bool x2apic, tsc_deadline;
static u64 timer_hz; /* of the one-shot timer; 0 where TSC-deadline mode is used */
static u64 tsc_hz_;
static u32 stopping;

static u32 reg_read(u32 reg)
{
    if (x2apic)
        return (u32)rdmsr(MSR_IA32_X2APIC_FIRST + reg / 16);
    return *(volatile u32 *)(mmio + reg);
}

static void reg_write(u32 reg, u32 value)
{
    if (x2apic)
        wrmsr(MSR_IA32_X2APIC_FIRST + reg / 16, value);
    else
        *(volatile u32 *)(mmio + reg) = value;
}

static void set_mode(void)
{
    u64 base = rdmsr(MSR_IA32_APIC_BASE);

    /* The enable bit is never cleared: some CPUs cannot set it again. */
    if (x2apic && !(base & APIC_BASE_X2APIC)) {
        wrmsr(MSR_IA32_APIC_BASE, base | APIC_BASE_ENABLE);
        wrmsr(MSR_IA32_APIC_BASE, base | APIC_BASE_ENABLE | APIC_BASE_X2APIC);
    } else if (!(base & APIC_BASE_ENABLE)) {
        wrmsr(MSR_IA32_APIC_BASE, base | APIC_BASE_ENABLE);
    }
}

int apic_init(void)
{
    struct cpuid_regs leaf1 = cpuid(1, 0);

    if (!(leaf1.edx & BIT(9)))
        return ERR_UNSUPP;
    /* What firmware has left on stays on: only a reset of the CPU leads back. */
    x2apic = leaf1.ecx & BIT(21) || rdmsr(MSR_IA32_APIC_BASE) & APIC_BASE_X2APIC;
    tsc_deadline = leaf1.ecx & BIT(24);
    if (!x2apic) {
        mmio = vmap(rdmsr(MSR_IA32_APIC_BASE) & PTE_ADDR, PAGE_SIZE, MAP_WRITE | MAP_UNCACHED);
        if (!mmio)
            return ERR_NOMEM;
    }
    set_mode();
    return OK;
}

void apic_init_cpu(void)
{
    static const u32 masked[] = {REG_LVT_TIMER, REG_LVT_THERMAL, REG_LVT_PERF, REG_LVT_LINT0};
    u32 max_lvt;

    set_mode();
    reg_write(REG_SVR, SVR_ENABLE | VECTOR_SPURIOUS);
    reg_write(REG_TPR, 0);
    max_lvt = reg_read(0x30) >> 16 & 0xff;
    for (u32 i = 0; i < ARRAY_SIZE(masked); i++) {
        if ((masked[i] == REG_LVT_PERF && max_lvt < 4) || (masked[i] == REG_LVT_THERMAL && max_lvt < 5))
            continue;
        reg_write(masked[i], LVT_MASKED);
    }
    reg_write(REG_LVT_LINT1, ICR_NMI);
    reg_write(REG_ESR, 0);
    reg_write(REG_LVT_ERROR, VECTOR_ERROR);
    if (tsc_deadline)
        reg_write(REG_LVT_TIMER, LVT_TSC_DEADLINE | VECTOR_TIMER);
    else
        reg_write(REG_LVT_TIMER, VECTOR_TIMER);
    reg_write(REG_TIMER_DIVIDE, DIVIDE_BY_1);
}

u32 apic_id(void)
{
    return x2apic ? reg_read(REG_ID) : reg_read(REG_ID) >> 24;
}

bool apic_is_x2apic(void)
{
    return x2apic;
}

void apic_eoi(void)
{
    reg_write(REG_EOI, 0);
}

void apic_count(u8 vector)
{
    struct cpu *c = this_cpu();

    if (vector == VECTOR_SPURIOUS) {
        c->nr_spurious++;
        return;
    }
    c->nr_apic_errors++;
    reg_write(REG_ESR, 0); /* else no further error interrupts */
}

static void icr_write(u32 dest, u32 low)
{
    if (x2apic) {
        /* The write is not serializing: what the target shall see must be visible first. */
        asm volatile("mfence" : : : "memory");
        wrmsr(MSR_IA32_X2APIC_FIRST + REG_ICR / 16, (u64)dest << 32 | low);
        return;
    }
    while (reg_read(REG_ICR) & ICR_PENDING)
        cpu_pause();
    reg_write(REG_ICR2, dest << 24);
    reg_write(REG_ICR, low);
}

void apic_send_ipi(u32 dest, u8 vector)
{
    icr_write(dest, ICR_ASSERT | vector);
}

void apic_send_init(u32 dest)
{
    icr_write(dest, ICR_ASSERT | ICR_INIT);
}

void apic_send_startup(u32 dest, u8 page)
{
    icr_write(dest, ICR_ASSERT | ICR_STARTUP | page);
}

void apic_stop_others(void)
{
    __atomic_store_n(&stopping, 1, __ATOMIC_SEQ_CST);
    if (nr_cpus > 1)
        icr_write(0, ICR_ASSERT | ICR_NMI | ICR_ALL_BUT_SELF);
}

bool apic_stopping(void)
{
    return __atomic_load_n(&stopping, __ATOMIC_RELAXED);
}

void apic_timer_calibrate(u64 tsc_hz)
{
    u64 from;

    tsc_hz_ = tsc_hz;
    if (tsc_deadline)
        return;
    reg_write(REG_LVT_TIMER, LVT_MASKED | VECTOR_TIMER);
    reg_write(REG_TIMER_INITIAL, CALIBRATION_TICKS);
    from = rdtsc();
    while (rdtsc() - from < tsc_hz / 100)
        cpu_pause();
    timer_hz = (u64)(CALIBRATION_TICKS - reg_read(REG_TIMER_CURRENT)) * 100;
    reg_write(REG_TIMER_INITIAL, 0);
    reg_write(REG_LVT_TIMER, VECTOR_TIMER);
    if (timer_hz == 0)
        timer_hz = tsc_hz;
}

void apic_timer_set(u64 deadline)
{
    u64 now, ticks;

    if (tsc_deadline) {
        wrmsr(MSR_IA32_TSC_DEADLINE, deadline ? deadline : 1);
        return;
    }
    now = rdtsc();
    ticks = deadline > now ? mul_div(deadline - now, timer_hz, tsc_hz_) : 0;
    reg_write(REG_TIMER_INITIAL, (u32)MIN(MAX(ticks, 1), 0xffffffffu));
}

void apic_timer_stop(void)
{
    if (tsc_deadline)
        wrmsr(MSR_IA32_TSC_DEADLINE, 0);
    else
        reg_write(REG_TIMER_INITIAL, 0);
}
