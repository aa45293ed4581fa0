/* SPDX-License-Identifier: MIT */
/* links: vmm/dev/lapic.c vmm/dev/lapic_ipi.c vmm/dev/lapic_regs.c vmm/dev/lapic_timer.c vmm/bus.c */
/* links: arch/x86/vmx_caps.c arch/x86/vmx_names.c arch/x86/vmx_negotiate.c lib/format.c */
/* IPI virtualization: each IPI is posted to the right vCPU, by the CPU or after an exit, and to no other. */
#include "tests/unit/ipiv_vm.h"
#include "tests/unit/ipiv_cpu.h"
#include "tests/unit/ipiv_expect.h"

#define SVR 0xf0
#define ICR 0x300

#define X2_ON   (LAPIC_BASE | LAPIC_BASE_ENABLE | LAPIC_BASE_EXTD)
#define XAPIC   (LAPIC_BASE | LAPIC_BASE_ENABLE)
#define APIC_AT 0xfed00000ull /* elsewhere */

static const u16 plain_ids[] = {0, 1, 2, 3, 4, 5, 6, 7};

/* --- what a VM does --- */

/* A fixed interrupt to one APIC by its id, or to all. */
static void send(struct vcpu *from, u8 vector, u32 to)
{
    u32 nr;
    bool alone;

    if (!lapic_is_x2(from->lapic))
        to = (u8)to;
    for (u32 i = 0; i < vm.nr_vcpus; i++)
        others[i].told &= has_posted(&vcpus[i]);
    enter(from);
    alone = vm.pid_pointers && !ids_forgotten && cpu_sees_icr(from) && to < PID_POINTERS && vector >= 16 &&
            (to != 255 || lapic_is_x2(from->lapic));
    nr = vector < 16 ? 0 : nr_addressed(from, vector, to);
    exits = posted_by_cpu = 0;
    apic_write(from, ICR, vector | ICR_ASSERT | (u64)to << 32);
    assert_int_equal(posted_by_cpu, alone && nr == 1);
    assert_int_equal(exits, !posted_by_cpu);
    assert_int_equal(faults, 0);
    check_arrived();
}

static void set_base(struct vcpu *v, u64 base)
{
    use(v);
    vm_lock(&vm);
    assert_int_equal(lapic_base_write(v->lapic, base), OK);
    vm_unlock(&vm);
    ids_forgotten |= v->lapic->id > 255 && (base & XAPIC) == XAPIC && !(base & LAPIC_BASE_EXTD);
    if (!lapic_enabled(v->lapic))
        memset(other_of(v)->expected, 0, sizeof(other_of(v)->expected));
}

static void to_x2(struct vcpu *v)
{
    set_base(v, X2_ON);
}

static void init_signal(struct vcpu *v)
{
    use(v);
    lapic_reset(v->lapic);
    memset(other_of(v)->expected, 0, sizeof(other_of(v)->expected));
}

/* A vCPU starts: it enables its APIC. */
static void start(struct vcpu *v, u32 cpu)
{
    run(v, cpu);
    apic_write(v, SVR, 0x1ff);
    enter(v);
}

static void build_started(const u16 *ids, u32 nr)
{
    build(ids, nr, APIC_POSTED, 0);
    for (u32 i = 0; i < nr; i++)
        start(&vcpus[i], i % HOST_CPUS);
}

/* --- the set-up --- */

static void check_off(struct vcpu *v)
{
    enter(v);
    assert_false(ipis_are_virtual());
}

static void test_controls_by_mode(void **state)
{
    struct vcpu *v = &vcpus[0];

    (void)state;
    build(plain_ids, 2, APIC_POSTED, 0);
    assert_non_null(vm.pid_pointers);
    run(v, 0);
    check_off(v); /* disabled by software */
    apic_write(v, SVR, 0x1ff);
    enter(v);
    assert_true(ipis_are_virtual());
    assert_int_equal(vmcs[PID_POINTER_TABLE], pool_pa(vm.pid_pointers));
    assert_int_equal(vmcs[LAST_PID_POINTER_INDEX], 511);
    apic_write(v, SVR, 0xff);
    check_off(v);
    apic_write(v, SVR, 0x1ff);
    to_x2(v);
    enter(v);
    assert_true(ipis_are_virtual());
    assert_int_equal(vmcs[MSR_BITMAPS], pool_pa(vm.msr_bitmap_x2));
    set_base(v, LAPIC_BASE);
    check_off(v);
    assert_int_equal(vmcs[MSR_BITMAPS], pool_pa(vm.msr_bitmap));
    set_base(v, XAPIC); /* there is no APIC-access page any more */
    apic_write(v, SVR, 0x1ff);
    check_off(v);
}

/* Without it the CPU neither sees the ICR nor has a table. */
static void test_lower_levels(void **state)
{
    static const struct {
        enum config_apic most;
        u64 without;
    } cases[] = {
        {APIC_POSTED, BIT(VF_IPI_VIRTUALIZATION)},
        {APIC_POSTED, BIT(VF_POSTED_INTERRUPTS)},
        {APIC_APICV, 0},
        {APIC_POSTED, BIT(VF_VIRTUAL_INTERRUPT_DELIVERY)},
        {APIC_EMULATED, 0},
    };

    (void)state;
    for (u32 i = 0; i < ARRAY_SIZE(cases); i++) {
        build(plain_ids, 3, cases[i].most, cases[i].without);
        assert_null(vm.pid_pointers);
        for (u32 n = 0; n < 3; n++)
            start(&vcpus[n], n);
        check_off(&vcpus[0]);
        send(&vcpus[0], 0x41, 1);
        to_x2(&vcpus[0]);
        check_off(&vcpus[0]);
        send(&vcpus[0], 0x51, 2);
    }
}

static void test_no_memory(void **state)
{
    (void)state;
    build(plain_ids, 1, APIC_POSTED, 0);
    pages_left = 0;
    assert_int_equal(ipiv_start(&vm), ERR_NOMEM);
}

/* --- what the CPU posts --- */

/* One bit more or less than in what is posted, by each way. */
static void test_each_bit_of_icr(void **state)
{
    const u64 reserved = BITS(31, 20) | BITS(17, 16) | BIT(13), other = BITS(19, 18) | BIT(15) | BITS(12, 8);

    (void)state;
    for (u32 x2 = 0; x2 < 2; x2++) {
        build_started(plain_ids, 4);
        for (u32 i = 0; x2 && i < 4; i++)
            to_x2(&vcpus[i]);
        for (u32 bit = 0; bit < 32; bit++) {
            u32 icr = 0x4035u ^ 1u << bit;

            expect_none();
            posted_by_cpu = faults = 0;
            apic_write(&vcpus[0], ICR, icr | 2ull << 32);
            assert_int_equal(posted_by_cpu, !(BIT(bit) & (reserved | other)));
            assert_int_equal(faults, x2 && BIT(bit) & reserved);
            if (!posted_by_cpu)
                continue;
            assert_int_equal(vcpus[2].pid->pir[(u8)icr / 64], BIT((u8)icr % 64));
            assert_false(has_posted(&vcpus[1]));
        }
    }
}

static void test_each_vector(void **state)
{
    (void)state;
    build_started(plain_ids, 3);
    for (u32 vector = 0; vector < 256; vector++) {
        expect_none();
        send(&vcpus[0], (u8)vector, 1);
    }
    assert_int_equal(vcpus[0].lapic->errors, ESR_SEND_VECTOR);
}

static void test_ids(void **state)
{
    static const u16 ids[] = {0, 7, 254, 256, 300, 511, 512, 513, 30000};
    static const u32 nobody[] = {1, 6, 8, 253, 255, 257, 510, 514, 1023, 65535, 0x10007, 0x80000000};

    (void)state;
    build_started(ids, ARRAY_SIZE(ids));
    to_x2(&vcpus[0]);
    for (u32 from = 0; from < ARRAY_SIZE(ids); from++) {
        run(&vcpus[from], from % HOST_CPUS);
        for (u32 i = 0; i < ARRAY_SIZE(ids); i++) {
            expect_none();
            send(&vcpus[from], 0x41, ids[i]);
            /* The other one is in xAPIC mode, where nobody has the page now. */
            if (lapic_is_x2(vcpus[from].lapic))
                assert_int_equal(posted_by_cpu, ids[i] < 512);
        }
        for (u32 i = 0; i < ARRAY_SIZE(nobody); i++)
            send(&vcpus[from], 0x42, nobody[i]);
        send(&vcpus[from], 0x43, ~0u);
    }
}

/* What is exited for in x2APIC mode ends as WRMSR would without IPI virtualization. */
static void test_x2_icr_afterwards(void **state)
{
    static const u16 ids[] = {0, 600};
    u64 value;

    (void)state;
    build_started(ids, 2);
    to_x2(&vcpus[0]);
    use(&vcpus[0]);
    assert_int_equal(lapic_msr_read(&vcpus[0], MSR_IA32_X2APIC_ICR, &value), OK);
    assert_int_equal(value, 0);
    for (u32 i = 0; i < 2; i++) {
        send(&vcpus[0], 0x41 + i, 600 * i);
        assert_int_equal(posted_by_cpu, !i);
        assert_int_equal(lapic_msr_read(&vcpus[0], MSR_IA32_X2APIC_ICR, &value), OK);
        assert_int_equal(value, 600ull * i << 32 | (0x4041 + i));
    }
    apic_write(&vcpus[0], ICR, 600ull << 32 | 0x5051); /* delivery status is not the guest's */
    assert_int_equal(lapic_msr_read(&vcpus[0], MSR_IA32_X2APIC_ICR, &value), OK);
    assert_int_equal(value, 600ull << 32 | 0x4051);
}

/* --- vCPUs that come, go and wait --- */

static void test_not_started(void **state)
{
    (void)state;
    build(plain_ids, 3, APIC_POSTED, 0);
    start(&vcpus[0], 0);
    send(&vcpus[0], 0x41, 2);
    assert_false(has_posted(&vcpus[2]));
    run(&vcpus[2], 1);
    send(&vcpus[0], 0x42, 2);
    start(&vcpus[2], 1);
    send(&vcpus[0], 0x43, 2);
    assert_int_equal(posted_by_cpu, 1);
}

/* What was posted before is lost, nothing comes after that, until it starts again. */
static void test_init(void **state)
{
    (void)state;
    build_started(plain_ids, 3);
    send(&vcpus[0], 0x41, 1);
    init_signal(&vcpus[1]);
    check_arrived();
    send(&vcpus[0], 0x42, 1);
    leave(&vcpus[1], SCHED_BLOCKED);
    send(&vcpus[0], 0x43, 1);
    start(&vcpus[1], 3);
    send(&vcpus[0], 0x44, 1);
    assert_int_equal(posted_by_cpu, 1);
}

static void test_disabled(void **state)
{
    (void)state;
    build_started(plain_ids, 3);
    apic_write(&vcpus[1], SVR, 0xff);
    send(&vcpus[0], 0x41, 1); /* before its next entry */
    apic_write(&vcpus[1], SVR, 0x1ff);
    send(&vcpus[0], 0x42, 1);
    assert_int_equal(posted_by_cpu, 1);
    set_base(&vcpus[1], LAPIC_BASE);
    send(&vcpus[0], 0x43, 1);
}

/* Wherever it is, it is told: by an interrupt of the CPU that it is on, or when it gets one. */
static void test_scheduled(void **state)
{
    (void)state;
    for (u32 x2 = 0; x2 < 2; x2++) {
        host_is_x2 = x2;
        build_started(plain_ids, 4);
        send(&vcpus[0], 0x41, 1);
        assert_true(pi_is_on(vcpus[1].pid) && others[1].told);
        assert_false(leave(&vcpus[1], SCHED_BLOCKED)); /* it looks */
        enter(&vcpus[1]);
        assert_true(leave(&vcpus[1], SCHED_BLOCKED));
        send(&vcpus[0], 0x51, 1);
        assert_true(pi_is_on(vcpus[1].pid) && others[1].told);
        run(&vcpus[1], 5);
        leave(&vcpus[1], SCHED_QUEUED);
        send(&vcpus[0], 0x61, 1);
        assert_false(pi_is_on(vcpus[1].pid) || others[1].told);
        run(&vcpus[1], 6); /* on another CPU: its notifications come there */
        check_arrived();
        send(&vcpus[0], 0x71, 1);
        assert_int_equal(posted_by_cpu, 1);
        send(&vcpus[0], 0x72, 0); /* itself */
        assert_int_equal(posted_by_cpu, 1);
    }
    host_is_x2 = false;
}

/* An id above 255 in xAPIC mode, where it is another one: nothing is posted by id any more, as it may be two
 * that are meant. */
static void test_id_changes(void **state)
{
    static const u16 ids[] = {0, 44, 300};

    (void)state;
    build_started(ids, 3);
    to_x2(&vcpus[0]);
    send(&vcpus[0], 0x41, 300);
    assert_int_equal(posted_by_cpu, 1);
    set_base(&vcpus[2], LAPIC_BASE);
    set_base(&vcpus[2], XAPIC);
    start(&vcpus[2], 2);
    send(&vcpus[0], 0x42, 300);
    send(&vcpus[0], 0x43, 44);
    assert_int_equal(posted_by_cpu, 0);
    assert_true(others[1].expected[1] & BIT(3) && others[2].expected[1] & BIT(3));
}

/* --- all of it --- */

static u32 seed;

static u32 pick(u32 n)
{
    seed ^= seed << 13;
    seed ^= seed >> 17;
    seed ^= seed << 5;
    return seed % n;
}

static void choose_ids(u16 *ids, u32 nr, u32 most)
{
    for (u32 i = 0; i < nr;) {
        u32 n = 0;

        ids[i] = (u16)pick(most);
        while (n < i && ids[n] != ids[i])
            n++;
        i += n == i && ids[i] != 255;
    }
}

static struct vcpu *pick_running(void)
{
    u32 first = pick(HOST_CPUS);

    for (u32 c = 0; c < HOST_CPUS; c++)
        if (on[(first + c) % HOST_CPUS])
            return on[(first + c) % HOST_CPUS];
    run(&vcpus[pick(vm.nr_vcpus)], first);
    return on[first];
}

static void change_base(struct vcpu *v)
{
    u64 base = v->lapic->base;

    if (!lapic_enabled(v->lapic))
        set_base(v, v->lapic->id > 254 && pick(4) ? base : XAPIC);
    else if (lapic_is_x2(v->lapic))
        set_base(v, pick(3) ? base : LAPIC_BASE);
    else
        set_base(v, pick(3) ? X2_ON : pick(4) ? base : APIC_AT | LAPIC_BASE_ENABLE);
    if (pick(4) && lapic_enabled(v->lapic))
        apic_write(v, SVR, 0x1ff);
}

static void step(u32 rarely)
{
    struct vcpu *v = pick_running();

    switch (pick(8)) {
    case 0:
        run(&vcpus[pick(vm.nr_vcpus)], pick(HOST_CPUS));
        break;
    case 1:
        leave(v, pick(2) ? SCHED_BLOCKED : SCHED_QUEUED);
        break;
    case 2:
        if (lapic_enabled(v->lapic))
            apic_write(v, SVR, pick(4) ? 0x1ff : 0xff);
        break;
    case 3:
        if (pick(rarely) == 0)
            change_base(v);
        else if (pick(rarely) == 0)
            init_signal(v);
        else
            expect_none();
        break;
    default:
        if (lapic_enabled(v->lapic))
            send(v, (u8)pick(256), pick(8) ? vcpus[pick(vm.nr_vcpus)].lapic->id : pick(1030));
        break;
    }
    check_arrived();
}

static void test_random(void **state)
{
    static const u32 most[] = {70, 255, 600, 32768};
    u16 ids[CONFIG_MAX_VCPUS];
    u64 by_cpu = 0;

    (void)state;
    seed = 0x2545f491;
    for (u32 n = 0; n < 160; n++) {
        u32 nr = n % CONFIG_MAX_VCPUS + 1;

        host_is_x2 = pick(2);
        choose_ids(ids, nr, most[n / 4 % ARRAY_SIZE(most)]);
        build(ids, nr, APIC_POSTED, n % 8 == 7 ? BIT(VF_IPI_VIRTUALIZATION) : 0);
        for (u32 i = 0; i < 1500; i++) {
            posted_by_cpu = 0;
            step(n & 1 ? 200 : 3);
            by_cpu += posted_by_cpu;
        }
    }
    host_is_x2 = false;
    assert_true(by_cpu > 10000);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_controls_by_mode),
        cmocka_unit_test(test_lower_levels),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_each_bit_of_icr),
        cmocka_unit_test(test_each_vector),
        cmocka_unit_test(test_ids),
        cmocka_unit_test(test_x2_icr_afterwards),
        cmocka_unit_test(test_not_started),
        cmocka_unit_test(test_init),
        cmocka_unit_test(test_disabled),
        cmocka_unit_test(test_scheduled),
        cmocka_unit_test(test_id_changes),
        cmocka_unit_test(test_random),
    };

    return cmocka_run_group_tests_name("ipiv", tests, NULL, NULL);
}
