/* SPDX-License-Identifier: MIT */
/* What an operation costs, in TSC ticks: the smallest of many, less the smallest of an empty measurement. */
#include "guest/bench/bench.h"
#include "guest/bench/samples.h"
#include "guest/common/apic.h"
#include "guest/common/guest.h"
#include "guest/common/legacy.h"
#include "guest/pv/nidus.h"

#define RUNS           200
#define LATER          100000000u /* ticks */
#define UNCLAIMED_PORT 0xe0
#define UNCLAIMED_MMIO 0xfeb00000u
#define UNKNOWN_MSR    0x12345u

sample sample_empty, sample_cpuid, sample_vmcall, sample_rdmsr, sample_wrmsr, sample_inb, sample_outb,
    sample_inl, sample_outl, sample_load, sample_store, sample_cr0, sample_cr3, sample_cr4, sample_xsetbv,
    sample_ud2, sample_invlpg, sample_ipi_mmio, sample_ipi_msr;
void ipi_entry(void);
void skip2(void);
void skip2_error(void);
extern u32 ipi_eoi_ticks;

static u64 empty;

struct attempt {
    sample *fn;
    const struct sample_regs *in;
};

static void try_sample(void *arg)
{
    struct attempt *a = arg;

    a->fn(a->in);
}

static bool faults(sample *fn, const struct sample_regs *in)
{
    struct attempt a = {fn, in};

    return try_call(try_sample, &a) != X_NONE;
}

/* The first run, here in faults() or as run 0, is not counted. */
static u64 smallest(sample *fn, const struct sample_regs *in)
{
    u64 least = ~0ull;

    for (u32 i = 0; i <= RUNS; i++) {
        u64 t = fn(in);

        if (i)
            least = MIN(least, t);
    }
    return least;
}

/* For one operation, rounded; 0 when it costs no more than nothing at all. */
static u64 ticks_each(sample *fn, const struct sample_regs *in)
{
    u64 t = smallest(fn, in);

    return t > empty ? (t - empty + SAMPLE_LOOPS / 2) / SAMPLE_LOOPS : 0;
}

static void print_ticks(const char *name, u64 ticks)
{
    printf("bench: %s = %llu\n", name, (ull)ticks);
}

static void bench(const char *name, sample *fn, struct sample_regs in)
{
    if (faults(fn, &in)) {
        printf("bench: %s = -\n", name);
        return;
    }
    print_ticks(name, ticks_each(fn, &in));
}

/* An exception is expected, and counted with its handler in this kernel; without one, the operation alone. */
static void bench_exception(const char *name, sample *fn, struct sample_regs in, u8 vector,
                            void (*skip)(void))
{
    if (faults(fn, &in))
        trap_set_entry(vector, skip);
    print_ticks(name, ticks_each(fn, &in));
    trap_init();
}

static struct sample_regs msr_regs(u32 msr, u64 value)
{
    return (struct sample_regs){.rax = (u32)value, .rcx = msr, .rdx = value >> 32};
}

static u64 value_of(u32 msr)
{
    struct sample_regs in = msr_regs(msr, 0);

    return faults(sample_rdmsr, &in) ? 0 : rdmsr(msr);
}

static void bench_instructions(void)
{
    bench("cpuid", sample_cpuid, (struct sample_regs){0});
    bench("vmcall", sample_vmcall, (struct sample_regs){.rax = 0xffff});
    bench("vmcall_nop", sample_vmcall, (struct sample_regs){.rax = NIDUS_CALL(NIDUS_OP_NOP)});
    bench_exception("ud2", sample_ud2, (struct sample_regs){0}, X_UD, skip2);
    bench("invlpg", sample_invlpg, (struct sample_regs){.rdi = MiB(1)});
}

static void bench_msrs(void)
{
    bench("rdmsr_apic_base", sample_rdmsr, msr_regs(MSR_APIC_BASE, 0));
    bench("rdmsr_tsc_adjust", sample_rdmsr, msr_regs(MSR_TSC_ADJUST, 0));
    bench("wrmsr_tsc_adjust", sample_wrmsr, msr_regs(MSR_TSC_ADJUST, value_of(MSR_TSC_ADJUST)));
    bench("rdmsr_fs_base", sample_rdmsr, msr_regs(MSR_FS_BASE, 0));
    bench("wrmsr_fs_base", sample_wrmsr, msr_regs(MSR_FS_BASE, 0));
    bench("rdmsr_efer", sample_rdmsr, msr_regs(MSR_EFER, 0));
    bench("wrmsr_efer", sample_wrmsr, msr_regs(MSR_EFER, rdmsr(MSR_EFER)));
    bench_exception("rdmsr_unknown", sample_rdmsr, msr_regs(UNKNOWN_MSR, 0), X_GP, skip2_error);
    bench_exception("wrmsr_unknown", sample_wrmsr, msr_regs(UNKNOWN_MSR, 0), X_GP, skip2_error);
}

static void bench_ports(void)
{
    bench("in_0x61", sample_inb, (struct sample_regs){.rdx = PORT_B});
    bench("in_0x71", sample_inb, (struct sample_regs){.rdx = RTC_DATA});
    bench("out_0x70", sample_outb, (struct sample_regs){.rax = 0x0a, .rdx = RTC_INDEX});
    bench("in_uart_lsr", sample_inb, (struct sample_regs){.rdx = COM1 + 5});
    bench("in_unclaimed", sample_inl, (struct sample_regs){.rdx = UNCLAIMED_PORT});
    bench("out_unclaimed", sample_outl, (struct sample_regs){.rdx = UNCLAIMED_PORT});
}

static void bench_mmio(void)
{
    bench("mmio_read_unclaimed", sample_load, (struct sample_regs){.rdi = UNCLAIMED_MMIO});
    bench("mmio_write_unclaimed", sample_store, (struct sample_regs){.rdi = UNCLAIMED_MMIO});
}

static void bench_control_registers(void)
{
    u64 cr0 = read_cr0(), cr4 = read_cr4();

    bench("cr0_ts_toggle", sample_cr0, (struct sample_regs){.rax = cr0, .toggle = CR0_TS});
    write_cr0(cr0);
    bench("cr4_tsd_toggle", sample_cr4, (struct sample_regs){.rax = cr4, .toggle = CR4_TSD});
    write_cr4(cr4);
    bench("cr3_write", sample_cr3, (struct sample_regs){.rax = read_cr3()});
    if (cpuid(1, 0).ecx & BIT(26)) {
        write_cr4(cr4 | CR4_OSXSAVE);
        bench("xsetbv", sample_xsetbv, (struct sample_regs){.rax = xgetbv(0)});
        write_cr4(cr4);
    }
}

static u64 smallest_eoi(sample *send, const struct sample_regs *in)
{
    u64 least = ~0ull;

    for (u32 i = 0; i <= RUNS; i++) {
        send(in);
        if (i)
            least = MIN(least, ipi_eoi_ticks);
    }
    return least;
}

static bool bench_xapic(void)
{
    struct sample_regs ipi = {.rax = ICR_SELF | ICR_ASSERT | IPI_VECTOR, .rdi = APIC_MMIO + APIC_ICR};

    bool other;

    apic_enable(false, false);
    ipi_x2apic = false;
    other = other_start();
    trap_set_entry(IPI_VECTOR, ipi_entry);
    bench("xapic_version", sample_load, (struct sample_regs){.rdi = APIC_MMIO + APIC_VERSION});
    bench("xapic_eoi_idle", sample_store, (struct sample_regs){.rdi = APIC_MMIO + APIC_EOI});
    bench("xapic_tpr_write", sample_store, (struct sample_regs){.rdi = APIC_MMIO + APIC_TPR});
    print_ticks("xapic_self_ipi", smallest(sample_ipi_mmio, &ipi));
    print_ticks("xapic_self_ipi_eoi", smallest_eoi(sample_ipi_mmio, &ipi));
    apic_write(APIC_LVT_TIMER, LVT_MASKED);
    bench("xapic_timer_initial", sample_store,
          (struct sample_regs){.rax = LATER, .rdi = APIC_MMIO + APIC_TIMER_INITIAL, .toggle = BIT(20)});
    apic_write(APIC_TIMER_INITIAL, 0);
    other_bench(other);
    if (other && apic_has_x2())
        other_to_x2apic();
    return other;
}

/* Every other deadline is earlier than the one before. */
static void bench_timers(void)
{
    u64 deadline = rdtsc() + LATER;

    bench("x2apic_timer_initial", sample_wrmsr,
          (struct sample_regs){.rax = LATER, .rcx = X2APIC_MSR(APIC_TIMER_INITIAL), .toggle = BIT(20)});
    apic_write(APIC_TIMER_INITIAL, 0);
    if (cpuid(1, 0).ecx & BIT(24)) {
        apic_write(APIC_LVT_TIMER, LVT_MASKED | LVT_DEADLINE);
        bench("tsc_deadline", sample_wrmsr,
              (struct sample_regs){
                  .rax = (u32)deadline, .rcx = MSR_TSC_DEADLINE, .rdx = deadline >> 32, .toggle = BIT(20)});
        apic_write(APIC_LVT_TIMER, LVT_MASKED);
    }
}

static void bench_x2apic(bool other)
{
    struct sample_regs ipi = {.rax = IPI_VECTOR, .rcx = X2APIC_MSR(APIC_SELF_IPI)};

    bool fresh = apic_mode() == APIC_X2; /* there was no xAPIC mode before */

    apic_enable(true, false);
    ipi_x2apic = true;
    if (fresh)
        other = other_start();
    trap_set_entry(IPI_VECTOR, ipi_entry);
    bench("x2apic_version", sample_rdmsr, msr_regs(X2APIC_MSR(APIC_VERSION), 0));
    bench("x2apic_eoi_idle", sample_wrmsr, msr_regs(X2APIC_MSR(APIC_EOI), 0));
    bench("x2apic_tpr_write", sample_wrmsr, msr_regs(X2APIC_MSR(APIC_TPR), 0));
    print_ticks("x2apic_self_ipi", smallest(sample_ipi_msr, &ipi));
    print_ticks("x2apic_self_ipi_eoi", smallest_eoi(sample_ipi_msr, &ipi));
    bench_timers();
    other_bench(other);
}

void guest_main(void)
{
    static const struct sample_regs none;

    bool other = false;

    pic_init();
    empty = smallest(sample_empty, &none);
    print_ticks("empty_loop", empty);
    bench_instructions();
    bench_msrs();
    bench_ports();
    bench_mmio();
    bench_control_registers();
    if (apic_mode() == APIC_X1)
        other = bench_xapic();
    if (apic_mode() == APIC_X2 || (apic_mode() == APIC_X1 && apic_has_x2()))
        bench_x2apic(other);
    printf("bench: end\n");
}
