/* SPDX-License-Identifier: MIT */
/* Which devices a VM has. */
#ifndef VMM_DEV_PLATFORM_H
#define VMM_DEV_PLATFORM_H

#include "lib/types.h"

struct vm;

struct platform {
    struct pic *pic;
    bool intr; /* the PIC's output when it was last looked at */
    struct ioapic *ioapic;
    struct pit *pit;
    struct hpet *hpet;
    struct uart *uart;
    struct rtc *rtc;
    struct acpi_pm *pm;
    struct debug_exit *debug_exit;
    struct reset *reset;
    struct pci_bus *pci;
    struct virtio *virtio;   /* all of them */
    struct virtio *vconsole; /* null: there is none */
};

struct platform_disk {
    const char *name;
    const void *data; /* readable while the VM exists */
    u64 size;
};

/* Devices beside those that each VM has. */
struct platform_options {
    u32 index; /* the VM's number */
    const struct platform_disk *disks;
    u32 nr_disks;
    const char *const *nets; /* names of the switches */
    u32 nr_nets;
    bool rng, vconsole;
};

/*
 * Creates all devices but the vCPUs' own local APICs (lapic_create), in their power-up state. utc: seconds
 * since 1970 at VM time 0; memory: bytes of guest RAM. The VM's vCPUs must exist. Null when there is no
 * memory or a port is taken. vm_platform() must give the result before any device is used.
 */
struct platform *platform_create(struct vm *vm, u64 utc, u64 memory);
/* Adds more devices, before the VM runs. ERR_NOMEM. */
int platform_add(struct vm *vm, const struct platform_options *o);
/* The VM ends: it leaves what it shares with others. Without the device lock. */
void platform_leave(struct platform *p);
/* Follows vm_request_poll(), with the device lock held. */
void platform_poll(struct platform *p);
/* Keyboard input, with the device lock held: for the virtio console once its driver runs, else the serial
 * port. */
void platform_input(struct platform *p, const char *data, size_t n);

#endif
