/* SPDX-License-Identifier: MIT */
#include "vmm/fail.h"
#include "arch/x86/asm.h"
#include "arch/x86/vmx.h"
#include "arch/x86/vmx_names.h"
#include "lib/format.h"
#include "lib/log.h"
#include "vmm/mmio_host.h"
#include "vmm/vmcs_dump.h"
#include "vmm/vmm.h"

/* One at a time: the image is large, and dumps of two VMs should not mix. */
static struct spinlock lock;
static struct vmcs_image image;

static void read_image(void)
{
    for (u32 i = 0; i < VMCS_NR_FIELDS; i++)
        image.f[i] = vmcs_field_exists(&vmx_caps, i) ? vmread(vmcs_field_encoding(i)) : 0;
}

static void print_line(void *ctx, const char *text)
{
    struct vcpu *v = ctx;

    log_error("%s.%u: %s", v->vm->config->name, v->id, text);
}

static void print_registers(struct vcpu *v)
{
    static const char *const name[NR_REGS] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                              "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};
    u64 g[NR_REGS];

    for (u32 i = 0; i < NR_REGS; i++)
        g[i] = i == REG_RSP ? VMCS(&image, GUEST_RSP) : v->gpr[i];
    for (u32 i = 0; i < NR_REGS; i += 4)
        log_error("%s.%u: %s %016lx %s %016lx %s %016lx %s %016lx", v->vm->config->name, v->id, name[i], g[i],
                  name[i + 1], g[i + 1], name[i + 2], g[i + 2], name[i + 3], g[i + 3]);
    log_error("%s.%u: cr2 %016lx xcr0 %lx", v->vm->config->name, v->id, read_cr2(), v->xcr0);
}

/* Lenient where only the CPU knows: a row that fails is then a sure reason. */
void fail_explain(const struct vmcs_image *vmcs, struct entry_verdict *why)
{
    struct cpuid_regs widths = cpuid(0x80000008, 0);
    struct entry_env env = {
        .caps = &vmx_caps,
        .physical_bits = widths.eax & 0xff,
        .linear_bits = widths.eax >> 8 & 0xff,
        .long_mode = true,
        .lam = true,
        .rtm = true,
        .bus_lock_debug = true,
        .sgx = true,
        .efer_valid = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE,
        .debugctl_valid = ~0ull,
        .perf_global_valid = ~0ull,
        .rtit_valid = ~0ull,
        .lbr_valid = ~0ull,
    };

    entry_check(vmcs, &env, why);
}

static void dump(struct vcpu *v, const struct entry_verdict *why)
{
    print_registers(v);
    vmcs_dump(&image, &vmx_caps, why, print_line, v);
}

void fail_dump(struct vcpu *v, const char *what)
{
    spin_lock(&lock);
    read_image();
    log_error("%s.%u: %s", v->vm->config->name, v->id, what);
    dump(v, NULL);
    spin_unlock(&lock);
    vm_crash(v, "%s", what);
}

static void entry_failed(struct vcpu *v, const char *what)
{
    struct entry_verdict why;
    char text[160];

    fail_explain(&image, &why);
    entry_verdict_text(text, sizeof(text), &why, &image);
    log_error("%s.%u: %s", v->vm->config->name, v->id, what);
    dump(v, &why);
    log_error("%s.%u: likely reason: %s", v->vm->config->name, v->id,
              why.row ? text : "none of the checks that Nidus knows fails");
    vm_crash(v, "refused VM entry");
}

void fail_vm_entry_instruction(struct vcpu *v, u64 flags)
{
    spin_lock(&lock);
    read_image();
    entry_failed(v, flags & RFLAGS_CF ? "VM entry: VMfailInvalid, there is no current VMCS"
                                      : vmx_instruction_error_text((u32)VMCS(&image, VM_INSTRUCTION_ERROR)));
    spin_unlock(&lock);
}

void fail_report_entry(struct vcpu *v)
{
    struct entry_verdict why;
    char text[160];

    if (!vcpu_may_report(v))
        return;
    spin_lock(&lock);
    read_image();
    fail_explain(&image, &why);
    entry_verdict_text(text, sizeof(text), &why, &image);
    log_error("%s.%u: the CPU refuses vmcs02: %s", v->vm->config->name, v->id,
              why.row ? text : "none of the checks that Nidus knows fails");
    spin_unlock(&lock);
}

void(fail_guest)(struct vcpu *v, const char *fmt, ...)
{
    char why[96];
    va_list args;

    va_start(args, fmt);
    format_va(why, sizeof(why), fmt, args);
    va_end(args);
    if (!v->nested || !v->nested->in_l2) {
        vm_crash(v, "%s", why);
        return;
    }
    if (vcpu_may_report(v))
        log_error("%s.%u: its L2 at 0x%lx shuts down: %s", v->vm->config->name, v->id, vmread(GUEST_RIP),
                  why);
    events_shut_down(&v->events);
}

void fail_vm_entry(struct vcpu *v)
{
    spin_lock(&lock);
    read_image();
    entry_failed(v, vmx_exit_reason_name(EXIT_REASON_BASIC(VMCS(&image, EXIT_REASON))));
    spin_unlock(&lock);
}
