/* SPDX-License-Identifier: MIT */
/* The order in which Nidus takes the machine over. */
#include "boot/main.h"
#include "arch/x86/apic.h"
#include "arch/x86/asm.h"
#include "arch/x86/cpu.h"
#include "arch/x86/paging.h"
#include "arch/x86/smp.h"
#include "arch/x86/time.h"
#include "arch/x86/trap.h"
#include "arch/x86/vmx.h"
#include "boot/cmdline.h"
#include "boot/console.h"
#include "boot/gdb_port.h"
#include "boot/machine.h"
#include "boot/memory.h"
#include "boot/self_test.h"
#include "drivers/cmos.h"
#include "drivers/uart16550.h"
#include "lib/log.h"
#include "lib/string.h"
#include "vmm/audit.h"
#include "vmm/apicv.h"
#include "vmm/task.h"
#include "vmm/vmm.h"

#define CONFIG_FILE "nidus.conf"

static struct boot_info *boot;
static struct config config;
static bool testing, has_vmx;
static struct vmm_file files[BOOT_MAX_MODULES];

static void __noreturn halt(void)
{
    for (;;) {
        irq_disable();
        cpu_halt();
    }
}

/* The exit status of the whole: see the README. People and scripts wait for this line. */
static void say_end(u32 status, const char *meaning)
{
    apic_stop_others();
    log_break_lock();
    log_info("end: status %u (%s)", status, meaning);
    uart16550_drain(console_uart());
}

static void __noreturn end(u32 status)
{
    static const char *const meaning[] = {PACK "every VM ended by its own power-off", PACK "a VM crashed",
                                          PACK "the configuration has errors", PACK "Nidus failed"};

    say_end(status, meaning[status]);
    if (!cmdline_has(boot->cmdline, "stay"))
        machine_power_off();
    log_info("this machine does not switch itself off: it can be switched off now");
    halt();
}

/* The page stays on the screen. */
static void __noreturn end_self_test(void)
{
    bool passed = !self_test();

    say_end(passed ? 0 : 3, passed ? PACK "self-test: passed" : PACK "self-test: FAILED");
    if (cmdline_has(boot->cmdline, "power-off"))
        machine_power_off();
    halt();
}

static void all_ended(u32 status)
{
    end(status);
}

static void __noreturn fail(void)
{
    end(3);
}

static void config_problem(void *ctx, const char *message)
{
    (void)ctx;
    log_error("%s", message);
}

static void stop_if_asked(void)
{
    while (apic_stopping()) {
        irq_disable();
        cpu_halt();
    }
}

static void map_files(void)
{
    for (u32 i = 0; i < boot->nr_modules; i++) {
        const struct boot_module *m = &boot->modules[i];

        files[i] = (struct vmm_file){m->name, vmap(m->base, m->size, 0), m->size};
        if (!files[i].data)
            panic("no memory to map the file %s", m->name);
    }
}

/* nidus.conf, or else one that lies in some directory. */
static const struct vmm_file *find_config(void)
{
    const struct vmm_file *found = NULL;

    for (u32 i = boot->nr_modules; i--;) {
        size_t n = strlen(files[i].name), from = sizeof("/" CONFIG_FILE) - 1;

        if (!strcmp(files[i].name, CONFIG_FILE))
            return &files[i];
        if (n > from && !strcmp(files[i].name + n - from, "/" CONFIG_FILE))
            found = &files[i];
    }
    return found;
}

/* Without a file, what it would say by default: the self-test needs none. */
static u32 read_config(void)
{
    const struct vmm_file *file = find_config();
    u32 problems = config_parse(&config, CONFIG_FILE, file ? (const char *)file->data : "",
                                file ? file->size : 0, cpuid_feature_known, config_problem, NULL);

    if (testing)
        return 0;
    if (!file)
        log_error("the boot loader did not bring " CONFIG_FILE "; give it as a module of that name");
    else if (!config.nr_vms && !problems)
        log_error(CONFIG_FILE ": no VM in it; add a section [vm NAME] with 'kernel = FILE'");
    return MAX(problems, !config.nr_vms);
}

static bool cpu_prepare_vmm(void)
{
    return vmm_prepare_cpu(this_cpu()) == OK && (!has_vmx || vmx_init_cpu() == OK);
}

static bool ap_prepare(void)
{
    if (!cpu_prepare_vmm())
        return false;
    if (testing)
        self_test_cpu();
    return true;
}

static void start_cpus(void)
{
    static u32 ids[MAX_CPUS];
    bool sure;
    u32 found = machine_cpus(ids, MAX_CPUS, &sure);
    paddr_t low = frames_alloc(&pool_owner, PAGE_SIZE, PAGE_SIZE, MiB(1));

    if (found > 1 && low == FRAME_NONE)
        log_warn("no free memory below 1 MiB: going on with one CPU");
    else if (found > 1)
        smp_start(ids, found, sure, low, ap_prepare, vmm_cpu_main);
    machine_tell_cpus();
}

static void timer_interrupt(u8 vector)
{
    /* It has made the CPU look; nothing else is wanted of it. */
    (void)vector;
}

/* 'crash=exception', 'crash=panic' or 'crash=entry' on the command line: shows what a failure looks like. */
static void crash_if_asked(void)
{
    if (cmdline_has(boot->cmdline, "crash=exception"))
        asm volatile("movl $0, 8"); /* the null page */
    if (cmdline_has(boot->cmdline, "crash=panic"))
        panic("asked for on the command line");
    vmm_refuse_entry = cmdline_has(boot->cmdline, "crash=entry");
}

/* On the guarded stack, with final page tables. */
static void main_on_stack(void)
{
    u32 problems;

    testing = cmdline_has(boot->cmdline, "self-test");
    machine_init_screen(boot);
    machine_init_acpi(boot);
    console_from_firmware();
    has_vmx = vmx_init() == OK;
    if (!has_vmx && !testing)
        fail();
    nmi_set_handler(stop_if_asked);
    irq_set_handler(VECTOR_TIMER, timer_interrupt);
    irq_set_handler(VECTOR_KICK, timer_interrupt);
    irq_set_handler(VECTOR_POSTED, timer_interrupt);
    irq_set_handler(VECTOR_WAKE, posted_wake);
    irq_set_handler(VECTOR_TASK, tasks_poke);
    irq_set_handler(VECTOR_SPURIOUS, apic_count);
    irq_set_handler(VECTOR_ERROR, apic_count);
    apic_init_cpu();
    if (machine_init_time())
        panic("no timer to measure the TSC against (HPET, ACPI PM timer or PIT)");
    apic_timer_calibrate(tsc_hz);
    map_files();
    problems = read_config();
    log_set_level(config.loglevel);
    console_from_config(&config);
    machine_init_interrupts(console_uart());
    if (!cpu_prepare_vmm())
        fail();
    if (testing)
        self_test_begin(boot, &config, has_vmx);
    start_cpus();
    paging_seal();
    audit_base();
    crash_if_asked();
    vmm_all_ended = all_ended;
    log_info("memory: %lu MiB, of which Nidus holds %lu KiB and boot modules %lu KiB", frames_total() >> 20,
             memory_own() >> 10, memory_modules() >> 10);
    if (testing)
        end_self_test();
    problems += !gdb_port_start(&config);
    vmm_start(&config, problems, files, boot->nr_modules, cmos_utc());
    vmm_cpu_main();
}

void __noreturn nidus_main(struct boot_info *bi)
{
    boot = bi;
    log_info("Nidus, loaded by %s%s", bi->loader[0] ? bi->loader : "an unnamed boot loader",
             bi->efi ? ", UEFI" : "");
    memory_init(bi);
    machine_begin(bi);
    console_from_cmdline(bi->cmdline);
    if (apic_init())
        panic("this CPU has no local APIC");
    if (cpu_prepare(this_cpu(), 0, apic_id()))
        panic("no memory for the boot CPU");
    cpu_load(this_cpu());
    cpu_switch_stack(this_cpu()->stack_top, main_on_stack);
}
