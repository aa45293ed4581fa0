/* SPDX-License-Identifier: MIT */
/* links: vmm/pv/clock.c */
/* KVM's interface: MSRs, hypercalls, what a vCPU's guest is told when it leaves its CPU and comes back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "vmm/pv/kvm.c"
#undef NS_PER_S
#include "vmm/pv/kvm_steal.c"

#define NR      4
#define UTC     1000000000ull
#define STEAL   0x1040ull
#define CLOCK   0x2004ull
#define WALL    0x3008ull
#define NO_RAM  0x10000ull
#define ALL     (BIT(7) | BIT(11) | BIT(13))
#define NMI     0x400u
#define REG(i)  ((u64[]){REG_RBX, REG_RCX, REG_RDX, REG_RSI}[i])
#define NOTHING (~0ull)

u64 tsc_hz = 50000000;
struct lapic {
    u32 id;
};

static struct vm vm;
static struct vcpu vcpus[NR];
static struct lapic lapics[NR];
static struct guest_cpuid features;
static struct config_vm config = {.name = "kvm"};
static unsigned char ram[0x4000];
static u32 flushed, kicks[NR], nmis[NR], writes;
static u8 posted[NR];
static u64 eoi_at, before_update, eois;
static struct vcpu *favoured;
static char line[200];

int guest_read(struct vm *v, gpa_t gpa, void *to, u64 n)
{
    assert_ptr_equal(v, &vm);
    if (gpa > sizeof(ram) - n)
        return ERR_RANGE;
    memcpy(to, ram + gpa, n);
    return OK;
}

int guest_write(struct vm *v, gpa_t gpa, const void *from, u64 n)
{
    assert_ptr_equal(v, &vm);
    if (gpa > sizeof(ram) - n)
        return ERR_RANGE;
    memcpy(ram + gpa, from, n);
    writes++;
    return OK;
}

int guest_update(struct vm *v, gpa_t gpa, u32 size, u64 old, u64 new)
{
    u64 now = 0;

    assert_int_equal(size, 4);
    if (before_update != NOTHING)
        memcpy(ram + gpa, &before_update, size);
    before_update = NOTHING;
    if (guest_read(v, gpa, &now, size))
        return ERR_RANGE;
    return now == old ? guest_write(v, gpa, &new, size) : ERR_BUSY;
}

u64 vmm_utc_now(void)
{
    return UTC;
}

void vcpu_flush_own_tlb(struct vcpu *v)
{
    assert_ptr_equal(v, &vcpus[0]);
    flushed++;
}

u32 lapic_id(const struct lapic *l)
{
    return l->id;
}

u64 lapic_eois_saved(const struct lapic *l)
{
    (void)l;
    return eois;
}

int lapic_set_pv_eoi(struct lapic *l, u64 at)
{
    assert_ptr_equal(l, &lapics[0]);
    if (at & 1 && at > sizeof(ram))
        return ERR_INVAL;
    eoi_at = at;
    return OK;
}

void lapic_post(struct lapic *l, u8 vector, bool level)
{
    assert_false(level);
    posted[l - lapics] = vector;
}

void vcpu_nmi(struct vcpu *v)
{
    nmis[v->id]++;
}

void vcpu_kick(struct vcpu *v)
{
    kicks[v->id]++;
}

bool sched_give_way(struct vcpu *v, struct vcpu *to)
{
    assert_ptr_equal(v, &vcpus[0]);
    favoured = to;
    return true;
}

void log_msg(enum log_level level, const char *fmt, ...)
{
    va_list args;

    assert_int_equal(level, LOG_DEBUG);
    va_start(args, fmt);
    vsnprintf(line, sizeof(line), fmt, args);
    va_end(args);
}

static int start(void **state)
{
    (void)state;
    memset(&vm, 0, sizeof(vm));
    memset(vcpus, 0, sizeof(vcpus));
    memset(ram, 0, sizeof(ram));
    memset(kicks, 0, sizeof(kicks));
    memset(nmis, 0, sizeof(nmis));
    memset(posted, 0, sizeof(posted));
    memset(&features, 0, sizeof(features));
    features.hypervisor[1].eax = ALL;
    vm.config = &config;
    vm.nr_vcpus = NR;
    vm.start_tsc = rdtsc();
    flushed = writes = 0;
    eoi_at = eois = 0;
    before_update = NOTHING;
    favoured = NULL;
    line[0] = 0;
    for (u32 i = 0; i < NR; i++) {
        vm.vcpus[i] = &vcpus[i];
        lapics[i].id = 2 * i;
        vcpus[i].vm = &vm;
        vcpus[i].id = i;
        vcpus[i].lapic = &lapics[i];
        vcpus[i].cpuid = &features;
        for (u32 n = 0; n < PV_NR_CLOCKS; n++)
            vcpus[i].pv.clock[n] = GPA_NONE;
    }
    return 0;
}

/* --- clocks --- */

static u32 word(gpa_t gpa)
{
    u32 value;

    memcpy(&value, ram + gpa, sizeof(value));
    return value;
}

static void test_wall_clock(void **state)
{
    (void)state;
    memset(ram + WALL, 0xff, 12);
    assert_int_equal(msr_kvm_wall_clock_write(&vcpus[1], NULL, 0, WALL), OK);
    assert_int_equal(vcpus[1].msrs.kvm_wall_clock, WALL);
    assert_int_equal(word(WALL) & 1, 0);
    /* The VM is not a second old. */
    assert_true(word(WALL + 4) == UTC - 1 || word(WALL + 4) == UTC);
    assert_true(word(WALL + 8) < 1000000000);
    assert_int_equal(msr_kvm_wall_clock_write(&vcpus[1], NULL, 0, NO_RAM), OK);
    assert_int_equal(msr_kvm_wall_clock_write(&vcpus[1], NULL, 0, sizeof(ram) - 4), OK); /* it ends behind */
}

static void test_clock(void **state)
{
    struct nidus_clock clock;

    (void)state;
    vcpus[2].tsc_offset = 5;
    assert_int_equal(msr_kvm_clock_write(&vcpus[2], NULL, 0, CLOCK | 1), OK);
    memcpy(&clock, ram + CLOCK, sizeof(clock));
    assert_int_equal(clock.version, 4);
    assert_int_equal(clock.tsc_timestamp, vm.start_tsc + 5);
    assert_int_equal(clock.flags, 0); /* that of another vCPU is not the same */
    vcpus[2].tsc_offset = 0;
    assert_int_equal(msr_kvm_clock_write(&vcpus[0], NULL, 0, (CLOCK + 0x100) | 1), OK);
    memcpy(&clock, ram + CLOCK, sizeof(clock));
    assert_int_equal(clock.version, 8);
    assert_int_equal(clock.flags, 1);
    assert_int_equal(msr_kvm_clock_write(&vcpus[2], NULL, 0, CLOCK), OK);
    assert_int_equal(vcpus[2].pv.clock[PV_CLOCK_KVM], GPA_NONE);
    assert_int_equal(vcpus[2].msrs.kvm_clock, CLOCK);
    writes = 0;
    assert_int_equal(msr_kvm_clock_write(&vcpus[0], NULL, 0, NO_RAM | 1), OK);
    assert_int_equal(msr_kvm_clock_write(&vcpus[0], NULL, 0, ~0ull), OK);
    assert_int_equal(writes, 0);
    assert_int_equal(vm.pv.lock.next, vm.pv.lock.owner);
}

/* --- steal time --- */

static struct steal_time *steal(void)
{
    return (struct steal_time *)(void *)(ram + STEAL);
}

static void leave_and_return(void)
{
    pv_kvm_leaves(&vcpus[0]);
    assert_true(vcpus[0].pv.kvm.away);
    assert_int_equal(steal()->preempted, PREEMPTED);
    pv_kvm_returns(&vcpus[0]);
    assert_false(vcpus[0].pv.kvm.away);
    assert_int_equal(steal()->preempted, 0);
}

static void test_steal_time(void **state)
{
    (void)state;
    pv_kvm_leaves(&vcpus[0]);
    assert_false(vcpus[0].pv.kvm.away);
    assert_int_equal(writes, 0);
    vcpus[0].waited = 50; /* ticks: a microsecond */
    steal()->preempted = 3;
    assert_int_equal(msr_kvm_steal_write(&vcpus[0], NULL, 0, STEAL | 1), OK);
    assert_int_equal(steal()->ns, 1000);
    assert_int_equal(steal()->version, 2);
    assert_int_equal(steal()->preempted, 0);
    leave_and_return();
    assert_int_equal(steal()->version, 2); /* it has not waited */
    vcpus[0].waited = 5000000;
    leave_and_return();
    assert_int_equal(steal()->ns, 100000000);
    assert_int_equal(steal()->version, 4);
    assert_int_equal(flushed, 0);
    assert_int_equal(msr_kvm_steal_write(&vcpus[0], NULL, 0, STEAL), OK);
    writes = 0;
    pv_kvm_leaves(&vcpus[0]);
    assert_int_equal(writes, 0);
}

static void test_flush_flag(void **state)
{
    (void)state;
    msr_kvm_steal_write(&vcpus[0], NULL, 0, STEAL | 1);
    pv_kvm_leaves(&vcpus[0]);
    steal()->preempted |= FLUSH_TLB;
    pv_kvm_returns(&vcpus[0]);
    assert_int_equal(steal()->preempted, 0);
    assert_int_equal(flushed, 1);
    assert_int_equal(vcpus[0].pv.kvm.flushes, 1);
    leave_and_return();
    assert_int_equal(flushed, 1);
    /* Set between the two tries, */
    pv_kvm_leaves(&vcpus[0]);
    before_update = PREEMPTED | FLUSH_TLB;
    pv_kvm_returns(&vcpus[0]);
    assert_int_equal(flushed, 2);
    /* something else, or in memory that is gone: to be sure. */
    pv_kvm_leaves(&vcpus[0]);
    before_update = 0x12345678;
    pv_kvm_returns(&vcpus[0]);
    assert_int_equal(flushed, 3);
    assert_int_equal(steal()->preempted, 0);
    assert_int_equal(msr_kvm_steal_write(&vcpus[0], NULL, 0, NO_RAM | 1), OK);
    pv_kvm_leaves(&vcpus[0]);
    pv_kvm_returns(&vcpus[0]);
    assert_int_equal(flushed, 4);
}

static void test_eoi_and_reset(void **state)
{
    (void)state;
    assert_int_equal(msr_kvm_eoi_write(&vcpus[0], NULL, 0, 0x101), OK);
    assert_int_equal(eoi_at, 0x101);
    assert_int_equal(msr_kvm_eoi_write(&vcpus[0], NULL, 0, NO_RAM | 1), ERR_INVAL);
    assert_int_equal(vcpus[0].msrs.kvm_eoi, 0x101);
    msr_kvm_clock_write(&vcpus[0], NULL, 0, CLOCK | 1);
    msr_kvm_steal_write(&vcpus[0], NULL, 0, STEAL | 1);
    pv_kvm_leaves(&vcpus[0]);
    vcpus[0].pv.kvm.kicked = true;
    pv_kvm_reset(&vcpus[0]);
    assert_int_equal(eoi_at, 0);
    assert_int_equal(vcpus[0].msrs.kvm_eoi | vcpus[0].msrs.kvm_clock | vcpus[0].msrs.kvm_steal, 0);
    assert_int_equal(vcpus[0].pv.clock[PV_CLOCK_KVM], GPA_NONE);
    assert_false(vcpus[0].pv.kvm.away || pv_kvm_kicked(&vcpus[0]));
}

/* --- hypercalls --- */

static s64 call(u32 bits, u64 nr, u64 a, u64 b, u64 c, u64 d)
{
    const u64 arguments[] = {a, b, c, d};

    vcpus[0].gpr[REG_RAX] = nr;
    for (u32 i = 0; i < 4; i++)
        vcpus[0].gpr[REG(i)] = arguments[i];
    return pv_kvm_call(&vcpus[0], bits);
}

static void test_ipis(void **state)
{
    (void)state;
    /* IDs are 0, 2, 4, 6. */
    assert_int_equal(call(64, 10, 0x14, 0, 0, 0x31), 2);
    assert_int_equal(posted[0] | posted[3], 0);
    assert_int_equal(posted[1], 0x31);
    assert_int_equal(posted[2], 0x31);
    assert_int_equal(call(64, 10, BIT(1), 0, 1, 0x32), 1); /* from ID 1 on */
    assert_int_equal(posted[1], 0x32);
    assert_int_equal(call(64, 10, 1, 0, 6, NMI), 1);
    assert_int_equal(nmis[3], 1);
    assert_int_equal(call(64, 10, ~0ull, ~0ull, 7, 0x33), 0); /* nobody is there */
    lapics[3].id = 100;
    assert_int_equal(call(64, 10, 0, BIT(36), 0, 0x34), 1);
    assert_int_equal(posted[3], 0x34);
    lapics[3].id = 63;
    assert_int_equal(call(32, 10, 1, BIT(31), 0, 0x35), 2);
    assert_int_equal(posted[3], 0x35);
    assert_int_equal(posted[0], 0x35);
    lapics[3].id = 64;
    assert_int_equal(call(32, 10, ~0ull, ~0ull, 0, 0x36), 3);
    assert_int_equal(posted[3], 0x35);
    assert_int_equal(vcpus[0].pv.kvm.ipis, 10);
    assert_int_equal(call(64, 10, 1, 0, 0, 0x0f), -NIDUS_EINVAL);  /* no vector */
    assert_int_equal(call(64, 10, 1, 0, 0, 0x531), -NIDUS_EINVAL); /* INIT */
}

static void test_kick(void **state)
{
    struct nested nested = {.in_l2 = true};

    (void)state;
    assert_int_equal(call(64, 5, 0, 4, 0, 0), 0);
    assert_int_equal(kicks[2], 1);
    vcpus[2].nested = &nested; /* L2's halt is not meant */
    assert_false(pv_kvm_kicked(&vcpus[2]));
    nested.in_l2 = false;
    assert_true(pv_kvm_kicked(&vcpus[2]));
    assert_false(pv_kvm_kicked(&vcpus[2]));
    assert_int_equal(call(64, 5, 0, 5, 0, 0), 0);
    for (u32 i = 0; i < NR; i++)
        assert_false(pv_kvm_kicked(&vcpus[i]));
}

static void test_yield(void **state)
{
    (void)state;
    vcpus[1].sched = SCHED_QUEUED;
    assert_int_equal(call(64, 11, 4, 0, 0, 0), 0); /* runs */
    assert_int_equal(call(64, 11, 5, 0, 0, 0), 0);
    assert_null(favoured);
    assert_int_equal(call(64, 11, 2, 0, 0, 0), 0);
    assert_ptr_equal(favoured, &vcpus[1]);
}

static void test_unknown(void **state)
{
    static const u32 offered[] = {5, 10, 11};

    (void)state;
    for (u32 nr = 0; nr < KVM_NR_CALLS; nr++)
        if (nr != 5 && nr != 10 && nr != 11)
            assert_int_equal(call(64, nr, 0, 0, 0, 0), -1000);
    features.hypervisor[1].eax = (u32)~ALL;
    for (u32 i = 0; i < ARRAY_SIZE(offered); i++)
        assert_int_equal(call(64, offered[i], 0, 0, 0, 0), -1000);
}

static void test_log(void **state)
{
    (void)state;
    pv_kvm_log(&vm);
    assert_string_equal(line, "");
    vcpus[0].pv.kvm.ipis = 3;
    vcpus[1].pv.kvm.flushes = 4;
    vcpus[2].pv.kvm.ipis = 5;
    eois = 2;
    pv_kvm_log(&vm);
    assert_string_equal(line, "kvm: by KVM's interface: 8 IPIs, 4 TLB flushes, 8 EOIs");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_wall_clock, start),    cmocka_unit_test_setup(test_clock, start),
        cmocka_unit_test_setup(test_steal_time, start),    cmocka_unit_test_setup(test_flush_flag, start),
        cmocka_unit_test_setup(test_eoi_and_reset, start), cmocka_unit_test_setup(test_ipis, start),
        cmocka_unit_test_setup(test_kick, start),          cmocka_unit_test_setup(test_yield, start),
        cmocka_unit_test_setup(test_unknown, start),       cmocka_unit_test_setup(test_log, start),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
