/* SPDX-License-Identifier: MIT */
/* links: lib/format.c */
/* The self-test's page around VMX: the CPU, memory, clocks, and IPIs to CPUs of which some are odd. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#define ARCH_X86_ASM_H
#include "arch/x86/vmx_caps.h"
#include "lib/types.h"

struct cpuid_regs {
    u32 eax, ebx, ecx, edx;
};

static struct cpuid_regs cpuid(u32 leaf, u32 subleaf);
static u64 rdtsc(void);
static void irq_take_pending(void);

static inline void cpu_pause(void) {}

static u64 rdmsr(u32 msr)
{
    assert_int_equal(msr, 0x8b);
    return 0x2006e05ull << 32 | 7;
}

#define ARCH_X86_VMX_H
static struct vmx_caps vmx_caps;
static int vmxon_again;

static int vmx_leave_and_enter(void)
{
    return vmxon_again;
}

#include "arch/x86/cpu.h"
#define this_cpu fake_this_cpu
static struct cpu *current;

static struct cpu *fake_this_cpu(void)
{
    return current;
}

#include "boot/self_test.c"

u64 tsc_hz = 1000000000;
struct cpu *cpus[MAX_CPUS];
u32 nr_cpus;
u32 self_results[SELF_NR_RESULTS];
static struct cpu all[3] = {{.id = 0, .apic_id = 4}, {.id = 1, .apic_id = 6}, {.id = 2, .apic_id = 8}};
static struct boot_info info;
static struct config conf;
static struct uart16550 uart;
static char page[4096];
static u64 tsc;
static u32 dumb, far, pending, shown;
static s64 offset;
static bool guests_run;
static void (*handler)(u8 vector);

static struct cpuid_regs cpuid(u32 leaf, u32 subleaf)
{
    struct cpuid_regs r = {0};

    assert_int_equal(subleaf, 0);
    switch (leaf) {
    case 0:
        return (struct cpuid_regs){0x15, 0x756e6547, 0x6c65746e, 0x49656e69};
    case 1:
        return (struct cpuid_regs){0x50657, 0, 0, 0};
    case 0x15:
        return (struct cpuid_regs){2, 80, 25000000, 0};
    case 0x80000000:
        r.eax = 0x80000008;
        return r;
    case 0x80000002:
        memcpy(&r, "  Some(R) CPU @ ", 16);
        return r;
    case 0x80000003:
        memcpy(&r, "1.00GHz", 8);
        return r;
    default:
        return r;
    }
}

static u64 rdtsc(void)
{
    return tsc += 100;
}

static void interrupt(u32 id)
{
    current = &all[id];
    tsc += id && id == far ? (u64)offset : 0;
    handler(VECTOR_TEST);
    tsc -= id && id == far ? (u64)offset : 0;
    current = &all[0];
}

static void irq_take_pending(void)
{
    u32 id = pending - 1;

    if (!pending)
        return;
    pending = 0;
    tsc += 2000;
    interrupt(id);
}

void irq_set_handler(u8 vector, void (*fn)(u8 vector))
{
    assert_int_equal(vector, VECTOR_TEST);
    handler = fn;
}

void apic_send_ipi(u32 apic_id, u8 vector)
{
    u32 id = (apic_id - 4) / 2;

    assert_int_equal(vector, VECTOR_TEST);
    if (!id || id != dumb)
        pending = id + 1;
}

static u64 pit_hz = 1000000000;

u64 machine_tsc_by(u32 n, const char **name)
{
    static const char *const names[] = {"HPET", "ACPI PM timer", "PIT", NULL};

    *name = names[n];
    return n == 0 ? 0 : n == 2 ? pit_hz : 1000100000;
}

struct uart16550 *console_uart(void)
{
    return &uart;
}

void log_msg(enum log_level level, const char *fmt, ...)
{
    size_t n = strlen(page);
    va_list args;

    (void)level;
    va_start(args, fmt);
    n += format_va(page + n, sizeof(page) - n, fmt, args);
    va_end(args);
    strcpy(page + n, "\n");
}

void self_say(enum self_result result, const char *what, const char *detail)
{
    self_results[result]++;
    log_msg(LOG_INFO, "%s: %s: %s", what, result == SELF_OK ? "ok" : "FAILED", detail ? detail : "");
}

void self_begin(struct self_paragraph *p, const char *title)
{
    p->n = 0;
    log_msg(LOG_INFO, "%s", title);
}

void self_add(struct self_paragraph *p, const char *text)
{
    p->n++;
    log_msg(LOG_INFO, "%s", text);
}

void self_end(struct self_paragraph *p)
{
    (void)p;
}

void self_show_capabilities(void)
{
    shown++;
}

bool self_check_begin(const struct config_vm *any)
{
    assert_ptr_equal(any, &conf.vms[0]);
    return true;
}

bool self_check_cpu(void)
{
    return guests_run || current->id != 1;
}

void self_check_vmx(const struct config_vm *any)
{
    (void)any;
}

static u32 run(u32 nr, bool has_vmx)
{
    page[0] = 0;
    memset(self_results, 0, sizeof(self_results));
    entered = pending = shown = 0;
    nr_cpus = nr;
    for (u32 i = 0; i < nr; i++)
        cpus[i] = &all[i];
    current = &all[0];
    vmx_caps.basic = has_vmx;
    self_test_begin(&info, &conf, has_vmx);
    for (u32 i = 1; i < nr; i++) {
        current = &all[i];
        self_test_cpu();
    }
    current = &all[0];
    return self_test();
}

static int setup(void **state)
{
    (void)state;
    uart.at = SERIAL_COM1;
    info = (struct boot_info){.nr_ranges = 4};
    info.ranges[0] = (struct boot_range){0, 0x9f000, BOOT_RANGE_RAM, 0};
    info.ranges[1] = (struct boot_range){0xf0000, 0x10000, BOOT_RANGE_RESERVED, 0};
    info.ranges[2] = (struct boot_range){MiB(1), MiB(63), BOOT_RANGE_RAM, 0};
    info.ranges[3] = (struct boot_range){MiB(64), 0x10000, BOOT_RANGE_RUNTIME, 0};
    dumb = far = 0;
    offset = 0;
    guests_run = true;
    vmxon_again = OK;
    pit_hz = 1000000000;
    return 0;
}

static void check(const char *line)
{
    if (!strstr(page, line))
        fail_msg("'%s' is not on the page:\n%s", line, page);
}

static void all_is_well(void **state)
{
    (void)state;
    assert_int_equal(run(3, true), 0);
    check(
        "CPU: GenuineIntel, family 6, model 0x55, stepping 7, microcode 0x2006e05, Some(R) CPU @ 1.00GHz\n");
    check("console: serial port at port 0x3f8, 115200 baud, interrupt 4; screen 0x0x0\n");
    check("memory map, KiB\nRAM 65148 in 2\nreserved 64 in 1\nUEFI runtime 64 in 1\n");
    check("VMXOFF, VMXON: ok: \nVM entry on each CPU: ok: 3 of 3\n");
    check("TSC by timers: ok: ACPI PM timer 1000100, PIT 1000000, CPUID 1000000 kHz\n");
    check("IPIs to all CPUs and back: ok: at most 4 us\nTSCs in step: ok: \n");
    check("self-test: 5 checks ok, 0 FAILED, 0 not on this CPU\n");
    assert_int_equal(shown, 1);
    assert_int_equal(run(1, true), 0);
    assert_null(strstr(page, "IPIs"));
}

static void things_go_wrong(void **state)
{
    (void)state;
    dumb = 1;
    guests_run = false;
    pit_hz = 1060000000;
    vmxon_again = ERR_UNSUPP;
    assert_int_equal(run(3, true), 4);
    check("VMXOFF, VMXON: FAILED: \nVM entry on each CPU: FAILED: 2 of 3\n");
    check("TSC by timers: FAILED: ");
    check("IPIs to all CPUs and back: FAILED: cpu 1 does not answer\nTSCs in step: ok");
    setup(NULL);
    far = 2;
    offset = -30000;
    assert_int_equal(run(3, true), 1);
    check("TSCs in step: FAILED: cpu 2 is 2");
    offset = 1000000;
    assert_int_equal(run(3, true), 1);
    check("TSCs in step: FAILED: cpu 2 is 9");
    uart.at = (struct serial_port){.kind = SERIAL_NONE};
    assert_int_equal(run(1, false), 1);
    check("VT-x: FAILED: Nidus cannot run here, as said above\n");
    check("console: no serial port; screen");
    assert_int_equal(shown, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup(all_is_well, setup),
                                       cmocka_unit_test_setup(things_go_wrong, setup)};

    return cmocka_run_group_tests_name("self-test", tests, NULL, NULL);
}
