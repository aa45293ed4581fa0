/* SPDX-License-Identifier: MIT */
/* links: vmm/entry_check.c vmm/entry_check_ctls.c vmm/entry_check_event.c vmm/entry_check_host.c */
/* links: vmm/entry_check_guest.c vmm/entry_check_segs.c vmm/entry_check_state.c vmm/entry_check_msr.c */
/* links: arch/x86/vmx_caps.c */
#include "tests/unit/entry_case.h"

#define EXTERNAL(vector)  INTR_INFO(INTR_TYPE_EXTERNAL, vector)
#define NMI(vector)       INTR_INFO(INTR_TYPE_NMI, vector)
#define EXCEPTION(vector) INTR_INFO(INTR_TYPE_HARDWARE_EXCEPTION, vector)
#define SOFT(vector)      INTR_INFO(INTR_TYPE_SOFTWARE_INTERRUPT, vector)
#define OTHER(vector)     INTR_INFO(INTR_TYPE_OTHER_EVENT, vector)
#define WITH_ERROR(info)  ((info) | INTR_INFO_DELIVER_ERROR)

#define INFO(info) SET(ENTRY_INTERRUPTION_INFO, info)

static void no_trap_flag(struct machine *m)
{
    m->caps.true_proc &= ~((u64)PROC_MONITOR_TRAP_FLAG << 32);
}

static void any_error_code(struct machine *m)
{
    m->caps.basic |= VMX_BASIC_ANY_ERROR_CODE;
}

static void zero_length(struct machine *m)
{
    m->caps.misc |= VMX_MISC_ZERO_LENGTH;
}

static void any_error_code_real_mode(struct machine *m)
{
    any_error_code(m);
    real_mode_guest(m);
}

#define NO_ERROR_CODE(vector)                                                                              \
    CASE("event injection: this vector delivers no error code", NULL, NONE, GOOD(INFO(EXCEPTION(vector))), \
         BAD(INFO(WITH_ERROR(EXCEPTION(vector)))))
#define ERROR_CODE(vector)                                                  \
    CASE("event injection: this vector delivers an error code", NULL, NONE, \
         GOOD(INFO(WITH_ERROR(EXCEPTION(vector)))), BAD(INFO(EXCEPTION(vector))))
#define LENGTH(type, good, bad)                                                                 \
    CASE("event injection: the instruction length is 1 to 15 (0 with IA32_VMX_MISC[30])", NULL, \
         COMMON(INFO(INTR_INFO(type, 3))), GOOD(SET(ENTRY_INSTRUCTION_LENGTH, good)),           \
         BAD(SET(ENTRY_INSTRUCTION_LENGTH, bad)))

static const struct entry_test tests[] = {
    CASE("event injection: type 1 is reserved", NULL, COMMON(OR(GUEST_RFLAGS, RFLAGS_IF)),
         GOOD(INFO(EXTERNAL(0x20))), BAD(INFO(INTR_INFO(INTR_TYPE_RESERVED, 0x20)))),
    CASE("event injection: type 7 needs support of monitor trap flag", no_trap_flag, NONE, NONE,
         BAD(INFO(OTHER(0)))),
    CASE("event injection: an NMI has vector 2", NULL, NONE, GOOD(INFO(NMI(2))), BAD(INFO(NMI(3)))),
    CASE("event injection: a hardware exception has a vector of at most 31", NULL, NONE,
         GOOD(INFO(EXCEPTION(31))), BAD(INFO(EXCEPTION(32)))),
    CASE("event injection: a pending MTF VM exit has vector 0", NULL, NONE, GOOD(INFO(OTHER(0))),
         BAD(INFO(OTHER(1)))),
    CASE("event injection: only a hardware exception delivers an error code", NULL,
         COMMON(SET(ENTRY_INSTRUCTION_LENGTH, 1)), GOOD(INFO(INTR_INFO(INTR_TYPE_SOFTWARE_EXCEPTION, 3))),
         BAD(INFO(WITH_ERROR(INTR_INFO(INTR_TYPE_SOFTWARE_EXCEPTION, 3))))),
    CASE("event injection: only a hardware exception delivers an error code", any_error_code, NONE,
         GOOD(INFO(NMI(2))), BAD(INFO(WITH_ERROR(NMI(2))))),
    CASE("event injection: no error code while CR0.PE is 0", real_mode_guest, NONE, GOOD(INFO(EXCEPTION(13))),
         BAD(INFO(WITH_ERROR(EXCEPTION(13))))),
    CASE("event injection: no error code while CR0.PE is 0", any_error_code_real_mode, NONE,
         GOOD(INFO(EXCEPTION(13))), BAD(INFO(WITH_ERROR(EXCEPTION(13))))),
    NO_ERROR_CODE(0),
    NO_ERROR_CODE(7),
    NO_ERROR_CODE(9),
    NO_ERROR_CODE(15),
    NO_ERROR_CODE(16),
    NO_ERROR_CODE(18),
    NO_ERROR_CODE(31),
    ERROR_CODE(8),
    ERROR_CODE(10),
    ERROR_CODE(11),
    ERROR_CODE(12),
    ERROR_CODE(13),
    ERROR_CODE(14),
    ERROR_CODE(17),
    CASE("event injection: bits 30:12 are 0", NULL, NONE, GOOD(INFO(EXCEPTION(6))),
         BAD(INFO(EXCEPTION(6) | BIT(12)))),
    CASE("event injection: bits 30:12 are 0", NULL, NONE, GOOD(INFO(EXCEPTION(6))),
         BAD(INFO(EXCEPTION(6) | BIT(30)))),
    CASE("event injection: bits 31:16 of the error code are 0", NULL, COMMON(INFO(WITH_ERROR(EXCEPTION(14)))),
         GOOD(SET(ENTRY_EXCEPTION_ERROR_CODE, 0xffff)), BAD(SET(ENTRY_EXCEPTION_ERROR_CODE, 0x10000))),
    LENGTH(INTR_TYPE_SOFTWARE_INTERRUPT, 15, 16),
    LENGTH(INTR_TYPE_PRIVILEGED_SOFTWARE_EXCEPTION, 1, 0),
    LENGTH(INTR_TYPE_SOFTWARE_EXCEPTION, 15, 16),
};

static void test_rows(void **state)
{
    (void)state;
    run_entry_tests(tests, ARRAY_SIZE(tests), ENTRY_VMFAIL_CONTROLS);
}

static void test_every_row(void **state)
{
    (void)state;
    assert_all_rows_tested(&entry_event_rules, tests, ARRAY_SIZE(tests));
}

/* Without the valid bit nothing is looked at; error code and length only where they are delivered. */
static void test_not_looked_at(void **state)
{
    static const struct change cases[][MAX_CHANGES] = {
        {INFO(0x7fffffff), SET(ENTRY_EXCEPTION_ERROR_CODE, ~0ull), SET(ENTRY_INSTRUCTION_LENGTH, ~0ull)},
        {INFO(EXCEPTION(6)), SET(ENTRY_EXCEPTION_ERROR_CODE, ~0ull), SET(ENTRY_INSTRUCTION_LENGTH, 0)},
        {INFO(EXTERNAL(255)), OR(GUEST_RFLAGS, RFLAGS_IF), SET(ENTRY_INSTRUCTION_LENGTH, 99)},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        assert_passes(NULL, cases[i]);
}

/* IA32_VMX_BASIC[56] frees the error code from the vector, IA32_VMX_MISC[30] allows length 0. */
static void test_capabilities(void **state)
{
    static const struct change without[MAX_CHANGES] = {INFO(EXCEPTION(13))};
    static const struct change with[MAX_CHANGES] = {INFO(WITH_ERROR(EXCEPTION(6)))};
    static const struct change length[MAX_CHANGES] = {INFO(SOFT(0x80)), SET(ENTRY_INSTRUCTION_LENGTH, 0)};

    (void)state;
    assert_passes(any_error_code, without);
    assert_passes(any_error_code, with);
    assert_passes(zero_length, length);
}

/* Only an unrestricted guest is exempt: for others it is guest state that is wrong. */
static void test_restricted(void **state)
{
    static struct machine m;
    struct entry_verdict v;

    (void)state;
    good_machine(&m);
    real_mode_guest(&m);
    restricted_guest(&m);
    VMCS(&m.vmcs, ENTRY_INTERRUPTION_INFO) = EXCEPTION(13);
    assert_int_equal(entry_check(&m.vmcs, &m.env, &v), ENTRY_VMFAIL_CONTROLS);
    assert_string_equal(v.row, "event injection: this vector delivers an error code");
    VMCS(&m.vmcs, ENTRY_INTERRUPTION_INFO) = WITH_ERROR(EXCEPTION(13));
    assert_int_equal(entry_check(&m.vmcs, &m.env, &v), ENTRY_GUEST_STATE);
}

int main(void)
{
    static const struct CMUnitTest all[] = {
        cmocka_unit_test(test_rows),          cmocka_unit_test(test_every_row),
        cmocka_unit_test(test_not_looked_at), cmocka_unit_test(test_capabilities),
        cmocka_unit_test(test_restricted),
    };

    return cmocka_run_group_tests(all, NULL, NULL);
}
