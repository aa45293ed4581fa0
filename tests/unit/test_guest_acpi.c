/* SPDX-License-Identifier: MIT */
/* links: vmm/guest_acpi.c vmm/aml.c vmm/bus.c tests/unit/fake_host.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/fake_host.h"
#include "vmm/guest_acpi.h"
#include "vmm/load.h"

static struct vm *vm;
static gpa_t rsdp;
static u16 ids[20000]; /* of vCPUs; their numbers */

static int setup(void **state)
{
    (void)state;
    vm = fake_vm(1, MiB(2));
    rsdp = 0;
    for (u32 i = 0; i < ARRAY_SIZE(ids); i++)
        ids[i] = (u16)i;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fake_vm_free(vm);
    return 0;
}

static u64 get(gpa_t at, u32 size)
{
    u64 value = 0;

    assert_int_equal(guest_read(vm, at, &value, size), 0);
    return value;
}

static u8 sum(gpa_t at, u32 size)
{
    u8 total = 0;

    while (size--)
        total += get(at++, 1);
    return total;
}

static void assert_signature(gpa_t at, const char *signature)
{
    assert_true(at >= 0xe0000 && at < MiB(1));
    assert_memory_equal(vm->ram + at, signature, strlen(signature));
}

/* A table with a right checksum, found by the XSDT and, at the same place, by the RSDT. */
static gpa_t table(const char *signature)
{
    gpa_t xsdt = get(rsdp + 24, 8), rsdt = get(rsdp + 16, 4);
    u32 nr = (get(xsdt + 4, 4) - 36) / 8;

    assert_signature(xsdt, "XSDT");
    assert_signature(rsdt, "RSDT");
    assert_int_equal(sum(xsdt, get(xsdt + 4, 4)), 0);
    assert_int_equal(sum(rsdt, get(rsdt + 4, 4)), 0);
    assert_int_equal((get(rsdt + 4, 4) - 36) / 4, nr);
    for (u32 i = 0; i < nr; i++) {
        gpa_t at = get(xsdt + 36 + 8 * i, 8);

        assert_int_equal(get(rsdt + 36 + 4 * i, 4), at);
        assert_int_equal(sum(at, get(at + 4, 4)), 0);
        assert_true(at + get(at + 4, 4) <= GUEST_BIOS_CODE);
        if (!memcmp(vm->ram + at, signature, 4))
            return at;
    }
    fail_msg("no %s", signature);
    return 0;
}

static void test_rsdp(void **state)
{
    (void)state;
    assert_int_equal(guest_acpi_build(vm, ids, 1, &rsdp), 0);
    assert_signature(rsdp, "RSD PTR ");
    assert_int_equal(rsdp & 15, 0);
    assert_int_equal(get(rsdp + 15, 1), 2);
    assert_int_equal(get(rsdp + 20, 4), 36);
    assert_int_equal(sum(rsdp, 20), 0);
    assert_int_equal(sum(rsdp, 36), 0);
}

static void test_fadt(void **state)
{
    gpa_t fadt, facs, dsdt;

    (void)state;
    assert_int_equal(guest_acpi_build(vm, ids, 1, &rsdp), 0);
    fadt = table("FACP");
    assert_int_equal(get(fadt + 4, 4), 276);
    assert_int_equal(get(fadt + 8, 1), 6);
    facs = get(fadt + 36, 4);
    dsdt = get(fadt + 40, 4);
    assert_int_equal(get(fadt + 132, 8), 0); /* one of the two, not both */
    assert_int_equal(get(fadt + 140, 8), dsdt);
    assert_int_equal(get(fadt + 46, 2), 9); /* SCI */
    assert_int_equal(get(fadt + 48, 4), 0); /* no SMI command: always in ACPI mode */
    assert_int_equal(get(fadt + 56, 4), 0x600);
    assert_int_equal(get(fadt + 64, 4), 0x604);
    assert_int_equal(get(fadt + 76, 4), 0x608);
    assert_int_equal(get(fadt + 88, 4), 0x04000204); /* lengths of PM1 event, control, PM2, timer */
    assert_int_equal(get(fadt + 108, 1), 0x32);
    assert_int_equal(get(fadt + 109, 2) & 3, 1); /* legacy devices, no 8042 */
    assert_int_equal(get(fadt + 112, 4) & 0x534, 0x534);
    assert_int_equal(get(fadt + 116, 4), 0x01000801); /* reset register: I/O, 8 bits, by bytes */
    assert_int_equal(get(fadt + 120, 8), 0xcf9);
    assert_int_equal(get(fadt + 128, 1), 6);
    assert_int_equal(get(fadt + 148, 4), 0x02002001);
    assert_int_equal(get(fadt + 152, 8), 0x600);
    assert_int_equal(get(fadt + 172, 4), 0x02001001);
    assert_int_equal(get(fadt + 176, 8), 0x604);
    assert_int_equal(get(fadt + 208, 4), 0x03002001);
    assert_int_equal(get(fadt + 212, 8), 0x608);
    assert_signature(facs, "FACS");
    assert_int_equal(facs & 63, 0);
    assert_int_equal(get(facs + 4, 4), 64);
    assert_int_equal(get(facs + 32, 1), 2);
}

/* --- reading AML back: as much of the grammar as there is --- */

struct reader {
    const u8 *at, *end;
};

static u32 take(struct reader *r, u32 size)
{
    u32 value = 0;

    assert_true(r->end - r->at >= size);
    for (u32 i = 0; i < size; i++)
        value |= (u32)*r->at++ << 8 * i;
    return value;
}

static void take_bytes(struct reader *r, const char *bytes, u32 n)
{
    assert_true(r->end - r->at >= n);
    assert_memory_equal(r->at, bytes, n);
    r->at += n;
}

/* A PkgLength, and what it holds; the reader goes on behind that. */
static struct reader take_package(struct reader *r)
{
    const u8 *start = r->at;
    u32 lead = take(r, 1), extra = lead >> 6, length = extra ? lead & 15 : lead & 63;
    struct reader inner;

    for (u32 i = 0; i < extra; i++)
        length |= take(r, 1) << (4 + 8 * i);
    assert_true(length <= r->end - start);
    inner = (struct reader){r->at, start + length};
    r->at = start + length;
    return inner;
}

static u32 take_integer(struct reader *r)
{
    u32 op = take(r, 1);

    if (op <= 1)
        return op;
    assert_in_range(op, 0x0a, 0x0c);
    return take(r, 1u << (op - 0x0a));
}

static void check_s5(struct reader *r)
{
    struct reader package;

    take_bytes(r, "\x08_S5_\x12", 6);
    package = take_package(r);
    assert_int_equal(take(&package, 1), 4);
    assert_int_equal(take_integer(&package), 5);
    assert_int_equal(take_integer(&package), 5);
    assert_int_equal(take_integer(&package), 0);
    assert_int_equal(take_integer(&package), 0);
    assert_ptr_equal(package.at, package.end);
}

/* What a resource template says, as text. */
static void resources_text(struct reader *r, char *text, size_t size)
{
    size_t n = 0;
    u32 tag;

    while ((tag = take(r, 1)) != 0x79) {
        if (tag == 0x47) {
            u32 decode = take(r, 1), low = take(r, 2), high = take(r, 2), align = take(r, 1);

            assert_int_equal(decode, 1);
            assert_int_equal(low, high);
            assert_int_equal(align, 1);
            n += snprintf(text + n, size - n, " io %x+%x", low, take(r, 1));
        } else if (tag == 0x22) {
            n += snprintf(text + n, size - n, " irq %x", take(r, 2));
        } else {
            assert_int_equal(tag, 0x86);
            assert_int_equal(take(r, 2), 9);
            assert_int_equal(take(r, 1), 1);
            n += snprintf(text + n, size - n, " mem %x", take(r, 4));
            n += snprintf(text + n, size - n, "+%x", take(r, 4));
        }
        assert_true(n < size);
    }
    assert_int_equal(take(r, 1), 0);
    assert_ptr_equal(r->at, r->end);
}

static void check_device(struct reader *r, const char *name, u32 id, const char *resources)
{
    struct reader device, buffer;
    char text[200] = "";
    u32 size;

    take_bytes(r, "\x5b\x82", 2);
    device = take_package(r);
    take_bytes(&device, name, 4);
    take_bytes(&device, "\x08_HID\x0c", 6);
    assert_int_equal(__builtin_bswap32(take(&device, 4)), id);
    take_bytes(&device, "\x08_CRS\x11", 6);
    buffer = take_package(&device);
    assert_ptr_equal(device.at, device.end);
    size = take_integer(&buffer);
    assert_int_equal(size, buffer.end - buffer.at);
    resources_text(&buffer, text, sizeof(text));
    assert_string_equal(text, resources);
}

#define PNP(digits) (0x41d00000 | 0x##digits) /* 'P' 16, 'N' 14, 'P' 16, by five bits */

static void test_dsdt(void **state)
{
    struct reader r, scope;
    gpa_t dsdt;

    (void)state;
    assert_int_equal(guest_acpi_build(vm, ids, 1, &rsdp), 0);
    dsdt = get(table("FACP") + 40, 4);
    assert_signature(dsdt, "DSDT");
    assert_int_equal(sum(dsdt, get(dsdt + 4, 4)), 0);
    r = (struct reader){vm->ram + dsdt + 36, vm->ram + dsdt + get(dsdt + 4, 4)};
    check_s5(&r);
    take_bytes(&r, "\x10", 1);
    scope = take_package(&r);
    take_bytes(&r, "\x10", 1);
    take_package(&r); /* the PCI bus */
    assert_ptr_equal(r.at, r.end);
    take_bytes(&scope, "\\_SB_", 5);
    check_device(&scope, "COM1", PNP(0501), " io 3f8+8 irq 10");
    check_device(&scope, "RTC_", PNP(0B00), " io 70+2 irq 100");
    check_device(&scope, "TIMR", PNP(0100), " io 40+4 irq 1");
    check_device(&scope, "PIC_", PNP(0000), " io 20+2 io a0+2 io 4d0+2 irq 4");
    check_device(&scope, "HPET", PNP(0103), " mem fed00000+400");
    check_device(
        &scope, "MBRD", PNP(0C02),
        " io 61+1 io 92+1 io f4+4 io 600+4 io 604+2 io 608+4 io cf9+1 mem fec00000+1000 mem fee00000+1000");
    assert_ptr_equal(scope.at, scope.end);
}

static void test_hpet(void **state)
{
    gpa_t hpet;

    (void)state;
    assert_int_equal(guest_acpi_build(vm, ids, 1, &rsdp), 0);
    hpet = table("HPET");
    assert_int_equal(get(hpet + 4, 4), 56);
    assert_int_equal(get(hpet + 36, 4), 0x8086a201);
    assert_int_equal(get(hpet + 40, 4), 0x4000); /* memory, 64 bits */
    assert_int_equal(get(hpet + 44, 8), 0xfed00000);
    assert_int_equal(get(hpet + 52, 1), 0);
    assert_int_equal(get(hpet + 53, 2), 128);
}

/* Where bytes are in the DSDT. */
static gpa_t find_in_dsdt(const void *bytes, u32 n)
{
    gpa_t dsdt = get(table("FACP") + 40, 4);

    for (gpa_t at = dsdt + 36; at + n <= dsdt + get(dsdt + 4, 4); at++) {
        if (!memcmp(vm->ram + at, bytes, n))
            return at;
    }
    fail_msg("not in the DSDT");
    return 0;
}

static void test_dsdt_has_pci(void **state)
{
    static const u8 hid[] = {0x08, '_', 'H', 'I', 'D', 0x0c, 0x41, 0xd0, 0x0a, 0x03}; /* PNP0A03 */
    static const u8 hole[] = {0x87, 23, 0, 0, 12, 1, 0, 0, 0, 0, 0, 0, 0, 0xe0, 0xff, 0xff, 0xbf, 0xfe};
    static const u8 route[] = {0x0c, 0xff, 0xff, 15, 0, 0, 0, 0x0a, 23}; /* slot 15: input 23 */
    gpa_t at;

    (void)state;
    assert_int_equal(guest_acpi_build(vm, ids, 1, &rsdp), 0);
    at = find_in_dsdt(hid, sizeof(hid));
    assert_memory_equal(vm->ram + at - 4, "PCI0", 4);
    find_in_dsdt(hole, sizeof(hole));
    find_in_dsdt(route, sizeof(route));
    assert_int_equal(get(table("FACP") + 109, 2) & BIT(3), 0); /* MSI is supported */
}

static void check_madt(u32 nr_vcpus)
{
    static const u8 others[5][12] = {
        {1, 12, 0, 0, 0x00, 0x00, 0xc0, 0xfe, 0, 0, 0, 0},  /* I/O APIC 0 at 0xfec00000, inputs from 0 */
        {2, 10, 0, 0, 2, 0, 0, 0, 0, 0},                    /* IRQ 0 is input 2, as the bus has it */
        {2, 10, 0, 9, 9, 0, 0, 0, 0xd, 0},                  /* the SCI is level-triggered, active high */
        {4, 6, 0xff, 0, 0, 1},                              /* NMI: all processors, LINT1 */
        {10, 12, 0, 0, 0xff, 0xff, 0xff, 0xff, 1, 0, 0, 0}, /* the same with x2APIC ids */
    };
    u32 next = 0, nr_others = 0, nr_x2 = 0;
    gpa_t madt, at, end;

    assert_int_equal(guest_acpi_build(vm, ids, nr_vcpus, &rsdp), 0);
    madt = table("APIC");
    end = madt + get(madt + 4, 4);
    assert_int_equal(get(madt + 36, 4), 0xfee00000);
    assert_int_equal(get(madt + 40, 4), 1); /* there are 8259As */
    for (at = madt + 44; at < end; at += get(at + 1, 1)) {
        u32 type = get(at, 1);

        if (type == 0) {
            assert_true(ids[next] < 255);
            assert_int_equal(get(at + 1, 1), 8);
            assert_int_equal(get(at + 2, 1), next);
            assert_int_equal(get(at + 3, 1), ids[next++]);
            assert_int_equal(get(at + 4, 4), 1);
        } else if (type == 9) {
            assert_true(ids[next] >= 255);
            nr_x2++;
            assert_int_equal(get(at + 1, 1), 16);
            assert_int_equal(get(at + 4, 4), ids[next]);
            assert_int_equal(get(at + 8, 4), 1);
            assert_int_equal(get(at + 12, 4), next++);
        } else {
            assert_true(nr_others < ARRAY_SIZE(others));
            assert_memory_equal(vm->ram + at, others[nr_others], others[nr_others][1]);
            if (++nr_others == 3 && nr_x2 == nr_vcpus)
                nr_others++;
        }
    }
    assert_int_equal(at, end);
    assert_int_equal(next, nr_vcpus);
    assert_int_equal(nr_others, ARRAY_SIZE(others) - !nr_x2);
}

static void test_madt(void **state)
{
    (void)state;
    check_madt(1);
    check_madt(4);
    check_madt(255);
    check_madt(300);
    ids[0] = 300;
    ids[1] = 254;
    ids[2] = 0x7fff;
    check_madt(1);
    check_madt(2);
    check_madt(3);
}

static void test_no_room(void **state)
{
    (void)state;
    assert_int_equal(guest_acpi_build(vm, ids, 20000, &rsdp), ERR_NOMEM);
    for (gpa_t at = MiB(1); at < MiB(2); at++)
        if (vm->ram[at] != 0xcc)
            fail_msg("wrote beyond 1 MiB");
    vm->ram_size = 0xe0100;
    assert_int_equal(guest_acpi_build(vm, ids, 1, &rsdp), ERR_RANGE);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_rsdp), T(test_fadt), T(test_dsdt),    T(test_dsdt_has_pci),
        T(test_hpet), T(test_madt), T(test_no_room),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
