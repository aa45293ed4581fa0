/* SPDX-License-Identifier: MIT */
/* links: vmm/dev/lapic.c vmm/dev/lapic_ipi.c vmm/dev/lapic_regs.c vmm/dev/lapic_timer.c vmm/bus.c */
/* links: arch/x86/vmx_caps.c arch/x86/vmx_names.c arch/x86/vmx_negotiate.c lib/format.c */
/* The test of IPI virtualization at boot, on CPUs where it works and where it does not. */
#include "tests/unit/ipiv_vm.h"
#include "tests/unit/ipiv_cpu.h"

static enum { WORKS, FAILS_ENTRY, EXITS, POSTS_NOTHING, INTERRUPTED } machine;

static u32 nr_loaded, launches, dispatched;

struct vmx_regs {
    u64 rax, rcx, rdx;
};

/* The guest executes WRMSR and VMCALL. */
static bool vmx_launch(struct vmx_regs *regs)
{
    struct vcpu *v = &vcpus[0];

    launches++;
    assert_int_equal(nr_loaded, 1);
    assert_int_equal(vmcs[GUEST_RIP], 0x403);
    assert_int_equal(vmcs[GUEST_CS_BASE], 0);
    assert_true(is_on(SECONDARY_CONTROLS, PROC2_ENABLE_EPT));
    assert_true(is_on(SECONDARY_CONTROLS, PROC2_VIRTUALIZE_X2APIC));
    assert_int_equal(vmcs[PREEMPTION_TIMER_VALUE], ~0u);
    if (machine == FAILS_ENTRY)
        return false;
    if (machine == INTERRUPTED || (machine == WORKS && launches % 2)) {
        vmcs[EXIT_REASON] = EXIT_REASON_EXTERNAL_INTERRUPT;
        vmcs[EXIT_INTERRUPTION_INFO] = BIT(31) | 0x33;
        regs->rax = 0; /* it starts again with what it had at first */
        return true;
    }
    vmcs[EXIT_REASON] = EXIT_REASON_VMCALL;
    if (machine == EXITS)
        apic_write_exit(v, 0x300);
    else if (machine != POSTS_NOTHING || regs->rdx)
        guest_wrmsr(v, (u32)regs->rcx, regs->rdx << 32 | regs->rax);
    return true;
}

#include "vmm/mini_guest.c"
#undef VECTOR
#undef STACK
#include "vmm/ipiv_check.c"

u64 tsc_hz = 1000000;

/* A walk of the EPT that the guest ran with. */
static const u8 *at_guest_physical(u64 gpa)
{
    u64 table = vmcs[EPT_POINTER];

    assert_int_equal(table % PAGE_SIZE, EPTP_WB | EPTP_WALK_4);
    for (u32 level = 4; level; level--) {
        table = ((u64 *)pool_va(table & EPT_ADDR))[gpa >> (3 + 9 * level) & 511];
        assert_int_equal(table % PAGE_SIZE, level > 1 ? EPT_RWX : EPT_RWX | EPT_WB << EPT_TYPE_SHIFT);
    }
    return (u8 *)pool_va(table & EPT_ADDR) + gpa % PAGE_SIZE;
}

void apic_timer_set(u64 deadline)
{
    assert_int_equal(deadline, 100000);
}

void apic_timer_stop(void) {}

/* --- what it asks of the VMM --- */

struct vcpu *vcpu_create(struct vm *of, u32 id)
{
    struct vcpu *v = &vcpus[id];

    *v = (struct vcpu){.vm = of, .id = id, .cpuid = &of->cpuid, .posted = true};
    v->apic_pages = pool_alloc(&of->owner, 2);
    return v->apic_pages ? v : NULL;
}

void vcpu_destroy(struct vcpu *v)
{
    assert_int_equal(nr_loaded, 0);
    pool_free(&v->vm->owner, v->apic_pages, 2);
}

void vcpu_load(struct vcpu *v)
{
    use(v);
    nr_loaded++;
}

void vcpu_unload(struct vcpu *v)
{
    (void)v;
    nr_loaded--;
}

void vcpu_set_start(struct vcpu *v, const struct start_state *s)
{
    (void)v;
    assert_int_equal(s->mode, START_REAL);
}

void vm_use_space(struct vm *of)
{
    assert_null(of);
}

static u32 freed;

void pool_free(struct frame_owner *owner, void *p, u32 n)
{
    (void)owner;
    freed += p ? n : 0;
}

void frames_forget_owner(struct frame_owner *owner)
{
    (void)owner;
}

void irq_dispatch(u8 vector)
{
    assert_int_equal(vector, 0x33);
    dispatched++;
}

/* --- tests --- */

static bool works_on(u32 how, u64 without, u32 memory)
{
    static const u16 id;

    build(&id, 1, APIC_POSTED, without);
    machine = how;
    exits_are_handled = false;
    launches = dispatched = nr_loaded = freed = nr_pages = 0;
    memset(pages, 0, sizeof(pages));
    pages_left = memory;
    ipiv_check(&config);
    assert_int_equal(freed, nr_pages);
    return vmx_has(&vmx_features, VF_IPI_VIRTUALIZATION);
}

static void test_machines(void **state)
{
    (void)state;
    assert_true(works_on(WORKS, 0, 100));
    assert_int_equal(launches, 4);
    assert_int_equal(dispatched, 2);
    assert_memory_equal(at_guest_physical(MINI_WRMSR), "\x0f\x30\x0f\x01\xc1", 5);
    assert_memory_equal(at_guest_physical(4 * 0x41), "\0\x04\0\0", 4);
    for (u32 how = FAILS_ENTRY; how <= INTERRUPTED; how++)
        assert_false(works_on(how, 0, 100));
    assert_int_equal(dispatched, 2 * TRIES);
}

static void test_nothing_to_try(void **state)
{
    (void)state;
    assert_false(works_on(WORKS, BIT(VF_IPI_VIRTUALIZATION), 100));
    assert_int_equal(launches, 0);
}

static void test_no_memory(void **state)
{
    (void)state;
    for (u32 memory = 0; memory < SIZE_PAGES + NR_PAGES + 2; memory++)
        assert_false(works_on(WORKS, 0, memory));
    assert_true(works_on(WORKS, 0, SIZE_PAGES + NR_PAGES + 2));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_machines),
        cmocka_unit_test(test_nothing_to_try),
        cmocka_unit_test(test_no_memory),
    };

    return cmocka_run_group_tests_name("ipiv_check", tests, NULL, NULL);
}
