/* SPDX-License-Identifier: MIT */
/* links: arch/x86/vmx_names.c lib/format.c */
/* The self-test's live checks, on a CPU that does all of it, and on those that do one thing wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/fake_asm.h"
#include "tests/unit/fake_vmx.h"
#include "arch/x86/cpu.h"
#include "arch/x86/vmx_caps.h"

#define this_cpu fake_this_cpu

static struct cpu self = {.apic_id = 5};

static struct cpu *fake_this_cpu(void)
{
    return &self;
}

struct vmx_regs {
    u64 rax, rcx, rdx;
};

/* What the CPU does wrong. */
static enum {
    NOTHING,
    NO_ENTRY,
    NO_EXIT,
    NO_VIOLATION,
    WRONG_ADDRESS,
    IGNORES_INVEPT,
    NO_INVVPID,
    EARLY_TIMER,
    NO_TIMER,
    LATE_TRAP,
    NO_VIRTUAL,
    OTHER_VIRTUAL,
    NO_POSTED,
    NO_IPIS,
} wrong;

static struct vmx_caps vmx_caps;
static struct vmx_features vmx_features;
static u64 fields[0x7000], tsc, cached;
static u32 loaded, ipis, in_service;
static char said[2048];

static bool invvpid(u64 type, u16 vpid)
{
    assert_true(type < 4);
    assert_int_equal(vpid, 1);
    return wrong != NO_INVVPID || type != 3;
}

static void invept_all(void)
{
    if (wrong != IGNORES_INVEPT)
        cached = 0;
}

static void invept_single(u64 eptp)
{
    assert_int_equal(eptp, 0x5000);
    invept_all();
}

static u32 fake_in(u16 port, u32 size)
{
    (void)port, (void)size;
    fail();
    return 0;
}

static void fake_out(u16 port, u32 size, u32 value)
{
    (void)port, (void)size, (void)value;
    fail();
}

static u64 fake_tsc(void)
{
    return tsc;
}

static u64 vmread(u32 field)
{
    assert_int_equal(loaded, 1);
    return fields[field];
}

static void vmwrite(u32 field, u64 value)
{
    assert_int_equal(loaded, 1);
    fields[field] = value;
}

#include "vmm/self_check.c"

u64 tsc_hz = 1000000000;
struct frame_owner pool_owner;
static struct mini_guest mini;
static struct vcpu vcpu;
static u32 regs_page[1024];
static struct lapic lapic = {.regs = regs_page};
static struct pi_desc descriptor;
static u16 first_page[2048] __attribute__((aligned(4096))), other_page[2048] __attribute__((aligned(4096)));
static u64 pt[512];

void *pool_alloc(struct frame_owner *owner, u32 pages)
{
    assert_ptr_equal(owner, &mini.vm.owner);
    assert_int_equal(pages, 1);
    return other_page;
}

void pool_free(struct frame_owner *owner, void *p, u32 pages)
{
    assert_ptr_equal(owner, &mini.vm.owner);
    assert_ptr_equal(p, other_page);
    assert_int_equal(pages, 1);
}

int vmcs_setup_init(void)
{
    return OK;
}

void apicv_before_entry(struct vcpu *v)
{
    assert_ptr_equal(v, &vcpu);
}

void ipiv_check(const struct config_vm *any)
{
    (void)any;
    if (wrong == NO_IPIS)
        vmx_features.granted &= ~BIT(VF_IPI_VIRTUALIZATION);
}

void apic_send_ipi(u32 apic_id, u8 vector)
{
    assert_int_equal(apic_id, 5);
    assert_int_equal(vector, VECTOR_POSTED);
    ipis++;
}

void log_msg(enum log_level level, const char *fmt, ...)
{
    size_t n = strlen(said);
    va_list args;

    (void)level;
    va_start(args, fmt);
    n += format_va(said + n, sizeof(said) - n, fmt, args);
    va_end(args);
    strcpy(said + n, "\n");
}

static enum config_apic level;

struct mini_guest *mini_create(const struct config_vm *any, enum config_apic apic)
{
    (void)any;
    level = apic;
    memset(pt, 0, sizeof(pt));
    memset(fields, 0, sizeof(fields));
    memset(regs_page, 0, sizeof(regs_page));
    descriptor = (struct pi_desc){0};
    cached = in_service = ipis = 0;
    first_page[0] = MINI_FIRST;
    vcpu.lapic = &lapic;
    vcpu.pid = &descriptor;
    mini = (struct mini_guest){.vcpu = &vcpu, .page = (u8 *)first_page, .pt = pt, .vm.eptp = 0x5000};
    return &mini;
}

void mini_load(struct mini_guest *g)
{
    assert_ptr_equal(g, &mini);
    loaded++;
}

void mini_unload(struct mini_guest *g)
{
    assert_ptr_equal(g, &mini);
    loaded--;
}

static u32 exits(u32 reason)
{
    fields[EXIT_REASON] = reason;
    return reason;
}

static u32 read_data(void)
{
    if (fields[PRIMARY_CONTROLS] & PROC_MONITOR_TRAP_FLAG) {
        fields[GUEST_RIP] = MINI_READ + (wrong == LATE_TRAP ? 6 : 3);
        return exits(EXIT_REASON_MONITOR_TRAP_FLAG);
    }
    if (!pt[1] && wrong != NO_VIOLATION) {
        fields[GUEST_PHYSICAL_ADDRESS] = wrong == WRONG_ADDRESS ? 0x2000 : 0x1000;
        fields[EXIT_QUALIFICATION] = EPT_QUAL_READ;
        return exits(EXIT_REASON_EPT_VIOLATION);
    }
    if (!cached) /* until it is invalidated */
        cached = pt[1];
    mini.regs.rax = 0xabcd0000;
    if (cached)
        mini.regs.rax |= *(u16 *)pool_va(cached & EPT_ADDR);
    return exits(EXIT_REASON_VMCALL);
}

static u32 take(void)
{
    u32 irr = *lapic_reg(&lapic, REG_IRR + VIRTUAL / 32);

    if (irr == BIT(VIRTUAL % 32) && lapic.changed && !in_service) {
        in_service = VIRTUAL;
    } else if (ipis == 1 && descriptor.flags == PID_ON && descriptor.pir[1] == BIT(POSTED % 64)) {
        in_service = POSTED;
    } else {
        return exits(EXIT_REASON_EXTERNAL_INTERRUPT);
    }
    if ((wrong == NO_VIRTUAL && in_service == VIRTUAL) || (wrong == NO_POSTED && in_service == POSTED))
        return exits(EXIT_REASON_EXTERNAL_INTERRUPT);
    fields[GUEST_INTERRUPT_STATUS] = (in_service + (wrong == OTHER_VIRTUAL)) << 8;
    return exits(EXIT_REASON_VMCALL);
}

u32 mini_run(struct mini_guest *g, enum mini_code from)
{
    assert_ptr_equal(g, &mini);
    assert_int_equal(loaded, 1);
    if (wrong == NO_ENTRY) {
        fields[VM_INSTRUCTION_ERROR] = 7;
        return MINI_VMFAIL;
    }
    switch (from) {
    case MINI_CALL:
        return exits(wrong == NO_EXIT ? EXIT_REASON_TRIPLE_FAULT : EXIT_REASON_VMCALL);
    case MINI_READ:
        return read_data();
    case MINI_LOOP:
        tsc += (fields[PREEMPTION_TIMER_VALUE] << 5) / (wrong == EARLY_TIMER ? 2 : 1);
        return exits(wrong == NO_TIMER ? EXIT_REASON_EXTERNAL_INTERRUPT : EXIT_REASON_PREEMPTION_TIMER);
    case MINI_TAKE:
        return take();
    default:
        fail();
        return 0;
    }
}

static void check_on(u64 without)
{
    vmx_features.granted = ~without;
    vmx_caps.misc = 5;
    vmx_caps.ept_vpid = VPID_CAP_INVVPID_ADDRESS * 15;
    memset(self_results, 0, sizeof(self_results));
    said[0] = 0;
    assert_true(self_check_begin(NULL));
    self_check_vmx(NULL);
    assert_int_equal(loaded, 0);
}

static void a_good_cpu(void **state)
{
    (void)state;
    wrong = NOTHING;
    check_on(0);
    assert_int_equal(level, APIC_POSTED);
    assert_string_equal(said, "VM entry, exit by VMCALL: ok\n"
                              "EPT violation: ok: address 0x1000, qualification 0x1\n"
                              "EPT, INVEPT: ok\n"
                              "VPID, INVVPID: ok\n"
                              "preemption timer: ok: 2000 us instead of 2000\n"
                              "monitor trap flag: ok\n"
                              "virtual-interrupt delivery: ok\n"
                              "posted interrupt: ok\n"
                              "IPI virtualization: ok\n");
    assert_int_equal(self_results[SELF_OK], 9);
    assert_int_equal(descriptor.flags, PID_SN);
    assert_true(self_check_cpu());
}

static void one_thing_wrong(void **state)
{
    static const struct {
        const char *line;
        u32 failures;
    } rows[] = {
        [NO_ENTRY] = {"VM entry, exit by VMCALL: FAILED: VM entry: VM entry with invalid control field(s)\n",
                      8},
        [NO_EXIT] = {"VM entry, exit by VMCALL: FAILED: exit 0x2, triple fault, instead of VMCALL\n", 2},
        [NO_VIOLATION] = {"EPT violation: FAILED: exit 0x12, VMCALL, instead of EPT violation\n", 1},
        [WRONG_ADDRESS] = {"EPT violation: FAILED: address 0x2000, qualification 0x1\n", 1},
        [IGNORES_INVEPT] = {"EPT, INVEPT: FAILED: the guest reads 0x400 instead of 0x1234\n", 1},
        [NO_INVVPID] = {"VPID, INVVPID: FAILED: INVVPID of type 3 fails\n", 1},
        [EARLY_TIMER] = {"preemption timer: FAILED: 1000 us instead of 2000\n", 1},
        [NO_TIMER] =
            {"preemption timer: FAILED: exit 0x1, external interrupt, instead of VMX-preemption timer expired\n",
             1},
        [LATE_TRAP] = {"monitor trap flag: FAILED: after 6 bytes, not after the first instruction\n", 1},
        [NO_VIRTUAL] =
            {"virtual-interrupt delivery: FAILED: exit 0x1, external interrupt, instead of VMCALL\n", 1},
        [OTHER_VIRTUAL] = {"posted interrupt: FAILED: vector 0x62 is in service instead of 0x61\n", 2},
        [NO_POSTED] = {"posted interrupt: FAILED: exit 0x1, external interrupt, instead of VMCALL\n", 1},
        [NO_IPIS] = {"IPI virtualization: FAILED\n", 1},
    };

    (void)state;
    for (wrong = NO_ENTRY; wrong <= NO_IPIS; wrong++) {
        check_on(0);
        if (!strstr(said, rows[wrong].line))
            fail_msg("'%s' is not said, but\n%s", rows[wrong].line, said);
        assert_int_equal(self_results[SELF_FAILED], rows[wrong].failures);
        assert_int_equal(self_results[SELF_OK] + self_results[SELF_FAILED], 9);
        assert_int_equal(self_check_cpu(), wrong != NO_ENTRY && wrong != NO_EXIT);
    }
}

static void not_there(void **state)
{
    (void)state;
    wrong = NOTHING;
    check_on(BIT(VF_POSTED_INTERRUPTS) | BIT(VF_IPI_VIRTUALIZATION));
    assert_int_equal(level, APIC_APICV);
    assert_int_equal(self_results[SELF_ABSENT], 2);
    check_on(BIT(VF_TPR_SHADOW) | BIT(VF_VPID) | BIT(VF_PREEMPTION_TIMER) | BIT(VF_MONITOR_TRAP_FLAG));
    assert_int_equal(level, APIC_EMULATED);
    assert_non_null(
        strstr(said, "virtual-interrupt delivery: not on this CPU\nposted interrupt: not on this CPU\n"));
    assert_int_equal(self_results[SELF_ABSENT], 5);
    assert_int_equal(self_results[SELF_FAILED], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_good_cpu), cmocka_unit_test(one_thing_wrong),
                                       cmocka_unit_test(not_there)};

    return cmocka_run_group_tests_name("self-test's checks", tests, NULL, NULL);
}
