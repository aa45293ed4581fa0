/* SPDX-License-Identifier: MIT */
/* links: vmm/entry_check.c vmm/entry_check_ctls.c vmm/entry_check_event.c vmm/entry_check_host.c */
/* links: vmm/entry_check_guest.c vmm/entry_check_segs.c vmm/entry_check_state.c vmm/entry_check_msr.c */
/* links: arch/x86/vmx_caps.c arch/x86/vmx_names.c vmm/vmcs_dump.c vmm/vmcs_text.c lib/format.c */
#include "tests/unit/entry_case.h"
#include "arch/x86/vmx_names.h"
#include "vmm/vmcs_dump.h"
#include "vmm/vmcs_text.h"

struct lines {
    u32 nr;
    char text[200][VMCS_DUMP_WIDTH + 1];
};

static void collect(void *ctx, const char *line)
{
    struct lines *l = ctx;

    assert_true(l->nr < ARRAY_SIZE(l->text));
    assert_true(strlen(line) <= VMCS_DUMP_WIDTH);
    assert_true(strlen(line) > 0);
    assert_null(strchr(line, '\n'));
    strcpy(l->text[l->nr++], line);
}

static void dump(struct lines *l, const struct machine *m, const struct entry_verdict *why)
{
    l->nr = 0;
    vmcs_dump(&m->vmcs, &m->caps, why, collect, l);
}

/* How many lines start with text, or have it after a blank. */
static u32 count(const struct lines *l, const char *text)
{
    u32 n = 0;

    for (u32 i = 0; i < l->nr; i++) {
        const char *at = strstr(l->text[i], text);

        while (at && at != l->text[i] && at[-1] != ' ')
            at = strstr(at + 1, text);
        n += at != NULL;
    }
    return n;
}

static void assert_line(const struct lines *l, const char *text)
{
    for (u32 i = 0; i < l->nr; i++)
        if (!strcmp(l->text[i], text))
            return;
    for (u32 i = 0; i < l->nr; i++)
        fprintf(stderr, "%s\n", l->text[i]);
    fail_msg("no line '%s'", text);
}

static bool in_segment_line(u32 index)
{
    const char *name = vmcs_field_name(index);

    return !strncmp(name, "GUEST_", 6) && index != VI_GUEST_INTERRUPT_STATUS &&
           ((strstr(name, "_SELECTOR") || strstr(name, "_ACCESS_RIGHTS")) ||
            ((strstr(name, "_BASE") || strstr(name, "_LIMIT")) && !strstr(name, "DTR_")) ||
            !strncmp(name, "GUEST_LDTR", 10));
}

/* Every field that exists is there once, by its name and in full; no other is. */
static void test_every_field(void **state)
{
    static struct machine m;
    static struct lines l;
    char text[80];

    (void)state;
    good_machine(&m);
    for (u32 half = 0; half < 2; half++) {
        if (half)
            m.caps.proc2 &= ~((PROC2_ENABLE_PML | PROC2_USE_TSC_SCALING) * BIT(32));
        for (u32 i = 0; i < VMCS_NR_FIELDS; i++)
            m.vmcs.f[i] = i + 1;
        dump(&l, &m, NULL);
        for (u32 i = 0; i < VMCS_NR_FIELDS; i++) {
            if (in_segment_line(i))
                continue;
            snprintf(text, sizeof(text), "%s 0", vmcs_field_name(i));
            if (count(&l, text) != vmcs_field_exists(&m.caps, i))
                fail_msg("%s: %u times", text, count(&l, text));
        }
    }
    assert_int_equal(count(&l, "PML_ADDRESS"), 0);
    assert_int_equal(count(&l, "GUEST_RFLAGS"), 1);
}

static void test_widths(void **state)
{
    static struct machine m;
    static struct lines l;

    (void)state;
    good_machine(&m);
    VMCS(&m.vmcs, GUEST_RIP) = 0xffffffff81000000;
    VMCS(&m.vmcs, EXCEPTION_BITMAP) = 0x60042;
    dump(&l, &m, NULL);
    assert_int_equal(count(&l, "GUEST_RIP ffffffff81000000"), 1);
    assert_int_equal(count(&l, "EXCEPTION_BITMAP 00060042"), 1);
    assert_int_equal(count(&l, "VPID 0001"), 1);
    assert_int_equal(count(&l, "IO_BITMAP_A 0000000000008000"), 1);
}

static void test_decoded_lines(void **state)
{
    static struct machine m;
    static struct lines l;

    (void)state;
    good_machine(&m);
    VMCS(&m.vmcs, EXIT_REASON) = EXIT_REASON_IO_INSTRUCTION;
    VMCS(&m.vmcs, EXIT_QUALIFICATION) = 0x03f80000;
    VMCS(&m.vmcs, IDT_VECTORING_INFO) = INTR_INFO(INTR_TYPE_HARDWARE_EXCEPTION, 14) | INTR_INFO_DELIVER_ERROR;
    VMCS(&m.vmcs, IDT_VECTORING_ERROR_CODE) = 6;
    VMCS(&m.vmcs, VM_INSTRUCTION_ERROR) = 7;
    dump(&l, &m, NULL);
    assert_line(&l, "cs 0008 base 0000000000000000 limit ffffffff ar a09b present code64 dpl0");
    assert_line(&l, "ss 0010 base 0000000000000000 limit ffffffff ar c093 present data32 dpl0");
    assert_line(&l, "ldtr 0000 base 0000000000000000 limit 00000000 ar 10000 unusable");
    assert_line(&l, "tr 0018 base 0000000000000000 limit 00000067 ar 008b present tss-busy dpl0");
    assert_line(&l, "PIN_BASED_CONTROLS 0000003f: external-interrupt exiting, NMI exiting, virtual NMIs");
    assert_line(&l, "EXIT_REASON 0000001e: I/O instruction: out port 0x3f8, 1 byte");
    assert_line(&l, "IDT_VECTORING_INFO 80000b0e: hardware exception #PF, error code 0x6");
    assert_line(&l, "ENTRY_INTERRUPTION_INFO 00000000: none");
    assert_line(&l, "VM_INSTRUCTION_ERROR 00000007: VM entry with invalid control field(s)");
    assert_string_equal(l.text[0], "VMCS read-only data fields:");
}

/* More controls than fit go on in indented lines, and none is lost. */
static void test_wrapping(void **state)
{
    static struct machine m;
    static struct lines l;
    u32 first = 0;

    (void)state;
    good_machine(&m);
    VMCS(&m.vmcs, PRIMARY_CONTROLS) = 0xffffffff;
    dump(&l, &m, NULL);
    while (strncmp(l.text[first], "PRIMARY_CONTROLS", 16))
        first++;
    assert_memory_equal(l.text[first + 1], "    ", 4);
    assert_true(l.text[first + 1][4] != ' ');
    assert_int_equal(count(&l, "activate secondary controls"), 1);
    assert_int_equal(count(&l, "interrupt-window exiting,"), 1);
    assert_int_equal(count(&l, "reserved bit 0,"), 1);
    assert_int_equal(count(&l, "reserved bit 18,"), 1);
}

static void test_failed_entry(void **state)
{
    static struct machine m;
    static struct lines l;
    struct entry_verdict v;
    char text[200], small[10];

    (void)state;
    good_machine(&m);
    VMCS(&m.vmcs, GUEST_RFLAGS) = 0x400002;
    VMCS(&m.vmcs, EXIT_REASON) = EXIT_REASON_ENTRY_FAILURE | EXIT_REASON_ENTRY_FAILURE_GUEST_STATE;
    entry_check(&m.vmcs, &m.env, &v);
    dump(&l, &m, &v);
    assert_string_equal(l.text[0], "VM entry's checks:");
    assert_string_equal(l.text[1], "guest RFLAGS: bits 63:22, 15, 5 and 3 are 0: GUEST_RFLAGS 0x400002, "
                                   "wrong bits 0x400000");
    assert_line(
        &l,
        "EXIT_REASON 80000021: VM-entry failure due to invalid guest state, at VM entry: qualification 0");
    entry_verdict_text(small, sizeof(small), &v, &m.vmcs);
    assert_string_equal(small, "guest RFL");

    good_machine(&m);
    VMCS(&m.vmcs, HOST_CS_SELECTOR) = 0;
    entry_check(&m.vmcs, &m.env, &v);
    assert_string_equal(entry_verdict_text(text, sizeof(text), &v, &m.vmcs),
                        "host CS selector: not 0: HOST_CS_SELECTOR 0x0");

    good_machine(&m);
    VMCS(&m.vmcs, ENTRY_MSR_LOAD_ADDR) = MEM_MSRS;
    VMCS(&m.vmcs, ENTRY_MSR_LOAD_COUNT) = 2;
    m.memory[MEM_MSRS + 16] = 0x9b;
    entry_check(&m.vmcs, &m.env, &v);
    assert_string_equal(
        entry_verdict_text(text, sizeof(text), &v, &m.vmcs),
        "VM-entry MSR-load area: not IA32_SMM_MONITOR_CTL, entry 2: ENTRY_MSR_LOAD_ADDR 0x3000");

    good_machine(&m);
    entry_check(&m.vmcs, &m.env, &v);
    assert_string_equal(entry_verdict_text(text, sizeof(text), &v, &m.vmcs), "all checks of VM entry pass");
}

static void test_rights(void **state)
{
    static const struct {
        u32 rights;
        const char *text;
    } cases[] = {
        {0xa09b, "present code64 dpl0"},
        {0xc0fb, "present code32 dpl3"},
        {0x009f, "present code16 conforming dpl0"},
        {0xc098, "present code32 execute-only not-accessed dpl0"},
        {0xc097, "present data32 expand-down dpl0"},
        {0x0091, "present data16 read-only dpl0"},
        {0x0013, "absent data16 dpl0"},
        {0x0082, "present ldt dpl0"},
        {0x0083, "present tss16-busy dpl0"},
        {0x008c, "present system dpl0"},
        {0x1a09b, "unusable"},
    };
    char text[64];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        assert_string_equal(vmcs_text_rights(text, sizeof(text), cases[i].rights), cases[i].text);
}

static void test_events(void **state)
{
    static const struct {
        u32 info, error_code;
        const char *text;
    } cases[] = {
        {0x7fffffff, 1, "none"},
        {INTR_INFO(INTR_TYPE_EXTERNAL, 0x31), 1, "external interrupt 49"},
        {INTR_INFO(INTR_TYPE_NMI, 2), 1, "NMI 2"},
        {INTR_INFO(INTR_TYPE_HARDWARE_EXCEPTION, 13) | INTR_INFO_DELIVER_ERROR, 0x18,
         "hardware exception #GP, error code 0x18"},
        {INTR_INFO(INTR_TYPE_HARDWARE_EXCEPTION, 15), 0, "hardware exception vector 15"},
        {INTR_INFO(INTR_TYPE_SOFTWARE_INTERRUPT, 0x80), 0, "software interrupt 128"},
        {INTR_INFO(INTR_TYPE_PRIVILEGED_SOFTWARE_EXCEPTION, 1), 0, "privileged software exception #DB"},
        {INTR_INFO(INTR_TYPE_SOFTWARE_EXCEPTION, 3), 0, "software exception #BP"},
        {INTR_INFO(INTR_TYPE_HARDWARE_EXCEPTION, 6) | INTR_INFO_UNBLOCKING_IRET, 0,
         "hardware exception #UD, NMI unblocking due to IRET"},
        {INTR_INFO(INTR_TYPE_OTHER_EVENT, 0), 0, "other event 0"},
    };
    char text[128];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        assert_string_equal(vmcs_text_event(text, sizeof(text), cases[i].info, cases[i].error_code),
                            cases[i].text);
}

static void test_exits(void **state)
{
    static const struct {
        u32 reason;
        u64 qualification;
        const char *text;
    } cases[] = {
        {EXIT_REASON_CPUID, 5, "CPUID"},
        {EXIT_REASON_EPT_VIOLATION, 0x182,
         "EPT violation: write, page is ---, at the linear address's translation"},
        {EXIT_REASON_EPT_VIOLATION, 0x0ad,
         "EPT violation: read instruction fetch, page is r-x, during the guest's page walk"},
        {EXIT_REASON_EPT_VIOLATION, 0x11, "EPT violation: read, page is -w-, no linear address"},
        {EXIT_REASON_CR_ACCESS, 0x300, "control-register access: mov cr0, rbx"},
        {EXIT_REASON_CR_ACCESS, 0xf18, "control-register access: mov r15, cr8"},
        {EXIT_REASON_CR_ACCESS, 0x20, "control-register access: clts"},
        {EXIT_REASON_CR_ACCESS, 0x00110030, "control-register access: lmsw 0x11"},
        {EXIT_REASON_MOV_DR, 0x7, "MOV DR: write to dr7"},
        {EXIT_REASON_MOV_DR, 0x16, "MOV DR: read of dr6"},
        {EXIT_REASON_IO_INSTRUCTION, 0x00600008, "I/O instruction: in port 0x60, 1 byte"},
        {EXIT_REASON_IO_INSTRUCTION, 0xffff0033, "I/O instruction: rep outs port 0xffff, 4 bytes"},
        {EXIT_REASON_TASK_SWITCH, 0xc0000018, "task switch: to selector 0x18 by task gate"},
        {EXIT_REASON_APIC_ACCESS, 0x10b0, "APIC access: linear write at offset 0xb0"},
        {EXIT_REASON_APIC_ACCESS, 0x9020, "APIC access: access at offset 0x20"},
        {EXIT_REASON_SIPI, 0x9a, "start-up IPI: vector 154"},
        {EXIT_REASON_VIRTUALIZED_EOI, 0x31, "virtualized EOI: vector 49"},
        {EXIT_REASON_APIC_WRITE, 0x300, "APIC write: offset 0x300"},
        {EXIT_REASON_INVLPG, 0x1234, "INVLPG: linear address 0x1234"},
        {EXIT_REASON_ENTRY_FAILURE_GUEST_STATE | EXIT_REASON_ENTRY_FAILURE, ENTRY_FAIL_LINK_POINTER,
         "VM-entry failure due to invalid guest state, at VM entry: VMCS link pointer"},
        {EXIT_REASON_ENTRY_FAILURE_GUEST_STATE, 77,
         "VM-entry failure due to invalid guest state: qualification 77"},
        {EXIT_REASON_ENTRY_FAILURE_MSR_LOADING, 3, "VM-entry failure due to MSR loading: entry 3"},
        {EXIT_REASON_EXCEPTION_OR_NMI | EXIT_REASON_ENCLAVE, 0, "exception or NMI, in an enclave"},
        {0xffff, 0, "unknown exit reason"},
    };
    char text[160];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        assert_string_equal(vmcs_text_exit(text, sizeof(text), cases[i].reason, cases[i].qualification),
                            cases[i].text);
}

/* Buffers that are too small cut the text, and nothing is written beyond them. */
static void test_small_buffers(void **state)
{
    char text[8];

    (void)state;
    memset(text, 'x', sizeof(text));
    vmcs_text_rights(text, 5, 0xa09b);
    assert_string_equal(text, "pres");
    assert_int_equal(text[5], 'x');
    vmcs_text_exit(text, 1, EXIT_REASON_EPT_VIOLATION, 0x181);
    assert_string_equal(text, "");
    assert_int_equal(text[1], 'r');
    vmcs_text_controls(text, 6, VMX_WORD_PROC2, 0xffffffff);
    assert_string_equal(text, "virtu");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_field),   cmocka_unit_test(test_widths),
        cmocka_unit_test(test_decoded_lines), cmocka_unit_test(test_wrapping),
        cmocka_unit_test(test_failed_entry),  cmocka_unit_test(test_rights),
        cmocka_unit_test(test_events),        cmocka_unit_test(test_exits),
        cmocka_unit_test(test_small_buffers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
