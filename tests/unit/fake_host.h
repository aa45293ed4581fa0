/* SPDX-License-Identifier: MIT */
/* A VM for the unit tests of devices and loaders: everything that vmm/dev/host.h names, and time that tests
 * move. */
#ifndef TESTS_UNIT_FAKE_HOST_H
#define TESTS_UNIT_FAKE_HOST_H

#include "vmm/bus.h"
#include "vmm/dev/host.h"

#define FAKE_MAX_VCPUS 20

struct vcpu {
    struct vm *vm;
    u32 id;
    struct bus own_mmio;
    struct bus_view pio, mmio;
    struct lapic *lapic;
    u8 apic_pages[2 * 4096];
    u32 kicks, notified, inits, nmis, sipis;
    bool takes_ipis;
    u8 sipi_vector;
};

struct vm {
    u64 now, hz;
    struct spinlock dev_lock; /* held while devices are called */
    struct bus_domain buses;
    struct bus pio, mmio;
    u32 nr_vcpus;
    struct vcpu vcpu[FAKE_MAX_VCPUS];
    struct platform *platform;
    struct list timers;
    u8 *ram; /* without 0xa0000 to 0xdffff */
    u64 ram_size;
    char console[256];
    size_t console_size;
    u32 polls; /* asked for */
    u32 ends;
    enum vm_end how;
    char why[64];
    u32 nr_allocs, allocs_left; /* vm_alloc() fails when none is left */
    void *allocs[256];
};

/* A machine with a clock of 1 GHz that stands at 0, and no devices. */
struct vm *fake_vm(u32 nr_vcpus, u64 ram_size);
void fake_vm_free(struct vm *vm);
/* Empties the VM's buses. */
void fake_remove_devices(struct vm *vm);
/* Time passes up to a moment; the timers that come due fire at theirs, in order. */
void fake_run_until(struct vm *vm, u64 when);
/* Memory accesses by vCPU 0. */
u64 fake_read(struct vm *vm, u64 addr, u32 size);
void fake_write(struct vm *vm, u64 addr, u32 size, u64 value);
/* Port accesses of one byte. */
u8 fake_in(struct vm *vm, u16 port);
void fake_out(struct vm *vm, u16 port, u8 value);

#endif
