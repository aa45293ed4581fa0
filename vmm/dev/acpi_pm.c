/* SPDX-License-Identifier: MIT */
/* ACPI Specification 6.5, 'ACPI Register Model'. ACPI mode is always on (SCI_EN reads 1): there is no SMI
 * command port. */
#include "vmm/dev/acpi_pm.h"
#include "vmm/bus.h"
#include "vmm/dev/host.h"
#include "vmm/dev/irq.h"
#include "vmm/dev/scale.h"

#define TMR_STS        BIT(0)                                        /* the timer's highest bit toggled */
#define PM1_EVENTS     (BIT(0) | BIT(5) | BIT(8) | BIT(9) | BIT(10)) /* TMR, GBL, PWRBTN, SLPBTN, RTC */
#define CNT_SCI_EN     BIT(0)
#define CNT_SLP_TYP(c) ((c) >> 10 & 7)
#define CNT_SLP_EN     BIT(13)
#define CNT_KEPT       (BIT(1) | BITS(12, 10)) /* BM_RLD, SLP_TYP */

struct acpi_pm {
    struct vm *vm;
    u16 status, enable, control;
    u64 toggles; /* of the timer's highest bit, that have been put into status */
    struct vtimer timer;
};

static u64 timer_count(struct acpi_pm *pm)
{
    return scale_down(vm_now(pm->vm), ACPI_PM_TMR_HZ, vm_hz(pm->vm));
}

static void update(struct acpi_pm *pm)
{
    u64 toggles = timer_count(pm) >> 31;

    if (toggles != pm->toggles)
        pm->status |= TMR_STS;
    pm->toggles = toggles;
    vm_set_irq(pm->vm, ACPI_SCI_IRQ, pm->status & pm->enable);
    if (pm->enable & TMR_STS)
        vtimer_set(&pm->timer, scale_up((toggles + 1) << 31, vm_hz(pm->vm), ACPI_PM_TMR_HZ));
    else
        vtimer_cancel(&pm->timer);
}

static void fire(struct vtimer *timer)
{
    update(container_of(timer, struct acpi_pm, timer));
}

static u64 event_read(void *dev, struct vcpu *vcpu, u64 offset, u32 size)
{
    struct acpi_pm *pm = dev;

    (void)vcpu, (void)size;
    update(pm);
    return ((u32)pm->enable << 16 | pm->status) >> 8 * offset;
}

static void event_write(void *dev, struct vcpu *vcpu, u64 offset, u32 size, u64 value)
{
    struct acpi_pm *pm = dev;
    u32 bits = value << 8 * offset, mask = BITS(8 * size - 1, 0) << 8 * offset;

    (void)vcpu;
    update(pm);
    pm->status &= ~bits; /* written ones clear */
    pm->enable = ((pm->enable & ~(mask >> 16)) | bits >> 16) & PM1_EVENTS;
    update(pm);
}

static u64 control_read(void *dev, struct vcpu *vcpu, u64 offset, u32 size)
{
    struct acpi_pm *pm = dev;

    (void)vcpu, (void)size;
    return (pm->control | CNT_SCI_EN) >> 8 * offset;
}

static void control_write(void *dev, struct vcpu *vcpu, u64 offset, u32 size, u64 value)
{
    struct acpi_pm *pm = dev;
    u32 bits = value << 8 * offset, mask = BITS(8 * size - 1, 0) << 8 * offset;

    (void)vcpu;
    pm->control = (pm->control & ~mask) | (bits & CNT_KEPT);
    if ((bits & CNT_SLP_EN) && CNT_SLP_TYP(pm->control) == ACPI_SLP_TYP_S5)
        vm_request_end(pm->vm, VM_END_POWEROFF, "ACPI soft-off");
}

static u64 timer_read(void *dev, struct vcpu *vcpu, u64 offset, u32 size)
{
    (void)vcpu, (void)size;
    return (u32)timer_count(dev) >> 8 * offset;
}

static void timer_write(void *dev, struct vcpu *vcpu, u64 offset, u32 size, u64 value)
{
    (void)dev, (void)vcpu, (void)offset, (void)size, (void)value; /* read-only */
}

struct acpi_pm *acpi_pm_create(struct vm *vm)
{
    static const struct bus_ops event_ops = {.read = event_read, .write = event_write};
    static const struct bus_ops control_ops = {.read = control_read, .write = control_write};
    static const struct bus_ops timer_ops = {.read = timer_read, .write = timer_write};
    struct acpi_pm *pm = vm_alloc(vm, sizeof(*pm));
    struct bus *bus = vm_pio_bus(vm);

    if (!pm || bus_add(bus, ACPI_PM1_EVT, 4, &event_ops, pm) ||
        bus_add(bus, ACPI_PM1_CNT, 2, &control_ops, pm) || bus_add(bus, ACPI_PM_TMR, 4, &timer_ops, pm))
        return NULL;
    pm->vm = vm;
    vtimer_init(&pm->timer, vm_vcpu(vm, 0), fire);
    return pm;
}
