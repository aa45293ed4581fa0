/* SPDX-License-Identifier: MIT */
#include "tests/unit/fake_host.h"
#include <stdlib.h>
#include <string.h>

struct vm *fake_vm(u32 nr_vcpus, u64 ram_size)
{
    struct vm *vm = calloc(1, sizeof(*vm));

    vm->hz = 1000000000;
    vm->nr_vcpus = nr_vcpus;
    bus_domain_init(&vm->buses, vm, &vm->dev_lock);
    vm->pio.domain = vm->mmio.domain = &vm->buses;
    for (u32 i = 0; i < nr_vcpus; i++) {
        struct vcpu *v = &vm->vcpu[i];

        *v = (struct vcpu){.vm = vm, .id = i, .own_mmio = {.domain = &vm->buses}};
        bus_view_init(&v->pio, NULL, &vm->pio, v, BUS_PIO_SHIFT);
        bus_view_init(&v->mmio, &v->own_mmio, &vm->mmio, v, BUS_MMIO_SHIFT);
    }
    list_init(&vm->timers);
    vm->ram = ram_size ? malloc(ram_size) : NULL;
    if (ram_size)
        memset(vm->ram, 0xcc, ram_size);
    vm->ram_size = ram_size;
    vm->allocs_left = ARRAY_SIZE(vm->allocs);
    return vm;
}

void fake_vm_free(struct vm *vm)
{
    for (u32 i = 0; i < vm->nr_allocs; i++)
        free(vm->allocs[i]);
    free(vm->ram);
    free(vm);
}

void fake_remove_devices(struct vm *vm)
{
    vm->pio.table = vm->mmio.table = NULL;
    vm->buses.seq += 2; /* what views remember is no more true */
}

static struct vtimer *first_timer(struct vm *vm)
{
    struct vtimer *first = NULL;

    list_for_each (it, &vm->timers) {
        struct vtimer *t = container_of(it, struct vtimer, node);

        if (!first || t->when < first->when)
            first = t;
    }
    return first;
}

void fake_run_until(struct vm *vm, u64 when)
{
    struct vtimer *t;

    while ((t = first_timer(vm)) && t->when <= when) {
        vm->now = MAX(vm->now, t->when);
        vtimer_cancel(t);
        t->fire(t);
    }
    vm->now = when;
}

u8 fake_in(struct vm *vm, u16 port)
{
    return bus_read(&vm->vcpu[0].pio, port, 1);
}

void fake_out(struct vm *vm, u16 port, u8 value)
{
    bus_write(&vm->vcpu[0].pio, port, 1, value);
}

u64 fake_read(struct vm *vm, u64 addr, u32 size)
{
    return bus_read(&vm->vcpu[0].mmio, addr, size);
}

void fake_write(struct vm *vm, u64 addr, u32 size, u64 value)
{
    bus_write(&vm->vcpu[0].mmio, addr, size, value);
}

void vm_request_poll(struct vm *vm)
{
    vm->polls++;
}

const char *vm_name(struct vm *vm)
{
    (void)vm;
    return "fake";
}

void vm_random(void *to, size_t n)
{
    memset(to, 0x5a, n);
}

u64 vm_now(struct vm *vm)
{
    return vm->now;
}

u64 vm_hz(struct vm *vm)
{
    return vm->hz;
}

void vtimer_init(struct vtimer *t, struct vcpu *vcpu, void (*fire)(struct vtimer *))
{
    *t = (struct vtimer){.vcpu = vcpu, .fire = fire};
    list_init(&t->node);
}

void vtimer_set(struct vtimer *t, u64 when)
{
    list_del(&t->node);
    t->when = when;
    t->armed = true;
    list_push_back(&t->vcpu->vm->timers, &t->node);
}

void vtimer_cancel(struct vtimer *t)
{
    list_del(&t->node);
    t->armed = false;
}

struct vcpu *vm_vcpu(struct vm *vm, u32 id)
{
    return id < vm->nr_vcpus ? &vm->vcpu[id] : NULL;
}

u32 vm_nr_vcpus(struct vm *vm)
{
    return vm->nr_vcpus;
}

u32 vcpu_id(struct vcpu *vcpu)
{
    return vcpu->id;
}

struct vm *vcpu_vm(struct vcpu *vcpu)
{
    return vcpu->vm;
}

struct lapic *vcpu_lapic(struct vcpu *vcpu)
{
    return vcpu->lapic;
}

struct platform *vm_platform(struct vm *vm)
{
    return vm->platform;
}

void vcpu_kick(struct vcpu *vcpu)
{
    vcpu->kicks++;
}

void vcpu_notify(struct vcpu *vcpu)
{
    vcpu->notified++;
}

void vcpu_takes_ipis(struct vcpu *vcpu, u32 id, bool takes)
{
    (void)id;
    vcpu->takes_ipis = takes;
}

void *vcpu_apic_pages(struct vcpu *vcpu)
{
    return vcpu->apic_pages;
}

void vcpu_init_signal(struct vcpu *vcpu)
{
    vcpu->inits++;
}

void vcpu_sipi(struct vcpu *vcpu, u8 vector)
{
    vcpu->sipis++;
    vcpu->sipi_vector = vector;
}

void vcpu_nmi(struct vcpu *vcpu)
{
    vcpu->nmis++;
}

void vm_request_end(struct vm *vm, enum vm_end how, const char *why)
{
    vm->ends++;
    vm->how = how;
    strncpy(vm->why, why, sizeof(vm->why) - 1);
}

void vm_console_put(struct vm *vm, const char *text, size_t n)
{
    n = MIN(n, sizeof(vm->console) - 1 - vm->console_size);
    memcpy(vm->console + vm->console_size, text, n);
    vm->console_size += n;
}

struct bus *vm_pio_bus(struct vm *vm)
{
    return &vm->pio;
}

struct bus *vm_mmio_bus(struct vm *vm)
{
    return &vm->mmio;
}

struct bus *vcpu_mmio_bus(struct vcpu *vcpu)
{
    return &vcpu->own_mmio;
}

static __thread struct vm *locked;

void vm_lock(struct vm *vm)
{
    if (locked == vm)
        abort(); /* it would wait for itself */
    spin_lock(&vm->dev_lock);
    locked = vm;
}

void vm_unlock(struct vm *vm)
{
    locked = NULL;
    spin_unlock(&vm->dev_lock);
}

void *vm_alloc(struct vm *vm, size_t size)
{
    if (!vm->allocs_left)
        return NULL;
    vm->allocs_left--;
    return vm->allocs[vm->nr_allocs++] = calloc(1, size);
}

static bool is_ram(const struct vm *vm, gpa_t gpa, u64 n)
{
    return gpa <= vm->ram_size && n <= vm->ram_size - gpa && (gpa + n <= 0xa0000 || gpa >= 0xe0000);
}

int guest_write(struct vm *vm, gpa_t gpa, const void *from, u64 n)
{
    if (!is_ram(vm, gpa, n))
        return ERR_RANGE;
    memcpy(vm->ram + gpa, from, n);
    return OK;
}

int guest_read(struct vm *vm, gpa_t gpa, void *to, u64 n)
{
    if (!is_ram(vm, gpa, n))
        return ERR_RANGE;
    memcpy(to, vm->ram + gpa, n);
    return OK;
}
