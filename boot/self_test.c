/* SPDX-License-Identifier: MIT */
#include "boot/self_test.h"
#include "arch/x86/apic.h"
#include "arch/x86/asm.h"
#include "arch/x86/cpu.h"
#include "arch/x86/regs.h"
#include "arch/x86/time.h"
#include "arch/x86/trap.h"
#include "arch/x86/vmx.h"
#include "boot/console.h"
#include "boot/machine.h"
#include "drivers/uart16550.h"
#include "lib/format.h"
#include "lib/log.h"
#include "lib/string.h"
#include "vmm/self_test.h"

#define MSR_IA32_BIOS_SIGN_ID 0x8b
#define LEAF_TSC              0x15
#define LEAF_FREQUENCY        0x16
#define ANSWER_US             100000
#define STEP_US               20 /* TSCs this close are in step */
#define NEAR                  20 /* timers agree within a 20th, as for calibrate_tsc() */

static const struct boot_info *boot;
static const struct config_vm *any_vm;
static bool usable;
static u32 entered; /* CPUs on which a guest ran */

static void say(bool ok, const char *what, const char *detail)
{
    self_say(ok ? SELF_OK : SELF_FAILED, what, detail);
}

/* --- what there is --- */

static void show_cpu(void)
{
    struct cpuid_regs id = cpuid(0, 0), signature = cpuid(1, 0);
    u32 vendor[4] = {id.ebx, id.edx, id.ecx}, brand[13] = {0}, family = signature.eax >> 8 & 0xf;
    const char *name = (const char *)brand;

    if (cpuid(0x80000000, 0).eax >= 0x80000004)
        for (u32 i = 0; i < 3; i++) {
            id = cpuid(0x80000002 + i, 0);
            memcpy(&brand[4 * i], &id, sizeof(id));
        }
    while (*name == ' ')
        name++;
    log_info("CPU: %s, family %u, model 0x%x, stepping %u, microcode 0x%lx, %s", (const char *)vendor,
             family + (family == 0xf ? signature.eax >> 20 & 0xff : 0),
             (signature.eax >> 4 & 0xf) | (signature.eax >> 12 & 0xf0), signature.eax & 0xf,
             rdmsr(MSR_IA32_BIOS_SIGN_ID) >> 32, name);
}

static void show_memory(void)
{
    static const char *const names[] = {
        [BOOT_RANGE_RAM] = PACK "RAM",          [BOOT_RANGE_RESERVED] = PACK "reserved",
        [BOOT_RANGE_ACPI] = PACK "ACPI tables", [BOOT_RANGE_NVS] = PACK "ACPI NVS",
        [BOOT_RANGE_BAD] = PACK "bad",          [BOOT_RANGE_RUNTIME] = PACK "UEFI runtime",
    };
    struct self_paragraph p;
    char text[64];

    self_begin(&p, PACK "memory map, KiB");
    for (u32 type = BOOT_RANGE_RAM; type <= BOOT_RANGE_RUNTIME; type++) {
        u64 size = 0;
        u32 n = 0;

        for (u32 i = 0; i < boot->nr_ranges; i++) {
            if (boot->ranges[i].type == type) {
                size += boot->ranges[i].size;
                n++;
            }
        }
        if (!n)
            continue;
        format(text, sizeof(text), "%s %lu in %u", names[type], size >> 10, n);
        self_add(&p, text);
    }
    self_end(&p);
}

static void show_console(void)
{
    const struct serial_port *at = &console_uart()->at;

    char text[64] = "no serial port";

    if (at->kind > SERIAL_NONE)
        format(text, sizeof(text), "serial port at %s 0x%lx, %u baud, interrupt %d",
               at->kind == SERIAL_PORT ? PACK "port" : PACK "address", at->base, at->baud, at->irq);
    log_info("console: %s; screen %ux%ux%u", text, boot->fb.width, boot->fb.height, boot->fb.bpp);
}

/* --- time --- */

static u64 hz_by_cpuid(void)
{
    u32 max = cpuid(0, 0).eax;
    struct cpuid_regs r = {0};

    if (max >= LEAF_TSC)
        r = cpuid(LEAF_TSC, 0);
    if (r.eax && r.ebx && r.ecx)
        return (u64)r.ecx * r.ebx / r.eax;
    return max >= LEAF_FREQUENCY ? (u64)(cpuid(LEAF_FREQUENCY, 0).eax & 0xffff) * 1000000 : 0;
}

/* What CPUID says is shown, and no more: emulators and hypervisors say anything there. */
static void check_clocks(void)
{
    char text[160];
    size_t n = 0;
    const char *name;
    bool agree = true;

    for (u32 i = 0;; i++) {
        u64 hz = machine_tsc_by(i, &name);

        if (!name)
            break;
        if (!hz)
            continue;
        agree &= (hz > tsc_hz ? hz - tsc_hz : tsc_hz - hz) < tsc_hz / NEAR;
        n += format(text + n, sizeof(text) - n, "%s %lu, ", name, hz / 1000);
    }
    format(text + n, sizeof(text) - n, "CPUID %lu kHz", hz_by_cpuid() / 1000);
    say(agree, PACK "TSC by timers", text);
}

/* --- other CPUs --- */

static u32 answered;
static u64 their_tsc;

static void on_test(u8 vector)
{
    if (!this_cpu()->id) {
        __atomic_store_n(&answered, 1, __ATOMIC_RELEASE);
        return;
    }
    their_tsc = rdtsc();
    apic_send_ipi(cpus[0]->apic_id, vector);
}

/* To that CPU and back; ticks, ~0: no answer. off: how far its TSC is from ours, at least. */
static u64 round_trip(u32 id, u64 *off)
{
    u64 from = rdtsc(), to;

    __atomic_store_n(&answered, 0, __ATOMIC_SEQ_CST);
    apic_send_ipi(cpus[id]->apic_id, VECTOR_TEST);
    do {
        irq_take_pending();
        to = rdtsc();
        if (to - from > us_to_ticks(ANSWER_US))
            return ~0ull;
    } while (!__atomic_load_n(&answered, __ATOMIC_ACQUIRE));
    *off = their_tsc < from ? from - their_tsc : their_tsc > to ? their_tsc - to : 0;
    return to - from;
}

static void check_ipis(void)
{
    u64 slowest = 0, furthest = 0, off;
    u32 dumb = 0, other = 0;
    char text[64];

    irq_set_handler(VECTOR_TEST, on_test);
    for (u32 i = 1; i < nr_cpus; i++) {
        u64 took = round_trip(i, &off);

        if (took == ~0ull) {
            dumb = i;
            continue;
        }
        slowest = MAX(slowest, took);
        if (off > furthest) {
            furthest = off;
            other = i;
        }
    }
    if (dumb)
        format(text, sizeof(text), "cpu %u does not answer", dumb);
    else
        format(text, sizeof(text), "at most %lu us", slowest / us_to_ticks(1));
    say(!dumb, PACK "IPIs to all CPUs and back", text);
    format(text, sizeof(text), "cpu %u is %lu us off", other, furthest / us_to_ticks(1));
    say(furthest < us_to_ticks(STEP_US), PACK "TSCs in step", furthest < us_to_ticks(STEP_US) ? NULL : text);
}

/* --- all of it --- */

void self_test_begin(const struct boot_info *bi, const struct config *config, bool has_vmx)
{
    boot = bi;
    any_vm = &config->vms[0];
    usable = has_vmx && self_check_begin(any_vm);
    self_test_cpu();
}

void self_test_cpu(void)
{
    entered += usable && self_check_cpu();
}

static void check_vmx(void)
{
    char text[32];

    if (!usable) {
        say(false, PACK "VT-x", PACK "Nidus cannot run here, as said above");
        return;
    }
    say(vmx_leave_and_enter() == OK, PACK "VMXOFF, VMXON", NULL);
    format(text, sizeof(text), "%u of %u", entered, nr_cpus);
    say(entered == nr_cpus, PACK "VM entry on each CPU", text);
    self_check_vmx(any_vm);
}

u32 self_test(void)
{
    show_cpu();
    show_console();
    show_memory();
    if (vmx_caps.basic)
        self_show_capabilities();
    check_vmx();
    check_clocks();
    if (nr_cpus > 1)
        check_ipis();
    log_info("self-test: %u checks ok, %u FAILED, %u not on this CPU", self_results[SELF_OK],
             self_results[SELF_FAILED], self_results[SELF_ABSENT]);
    return self_results[SELF_FAILED];
}
