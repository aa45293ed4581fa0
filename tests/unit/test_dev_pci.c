/* SPDX-License-Identifier: MIT */
/* The PCI bus: configuration mechanism, BARs, INTA, MSI-X. */
/* links: vmm/dev/pci.c vmm/dev/pci_msix.c vmm/bus.c tests/unit/fake_host.c tests/unit/fake_pci.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "tests/unit/fake_host.h"
#include "tests/unit/fake_pci.h"

static struct vm *vm;
static struct pci_bus *bus;
static struct pci_function f, g;
static u64 last_write;

static u64 dev_read(void *dev, struct vcpu *vcpu, u64 offset, u32 size)
{
    (void)dev, (void)vcpu, (void)size;
    return 0x1000 + offset;
}

static void dev_write(void *dev, struct vcpu *vcpu, u64 offset, u32 size, u64 value)
{
    (void)dev, (void)vcpu, (void)offset, (void)size;
    last_write = value;
}

static const struct bus_ops ops = {.read = dev_read, .write = dev_write};
static const struct pci_id id = {0x1234, 0x5678, 0x9abc, 0xdef0, 0x020000, 3};

static int setup(void **state)
{
    (void)state;
    vm = fake_vm(1, MiB(2));
    fake_pci_clear();
    f = g = (struct pci_function){0};
    bus = pci_create(vm, NULL, NULL);
    return !bus || pci_add(bus, &f, &id) || pci_set_bar(&f, 0, 0x4000, &ops, &f) || pci_add_msix(&f, 1, 3) ||
           pci_add(bus, &g, &id) || pci_set_bar(&g, 0, 0x1000, &ops, &g);
}

static int teardown(void **state)
{
    (void)state;
    fake_vm_free(vm);
    return 0;
}

static void test_enumeration(void **state)
{
    (void)state;
    assert_int_equal(fake_pci_get(vm, 0, 0x08, 4) >> 8, 0x060000); /* the host bridge */
    assert_int_equal(fake_pci_get(vm, 0, 0x3d, 1), 0);
    assert_int_equal(fake_pci_get(vm, 1, 0x00, 4), 0x56781234);
    assert_int_equal(fake_pci_get(vm, 1, 0x08, 4), 0x02000003);
    assert_int_equal(fake_pci_get(vm, 1, 0x2c, 4), 0xdef09abc);
    assert_int_equal(fake_pci_get(vm, 1, 0x3d, 1), 1);
    assert_int_equal(fake_pci_get(vm, 3, 0x00, 4), 0xffffffff);
    fake_pci_address(vm, 0x80000900); /* function 1 of slot 1 */
    assert_int_equal(fake_pci_data(vm, 4), 0xffffffff);
    fake_pci_address(vm, 0x80010800); /* bus 1 */
    assert_int_equal(fake_pci_data(vm, 4), 0xffffffff);
    fake_pci_address(vm, 0x00000800); /* not enabled */
    assert_int_equal(fake_pci_data(vm, 4), 0xffffffff);
}

static void test_address_register(void **state)
{
    (void)state;
    fake_pci_address(vm, 0xffffffff);
    assert_int_equal(bus_read(&vm->vcpu[0].pio, 0xcf8, 4), 0x80fffffc);
    fake_out(vm, 0xcf8, 0); /* no register for bytes */
    assert_int_equal(bus_read(&vm->vcpu[0].pio, 0xcf8, 4), 0x80fffffc);
    assert_int_equal(fake_in(vm, 0xcf8), 0xff);
    fake_out(vm, 0xcf9, 0x0e);
    assert_int_equal(fake_reset_control, 0x0e);
    assert_int_equal(fake_in(vm, 0xcf9), 0x0e);
}

static void test_read_only(void **state)
{
    (void)state;
    fake_pci_set(vm, 1, 0x00, 4, 0);
    assert_int_equal(fake_pci_get(vm, 1, 0x00, 4), 0x56781234);
    fake_pci_set(vm, 1, 0x04, 2, 0xffff);
    assert_int_equal(fake_pci_get(vm, 1, 0x04, 2), 0x0406);
    fake_pci_set(vm, 1, 0x3c, 1, 11);
    assert_int_equal(fake_pci_get(vm, 1, 0x3c, 2), 0x010b);
}

static void test_bar_is_sized_and_moved(void **state)
{
    u32 at = fake_pci_get(vm, 1, 0x10, 4);

    (void)state;
    assert_int_equal(at, PCI_HOLE_START);
    assert_int_equal(fake_read(vm, at + 8, 4), 0x1008);
    fake_pci_set(vm, 1, 0x04, 2, 0); /* decoding off */
    assert_int_equal(fake_read(vm, at + 8, 4), 0xffffffff);
    fake_pci_set(vm, 1, 0x10, 4, 0xffffffff);
    assert_int_equal(fake_pci_get(vm, 1, 0x10, 4), 0xffffc000);
    fake_pci_set(vm, 1, 0x10, 4, 0xf0000000);
    fake_pci_set(vm, 1, 0x04, 2, 2);
    assert_int_equal(fake_read(vm, at + 8, 4), 0xffffffff);
    assert_int_equal(fake_read(vm, 0xf0000010, 4), 0x1010);
    fake_write(vm, 0xf0000010, 4, 77);
    assert_int_equal(last_write, 77);
    for (u32 i = 0; i < 1000; i++) /* as often as the guest likes */
        fake_pci_set(vm, 1, 0x10, 4, 0xf0000000 + (i & 1) * 0x4000);
    assert_int_equal(fake_read(vm, 0xf0004010, 4), 0x1010);
    fake_pci_set(vm, 1, 0x14, 4, 0xffffffff);
    assert_int_equal(fake_pci_get(vm, 1, 0x14, 4), 0xfffff000);
    assert_int_equal(fake_pci_get(vm, 1, 0x18, 4), 0);
}

static void test_bar_stays_in_the_hole(void **state)
{
    static const u32 bad[] = {0, 0x1000, 0xdffffc00, 0xfec00000, 0xfee00000, 0xffffc000};

    (void)state;
    for (u32 i = 0; i < ARRAY_SIZE(bad); i++) {
        fake_pci_set(vm, 1, 0x10, 4, bad[i]);
        assert_int_equal(fake_read(vm, bad[i] & ~0x3fffu, 4), 0xffffffff);
    }
    fake_pci_set(vm, 1, 0x10, 4, 0xfebfc000);
    assert_int_equal(fake_read(vm, 0xfebfc000, 4), 0x1000);
}

static void test_bars_that_overlap(void **state)
{
    u32 other = fake_pci_get(vm, 2, 0x10, 4);

    (void)state;
    fake_pci_set(vm, 1, 0x10, 4, other); /* the one that was there first stays */
    assert_int_equal(fake_read(vm, PCI_HOLE_START, 4), 0xffffffff);
    assert_int_equal(g.bar[0].at, other);
    assert_int_equal(f.bar[0].at, 0);
    fake_pci_set(vm, 1, 0x10, 4, PCI_HOLE_START);
    assert_int_equal(fake_read(vm, PCI_HOLE_START, 4), 0x1000);
}

static void test_capability_list(void **state)
{
    u32 msix = fake_pci_get(vm, 1, 0x34, 1), next;

    (void)state;
    assert_int_equal(fake_pci_get(vm, 1, 0x06, 2) & 0x10, 0x10);
    assert_int_equal(fake_pci_get(vm, 1, msix, 1), 0x11);
    assert_int_equal(fake_pci_get(vm, 1, msix + 1, 1), 0);
    assert_int_equal(fake_pci_get(vm, 2, 0x06, 2) & 0x10, 0);
    next = pci_add_capability(&f, 9, 19);
    assert_int_equal(fake_pci_get(vm, 1, msix + 1, 1), next);
    assert_int_equal(pci_add_capability(&f, 9, 4), next + 20);
    assert_int_equal(pci_add_capability(&f, 9, 0x100), 0);
    while (pci_add_capability(&f, 9, 4)) /* until all is used */
        ;
    assert_int_equal(f.last_cap, 0xfc);
}

static void test_inta(void **state)
{
    (void)state;
    pci_set_intx(&f, true);
    assert_true(fake_pin[17]);
    assert_int_equal(fake_pci_get(vm, 1, 0x06, 2) & 8, 8);
    fake_pci_set(vm, 1, 0x04, 2, 0x406); /* INTx off */
    assert_false(fake_pin[17]);
    assert_int_equal(fake_pci_get(vm, 1, 0x06, 2) & 8, 8);
    fake_pci_set(vm, 1, 0x04, 2, 0x006);
    assert_true(fake_pin[17]);
    pci_set_intx(&f, false);
    assert_false(fake_pin[17]);
}

static void test_inta_is_shared(void **state)
{
    struct pci_function more[8] = {{0}};

    (void)state;
    for (u32 i = 0; i < 8; i++)
        assert_int_equal(pci_add(bus, &more[i], &id), 0); /* slots 3 to 10 */
    assert_int_equal(more[6].slot, 9);
    pci_set_intx(&f, true);
    pci_set_intx(&more[6], true);
    pci_set_intx(&f, false);
    assert_true(fake_pin[17]);
    pci_set_intx(&more[6], false);
    assert_false(fake_pin[17]);
}

static void set_vector(u32 n, u64 address, u32 data, u32 control)
{
    u32 at = fake_pci_get(vm, 1, 0x14, 4) + 16 * n;

    fake_write(vm, at, 8, address);
    fake_write(vm, at + 8, 4, data);
    fake_write(vm, at + 12, 4, control);
}

static void test_msix_message(void **state)
{
    u32 msix = fake_pci_get(vm, 1, 0x34, 1);

    (void)state;
    assert_int_equal(fake_pci_get(vm, 1, msix + 2, 2), 2); /* three vectors */
    assert_int_equal(fake_pci_get(vm, 1, msix + 4, 4), 1);
    assert_int_equal(fake_pci_get(vm, 1, msix + 8, 4), 0x801);
    set_vector(1, 0xfee0500c, 0x0131, 0); /* logical, lowest priority */
    pci_msix_fire(&f, 1);
    assert_int_equal(fake_messages, 0); /* not enabled */
    fake_pci_set(vm, 1, msix + 2, 2, 0x8000);
    pci_msix_fire(&f, 1);
    assert_int_equal(fake_messages, 1);
    assert_int_equal(fake_message_low, 0x0931);
    assert_int_equal(fake_message_destination, 5);
    pci_set_intx(&f, true); /* not beside MSI-X */
    assert_false(fake_pin[17]);
    pci_msix_fire(&f, 3);
    pci_msix_fire(&f, 0xffff);
    assert_int_equal(fake_messages, 1);
    set_vector(1, 0xfee2cff0, 0x31, 0); /* extended destination id in bits 11:5 */
    pci_msix_fire(&f, 1);
    assert_int_equal(fake_message_destination, 0x7f2c);
}

static void test_msix_masks(void **state)
{
    u32 msix = fake_pci_get(vm, 1, 0x34, 1), bar = fake_pci_get(vm, 1, 0x14, 4);

    (void)state;
    assert_int_equal(fake_read(vm, bar + 16 + 12, 4), 1); /* masked at first */
    fake_pci_set(vm, 1, msix + 2, 2, 0xc000);
    set_vector(0, 0xfee00000, 0x40, 0);
    set_vector(2, 0xfee01000, 0x42, 1);
    pci_msix_fire(&f, 0);
    pci_msix_fire(&f, 2);
    pci_msix_fire(&f, 2);
    assert_int_equal(fake_messages, 0);
    assert_int_equal(fake_read(vm, bar + 0x800, 8), 5);
    fake_write(vm, bar + 0x800, 8, 0); /* read-only */
    fake_pci_set(vm, 1, msix + 2, 2, 0x8000);
    assert_int_equal(fake_messages, 1);
    assert_int_equal(fake_message_low, 0x40);
    fake_write(vm, bar + 2 * 16 + 12, 4, 0);
    assert_int_equal(fake_messages, 2); /* two became one */
    assert_int_equal(fake_message_low, 0x42);
    assert_int_equal(fake_message_destination, 1);
    assert_int_equal(fake_read(vm, bar + 0x800, 8), 0);
}

static void test_msix_table(void **state)
{
    u32 bar = fake_pci_get(vm, 1, 0x14, 4);

    (void)state;
    set_vector(0, 0x1122334455667788, 0x99aabbcc, 0xffffffff);
    assert_int_equal(fake_read(vm, bar, 8), 0x1122334455667788);
    assert_int_equal(fake_read(vm, bar + 8, 8), 0x199aabbcc);
    assert_int_equal(fake_read(vm, bar + 9, 1), 0xbb);
    fake_write(vm, bar, 2, 0);     /* not so narrow */
    fake_write(vm, bar + 2, 4, 0); /* not so crooked */
    assert_int_equal(fake_read(vm, bar, 8), 0x1122334455667788);
    set_vector(3, 1, 2, 3); /* there is none */
    assert_int_equal(fake_read(vm, bar + 3 * 16, 8), 0);
}

static void test_msix_message_to_memory(void **state)
{
    u32 msix = fake_pci_get(vm, 1, 0x34, 1), value;

    (void)state;
    fake_pci_set(vm, 1, msix + 2, 2, 0x8000);
    set_vector(0, 0x1000, 0xcafe, 0);
    set_vector(1, 0xfee00000ull | BIT(40), 0xcafe, 0); /* nothing is there */
    pci_msix_fire(&f, 0);
    pci_msix_fire(&f, 1);
    assert_int_equal(guest_read(vm, 0x1000, &value, 4), 0);
    assert_int_equal(value, 0xcafe);
    assert_int_equal(fake_messages, 0);
}

static void test_no_room(void **state)
{
    static struct pci_function more[PCI_SLOTS];

    (void)state;
    for (u32 i = 3; i < PCI_SLOTS; i++)
        assert_int_equal(pci_add(bus, &more[i], &id), 0);
    assert_int_equal(pci_add(bus, &more[0], &id), ERR_NOMEM);
    assert_int_equal(pci_set_bar(&more[3], 0, 0x20000000, &ops, NULL), ERR_NOMEM);
    assert_null(pci_create(vm, NULL, NULL)); /* the ports are taken */
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_enumeration),
        T(test_address_register),
        T(test_read_only),
        T(test_bar_is_sized_and_moved),
        T(test_bar_stays_in_the_hole),
        T(test_bars_that_overlap),
        T(test_capability_list),
        T(test_inta),
        T(test_inta_is_shared),
        T(test_msix_message),
        T(test_msix_masks),
        T(test_msix_table),
        T(test_msix_message_to_memory),
        T(test_no_room),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
