/* SPDX-License-Identifier: MIT */
#include "tests/unit/lapic_test.h"
#include "vmm/dev/irq.h"
#include "lib/string.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

struct vm *vm;
struct lapic *l;

u32 level_eois;
u8 last_level_eoi;

void irq_eoi(struct vm *of, u8 vector)
{
    (void)of;
    level_eois++;
    last_level_eoi = vector;
}

u32 get_of(u32 cpu, u32 offset)
{
    return bus_read(&vm->vcpu[cpu].mmio, LAPIC_BASE + offset, 4);
}

void set_of(u32 cpu, u32 offset, u32 value)
{
    bus_write(&vm->vcpu[cpu].mmio, LAPIC_BASE + offset, 4, value);
}

u32 get(u32 offset)
{
    return get_of(0, offset);
}

void set(u32 offset, u32 value)
{
    set_of(0, offset, value);
}

int lapic_setup(void **state)
{
    (void)state;
    level_eois = 0;
    vm = fake_vm(NR, 0);
    for (u32 i = 0; i < NR; i++)
        vm->vcpu[i].lapic = lapic_create(&vm->vcpu[i], i);
    l = vm->vcpu[0].lapic;
    for (u32 i = 0; i < NR; i++) {
        set_of(i, SVR, 0x1ff);
        vm->vcpu[i].kicks = vm->vcpu[i].notified = 0;
    }
    return 0;
}

int lapic_teardown(void **state)
{
    (void)state;
    fake_vm_free(vm);
    return 0;
}

struct lapic *create_anew(u32 cpu, u32 id)
{
    struct vcpu *v = &vm->vcpu[cpu];

    bus_remove(&v->own_mmio, LAPIC_BASE);
    memset(v->apic_pages, 0, sizeof(v->apic_pages));
    v->lapic = lapic_create(v, id);
    return v->lapic;
}

int pending(u32 cpu)
{
    return lapic_pending(vm->vcpu[cpu].lapic);
}

void to_x2(u32 cpu)
{
    struct lapic *other = vm->vcpu[cpu].lapic;

    assert_int_equal(lapic_base_write(other, lapic_base_read(other) | LAPIC_BASE_EXTD), 0);
}

u64 msr(u32 offset)
{
    u64 value = 0;

    assert_int_equal(lapic_msr_read(&vm->vcpu[0], X2(offset), &value), 0);
    return value;
}

int msr_set(u32 offset, u64 value)
{
    return lapic_msr_write(&vm->vcpu[0], X2(offset), value);
}
