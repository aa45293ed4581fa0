/* SPDX-License-Identifier: MIT */
/* A vCPU that steps back in, in the middle of an exit or before an entry: nothing that was asked of it
 * meanwhile is missed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "lib/types.h"
#define ARCH_X86_CPU_H

struct cpu {
    u32 id;
    void *vmm;
};

static struct cpu *this_cpu(void);

#define invvpid_single real_invvpid_single
#include "arch/x86/vmx.h"
#undef invvpid_single
static void invvpid_single(u16 vpid);

#include "vmm/vcpu.c"

struct vmx_caps vmx_caps;
struct vmx_features vmx_features;
u64 vmm_flush_wanted;
static struct vmm_cpu state;
static struct cpu cpu = {.vmm = &state};
static struct vm vm = {.vpid_base = 1};
static struct vcpu vcpu = {.vm = &vm};
static u32 flushes;

static struct cpu *this_cpu(void)
{
    return &cpu;
}

static void invvpid_single(u16 vpid)
{
    assert_int_equal(vpid, 1);
    flushes++;
}

/* --- what is not called here --- */

void *pool_alloc(struct frame_owner *owner, u32 pages)
{
    (void)owner, (void)pages;
    return NULL;
}

void pool_free(struct frame_owner *owner, void *p, u32 pages)
{
    (void)owner, (void)p, (void)pages;
}

void bus_view_init(struct bus_view *v, struct bus *own, struct bus *shared, struct vcpu *of, u32 shift)
{
    (void)v, (void)own, (void)shared, (void)of, (void)shift;
}

void observe_free(struct vcpu *v)
{
    (void)v;
}

int nested_create(struct vcpu *v)
{
    (void)v;
    return OK;
}

void vcpu_msrs_reset(struct vcpu_msrs *m, const struct guest_cpuid *c)
{
    (void)m, (void)c;
}

void vm_use_space(struct vm *m)
{
    (void)m;
}

void log_msg(enum log_level level, const char *fmt, ...)
{
    (void)level, (void)fmt;
}

#define NOTHING(name)         \
    void name(struct vcpu *v) \
    {                         \
        (void)v;              \
    }

NOTHING(pv_vcpu_init)
NOTHING(nested_destroy)
NOTHING(nested_unload)
NOTHING(shadow_ept_moved)
NOTHING(vcpu_msrs_load)
NOTHING(vcpu_msrs_save)

void vmcs_set_cpu(void) {}

/* --- */

static int start(void **s)
{
    (void)s;
    vcpu.requests = vcpu.turn = 0;
    flushes = 0;
    vmx_features = (struct vmx_features){.granted = BIT(VF_VPID)};
    return 0;
}

static void test_back_in(void **s)
{
    (void)s;
    vcpu_step_in(&vcpu);
    vcpu_step_out(&vcpu);
    vcpu_step_back_in(&vcpu);
    assert_int_equal(vcpu.turn & 1, 1);
    assert_int_equal(vcpu.requests, REQ_KICK);
    assert_int_equal(flushes, 0);
}

/* Who asks for a flush finds that it has stepped out, and kicks nobody. */
static void test_flush(void **s)
{
    (void)s;
    vcpu_step_out(&vcpu);
    vcpu.requests = REQ_FLUSH | REQ_NMI;
    vcpu_step_back_in(&vcpu);
    assert_int_equal(flushes, 1);
    assert_int_equal(vcpu.requests, REQ_KICK | REQ_NMI);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_back_in, start),
        cmocka_unit_test_setup(test_flush, start),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
