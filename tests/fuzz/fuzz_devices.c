/* SPDX-License-Identifier: MIT */
/* links: vmm/dev/pci.c vmm/dev/pci_msix.c */
/* links: vmm/dev/platform.c vmm/dev/irq.c vmm/dev/ioapic.c vmm/dev/pic.c vmm/dev/pit.c vmm/dev/uart.c */
/* links: vmm/dev/rtc.c vmm/dev/acpi_pm.c vmm/dev/debug_exit.c vmm/dev/reset.c vmm/dev/lapic.c */
/* links: vmm/dev/lapic_ipi.c vmm/dev/lapic_regs.c vmm/dev/lapic_timer.c vmm/bus.c lib/format.c */
/* links: vmm/dev/hpet.c tests/unit/fake_host.c */
#include <string.h>

#include "tests/unit/fake_host.h"
#include "vmm/dev/hpet.h"
#include "vmm/dev/ioapic.h"
#include "vmm/dev/irq.h"
#include "vmm/dev/lapic.h"
#include "vmm/dev/platform.h"
#include "vmm/dev/uart.h"

/*
 * A guest of two vCPUs that does what the input says, in steps of eight bytes: an access to a port, to an
 * APIC's page or MSR, taking an interrupt, or letting time pass. All devices are there.
 */
struct step {
    u8 what, size;
    u16 where;
    u32 value;
};

/* Where the devices are, so that they are met often. */
static const u16 ports[] = {0x20,  0x40,  0x60,  0x70,  0x92,  0xa0,  0xf4,
                            0x3f8, 0x4d0, 0x600, 0x604, 0x608, 0xcf8, 0x8900};

static void take_interrupt(struct vcpu *vcpu)
{
    int expected = vcpu_irq_pending(vcpu);

    /* What was announced is what comes. */
    if (expected >= 0 && vcpu_irq_ack(vcpu) != expected)
        __builtin_trap();
}

static void run(struct vm *vm, const struct step *s)
{
    struct vcpu *vcpu = &vm->vcpu[s->what >> 7];
    u32 size = 1u << (s->size & 3);
    u64 value = s->value * 0x100000001ull;

    switch (s->what & 0xf) {
    case 0:
        bus_read(&vcpu->pio, s->where, MIN(size, 4u));
        break;
    case 1:
        bus_write(&vcpu->pio, s->where, MIN(size, 4u), s->value);
        break;
    case 2:
        bus_write(&vcpu->pio, ports[s->size % ARRAY_SIZE(ports)] + s->where % 8, 1, s->value);
        break;
    case 3:
        bus_read(&vcpu->pio, ports[s->size % ARRAY_SIZE(ports)] + s->where % 8, 1);
        break;
    case 4:
        bus_read(&vcpu->mmio, LAPIC_BASE + s->where % PAGE_SIZE, size);
        break;
    case 5:
        bus_write(&vcpu->mmio, LAPIC_BASE + s->where % 0x400 / 16 * 16, 4, s->value);
        break;
    case 6:
        bus_write(&vcpu->mmio, IOAPIC_BASE + s->where % 0x50, size, value);
        break;
    case 7:
        bus_read(&vcpu->mmio, IOAPIC_BASE + s->where % 0x50, size);
        break;
    case 8:
        lapic_msr_write(vcpu, LAPIC_MSR_FIRST + s->where % 0x100, s->size & 4 ? value : s->value);
        break;
    case 9:
        lapic_msr_read(vcpu, LAPIC_MSR_FIRST + s->where % 0x100, &value);
        break;
    case 10:
        lapic_base_write(vcpu->lapic, LAPIC_BASE + (s->size % 3) * PAGE_SIZE | (s->where & 0xf00));
        break;
    case 11:
        lapic_deadline_write(vcpu->lapic, s->size & 1 ? value : vm->now + s->value);
        break;
    case 12:
        uart_receive(vm->platform->uart, s, s->size % sizeof(*s));
        break;
    case 13:
        take_interrupt(vcpu);
        break;
    case 14:
        bus_write(&vcpu->mmio, HPET_BASE + s->where % 0x180 / 4 * 4, size,
                  s->size & 0x80 ? s->value % 1000 : value);
        bus_read(&vcpu->mmio, HPET_BASE + s->where % 0x180, size);
        break;
    default:
        fake_run_until(vm, vm->now + s->value % 20000000); /* up to 20 ms */
    }
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
    struct vm *vm = fake_vm(2, 0);
    struct step step;

    for (u32 i = 0; i < 2; i++)
        vm->vcpu[i].lapic = lapic_create(&vm->vcpu[i], i ? 0x12c : 0);
    vm->platform = platform_create(vm, 1767225600, MiB(64));
    for (size_t at = 0; at + sizeof(step) <= size; at += sizeof(step)) {
        memcpy(&step, data + at, sizeof(step));
        run(vm, &step);
    }
    fake_vm_free(vm);
    return 0;
}
